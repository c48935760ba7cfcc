# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload, with everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import (
    hash_file,
    parse_sidecar,
    write_sidecar,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores import upload as upload_module
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Stored, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.https_store import Fault
from ansible_collections.macops.parallels.tests.support.serving import sizes_in
from ansible_collections.macops.parallels.tests.support.waiting import wait_until

OTHER = b"other bytes"


@pytest.fixture(params=["webdav", "plain"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def upload(image, connect, retries):
    """Return a function that uploads the image."""

    def run(server, check_mode=False, credentials=None, **wanted):
        given = {"src": image.path, "name": image.name, "sha256": image.sha256, **wanted}
        return Upload(connect(server, **(credentials or {})), Wanted(**given), retries, check_mode).run()

    return run


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


def bodies(server):
    """Return the requests that sent an image, or a part of one."""
    return [seen for seen in server.requests("PUT") if seen.body > 1000]


def published(server, image):
    """Return whether the image and its checksum are there, and nothing else."""
    line = f"{image.sha256}  {image.name}\n"
    return (
        visible(server.folder) == [image.name, f"{image.name}.sha256"]
        and (server.folder / image.name).read_bytes() == image.data
        and (server.folder / f"{image.name}.sha256").read_text(encoding="utf-8") == line
    )


def test_it_publishes_once(server, image, upload):
    first = upload(server)
    assert first.changed
    assert published(server, image)
    assert (first.sha256, first.size, first.bytes_sent) == (image.sha256, image.size, image.size)
    assert first.url == server.url + "/B%C3%BCro%20Windows%2011-2026.11.0-arm64.pvmp"
    server.seen.clear()
    second = upload(server)
    assert not second.changed
    assert second.bytes_sent == 0
    assert {seen.method for seen in server.seen} == {"HEAD", "GET"}


def test_it_publishes_without_knowing_the_digest(server, image, upload):
    assert upload(server, sha256=None).sha256 == image.sha256
    assert published(server, image)


def test_the_record_beside_the_file_tells_the_digest(webdav, image, upload):
    write_sidecar(image.path, hash_file(image.path))
    assert upload(webdav, check_mode=True, sha256=None).sha256 == image.sha256


def test_without_a_sidecar(server, image, upload):
    assert upload(server, sidecar=False).changed
    assert visible(server.folder) == [image.name]
    assert not upload(server, sidecar=False).changed


def test_check_mode_writes_nothing(server, image, upload):
    told = upload(server, check_mode=True)
    assert told.changed
    assert told.bytes_sent == 0
    assert visible(server.folder) == []
    assert {seen.method for seen in server.seen} <= {"HEAD", "GET", "OPTIONS", "PROPFIND"}


def test_check_mode_knows_what_is_there(server, image, upload):
    upload(server)
    assert not upload(server, check_mode=True).changed
    (server.folder / image.name).write_bytes(OTHER)
    with pytest.raises(TaskError, match="already exists with different content"):
        upload(server, check_mode=True)


class TestWhatIsThere:
    """The same bytes are no change, other bytes an error."""

    def test_other_bytes(self, server, image, upload):
        (server.folder / image.name).write_bytes(OTHER)
        with pytest.raises(TaskError, match="already exists with different content") as caught:
            upload(server)
        assert caught.value.details["size"] == len(OTHER)
        assert (server.folder / image.name).read_bytes() == OTHER
        assert bodies(server) == []

    def test_other_bytes_of_the_same_size(self, server, image, upload):
        (server.folder / image.name).write_bytes(b"x" * image.size)
        with pytest.raises(TaskError, match="with different content"):
            upload(server)
        assert bodies(server) == []

    def test_other_bytes_are_overwritten_when_asked_for(self, server, image, upload):
        other = b"x" * image.size
        (server.folder / image.name).write_bytes(other)
        (server.folder / f"{image.name}.sha256").write_text(f"{hashlib.sha256(other).hexdigest()}  {image.name}\n")
        assert upload(server, overwrite=True).changed
        assert published(server, image)

    def test_an_old_checksum_never_vouches_for_new_bytes(self, webdav, image, upload):
        """Killed between image and checksum, the next run must not take the new image for the old one."""
        other = b"x" * image.size
        (webdav.folder / image.name).write_bytes(other)
        (webdav.folder / f"{image.name}.sha256").write_text(f"{hashlib.sha256(other).hexdigest()}  {image.name}\n")
        beside = []
        webdav.faults.append(
            Fault("MOVE", path=".part", do=lambda: beside.append((webdav.folder / f"{image.name}.sha256").read_text()))
        )
        webdav.faults[-1].times = 3
        upload(webdav, overwrite=True)
        assert [parse_sidecar(text, image.name).sha256 for text in beside] == [
            hashlib.sha256(other).hexdigest(),  # the probe
            hashlib.sha256(other).hexdigest(),  # the note that replaces the checksum file
            None,  # the publishing itself
        ]

    def test_the_same_bytes_without_a_checksum_are_read_back(self, server, image, upload):
        (server.folder / image.name).write_bytes(image.data)
        told = upload(server)
        assert (told.image_changed, told.sidecar_changed) == (False, True)
        assert published(server, image)
        assert bodies(server) == []

    def test_a_wrong_checksum_is_put_right(self, server, image, upload):
        (server.folder / image.name).write_bytes(image.data)
        (server.folder / f"{image.name}.sha256").write_text(f"{'0' * 64}  {image.name}\n")
        told = upload(server)
        assert (told.image_changed, told.sidecar_changed) == (False, True)
        assert published(server, image)

    def test_it_is_enough_to_know_the_file(self, server, image, upload):
        """Whatever the caller expects, the digest is computed when something of the same size is there."""
        (server.folder / image.name).write_bytes(image.data)
        assert upload(server, sha256=None, sidecar=False).sha256 == image.sha256


class TestBeforeTheBody:
    """What is wrong is found before the first byte of the image is sent."""

    def test_a_wrong_password(self, server, upload):
        with pytest.raises(TaskError, match=r"401.*user name or the password is wrong") as caught:
            upload(server, credentials={"password": "hush"})
        assert "hush" not in str(caught.value.result())
        assert server.requests("PUT") == []

    def test_no_password(self, server, upload):
        with pytest.raises(TaskError, match=r"401.*the server requires credentials"):
            upload(server, credentials={"username": None, "password": None})
        assert server.requests("PUT") == []

    def test_a_wrong_token(self, server, upload):
        with pytest.raises(TaskError, match=r"the token is not accepted|401"):
            upload(server, credentials={"username": None, "password": None, "token": "hush"})
        assert server.requests("PUT") == []

    @pytest.mark.parametrize(
        ("status", "sentence"),
        [
            (403, "forbidden in .* Ask the server's administrators for write permission"),
            (405, "does not allow the upload"),
            (409, "the folder .* does not exist. Create it"),
            (507, "the store is full"),
            (413, "larger than the server accepts"),
            (302, "correct destination"),
        ],
    )
    def test_a_refused_write(self, server, upload, status, sentence):
        server.faults.append(Fault("PUT", status=status, times=99))
        with pytest.raises(TaskError, match=sentence) as caught:
            upload(server)
        assert caught.value.details["status"] == status
        assert bodies(server) == []
        assert visible(server.folder) == []

    def test_a_forbidden_rename(self, webdav, upload):
        webdav.faults.append(Fault("MOVE", status=403, times=99))
        with pytest.raises(TaskError, match=r"the rename \(MOVE\) is forbidden"):
            upload(webdav)
        assert bodies(webdav) == []
        assert visible(webdav.folder) == []

    def test_a_forbidden_removal(self, webdav, upload):
        webdav.faults.append(Fault("DELETE", status=403, times=99))
        with pytest.raises(TaskError, match="the removal of a temporary file is forbidden"):
            upload(webdav)
        assert bodies(webdav) == []

    def test_a_file_that_is_known_to_be_another_one(self, server, image, upload):
        write_sidecar(image.path, hash_file(image.path))
        with pytest.raises(TaskError, match="Nothing was sent"):
            upload(server, sha256=hashlib.sha256(OTHER).hexdigest())
        assert bodies(server) == []

    def test_a_deploy_only_user_of_a_repository(self, plain, image, upload):
        """Who may not remove cannot tidy up after a probe either, so there is none, and the upload goes on."""
        plain.faults.append(Fault("DELETE", status=403, times=99))
        assert upload(plain).changed
        assert published(plain, image)
        assert len(plain.requests("PUT")) == 2

    def test_a_name_with_a_slash(self, server, upload):
        with pytest.raises(TaskError, match="is not a valid file name"):
            upload(server, name="a/b.pvmp")

    def test_an_empty_file(self, server, tmp_path, upload):
        empty = tmp_path / "empty.pvmp"
        empty.touch()
        with pytest.raises(TaskError, match="is empty"):
            upload(server, src=str(empty), sha256=None)
        assert server.seen == []


class TestWhatPasses:
    """It is tried again, after a look at the remote."""

    def test_busy_twice(self, server, image, upload, pauses):
        server.faults.append(Fault("PUT", status=503, times=2, big=True))
        upload(server)
        assert published(server, image)
        assert pauses == [2.0, 4.0]

    def test_busy_from_the_start(self, server, image, upload, pauses):
        server.faults.extend(
            [Fault("HEAD", status=502, times=2), Fault("OPTIONS", status=500), Fault("DELETE", status=429)]
        )
        upload(server)
        assert published(server, image)
        assert len(pauses) >= 3

    def test_the_server_says_how_long(self, server, image, upload, pauses):
        server.faults.append(Fault("PUT", status=429, big=True, headers={"Retry-After": "17"}))
        upload(server)
        assert published(server, image)
        assert pauses == [17.0]

    def test_busy_for_ever(self, server, upload, pauses):
        server.faults.append(Fault("PUT", status=503, times=99, big=True))
        with pytest.raises(TaskError, match=r"503.*It was tried 5 times"):
            upload(server)
        assert pauses == [2.0, 4.0, 8.0, 16.0]
        assert visible(server.folder) == []

    @pytest.mark.parametrize("after", [0, 1, 1024 * 1024, 3 * 1024 * 1024])
    def test_a_connection_that_breaks_in_the_body(self, server, image, upload, pauses, after):
        server.faults.append(Fault("PUT", cut_after=after, big=True))
        told = upload(server)
        assert published(server, image)
        assert pauses == [2.0]
        assert told.bytes_sent > image.size or after < 1024 * 1024

    def test_a_connection_that_always_breaks(self, server, upload, pauses):
        server.faults.append(Fault("PUT", cut_after=1024 * 1024, times=99, big=True))
        with pytest.raises(TaskError, match="It was tried 5 times"):
            upload(server)
        assert len(pauses) == 4
        assert visible(server.folder) == []

    def test_the_answer_to_the_body_is_lost(self, webdav, image, upload):
        """The temporary file of the attempt that nobody answered is not left behind."""
        webdav.faults.append(Fault("PUT", lose_answer=True, big=True))
        upload(webdav)
        assert published(webdav, image)

    def test_the_answer_to_the_body_is_lost_and_it_is_there(self, plain, image, upload):
        plain.faults.append(Fault("PUT", lose_answer=True, big=True))
        told = upload(plain)
        assert told.image_changed
        assert published(plain, image)
        assert len(bodies(plain)) == 1

    def test_the_answer_to_the_rename_is_lost(self, webdav, image, upload, pauses):
        webdav.faults.append(Fault("MOVE", lose_answer=True, big=False, path=".part"))
        webdav.faults.insert(0, Fault("MOVE", path=".part"))  # the probe's
        told = upload(webdav)
        assert told.image_changed
        assert told.bytes_sent == image.size
        assert published(webdav, image)
        assert len(bodies(webdav)) == 1
        assert pauses == [2.0]

    def test_a_rename_that_fails_once_is_repeated_alone(self, webdav, image, upload):
        webdav.faults.extend([Fault("MOVE", path=".part"), Fault("MOVE", status=503)])
        assert upload(webdav).bytes_sent == image.size
        assert published(webdav, image)
        assert len(bodies(webdav)) == 1

    def test_a_server_that_wants_the_path_alone(self, webdav, image, upload):
        """Behind a proxy that ends TLS, Apache takes https://... for the address of another server."""
        webdav.faults.append(Fault("MOVE", status=502))
        upload(webdav)
        assert published(webdav, image)
        destinations = [seen.headers["Destination"] for seen in webdav.requests("MOVE")]
        assert destinations[0].startswith("https://")
        assert all(destination.startswith(f"/{webdav.folder.name}/") for destination in destinations[1:])

    def test_a_server_that_forgets_bytes(self, webdav, image, upload, pauses):
        """A success is not believed: the size is looked at before the rename."""

        def forget():
            for part in webdav.folder.glob(".*.part"):
                os.truncate(part, 1000)

        webdav.faults.extend([Fault("HEAD", times=3), Fault("HEAD", do=forget)])
        upload(webdav)
        assert published(webdav, image)
        assert pauses == [2.0]


class TestOthers:
    """Somebody else is there at the same time."""

    def test_other_bytes_appear_meanwhile(self, webdav, image, upload):
        webdav.faults.extend([Fault("MOVE"), Fault("MOVE", do=lambda: (webdav.folder / image.name).write_bytes(OTHER))])
        with pytest.raises(TaskError, match="with different content"):
            upload(webdav)
        assert visible(webdav.folder) == [image.name]
        assert (webdav.folder / image.name).read_bytes() == OTHER

    def test_the_same_bytes_appear_meanwhile(self, webdav, image, upload):
        webdav.faults.extend(
            [Fault("MOVE"), Fault("MOVE", do=lambda: (webdav.folder / image.name).write_bytes(image.data))]
        )
        assert not upload(webdav).image_changed
        assert published(webdav, image)

    def test_a_part_of_another_machine_is_left_alone(self, webdav, image, upload):
        foreign = webdav.folder / f".{image.name}.00000000-1-00000000.part"
        foreign.write_bytes(b"still being sent")
        upload(webdav)
        assert foreign.exists()

    def test_it_vanishes_after_the_publishing(self, webdav, image, upload):
        webdav.faults.append(
            Fault("HEAD", path=".pvmp", times=3, do=lambda: (webdav.folder / image.name).unlink(missing_ok=True))
        )
        with pytest.raises(TaskError, match="was published, but the store now has nothing there"):
            upload(webdav)


class TestTheFile:
    """Wrong bytes never become a published file."""

    def test_a_wrong_digest(self, server, image, upload, pauses):
        with pytest.raises(TaskError, match="is not the expected file") as caught:
            upload(server, sha256=hashlib.sha256(OTHER).hexdigest())
        assert image.sha256 in caught.value.message
        assert visible(server.folder) == []
        assert pauses == []

    @pytest.mark.parametrize("known", [True, False])
    def test_a_file_that_changes(self, server, image, upload, monkeypatch, known):
        """The change is behind what was sent already: the first bytes are removed again where the server keeps them."""
        read = Body.read
        calls = []

        def read_and_change(body, size=-1):
            block = read(body, size)
            calls.append(len(block))
            if len(calls) == 2:
                with open(image.path, "r+b") as handle:
                    handle.seek(image.size - 10)
                    handle.write(b"0123456789")
            return block

        monkeypatch.setattr(Body, "read", read_and_change)
        with pytest.raises(TaskError, match="changed during the upload"):
            upload(server, sha256=image.sha256 if known else None)
        assert visible(server.folder) == []


class TestHalfSent:
    """Servers that show what they have received so far."""

    def test_half_of_our_file_is_replaced(self, plain, image, upload):
        (plain.folder / image.name).write_bytes(image.data[: image.size // 2])
        assert upload(plain).image_changed
        assert published(plain, image)

    def test_half_of_another_file_is_not(self, plain, image, upload):
        last = image.size // 2 - 1
        half = image.data[:last] + bytes([image.data[last] ^ 1])
        (plain.folder / image.name).write_bytes(half)
        with pytest.raises(TaskError, match="with different content"):
            upload(plain)
        assert (plain.folder / image.name).read_bytes() == half

    @pytest.mark.parametrize(
        ("sent", "looks", "removed"),
        [
            (1000, [500, 500], True),
            (1000, [None, 500, 500], True),
            (1000, [None] * 9, False),
            # Nothing was sent, or less than is there.
            (0, [500, 500], False),
            (400, [500, 500], False),
            # It grows: another run sends the same image.
            (1000, [500, 600, 700, 800, 900, 1000], False),
        ],
    )
    def test_only_what_can_come_from_this_run_is_removed(
        self, plain, image, connect, monkeypatch, sent, looks, removed
    ):
        monkeypatch.setattr(upload_module.time, "sleep", lambda _seconds: None)
        store = connect(plain, https_method="put")
        (plain.folder / image.name).write_bytes(image.data[:500])
        found = iter([size and Stored(image.name, size) for size in looks])
        monkeypatch.setattr(store, "look", lambda _name: next(found))
        with Body(image.path) as body:
            body.count(sent)
            Upload(store, Wanted(image.path, image.name), Retries(0))._remove_half_sent(body, None)
        assert (plain.folder / image.name).exists() is not removed

    def test_a_webdav_server_never_has_half_of_ours(self, webdav, image, upload):
        half = image.data[: image.size // 2]
        (webdav.folder / image.name).write_bytes(half)
        with pytest.raises(TaskError, match="with different content"):
            upload(webdav)
        assert (webdav.folder / image.name).read_bytes() == half


KILLED = textwrap.dedent(
    """
    import sys
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
    from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

    url, username, password, ca_path, src, name = sys.argv[1:]
    options = StoreOptions(username=username or None, password=password or None, ca_path=ca_path or None)
    Upload(open_store(url, options), Wanted(src, name, rate_limit=1000000), Retries(0)).run()
    """
)


@pytest.fixture
def kill_uploading(image):
    """Return a function that starts an upload in a process of its own and kills it while it sends."""

    def run(url, folder, username="", password="", ca_path=""):
        arguments = [sys.executable, "-c", KILLED, url, username, password, ca_path, image.path, image.name]
        search_path = os.pathsep.join(entry for entry in sys.path if entry)
        process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": search_path})

        def sends():
            assert process.poll() is None
            return any(size > 100_000 for size in sizes_in(folder).values())

        wait_until(sends)
        process.send_signal(signal.SIGKILL)
        process.wait()

    return run


def test_a_killed_upload_leaves_nothing_under_the_final_name(webdav, image, upload, kill_uploading):
    kill_uploading(webdav.url, webdav.folder, webdav.username, webdav.password, webdav.ca_path)
    left = visible(webdav.folder)
    assert len(left) == 1
    assert left[0].startswith(f".{image.name}.")
    upload(webdav)
    assert published(webdav, image)


def test_a_killed_copy_leaves_nothing_under_the_final_name(tmp_path, image, retries, kill_uploading):
    share = tmp_path / "share"
    share.mkdir()
    kill_uploading(f"file://{share}", share)
    assert visible(share)[0].startswith(f".{image.name}.")
    store = open_store(f"file://{share}", StoreOptions())
    told = Upload(store, Wanted(image.path, image.name), retries).run()
    assert visible(share) == [image.name, f"{image.name}.sha256"]
    assert (share / image.name).read_bytes() == image.data
    assert 0 < told.resumed_from == image.size - told.bytes_sent


def test_the_rate_limit_is_kept(webdav, image, connect):
    wanted = Wanted(image.path, image.name, rate_limit=6 * 1024 * 1024)
    assert Upload(connect(webdav), wanted, Retries(0)).run().seconds >= 0.4
