# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_store_check, with a folder as its store. See test_image_catalog_signing for its signing options."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.modules import image_store_check


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="check")
def fixture_check(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def check(**arguments: Any) -> Any:
        return run_module_main(image_store_check.main, **{"destination": folder.as_uri(), **arguments})

    return check


def test_a_store_that_can_be_written_to_is_told_and_left_as_it_was(check: Any, folder: Path) -> None:
    before = folder.stat().st_mtime_ns
    for _again in range(2):
        ended = check()
        assert not ended.failed
        assert ended.result == {
            "changed": False,
            "url": folder.as_uri(),
            "kind": "file",
            "writable": True,
            "resume": True,
            "list": True,
            "conditional_writes": True,
        }
        assert list(folder.iterdir()) == []
    assert folder.stat().st_mtime_ns > before  # a file was there


def test_check_mode_writes_nothing(check: Any, folder: Path) -> None:
    before = folder.stat().st_mtime_ns
    for _again in range(2):
        ended = check(_ansible_check_mode=True)
        assert (ended.failed, ended.result["changed"], ended.result["writable"]) == (False, False, None)
        assert ended.result["list"] is True
    assert folder.stat().st_mtime_ns == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_store_that_cannot_be_written_to_fails_before_anything_is_done(
    check: Any, folder: Path, check_mode: bool
) -> None:
    folder.rmdir()
    ended = check(_ansible_check_mode=check_mode)
    assert ended.failed
    assert str(folder) in ended.result["msg"]


def test_a_folder_without_the_right_to_write(check: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_really = os.open

    def open_for_reading_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        # As for a user without the right; root, who may run this test, has it in every folder.
        if flags & os.O_CREAT and Path(os.fsdecode(path)).parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_really(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", open_for_reading_only)
    ended = check()
    assert ended.failed
    assert f"does not have write permission for {folder}" in ended.result["msg"]


def test_every_result_is_documented(check: Any) -> None:
    assert set(check().result) == {"changed", *yaml.safe_load(image_store_check.RETURN)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"destination": "ftp://host/folder"}, "'ftp://' is not a supported destination"),
        ({"destination": "https://jane:hunter2@host/folder"}, "must not contain a user name"),
        ({"require_signature": True}, "all of the following are missing: allowed_signers_path"),
        ({"signing_key_path": "/k"}, "required by 'signing_key_path': signing_identity"),
        ({"password": "hunter2"}, "required by 'password': username"),
    ],
)
def test_arguments_that_make_no_sense(check: Any, folder: Path, arguments: dict[str, Any], message: str) -> None:
    ended = check(**arguments)
    assert ended.failed
    assert message in ended.result["msg"]
    assert "hunter2" not in str(ended.result)
    assert list(folder.iterdir()) == []
