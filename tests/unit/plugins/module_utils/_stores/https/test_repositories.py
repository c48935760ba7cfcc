# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifactory and Nexus, against the stand-ins of them. What all stores promise is in tests/stores."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.artifactory import (
    ArtifactoryWriter,
    _api_and_path,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.nexus import NexusWriter, _api_and_folder
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.plain_put import PlainPutWriter
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.fake_artifactory import FakeArtifactory, FakeNexus
from ansible_collections.macops.parallels.tests.support.gateway import Gateway
from ansible_collections.macops.parallels.tests.support.https_store import Fault
from ansible_collections.macops.parallels.tests.support.waiting import wait_until

OTHER = "other-folder"


@pytest.fixture
def artifactory():
    with FakeArtifactory() as server:
        yield server


@pytest.fixture
def nexus():
    with FakeNexus() as server:
        yield server


@pytest.fixture
def connected(connect):
    """Return a function that opens a folder of a repository."""

    def opened(server, folder="golden", **options):
        return connect(server, f"{server.public_url}{server.context}images/{folder}", **options)

    return opened


@pytest.fixture
def upload(connected, image, retries):
    """Return a function that uploads the image to a repository."""

    def uploading(server, folder="golden", report=lambda done, total: None, **changes):
        options = changes.pop("options", {})
        wanted = Wanted(**{"src": image.path, "name": image.name, "sha256": image.sha256, **changes})
        return Upload(connected(server, folder, **options), wanted, retries, report=report).run()

    return uploading


# Artifactory


def test_artifactory_is_known_by_its_answers(artifactory, connected):
    store = connected(artifactory)
    assert store.digest_first is True
    assert store.exclusive is False
    assert isinstance(store._writer, ArtifactoryWriter)


def test_artifactory_behind_a_proxy_that_hides_it(artifactory, connected, upload, image):
    artifactory.shows_headers = False
    assert not isinstance(connected(artifactory)._writer, ArtifactoryWriter)
    store = connected(artifactory, https_method="artifactory")
    assert isinstance(store._writer, ArtifactoryWriter)
    assert upload(artifactory, options={"https_method": "artifactory"}).changed


def test_bytes_that_artifactory_has_are_not_sent(artifactory, upload, image):
    assert upload(artifactory).bytes_sent == image.size
    again = upload(artifactory, OTHER)
    assert (again.changed, again.bytes_sent, again.sha256) == (True, 0, image.sha256)
    assert artifactory.published(f"images/{OTHER}")[image.name] == image.data


def test_without_a_digest_the_file_is_hashed_first(artifactory, upload, image):
    upload(artifactory)
    os.utime(image.path)  # what is known of the file's digest does not hold any more
    assert upload(artifactory, OTHER, sha256=None).bytes_sent == 0


def test_a_file_that_is_not_what_artifactory_has_is_refused(artifactory, upload, image, tmp_path):
    upload(artifactory)
    other = tmp_path / "other.pvmp"
    other.write_bytes(image.data[::-1])
    with pytest.raises(TaskError, match="is not the expected file"):
        upload(artifactory, OTHER, src=str(other))
    assert artifactory.published(f"images/{OTHER}") == {}


def test_artifactory_compares_the_digest(artifactory, upload, image, pauses, monkeypatch):
    _spoil_once(artifactory, monkeypatch)
    assert upload(artifactory).changed
    assert pauses == [2.0]
    assert artifactory.published("images/golden")[image.name] == image.data


def test_a_repository_that_trusts_what_it_gets(artifactory, upload, image, pauses, monkeypatch):
    artifactory.trusts_server = True
    _spoil_once(artifactory, monkeypatch)
    assert upload(artifactory).changed
    assert pauses == [2.0]
    assert artifactory.published("images/golden")[image.name] == image.data


def test_the_file_of_another_writer_is_not_removed(artifactory, upload, image, monkeypatch):
    """He publishes after our file has arrived, and before it is compared."""
    put, created, published, answers = artifactory._put, artifactory._created, [], []

    def put_and_lose(exchange, path):
        put(exchange, path)
        if path.endswith(image.name) and not published:
            published.append(path)
            other = artifactory.root / "theirs"
            other.write_bytes(b"theirs")
            with artifactory.lock:
                artifactory.files[path] = dataclasses.replace(
                    artifactory.files[path], path=other, size=6, sha256=hashlib.sha256(b"theirs").hexdigest()
                )

        created(*answers.pop())

    monkeypatch.setattr(artifactory, "_put", put_and_lose)
    monkeypatch.setattr(artifactory, "_created", lambda *answer: answers.append(answer))
    with pytest.raises(TaskError, match="already exists with different content"):
        upload(artifactory)
    assert artifactory.published("images/golden") == {image.name: b"theirs"}


def test_wrong_bytes_stay_if_the_answer_does_not_show_whose_they_are(artifactory, upload, image, monkeypatch):
    artifactory.trusts_server = True
    _spoil_once(artifactory, monkeypatch)
    monkeypatch.setattr(artifactory, "_created", lambda exchange, path, artifact: exchange.send(201))
    with pytest.raises(TaskError, match="already exists with different content"):
        upload(artifactory)
    assert list(artifactory.published("images/golden")) == [image.name]


@pytest.mark.parametrize("may_delete", [True, False])
def test_nothing_gets_the_name_before_the_local_file_is_compared(
    artifactory, upload, image, tmp_path, monkeypatch, may_delete
):
    upload(artifactory)
    artifactory.may_delete = may_delete
    other = tmp_path / "other.pvmp"
    other.write_bytes(image.data[::-1])
    seen = []
    put = artifactory._put
    monkeypatch.setattr(artifactory, "_put", lambda exchange, path: (seen.append(path), put(exchange, path)))
    with pytest.raises(TaskError, match="is not the expected file"):
        upload(artifactory, OTHER, src=str(other))
    assert not any(path.endswith(image.name) for path in seen)
    # Without permission to remove, the empty file stays by which the permission to write was checked.
    assert set(artifactory.published(f"images/{OTHER}").values()) <= ({b""} if not may_delete else set())


def test_bytes_that_artifactory_has_are_not_sent_even_if_nothing_may_be_removed(artifactory, upload, image):
    upload(artifactory)
    artifactory.may_delete = False
    assert upload(artifactory, OTHER).bytes_sent == 0
    found = artifactory.published(f"images/{OTHER}")
    assert found.pop(image.name) == image.data
    assert image.data not in found.values()


def _spoil_once(server, monkeypatch):
    """Have the first image arrive with other bytes than were sent."""
    receive, spoilt = server.receive, []

    def receive_spoilt(exchange):
        received = receive(exchange)
        if received.size < 1024 or spoilt:
            return received
        spoilt.append(received)
        return dataclasses.replace(received, sha256="0" * 64)

    monkeypatch.setattr(server, "receive", receive_spoilt)


def test_credentials_that_may_write_and_not_remove(artifactory, upload, image):
    artifactory.may_delete = False
    assert upload(artifactory).changed
    assert upload(artifactory).changed is False
    with pytest.raises(TaskError, match="permission Delete/Overwrite"):
        upload(artifactory, src=__file__, sha256=None, overwrite=True)
    assert artifactory.published("images/golden")[image.name] == image.data


def test_a_token_of_artifactory(artifactory, upload):
    options = {"username": None, "password": None, "token": artifactory.token}
    assert upload(artifactory, options=options).changed
    with pytest.raises(TaskError, match="the server rejected the token"):
        upload(artifactory, OTHER, options={**options, "token": "wrong"})


def test_a_file_that_is_too_large_for_artifactory(artifactory, upload, image):
    artifactory.largest = 1024
    with pytest.raises(TaskError, match=r"413.*larger than the server accepts"):
        upload(artifactory)


def test_rules_of_a_repository(artifactory, upload, monkeypatch):
    words = "The repository 'images' rejected the artifact due to its include/exclude patterns settings."
    monkeypatch.setattr(
        artifactory, "_put", lambda exchange, path: exchange.json(409, {"errors": [{"status": 409, "message": words}]})
    )
    with pytest.raises(TaskError, match="include and exclude patterns"):
        upload(artifactory)


@pytest.mark.parametrize("is_pro", [True, False])
def test_the_list_of_artifactory(artifactory, connected, upload, image, is_pro):
    artifactory.is_pro = is_pro
    assert connected(artifactory).list() == []
    upload(artifactory)
    connected(artifactory, "golden/deeper").write("x.txt", b"x")
    found = connected(artifactory).list()
    assert [(each.name, each.size) for each in found] == [
        (image.name, image.size),
        (f"{image.name}.sha256", len(artifactory.published("images/golden")[f"{image.name}.sha256"])),
    ]
    assert found[0].sha256 == image.sha256


@pytest.mark.parametrize(
    ("url", "base", "path"),
    [
        ("https://a.jfrog.io/artifactory/images/golden", "https://a.jfrog.io/artifactory", "images/golden"),
        ("https://repo.example.com/images", "https://repo.example.com", "images"),
        ("https://h:8443/tools/artifactory//images/a%20b", "https://h:8443/tools/artifactory", "images/a%20b"),
        ("https://h/images/artifactory", "https://h", "images/artifactory"),
    ],
)
def test_where_the_api_of_artifactory_is(url, base, path):
    assert _api_and_path(url) == (base, path)


# Nexus


def test_nexus_is_known_by_its_answers(nexus, connected):
    store = connected(nexus)
    assert isinstance(store._writer, NexusWriter)
    assert store.atomic is True
    assert store.exclusive is False


def test_a_repository_without_redeploy(nexus, connected, upload, image, tmp_path):
    nexus.allows_redeploy = False
    assert upload(nexus).changed
    other = tmp_path / "other.pvmp"
    other.write_bytes(image.data[::-1])
    with pytest.raises(TaskError, match="set its deployment policy to 'Allow redeploy'"):
        upload(nexus, src=str(other), sha256=None, overwrite=True)
    store = connected(nexus)
    store.write("catalog.json", b"one", if_absent=True)
    with pytest.raises(TaskError, match=r"which catalog\.json requires"):
        store.write("catalog.json", b"two")
    assert nexus.published("images/golden")[image.name] == image.data


def test_a_repository_without_redeploy_tells_of_a_file_that_came_meanwhile(nexus, upload, image, monkeypatch):
    nexus.allows_redeploy = False
    # The looks that come before the last block see nothing yet.
    monkeypatch.setattr(PlainPutWriter, "_refuse_others", lambda self, name, body: None)
    done = []

    def publish_first(offset, _total):
        if offset > 1024 * 1024 and not done:
            done.append(upload(nexus))

    assert upload(nexus, report=publish_first).changed is False


def test_strict_content_types(nexus, upload):
    nexus.validates_types = True
    with pytest.raises(TaskError, match="turn off 'Strict Content Type Validation'"):
        upload(nexus)


@pytest.mark.parametrize("tells_size", [True, False])
def test_the_list_of_nexus(nexus, connected, tells_size):
    nexus.tells_size = tells_size
    store = connected(nexus)
    for number in range(5):
        store.write(f"{number}.txt", b"x" * number)
    connected(nexus, "golden/deeper").write("x.txt", b"x")
    connected(nexus, "other").write("y.txt", b"y")
    assert [(each.name, each.size) for each in store.list()] == [(f"{number}.txt", number) for number in range(5)]
    assert connected(nexus, "none").list() == []


def test_a_list_that_is_not_for_everybody(nexus, connected):
    with pytest.raises(TaskError, match="nx-repository-view-raw-images-browse"):
        connected(nexus, username=None, password=None).list()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://n/repository/images/golden/a", ("https://n", "images", "golden/a")),
        ("https://n:8443/nexus/repository/images", ("https://n:8443/nexus", "images", "")),
        ("https://n/repository/images/a%20b", ("https://n", "images", "a b")),
    ],
)
def test_where_the_api_of_nexus_is(url, found):
    assert _api_and_folder(url) == found


def test_an_address_without_a_repository():
    with pytest.raises(TaskError, match="is not in a Nexus repository"):
        _api_and_folder("https://n/images")


@pytest.mark.parametrize("kind", [FakeArtifactory, FakeNexus])
def test_nothing_is_sent_again_when_only_the_answer_was_lost(kind, connect, image, retries, pauses):
    with kind() as server, Gateway(server.port, tls=True) as gateway:
        gateway.faults.append(Fault("PUT", lose_answer=True, where=lambda request: request.length == image.size))
        store = connect(server, f"{gateway.url}{server.context}images/golden", ca_path=gateway.ca_path)
        uploaded = Upload(store, Wanted(image.path, image.name, image.sha256), retries).run()
        assert (uploaded.changed, uploaded.bytes_sent, pauses) == (True, image.size, [2.0])
        assert server.published("images/golden")[image.name] == image.data


# Servers that only know PUT


def test_a_server_that_shows_what_it_has_so_far_is_not_taken_for_somebody_else(plain, connect, image, retries):
    wanted = Wanted(image.path, image.name, image.sha256)
    assert Upload(connect(plain), wanted, retries).run().changed
    assert (plain.folder / image.name).read_bytes() == image.data


def test_another_file_that_is_smaller_is_not_overwritten(plain, connect, image, retries, monkeypatch):
    done = []

    def put_another(offset, _total):
        if offset > 2 * 1024 * 1024 and not done:
            done.append(offset)
            wait_until((plain.folder / image.name).exists)  # the server writes to it
            other = plain.folder.parent / "other"
            other.write_bytes(b"somebody else's")
            other.replace(plain.folder / image.name)

    wanted = Wanted(image.path, image.name, image.sha256)
    with pytest.raises(TaskError, match="with different content"):
        Upload(connect(plain), wanted, retries, report=put_another).run()
    assert (plain.folder / image.name).read_bytes() == b"somebody else's"


# Lists that cannot be read


@pytest.mark.parametrize(
    "page",
    [
        {"items": [{"fileSize": 5}]},
        {"items": [{"path": None}]},
        {"items": [{"path": ["golden/a.pvmp"]}]},
        {"items": [{"path": "/"}]},
        {"items": {"path": "golden/a.pvmp"}},
        {"items": [], "continuationToken": 5},
        # The same token again and again.
        {"items": [], "continuationToken": "more"},
        {},
        [],
    ],
)
def test_a_list_of_nexus_that_cannot_be_read_is_not_empty(nexus, connected, monkeypatch, page):
    monkeypatch.setattr(nexus, "_assets", lambda exchange: exchange.json(200, page, nexus._headers()))
    with pytest.raises(RetryLater, match="did not send a list of the repository that can be read"):
        connected(nexus).list()


@pytest.mark.parametrize(
    "content",
    [
        {"files": [{"size": 5}]},
        {"files": [{"uri": None, "size": 5}]},
        {"files": [{"uri": "/", "size": None}]},
        {"files": {"uri": "/a.pvmp"}},
        {"children": [{"uri": "/a.pvmp"}]},
        {},
        "files",
    ],
)
def test_a_list_of_artifactory_that_cannot_be_read_is_not_empty(artifactory, connected, monkeypatch, content):
    def answer(exchange, _folder):
        exchange.json(200, content, artifactory._headers())

    monkeypatch.setattr(artifactory, "_storage", answer)
    with pytest.raises(RetryLater, match="did not send a list of the folder that can be read"):
        connected(artifactory).list()


@pytest.mark.parametrize("digest", [None, "", "x", 5, ["a" * 64], "A" * 64, "a" * 63])
def test_a_digest_of_artifactory_is_one_or_unknown(artifactory, connected, monkeypatch, digest):
    content = {"files": [{"uri": "/a.pvmp", "size": 5, "sha2": digest}]}
    monkeypatch.setattr(
        artifactory, "_storage", lambda exchange, _folder: exchange.json(200, content, artifactory._headers())
    )
    assert connected(artifactory).list()[0].sha256 == ("a" * 64 if digest == "A" * 64 else None)


@pytest.mark.parametrize("operation", ["look", "read", "delete", "list"])
@pytest.mark.parametrize("kind", ["artifactory", "nexus"])
def test_a_repository_that_does_not_exist_is_not_an_empty_one(request, connect, kind, operation):
    server = request.getfixturevalue(kind)
    store = connect(server, f"{server.public_url}{server.context}misspelt/golden")
    arguments = () if operation == "list" else ("catalog.json",)
    with pytest.raises(TaskError, match="does not exist"):
        getattr(store, operation)(*arguments)


@pytest.mark.parametrize("kind", ["artifactory", "nexus"])
def test_a_folder_of_a_repository_exists_with_its_first_file(request, connected, kind):
    store = connected(request.getfixturevalue(kind), "new/folder")
    assert (store.look("a.pvmp"), store.read("catalog.json"), store.list()) == (None, None, [])


def test_a_nexus_of_which_only_the_repository_is_served(nexus, connected, monkeypatch):
    """A proxy in front of it answers 404 to the request for the list: nothing about the repository."""
    monkeypatch.setattr(nexus, "_assets", lambda exchange: exchange.send(404, {"Server": "nginx"}))
    assert connected(nexus).look("a.pvmp") is None
