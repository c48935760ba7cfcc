# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only C(sftp://) has: who the server is, ways to log in, holes that parallel writing leaves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from typing import Any, Callable

import paramiko
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Partial, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

from .backends import Folder
from .backends.openssh import OpenSsh

MIB = 1024 * 1024


KINDS = (OpenSsh,)


@pytest.fixture
def folder(backend: OpenSsh) -> Folder:
    """Return a folder of this test's own."""
    return backend.folder()


@pytest.fixture
def connect(folder: Folder) -> Callable[..., Any]:
    """Return a function that opens the store, its options changed by those given."""

    def open_it(**options: Any) -> Any:
        return open_store(folder.destination, StoreOptions(**{"timeout": 10.0, **folder.options, **options}))

    return open_it


def refusal(store: Any) -> str:
    """Return the sentence by which a store refuses to be looked into."""
    with pytest.raises(TaskError) as caught:
        store.list()
    return caught.value.message


def test_an_unknown_server_is_refused(backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    said = refusal(connect(known_hosts_path=str(empty)))
    key = subprocess.run(
        ["ssh-keygen", "-lf", str(backend.server.folder / "host_key.pub")], check=True, capture_output=True, text=True
    )
    assert key.stdout.split()[1] in said
    assert f"'ssh-keyscan -p {backend.wire.port} 127.0.0.1'" in said


def test_another_key_is_refused(backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{backend.wire.port} {(tmp_path / 'key.pub').read_text()}")
    assert "has changed" in refusal(connect(known_hosts_path=str(known)))


def test_hashed_names_are_known(backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(backend.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    assert connect(known_hosts_path=str(known)).list() == []


JUNK = b"""
|1|abc|def ssh-ed25519 AAAA
|1|onlysalt ssh-ed25519 AAAA
# R\xe9seau
\x00\xff binary
other.example.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCqfdQq3Qd77
[127.0.0.1]:%d ssh-ed25519 AAAA
@revoked other.example.com %s
@cert-authority *.example.com %s
[127.0.0.1]:%d %s
"""


def test_lines_that_cannot_be_read_are_ignored(
    backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    old, port = (tmp_path / "key.pub").read_bytes().strip(), backend.wire.port
    known = tmp_path / "known_hosts"
    known.write_bytes(JUNK % (port, old, old, port, old) + backend.known_hosts.read_bytes().replace(b"\n", b"\r\n"))
    store, notices = connect(known_hosts_path=str(known)), []
    store.check("a.pvmp", Content(1), write=False, notice=notices.append)
    assert len(notices) == 1
    assert "that were ignored: 7." in notices[0]


@pytest.mark.parametrize("more", ["", " and a comment"])
def test_a_revoked_key_is_refused(
    backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path, more: str
) -> None:
    known, good = tmp_path / "known_hosts", backend.known_hosts.read_text()
    known.write_text(f"{good}@revoked * {' '.join(good.split()[1:3])}{more}\n")
    assert "is revoked" in refusal(connect(known_hosts_path=str(known)))


def test_an_authority_is_not_enough(backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority {backend.known_hosts.read_text()}")
    said = refusal(connect(known_hosts_path=str(known)))
    assert "only a certificate authority (@cert-authority), which is not supported here" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"known_hosts_path": "/none"}, "Correct known_hosts_path"),
        ({"known_hosts_path": "/etc"}, "/etc cannot be read (Is a directory). Correct known_hosts_path"),
        ({"known_hosts_path": "/dev/zero"}, "is not a file of host keys. Correct known_hosts_path"),
        ({"private_key_path": "/none"}, "Correct private_key_path"),
        ({"private_key_path": "/etc/hosts"}, "it is not a key"),
        ({"private_key_path": None}, "Set one of the two"),
        ({"private_key_path": None, "password": "wrong-and-secret"}, "refused the login"),
        ({"proxy": "socks5://127.0.0.1:1"}, "needs an HTTP proxy"),
    ],
)
def test_what_is_wrong_is_told(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    said = refusal(connect(**options))
    assert words in said
    assert "secret" not in said


@pytest.mark.parametrize("way", ["password", "key"])
def test_a_refused_login_is_tried_once(
    backend: OpenSsh, connect: Callable[..., Any], image: Any, tmp_path: pathlib.Path, way: str
) -> None:
    """Servers lock accounts after a few refusals."""
    key = tmp_path / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    options = {"password": "wrong", "private_key_path": None} if way == "password" else {"private_key_path": str(key)}
    pauses: list[float] = []
    before = backend.wire.connections
    with pytest.raises(TaskError, match=f"refused the login of .* with the {way}"):
        Upload(connect(**options), Wanted(image.path, image.name), Retries(4, sleep=pauses.append)).run()
    assert (backend.wire.connections - before, pauses) == (1, [])


def test_a_key_with_a_passphrase(backend: OpenSsh, connect: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    key = tmp_path / "key"
    key.write_bytes((backend.server.folder / "client_key").read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(key)], check=True)
    assert "Set private_key_passphrase" in refusal(connect(private_key_path=str(key)))
    wrong = refusal(connect(private_key_path=str(key), private_key_passphrase="shut"))
    assert "private_key_passphrase is wrong" in wrong
    assert connect(private_key_path=str(key), private_key_passphrase="open sesame").list() == []


def test_the_keys_of_an_agent(
    backend: OpenSsh, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    socket = f"{tmp_path}/agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        add = ["ssh-add", "-q", str(backend.server.folder / "client_key")]
        while subprocess.run(add, capture_output=True, check=False).returncode:
            assert agent.poll() is None
        assert connect(private_key_path=None).list() == []
    finally:
        agent.kill()
        agent.wait()


def test_holes_are_filled(
    backend: OpenSsh, folder: Folder, connect: Callable[..., Any], tmp_path: pathlib.Path
) -> None:
    """Parts that go out side by side leave holes when it breaks: a part's size says nothing of what is before."""
    data = os.urandom(5 * MIB + 7)
    image = tmp_path / "image.pvmp"
    image.write_bytes(data)
    path = backend.path_of(folder) / ".image.pvmp.part"
    path.write_bytes(data[:MIB] + b"\0" * MIB + data[2 * MIB : 4 * MIB])
    os.chown(path, *(os.stat(path.parent).st_uid, os.stat(path.parent).st_gid))
    store = connect(concurrency=3)
    with Body(str(image)) as body:
        sent = store.send("image.pvmp", body, after=Partial(path.name, 4 * MIB))
        assert (sent.resumed_from, sent.proven) == (MIB, True)
    store.publish("image.pvmp", sent, overwrite=False)
    assert folder.published() == {"image.pvmp": data}


def test_the_same_run_does_not_read_back_what_was_confirmed(
    backend: OpenSsh, folder: Folder, connect: Callable[..., Any], tmp_path: pathlib.Path
) -> None:
    image = tmp_path / "image.pvmp"
    image.write_bytes(os.urandom(6 * MIB))
    backend.wire.cut_after = 4 * MIB
    uploaded = Upload(connect(), Wanted(str(image), "image.pvmp"), Retries(2, sleep=lambda _seconds: None)).run()
    assert uploaded.resumed_from >= 2 * MIB
    assert backend.wire.received < MIB
    assert folder.published()["image.pvmp"] == image.read_bytes()


def test_a_disk_that_runs_full_in_the_middle(
    backend: OpenSsh, folder: Folder, connect: Callable[..., Any], tmp_path: pathlib.Path
) -> None:
    image = tmp_path / "image.pvmp"
    image.write_bytes(os.urandom(5 * MIB))
    path = backend.path_of(folder)
    filled = []

    def fill(done: int, _total: int | None) -> None:
        if done >= 2 * MIB and not filled:
            filled.append(done)
            with contextlib.suppress(OSError):
                (path / "other").write_bytes(b"x" * 8 * MIB)

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", path], check=True)
    try:
        with pytest.raises(TaskError, match="is full"):
            Upload(connect(), Wanted(str(image), "image.pvmp"), Retries(0), report=fill).run()
        assert [each.name for each in path.iterdir()] == ["other"]
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_connection_lost_before_the_answer_is_made_again(
    backend: OpenSsh, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect()
    assert store.list() == []
    send = paramiko.SFTPClient._async_request

    def send_and_lose(client: Any, *request: Any) -> Any:
        # Frozen, the server can't answer first.
        with backend.server.frozen():
            number = send(client, *request)
            backend.server.drop()
        return number

    with monkeypatch.context() as patch:
        patch.setattr(paramiko.SFTPClient, "_async_request", send_and_lose)
        with pytest.raises(RetryLater, match="the connection was lost"):
            store.list()
    assert store.list() == []


def test_a_connection_lost_between_two_requests_is_made_again(backend: OpenSsh, connect: Callable[..., Any]) -> None:
    store = connect()
    assert store.list() == []
    backend.server.drop()
    # Whether the client learns of it before the next request or by it, is a race.
    with contextlib.suppress(RetryLater):
        store.list()
    assert store.list() == []


def test_a_folder_below_the_home(backend: OpenSsh, connect: Callable[..., Any], folder: Folder) -> None:
    home = backend.account.home / "images"
    home.mkdir(exist_ok=True)
    os.chown(home, backend.account.uid, backend.account.gid)
    destination = folder.destination.partition("/" + str(backend.account.work).lstrip("/"))[0] + "/~/images"
    store = open_store(destination, StoreOptions(timeout=10.0, **folder.options))
    store.write("catalog.json", b"one", if_absent=True)
    assert (home / "catalog.json").read_bytes() == b"one"
