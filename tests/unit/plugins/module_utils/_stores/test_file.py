# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a folder has: errors of the system, shares without hard links, and locks."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._common import retry
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import BLOCK
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores import file
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    CannotList,
    Conflict,
    StoreOptions,
    part_name,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.file import FileStore

NAME = "a b.pvmp"


def visible(share):
    return sorted(path.name for path in share.iterdir())


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
    monkeypatch.setattr(file, "free_bytes", lambda path: 999)
    with pytest.raises(TaskError, match=r"has 999 bytes free, but the image needs 1.0 kB \(1000 bytes\)") as caught:
        store.check(NAME, Content(1000))
    assert (caught.value.details["free_bytes"], caught.value.details["needed_bytes"]) == (999, 1000)


def test_a_disk_that_becomes_full(store, share, image, monkeypatch):
    """Nothing half-made stays where others may need the room; the numbers are those without it."""
    monkeypatch.setattr(file, "free_bytes", lambda path: 999 if not list(share.iterdir()) else 0)
    monkeypatch.setattr("os.write", failing(errno.ENOSPC))
    numbers = rf"No space left on device.* it has 999 bytes free, but the image needs .*{image.size}"
    with Body(image.path) as body, pytest.raises(TaskError, match=numbers) as caught:
        store.send(NAME, body)
    assert (caught.value.details["free_bytes"], caught.value.details["needed_bytes"]) == (999, image.size)
    assert list(share.iterdir()) == []


def test_a_share_that_goes_away_for_a_while(store, share, image, monkeypatch):
    write = os.write
    written = []

    def break_off(descriptor, data):
        if len(written) == 2:
            monkeypatch.setattr("os.write", write)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        written.append(write(descriptor, data))
        return written[-1]

    monkeypatch.setattr("os.write", break_off)
    with Body(image.path, image.sha256) as body:
        with pytest.raises(RetryLater, match="Cannot write to"):
            store.send(NAME, body)
        after = store.resumable(NAME, body)
        assert after.size == sum(written) > 0
        sent = store.send(NAME, body, after=after)
        assert (sent.resumed_from, sent.proven) == (after.size, True)
        assert body.sent == image.size + BLOCK  # the block that could not be written was read twice
        store.publish(NAME, sent, overwrite=False)
    assert (share / NAME).read_bytes() == image.data
    assert visible(share) == [NAME]


def test_a_folder_that_may_not_be_written(store, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(TaskError, match="This user does not have write permission for"):
        store.check(NAME, Content(1))


def test_a_folder_that_may_not_be_written_after_all(store, monkeypatch):
    """What the permissions say is not all that a share has to say."""
    monkeypatch.setattr("os.rename", failing(errno.EACCES))
    with pytest.raises(TaskError, match="This user does not have write permission for"):
        store.check(NAME, Content(1))


def test_a_folder_in_the_place_of_the_image(store, share):
    (share / NAME).mkdir()
    with pytest.raises(TaskError, match="is a folder"):
        store.check(NAME, Content(1))


def test_a_share_that_is_not_mounted(store, share):
    share.rmdir()
    with pytest.raises(TaskError, match=r"does not exist. Mount the share"):
        store.check(NAME, Content(1))
    with pytest.raises(TaskError, match=r"does not exist. Mount the share"):
        store.write("x", b"1")
    with pytest.raises(TaskError, match=r"does not exist. Mount the share"):
        store.list()


UNSUPPORTED = [errno.ENOTSUP, errno.EINVAL, errno.ENOSYS]


@pytest.mark.parametrize(
    ("function", "number"),
    [
        *(("os.fsync", number) for number in UNSUPPORTED),
        *(("os.fchmod", number) for number in (*UNSUPPORTED, errno.EPERM, errno.EACCES)),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_share_that_cannot_flush_or_set_a_mode(store, share, image, monkeypatch, function, number, overwrite):
    monkeypatch.setattr(function, failing(number))
    store.check(NAME, Content(image.size))
    if overwrite:
        (share / NAME).write_bytes(b"published")
    with Body(image.path) as body:
        store.publish(NAME, store.send(NAME, body), overwrite)
    store.write("catalog.json", b"1", if_absent=True)
    assert (share / NAME).read_bytes() == image.data
    assert visible(share) == [NAME, "catalog.json"]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(errno.EIO, RetryLater, "Cannot write to"), (errno.ENOSPC, TaskError, "accepted no more bytes")],
)
def test_a_disk_that_fails_to_flush_has_not_got_the_image(store, share, image, monkeypatch, number, kind, words):
    monkeypatch.setattr("os.fsync", failing(number))
    with Body(image.path) as body, pytest.raises(kind, match=words):
        store.send(NAME, body)
    with pytest.raises(Exception, match=r"Cannot write to|is full"):
        store.write("catalog.json", b"1")
    assert not (share / NAME).exists()
    assert not (share / "catalog.json").exists()


def reporting(monkeypatch, **fields):
    """Let the file system report its space in another way."""
    real = os.statvfs

    def statvfs(path):
        found = real(path)
        names = [name for name in dir(found) if name.startswith("f_")]
        return SimpleNamespace(**{**{name: getattr(found, name) for name in names}, **fields})

    monkeypatch.setattr("os.statvfs", statvfs)


@pytest.mark.parametrize("fields", [{"f_bavail": 0}, {"f_bavail": 0, "f_bfree": 0, "f_blocks": 0}, {"f_blocks": 0}])
def test_a_share_that_does_not_know_its_space_is_not_full(store, share, image, monkeypatch, fields):
    reporting(monkeypatch, **fields)
    store.check(NAME, Content(image.size))
    monkeypatch.setattr("os.write", failing(errno.ENOSPC))
    with Body(image.path) as body, pytest.raises(TaskError, match="it does not report its free space, but the image"):
        store.send(NAME, body)
    assert visible(share) == []


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_a_share_that_cannot_be_asked_for_its_space(store, monkeypatch, number):
    monkeypatch.setattr("os.statvfs", failing(number))
    store.check(NAME, Content(1000))


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


class TestWhatAKilledRunHasLeft:
    """It is gone on with when it is a part of the same bytes; other parts of dead runs on this machine are removed."""

    @pytest.fixture
    def dead(self, monkeypatch):
        """Return a function that makes names as a process does that is no more."""

        def name(*args):
            with monkeypatch.context() as patch:
                patch.setattr("os.getpid", lambda: 2**22 + 7)  # above the largest process number
                return part_name(*args)

        return name

    @pytest.fixture
    def body(self, image):
        with Body(image.path, image.sha256) as opened:
            yield opened

    def test_what_is_of_no_use_is_removed(self, store, share, dead, body):
        useless = [dead(NAME, Content(1, ("0" * 16,))), dead(NAME), dead("catalog.json")]
        others = [
            part_name(NAME, body.content),
            f".{NAME}.{'0' * 16}-00000000-1-00000000.part",
            dead("c.pvmp", body.content),
            ".hidden",
        ]
        for name in (*useless, *others):
            (share / name).write_bytes(b"x")
        notices = []
        store.check(NAME, body.content, notice=notices.append)
        assert visible(share) == sorted(others)
        assert sorted(notices) == sorted(f"Removed {share / name}, which a killed run left behind." for name in useless)

    def test_nothing_is_removed_in_check_mode(self, store, share, dead):
        (share / dead(NAME)).touch()
        store.check(NAME, Content(1), write=False)
        assert len(visible(share)) == 1

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize(
        ("left", "same"),
        [
            (lambda data: data[: 2 * BLOCK + 5], 2 * BLOCK + 5),
            (lambda data: data[:BLOCK] + bytes(BLOCK), BLOCK),  # as after a power cut
            (lambda data: data[:-1] + bytes([data[-1] ^ 1]), 3 * BLOCK),
            (lambda data: data, None),
        ],
        ids=["start", "zeros", "last byte", "whole"],
    )
    def test_the_largest_is_gone_on_with(self, store, share, image, dead, left, same, known):
        with Body(image.path, image.sha256 if known else None) as body:
            (share / dead(NAME, body.content)).write_bytes(left(image.data))
            (share / dead(NAME, body.content)).write_bytes(b"less")
            store.check(NAME, body.content)
            after = store.resumable(NAME, body)
            assert visible(share) == [after.name]
            assert f"-{os.getpid():x}-" in after.name  # ours now, so that no other run takes it
            sent = store.send(NAME, body, after=after)
            assert sent.resumed_from == (image.size if same is None else same)
            assert body.sent == image.size - sent.resumed_from
            store.publish(NAME, sent, overwrite=False)
        assert (share / NAME).read_bytes() == image.data
        assert visible(share) == [NAME]

    def test_a_second_name_of_what_is_published_is_not_written_to(self, store, share, image, dead, body):
        """It is left when a run is killed between giving the final name and taking away the other one."""
        (share / NAME).write_bytes(b"published")
        os.link(share / NAME, share / dead(NAME, body.content))
        store.check(NAME, body.content)
        assert store.resumable(NAME, body) is None
        assert visible(share) == [NAME]

    def test_it_counts_as_room(self, store, share, image, dead, body, monkeypatch):
        monkeypatch.setattr(file, "free_bytes", lambda path: image.size - BLOCK)
        (share / dead(NAME, body.content)).write_bytes(image.data[:BLOCK])
        store.check(NAME, body.content)
        monkeypatch.setattr(file, "free_bytes", lambda path: image.size - BLOCK - 1)
        with pytest.raises(TaskError, match=f"but the image needs .*{image.size - BLOCK} bytes"):
            store.check(NAME, body.content)

    def test_another_run_may_be_faster(self, store, share, image, dead, body):
        left = share / dead(NAME, body.content)
        left.write_bytes(image.data[:BLOCK])
        store.check(NAME, body.content)
        left.unlink()
        assert store.resumable(NAME, body) is None

    def test_a_file_that_turns_out_to_be_another_one_leaves_nothing(self, store, share, image, dead):
        with Body(image.path, "0" * 64) as body:
            (share / dead(NAME, body.content)).write_bytes(image.data[:BLOCK])
            store.check(NAME, body.content)
            with pytest.raises(TaskError, match="is not the expected file"):
                store.send(NAME, body, after=store.resumable(NAME, body))
        assert visible(share) == []


def test_a_part_that_cannot_be_removed_does_not_hide_that_it_is_published(store, share, image, monkeypatch):
    with Body(image.path, image.sha256) as body:
        store.check(NAME, body.content)
        sent = store.send(NAME, body)
        with monkeypatch.context() as patch:
            patch.setattr("os.unlink", failing(errno.EPERM))
            store.publish(NAME, sent, overwrite=False)
    assert (share / NAME).read_bytes() == image.data


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


# A folder that is not there: nothing is known of its files

OPERATIONS = {
    "look": lambda store: store.look("catalog.json"),
    "read": lambda store: store.read("catalog.json"),
    "list": lambda store: store.list(),
    "delete": lambda store: store.delete("catalog.json"),
    "first write": lambda store: store.write("catalog.json", b"{}", if_absent=True),
    "write": lambda store: store.write("catalog.json", b"{}"),
    "check": lambda store: store.check(NAME, Content(1)),
    "check mode": lambda store: store.check(NAME, Content(1), write=False),
    "blocks": lambda store: list(store.blocks(NAME)),
    "can_list": lambda store: store.can_list(),
    "catalog": lambda store: CatalogFile(store, Retries(0)).read(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("folder", ["missing", "missing/too", "a file", "dangling"])
def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path, folder, operation):
    (tmp_path / "a file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    store = FileStore(f"file://{tmp_path}/{folder}", StoreOptions())
    with pytest.raises(TaskError, match=r"does not exist\. Mount the share, create the folder"):
        OPERATIONS[operation](store)
    assert {path.name for path in tmp_path.iterdir()} == {"a file", "dangling"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_volume_that_is_unmounted_during_the_run(share, store, monkeypatch, operation):
    """What is there then is the folder on which it was mounted, which is empty."""
    mounted = {str(share)}
    monkeypatch.setattr("os.path.ismount", lambda path: path in mounted or path == "/")
    assert store.look(NAME) is None
    mounted.clear()
    with pytest.raises(TaskError, match=r"The volume of .* is not mounted: .*My Share is an ordinary folder now"):
        OPERATIONS[operation](store)
    assert list(share.iterdir()) == []
    mounted.add(str(share))
    assert store.list() == []


@pytest.mark.parametrize("below", ["", "/golden/images"])
def test_a_folder_that_an_unmounted_volume_left(tmp_path, monkeypatch, below):
    """A program that writes to /Volumes/NAME after the volume was ejected makes a folder on the startup disk."""
    monkeypatch.setattr(file, "_VOLUMES", str(tmp_path))
    (tmp_path / f"Images{below}").mkdir(parents=True)
    store = FileStore(f"file://{tmp_path}/Images{below}", StoreOptions())
    with pytest.raises(TaskError, match=r"The volume of .* is not mounted") as caught:
        store.read("catalog.json")
    assert f"{tmp_path}/Images is an ordinary folder" in caught.value.message


def test_the_startup_disk_among_the_volumes(tmp_path, monkeypatch):
    """macOS has a link to it there."""
    (tmp_path / "Volumes").mkdir()
    (tmp_path / "Users").mkdir()
    (tmp_path / "Volumes/Macintosh HD").symlink_to(tmp_path)
    monkeypatch.setattr(file, "_VOLUMES", str(tmp_path / "Volumes"))
    assert FileStore(f"file://{tmp_path}/Volumes/Macintosh%20HD/Users", StoreOptions()).list() == []


def test_a_folder_that_may_not_be_listed(store, monkeypatch):
    monkeypatch.setattr("os.scandir", failing(errno.EACCES))
    with pytest.raises(CannotList, match="This user does not have read permission"):
        store.list()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.EHOSTDOWN])
def test_a_share_that_does_not_answer_is_not_a_store_without_a_list(store, monkeypatch, number):
    monkeypatch.setattr("os.scandir", failing(number))
    with pytest.raises(RetryLater):
        store.can_list()


def test_waiting_writers_do_not_stay_in_step(share, store, waits, monkeypatch):
    """Each waits a bit longer by chance, so that not all of them look at the same moments."""
    monkeypatch.setattr(retry, "_chance", random.Random(1).random)
    held = FileStore(f"file://{share}", StoreOptions())
    with held._locked("catalog.json"), pytest.raises(RetryLater, match="holds the lock"):
        store.write("catalog.json", b"1", if_absent=True)
    assert len(set(waits)) > len(waits) / 2
    assert all(file._LOCK_POLL <= each <= file._LOCK_POLL * 1.25 for each in waits)


class TestOtherUsers:
    """Images of other publishers belong into a store. Their temporary files are theirs."""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_what_another_publisher_has_published_is_read(self, store, share):
        (share / NAME).write_bytes(b"image")
        os.chown(share / NAME, 12345, 12345)
        assert store.look(NAME).size == 5
        assert b"".join(store.blocks(NAME)) == b"image"
        assert [stored.name for stored in store.list()] == [NAME]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("squashes", [True, False])
    def test_a_share_that_gives_all_files_to_one_user(self, store, share, image, monkeypatch, squashes):
        """As NFS does with those of root: then what that user owns is ours."""
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: 2**22 + 7)
            left = part_name(NAME, Content(image.size, ("0" * 16,)))
        (share / left).write_bytes(b"x")
        os.chown(share / left, 12345, 12345)
        create = file.create

        def squashed(*arguments):
            descriptor = create(*arguments)
            if squashes:
                os.fchown(descriptor, 12345, 12345)
            return descriptor

        monkeypatch.setattr(file, "create", squashed)
        notices = []
        with Body(image.path) as body:
            store.check(NAME, body.content, notice=notices.append)
        assert (share / left).exists() is not squashes
        assert len(notices) == squashes

    def test_where_the_lock_cannot_be_one_the_folder_is_locked(self, store, share, waits):
        os.mkfifo(share / ".x.lock")
        folder = os.open(share, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            with pytest.raises(RetryLater, match="Another process holds the lock"):
                store.write("x", b"1", if_absent=True)
        finally:
            os.close(folder)
        assert waits
        store.write("x", b"1", if_absent=True)
        assert store.read("x")[0] == b"1"
        assert visible(share) == [".x.lock", "x"]
