# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire between a client and a server of this machine, which can be cut or held: for protocols that are not HTTP.

with Wire(port_of_the_server) as wire:
    wire.cut_after = 5_000_000
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from typing import Any

from .listener import Listener
from .serving import HOST


class Wire:
    """A listening wire to C(port)."""

    def __init__(self, port: int) -> None:
        self.target = port
        # The connections are cut when so many bytes have gone from the clients to the server; None for never. Once.
        self.cut_after: int | None = None
        # While it is true, nothing moves.
        self.held = False
        # Bytes from the clients to the server, and back.
        self.sent = 0
        self.received = 0
        self.connections = 0
        self.lock = threading.Lock()
        self._listener = Listener(self, _Handler)
        self.port = self._listener.port

    def __enter__(self) -> Wire:
        self._listener.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self.held = False
        self._listener.stop()

    def begin(self) -> None:
        """Begin anew: whole, moving, and nothing counted."""
        with self.lock:
            self.cut_after, self.held, self.sent, self.received, self.connections = None, False, 0, 0, 0

    def passes(self, size: int) -> int:
        """Count bytes to the server; return how many of them get through."""
        with self.lock:
            if self.cut_after is not None and self.sent + size >= self.cut_after:
                through = max(0, self.cut_after - self.sent)
                self.cut_after = None
                self.sent += through
                return through
            self.sent += size
            return size


class _Handler(socketserver.BaseRequestHandler):
    server: Listener

    def handle(self) -> None:
        wire, client = self.server.owner, self.request
        with wire.lock:
            wire.connections += 1
        with contextlib.suppress(OSError), socket.create_connection((HOST, wire.target), 10) as server:
            while True:
                ready = select.select([client, server], [], [], 0.05)[0]
                if wire.held:
                    continue
                for source in ready:
                    data = source.recv(64 * 1024)
                    if not data:
                        return
                    through = wire.passes(len(data)) if source is client else len(data)
                    if source is server:
                        with wire.lock:
                            wire.received += len(data)
                    (server if source is client else client).sendall(data[:through])
                    if through < len(data):
                        return
