# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that crawls is ended, one that is only slow or silent for a while is not."""

from __future__ import annotations

import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._http.stall import SLOWEST, Pace, TooSlow, send_at_pace
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer

MIB = 1024 * 1024
PATIENCE = 60.0


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([(1, 59.9), (16384, 0.0)], id="silent for a while"),
        pytest.param([(SLOWEST, 1.0)] * 300, id="slow but steady"),
        pytest.param([(MIB, 120.0)] * 5, id="a pause in each MiB"),
        pytest.param([(10 * MIB, 0.1), (1, 50.0)], id="fast, then silent"),
    ],
)
def test_what_gets_on_goes_on(moves):
    pace = Pace()
    for count, waited in moves:
        pace.moved(count, waited, PATIENCE)


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        pytest.param([(1, 1.0)] * 61, "61 bytes in 61 seconds", id="a byte a second"),
        pytest.param([(1000, 1.0)] * 70, "64000 bytes in 64 seconds", id="a kilobyte a second"),
        pytest.param([(100 * MIB, 1.0)] + [(10, 10.0)] * 7, "70 bytes in 70 seconds", id="fast, then next to nothing"),
    ],
)
def test_what_crawls_is_ended(moves, words):
    pace = Pace()
    with pytest.raises(TooSlow) as caught:
        for count, waited in moves:
            pace.moved(count, waited, PATIENCE)
    assert caught.value.strerror == f"the connection is too slow: {words}"


def test_without_a_time_limit_nothing_is_too_slow():
    Pace().moved(1, 1e9, None)


class Wire:
    """A socket that takes some bytes at a time, each time within its time limit, by a clock of its own."""

    def __init__(self, at_once, seconds):
        self.now = 0.0
        self.taken = b""
        self._at_once = at_once
        self._seconds = seconds

    def gettimeout(self):
        return PATIENCE

    def send(self, data):
        self.now += self._seconds
        taken = bytes(data[: self._at_once])
        self.taken += taken
        return len(taken)


def test_all_bytes_are_sent():
    wire = Wire(at_once=1000, seconds=0.01)
    data = bytes(range(256)) * 4096
    send_at_pace(wire, data, Pace(), clock=lambda: wire.now)
    assert wire.taken == data


def test_a_server_that_takes_next_to_nothing_is_left():
    wire = Wire(at_once=512, seconds=50.0)
    with pytest.raises(TooSlow, match="1024 bytes in 100 seconds"):
        send_at_pace(wire, b"x" * MIB, Pace(), clock=lambda: wire.now)


@pytest.fixture(params=["plain", "tls"])
def trickle(request, tmp_path):
    """Return the URL of a server that sends a few bytes now and then, and a session with a time limit."""

    def send(connection):
        connection.head()
        connection.say("HTTP/1.1 200 OK\nContent-Length: 1000000\n\n")
        for _number in range(100):
            connection.say(b"x" * 10)
            time.sleep(0.1)

    tls = tmp_path / "tls" if request.param == "tls" else None
    with ScriptedServer(send, tls=tls) as server, Http(ca_path=server.ca_path, timeout=1) as http:
        yield server.url, http


def test_a_download_that_trickles_is_ended(trickle):
    url, http = trickle
    begun = time.monotonic()
    response = http.request("GET", url, stream=True)
    with pytest.raises(
        RetryLater, match=r"The download from .* broke off after 0 bytes \(the connection is too slow: \d+ bytes"
    ):
        list(http.blocks(response))
    assert time.monotonic() - begun < 5


def test_headers_that_trickle_are_ended():
    def send(connection):
        connection.head()
        connection.say("HTTP/1.1 200 OK\n")
        for number in range(100):
            connection.say(f"X-{number}: y\n")
            time.sleep(0.1)

    with ScriptedServer(send) as server, Http(timeout=1) as http:
        begun = time.monotonic()
        with pytest.raises(RetryLater, match="the connection is too slow"):
            http.request("GET", server.url)
        assert time.monotonic() - begun < 5


def test_a_server_may_think_up_to_the_time_limit():
    """With the bytes that it sends at last, that is no crawl."""

    def think(connection):
        connection.head()
        time.sleep(0.8)
        connection.say("HTTP/1.1 200 OK\nContent-Length: 4\n\n")
        time.sleep(0.8)
        connection.say(b"word")

    with ScriptedServer(think) as server, Http(timeout=1) as http:
        assert http.request("GET", server.url).content == b"word"
