# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity, free space, bytes on disk, atomic writing."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import files
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted
from ansible_collections.macops.parallels.plugins.module_utils._common.files import (
    FileIdentity,
    atomic_write,
    bytes_on_disk,
    clone_file,
    folder_obstacle,
    free_bytes,
    remove_path,
    same_file,
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


@pytest.mark.parametrize(
    "fields", [{"f_bavail": 0}, {"f_blocks": 0}, {"f_bavail": 0, "f_bfree": 0, "f_blocks": 0, "f_frsize": 0}]
)
def test_a_volume_that_reports_no_space_has_an_unknown_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, int]
) -> None:
    status = SimpleNamespace(**{"f_bavail": 7, "f_bfree": 7, "f_blocks": 9, "f_frsize": 512, "f_bsize": 512, **fields})
    monkeypatch.setattr("os.statvfs", lambda _path: status)
    assert free_bytes(str(tmp_path)) is None


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EIO, errno.ENOSPC])
def test_only_what_a_volume_cannot_do_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_unused: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "record.json"
    for function in ("os.fsync", "os.fchmod"):
        with monkeypatch.context() as patch:
            patch.setattr(function, fail)
            if number in (errno.EIO, errno.ENOSPC):
                with pytest.raises(OSError, match=os.strerror(number)):
                    atomic_write(str(path), function.encode())
                assert not path.exists()
            else:
                atomic_write(str(path), function.encode())
                assert path.read_bytes() == function.encode()
                path.unlink()
    assert list(tmp_path.iterdir()) == []


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


@pytest.fixture(name="bundle")
def fixture_bundle(tmp_path: Path) -> Path:
    bundle = tmp_path / "Büro.pvm"
    (bundle / "disk.hdd").mkdir(parents=True)
    for name in ("config.pvs", "._config.pvs", "disk.hdd/disk.hds", "disk.hdd/._disk.hds"):
        (bundle / name).write_text("x")
    return bundle


@pytest.mark.parametrize("name", [".DS_Store", "._disk.hds", "._config.pvs"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_files_of_the_system_that_appear_do_not_stop_a_removal(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    rmdir, left, slept = os.rmdir, [True] * times, []

    def look_into(path: Any, **options: Any) -> None:
        if left:
            left.pop()
            (bundle / ("disk.hdd" if "disk" in str(path) else "") / name).write_text("x")
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", look_into)
    remove_path(str(bundle), slept.append)
    assert not bundle.exists()
    assert 1 <= len(slept) <= 5


@pytest.mark.parametrize(("name", "times"), [(".DS_Store", 1000), ("disk2.hds", 1), ("DS_Store", 1)])
def test_other_files_that_appear_stop_a_removal(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    rmdir, left, slept = os.rmdir, [True] * times, []

    def write(path: Any, **options: Any) -> None:
        if left:
            left.pop()
            (bundle / "disk.hdd" / name).write_text("precious")
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", write)
    with pytest.raises(OSError, match="not empty"):
        remove_path(str(bundle), slept.append)
    assert (bundle / "disk.hdd" / name).exists()
    assert slept == ([0.1, 0.2, 0.5, 1.0, 2.0] if times > 1 else [])


def test_second_files_that_go_with_the_first_do_not_stop_a_removal(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def with_second_file(path: Any, **options: Any) -> None:
        unlink(path, **options)
        for second in bundle.rglob(f"._{os.path.basename(path)}"):
            unlink(second)

    monkeypatch.setattr(os, "unlink", with_second_file)
    remove_path(str(bundle), pytest.fail)
    assert not bundle.exists()


def test_what_may_not_be_removed_is_an_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        remove_path(str(bundle), pytest.fail)


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


class Interruption(BaseException):
    """A signal that arrives in the middle of a write."""


@pytest.mark.parametrize("refused", [None, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("replaced", [True, False])
def test_an_interruption_of_a_write_is_not_replaced_by_a_failed_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool, refused: Optional[int]
) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    replace = os.replace

    def interrupted(*paths: Any) -> None:
        if replaced:
            replace(*paths)
        raise Interruption

    def unlink(path: str) -> None:
        raise OSError(refused, "refused")

    monkeypatch.setattr(files.os, "replace", interrupted)
    if refused is not None:
        monkeypatch.setattr(files.os, "unlink", unlink)
    with pytest.raises(Interruption):
        atomic_write(str(path), b"new")
    assert path.read_text() == ("new" if replaced else "old")
    assert (os.listdir(tmp_path) == ["record.json"]) is (replaced or refused is None)


def test_an_interruption_of_a_clone_is_not_replaced_by_a_failed_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_text("x")

    def interrupted(*_arguments: Any) -> None:
        (tmp_path / "target").unlink()
        raise Interruption

    monkeypatch.setattr(files.fcntl, "ioctl", interrupted)
    with pytest.raises(Interruption):
        clone_file(str(tmp_path / "source"), str(tmp_path / "target"), 0o644)


def test_the_same_file_may_be_gone(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("x")
    os.link(tmp_path / "one", tmp_path / "other")
    (tmp_path / "else").write_text("x")
    assert same_file(str(tmp_path / "one"), str(tmp_path / "other"))
    for other in ("else", "gone", "one/below a file"):
        assert not same_file(str(tmp_path / "one"), str(tmp_path / other))
        assert not same_file(str(tmp_path / other), str(tmp_path / "one"))


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


class TestABreakWhileAFileIsWritten:
    """What broke is reported, and nothing is left."""

    @pytest.mark.parametrize("durable", [True, False])
    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
        def refuse(_descriptor: int, _mode: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fchmod", refuse)
        with pytest.raises(OSError, match="No space left"):
            atomic_write(str(tmp_path / "note"), b"new", durable=durable)
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupt_after_the_rename(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        replace = os.replace

        def be_interrupted(source: str, target: str) -> None:
            replace(source, target)
            raise Interrupted("Interrupted by the signal SIGTERM.")

        monkeypatch.setattr(os, "replace", be_interrupted)
        with pytest.raises(Interrupted):
            atomic_write(str(tmp_path / "note"), b"new")
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("note", b"new")]

    def test_a_temporary_file_that_cannot_be_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_source: str, _target: str) -> None:
            raise Interrupted("Interrupted by the signal SIGTERM.")

        def refuse(_path: str) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupt)
            patch.setattr(os, "unlink", refuse)
            with pytest.raises(Interrupted):
                atomic_write(str(tmp_path / "note"), b"new")
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".note.")  # what remove_temporaries knows as ours


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


PLACES = [
    pytest.param("a/x", "a/x", True, id="the same text"),
    pytest.param("a/x", "a/x/", True, id="a slash at the end"),
    pytest.param("a/x", "a//./x", True, id="slashes and dots"),
    pytest.param("a/x", "link/x", True, id="a link to the folder"),
    pytest.param("a/x", "a/link to x", True, id="a link to the file"),
    pytest.param("a/x", "a/y", False, id="another file"),
    pytest.param("a/x", "b/x", False, id="another folder"),
    pytest.param("a/x", "a/gone", False, id="one is gone"),
    pytest.param("a/gone", "link/gone/", True, id="gone, by a link to its folder"),
    pytest.param("a/B\u00fcro", "link/Bu\u0308ro", True, id="gone, accents in two forms"),
    pytest.param("nowhere/B\u00fcro", "nowhere/Bu\u0308ro", True, id="gone with its folder"),
    pytest.param("a/gone", "b/gone", False, id="gone, in another folder"),
    pytest.param("a/gone", "a/gone2", False, id="gone, another name"),
]


@pytest.mark.parametrize(("one", "other", "same"), PLACES)
def test_the_same_place(tmp_path: Path, one: str, other: str, same: bool) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("")
    (tmp_path / "a" / "y").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "link to x").symlink_to(tmp_path / "a" / "x")
    paths = f"{tmp_path}/{one}", f"{tmp_path}/{other}"
    assert (files.same_place(*paths), files.same_place(*reversed(paths))) == (same, same)


@pytest.mark.parametrize(
    ("path", "volume"),
    [
        ("/Volumes/Data/x.pvm", "/Volumes/Data"),
        ("/Volumes/Data", "/Volumes/Data"),
        ("/volumes/Data/x", "/Volumes/Data"),
        ("/Volumes", ""),
        ("/Volumes/../x", ""),
        ("/Users/build/Volumes/x", ""),
        ("/VolumesX/y", ""),
    ],
)
def test_the_volume_of_a_path(path: str, volume: str) -> None:
    assert files.volume_of(path) == volume
