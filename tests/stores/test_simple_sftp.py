# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SFTP servers that can do less than OpenSSH, such as those in front of an object store."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Callable

import paramiko
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    Conflict,
    StoreOptions,
    part_name,
    replaced_name,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

from support.rclone import RcloneSftp
from support.sftp_server import SimpleSftp

MIB = 1024 * 1024
NAME = "Windows 11.pvmp"
DEAD = 2**22 + 7  # above the largest process number
# What the servers cannot do.
LACKS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "writes at an offset": {"in_order": True},
    "posix-rename": {"posix_rename": False},
    "posix-rename, but rename replaces": {"posix_rename": False, "rename_replaces": True},
    "modes": {"chmod": paramiko.SFTP_OP_UNSUPPORTED},
    "dots, denied": {"dots": paramiko.SFTP_PERMISSION_DENIED},
    "dots, missing": {"dots": paramiko.SFTP_NO_SUCH_FILE},
    "dots, failing": {"dots": paramiko.SFTP_FAILURE, "dots_when_reading": True},
    "everything": {
        "in_order": True,
        "posix_rename": False,
        "chmod": paramiko.SFTP_PERMISSION_DENIED,
        "dots": paramiko.SFTP_PERMISSION_DENIED,
    },
}


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[SimpleSftp]:
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    with SimpleSftp(root) as running:
        yield running


@pytest.fixture(params=LACKS, ids=str)
def lacking(request: pytest.FixtureRequest, server: SimpleSftp) -> SimpleSftp:
    for name, value in LACKS[request.param].items():
        setattr(server, name, value)
    return server


@pytest.fixture
def connect(server: SimpleSftp, tmp_path: pathlib.Path) -> Callable[[], Any]:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts)
    options = StoreOptions("me", "secret", timeout=10.0, known_hosts_path=str(known), part_size=MIB)
    return lambda: open_store(f"sftp://127.0.0.1:{server.port}/images", options)


@pytest.fixture
def image(tmp_path: pathlib.Path) -> Any:
    data = os.urandom(3 * MIB + 17)
    path = tmp_path / NAME
    path.write_bytes(data)
    return SimpleNamespace(path=str(path), data=data)


def files(server: SimpleSftp) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (server.root / "images").iterdir()}


def upload(store: Any, image: Any, **changes: Any) -> Any:
    notices: list[str] = []
    wanted = Wanted(image.path, NAME, **changes)
    told = Upload(store, wanted, Retries(1, sleep=lambda _seconds: None), notice=notices.append).run()
    return SimpleNamespace(told=told, notices=notices)


def test_everything_works_on_it(lacking: SimpleSftp, connect: Callable[[], Any], image: Any) -> None:
    found = connect().abilities("catalog.json")
    assert (found.writable, found.list, found.resume) == (True, True, not lacking.in_order)
    assert files(lacking) == {}
    assert connect().read("catalog.json") is None
    assert upload(connect(), image).told.bytes_sent == len(image.data)
    connect().write("catalog.json", b"1", if_absent=True)
    version = connect().read("catalog.json")[1]
    connect().write("catalog.json", b"12", if_version=version)
    with pytest.raises(Conflict):
        connect().write("catalog.json", b"3", if_version=version)
    other = pathlib.Path(image.path)
    other.write_bytes(b"other bytes")
    with pytest.raises(TaskError, match="already exists with different content"):
        upload(connect(), image)
    upload(connect(), image, overwrite=True)
    there = files(lacking)
    assert (there.pop(NAME), there.pop("catalog.json")) == (b"other bytes", b"12")
    assert list(there) == [f"{NAME}.sha256"]
    assert connect().delete("catalog.json") is True
    assert connect().delete("catalog.json") is False


def test_what_was_sent_in_vain_does_not_stay(server: SimpleSftp, connect: Callable[[], Any], image: Any) -> None:
    """A server that takes a file only in order cannot resume: parts of killed runs are removed, with a notice."""
    server.in_order = True
    with Body(image.path) as body, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: DEAD)
        left = server.root / "images" / part_name(NAME, body.content)
    left.write_bytes(image.data[:MIB])
    found = upload(connect(), image)
    assert (found.told.resumed_from, found.told.bytes_sent) == (0, len(image.data))
    assert ["which a killed run left behind" in notice for notice in found.notices] == [True]
    assert set(files(server)) == {NAME, f"{NAME}.sha256"}


def test_an_image_goes_through_one_handle(server: SimpleSftp, connect: Callable[[], Any], image: Any) -> None:
    server.in_order = True
    store = connect()
    with Body(image.path) as body:
        store.check(NAME, body.content)
        server.opened.clear()
        sent = store.send(NAME, body)
    assert server.opened == [f"{sent.name} write"]
    assert (sent.size, sent.resumed_from) == (len(image.data), 0)


class TestReplacing:
    """Without posix-rename, the old file has another name for a moment; wherever that ends, nothing is lost."""

    @pytest.fixture(params=[True, False])
    def old(self, request: pytest.FixtureRequest, server: SimpleSftp) -> pathlib.Path:
        """Return where the old catalog is, as after a run that was killed."""
        server.posix_rename = False
        if not request.param:
            server.dots = paramiko.SFTP_PERMISSION_DENIED
        return server.root / "images" / replaced_name("catalog.json", request.param)

    def test_a_failed_replacement_keeps_the_old_file(self, server: SimpleSftp, connect: Callable[[], Any]) -> None:
        server.posix_rename = False
        connect().write("catalog.json", b"old")
        store = connect()
        store._settle("catalog.json")
        server.broken_renames = {3}
        with pytest.raises(RetryLater):
            store.write("catalog.json", b"new")
        assert files(server) == {"catalog.json": b"old"}

    @pytest.mark.parametrize("posix", [True, False])
    def test_a_folder_is_never_moved(self, server: SimpleSftp, connect: Callable[[], Any], posix: bool) -> None:
        server.posix_rename = posix
        (server.root / "images" / "x.sha256").mkdir()
        with pytest.raises(TaskError, match="is a folder"):
            connect().write("x.sha256", b"new")
        assert [path.name for path in (server.root / "images").iterdir()] == ["x.sha256"]

    def test_what_a_killed_run_has_moved_is_read(
        self, server: SimpleSftp, connect: Callable[[], Any], old: pathlib.Path
    ) -> None:
        old.write_bytes(b"old")
        assert connect().list() == []
        data, version = connect().read("catalog.json")
        assert (data, connect().look("catalog.json").size) == (b"old", 3)
        with pytest.raises(Conflict):
            connect().write("catalog.json", b"new", if_absent=True)
        connect().write("catalog.json", b"new", if_version=version)
        assert files(server) == {"catalog.json": b"new"}

    def test_what_a_killed_run_has_moved_is_restored(
        self, server: SimpleSftp, connect: Callable[[], Any], old: pathlib.Path
    ) -> None:
        old.write_bytes(b"old")
        connect().abilities("catalog.json")
        assert files(server) == {"catalog.json": b"old"}

    def test_what_was_replaced_does_not_come_back(
        self, server: SimpleSftp, connect: Callable[[], Any], old: pathlib.Path
    ) -> None:
        old.write_bytes(b"old")
        (old.parent / "catalog.json").write_bytes(b"new")
        assert connect().read("catalog.json")[0] == b"new"
        connect().abilities("catalog.json")
        assert files(server) == {"catalog.json": b"new"}
        old.write_bytes(b"old")
        assert connect().delete("catalog.json") is True
        assert connect().read("catalog.json") is None

    def test_a_server_that_replaces_nothing_is_found_before_the_image(
        self, server: SimpleSftp, connect: Callable[[], Any], image: Any
    ) -> None:
        server.posix_rename = False
        store = connect()
        server.broken_renames = {3}
        with pytest.raises(TaskError, match=r"cannot replace a file in .*, which the catalog requires"):
            upload(store, image)
        assert files(server) == {}


@pytest.mark.parametrize("mode", ["off", "writes"])
def test_rclone(tmp_path: pathlib.Path, image: Any, mode: str) -> None:
    """C(off), the default, writes through to the store behind it: a file is taken in order, and only once."""
    with RcloneSftp(tmp_path / "root", mode) as running:
        store = open_store(running.destination, StoreOptions(timeout=10.0, **running.options))
        assert store.abilities("catalog.json").resume is (mode == "writes")
        upload(store, image)
        store.write("catalog.json", b"1", if_absent=True)
        store.write("catalog.json", b"12", if_version=store.read("catalog.json")[1])
        with contextlib.closing(open(running.folder / NAME, "rb")) as handle:
            assert handle.read() == image.data
        assert (running.folder / "catalog.json").read_bytes() == b"12"


@pytest.mark.parametrize("operation", ["look", "read", "delete", "list", "write"])
def test_a_folder_that_does_not_exist_is_not_an_empty_one(
    server: SimpleSftp, connect: Callable[[], Any], operation: str
) -> None:
    (server.root / "images").rmdir()
    arguments = {"list": (), "write": ("catalog.json", b"{}")}.get(operation, ("catalog.json",))
    with pytest.raises(TaskError, match=r"The folder sftp://.*/images does not exist\. Create it"):
        getattr(connect(), operation)(*arguments)
    assert list(server.root.iterdir()) == []


class _Wrapped:
    """An SFTP client whose listing shows other attributes than those of the files."""

    def __init__(self, client: Any, change: Callable[[Any], None], looks_change: bool) -> None:
        self._client, self._change, self._looks_change = client, change, looks_change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def listdir_attr(self, path: str) -> Any:
        found = self._client.listdir_attr(path)
        for each in found:
            self._change(each)
        return found

    def stat(self, path: str) -> Any:
        found = self._client.stat(path)
        if self._looks_change and path.endswith(".pvmp"):
            self._change(found)
        return found


@pytest.mark.parametrize("looks_change", [False, True])
@pytest.mark.parametrize("attribute", ["st_size", "st_mode"])
def test_what_a_listing_does_not_show_is_looked_up(
    server: SimpleSftp,
    connect: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    looks_change: bool,
) -> None:
    """Both are optional in the protocol: without them a file has neither no bytes nor is it something else."""
    (server.root / "images" / NAME).write_bytes(b"12345")
    (server.root / "images" / "folder").mkdir()
    store = connect()
    client = store._connection.open()
    wrapped = _Wrapped(client, lambda found: setattr(found, attribute, None), looks_change)
    monkeypatch.setattr(store._connection, "open", lambda: wrapped)
    if looks_change:
        with pytest.raises(TaskError, match="does not report the type and size of"):
            store.list()
    else:
        assert [(each.name, each.size) for each in store.list()] == [(NAME, 5)]


def test_a_link_to_an_image_is_in_the_list(server: SimpleSftp, connect: Callable[[], Any]) -> None:
    images = server.root / "images"
    (server.root / "elsewhere").write_bytes(b"12345")
    (images / NAME).symlink_to("../elsewhere")
    (images / "dangling.pvmp").symlink_to("../nothing")
    assert [(each.name, each.size) for each in connect().list()] == [(NAME, 5)]
