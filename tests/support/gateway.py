# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before a real server in a test: it ends TLS, counts the requests, and makes the faults.

    with Gateway(port_of_the_server) as gateway:
        gateway.faults.append(Fault("PUT", status=503, headers={"Retry-After": "7"}))

Everything else goes through as it came: head, body and answer are not interpreted, so that signatures stay valid.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from .https_store import Fault, Request, Seen
from .listener import HttpHandler, Listener
from .serving import HOST, Certificates

_BLOCK = 64 * 1024
# Between a client and its gateway alone.
_HOP_BY_HOP = ("connection", "expect", "keep-alive", "proxy-connection")


class _Cut(Exception):
    """The connection ends here."""


class Gateway:
    """A listening gateway, with TLS, before C(port) of this machine, which has TLS of its own with C(tls)."""

    def __init__(self, port: int, tls: bool = False, timeout: float = 60.0) -> None:
        self._target = port
        self._tls = ssl._create_unverified_context() if tls else None  # nosec B323 # to a server of this test
        self.timeout = timeout
        self._temporary = tempfile.TemporaryDirectory(prefix="gateway-")
        found = Certificates(self._temporary.name)
        self.ca_path = found.ca_path
        self.faults: list[Fault] = []
        self._seen: list[Seen] = []
        self._under_way = 0
        self.changed = threading.Condition()
        self._listener = Listener(self, _Handler, found.context())
        self._listener.patience = timeout
        self.port = self._listener.port
        self.url = f"https://{HOST}:{self.port}"

    def __enter__(self) -> Gateway:
        self._listener.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._listener.stop()
        self._temporary.cleanup()

    def connect(self) -> socket.socket:
        """Return a new connection to the server."""
        wire = socket.create_connection((HOST, self._target), self.timeout)
        return self._tls.wrap_socket(wire) if self._tls is not None else wire

    def begin(self) -> None:
        """Begin anew: no faults, and nothing seen."""
        with self.changed:
            self.changed.wait_for(lambda: self._under_way == 0, timeout=10)
            self.faults.clear()
            self._seen = []

    @property
    def seen(self) -> list[Seen]:
        """The requests so far: those under way are waited for."""
        with self.changed:
            self.changed.wait_for(lambda: self._under_way == 0, timeout=10)
            return list(self._seen)

    def requests(self, method: str) -> list[Seen]:
        """Return the requests of a method that came in so far."""
        return [seen for seen in self.seen if seen.method == method]

    def fault_for(self, request: Request) -> Fault | None:
        """Return the fault that strikes a request, if any."""
        with self.changed:
            for fault in self.faults:
                if fault.strikes(request):
                    fault.times -= 1
                    fault.struck += 1
                    return fault
        return None

    @contextlib.contextmanager
    def counted(self, request: Request, state: dict[str, Any]) -> Iterator[None]:
        """Write down a request when it is over."""
        with self.changed:
            self._under_way += 1
        try:
            yield
        finally:
            with self.changed:
                self._under_way -= 1
                self._seen.append(
                    Seen(request.method, request.path, request.headers, state["body"], state["status"], request.query)
                )
                self.changed.notify_all()


class _Handler(HttpHandler):
    def serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(parts.path), headers, parts.query)
        gateway = self.server.owner
        state: dict[str, Any] = {"body": 0, "status": None}
        with gateway.counted(request, state):
            fault = gateway.fault_for(request)
            if fault is not None and fault.do is not None:
                fault.do()
            try:
                self._pass_on(fault, state)
            except (_Cut, OSError, http.client.HTTPException):
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, fault: Fault | None, state: dict[str, Any]) -> None:
        if fault is not None and fault.status is not None:
            self._answer_alone(fault, state)
            return
        with self.server.owner.connect() as server:
            server.sendall(self._head())
            for block in self._body(fault, state):
                server.sendall(block)
            response = http.client.HTTPResponse(server, method=self.command)
            response.begin()
            state["status"] = response.status
            if fault is not None and fault.lose_answer:
                response.read()
                raise _Cut
            self._relay(response, fault)

    def _answer_alone(self, fault: Fault, state: dict[str, Any]) -> None:
        if "Expect" in self.headers:
            self.close_connection = True  # the body never comes
        else:
            for _block in self._body(None, state):
                pass
        state["status"] = fault.status
        self.send_response(fault.status, "By A Fault")
        body = fault.body
        for name, value in {**fault.headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self) -> bytes:
        lines = [f"{self.command} {self.path} HTTP/1.1", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _body(self, fault: Fault | None, state: dict[str, Any]) -> Iterator[bytes]:
        """Yield the body as it is on the wire."""
        if "Expect" in self.headers:
            self.send_response_only(100)
            self.end_headers()
        limit = fault.cut_after if fault is not None else None
        begun = time.monotonic()
        for block in self._wire():
            rest = block if limit is None else block[: limit - state["body"]]
            state["body"] += len(rest)
            if rest:
                yield rest
            if limit is not None and state["body"] >= limit:
                raise _Cut
            if fault is not None and fault.slow and time.monotonic() < begun + fault.slow_for:
                time.sleep(len(rest) / fault.slow)

    def _wire(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            yield from self._chunks()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            block = self.rfile.read1(min(left, _BLOCK))
            if not block:
                raise _Cut
            left -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self.rfile.readline()
            yield line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            yield self.rfile.read(size + 2)
        while True:
            line = self.rfile.readline()
            yield line
            if line in (b"\r\n", b"\n", b""):
                return

    def _relay(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        self.send_response_only(response.status, response.reason)
        dropped = (*_HOP_BY_HOP, "transfer-encoding")
        for name, value in response.getheaders():
            if name.lower() not in dropped:
                self.send_header(name, value)
        sized = response.getheader("Content-Length") is not None or response.status in (204, 304)
        if not sized and self.command != "HEAD":
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self._relay_body(response, fault)

    def _relay_body(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        ends = [] if fault is None else [end for end in (fault.reset_answer_after, fault.end_answer_after) if end]
        left = min(ends) if ends else None
        while True:
            block = response.read(_BLOCK)
            if not block:
                return
            rest = block if left is None else block[:left]
            self.wfile.write(rest)
            if left is not None:
                left -= len(rest)
                if left == 0:
                    self.wfile.flush()
                    raise _Cut
