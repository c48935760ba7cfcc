# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of an answer is read, and for how long."""

from __future__ import annotations

import ast
import gzip
import re
from pathlib import Path

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._http import limits
from ansible_collections.macops.parallels.plugins.module_utils._http.limits import (
    LARGEST_HEAD,
    SMALL_ANSWER,
    Allowance,
    Meter,
    Pages,
    Unbounded,
    allowance,
    allowing,
    seconds_for,
)
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer

ROOT = Path(__file__).parents[5] / "plugins"
BOMB = gzip.compress(b"\0" * 10_000_000)


def answering(*said):
    """Return the script of a server that answers each request with the same."""

    def serve(connection):
        while connection.head():
            for each in said:
                connection.say(each)

    return serve


def of(size, head="HTTP/1.1 200 OK\n"):
    return f"{head}Content-Length: {size}\n\n", b"x" * size


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        ([(LARGEST_HEAD + 1, 0.0)], "headers of more than 256 KiB"),
        ([(1, 5.0)] * 3, "not complete after 15 seconds"),
        ([None, (2 * 100 + limits.MIB + 1, 0.0)], "far more bytes than its body has"),
        ([None, (100, 9.0), (100, 2.0)], "not complete after 11 seconds"),
    ],
)
def test_what_ends_an_answer(moves, words):
    meter = Meter(Allowance(largest=100, seconds=10.0))
    with pytest.raises(Unbounded, match=words):
        for move in moves:
            meter.begin_body() if move is None else meter.moved(*move)


def test_the_time_of_an_answer_grows_with_its_size():
    assert seconds_for(60.0, None, SMALL_ANSWER) == 136.0
    assert seconds_for(60.0, 600.0, 32 * limits.MIB) == 60 + 600 + 512


def test_an_allowance_ends_with_its_request():
    with allowing(Allowance(largest=7)):
        assert allowance().largest == 7
    assert allowance() == Allowance()


def test_an_answer_of_the_largest_size_is_read():
    with ScriptedServer(answering(*of(SMALL_ANSWER))) as server, Http() as http:
        assert len(http.request("GET", server.url).content) == SMALL_ANSWER
        assert len(http.request("GET", server.url).content) == SMALL_ANSWER
    assert server.connections == 1  # nothing is left in it, so that it can be used again


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("size", [101, 5000])
def test_a_larger_one_is_an_error(size, stream):
    with ScriptedServer(answering(*of(size))) as server, Http() as http:
        with pytest.raises(TaskError, match=r"sent more than 100 bytes in answer to one request") as caught:
            list(http.blocks(http.request("GET", server.url, stream=stream, largest=100)))
        assert caught.value.details == {"too_large": True}


READS = {
    "content": lambda response: response.content,
    "text": lambda response: response.text,
    "json": lambda response: response.json(),
    "iter_content": lambda response: list(response.iter_content(7)),
    "iter_lines": lambda response: list(response.iter_lines()),
    "raw.read": lambda response: response.raw.read(),
    "raw.read decoded": lambda response: response.raw.read(decode_content=True),
    "raw.stream": lambda response: list(response.raw.stream(7)),
    "raw in small pieces": lambda response: [response.raw.read(7) for _number in range(100)],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_no_way_to_read_a_body_goes_around_the_limit(read):
    with ScriptedServer(answering(*of(101))) as server, Http() as http:
        response = http.request("GET", server.url, stream=True, largest=100)
        with pytest.raises(TaskError, match="sent more than 100 bytes"):
            read(response)
            read(response)


@pytest.mark.parametrize("name", ["content", "text", "json", "iter_content", "raw.read decoded"])
def test_no_way_to_read_a_body_decodes_it(name):
    said = f"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: {len(BOMB)}\n\n", BOMB
    with ScriptedServer(answering(*said)) as server, Http() as http:
        response = http.request("GET", server.url, stream=True)
        with pytest.raises(TaskError, match=r"compressed its answer \(gzip\), although it was asked not to"):
            READS[name](response)
        with pytest.raises(TaskError, match="compressed its answer"):
            list(http.file_blocks(http.request("GET", server.url, stream=True)))


@pytest.mark.parametrize("head", ["", "Content-Encoding: gzip\n"])
def test_what_an_error_says_beside_its_status_is_not_needed(head):
    with ScriptedServer(answering(*of(2 * SMALL_ANSWER, f"HTTP/1.1 404 Not Found\n{head}"))) as server, Http() as http:
        response = http.request("GET", server.url)
        assert (response.status_code, response.content) == (404, b"")


def test_an_empty_body_is_not_compressed():
    said = "HTTP/1.1 201 Created\nContent-Encoding: gzip\nContent-Length: 0\n\n"
    with ScriptedServer(answering(said)) as server, Http() as http:
        assert http.request("PUT", server.url, data=b"x").content == b""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["HTTP/1.1 200 OK\n", *[f"A{n}: b\n" for n in range(200)], "\n"], "the server sent more than 100 headers"),
        (["HTTP/1.1 200 OK\n", f"A: {'b' * 70_000}\n"], "a line of more than 64 KiB"),
        (["HTTP/1.1 200 OK\n", *[f"A{n}: {'b' * 60_000}\n" for n in range(5)]], "headers of more than 256 KiB"),
        (["HTTP/1.1 100 Continue\n\n"] * 20_000, "headers of more than 256 KiB"),
        (["HTTP/1.1 103 Early\nLink: x\n\n"] * 20_000, None),
    ],
)
def test_headers(said, words):
    with ScriptedServer(answering("".join(said))) as server, Http(timeout=5) as http:
        if words is None:  # an answer like any other
            assert http.request("GET", server.url).status_code == 103
        else:
            with pytest.raises((RetryLater, TaskError), match=words):
                http.request("GET", server.url)


def test_the_wait_for_consent_has_an_end():
    """The flood is longer than what is read before a body."""
    flood = "HTTP/1.1 100 Continue\n" + "X: y\n" * 100_000
    with (
        ScriptedServer(answering(flood)) as server,
        Http() as http,
        pytest.raises(TaskError, match="headers of more than 256 KiB"),
    ):
        http.request("PUT", server.url, data=b"x" * 100_000, expect=True)


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([("a",), ("b",), ("a",)], "returned a page again"),
        ([(n,) for n in range(limits._MOST_PAGES + 1)], "more than 10000 pages"),
        ([(n, 64 * limits.MIB) for n in range(5)], r"more than 268\.4 MB"),
        ([(n, 0, 200_000) for n in range(3)], "more than 500000 entries"),
    ],
)
def test_lists_have_an_end(turns, words):
    pages = Pages("The list of it")
    with pytest.raises(TaskError, match=rf"The list of it has no end: .*{words}"):
        for turn in turns:
            pages.turn(*turn)


def test_lists_that_are_slow_have_an_end():
    now = [0.0]
    pages = Pages("The list", clock=lambda: now[0])
    pages.turn("a")
    now[0] = 3601.0
    with pytest.raises(TaskError, match="not complete after 60 minutes"):
        pages.turn("b")


# Where the limits are. Each other file gets its bytes from Http, whose answers have no way around them.
TYPE_OF_ELEMENTS = ("_parallels/vm.py", "_stores/azblob/store.py", "_stores/https/propfind.py")
OPENERS = {
    "http.client": {"_http/expect_continue.py", "_http/session.py", "_http/stall.py", "_stores/sftp/connection.py"},
    "socket": {
        "_http/expect_continue.py", "_http/networks.py", "_http/session.py", "_http/stall.py",
        "_stores/sftp/connection.py", "_common/machine.py",
    },
    "xml": {"_common/xml.py", *TYPE_OF_ELEMENTS},
    # For the proxies of the environment.
    "urllib.request": {"_http/session.py", "_stores/s3/client.py"},
    "ssl": {"_http/session.py", "_link/check.py"},
}  # fmt: skip
LOADERS = {"requests": {"_http/session.py"}, "urllib3": {"_http/session.py", "_http/expect_continue.py"}}
NETWORK = ("http", "requests", "socket", "ssl", "urllib", "urllib3", "xml")
HARMLESS = ("urllib.parse", "urllib.error", "http.cookiejar")


def test_nobody_else_opens_a_connection_or_parses_xml():
    """Else an answer without limits would be read one day."""
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix().removeprefix("module_utils/")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                modules = []
            for module in modules:
                if module.partition(".")[0] not in NETWORK or module in HARMLESS:
                    continue
                if name not in OPENERS.get(module, OPENERS.get(module.partition(".")[0], ())):
                    wrong.append(f"{name} imports {module}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
                loaded = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                package = str(loaded).partition(".")[0]
                if package in LOADERS and name not in LOADERS[package]:
                    wrong.append(f"{name} loads {loaded}")
    assert wrong == []


@pytest.mark.parametrize("name", TYPE_OF_ELEMENTS)
def test_who_names_the_type_of_an_element_parses_nothing(name):
    text = (ROOT / "module_utils" / name).read_text(encoding="utf-8")
    assert set(re.findall(r"ElementTree\.(\w+)", text)) == {"Element"}
