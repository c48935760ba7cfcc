# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A company's proxy: it connects (C(CONNECT)) whoever has its password, and counts whom."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
from typing import Any

from .listener import Listener
from .serving import HOST


class ForwardProxy:
    """A running proxy. C(connected) holds the C(host:port) of each connection that it made."""

    def __init__(self, username: str = "", password: str = "") -> None:
        word = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.expected = f"Basic {word}" if username else None
        self.connected: list[str] = []
        self._listener = Listener(self, _Handler)
        self.port = self._listener.port
        login = f"{username}:{password}@" if username else ""
        self.url = f"http://{login}{HOST}:{self.port}"

    def __enter__(self) -> ForwardProxy:
        self._listener.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._listener.stop()


class _Handler(socketserver.StreamRequestHandler):
    server: Listener

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").split()
        headers = dict(self._headers())
        if len(line) != 3 or line[0] != "CONNECT":
            self._say("405 Only CONNECT")
            return
        if self.server.owner.expected not in (None, headers.get("proxy-authorization")):
            self._say("407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=proxy")
            return
        host, _colon, port = line[1].rpartition(":")
        self.server.owner.connected.append(line[1])
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 10) as server:
            self._say("200 Connected")
            _join(self.connection, server)

    def _headers(self) -> Any:
        while True:
            line = self.rfile.readline().decode("latin-1").strip()
            if not line:
                return
            name, _colon, value = line.partition(":")
            yield name.lower(), value.strip()

    def _say(self, status: str, *headers: str) -> None:
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1"))


def _join(one: socket.socket, other: socket.socket) -> None:
    ways = {one: other, other: one}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            data = source.recv(64 * 1024)
            if not data:
                return
            ways[source].sendall(data)
