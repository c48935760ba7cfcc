# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(Expect: 100-continue) is waited for, with the libraries that do not."""

from __future__ import annotations

import io
import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._http import expect_continue
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer
from ansible_collections.macops.parallels.tests.support.waiting import wait_until

SIZE = 3 * 1024 * 1024 + 7
CREATED = "HTTP/1.1 201 Created\nContent-Length: 0\n\n"
CONTINUE = "HTTP/1.1 100 Continue\n\n"


class Body(io.BytesIO):
    """What requests wants of a body: to be read, and to have a length."""

    def __init__(self) -> None:
        super().__init__(b"x" * SIZE)

    def __len__(self) -> int:
        return SIZE


@pytest.fixture(params=["plain", "tls"])
def serve(request, tmp_path):
    """Return a function that starts a server with a script, and a session for it."""
    started = []

    def start(script):
        server = ScriptedServer(script, tls=tmp_path / "tls" if request.param == "tls" else None)
        server.__enter__()
        started.append(server)
        http = Http(ca_path=server.ca_path, timeout=10)
        started.append(http)
        return server, http

    yield start
    for each in started:
        each.__exit__(None, None, None)


def test_a_refusal_costs_no_byte_of_the_body(serve):
    uninvited = []

    def refuse(connection):
        connection.head()
        connection.say("HTTP/1.1 401 Unauthorized\nContent-Length: 7\n\n")
        connection.say("go away")
        uninvited.append(connection.uninvited(0.3))

    server, http = serve(refuse)
    response = http.request("PUT", server.url + "/x", data=Body(), expect=True)
    assert (response.status_code, response.text) == (401, "go away")
    http.close()
    wait_until(lambda: uninvited, 5)
    assert uninvited == [0]


def test_after_a_refusal_another_connection_is_used(serve):
    """The server may still take what comes next for the body that it has refused."""
    heads = []

    def refuse_once(connection):
        heads.append(connection.head())
        if heads[-1].startswith("PUT"):
            connection.say("HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n")
            connection.uninvited(1)
        else:
            connection.say("HTTP/1.1 200 OK\nContent-Length: 0\n\n")

    server, http = serve(refuse_once)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 403
    assert http.request("GET", server.url + "/x").status_code == 200
    assert server.connections == 2


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(CONTINUE, id="continue"),
        pytest.param("HTTP/1.1 100 Continue\nX-Why: because\n\n", id="continue with a header"),
        pytest.param("HTTP/1.1 103 Early Hints\nLink: </x>\n\n" + CONTINUE, id="hints first"),
    ],
)
def test_the_body_follows_when_the_server_wants_it(serve, first):
    bodies = []

    def take(connection):
        connection.head()
        connection.say(first)
        bodies.append(connection.take(SIZE))
        connection.say(CREATED)

    server, http = serve(take)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 201
    assert bodies == [b"x" * SIZE]


def test_the_body_follows_when_the_server_says_nothing(serve, monkeypatch):
    monkeypatch.setattr(expect_continue, "CONTINUE_WAIT", 0.2)
    silent = []

    def ignore(connection):
        assert "Expect: 100-continue" in connection.head()
        begun = time.monotonic()
        first = connection.take(1)
        silent.append(time.monotonic() - begun)
        assert first + connection.take(SIZE - 1) == b"x" * SIZE
        connection.say(CREATED)

    server, http = serve(ignore)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 201
    assert silent[0] >= 0.15


def test_a_late_word_does_no_harm(serve, monkeypatch):
    monkeypatch.setattr(expect_continue, "CONTINUE_WAIT", 0.1)

    def late(connection):
        connection.head()
        connection.take(SIZE)
        connection.say(CONTINUE + CREATED)

    server, http = serve(late)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 201


def test_a_server_that_cannot_do_it_is_asked_without_it(serve):
    expected = []

    def cannot(connection):
        head = connection.head()
        expected.append("Expect:" in head)
        if expected[-1]:
            connection.say("HTTP/1.1 417 Expectation Failed\nContent-Length: 0\nConnection: close\n\n")
            connection.uninvited(0.2)
        else:
            connection.take(SIZE)
            connection.say(CREATED)

    server, http = serve(cannot)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 201
    assert expected == [True, False]


def test_a_server_that_hangs_up_gets_no_body(serve):
    server, http = serve(lambda connection: connection.head() and None)
    body = Body()
    with pytest.raises(RetryLater, match="connection was lost"):
        http.request("PUT", server.url + "/x", data=body, expect=True)
    assert body.tell() == 0


def test_an_answer_in_the_middle_of_the_body_is_read(serve):
    """What a server does that looks at the body before it refuses it."""

    def refuse_late(connection):
        connection.head()
        connection.say(CONTINUE)
        connection.take(1024 * 1024)
        connection.say("HTTP/1.1 507 Insufficient Storage\nContent-Length: 0\nConnection: close\n\n")
        connection.uninvited(5)

    server, http = serve(refuse_late)
    assert http.request("PUT", server.url + "/x", data=Body(), expect=True).status_code == 507


def test_requests_without_a_big_body_do_not_wait(serve):
    heads = []

    def answer_twice(connection):
        for _request in range(2):
            heads.append(connection.head())
            if "Content-Length: 3" in heads[-1]:
                connection.take(3)
            connection.say("HTTP/1.1 200 OK\nContent-Length: 0\n\n")

    server, http = serve(answer_twice)
    assert http.request("PUT", server.url + "/x", data=b"abc").status_code == 200
    assert http.request("GET", server.url + "/x").status_code == 200
    assert server.connections == 1
    assert not any("Expect" in head for head in heads)
