# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What requests, urllib3 and http.client lack: waiting for C(100 Continue), and ending connections that crawl.

Without it, a body of 100 GB is sent to the end before a server's "401 wrong password" is read. With it, the headers are
sent alone. The body follows when the server asks for it, or when the server has been silent for some seconds.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import socket
from typing import Any

from .._common.deps import load
from .._common.files import BLOCK
from .limits import allowance
from .networks import addresses_within, require_within
from .stall import Pace, PacedResponse, peer_of, send_at_pace

# Seconds of silence after which the server is assumed not to support the header (RFC 9110, 10.1.1).
CONTINUE_WAIT = 5.0

# urllib3 and http.client read and send blocks of 16 KiB by default, which costs more than the work itself.

# What fits into one TLS record is sent as a whole or not at all.
_SMALL = 16 * 1024

_INTERIM = re.compile(rb"HTTP/1\.\d 1(\d\d)")


class ExpectContinue:
    """Mixin for a connection class of urllib3: requests with the header C(Expect) wait for the server's consent."""

    response_class = PacedResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.blocksize = BLOCK
        self._pace = Pace()
        self._expects = False
        self._refused = False
        self._begun: http.client.HTTPResponse | None = None

    def _new_conn(self) -> Any:
        networks = allowance().networks
        if networks is None:
            return super()._new_conn()
        # The name is resolved once, so that the address that is checked is the one that is connected to.
        named = self._dns_host
        try:
            *others, last = addresses_within(named, self.port, networks)
            for self._dns_host in others:
                with contextlib.suppress(OSError, load("urllib3.exceptions").HTTPError):
                    return super()._new_conn()
            self._dns_host = last
            return super()._new_conn()
        finally:
            self._dns_host = named

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        networks, peer = allowance().networks, peer_of(self.sock)
        if networks is not None and peer is not None:  # a connection that was opened for another request
            require_within(peer, networks)
        self._expects = False
        self._refused = False
        self._begun = None
        self._pace = Pace()
        super().putrequest(*args, **kwargs)

    def putheader(self, header: str, *values: Any) -> None:
        if header.lower() == "expect":
            self._expects = True
        super().putheader(header, *values)

    def send(self, data: Any) -> None:
        if hasattr(data, "read"):
            for block in iter(lambda: data.read(self.blocksize), b""):
                self.send(block)
        elif len(data) > _SMALL and self.sock is not None:
            send_at_pace(self.sock, data, self._pace)
        else:
            super().send(data)

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        if not self._expects:
            super().endheaders(message_body, encode_chunked=encode_chunked)
            return
        super().endheaders()
        if not self._wanted():
            self._refused = True
            # The one error after which urllib3 (1.26 and 2) still reads the answer, as it does when a server has
            # answered and then closed the connection.
            raise BrokenPipeError("the server answered before the body was sent")
        if message_body is not None:
            self.send(message_body)

    def _wanted(self) -> bool:
        """Return whether the server wants the body. Keep an answer that has begun: its buffer may hold more of it."""
        answer = PacedResponse(self.sock, method=self._method)
        before = self.sock.gettimeout()
        self.sock.settimeout(CONTINUE_WAIT)
        try:
            while True:
                try:
                    interim = _INTERIM.match(answer.fp.peek(12))
                except socket.timeout:
                    answer.close()  # no byte has come, so none is lost
                    return True
                if interim is None:
                    self._begun = answer
                    return False
                while answer.fp.readline(65536) not in (b"\r\n", b"\n", b""):
                    pass
                if interim.group(1) == b"00":
                    self._begun = answer
                    return True
        finally:
            self.sock.settimeout(before)

    def getresponse(self) -> Any:
        begun, self._begun = self._begun, None
        if begun is None:
            return super().getresponse()
        self.response_class = lambda *args, **kwargs: begun
        try:
            return super().getresponse()
        finally:
            del self.response_class
            if self._refused and self.sock is not None:
                # The server may still wait for the body that it refused, so the connection must not be used again. The
                # answer keeps the socket open until it is read.
                abandoned, self.sock = self.sock, None
                abandoned.close()


@functools.cache
def pool_classes() -> dict[str, type]:
    """Return the connection pools for urllib3's C(PoolManager.pool_classes_by_scheme)."""
    connection = load("urllib3.connection")
    pools = load("urllib3.connectionpool")
    found = {}
    for scheme, base, pool in (
        ("http", connection.HTTPConnection, pools.HTTPConnectionPool),
        ("https", connection.HTTPSConnection, pools.HTTPSConnectionPool),
    ):
        waiting = type(base.__name__, (ExpectContinue, base), {})
        found[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": waiting})
    return found
