# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every store does, held against each: WebDAV (WsgiDAV), plain PUT, and a folder."""

from __future__ import annotations

import json
import threading

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

NAME = "Büro 1 (100%).pvmp"


@pytest.fixture(params=["webdav", "plain", "file"])
def kind(request):
    """Which store it is."""
    return request.param


@pytest.fixture
def folder(kind, request, tmp_path):
    """The folder of the store, seen from behind."""
    if kind == "file":
        path = tmp_path / "share"
        path.mkdir()
        return path
    return request.getfixturevalue(kind).folder


@pytest.fixture
def open_again(kind, folder, request, connect):
    """Return a function that opens the store, as another run would."""
    if kind == "file":
        return lambda: open_store(f"file://{folder}", StoreOptions())
    return lambda: connect(request.getfixturevalue(kind))


@pytest.fixture
def store(open_again):
    return open_again()


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there(store, folder):
    assert store.look(NAME) is None
    assert store.read(NAME) is None
    assert store.delete(NAME) is False
    assert visible(folder) == []


def test_a_file_is_sent_and_published(store, folder, image):
    store.check(NAME, Content(image.size))
    with Body(image.path, image.sha256) as body:
        sent = store.send(NAME, body)
        assert sent.size == image.size
        if store.atomic:
            assert not (folder / NAME).exists()
            assert sent.name.startswith(f".{NAME}.")
        store.publish(NAME, sent, overwrite=False)
    assert (folder / NAME).read_bytes() == image.data
    assert visible(folder) == [NAME]
    found = store.look(NAME)
    assert (found.name, found.size) == (NAME, image.size)
    assert store.digest(NAME, Retries(0)) == (image.sha256, image.size)


def test_nothing_is_left_when_it_is_discarded(store, folder, image):
    with Body(image.path) as body:
        sent = store.send(NAME, body)
    store.discard(sent)
    assert visible(folder) == ([] if store.atomic else [NAME])


def test_a_published_file_is_not_overwritten(store, folder, image):
    (folder / NAME).write_bytes(b"published")
    with Body(image.path) as body:
        if store.atomic:
            sent = store.send(NAME, body)
            with pytest.raises(Conflict):
                store.publish(NAME, sent, overwrite=False)
            store.discard(sent)
        else:
            with pytest.raises(Conflict):
                store.send(NAME, body, overwrite=False)
    assert (folder / NAME).read_bytes() == b"published"
    assert visible(folder) == [NAME]


def test_a_published_file_is_overwritten_when_asked_for(store, folder, image):
    (folder / NAME).write_bytes(b"published")
    with Body(image.path) as body:
        store.publish(NAME, store.send(NAME, body, overwrite=True), overwrite=True)
    assert (folder / NAME).read_bytes() == image.data


def test_checking_leaves_nothing_behind(store, folder):
    store.check(NAME, Content(1000))
    assert visible(folder) == []


def test_checking_without_writing_writes_nothing(kind, store, folder, request):
    store.check(NAME, Content(1000), write=False)
    assert visible(folder) == []
    if kind != "file":
        server = request.getfixturevalue(kind)
        assert {seen.method for seen in server.seen} <= {"OPTIONS", "PROPFIND", "HEAD", "GET"}


def test_a_missing_folder_is_found_before_a_body_is_sent(kind, folder, request, connect):
    if kind == "file":
        store = open_store(f"file://{folder}/missing", StoreOptions())
    else:
        server = request.getfixturevalue(kind)
        store = connect(server, f"{server.url}/missing")
    with pytest.raises(TaskError, match=r"the folder .*/missing does not exist|The folder .*/missing does not exist"):
        store.check(NAME, Content(1000))


def test_small_files_are_written_and_read(store, folder):
    store.write("catalog.json", b"[1]", "application/json")
    data, version = store.read("catalog.json")
    assert data == b"[1]"
    assert visible(folder) == ["catalog.json"]
    store.write("catalog.json", b"[2]", "application/json", if_version=version)
    assert store.read("catalog.json")[0] == b"[2]"
    with pytest.raises(Conflict):
        store.write("catalog.json", b"[3]", "application/json", if_version=version)
    with pytest.raises(Conflict):
        store.write("catalog.json", b"[3]", "application/json", if_absent=True)
    assert store.read("catalog.json")[0] == b"[2]"
    assert store.delete("catalog.json") is True
    with pytest.raises(Conflict):
        store.write("catalog.json", b"[3]", "application/json", if_version=version)
    store.write("catalog.json", b"[3]", "application/json", if_absent=True)
    assert visible(folder) == ["catalog.json"]


def test_a_small_file_has_a_limit(store, folder):
    (folder / "catalog.json").write_bytes(b"x" * 1001)
    assert len(store.read("catalog.json", limit=1001)[0]) == 1001
    with pytest.raises(TaskError, match="larger than 1000 bytes"):
        store.read("catalog.json", limit=1000)


def test_the_version_changes_with_the_bytes(store):
    """Also within one second and with the same size, where nginx's ETag stays the same."""
    versions = set()
    for data in (b"aaaa", b"bbbb", b"cccc"):
        store.write("x", data)
        versions.add(store.read("x")[1])
    assert len(versions) == 3


def test_the_list(kind, store, folder):
    (folder / NAME).write_bytes(b"12345")
    (folder / "a.sha256").write_bytes(b"1")
    (folder / ".hidden").write_bytes(b"1")
    (folder / "folder").mkdir()
    if kind == "plain":
        with pytest.raises(TaskError, match="cannot list"):
            store.list()
        return
    assert [(stored.name, stored.size) for stored in store.list()] == [(NAME, 5), ("a.sha256", 1)]


@pytest.mark.parametrize("kind", ["webdav", "file"], indirect=True)
def test_no_writer_overwrites_another(open_again, folder):
    """Each adds its numbers to a list, as runs add their records to the catalog."""
    rounds, writers = 20, 2
    failures = []

    def add(writer):
        store = open_again()
        for number in range(rounds):
            for _try in range(1000):
                found = store.read("list.json")
                known = json.loads(found[0]) if found else []
                data = json.dumps([*known, f"{writer}-{number}"]).encode()
                try:
                    store.write("list.json", data, if_version=found[1] if found else None, if_absent=found is None)
                    break
                except (Conflict, RetryLater):
                    continue
            else:
                failures.append((writer, number))

    threads = [threading.Thread(target=add, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    written = json.loads((folder / "list.json").read_text())
    assert sorted(written) == sorted(f"{writer}-{number}" for writer in range(writers) for number in range(rounds))
    assert visible(folder) == ["list.json"]


@pytest.mark.parametrize("kind", ["webdav", "plain"], indirect=True)
def test_a_file_that_is_gone_is_told_in_words(store, folder):
    (folder / NAME).write_bytes(b"x" * 1000)
    blocks = store.blocks(NAME)
    (folder / NAME).unlink()
    with pytest.raises(RetryLater, match="no longer exists"):
        next(blocks)
