# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing an image and its checksum file, broken at each step, for each way in which a store publishes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import line_for, parse_sidecar
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores import upload as upload_module
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Sent, Store, Stored, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.fake_artifactory import FakeArtifactory, FakeNexus

NAME = "win11-1.0-arm64.pvmp"
SIDECAR = NAME + ".sha256"
# Of the same size: then nothing but the checksum file tells them apart without reading them.
SIZE = 300_000
BLOCK = 100_000
OLD, NEW = b"o" * SIZE, b"n" * SIZE
NEW_DIGEST = hashlib.sha256(NEW).hexdigest()
OLD_DIGEST = hashlib.sha256(OLD).hexdigest()


class Killed(BaseException):
    """The process is no more."""


class MemoryStore(Store):
    """A store in memory that breaks at a step, before or after it, and checks after each step what readers see."""

    url = "memory://images"
    kind = "memory"

    def __init__(self, way: str) -> None:
        self.staged, self.atomic = way == "staged", way != "in place"
        self.files = {NAME: OLD, SIDECAR: pair_of(OLD)[SIDECAR]}
        self.steps: list[str] = []
        self.at: int | None = None
        self.after = False
        self.error: BaseException | None = None
        self.dead = False
        # Whether these credentials may remove files.
        self.may_delete = True

    def _step(self, what: str, do: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.steps.append(what)
        broken = len(self.steps) - 1 == self.at
        if broken and not self.after:
            self._break()
        done = do()
        self._assert_never_misleading()
        if broken:
            self._break()
        return done

    def _break(self) -> None:
        if self.error is None:
            return
        self.dead = isinstance(self.error, Killed)
        raise self.error

    def _assert_never_misleading(self) -> None:
        if SIDECAR in self.files and NAME in self.files:
            claimed = parse_sidecar(self.files[SIDECAR].decode(), NAME).sha256
            assert claimed in (None, hashlib.sha256(self.files[NAME]).hexdigest()), self.steps

    def check(self, name: str, *_unused: Any, **_more: Any) -> None:
        self._step("check", lambda: None)

    def look(self, name: str) -> Stored | None:
        return self._step("look", lambda: self._stored(name))

    def _stored(self, name: str) -> Stored | None:
        found = self.files.get(name)
        return None if found is None else Stored(name, len(found), version=hashlib.md5(found).hexdigest())

    def send(self, name: str, body: Body, overwrite: bool = False, after: Any = None) -> Sent:
        target = f".{name}.part" if self.staged else name
        body.rewind()
        sent = b""
        for block in iter(lambda: body.read(BLOCK), b""):
            sent += block
            shown = {} if self.atomic and not self.staged else {target: sent}
            self._step("send", lambda shown=shown: self.files.update(shown))
        if self.atomic and not self.staged:
            self._step("publish", lambda: self.files.update({target: sent}))
        return Sent(target, body.size)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        if self.staged:
            self._step("publish", lambda: self.files.update({name: self.files.pop(sent.name)}))

    def discard(self, sent: Sent) -> None:
        if self.staged:
            self._step("discard", lambda: self.files.pop(sent.name, None))

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        if name not in self.files:
            raise RetryLater("It is gone.")
        yield self.files[name][start:]

    def read(self, name: str, limit: int = 0) -> tuple[bytes, str] | None:
        return self._step("read", lambda: (self.files[name], "") if name in self.files else None)

    def write(self, name: str, data: bytes, *_unused: Any, **_more: Any) -> None:
        self._step("write", lambda: self.files.update({name: data}))

    def list(self) -> list[Stored]:
        return []

    def delete(self, name: str) -> bool:
        if not self.may_delete:
            raise TaskError("These credentials may not remove files.")
        return self._step("delete", lambda: self.files.pop(name, None) is not None)


def pair_of(data: bytes) -> dict[str, bytes]:
    """Return an image and its checksum file."""
    return {NAME: data, SIDECAR: line_for(hashlib.sha256(data).hexdigest(), NAME).encode()}


@pytest.fixture(autouse=True)
def fixture_no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "_SETTLE_PAUSES", (0.0,) * 5)


@pytest.fixture(name="source")
def fixture_source(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(NEW)
    return path


def replace(store: Store, source: Path, notice: Callable[[str], None] = lambda _sentence: None, **more: Any) -> None:
    Upload(store, Wanted(str(source), NAME, overwrite=True), Retries(0), notice=notice, **more).run()


WAYS = ["staged", "direct", "in place"]
ERRORS = {
    "refused": lambda: TaskError("Refused."),
    "transient": lambda: RetryLater("Try again."),
    "interrupted": lambda: Interrupted("It was canceled."),
    "killed": Killed,
}


def number_of_steps(way: str, source: Path) -> int:
    store = MemoryStore(way)
    replace(store, source)
    assert store.files == pair_of(NEW)
    return len(store.steps)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("way", WAYS)
def test_broken_at_each_step(way: str, error: str, after: bool, source: Path) -> None:
    steps = number_of_steps(way, source)
    assert steps > 8
    note = {SIDECAR: f"# {NAME} is being replaced.\n# macops.parallels: old sha256={OLD_DIGEST}\n".encode()}
    for step in range(steps):
        store = MemoryStore(way)
        store.at, store.after, store.error = step, after, ERRORS[error]()
        notices: list[str] = []
        with contextlib.suppress(TaskError, Interrupted, Killed):
            replace(store, source, notices.append)
        broken = store.steps[: step + 1]
        there = {name: data for name, data in store.files.items() if not name.startswith(".")}
        context = (broken, notices)
        if there.get(NAME) == OLD:
            noted = broken.count("write") and error == "killed"
            assert there == pair_of(OLD) or noted, context
            if noted:  # the one moment
                assert broken[-1] in ("write", "publish", "send") and broken.count("write") == 1, context
                assert there in (pair_of(OLD), {NAME: OLD, **note}), context
        elif there.get(NAME) == NEW:
            assert there in (pair_of(NEW), {NAME: NEW, **note}), context
        else:
            assert way == "in place", context
            assert {SIDECAR: there[SIDECAR]} == note, context
        # The next run ends it: one that wants no replacement any more puts the old pair back.
        store.at, store.dead = None, False
        if there.get(NAME) == OLD:
            with pytest.raises(TaskError, match="already exists with different content"):
                Upload(store, Wanted(str(source), NAME), Retries(0)).run()
            assert {name: store.files[name] for name in (NAME, SIDECAR)} == pair_of(OLD), context
        replace(store, source)
        assert store.files == pair_of(NEW), context


@pytest.mark.parametrize("way", ["staged", "direct"])
def test_the_old_pair_is_whole_until_all_is_sent(way: str, source: Path) -> None:
    store = MemoryStore(way)
    replace(store, source)
    # Where sending is publishing, it is removed before the last block.
    sent = store.steps[: store.steps.index("write")].count("send")
    assert sent == {"staged": SIZE // BLOCK, "direct": SIZE // BLOCK - 1}[way]
    assert store.steps.index("publish") - store.steps.index("write") <= 2


def test_a_publish_that_fails_puts_the_checksum_file_back(source: Path) -> None:
    store = MemoryStore("staged")
    failed: list[dict[str, bytes]] = []

    def fail(*_unused: Any) -> None:
        failed.append(dict(store.files))
        raise TaskError("Refused.")

    store.publish = fail  # type: ignore[method-assign]
    with pytest.raises(TaskError, match="Refused"):
        replace(store, source)
    assert parse_sidecar(failed[0][SIDECAR].decode(), NAME).sha256 is None
    assert {name: store.files[name] for name in (NAME, SIDECAR)} == pair_of(OLD)


def test_the_pair_of_another_writer_gets_no_old_checksum_file(source: Path) -> None:
    store = MemoryStore("staged")
    theirs = pair_of(b"t" * SIZE)

    def fail(*_unused: Any) -> None:
        store.files.update(theirs)
        raise TaskError("Refused.")

    store.publish = fail  # type: ignore[method-assign]
    with pytest.raises(TaskError, match="Refused"):
        replace(store, source)
    assert {name: store.files[name] for name in theirs} == theirs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sidecar", [True, False])
def test_credentials_that_may_not_remove(way: str, source: Path, sidecar: bool) -> None:
    """The checksum file then gets no checksum: the image must not be sent in vain, and nobody must be misled."""
    store = MemoryStore(way)
    store.may_delete = False
    Upload(store, Wanted(str(source), NAME, overwrite=True, sidecar=sidecar), Retries(0)).run()
    assert store.files[NAME] == NEW
    assert parse_sidecar(store.files[SIDECAR].decode(), NAME).sha256 == (NEW_DIGEST if sidecar else None)


@pytest.mark.parametrize("way", WAYS)
def test_credentials_that_may_not_replace_small_files(way: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(way)
    write = store.write

    def only_new(name: str, data: bytes, *unused: Any, **more: Any) -> None:
        if name in store.files:
            raise TaskError("These credentials may not replace files.")
        write(name, data, *unused, **more)

    monkeypatch.setattr(store, "write", only_new)
    replace(store, source)
    assert store.files == pair_of(NEW)


@pytest.mark.parametrize("way", WAYS)
def test_without_a_checksum_file_the_old_one_goes(way: str, source: Path) -> None:
    store = MemoryStore(way)
    Upload(store, Wanted(str(source), NAME, overwrite=True, sidecar=False), Retries(0)).run()
    assert store.files == {NAME: NEW}


def test_the_note_of_a_killed_run_is_not_believed_of_another_image(source: Path) -> None:
    store = MemoryStore("staged")
    store.files = {NAME: b"t" * SIZE, SIDECAR: f"# macops.parallels: old sha256={OLD_DIGEST}\n".encode()}
    there = dict(store.files)
    for check_mode in (True, False):
        with pytest.raises(TaskError, match="already exists with different content"):
            Upload(store, Wanted(str(source), NAME), Retries(0), check_mode=check_mode).run()
        assert store.files == there


def test_what_cannot_be_put_back_is_named(source: Path) -> None:
    store = MemoryStore("staged")

    def fail(*_unused: Any, **_more: Any) -> None:
        raise TaskError("Refused.")

    store.publish = store.write = fail  # type: ignore[method-assign]
    notices: list[str] = []
    with pytest.raises(TaskError, match="Refused"):
        replace(store, source, notices.append)
    assert f"The checksum file {SIDECAR} was replaced by a note before, and could not be put back. Run" in notices[0]


# Real stores


@pytest.fixture(name="connected", params=["webdav", "file", "artifactory", "nexus"])
def fixture_connected(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Callable[[], Any]]]:
    """Return a store with the old pair, and a function that returns what it has."""
    if request.param == "file":
        folder = tmp_path / "share"
        folder.mkdir()
        yield open_store(folder.as_uri(), StoreOptions()), lambda: in_folder(folder)
    elif request.param == "webdav":
        server = request.getfixturevalue("webdav")
        yield request.getfixturevalue("connect")(server), lambda: in_folder(server.folder)
    else:
        with {"artifactory": FakeArtifactory, "nexus": FakeNexus}[request.param]() as server:
            destination = f"{server.public_url}{server.context}images/golden"
            store = request.getfixturevalue("connect")(server, destination)
            yield store, lambda: server.published("images/golden")


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("size", [3 * 1024 * 1024 + 1])
def test_a_break_while_it_is_sent_leaves_the_old_pair(
    connected: tuple[Store, Callable[[], Any]], source: Path, size: int
) -> None:
    store, published = connected
    source.write_bytes(b"o" * size)
    replace(store, source)
    old = published()
    assert set(old) == {NAME, SIDECAR}
    source.write_bytes(b"n" * size)

    def end(done: int, _total: int | None) -> None:
        if 1024 * 1024 < done < size:
            raise Interrupted("It was canceled.")

    with pytest.raises(Interrupted):
        Upload(
            store,
            Wanted(str(source), NAME, overwrite=True, sha256=hashlib.sha256(b"n" * size).hexdigest()),
            Retries(0),
            report=end,
        ).run()
    assert {name: published()[name] for name in (NAME, SIDECAR)} == old
    replace(store, source)
    assert {name: published()[name] for name in (NAME, SIDECAR)} == {
        NAME: b"n" * size,
        SIDECAR: line_for(hashlib.sha256(b"n" * size).hexdigest(), NAME).encode(),
    }
