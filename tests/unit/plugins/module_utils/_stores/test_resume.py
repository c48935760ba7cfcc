# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads that go on from the bytes that a WebDAV server has, and those that cannot."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import part_name
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.https_store import Fault
from ansible_collections.macops.parallels.tests.support.partial_put import PartialPutStore

PART = 1024 * 1024
DEAD = 2**22 + 7  # above the largest process number


@pytest.fixture(scope="session")
def running_partial_put(tmp_path_factory):
    with PartialPutStore(tmp_path_factory.mktemp("partial")) as server:
        yield server


@pytest.fixture
def server(running_partial_put, tmp_path):
    """A server that goes on within a file, with a folder of its own for each test."""
    running_partial_put.in_place = True
    return running_partial_put.use(tmp_path.name)


@pytest.fixture
def notices():
    return []


@pytest.fixture
def upload(image, connect, retries, notices):
    """Return a function that uploads the image in parts of a MiB."""

    def run(server, report=None, tries=retries, **wanted):
        given = {"src": image.path, "name": image.name, "sha256": image.sha256, **wanted}
        more = {"report": report} if report else {}
        store = connect(server, part_size=PART)
        return Upload(store, Wanted(**given), tries, notice=notices.append, **more).run()

    return run


@pytest.fixture
def leave(server, image, monkeypatch):
    """Return a function that leaves a part as a run does that was killed."""

    def make(data, sha256=image.sha256, pid=DEAD):
        with monkeypatch.context() as patch, Body(image.path, sha256) as body:
            patch.setattr("os.getpid", lambda: pid)
            path = server.folder / part_name(image.name, body.content)
        path.write_bytes(data)
        return path

    return make


def visible(server):
    return sorted(path.name for path in server.folder.iterdir())


def published(server, image):
    """Return whether the image and its checksum are there, and nothing else."""
    return (
        visible(server) == [image.name, f"{image.name}.sha256"]
        and (server.folder / image.name).read_bytes() == image.data
    )


def sent_parts(server):
    """Return where each part of the image began."""
    bodies = [seen for seen in server.requests("PUT") if "Expect" in seen.headers]
    ranges = [seen.headers.get("Content-Range", "bytes 0-") for seen in bodies]
    return [int(each.split()[1].split("-")[0]) for each in ranges]


def test_a_big_file_is_sent_in_parts(server, image, upload):
    done = []
    told = upload(server, report=lambda *args: done.append(args))
    assert published(server, image)
    assert sent_parts(server) == [0, PART, 2 * PART, 3 * PART]
    assert (told.bytes_sent, told.resumed_from) == (image.size, 0)
    assert done == [(min(PART * number, image.size), image.size) for number in (1, 2, 3, 4)]
    assert len([seen for seen in server.requests("GET") if seen.path.endswith(".part")]) == 1  # the probe's


def test_a_small_file_is_sent_whole(server, image, connect, retries):
    store = connect(server)
    Upload(store, Wanted(image.path, image.name, image.sha256), retries).run()
    assert published(server, image)
    assert store.resumes is None  # nobody has asked
    assert not any("Content-Range" in seen.headers for seen in server.requests("PUT"))


@pytest.mark.parametrize("fault", [{"cut_after": 300_000}, {"lose_answer": True}, {"status": 503}])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_break_costs_less_than_a_part(server, image, upload, pauses, notices, fault, part):
    server.faults.extend([Fault("PUT", big=True) for _number in range(part)])
    server.faults.append(Fault("PUT", big=True, **fault))
    told = upload(server)
    assert published(server, image)
    assert pauses == [2.0]
    assert told.bytes_sent <= image.size + PART
    assert (told.resumed_from > 0) is (part > 0 or fault != {"status": 503})
    assert told.resumed_from in sent_parts(server) or fault == {"lose_answer": True}
    assert notices == []


def test_it_may_break_as_often_as_it_likes_while_it_gets_on(server, image, upload, pauses):
    """Six times in all, where four retries are allowed for one place."""
    for _part in range(3):
        server.faults.extend([Fault("PUT", big=True, cut_after=100_000, times=2), Fault("PUT", big=True)])
    upload(server, tries=Retries(3, pauses.append))
    assert published(server, image)
    assert len(pauses) == 6


def test_what_goes_on_is_read_back_before_it_is_published(server, image, upload, notices):
    """The server has lost some bytes in its middle. All is sent anew, and read back again: its word is not enough."""
    order = []

    def spoil():
        (part,) = server.folder.glob(".*.part")
        with part.open("r+b") as handle:
            handle.write(b"spoilt")

    server.faults.extend([Fault("PUT", big=True), Fault("PUT", big=True, cut_after=0, do=spoil)])
    server.faults.append(Fault("GET", path=".part", do=lambda: order.append("probe")))
    server.faults.append(Fault("GET", path=".part", times=9, do=lambda: order.append("read back")))
    told = upload(server)
    assert published(server, image)
    assert told.resumed_from == 0
    assert order == ["probe", "read back", "read back"]
    assert len(notices) == 1
    assert "are not those that were sent. They were removed, and the whole file is sent again." in notices[0]


def test_a_server_that_spoils_them_twice(server, image, upload, notices):
    def spoil():
        for part in server.folder.glob(".*.part"):
            with part.open("r+b") as handle:
                handle.write(b"spoilt")

    server.faults.extend([Fault("PUT", big=True), Fault("PUT", big=True, cut_after=0)])
    server.faults.extend([Fault("GET", path=".part"), Fault("GET", path=".part", times=9, do=spoil)])
    with pytest.raises(TaskError, match=r"are not those that were sent, for the second time\. Nothing was published"):
        upload(server)
    assert visible(server) == []


class TestServersThatDoNotGoOn:
    """They begin at the first byte; who asks is told so, once."""

    @pytest.fixture(params=["refuses", "takes the second half for the whole"])
    def server(self, request, tmp_path, running_partial_put):
        if request.param == "refuses":
            return request.getfixturevalue("webdav")
        running_partial_put.in_place = False
        return running_partial_put.use(tmp_path.name)

    def test_it_is_found_out_with_a_tiny_file(self, server, image, upload, notices):
        assert upload(server).bytes_sent == image.size
        assert published(server, image)
        assert sent_parts(server) == [0]
        assert notices == []

    def test_a_break_is_told_once(self, server, image, upload, notices):
        server.faults.append(Fault("PUT", big=True, cut_after=2 * PART, times=2))
        told = upload(server)
        assert published(server, image)
        assert (told.resumed_from, told.bytes_sent > 2 * image.size) == (0, True)
        assert len(notices) == 1
        assert "cannot resume uploads" in notices[0]

    def test_an_end_leaves_nothing(self, server, upload, monkeypatch):
        read = Body.read

        def read_and_end(body, size=-1):
            if body.sent > PART:
                raise Interrupted("Somebody wants it so.")
            return read(body, size)

        monkeypatch.setattr(Body, "read", read_and_end)
        with pytest.raises(Interrupted):
            upload(server)
        assert visible(server) == []

    def test_a_part_of_a_killed_run_is_removed(self, server, image, upload, notices, leave):
        left = leave(image.data[:PART])
        assert upload(server).bytes_sent == image.size
        assert published(server, image)
        assert len(notices) == 1
        assert notices[0].startswith("Removed https://")
        assert left.name.rpartition("-")[2] in notices[0]

    def test_a_whole_part_of_a_killed_run_is_published(self, server, image, upload, leave):
        leave(image.data)
        told = upload(server)
        assert published(server, image)
        assert (told.bytes_sent, told.resumed_from) == (0, image.size)


class TestAfterAKill:
    """The next run on the same host finds the part by what it is a part of, and makes it its own first."""

    def test_it_goes_on(self, server, image, upload, leave, notices):
        leave(image.data[: 2 * PART + 11])
        leave(image.data[:PART])
        told = upload(server)
        assert published(server, image)
        assert (told.resumed_from, told.bytes_sent) == (2 * PART + 11, image.size - 2 * PART - 11)
        assert sent_parts(server) == [2 * PART + 11, 3 * PART + 11]
        assert len(notices) == 1  # the smaller one

    def test_it_goes_on_without_knowing_the_digest(self, server, image, upload, leave):
        leave(image.data[:PART], sha256=None)
        assert upload(server, sha256=None).resumed_from == PART
        assert published(server, image)

    def test_wrong_bytes_are_found(self, server, image, upload, leave, notices):
        leave(b"?" * PART)
        told = upload(server)
        assert published(server, image)
        assert told.resumed_from == 0
        assert "are not those that were sent" in notices[0]

    def test_parts_of_other_bytes_are_removed(self, server, image, upload, leave, notices):
        leave(image.data[:PART], sha256="0" * 64)
        leave(image.data + b"more")
        assert upload(server).resumed_from == 0
        assert published(server, image)
        assert len(notices) == 2

    def test_the_part_of_a_run_that_lives_is_left_alone(self, server, image, upload, leave, notices):
        theirs = leave(image.data[:PART], pid=os.getppid())
        assert upload(server).resumed_from == 0
        assert theirs.exists()
        assert notices == []

    def test_another_run_may_be_faster(self, server, image, upload, leave):
        left = leave(image.data[:PART])
        server.faults.extend([Fault("MOVE"), Fault("MOVE", do=left.unlink)])  # the probe's, and then ours
        assert upload(server).resumed_from == 0
        assert published(server, image)

    def test_the_answer_to_making_it_ours_is_lost(self, server, image, upload, leave):
        leave(image.data[:PART])
        server.faults.extend([Fault("MOVE"), Fault("MOVE", lose_answer=True)])
        assert upload(server).resumed_from == PART
        assert published(server, image)


class TestWhatIsLeft:
    """What the next run can go on with stays, whatever has ended this one; what it cannot does not."""

    @pytest.fixture
    def end(self, server, upload, monkeypatch, notices):
        """Return a function that uploads as a process that is no more when the next run comes, until it ends."""

        def run(expected, match=None, **wanted):
            with monkeypatch.context() as patch:
                patch.setattr("os.getpid", lambda: DEAD)
                with pytest.raises(expected, match=match) as caught:
                    upload(server, **wanted)
            return SimpleNamespace(error=caught.value, left=[path.stat().st_size for path in server.folder.iterdir()])

        return run

    def test_no_more_tries(self, server, image, upload, end):
        server.faults.extend([Fault("PUT", big=True), Fault("PUT", big=True, status=503, times=9)])
        sentences = (
            r"It was tried 5 times\. The store keeps the bytes that arrived\. Run the same command again to resume\."
        )
        assert end(TaskError, match=sentences).left == [PART]
        server.faults.clear()
        assert upload(server).resumed_from == PART
        assert published(server, image)

    def test_credentials_that_expire(self, server, image, upload, end):
        server.faults.extend([Fault("PUT", big=True), Fault("PUT", big=True, status=401, times=9)])
        assert end(TaskError, match="401").left == [PART]
        server.faults.clear()
        assert upload(server).bytes_sent == image.size - PART

    def test_a_signal(self, server, image, upload, end, monkeypatch):
        read = Body.read

        def read_and_end(body, size=-1):
            if body.sent > PART:
                raise Interrupted("Somebody wants it so.")
            return read(body, size)

        with monkeypatch.context() as patch:
            patch.setattr(Body, "read", read_and_end)
            assert PART <= end(Interrupted).left[0] < image.size
        assert upload(server).resumed_from >= PART
        assert published(server, image)

    def test_a_rename_that_fails(self, server, image, upload, end):
        """All bytes are there: the next run reads them back and sends none."""
        server.faults.extend([Fault("MOVE"), Fault("MOVE", status=503, times=9)])
        assert end(TaskError, match="503").left == [image.size]
        server.faults.clear()
        assert upload(server).bytes_sent == 0
        assert published(server, image)

    def test_a_full_store(self, server, end):
        server.faults.extend([Fault("PUT", big=True), Fault("PUT", big=True, status=507)])
        ended = end(TaskError, match="the store is full")
        assert (ended.error.details["status"], ended.left) == (507, [])

    def test_a_part_that_is_too_large_for_the_server(self, server, end):
        server.faults.append(Fault("PUT", big=True, status=413, after_body=True))
        assert (
            end(TaskError, match=r"does not accept 1048576 bytes in one request\. Set a smaller part_size").left == []
        )

    def test_the_wrong_file(self, server, end):
        assert end(TaskError, match="is not the expected file", sha256="0" * 64).left == []

    def test_other_bytes_that_appear_meanwhile(self, server, image, end):
        other = server.folder / image.name
        server.faults.extend([Fault("MOVE"), Fault("MOVE", do=lambda: other.write_bytes(b"other"))])
        assert end(TaskError, match="already exists with different content").left == [len(b"other")]


@pytest.mark.parametrize("ranges", [True, False])
def test_reading_back_goes_on_after_a_break(server, image, connect, pauses, monkeypatch, ranges):
    """Also where the server sends the whole file again, whatever it was asked for."""
    (server.folder / image.name).write_bytes(image.data)
    store = connect(server)
    if not ranges:
        get = store._folder.get
        monkeypatch.setattr(
            store._folder, "get", lambda method, name, headers, largest: get(method, name, None, largest)
        )
    whole = store._folder.blocks
    broken = []

    def break_once(response):
        for block in whole(response):
            yield block
            if not broken:
                broken.append(len(block))
                raise RetryLater("It broke.")

    monkeypatch.setattr(store._folder, "blocks", break_once)
    done = []
    assert store.digest(image.name, Retries(1, pauses.append), lambda count, _total: done.append(count)) == (
        image.sha256,
        image.size,
    )
    assert (pauses, done[0], done[-1]) == ([2.0], broken[0], image.size)
