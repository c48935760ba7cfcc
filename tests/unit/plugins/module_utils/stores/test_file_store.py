# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a folder has: errors of the system, shares without hard links, and locks."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores import _file
from ansible_collections.macops.parallels.plugins.module_utils._stores._base import Conflict, StoreOptions, part_name
from ansible_collections.macops.parallels.plugins.module_utils._stores._body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores._file import FileStore

NAME = "a b.pvmp"


@pytest.fixture
def share(tmp_path):
    path = tmp_path / "My Share"
    path.mkdir()
    return path


@pytest.fixture
def waits():
    return []


@pytest.fixture
def store(share, waits):
    return FileStore(f"file://{share}", StoreOptions(), sleep=waits.append)


def failing(number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def test_others_may_read_what_is_published(store, share, image):
    before = os.umask(0o077)
    try:
        with Body(image.path) as body:
            store.publish(NAME, store.send(NAME, body), overwrite=False)
        store.write("x.sha256", b"x")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in share.iterdir()} == {0o644}


def test_a_full_disk_is_found_before_the_copy(store, monkeypatch):
    monkeypatch.setattr(_file, "free_bytes", lambda path: 999)
    with pytest.raises(TaskError, match="has 999 bytes free, and the image needs 1000") as caught:
        store.check(NAME, 1000)
    assert caught.value.details == {"free": 999, "needed": 1000}


def test_a_disk_that_becomes_full(store, share, image, monkeypatch):
    monkeypatch.setattr("os.write", failing(errno.ENOSPC))
    with Body(image.path) as body, pytest.raises(TaskError, match="is full"):
        store.send(NAME, body)
    assert list(share.iterdir()) == []


def test_a_share_that_goes_away_for_a_while(store, share, image, monkeypatch):
    monkeypatch.setattr("os.write", failing(errno.EIO))
    with Body(image.path) as body, pytest.raises(RetryLater, match="not possible to write to"):
        store.send(NAME, body)
    assert list(share.iterdir()) == []


def test_a_folder_that_may_not_be_written(store, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(TaskError, match="may not be written to by this user"):
        store.check(NAME, 1)


def test_a_folder_that_may_not_be_written_after_all(store, monkeypatch):
    """What the permissions say is not all that a share has to say."""
    monkeypatch.setattr("os.rename", failing(errno.EACCES))
    with pytest.raises(TaskError, match="may not be written to by this user"):
        store.check(NAME, 1)


def test_a_folder_in_the_place_of_the_image(store, share):
    (share / NAME).mkdir()
    with pytest.raises(TaskError, match="is a folder"):
        store.check(NAME, 1)


def test_a_share_that_is_not_mounted(store, share):
    share.rmdir()
    with pytest.raises(TaskError, match=r"is not there. Mount the share"):
        store.check(NAME, 1)
    with pytest.raises(TaskError, match=r"is not there. Mount the share"):
        store.write("x", b"1")
    with pytest.raises(TaskError, match=r"is not there. Mount the share"):
        store.list()


@pytest.mark.parametrize("there", [False, True])
def test_a_share_without_hard_links(store, share, image, monkeypatch, there):
    monkeypatch.setattr("os.link", failing(errno.EOPNOTSUPP))
    if there:
        (share / NAME).write_bytes(b"published")
    with Body(image.path) as body:
        sent = store.send(NAME, body)
        if there:
            with pytest.raises(Conflict):
                store.publish(NAME, sent, overwrite=False)
            store.discard(sent)
        else:
            store.publish(NAME, sent, overwrite=False)
    assert (share / NAME).read_bytes() == (b"published" if there else image.data)
    assert [path.name for path in share.iterdir()] == [NAME]


def test_parts_of_runs_that_are_gone_are_removed(store, share, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 7)  # above the largest process number
    ours = share / part_name(NAME)
    monkeypatch.undo()
    others = [share / part_name(NAME), share / f".{NAME}.00000000-1-00000000.part", share / part_name("c.pvmp")]
    for path in [ours, *others]:
        path.touch()
    store.check(NAME, 1)
    assert sorted(share.iterdir()) == sorted(others)


class TestLock:
    def test_it_is_waited_for(self, store, share, waits):
        descriptor = os.open(share / ".x.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(RetryLater, match=r"Another process holds .*\.x\.lock"):
            store.write("x", b"1", if_absent=True)
        os.close(descriptor)
        assert sum(waits) >= 60
        store.write("x", b"1", if_absent=True)
        assert [path.name for path in share.iterdir()] == ["x"]

    def test_a_lock_that_was_removed_meanwhile_is_no_lock(self, share):
        """The one who held it has removed its file: another one may hold the new file of that name."""
        first = os.open(share / ".x.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(first, fcntl.LOCK_EX)

        def let_go(_seconds):
            os.unlink(share / ".x.lock")
            os.close(first)

        FileStore(f"file://{share}", StoreOptions(), sleep=let_go).write("x", b"1", if_absent=True)
        assert [path.name for path in share.iterdir()] == ["x"]

    def test_a_share_without_locks(self, store, share, monkeypatch):
        monkeypatch.setattr("fcntl.flock", failing(errno.ENOTSUP))
        store.write("x", b"1", if_absent=True)
        with pytest.raises(Conflict):
            store.write("x", b"2", if_absent=True)
        assert (share / "x").read_bytes() == b"1"

    def test_a_reader_never_sees_a_part(self, store, share):
        """Old or new, while it is written over and over."""
        old, new = b"a" * 300_000, b"b" * 300_000
        store.write("x", old)
        seen = set()
        done = threading.Event()

        def read():
            while not done.is_set():
                seen.add(store.read("x")[0])

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(20):
            store.write("x", (old, new)[number % 2])
        done.set()
        reader.join()
        assert seen <= {old, new}
