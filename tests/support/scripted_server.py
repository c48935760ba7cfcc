# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that says byte by byte what a test wants it to say, and counts what it gets: plain or over TLS."""

from __future__ import annotations

import contextlib
import socket
import socketserver
from pathlib import Path
from typing import Any, Callable

from .listener import Listener
from .serving import HOST, Certificates


class Connection:
    """One accepted connection."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._wire.settimeout(10)
        self._buffer = b""

    def head(self) -> str:
        """Read a request's line and headers; an empty text when there is no more request."""
        while b"\r\n\r\n" not in self._buffer:
            block = self._wire.recv(65536)
            if not block:
                return ""
            self._buffer += block
        head, _end, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode()

    def request(self) -> str:
        """Read a request with its body; return its line and headers."""
        head = self.head()
        for line in head.split("\r\n")[1:]:
            name, _colon, value = line.partition(":")
            if name.lower() == "content-length":
                self.take(int(value))
        return head

    def take(self, size: int) -> bytes:
        """Read so many bytes of a body, less when the client ends before."""
        while len(self._buffer) < size:
            block = self._wire.recv(65536)
            if not block:
                break
            self._buffer += block
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def uninvited(self, seconds: float) -> int:
        """Return how many bytes come within a time in which none should."""
        self._wire.settimeout(seconds)
        count = len(self._buffer)
        with contextlib.suppress(TimeoutError, socket.timeout, OSError):
            while True:
                block = self._wire.recv(65536)
                if not block:
                    break
                count += len(block)
        self._wire.settimeout(10)
        return count

    def say(self, text: str | bytes) -> None:
        """Send something; line ends become those of HTTP."""
        self._wire.sendall(text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode())

    @property
    def wire(self) -> socket.socket:
        return self._wire


class ScriptedServer:
    """Calls C(script) with each connection, in a thread for each, and closes the connection after it."""

    def __init__(self, script: Callable[[Connection], None], tls: str | Path | None = None) -> None:
        certificates = Certificates(tls) if tls else None
        self.script = script
        self.ca_path = certificates.ca_path if certificates else None
        self.connections = 0
        self._listener = Listener(self, _Handler, certificates.context() if certificates else None)
        self.port = self._listener.port
        self.url = f"{'https' if certificates else 'http'}://{HOST}:{self.port}"

    def __enter__(self) -> ScriptedServer:
        self._listener.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._listener.stop()


class _Handler(socketserver.BaseRequestHandler):
    server: Listener

    def handle(self) -> None:
        self.server.owner.connections += 1
        self.server.owner.script(Connection(self.request))
