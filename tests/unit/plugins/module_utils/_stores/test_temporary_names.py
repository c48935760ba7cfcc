# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores that refuse or hide names with a leading dot, or do not serve endings that they do not know."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores import folder_lock
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    Conflict,
    Stored,
    StoreOptions,
    is_internal,
    left_parts,
    lock_name,
    part_name,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.file import FileStore
from ansible_collections.macops.parallels.plugins.module_utils._stores.https import served
from ansible_collections.macops.parallels.plugins.module_utils._stores.temporary_names import TemporaryNames
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.https_store import ANY, Fault
from ansible_collections.macops.parallels.tests.support.partial_put import PartialPutStore

DEAD = 2**22 + 7  # above the largest process number
READING = ("GET", "HEAD")
MIB = 1024 * 1024


def has_dot(request):
    return request.name.startswith(".") or request.destination.startswith(".")


def ends_unknown(request):
    """As IIS serves only files with a known ending."""
    return request.method in READING and not request.path.endswith((".pvmp", ".json", ".sha256", "/"))


# What a server answers to names with a leading dot.
RULES = {
    "403 for everything": {"where": has_dot, "status": 403},
    "404 for everything": {"where": has_dot, "status": 404},
    "400 for everything": {"where": has_dot, "status": 400},
    "404 for reading": {"where": lambda request: request.method in READING and has_dot(request), "status": 404},
    "403 for reading": {"where": lambda request: request.method in READING and has_dot(request), "status": 403},
    "405 for writing": {"where": lambda request: request.method not in READING and has_dot(request), "status": 405},
    "a page for reading": {
        "where": lambda request: request.method in READING and has_dot(request),
        "status": 200,
        "body": b"<html>Welcome</html>",
    },
    "404 for unknown endings": {"where": ends_unknown, "status": 404},
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Do not wait for a server to show what it has."""
    monkeypatch.setattr(served, "_PAUSES", (0.0,))


@pytest.fixture(params=RULES, ids=str)
def rule(request):
    return Fault(ANY, times=9999, **RULES[request.param])


@pytest.fixture
def upload(image, connect, retries):
    def run(server, **changes):
        wanted = Wanted(**{"src": image.path, "name": image.name, "sha256": image.sha256, **changes})
        return Upload(connect(server), wanted, retries).run()

    return run


def names_in(server):
    return sorted(path.name for path in server.folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_image_is_published(webdav, image, upload, rule, pauses, overwrite):
    if overwrite:
        (webdav.folder / image.name).write_bytes(b"old")
    webdav.faults.append(rule)
    uploaded = upload(webdav, overwrite=overwrite)
    assert (uploaded.bytes_sent, pauses) == (image.size, [])
    assert (webdav.folder / image.name).read_bytes() == image.data
    assert names_in(webdav) == [image.name, f"{image.name}.sha256"]


def test_a_small_file_is_written_and_read(webdav, connect, rule):
    """Also by a run that has checked nothing before; a reader is not told that somebody writes."""
    webdav.faults.append(rule)
    assert connect(webdav).read("catalog.json") is None
    connect(webdav).write("catalog.json", b"1", if_absent=True)
    data, version = connect(webdav).read("catalog.json")
    connect(webdav).write("catalog.json", data + b"2", if_version=version)
    with pytest.raises(Conflict):
        connect(webdav).write("catalog.json", b"3", if_version=version)
    assert connect(webdav).read("catalog.json")[0] == b"12"
    assert names_in(webdav) == ["catalog.json"]


def test_the_store_can_be_used(webdav, connect, rule):
    webdav.faults.append(rule)
    found = connect(webdav).abilities("catalog.json")
    assert (found.kind, found.writable, found.list, found.conditional_writes) == ("webdav", True, True, True)
    assert names_in(webdav) == []


@pytest.mark.parametrize("rule", ["403 for everything", "404 for reading"], indirect=True)
def test_all_writers_use_the_same_lock(webdav, connect, rule, monkeypatch):
    monkeypatch.setattr(folder_lock, "_WAIT", 0.5)
    webdav.faults.append(rule)
    (webdav.folder / "catalog.json.lock.part").mkdir()
    with pytest.raises(RetryLater, match=r"the lock folder .*/catalog\.json\.lock\.part/? exists"):
        connect(webdav).write("catalog.json", b"1", if_absent=True)
    assert names_in(webdav) == ["catalog.json.lock.part"]


def is_read(request):
    """As IIS answers for images until .pvmp has a MIME type."""
    return request.method in READING and request.name.endswith(".pvmp")


def test_an_ending_that_is_not_served_is_found_before_the_image_is_sent(webdav, image, upload):
    webdav.faults.append(Fault(ANY, status=404, times=9999, where=is_read))
    with pytest.raises(TaskError, match=r"does not serve them: it answered 404.*MIME type application/octet-stream"):
        upload(webdav)
    assert sum(seen.body for seen in webdav.seen) < 1000
    assert names_in(webdav) == []


@pytest.mark.parametrize("kind", ["webdav", "plain"])
def test_the_check_of_a_store_finds_that_images_are_not_served(request, connect, kind):
    server = request.getfixturevalue(kind)
    server.faults.append(Fault(ANY, status=404, times=99, where=is_read))
    with pytest.raises(TaskError, match=r"stores files whose names end in \.pvmp, but does not serve them"):
        connect(server).abilities("catalog.json")
    assert names_in(server) == []


def test_a_plain_server_with_the_same_rule(plain, image, upload, connect, rule):
    plain.faults.append(rule)
    assert connect(plain).abilities("catalog.json").writable is True
    upload(plain)
    assert (plain.folder / image.name).read_bytes() == image.data
    assert names_in(plain) == [image.name, f"{image.name}.sha256"]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_that_refuses_all_names_is_told_as_it_is(webdav, upload, status):
    webdav.faults.append(Fault("PUT", status=status, times=99))
    with pytest.raises(TaskError, match=str(status)):
        upload(webdav)
    assert names_in(webdav) == []


def test_wrong_credentials_are_not_tried_twice(webdav, upload):
    webdav.faults.append(Fault("PUT", status=401, times=99))
    with pytest.raises(TaskError, match="401"):
        upload(webdav)
    assert len([seen for seen in webdav.seen if seen.method == "PUT"]) == 1


def test_a_killed_upload_goes_on_under_the_other_name(tmp_path, image, connect, retries, monkeypatch):
    """The part that it left is found, taken over, and resumed."""
    with PartialPutStore(tmp_path / "root") as running:
        server = running.use("images")
        server.faults.append(Fault(ANY, status=403, times=9999, where=has_dot))
        with monkeypatch.context() as patch, Body(image.path, image.sha256) as body:
            patch.setattr("os.getpid", lambda: DEAD)
            left = server.folder / part_name(image.name, body.content, hidden=False)
        left.write_bytes(image.data[:MIB])
        run = Upload(connect(server, part_size=MIB), Wanted(image.path, image.name, image.sha256), retries)
        assert run.run().resumed_from == MIB
        assert names_in(server) == [image.name, f"{image.name}.sha256"]
        assert (server.folder / image.name).read_bytes() == image.data


@pytest.mark.parametrize("name", ["Windows 11.pvmp", "a.b.c.pvmp", "image", "catalog.json", "x.part", "x.pvmp.sha256"])
@pytest.mark.parametrize("hidden", [True, False])
def test_both_forms_are_known_as_leftovers(monkeypatch, name, hidden):
    content = Content(9, ("0123456789abcdef",))
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: DEAD)
        part, small = part_name(name, content, hidden), part_name(name, None, hidden)
    assert (part.startswith("."), small.startswith(".")) == (hidden, hidden)
    best, useless = left_parts([Stored(part, 5), Stored(small, 2), Stored(name, 3)], name, content)
    assert (best.name, best.size, useless) == (part, 5, [small])
    other, useless = left_parts([Stored(part, 5)], "other.pvmp", content)
    assert (other, useless) == (None, [])
    assert all(is_internal(each) for each in (part, small, lock_name(name, hidden)))
    assert not is_internal(name)


def test_a_plain_name_has_the_ending_of_the_file():
    assert part_name("Windows 11.pvmp", hidden=False).endswith(".part.pvmp")
    assert part_name("image", hidden=False).endswith(".part")


class TestShares:
    """Folders, such as those of Samba with veto files."""

    @pytest.fixture
    def share(self, tmp_path):
        path = tmp_path / "share"
        path.mkdir()
        return path

    @pytest.fixture
    def veto(self, monkeypatch):
        """Return a function that refuses names with a leading dot in the calls of the system."""

        def refuse(number, functions=("open", "rename")):
            for function in functions:
                real = getattr(os, function)

                def call(*args, real=real, **more):
                    if any(isinstance(arg, str) and os.path.basename(arg).startswith(".") for arg in args):
                        raise OSError(number, os.strerror(number))
                    return real(*args, **more)

                monkeypatch.setattr(f"os.{function}", call)

        return refuse

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL])
    @pytest.mark.parametrize("functions", [("open", "rename"), ("stat",)])
    def test_an_image_is_published(self, share, image, retries, veto, number, functions):
        veto(number, functions)
        store = FileStore(f"file://{share}", StoreOptions())
        Upload(store, Wanted(image.path, image.name, image.sha256), retries).run()
        store.write("catalog.json", b"1", if_absent=True)
        assert (share / image.name).read_bytes() == image.data
        assert sorted(path.name for path in share.iterdir()) == [image.name, f"{image.name}.sha256", "catalog.json"]

    def test_a_share_in_trouble_keeps_its_names(self, share, veto):
        veto(errno.EIO)
        store = FileStore(f"file://{share}", StoreOptions())
        with pytest.raises(RetryLater):
            store.check("x.pvmp", Content(1))
        assert store._names.hidden


def test_what_was_found_out_once_holds():
    names, tried = TemporaryNames(), []

    def attempt():
        tried.append(names.hidden)
        if names.hidden:
            raise TaskError("Refused.", status=403)

    names.find_out(attempt, lambda error: True)
    assert (names.hidden, names.known, tried) == (False, True, [True, False])
    assert not names.part("x.pvmp").startswith(".")
    assert names.lock("catalog.json") == "catalog.json.lock.part"
