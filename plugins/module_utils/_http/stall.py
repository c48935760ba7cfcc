# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A minimum speed, below which a connection counts as broken.

A socket's timeout measures silence. A server that takes or sends a few bytes now and then never reaches it, and an
upload would take years.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import time
from typing import Any, Callable

from .limits import Meter, allowance

# Bytes per second. At this speed 60 GB take six weeks.
SLOWEST = 16 * 1024
# Bytes after which the measurement starts over, because a fast connection may become slow.
_STRETCH = 1024 * 1024


class TooSlow(OSError):
    """The connection is slower than the minimum speed."""

    def __init__(self, count: int, waited: float) -> None:
        super().__init__(errno.ETIMEDOUT, f"the connection is too slow: {count} bytes in {waited:.0f} seconds")


class Pace:
    """Adds up the time spent waiting for the network, and ends a connection that is too slow."""

    def __init__(self) -> None:
        self._count = 0
        self._waited = 0.0

    def moved(self, count: int, waited: float, patience: float | None) -> None:
        """Record that C(count) bytes took C(waited) seconds. Raises TooSlow.

        Each MiB may take C(patience) seconds longer than at the minimum speed.
        """
        self._count += count
        self._waited += waited
        if patience is not None and self._waited > patience + self._count / SLOWEST:
            raise TooSlow(self._count, self._waited)
        if self._count >= _STRETCH:
            self._count, self._waited = 0, 0.0


def send_at_pace(wire: Any, data: Any, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
    """Send all of C(data) over a socket. Raises TooSlow."""
    rest = memoryview(data)
    while rest:
        begun = clock()
        count = wire.send(rest)
        pace.moved(count, clock() - begun, wire.gettimeout())
        rest = rest[count:]


class PacedResponse(http.client.HTTPResponse):
    """An answer with a minimum speed, and within the allowance of its request.

    The socket's timeout limits how long the server may take to begin it.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        # The server's certificate and address, because the connection may be closed and forgotten before the answer is
        # read.
        certificate = getattr(sock, "getpeercert", None)
        self.certificate: bytes | None = certificate(True) if certificate else None
        self.peer = peer_of(sock)
        self._meter = Meter(allowance())
        super().__init__(_Wire(sock, self._meter), *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._meter.begin_body()


def peer_of(wire: Any) -> str | None:
    """Return the address at the other end of a connection, None when it is not known."""
    try:
        return str(wire.getpeername()[0])
    except (AttributeError, OSError, IndexError, TypeError):
        return None


class _Wire:
    """The part of a socket that C(HTTPResponse) uses."""

    def __init__(self, wire: socket.socket, meter: Meter) -> None:
        self._wire = wire
        self._meter = meter

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PacedReader(self._wire, self._meter))


class _PacedReader(io.RawIOBase):
    def __init__(self, wire: socket.socket, meter: Meter) -> None:
        super().__init__()
        self._wire = wire
        self._meter = meter
        self._raw = wire.makefile("rb", buffering=0)
        # None until the first byte.
        self._pace: Pace | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begun = time.monotonic()
        count = self._raw.readinto(buffer)
        waited = time.monotonic() - begun
        if self._pace is None:
            self._pace = Pace()
        elif count:
            self._pace.moved(count, waited, self._wire.gettimeout())
        self._meter.moved(count or 0, waited)
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()
