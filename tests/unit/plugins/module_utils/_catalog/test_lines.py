# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog that is read in pieces is the same as the whole, wherever a piece ends."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog import lines as lines_module
from ansible_collections.macops.parallels.plugins.module_utils._catalog.lines import NotJson, read_lines, write_lines
from ansible_collections.macops.parallels.plugins.module_utils._common.json_reader import read_json
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)
EVERY_PIECE = [1, 2, 3, 400, 600, 1024 * 1024]


def record_of(version: str, **more: Any) -> dict[str, Any]:
    values = {"name": "win11", "arch": "arm64", "url": "https://images.example.com/win11.pvmp", "sha256": "a1" * 32}
    return new_record({**values, "size": 5, "version": version, **more}, NOW)


RECORDS = [record_of("1.0"), record_of("2.0", title='a\u2028b \\ "records": ['), record_of("3.0"), record_of("4.0")]
DOCUMENT = {"schema": 1, "serial": 3}
WRITTEN = write_lines(DOCUMENT, RECORDS)


def read(data: bytes) -> Any:
    document, lines = read_lines(data)
    return document if lines is None else {**document, "records": lines.records()}


@pytest.fixture(params=EVERY_PIECE, autouse=True)
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_PIECE", request.param)


@pytest.mark.parametrize(
    "data",
    [
        WRITTEN,
        write_lines(DOCUMENT, []),
        write_lines(DOCUMENT, RECORDS[:1]),
        write_lines(DOCUMENT, [{**RECORDS[0], "_new": {"a": [1]}, "__class__": "x", "__dict__": None, "": 1}]),
        write_lines(DOCUMENT, [{**RECORDS[0], "source": {"vm": 1}, "title": "x" * 500, "name": None}, 5, [], "text"]),
        json.dumps({"records": RECORDS, "schema": 1}).encode(),
        json.dumps({"schema": 1, "records": RECORDS}, indent=2).encode(),
        WRITTEN.replace(b"},\n{", b"}, \n{"),
        WRITTEN.replace(b"},\n{", b"}\n,{"),
        WRITTEN.replace(b"},\n{", b"},\n\n\r\n{"),
        WRITTEN.replace(b"},\n{", b"},{"),
        WRITTEN.replace(b', "', b',\n "'),
        WRITTEN.replace(b'": "', b'":\n"'),
        WRITTEN.replace(b"\n]}", b"\n\n]}"),
        b"\xef\xbb\xbf" + WRITTEN,
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_catalog_that_is_read_by_lines_is_that_of_the_whole(data: bytes) -> None:
    found, whole = read(data), read_json(data)
    assert found == whole
    assert [list(record) for record in found["records"] if isinstance(record, dict)] == [
        list(record) for record in whole["records"] if isinstance(record, dict)
    ]


@pytest.mark.parametrize(
    "data",
    [
        WRITTEN.replace(b"},\n{", b"}\n{"),
        WRITTEN.replace(b"},\n{", b"},\n,\n{"),
        WRITTEN.replace(b"},\n{", b"},\n],[\n{"),
        WRITTEN.replace(b"},\n{", b"},\x0c\n{"),
        WRITTEN.replace(b"\n]}", b",\n]}"),
        WRITTEN.replace(b'[\n{"', b'[\n,\n{"'),
        WRITTEN.replace(b'"serial": 3', b'"records": []'),
        WRITTEN.replace(b'"serial": 3', b'"schema": 3'),
        WRITTEN.replace(b'"3.0"', b'"\\ud83d"'),
        WRITTEN.replace(b'"4.0"', b"NaN"),
        WRITTEN.replace(b'"4.0"', b'"\xff"'),
        WRITTEN.replace(b'"version"', b'"name"'),
        WRITTEN[:-4],
        b"",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_what_is_not_valid_is_not_valid_by_lines(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_json(data)
    with pytest.raises(NotJson, match=r"\w"):
        read(data)


def test_what_records_have_in_common_is_kept_once() -> None:
    one, two = read(WRITTEN)["records"][:2]
    assert one["name"] is two["name"]
    assert one["source"] is two["source"]


def test_a_record_that_was_read_can_be_changed() -> None:
    one, two = read(WRITTEN)["records"][:2]
    before = dict(two)
    one.update(reason="It does not start.", state="withdrawn")
    del one["title"]
    assert one == {
        **{key: value for key, value in RECORDS[0].items() if key != "title"},
        "state": "withdrawn",
        "reason": "It does not start.",
    }
    assert two == before


def test_what_is_wrong_is_said_with_the_record_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_PIECE", 1)
    with pytest.raises(NotJson, match="after record 2: Expecting"):
        read(WRITTEN.replace(b'"3.0"', b"3."))


def test_a_record_is_on_a_line_of_its_own() -> None:
    assert len(WRITTEN.splitlines()) == 2 + len(RECORDS)
