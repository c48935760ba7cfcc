# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of an image."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._records.record import (
    identity,
    label,
    natural_order,
    new_record,
    readiness_in_words,
    record_problems,
    sort_records,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, 999, timezone(timedelta(hours=2)))
GIVEN = {
    "name": "windows11",
    "version": "2026.11.0",
    "arch": "arm64",
    "url": "https://images.example.com/windows11-2026.11.0-arm64.pvmp",
    "sha256": "AB" * 32,
    "size": 5,
}
SBOM = {
    "name": "win11-2026.11.0-arm64.pvmp.cdx.json",
    "url": "https://images.example.com/win11-2026.11.0-arm64.pvmp.cdx.json",
    "sha256": "ab" * 32,
}
READINESS = {
    "guest_answered_at": "2026-11-22T09:12:30Z",
    "passed": ["disks", "linked_clone"],
    "warnings": [{"id": "tools", "message": "They are old."}],
    "waived": [],
    "failed": [],
}


def test_a_new_record_is_complete() -> None:
    record = new_record({**GIVEN, "title": None, "source": {"vm": "Büro 11", "tools": None}}, NOW)
    assert record == {
        "schema": 1,
        "name": "windows11",
        "version": "2026.11.0",
        "arch": "arm64",
        "title": "windows11",
        "description": "",
        "file": "windows11-2026.11.0-arm64.pvmp",
        "url": "https://images.example.com/windows11-2026.11.0-arm64.pvmp",
        "sha256": "ab" * 32,
        "size": 5,
        "published_at": "2026-11-22T10:00:00Z",
        "state": "published",
        "protected": False,
        "source": {"vm": "Büro 11", "os": "", "tools": ""},
        "parallels": "",
    }
    assert record_problems(record, strict=True) == []
    assert identity(record) == ("windows11", "2026.11.0", "arm64")
    assert label(record) == "windows11-2026.11.0-arm64"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("schema", True),
        ("name", "Windows 11"),
        ("name", ""),
        ("version", "../1"),
        ("version", 2026),
        ("arch", "aarch64"),
        ("title", 11),
        ("title", "half \ud83d"),
        ("description", ["a"]),
        ("file", "folder/image.pvmp"),
        ("file", "-image.pvmp"),
        ("file", ".image.pvmp"),
        ("file", "a\x7fb.pvmp"),
        ("file", "a\x9b31mb.pvmp"),
        ("file", "a\u2028b.pvmp"),
        ("file", "a\u202egpj.pvmp"),
        ("file", "a\udcffb.pvmp"),
        ("url", "http://images.example.com/a.pvmp"),
        ("url", "https://jane:secret@images.example.com/a.pvmp"),
        ("url", "https://images.example.com/a b.pvmp"),
        ("url", "https:///a.pvmp"),
        ("url", "https://images.example.com/a\x9bb.pvmp"),
        ("url", "https://images.example.com/a\ud83d.pvmp"),
        ("url", "https://[broken/a.pvmp"),
        ("sha256", "ab"),
        ("sha256", "AB" * 32),
        ("size", 0),
        ("size", "5"),
        ("size", True),
        ("size", 5.0),
        ("size", 2**63),
        ("size", float("nan")),
        ("published_at", "2026-11-22"),
        ("published_at", None),
        ("state", "gone"),
        ("protected", "yes"),
        ("source", "a VM"),
        ("source", {"vm": 1}),
        ("source", {"vm": "half \udc00"}),
        ("signed_by", "half \udc00"),
        ("parallels", 26),
        ("sbom", "https://images.example.com/a.pvmp.cdx.json"),
        ("sbom", {"name": "a.pvmp.cdx.json", "url": "https://images.example.com/a"}),
        ("sbom", {**SBOM, "name": "../a"}),
        ("sbom", {**SBOM, "url": "javascript:alert(1)"}),
        ("sbom", {**SBOM, "sha256": "ab"}),
        ("readiness", "all is well"),
        ("readiness", {"passed": []}),
        ("readiness", {**READINESS, "guest_answered_at": None}),
        ("readiness", {**READINESS, "passed": [1]}),
        ("readiness", {**READINESS, "waived": ["tools"]}),
        ("readiness", {**READINESS, "warnings": [{"id": "tools"}]}),
        ("readiness", {**READINESS, "failed": None}),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    problems = record_problems({**new_record(GIVEN, NOW), field: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"{field} must")


def test_a_record_with_an_sbom_and_a_readiness_report() -> None:
    record = {**new_record(GIVEN, NOW), "sbom": SBOM, "readiness": READINESS}
    assert record_problems(record, strict=True) == []
    assert readiness_in_words(READINESS) == "Readiness: 2 checks passed; warnings: tools."
    waived = {**READINESS, "waived": [{"id": "disks", "message": "x"}, {"id": "bundle", "message": "x"}]}
    assert readiness_in_words(waived) == "Readiness: 2 checks passed; waived: disks, bundle; warnings: tools."


def test_a_problem_does_not_repeat_a_password() -> None:
    problems = record_problems({**new_record(GIVEN, NOW), "url": "https://jane:hunter2@images.example.com/a.pvmp"})
    assert "hunter2" not in str(problems)


def test_unknown_fields_are_for_newer_releases_but_not_for_new_records() -> None:
    record = {**new_record(GIVEN, NOW), "attestation": "x", "source": {"vm": "a", "host": "b"}}
    assert record_problems(record) == []
    assert record_problems(record, strict=True) == [
        "attestation is not a field of a record",
        "source.host is not a field",
    ]


@pytest.mark.parametrize("record", [None, "text", [], {}])
def test_what_is_no_record(record: Any) -> None:
    assert record_problems(record)


def test_versions_are_sorted_as_people_read_them() -> None:
    ordered = [
        "1.0-beta",
        "1.0-rc2",
        "1.0-rc10",
        "1.0",
        "1.0-2",
        "1.0-10",
        "1.0.1",
        "1.9",
        "1.10",
        "2026.9.0",
        "2026.11.0",
    ]
    assert sorted(random.Random(1).sample(ordered, len(ordered)), key=natural_order) == ordered


def test_a_number_may_have_any_length() -> None:
    ordered = ["0", "1.0", "1.09", "1.10", "1." + "9" * 5000, "1." + "1" * 5001]
    assert sorted(random.Random(1).sample(ordered, len(ordered)), key=natural_order) == ordered
    assert natural_order("1.01") == natural_order("1.1")


def test_records_are_sorted_by_name_version_and_architecture() -> None:
    keys = [("a", "9", "x86_64"), ("a", "10", "arm64"), ("a", "10", "x86_64"), ("b", "1", "arm64")]
    records = [dict(zip(("name", "version", "arch"), key)) for key in keys]
    assert [identity(record) for record in sort_records(reversed(records))] == keys
