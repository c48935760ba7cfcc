# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stand-ins of services that tests cannot have are made of: they answer, mostly over TLS, and log requests."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .listener import HttpHandler, Listener
from .serving import HOST, Certificates

_BLOCK = 256 * 1024
# A body that nobody wants is read, when it is no longer than this; else the connection ends.
_DRAINED = 1024 * 1024


class Exchange:
    """A request, and the way to answer it."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        parts = urlsplit(handler.path)
        self.method: str = handler.command
        # As it came, and decoded.
        self.raw_path = parts.path
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = handler.headers
        self._left = int(self.headers.get("Content-Length") or 0)
        self.length = self._left

    def blocks(self) -> Iterator[bytes]:
        """Yield the body; raise ConnectionError when it ends before its end."""
        if "Expect" in self.headers:
            self._handler.send_response_only(100)
            self._handler.end_headers()
            del self.headers["Expect"]
        while self._left:
            block = self._handler.rfile.read(min(self._left, _BLOCK))
            if not block:
                raise ConnectionError("the body ended before its end")
            self._left -= len(block)
            yield block

    def body(self) -> bytes:
        return b"".join(self.blocks())

    def send(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", reason: str = "") -> None:
        """Answer."""
        self._finish_body()
        self._handler.send_response(status, reason or None)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        if self.method != "HEAD":
            self._handler.wfile.write(body)

    def json(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(content).encode())

    def file(self, path: Path, headers: dict[str, str] | None = None) -> None:
        """Answer with a file, or the range of it that was asked for."""
        size = path.stat().st_size
        start, stop = _wanted(self.headers.get("Range", ""), size)
        partial = (start, stop) != (0, size)
        sent = {"Accept-Ranges": "bytes", "Content-Length": str(stop - start), **(headers or {})}
        if start >= size and partial:
            self.send(416, {"Content-Range": f"bytes */{size}"})
            return
        if partial:
            sent["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self._finish_body()
        self._handler.send_response(206 if partial else 200)
        for name, value in sent.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        if self.method != "HEAD":
            with path.open("rb") as handle:
                handle.seek(start)
                while start < stop:
                    block = handle.read(min(_BLOCK, stop - start))
                    start += len(block)
                    self._handler.wfile.write(block)

    def _finish_body(self) -> None:
        if "Expect" in self.headers or self._left > _DRAINED:
            self._handler.close_connection = True
            return
        for _block in self.blocks():
            pass


def _wanted(asked: str, size: int) -> tuple[int, int]:
    first, dash, last = asked.removeprefix("bytes=").partition("-")
    if not asked.startswith("bytes=") or not dash or not first.isdigit():
        return 0, size
    return int(first), min(int(last) + 1, size) if last.isdigit() else size


class StandIn:
    """A running stand-in. Subclasses say what it answers, in C(answer)."""

    def __init__(self, tls: bool = True) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="stand-in-")
        self.root = Path(self._temporary.name)
        certificates = Certificates(self.root / "tls") if tls else None
        self.ca_path = certificates.ca_path if certificates else ""
        self.lock = threading.RLock()
        self.seen: list[tuple[str, str, int | None]] = []
        self._listener = Listener(self, _Handler, certificates.context() if certificates else None)
        self.port = self._listener.port
        # How others reach it: what it says of itself begins with this. A gateway before it has another one.
        self.public_url = f"https://{HOST}:{self.port}"

    def __enter__(self) -> Any:
        self._listener.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._listener.stop()
        self._temporary.cleanup()

    def answer(self, exchange: Exchange) -> None:
        """Answer a request."""
        raise NotImplementedError

    def requests(self, method: str, beginning: str = "") -> list[str]:
        """Return the paths of the requests of a method so far."""
        return [path for each, path, _status in self.seen if each == method and path.startswith(beginning)]


class _Handler(HttpHandler):
    _status: int | None = None

    def send_response(self, code: int, message: str | None = None) -> None:
        self._status = code
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def serve(self) -> None:
        self._status = None
        exchange = Exchange(self)
        try:
            self.server.owner.answer(exchange)
        except OSError:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.close()
        finally:
            with self.server.owner.lock:
                self.server.owner.seen.append((exchange.method, exchange.path, self._status))
