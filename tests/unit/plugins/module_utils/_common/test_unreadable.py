# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why something cannot be read, and what to do about it."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.unreadable import is_there, why_unreadable
from ansible_collections.macops.parallels.plugins.module_utils._module import describe_os_error


def system_error(number: int, path: object = None) -> OSError:
    return OSError(number, os.strerror(number), None if path is None else str(path))


@pytest.mark.parametrize(
    ("number", "path", "why"),
    [
        (errno.ENOENT, "/p/x.pvm/config.pvs", "does not exist. Connect the disk or the share that it is on"),
        (errno.ENOTDIR, "/p/x.pvmz/config.pvs", "does not exist. Connect the disk"),
        (errno.ENOENT, "/Volumes/Nobody's disk/x.pvm", "the disk /Volumes/Nobody's disk is not mounted. Connect it."),
        (errno.EIO, "/p/x.pvm", "cannot be read: Input/output error. Check whether its disk or share responds."),
        (errno.ESTALE, "/p/x.pvm", "Check whether its disk or share responds."),
        (errno.ETIMEDOUT, "/p/x.pvm", "Check whether its disk or share responds."),
        (errno.EPERM, "/p/x.pvm", "cannot be read: Operation not permitted. "),
        (errno.EACCES, "/p/x.pvm", "also need Full Disk Access for sshd-keygen-wrapper."),
    ],
)
def test_why_something_cannot_be_read(number: int, path: str, why: str) -> None:
    said = why_unreadable(path, system_error(number, path))
    assert said.startswith(f"{path} ")
    assert why in said


def test_broken_content_is_not_a_matter_of_access() -> None:
    assert why_unreadable("/p/config.pvs", ValueError("x")).startswith("/p/config.pvs is not complete. If Parallels")


@pytest.fixture
def of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home whose folder C(.ansible) belongs to root and shows nothing of what is in it."""
    home = tmp_path / "home"
    own = home / ".ansible"
    own.mkdir(parents=True)
    real = os.stat

    def stat(path: Any, *args: Any, **options: Any) -> Any:
        if str(path) == str(own):
            return SimpleNamespace(st_uid=0)
        if str(path).startswith(f"{own}/"):
            raise system_error(errno.EACCES, path)
        return real(path, *args, **options)

    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    return own


def test_a_folder_of_ours_that_belongs_to_root(of_another_user: Path) -> None:
    path = of_another_user / "macops.parallels" / "unregistered"
    said = describe_os_error(system_error(errno.EACCES, path))
    assert said == (
        f"Access denied ({path}): Permission denied. {of_another_user} belongs to the user {pwd.getpwuid(0).pw_name}. "
        'Run `sudo chown -R "$USER" ~/.ansible`, then run again.'
    )


def test_a_folder_of_another_user_is_not_given_away(of_another_user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/somebody")
    said = describe_os_error(system_error(errno.EACCES, of_another_user / "x.pvm"))
    assert f"{of_another_user} belongs to the user " in said
    assert "Connect as the user who owns the virtual machines. On macOS" in said
    assert "chown" not in said


def test_an_error_without_a_path_has_advice() -> None:
    assert "Connect as the user who owns" in describe_os_error(system_error(errno.EACCES))


def test_what_is_there_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert is_there(str(tmp_path / "file")) is True
    assert is_there(str(tmp_path / "dangling")) is True
    assert is_there(str(tmp_path / "gone")) is False
    unknown = [
        str(tmp_path / "gone" / "file"),  # its folder may be where a disk is mounted
        str(tmp_path / "file" / "in it"),
        "/Volumes/Nobody's disk/x.pvm",
        "/volumes/Nobody's disk/x.pvm",  # the startup disk of a Mac ignores the case
        "/Volumes/Nobody's disk/folder/x.pvm",
    ]
    assert [is_there(path) for path in unknown] == [None] * len(unknown)

    def denied(path: str) -> Any:
        raise system_error(errno.EACCES, path)

    monkeypatch.setattr(os, "lstat", denied)
    assert is_there(str(tmp_path / "file")) is None
