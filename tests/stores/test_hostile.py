# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile servers against boto3, Microsoft's SDK and paramiko, which have no limits of their own."""

from __future__ import annotations

import base64
import contextlib
import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.sftp import limits
from ansible_collections.macops.parallels.plugins.module_utils._stores.sftp.connection import Connection

from support.scripted_server import ScriptedServer

BLOCK = b"\1" * 65536
OK = "HTTP/1.1 200 OK\nContent-Type: application/xml\n"
LAUGHS = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
# The answer to a request for a file.
FILES = {
    "s3": f'{OK}ETag: "e"\n',
    "azblob": (
        'HTTP/1.1 206 Partial Content\nContent-Type: application/xml\nx-ms-blob-type: BlockBlob\nETag: "e"\n'
        "Content-Range: bytes 0-4194303/4194304\n"
    ),
}
LISTS = {
    "s3": "<ListBucketResult>{}</ListBucketResult>",
    "azblob": '<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{}</EnumerationResults>',
}
Answer = Callable[[str], "str | bytes | Iterator[str | bytes]"]


@pytest.fixture(params=["s3", "azblob"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def play(tmp_path: Path, kind: str) -> Iterator[Callable[[Answer], tuple[Store, list[str]]]]:
    """Return a function that starts a server, and opens it as a store; with the heads of the requests."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> tuple[Store, list[str]]:
            heads: list[str] = []

            def serve(connection: Any) -> None:
                with contextlib.suppress(OSError):
                    while head := connection.request():
                        heads.append(head)
                        said = answer(head)
                        for each in [said] if isinstance(said, (str, bytes)) else said:
                            connection.say(each)

            server = stack.enter_context(ScriptedServer(serve, tls=tmp_path / "tls"))
            common = {"ca_path": server.ca_path, "endpoint_url": server.url, "timeout": 5.0}
            if kind == "s3":
                keys = {"access_key": "a", "secret_key": "b", "region": "us-east-1"}
                return open_store("s3://images/golden", StoreOptions(**common, **keys)), heads
            key = base64.b64encode(b"key").decode()
            return open_store("azblob://company/images/golden", StoreOptions(**common, account_key=key)), heads

        yield start


def document(text: str | bytes, head: str = OK) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    return f"{head}Content-Length: {len(data)}\n\n".replace("\n", "\r\n").encode() + data


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda shape: f"<!DOCTYPE x [<!ENTITY e0 'ha'>{LAUGHS}]>{shape.format('&e9;')}", "contains a DOCTYPE"),
        (lambda shape: shape.format("<a/>" * 200_000), "more than 100000 elements"),
    ],
)
def test_xml_that_grows(play: Any, kind: str, body: Callable[[str], str], words: str) -> None:
    store, _heads = play(lambda head: document(body(LISTS[kind])))
    with pytest.raises(RetryLater, match=words):
        store.list()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-7"])
def test_xml_whose_dtd_only_one_reader_sees(play: Any, kind: str, encoding: str) -> None:
    """Both libraries read UTF-8 here, whatever the server declares: so nobody sees it."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY e0 "ha">{LAUGHS}]><x>&e9;</x>'
    store, _heads = play(lambda head: document(text.encode(encoding), OK.replace("/xml", f"/xml; charset={encoding}")))
    with pytest.raises((RetryLater, TaskError)):
        store.list()


@pytest.mark.parametrize("ask", ["list", "read", "look"])
def test_a_body_without_an_end(play: Any, kind: str, ask: str) -> None:
    def answer(head: str) -> Iterator[str | bytes]:
        yield f"{FILES[kind] if ask == 'read' else OK}Transfer-Encoding: chunked\n\n"
        while not head.startswith("HEAD"):
            yield b"10000\r\n" + BLOCK + b"\r\n"

    store, _heads = play(answer)
    if ask == "look":  # no answer to HEAD has a body
        with contextlib.suppress(RetryLater, TaskError):
            store.look("catalog.json")
        return
    with pytest.raises((RetryLater, TaskError), match=r"sent more than|is larger than|interrupted|not that of an S3"):
        store.list() if ask == "list" else store.read("catalog.json")


@pytest.mark.parametrize("ask", ["list", "read"])
def test_a_body_that_grows(play: Any, kind: str, ask: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = f"{FILES[kind] if ask == 'read' else OK}Content-Encoding: gzip\n"
    store, _heads = play(lambda _head: document(bomb, head))
    with pytest.raises((RetryLater, TaskError), match=r"compressed its answer \(gzip\)"):
        store.list() if ask == "list" else store.read("catalog.json")


@pytest.mark.parametrize("turns", [1, 2])
def test_a_list_that_returns_to_a_page(play: Any, kind: str, turns: int) -> None:
    """Which is another page than the last one, too."""

    def answer(head: str) -> bytes:
        page = len(heads) % turns
        more = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page}</NextContinuationToken>"
            if kind == "s3"
            else f"<Blobs/><NextMarker>{page}</NextMarker>"
        )
        return document(LISTS[kind].format(more))

    store, heads = play(answer)
    with pytest.raises(
        (RetryLater, TaskError), match=r"has no end: the server returned a page again|how (the list|it) continues"
    ):
        store.list()
    assert len(heads) <= turns + 2


def test_azure_redirects_nobody(play: Any, kind: str) -> None:
    store, heads = play(lambda head: "HTTP/1.1 307 Moved\nLocation: https://169.254.169.254/x\nContent-Length: 0\n\n")
    for ask in (store.list, lambda: store.look("a"), lambda: store.read("a")):
        with pytest.raises((RetryLater, TaskError)) as caught:
            ask()
        assert "redirect" in caught.value.message or "307" in caught.value.message
    assert all("169.254" not in head for head in heads)


# SSH


def ssh(script: Callable[[Any], None], **options: Any) -> str:
    """Return the error of a connection to a server that plays a script."""
    with ScriptedServer(script) as server:
        connection = Connection("127.0.0.1", server.port, StoreOptions(password="x", timeout=5.0, **options))
        with contextlib.closing(connection), pytest.raises((RetryLater, TaskError)) as caught:
            connection.open()
    return caught.value.message


def test_a_greeting_without_an_end() -> None:
    sent = 0

    def script(connection: Any) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while sent < 200_000_000:
                connection.say(BLOCK)
                sent += len(BLOCK)

    assert ssh(script)
    assert sent < 20_000_000


def test_a_packet_of_gigabytes() -> None:
    sent = 0

    def script(connection: Any) -> None:
        nonlocal sent
        connection.say(b"SSH-2.0-hostile\r\n" + struct.pack(">I", 0x7FFFFFF0))
        with contextlib.suppress(OSError):
            while sent < 200_000_000:
                connection.say(BLOCK)
                sent += len(BLOCK)

    assert ssh(script)
    assert sent < 20_000_000


class Channel:
    """What an SFTP client needs of a channel."""

    def gettimeout(self) -> float:
        return 60.0


def client(answers: Callable[[int], tuple[int, bytes] | None], seconds: float = 0.0) -> Any:
    """Return an SFTP client that gets answers without a server: each after some seconds, by a clock of its own."""

    class Scripted(limits.client_class()):  # type: ignore[misc]
        now = 0.0

        def __init__(self) -> None:
            self.asked: list[int] = []
            self.clock = lambda: self.now
            self._asked = 0.0
            self._pace, self._pages, self._page = limits.Pace(), limits.Pages("x"), 0

        def get_channel(self) -> Channel:
            return Channel()

    def request(self: Any, kind: int, *_args: Any) -> tuple[int, Any]:
        self.asked.append(kind)
        self.now += seconds
        found = answers(kind)
        if found is None:
            raise EOFError
        return found[0], paramiko.Message(found[1])

    scripted = Scripted()
    scripted._send = request
    return scripted


def ask(sftp: Any, monkeypatch: pytest.MonkeyPatch, kind: int, *args: Any) -> Any:
    monkeypatch.setattr(paramiko.SFTPClient, "_request", sftp._send)
    return sftp._request(kind, *args)


NAME = paramiko.sftp.CMD_NAME
READ, READDIR, OPENDIR, OPEN = (
    getattr(paramiko.sftp, f"CMD_{each}") for each in ("READ", "READDIR", "OPENDIR", "OPEN")
)


def test_a_folder_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sftp = client(lambda kind: (NAME, struct.pack(">I", 10_000)))
    ask(sftp, monkeypatch, OPENDIR, "/images")
    with pytest.raises(TaskError, match="The list of /images has no end: the server returned more than 500000 entries"):
        for _page in range(100):
            _kind, message = ask(sftp, monkeypatch, READDIR, b"handle")
            assert message.get_int() == 10_000  # it can still be read


def test_a_folder_of_empty_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    sftp = client(lambda kind: (NAME, struct.pack(">I", 0)))
    ask(sftp, monkeypatch, OPENDIR, "/images")
    with pytest.raises(TaskError, match="more than 10000 pages"):
        for _page in range(20_000):
            ask(sftp, monkeypatch, READDIR, b"handle")


def test_a_page_that_announces_too_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    sftp = client(lambda kind: (NAME, struct.pack(">I", 0xFFFFFFFF)))
    with pytest.raises(paramiko.SSHException, match="4294967295 names at once"):
        ask(sftp, monkeypatch, READDIR, b"handle")


def test_a_file_that_comes_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    sftp = client(lambda kind: (paramiko.sftp.CMD_DATA, b"\0\0\0\1x"), seconds=5.0)
    ask(sftp, monkeypatch, OPEN, "/images/a")
    with pytest.raises(OSError, match="the connection is too slow"):
        for _read in range(100):
            ask(sftp, monkeypatch, READ, b"handle")
    assert len(sftp.asked) < 20


def test_answers_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sftp = client(lambda kind: None)
    monkeypatch.setattr(paramiko.SFTPClient, "_read_packet", lambda self: (NAME, b""))
    for sftp.now in (0.0, 599.0):
        assert sftp._read_packet() == (NAME, b"")
    sftp.now = 601.0
    with pytest.raises(paramiko.SSHException, match="other answers"):
        sftp._read_packet()
