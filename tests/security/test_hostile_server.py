# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile server, with a certificate that is trusted, fills neither memory nor time, and leads nobody inside."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.attacked import Attacked
from support.scripted_server import Connection, ScriptedServer

MIB = 1024 * 1024
OK = "HTTP/1.1 200 OK\n"
LISTING = "HTTP/1.1 207 Multi-Status\nContent-Type: application/xml\n"
# What the operating system may hold between the two ends of a connection.
IN_TRANSIT = 16 * MIB
BLOCK = b"\1" * 65536

BOMB = gzip.compress(b"\0" * 200 * MIB, 9)
ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
DTD = f'<!DOCTYPE x [<!ENTITY e0 "0123456789">{ENTITIES}]><multistatus xmlns="DAV:">&e9;</multistatus>'


class Hostile:
    """A server that plays one attack on each connection, and counts what it gets rid of."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer(self._serve, tls=folder)
        self.attack: Callable[[Connection, str], None]
        self.sent = 0
        self.heads: list[str] = []

    def __enter__(self) -> Hostile:
        self._server.__enter__()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._server.__exit__()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def ca_path(self) -> str:
        assert self._server.ca_path is not None
        return self._server.ca_path

    @property
    def connections(self) -> int:
        return self._server.connections

    def play(self, attack: Callable[[Connection, str], None]) -> None:
        """Begin another attack."""
        self.attack = attack
        self.sent = 0
        self.heads = []

    def say(self, connection: Connection, text: str | bytes) -> None:
        connection.say(text)
        self.sent += len(text)

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while True:
                head = connection.request()
                if not head:
                    return
                self.heads.append(head)
                self.attack(connection, head)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with Hostile(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """Return a server of which only this machine should know."""
    with ScriptedServer(lambda connection: None, tls=tmp_path_factory.mktemp("inside")) as server:
        yield server


@pytest.fixture(scope="module")
def ask(collections: pathlib.Path) -> Iterator[Any]:
    with Attacked(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable, collections) as attacked:
        yield attacked.ask


def for_ever(hostile: Hostile, head: str, block: str | bytes) -> Callable[[Connection, str], None]:
    """Return an attack that sends a beginning, and then a block again and again."""

    def attack(connection: Connection, _head: str) -> None:
        hostile.say(connection, head)
        while hostile.sent < 2000 * MIB:
            hostile.say(connection, block)

    return attack


CHUNKED = "Transfer-Encoding: chunked\n"
LINE = f"X-Line: {'y' * 60000}\n"
ENDLESS = [
    pytest.param("read", {}, f"{OK}\n", BLOCK, "is larger than 4194304 bytes", 4 * MIB, id="a small file"),
    pytest.param(
        "read", {"limit": 32 * MIB}, f"{OK}\n", BLOCK, "is larger than 33554432 bytes", 32 * MIB, id="a catalog"
    ),
    pytest.param("delete", {}, f"{OK}\n", BLOCK, "sent more than 1.0 MB", MIB, id="an answer"),
    pytest.param(
        "list", {"https_method": "webdav"}, f"{LISTING}\n", BLOCK, "is larger than 16 MiB", 16 * MIB, id="a listing"
    ),
    pytest.param("list", {"sharepoint": True}, f"{OK}\n", BLOCK, "sent more than", 16 * MIB, id="SharePoint's answer"),
    pytest.param("read", {}, OK, LINE, "headers of more than 256 KiB", MIB, id="headers"),
    pytest.param("delete", {}, "", "HTTP/1.1 100 Continue\n\n", "headers of more than 256 KiB", MIB, id="interim"),
    pytest.param(
        "delete", {}, f"{OK}{CHUNKED}\n", f"1;{'e' * 60000}\nx\n", "far more bytes", 3 * MIB, id="chunk extensions"
    ),
    pytest.param("delete", {}, f"{OK}{CHUNKED}\n0\n", LINE, "far more bytes", 3 * MIB, id="trailers"),
    pytest.param("link", {}, OK, LINE, "headers of more than 256 KiB", MIB, id="headers of a link"),
    pytest.param("link", {}, f"{OK}Content-Type: text/html\n\n<html>", b" " * 65536, "html:", MIB, id="a page"),
    pytest.param(
        "link", {"proof": "full", "size": MIB}, f"{OK}{CHUNKED}\n", b"10000\r\n" + BLOCK + b"\r\n",
        "longer than the expected 1048576 bytes", MIB, id="an image",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "options", "head", "block", "words", "size"), ENDLESS)
def test_an_answer_without_an_end(hostile, ask, what, options, head, block, words, size):
    hostile.play(for_ever(hostile, head, block))
    outcome = ask(what, hostile.url, hostile.ca_path, **options)
    assert words in outcome.said
    # Some questions are several requests, and some are asked twice.
    assert hostile.sent <= len(hostile.heads) * (2 * size + IN_TRANSIT)
    assert outcome.memory <= 3 * size + 24 * MIB
    assert outcome.seconds < 10


COMPRESSED = f"Content-Encoding: gzip\nContent-Length: {len(BOMB)}\n\n"


@pytest.mark.parametrize(
    ("what", "options", "head"),
    [
        ("read", {}, OK),
        ("delete", {}, OK),
        ("list", {"https_method": "webdav"}, LISTING),
        ("list", {"sharepoint": True}, f"{OK}Content-Type: application/json\n"),
        ("link", {}, OK),
    ],
)
def test_a_few_bytes_that_become_many(hostile, ask, what, options, head):
    def attack(connection: Connection, _head: str) -> None:
        hostile.say(connection, head + COMPRESSED)
        hostile.say(connection, BOMB)

    hostile.play(attack)
    outcome = ask(what, hostile.url, hostile.ca_path, **options)
    assert "compress" in outcome.said
    assert outcome.memory < 24 * MIB


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-7", "cp037", "iso-8859-1"])
def test_a_listing_that_defines_entities(hostile, ask, encoding):
    declared = {"utf-16-be": "utf-16"}.get(encoding, encoding)
    document = f'<?xml version="1.0" encoding="{declared}"?>{DTD}'.encode(encoding)

    def attack(connection: Connection, _head: str) -> None:
        connection.say(f"{LISTING}Content-Length: {len(document)}\n\n")
        connection.say(document)

    hostile.play(attack)
    outcome = ask("list", hostile.url, hostile.ca_path, https_method="webdav")
    # Some encodings are refused as a whole.
    assert ("cannot be parsed" if encoding in ("utf-7", "cp037") else "contains a DOCTYPE") in outcome.said
    assert outcome.memory < 24 * MIB
    assert outcome.seconds < 5


def test_a_listing_of_nothing_but_elements(hostile, ask):
    document = b'<multistatus xmlns="DAV:">' + b"<a/>" * (3 * MIB) + b"</multistatus>"

    def attack(connection: Connection, _head: str) -> None:
        connection.say(f"{LISTING}Content-Length: {len(document)}\n\n")
        connection.say(document)

    hostile.play(attack)
    outcome = ask("list", hostile.url, hostile.ca_path, https_method="webdav")
    assert "has more than 400000 elements" in outcome.said
    assert outcome.memory < 64 * MIB


@pytest.mark.parametrize(
    ("what", "head", "words"),
    [
        ("read", f"{OK}Content-Length: 1000\n\n", "too slow"),
        ("read", OK, "too slow"),
        ("delete", f"{OK}Content-Length: 1000\n\n", "too slow"),
        ("link", f"{OK}Content-Length: 1000\n\n", "too slow"),
    ],
)
def test_a_byte_now_and_then(hostile, ask, what, head, words):
    def attack(connection: Connection, _head: str) -> None:
        connection.say(head)
        for _number in range(1000):
            connection.say(b"x")
            time.sleep(0.05)

    hostile.play(attack)
    outcome = ask(what, hostile.url, hostile.ca_path, timeout=0.3)
    assert words in outcome.said
    assert outcome.seconds < 10


@pytest.mark.parametrize("after", ["9" * 18, "9" * 40, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_asks_for_years(hostile, ask, after):
    def attack(connection: Connection, _head: str) -> None:
        connection.say(f"HTTP/1.1 503 Busy\nRetry-After: {after}\nContent-Length: 0\n\n")

    hostile.play(attack)
    for what in ("read", "link"):
        outcome = ask(what, hostile.url, hostile.ca_path)
        assert "503" in outcome.said
        assert len(outcome.pauses) == 1 and outcome.pauses[0] <= 150


INWARD = [
    ("https://169.254.169.254/latest/meta-data/", "link-local"),
    ("https://[::ffff:169.254.169.254]/", "link-local"),
    ("https://[::ffff:10.0.0.1]/", "private"),
    ("https://[64:ff9b::a00:1]/", "private"),
    ("https://[fd00::1]/", "private"),
    ("https://100.64.0.1/", "private"),
    ("https://0xa9fea9fe/", "link-local"),
]


def redirecting(target: str, more: str = "") -> Callable[[Connection, str], None]:
    def attack(connection: Connection, _head: str) -> None:
        connection.say(f"HTTP/1.1 302 Found\n{more}Location: {target}\nContent-Length: 0\n\n")

    return attack


@pytest.mark.parametrize(("target", "network"), INWARD)
def test_a_redirect_into_another_network(hostile, ask, target, network):
    """The server is at an address of this machine. It may lead to that machine, and to the internet."""
    hostile.play(redirecting(target))
    outcome = ask("read", hostile.url, hostile.ca_path, https_method="artifactory")
    assert f"in a {network} network that {hostile.url[8:]} is not in" in outcome.said
    assert outcome.seconds < 5
    if network == "link-local":
        outcome = ask("link", hostile.url, hostile.ca_path)
        assert "insecure:" in outcome.said and f"in a {network} network" in outcome.said


@pytest.mark.parametrize("method", ["auto", "put", "webdav"])
@pytest.mark.parametrize("what", ["read", "look"])
def test_a_redirect_to_another_server_of_this_machine(hostile, inside, ask, method, what):
    hostile.play(redirecting(f"{inside.url}/admin"))
    outcome = ask(what, hostile.url, hostile.ca_path, https_method=method)
    assert "is another server. The redirect was not followed" in outcome.said
    assert inside.connections == 0


def test_a_redirect_away_from_https(hostile, ask):
    hostile.play(redirecting("http://127.0.0.1/", "Server: Nexus/3\n"))
    assert "which is not HTTPS" in ask("read", hostile.url, hostile.ca_path).said
    assert "insecure:" in ask("link", hostile.url, hostile.ca_path).said


def test_redirects_without_an_end(hostile, ask):
    def attack(connection: Connection, _head: str) -> None:
        connection.say(f"HTTP/1.1 302 Found\nLocation: /{len(hostile.heads)}\nContent-Length: 0\n\n")

    hostile.play(attack)
    assert "redirects more than 5 times" in ask("read", hostile.url, hostile.ca_path).said
    assert len(hostile.heads) <= 8
    hostile.play(attack)
    assert "too_many_redirects" in ask("link", hostile.url, hostile.ca_path).said
    assert len(hostile.heads) <= 16


def say_json(connection: Connection, content: Any) -> None:
    data = json.dumps(content).encode()
    connection.say(f"{OK}Content-Type: application/json\nContent-Length: {len(data)}\n\n")
    connection.say(data)


@pytest.mark.parametrize("same", [True, False])
def test_a_library_without_an_end(hostile, ask, same):
    """The list of the libraries of a site continues at the same page, or at ever new ones."""

    def attack(connection: Connection, head: str) -> None:
        if "/drives" not in head.split()[1]:
            say_json(connection, {"id": "site"})
            return
        names = [{"name": f"{len(hostile.heads)} {number}", "id": "x"} for number in range(20_000)]
        page = 0 if same else len(hostile.heads)
        say_json(connection, {"value": names, "@odata.nextLink": f"{hostile.url}/v1.0/drives?page={page}"})

    hostile.play(attack)
    outcome = ask("look", hostile.url, hostile.ca_path, sharepoint=True)
    assert ("does not show how the list continues" if same else "has no end") in outcome.said
    assert len(hostile.heads) < 40


def test_a_download_of_sharepoint_that_leads_inside(hostile, ask):
    def attack(connection: Connection, head: str) -> None:
        path = head.split()[1]
        if path.endswith("/content"):
            redirecting("https://169.254.169.254/secret?token=hush")(connection, head)
        elif "/drives?" in path:
            say_json(connection, {"value": [{"name": "Documents", "id": "drive"}]})
        else:
            say_json(connection, {"id": "item", "file": {}, "size": 2, "eTag": "e"})

    hostile.play(attack)
    outcome = ask("read", hostile.url, hostile.ca_path, sharepoint=True)
    assert "in a link-local network" in outcome.said
    assert "hush" not in outcome.said
