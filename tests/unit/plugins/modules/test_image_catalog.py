# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_catalog, with a folder as its store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import image_catalog

RECORD = {
    "name": "windows11",
    "version": "2026.11.0",
    "arch": "arm64",
    "title": "Contoso Windows 11 Pro",
    "url": "https://images.example.com/windows11-2026.11.0-arm64.pvmp",
    "sha256": "AB" * 32,
    "size": "21474836480",  # templates give texts
    "source": {"vm": "Windows 11 für alle"},
    "parallels": "26.1.0",
}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="keep")
def fixture_keep(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def keep(**arguments: Any) -> Any:
        return run_module_main(image_catalog.main, **{"destination": folder.as_uri(), **arguments})

    return keep


def test_an_empty_store(keep: Callable[..., Any], folder: Path) -> None:
    end = keep(state="read")
    assert not end.failed
    assert end.result == {"changed": False, "catalog": f"{folder.as_uri()}/catalog.json", "records": []}


def test_a_record_is_added_once(keep: Callable[..., Any], folder: Path) -> None:
    would = keep(record=RECORD, _ansible_check_mode=True).result
    assert (would["changed"], list(folder.iterdir())) == (True, [])
    first = keep(record=RECORD).result
    assert first["changed"]
    assert first["record"]["size"] == 21474836480
    assert first["record"]["sha256"] == "ab" * 32
    assert first["record"]["source"] == {"vm": "Windows 11 für alle", "os": "", "tools": ""}
    assert first["diff"] == {
        "before": {},
        "after": first["record"],
        "before_header": first["catalog"],
        "after_header": first["catalog"],
    }
    for check_mode in (False, True):
        second = keep(record=RECORD, _ansible_check_mode=check_mode).result
        assert (second["changed"], second["records"]) == (False, [first["record"]])
        assert "diff" not in second
    assert keep(state="read").result["records"] == [first["record"]]
    assert {**would["record"], "published_at": ""} == {**first["record"], "published_at": ""}


def test_a_record_that_was_read_can_be_added_elsewhere(keep: Callable[..., Any], tmp_path: Path) -> None:
    keep(record=RECORD)
    (tmp_path / "second").mkdir()
    for record in keep(state="read").result["records"]:
        end = keep(destination=(tmp_path / "second").as_uri(), record=record)
        assert (end.failed, end.result.get("record")) == (False, record)


def test_other_bytes_are_refused(keep: Callable[..., Any]) -> None:
    keep(record=RECORD)
    end = keep(record={**RECORD, "sha256": "00" * 32})
    assert end.failed
    assert "publish the image as a new version" in end.result["msg"]


def test_a_foreign_file_is_left_alone(keep: Callable[..., Any], folder: Path) -> None:
    path = folder / "catalog.json"
    path.write_text(json.dumps({"schema": 7, "records": []}))
    end = keep(record=RECORD)
    assert end.failed
    assert path.as_uri() in end.result["msg"]
    assert json.loads(path.read_text()) == {"schema": 7, "records": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "state is present but all of the following are missing: record"),
        ({"record": {"name": "windows11"}}, "missing required arguments: arch, sha256, size, url, version"),
        ({"record": {**RECORD, "colour": "red"}}, "colour"),
        ({"record": {**RECORD, "state": "withdrawn"}}, "value of state must be one of: published"),
        ({"record": {**RECORD, "name": "Windows 11"}}, "name has to be made of lower-case letters"),
        ({"record": RECORD, "state": "withdrawn"}, "value of state must be one of: present, read"),
        ({"record": RECORD, "destination": "ftp://host/folder"}, "There is no store for 'ftp://'"),
        ({"state": "read", "destination": "https://jane:hunter2@host/folder"}, "must not hold a user name"),
    ],
)
def test_arguments_that_make_no_sense(
    keep: Callable[..., Any], folder: Path, arguments: dict[str, Any], message: str
) -> None:
    end = keep(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert "hunter2" not in str(end.result)
    assert list(folder.iterdir()) == []


def test_every_result_is_documented(keep: Callable[..., Any]) -> None:
    documented = set(re.findall(r"^(\w+):$", image_catalog.RETURN, re.MULTILINE))
    assert set(keep(record=RECORD).result) == documented | {"changed", "diff"}
    fields = set(re.findall(r"^    (\w+):$", image_catalog.RETURN, re.MULTILINE))
    assert set(keep(record=RECORD).result["record"]) == fields


def test_a_store_that_can_be_written_to_is_told_and_left_as_it_was(keep: Any, folder: Path) -> None:
    ended = keep(state="read", writable=True)
    assert not ended.failed
    assert ended.result["records"] == []
    assert not ended.result["changed"]
    assert list(folder.iterdir()) == []


def test_a_store_that_cannot_be_written_to_fails_before_anything_is_done(keep: Any, folder: Path) -> None:
    folder.rmdir()
    ended = keep(state="read", writable=True)
    assert ended.failed
    assert str(folder) in ended.result["msg"]
