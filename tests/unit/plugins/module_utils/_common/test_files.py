# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity, free space, bytes on disk, atomic writing."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import files
from ansible_collections.macops.parallels.plugins.module_utils._common.files import (
    FileIdentity,
    atomic_write,
    bytes_on_disk,
    folder_obstacle,
    free_bytes,
    remove_path,
    wait_until_quiet,
)


def test_an_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"one")
    first = FileIdentity.of(str(path))
    assert FileIdentity.of(str(path)) == first
    os.utime(path, ns=(1, 1))
    assert FileIdentity.of(str(path)) != first
    os.utime(path, ns=(first.mtime_ns, first.mtime_ns))
    assert FileIdentity.of(str(path)) == first
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(first.mtime_ns, first.mtime_ns))
    os.replace(other, path)
    assert FileIdentity.of(str(path)) != first


def test_free_bytes_of_a_folder_to_be_made_are_those_above_it(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = free_bytes(str(tmp_path / "not" / "yet"))
    assert 0 < free <= status.f_blocks * status.f_frsize


def test_holes_and_second_names_take_no_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "disk").mkdir(parents=True)
    with open(folder / "disk" / "sparse", "wb") as handle:
        handle.write(os.urandom(100_000))
        handle.truncate(1 << 40)
    alone = bytes_on_disk(str(folder))
    assert 100_000 <= alone < 1_000_000
    os.link(folder / "disk" / "sparse", folder / "again")
    assert bytes_on_disk(str(folder)) == alone
    assert bytes_on_disk(str(tmp_path / "missing")) == 0
    assert bytes_on_disk(str(folder / "again" / "below a file")) == 0


@pytest.mark.parametrize("kind", ["file", "folder", "link", "nothing"])
def test_removing_takes_what_is_there_and_never_what_a_link_leads_to(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    (precious / "data").mkdir(parents=True)
    path = tmp_path / "path"
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        (path / "deep").mkdir(parents=True)
        (path / "link").symlink_to(precious)
    elif kind == "link":
        path.symlink_to(precious)
    remove_path(str(path))
    assert os.listdir(tmp_path) == ["precious"]
    assert (precious / "data").is_dir()


def test_an_atomic_write_replaces_the_file_and_sets_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    atomic_write(str(path), b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "flush_file", full)
    with pytest.raises(OSError, match=r"No space left"):
        atomic_write(str(path), b"new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["record.json"]


@pytest.mark.parametrize(("writes", "quiet"), [(0, True), (3, True), (1000, False)])
def test_a_folder_is_quiet_when_nobody_writes_in_it(tmp_path: Path, writes: int, quiet: bool) -> None:
    (tmp_path / "bundle" / "disk").mkdir(parents=True)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] <= writes:
            (tmp_path / "bundle" / "disk" / "data").write_bytes(b"x" * int(now[0]))

    assert wait_until_quiet(str(tmp_path / "bundle"), 10, 60, sleep, lambda: now[0]) is quiet
    assert now[0] == (writes + 10 if quiet else 60)


def test_a_file_that_ends_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_text("x")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        path.unlink(missing_ok=True)

    assert wait_until_quiet(str(path), 5, 60, sleep, lambda: now[0])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", ""),
        ("new/folder", ""),
        ("file", "file is not a folder. Choose another folder, or move"),
        ("file/new", "file is not a folder"),
        ("dangling/new", "dangling is not a folder"),
        ("locked", "locked cannot be written to. Change its rights"),
        ("locked/new", "locked is not writable for this user"),
        ("Volumes/Images/new", "Images of .*new is not connected. Connect it"),
        ("Volumes/Images", "is not connected"),
        ("Volumes/Data/new", ""),
        ("Volumes/../new", ""),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, says: str) -> None:
    monkeypatch.setattr(files, "_VOLUMES", str(tmp_path / "Volumes"))
    monkeypatch.setattr(os, "access", lambda path, _mode: not path.endswith("locked"))
    (tmp_path / "file").write_text("")
    (tmp_path / "locked").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "Volumes" / "Data").mkdir(parents=True)
    obstacle = folder_obstacle(os.path.join(tmp_path, path))
    assert re.search(says, obstacle) if says else obstacle == ""
    assert not (tmp_path / "new").exists()
