# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads to real servers over TLS: nginx with WebDAV, with MOVE alone, and with PUT alone; Apache with WebDAV."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest
import requests

from support.apache import apache_store
from support.fixtures import nightly
from support.nginx import nginx_store
from support.waiting import wait_until

SIZE = 20 * 1024 * 1024 + 7
NAME = "Büro Windows 11-2026.11.0-arm64.pvmp"
MODULES = "ansible_collections.macops.parallels.plugins.module_utils."
LARGEST_GROWTH = 80 * 1024 * 1024


@pytest.fixture(scope="module")
def library(collections):
    """The collection's own code, from the collections path that is tested."""
    sys.path.insert(0, str(collections))
    found = SimpleNamespace()
    for module, names in {
        "_common.errors": ["TaskError"],
        "_http.session": ["Http", "basic", "bearer"],
        "_common.retry": ["Retries"],
        "_stores.base": ["Conflict", "StoreOptions"],
        "_stores.body": ["Body"],
        "_stores.https.folder": ["HttpFolder"],
        "_stores.registry": ["open_store"],
        "_stores.upload": ["Upload", "Wanted"],
    }.items():
        loaded = importlib.import_module(MODULES + module)
        for name in names:
            setattr(found, name, getattr(loaded, name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MODULES}_common.retry._chance", lambda: 0.0)  # no pause is longer by chance
        yield found
    sys.path.remove(str(collections))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    data = os.urandom(SIZE)
    path = tmp_path_factory.mktemp("image") / NAME
    path.write_bytes(data)
    return SimpleNamespace(path=str(path), data=data, sha256=hashlib.sha256(data).hexdigest())


# The stage 'stores' holds Apache to the same promises every day.
APACHE = nightly("apache")


@pytest.fixture(params=["webdav", "dav", "put", APACHE])
def store(request, tmp_path):
    with apache_store() if request.param == "apache" else nginx_store(tmp_path / "store", mode=request.param) as server:
        yield server


nginx_only = pytest.mark.parametrize("store", ["webdav", "dav", "put"], indirect=True)
webdav_only = pytest.mark.parametrize("store", ["webdav", APACHE], indirect=True)
atomic_only = pytest.mark.parametrize("store", ["webdav", "dav", APACHE], indirect=True)


@pytest.fixture
def connect(library):
    def connect_to(server, **options):
        given = {
            "username": None if server.token else server.username,
            "password": None if server.token else server.password,
            "token": server.token,
            "ca_path": server.ca_path,
            "timeout": 10.0,
            # What nothing tells from outside: nginx without dav_ext does not answer OPTIONS.
            "https_method": "webdav" if server.mode == "dav" else "auto",
            **options,
        }
        return library.open_store(server.url, library.StoreOptions(**given))

    return connect_to


@pytest.fixture
def upload(library, connect, image):
    def run(server, credentials=None, sleep=lambda seconds: None, notice=lambda sentence: None, **wanted):
        given = {"src": image.path, "name": NAME, "sha256": image.sha256, **wanted}
        opened = connect(server, **(credentials or {}))
        return library.Upload(opened, library.Wanted(**given), library.Retries(4, sleep=sleep), notice=notice).run()

    return run


def visible(server):
    """Return what is there, but for what Apache writes to before it renames it, and leaves when it is killed."""
    return sorted(path.name for path in server.folder.iterdir() if not path.name.startswith(".davfs.tmp"))


def published(server, image):
    return visible(server) == [NAME, f"{NAME}.sha256"] and (server.folder / NAME).read_bytes() == image.data


def body_bytes(server):
    """Return how many bytes came in with PUT, beyond what headers (with Apache, also those of TLS) take."""
    wait_for_log(server)
    return sum(max(0, seen.bytes - 4000) for seen in server.requests("PUT"))


def wait_for_log(server):
    """The servers log a request after its answer."""
    marker = f"/marker-{time.monotonic_ns()}"
    requests.get(f"https://127.0.0.1:{server.port}{marker}", verify=server.ca_path, timeout=10)
    wait_until(lambda: any(seen.path == marker for seen in server.requests("GET")), 10)


def test_it_publishes_once(store, image, upload):
    first = upload(store)
    assert first.changed
    assert published(store, image)
    assert (store.folder / f"{NAME}.sha256").read_text(encoding="utf-8") == f"{image.sha256}  {NAME}\n"
    check = subprocess.run(
        ["shasum", "-a", "256", "-c", f"{NAME}.sha256"], cwd=store.folder, capture_output=True, check=False
    )
    assert check.returncode == 0
    link = requests.get(first.url, verify=store.ca_path, timeout=10)
    assert link.content == image.data
    wait_for_log(store)
    before = len(store.requests())
    assert not upload(store).changed
    wait_for_log(store)
    assert {seen.method for seen in store.requests()[before:]} == {"HEAD", "GET"}


@pytest.mark.parametrize("token", [None, "good-token"])
def test_a_wrong_password_costs_no_byte(library, image, tmp_path, token):
    """Not even without the questions that come before: nginx is asked with Expect, and refuses with the headers."""
    with nginx_store(tmp_path / "store", token=token) as server:
        wrong = {"token": "hush"} if token else {"username": server.username, "password": "hush"}
        folder = library.HttpFolder(server.url, library.StoreOptions(ca_path=server.ca_path, **wrong))
        with library.Body(image.path) as body:
            begun = time.monotonic()
            response = folder.put_body("x.pvmp", body)
            assert time.monotonic() - begun < 5
            assert response.status_code == 401
            assert body.sent == 0
        wait_for_log(server)
        (seen,) = server.requests("PUT")
        assert (seen.status, seen.expect) == (401, "100-continue")
        assert seen.bytes < 1000


def test_credentials_are_checked_first(store, upload, library):
    with pytest.raises(library.TaskError, match=r"401.*user name or the password is wrong"):
        upload(store, credentials={"password": "hush"})
    assert body_bytes(store) == 0
    assert visible(store) == []


def test_a_token(library, image, upload, tmp_path):
    with nginx_store(tmp_path / "store", token="good-token") as server:
        upload(server)
        assert published(server, image)
        with pytest.raises(library.TaskError, match="the server rejected the token"):
            upload(server, credentials={"token": "hush"}, name="other.pvmp")


def test_a_netrc_gives_no_access(store, upload, library, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {store.username} password {store.password.replace(' ', '_')}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth(store.url)  # it is there to be found
    with pytest.raises(library.TaskError, match="the server requires credentials"):
        upload(store, credentials={"username": None, "password": None})
    assert not any(seen.authorization for seen in store.requests())


@pytest.mark.parametrize(
    ("status", "location", "sentence"),
    [
        (403, "", "forbidden"),
        (507, "", "the store is full"),
        (405, "", "does not allow the upload"),
        (301, "https://127.0.0.1/elsewhere", "a redirect to https://127.0.0.1/elsewhere"),
    ],
)
def test_a_refused_write_costs_no_byte(store, upload, library, status, location, sentence):
    store.refuse("PUT", status, location)
    with pytest.raises(library.TaskError, match=sentence):
        upload(store)
    assert body_bytes(store) == 0
    assert visible(store) == []


def test_an_image_that_is_too_large_costs_no_byte(store, upload, library):
    """The empty probe passes, so it is the answer to Expect that tells."""
    store.limit(1024 * 1024)
    with pytest.raises(library.TaskError, match=r"413.*larger than the server accepts"):
        upload(store)
    assert body_bytes(store) == 0
    assert visible(store) == []


def test_a_missing_folder_costs_no_byte(store, upload, library):
    """Asked for by PUT alone, nginx would take the whole body before it says so."""
    shutil.rmtree(store.folder)
    with pytest.raises(library.TaskError, match=r"the folder .* does not exist"):
        upload(store)
    assert body_bytes(store) == 0


@atomic_only
def test_a_forbidden_rename_costs_no_byte(store, upload, library):
    store.refuse("MOVE", 403)
    with pytest.raises(library.TaskError, match=r"rename \(MOVE\) is forbidden"):
        upload(store)
    assert body_bytes(store) == 0
    assert visible(store) == []


def test_busy_twice(store, image, upload):
    pauses = []

    def recover(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            store.reconfigure("")

    store.refuse("PUT", 503, retry_after=7)
    upload(store, sleep=recover)
    assert pauses == [7.0, 7.0]
    assert published(store, image)


def test_wrong_bytes_are_not_published(store, upload, library):
    with pytest.raises(library.TaskError, match="is not the expected file"):
        upload(store, sha256="0" * 64)
    assert visible(store) == []


def test_a_file_that_changes_is_not_published(store, upload, library, tmp_path, monkeypatch):
    path = tmp_path / "changing.pvmp"
    path.write_bytes(b"x" * SIZE)
    read = library.Body.read

    def read_and_change(body, size=-1):
        block = read(body, size)
        os.utime(path)
        return block

    monkeypatch.setattr(library.Body, "read", read_and_change)
    with pytest.raises(library.TaskError, match="changed during the upload"):
        upload(store, src=str(path), sha256=None)
    assert visible(store) == []


@nginx_only
def test_nginx_ignores_the_condition_that_we_do_not_rely_on(store):
    (store.folder / "x").write_bytes(b"published")
    answer = requests.put(
        f"{store.url}/x",
        data=b"other",
        headers={"If-None-Match": "*"},
        auth=(store.username, store.password),
        verify=store.ca_path,
        timeout=10,
    )
    assert answer.status_code == 204
    assert (store.folder / "x").read_bytes() == b"other"


@atomic_only
def test_what_appears_meanwhile_is_not_overwritten(store, library, connect, image):
    opened = connect(store)
    with library.Body(image.path) as body:
        sent = opened.send(NAME, body)
        (store.folder / NAME).write_bytes(b"published")
        with pytest.raises(library.Conflict):
            opened.publish(NAME, sent, overwrite=False)
        opened.discard(sent)
    assert (store.folder / NAME).read_bytes() == b"published"
    assert visible(store) == [NAME]


def test_a_file_of_one_part_is_sent_whole(store, image, upload):
    """Partial PUT destroys files on some servers, so it is not even tried out without a need."""
    upload(store)
    wait_for_log(store)
    assert len(store.requests("PUT")) >= 2
    assert not any(seen.content_range for seen in store.requests())


def test_readers_have_the_old_file_until_the_new_one_is_whole(store, image, upload):
    (store.folder / NAME).write_bytes(b"old" * 1000)
    seen = set()
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(
                hashlib.sha256(
                    requests.get(f"{store.url}/{NAME}", verify=store.ca_path, timeout=10).content
                ).hexdigest()
            )

    reader = threading.Thread(target=read)
    reader.start()
    try:
        upload(store, overwrite=True, rate_limit=20 * 1024 * 1024)
    finally:
        done.set()
        reader.join()
    assert hashlib.sha256(b"old" * 1000).hexdigest() in seen
    assert seen <= {hashlib.sha256(b"old" * 1000).hexdigest(), image.sha256}


UPLOAD = textwrap.dedent(
    """
    import json, resource, sys
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
    from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
    import requests

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    url, options, wanted = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    before = peak()
    Upload(open_store(url, StoreOptions(**options)), Wanted(**wanted), Retries(0)).run()
    print(peak() - before)
    """
)


@pytest.fixture
def start_upload(collections):
    """Return a function that starts an upload in its own process, which prints by how much its memory has grown."""

    def start(url, options, **wanted):
        return subprocess.Popen(
            [sys.executable, "-c", UPLOAD, url, json.dumps(options), json.dumps(wanted)],
            env={**os.environ, "PYTHONPATH": str(collections)},
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def credentials(server):
    return {"username": server.username, "password": server.password, "ca_path": server.ca_path}


PART = 2 * 1024 * 1024
SEND = textwrap.dedent(
    """
    import json, sys
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
    from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

    url, options, wanted = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    store = open_store(url, StoreOptions(**options))
    Upload(store, Wanted(**wanted), Retries(0), report=lambda done, total: print(done, flush=True)).run()
    """
)


@pytest.fixture
def kill_uploading(collections, image):
    """Return a function that kills an upload when it has sent a while, and says how many bytes it had taken up."""

    def run(url, options, sha256):
        wanted = {"src": image.path, "name": NAME, "sha256": sha256, "rate_limit": 20 * 1024 * 1024}
        process = subprocess.Popen(
            [sys.executable, "-c", SEND, url, json.dumps(options), json.dumps(wanted)],
            env={**os.environ, "PYTHONPATH": str(collections)},
            stdout=subprocess.PIPE,
            text=True,
        )
        done = 0
        while done < 9 * 1024 * 1024:
            done = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _unused = process.communicate()
        return max([done, *map(int, rest.split())])

    return run


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("store", ["webdav", APACHE], indirect=True)
def test_an_upload_that_was_killed(store, image, upload, kill_uploading, known):
    """Apache goes on from what it has; with nginx, the next run begins anew. Neither shows a part under the name."""
    sha256 = image.sha256 if known else None
    first = kill_uploading(store.url, {**credentials(store), "part_size": PART}, sha256)
    assert not (store.folder / NAME).exists()
    notices = []
    told = upload(store, credentials={"part_size": PART}, sha256=sha256, notice=notices.append)
    assert published(store, image)
    if store.mode == "apache":
        assert told.resumed_from >= first - PART > 0
        assert first + told.bytes_sent <= SIZE + PART
        assert notices == []
    else:
        assert (told.resumed_from, told.bytes_sent) == (0, SIZE)


def test_a_copy_that_was_killed(library, image, kill_uploading, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    first = kill_uploading(f"file://{share}", {}, image.sha256)
    assert not (share / NAME).exists()
    opened = library.open_store(f"file://{share}", library.StoreOptions())
    told = library.Upload(opened, library.Wanted(image.path, NAME, image.sha256), library.Retries(0)).run()
    assert told.resumed_from > 0
    assert first + told.bytes_sent <= SIZE + 1024 * 1024
    assert sorted(path.name for path in share.iterdir()) == [NAME, f"{NAME}.sha256"]
    assert (share / NAME).read_bytes() == image.data


@pytest.mark.parametrize("store", ["webdav", "put", APACHE], indirect=True)
def test_a_server_that_is_killed_in_the_middle(store, image, upload, library, monkeypatch):
    """In the middle of a part: Apache keeps what it has of it."""
    read = library.Body.read
    struck = []

    def read_and_strike(body, size=-1):
        if body.sent > 9 * 1024 * 1024 and not struck:
            struck.append(body.sent)
            store.stop()
        return read(body, size)

    monkeypatch.setattr(library.Body, "read", read_and_strike)
    pauses, notices = [], []

    def come_back(seconds):
        pauses.append(seconds)
        store.start()

    told = upload(store, credentials={"part_size": PART}, sleep=come_back, notice=notices.append)
    assert published(store, image)
    assert pauses == [2.0]
    if store.mode == "apache":
        assert told.resumed_from >= struck[0] - PART
        assert told.bytes_sent <= SIZE + PART
        assert notices == []
    else:
        assert (told.resumed_from, told.bytes_sent > SIZE) == (0, True)
        assert len(notices) == 1
        assert "cannot resume uploads" in notices[0]


@pytest.mark.parametrize("store", ["apache"], indirect=True)
def test_a_limit_for_a_request_is_none_for_an_image(store, image, upload):
    """Apache takes 1 GiB in one request, unless it is told otherwise."""
    store.limit(PART)
    upload(store, credentials={"part_size": PART})
    assert published(store, image)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An image of 300 MB."""
    path = tmp_path_factory.mktemp("large") / "large.pvmp"
    with open(path, "wb") as handle:
        for _number in range(300):
            handle.write(os.urandom(1_000_000))
    yield path
    path.unlink()


@pytest.mark.parametrize("kind", ["nginx", "apache", "file"])
@pytest.mark.parametrize("there", [False, True])
def test_the_memory_is_bounded(kind, there, large, tmp_path, start_upload):
    """Both when it is sent, to Apache in parts, and when it is read back because nothing tells what is there."""
    root = tmp_path / "store"
    if kind == "file":
        root.mkdir()
        assert _growth(f"file://{root}", {}, root, there, large, start_upload) < LARGEST_GROWTH
        return
    with nginx_store(root) if kind == "nginx" else apache_store() as server:
        assert _growth(server.url, credentials(server), server.folder, there, large, start_upload) < LARGEST_GROWTH
        (server.folder / large.name).unlink()


def _growth(url, options, folder, there, large, start_upload):
    if there:
        shutil.copy(large, folder / large.name)
    process = start_upload(url, options, src=str(large), name=large.name)
    printed, _unused = process.communicate(timeout=120)
    assert process.returncode == 0
    assert (folder / large.name).stat().st_size == 300_000_000
    return int(printed)


ADD = textwrap.dedent(
    """
    import json, sys
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

    url, options, writer, rounds = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    store = open_store(url, StoreOptions(**options))
    for number in range(rounds):
        while True:
            found = store.read("list.json")
            data = json.dumps([*(json.loads(found[0]) if found else []), f"{writer}-{number}"]).encode()
            try:
                store.write("list.json", data, if_version=found[1] if found else None, if_absent=found is None)
                break
            except (Conflict, RetryLater):
                continue
    """
)


@webdav_only
def test_no_writer_of_small_files_overwrites_another(store, collections):
    """nginx ignores conditions, and its ETag stays the same within a second: it is the lock that does it."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, store.url, json.dumps(credentials(store)), str(writer), "20"],
            env={**os.environ, "PYTHONPATH": str(collections)},
        )
        for writer in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    written = json.loads((store.folder / "list.json").read_text())
    assert sorted(written) == sorted(f"{writer}-{number}" for writer in range(2) for number in range(20))
    assert visible(store) == ["list.json"]
