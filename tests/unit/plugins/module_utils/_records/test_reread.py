# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that went through YAML on their way to the next job."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record, record_problems
from ansible_collections.macops.parallels.plugins.module_utils._records.reread import reread_records
from ansible_collections.macops.parallels.plugins.module_utils._records.sheet import golden_image_sheet


def record(**values: Any) -> dict[str, Any]:
    given = {
        "name": "win11",
        "version": "2026.10",
        "arch": "arm64",
        "title": "Windows 11",
        "url": "https://images.example.com/a.pvmp",
        "sha256": "0" * 64,
        "size": 1,
        "parallels": "20.1",
        **values,
    }
    return new_record(given, datetime(2026, 11, 22, 10, tzinfo=timezone.utc))


WRITTEN = record()
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "changed",
    [
        {"published_at": datetime(2026, 11, 22, 10)},
        {"published_at": datetime(2026, 11, 22, 12, tzinfo=EAST)},
        {"version": 2026.1},
        {"description": None, "source": {"vm": None, "os": "", "tools": None}},
        {"parallels": 20.1},
    ],
)
def test_what_yaml_has_read_is_as_it_was_written(changed: dict[str, Any]) -> None:
    read = {**WRITTEN, **changed}
    assert record_problems(read)
    assert reread_records([read]) == [WRITTEN]


def test_a_name_that_was_a_number() -> None:
    written = record(name="1e3", version="2026.10.0")
    assert reread_records([{**written, "name": 1000.0}]) == [written]


def test_all_at_once_make_the_same_sheet() -> None:
    read = {
        **WRITTEN,
        "published_at": datetime(2026, 11, 22, 10),
        "version": 2026.1,
        "source": dict.fromkeys(("vm", "os", "tools")),
    }
    sheet = golden_image_sheet([WRITTEN])
    assert golden_image_sheet(reread_records([read])) == sheet
    assert golden_image_sheet(reread_records(json.dumps([WRITTEN]))) == sheet
    assert "`2026.10`" in sheet


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"version": 2026.1, "name": 11}, "version"),
        ({"version": 2026.1, "file": "other-2026.10-arm64.pvmp"}, "version"),
        ({"title": 11}, "title"),
        ({"sha256": 0}, "sha256"),
        ({"protected": None}, "protected"),
    ],
)
def test_nothing_is_guessed(changed: dict[str, Any], field: str) -> None:
    (read,) = reread_records([{**WRITTEN, **changed}])
    assert any(problem.startswith(field) for problem in record_problems(read))


def test_what_is_no_list_of_records() -> None:
    with pytest.raises(TaskError, match="not JSON"):
        reread_records("win11")
    assert reread_records({"name": "a"}) == {"name": "a"}
    assert reread_records([3]) == [3]


@pytest.mark.parametrize(
    ("written", "read"),
    [("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=timezone.utc)), ("", None), ("", "")],
)
def test_the_time_of_a_readiness_report(written: str, read: Any) -> None:
    report = {"guest_answered_at": written, "passed": ["bundle"], "warnings": [], "waived": [], "failed": []}
    before = record(readiness=report)
    (after,) = reread_records([{**before, "readiness": {**report, "guest_answered_at": read}}])
    assert after == before
    assert record_problems(after) == []
