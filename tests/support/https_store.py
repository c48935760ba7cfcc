# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store for tests and the demo: WsgiDAV behind cheroot, over TLS with a certificate authority of its own.

Writing needs a user and a password, reading does not. In a test it is a context manager, which also counts the requests
and makes faults:

    with https_store(tmp_path) as store:
        store.faults.append(Fault("PUT", status=503, times=2))

As a command it serves until it is ended, and says where in a file:

    python https_store.py --root DIR --ready-file FILE
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable
from urllib.parse import unquote

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from wsgidav.dc.simple_dc import SimpleDomainController
from wsgidav.wsgidav_app import WsgiDAVApp

if __package__:
    from .serving import HOST, Certificates, serve_until_ended
else:
    from serving import HOST, Certificates, serve_until_ended

READING = ("GET", "HEAD")
ANY = "*"
_REQUEST = "support.request"
# How often a second a slow server takes or sends a little.
_SPOONS = 10


@dataclass(frozen=True)
class Request:
    """A request that comes in, as far as its headers tell."""

    method: str
    path: str
    headers: dict[str, str]
    query: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def destination(self) -> str:
        """The last part of where it is to be moved to."""
        return unquote(self.headers.get("Destination", "")).rpartition("/")[2]

    @property
    def length(self) -> int:
        """The size of its body."""
        return int(self.headers.get("Content-Length") or 0)


@dataclass
class Fault:
    """What goes wrong with the next requests of a method."""

    # Or ANY.
    method: str
    # The answer, in place of doing what was asked for; None for one of those below.
    status: int | None = None
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    # The body of that answer.
    body: bytes = b""
    # It comes when the body was read: whoever gets it before may find the connection closed instead.
    after_body: bool = False
    # The connection is reset when so many bytes of the body were read.
    cut_after: int | None = None
    # What was asked for is done, but the connection is closed in place of an answer.
    lose_answer: bool = False
    # The connection is reset when so many bytes of the answer's body were sent.
    reset_answer_after: int | None = None
    # The same, but it is closed in good order, as if that were all.
    end_answer_after: int | None = None
    # How many bytes more than there are (or less) the answer speaks of.
    lie: int = 0
    # No more than so many bytes a second are taken and sent, for so many seconds.
    slow: int | None = None
    slow_for: float = float("inf")
    # Only requests whose path ends like this.
    path: str = ""
    # Only requests that announce a big body, with Expect.
    big: bool = False
    # Only requests for which this is true.
    where: Callable[[Request], bool] = lambda request: True
    # Called when it strikes.
    do: Callable[[], None] | None = None
    struck: int = 0

    def strikes(self, request: Request) -> bool:
        """Return whether it strikes this request."""
        return (
            self.times > 0
            and self.method in (ANY, request.method)
            and request.path.endswith(self.path)
            and (not self.big or "Expect" in request.headers)
            and self.where(request)
        )


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    # Bytes of the body that the store has read: cheroot may have taken more off the wire.
    body: int
    status: int | None
    query: str = ""


class _ReadersNeedNoPassword(SimpleDomainController):
    def require_authentication(self, realm: str, environ: dict[str, Any]) -> bool:
        return environ is None or environ.get("REQUEST_METHOD") not in READING


class _Gateway(wsgi.Gateway_10):
    """Shows the connection to the application, so that a fault can break it."""

    def get_environ(self) -> dict[str, Any]:
        _forgive(self.req.conn.wfile)
        return {**super().get_environ(), _REQUEST: self.req}


def _forgive(wire: Any) -> None:
    """Let the end of a connection that broke pass silently: cheroot's file complains when it is garbage collected."""

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):
            type(wire).flush(wire)

    wire.flush = flush


class _Spoon:
    """Lets little through at a time, for a while."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._begun = time.monotonic()

    @property
    def at_once(self) -> int | None:
        """How many bytes may pass now, after a pause; None for any number."""
        fault = self._fault
        if fault is None or fault.slow is None or time.monotonic() > self._begun + fault.slow_for:
            return None
        time.sleep(1 / _SPOONS)
        return max(1, fault.slow // _SPOONS)


class _Counting:
    """A request's body that counts what is read of it, and breaks or crawls where it is told to."""

    def __init__(self, stream: Any, fault: Fault | None, cut: Callable[[], None]) -> None:
        self._stream = stream
        self._limit = fault.cut_after if fault else None
        self._spoon = _Spoon(fault)
        self._cut = cut
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        if self._limit is not None:
            left = self._limit - self.count
            if left <= 0:
                self._cut()
                raise ConnectionError("cut by a fault")
            size = left if size < 0 else min(size, left)
        little = self._spoon.at_once
        if little is not None:
            size = little if size < 0 else min(size, little)
        block = self._stream.read(size)
        self.count += len(block)
        return block


class HttpsStore:
    """A running store, with the folder C(root) behind its URL."""

    def __init__(
        self,
        root: str | Path,
        port: int = 0,
        username: str = "publisher",
        password: str = "correct horse",
        methods: tuple[str, ...] | None = None,
        folder: str = "images",
        state: str | Path | None = None,
    ) -> None:
        self.root = Path(root)
        self.username = username
        self.password = password
        # Who has this writes too, without the user's name.
        self.token: str | None = None
        # With methods given, all others are answered with 405: a server that is no WebDAV server.
        self.methods = methods
        self._under_way = 0
        self._ended = threading.Condition()
        self.root.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=self.root.parent, prefix="https-store-")
        self._state = state or self._temporary.name
        self._server = self._make_server(port)
        self.port: int = self._server.bind_addr[1]
        self.use(folder)

    def use(self, folder: str) -> HttpsStore:
        """Begin anew with another folder: no faults, and nothing seen."""
        self.folder = self.root / folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"https://{HOST}:{self.port}/{folder}"
        self.faults: list[Fault] = []
        self._seen: list[Seen] = []
        return self

    def _make_server(self, port: int) -> wsgi.Server:
        self._certificates = certificates = Certificates(self._state)
        self.ca_path = certificates.ca_path
        self._webdav = WsgiDAVApp(self._webdav_config())
        server = wsgi.Server((HOST, port), self._application, numthreads=8, timeout=30, shutdown_timeout=2)
        server.expiration_interval = 0.05  # how long stopping takes
        server.gateway = _Gateway
        server.ssl_adapter = BuiltinSSLAdapter(certificates.chain_path, certificates.key_path)
        # A test breaks connections on purpose.
        server.error_log = lambda *args, **kwargs: None
        server.prepare()
        return server

    def _webdav_config(self) -> dict[str, Any]:
        return {
            "provider_mapping": {"/": str(self.root)},
            "http_authenticator": {
                "domain_controller": _ReadersNeedNoPassword,
                "accept_digest": False,
                "default_to_digest": False,
            },
            "simple_dc": {"user_mapping": {"*": {self.username: {"password": self.password}}}},
            "verbose": 0,
            "logging": {"enable": False},
        }

    def __enter__(self) -> HttpsStore:
        self._thread = threading.Thread(target=self._server.serve, name="https store", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._server.stop()
        self._thread.join()
        self._temporary.cleanup()

    def lift_faults(self) -> None:
        """End all faults, those under way too."""
        for fault in self.faults:
            fault.slow = None
        self.faults.clear()
        self.use_certificate()

    @property
    def seen(self) -> list[Seen]:
        """The requests that came in so far: those under way are waited for, because an answer may overtake its end."""
        with self._ended:
            self._ended.wait_for(lambda: self._under_way == 0, timeout=10)
        return self._seen

    def requests(self, method: str) -> list[Seen]:
        """Return the requests of a method that came in so far."""
        return [seen for seen in self.seen if seen.method == method]

    def use_certificate(self, expired: bool = False) -> None:
        """Show this certificate to all who connect from now on."""
        good = (self._certificates.chain_path, self._certificates.key_path)
        self._server.ssl_adapter.context.load_cert_chain(*(self._certificates.expired() if expired else good))

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        request = _request_of(environ)
        fault = self._next_fault(request)
        body = _Counting(environ["wsgi.input"], fault, lambda: _cut(environ))
        environ["wsgi.input"] = body
        statuses: list[int] = []

        def remember(status: str, headers: list[Any], *more: Any) -> Any:
            statuses.append(int(status.split()[0]))
            return start_response(status, _claimed(headers, fault), *more)

        with self._ended:
            self._under_way += 1
        try:
            yield from _spoilt(self._answer(environ, remember, fault), environ, fault)
        finally:
            status = statuses[-1] if statuses else None
            with self._ended:
                self._seen.append(Seen(request.method, request.path, request.headers, body.count, status))
                self._under_way -= 1
                self._ended.notify_all()

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any], fault: Fault | None
    ) -> Iterator[bytes]:
        if fault is not None and fault.do is not None:
            fault.do()
        if self.token is not None and environ.get("HTTP_AUTHORIZATION") == f"Bearer {self.token}":
            login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            environ["HTTP_AUTHORIZATION"] = f"Basic {login}"
        if fault is not None and fault.status is not None:
            while fault.after_body and environ["wsgi.input"].read(64 * 1024):
                pass
            return _plain_answer(start_response, fault.status, fault.headers, fault.body)
        if self.methods is not None and environ["REQUEST_METHOD"] not in self.methods:
            return _plain_answer(start_response, 405, {})
        if fault is not None and fault.lose_answer:
            for _block in self._webdav(environ, start_response):
                pass
            _cut(environ)
            return iter(())
        return iter(self._webdav(environ, start_response))

    def _next_fault(self, request: Request) -> Fault | None:
        with self._ended:
            for fault in self.faults:
                if fault.strikes(request):
                    fault.times -= 1
                    fault.struck += 1
                    return fault
        return None


def https_store(root: str | Path, **options: Any) -> HttpsStore:
    """Return a store for a C(with) statement."""
    return HttpsStore(root, **options)


def _plain_answer(
    start_response: Callable[..., Any], status: int, headers: dict[str, str], body: bytes = b""
) -> Iterator[bytes]:
    start_response(f"{status} By A Fault", [("Content-Length", str(len(body))), *headers.items()])
    return iter((body,))


def _request_of(environ: dict[str, Any]) -> Request:
    headers = {name[5:].replace("_", "-").title(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    if environ.get("CONTENT_LENGTH"):
        headers["Content-Length"] = environ["CONTENT_LENGTH"]
    return Request(environ["REQUEST_METHOD"], environ["PATH_INFO"].encode("latin-1").decode(), headers)


def _claimed(headers: list[Any], fault: Fault | None) -> list[Any]:
    if fault is None or not fault.lie:
        return headers
    return [
        (name, str(int(value) + fault.lie) if name.lower() == "content-length" else value) for name, value in headers
    ]


def _spoilt(answer: Iterator[bytes], environ: dict[str, Any], fault: Fault | None) -> Iterator[bytes]:
    """Pass an answer on, as far as a fault lets it through."""
    if fault is None:
        yield from answer
        return
    spoon = _Spoon(fault)
    ends = [end for end in (fault.reset_answer_after, fault.end_answer_after) if end is not None]
    left = min(ends) if ends else None
    for block in answer:
        rest = block if left is None else block[:left]
        left = None if left is None else left - len(rest)
        while rest:
            little = spoon.at_once
            yield rest[:little]
            rest = b"" if little is None else rest[little:]
        if left == 0:
            break
    if fault.reset_answer_after is not None:
        _reset(environ)
    elif fault.end_answer_after is not None or fault.lie:
        environ[_REQUEST].close_connection = True


def _reset(environ: dict[str, Any]) -> None:
    """Have the connection end with a reset: cheroot would take leave of the client before it closes it."""
    connection = environ[_REQUEST].conn

    def close() -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.socket.detach())

    connection._close_kernel_socket = close
    environ[_REQUEST].close_connection = True


def _cut(environ: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        environ[_REQUEST].conn.socket.shutdown(socket.SHUT_RDWR)


def main() -> None:
    parser = argparse.ArgumentParser(description="A WebDAV store over HTTPS, for tests and the demo.")
    parser.add_argument("--root", required=True, help="the folder behind the URL")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) for a free one")
    parser.add_argument("--ready-file", required=True, help="written as JSON when the store answers")
    parser.add_argument("--username", default="publisher")
    parser.add_argument("--password", default="correct horse")
    parser.add_argument("--folder", default="images", help="the folder below the root that is the destination")
    parser.add_argument("--state", help="where the certificates are kept (default: a temporary folder)")
    options = parser.parse_args()
    server = https_store(
        options.root,
        port=options.port,
        username=options.username,
        password=options.password,
        folder=options.folder,
        state=options.state,
    )
    serve_until_ended(server, options.ready_file)


if __name__ == "__main__":
    main()
