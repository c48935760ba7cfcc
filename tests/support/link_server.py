# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS server on free ports that answers as real hosts of images do, the good ones and the bad ones.

In a test::

    with LinkServer() as server:
        server.answers["/mine"] = lambda exchange: exchange.send(418)
        url = server.url("/image.pvmp")

On the command line, for tests that need a process of its own::

    python link_server.py --ready-file /path/to/ready.json

which writes the address, the certificate authority, and the image's size and digest as JSON once it answers, and runs
until it gets a signal.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import random
import re
import shutil
import ssl
import tempfile
import threading
import time
from typing import Callable, NamedTuple, Optional

import trustme

if __package__:
    from .listener import HttpHandler, Listener
    from .serving import HOST, serve_until_ended
else:
    from listener import HttpHandler, Listener
    from serving import HOST, serve_until_ended

BLOCK = 1024 * 1024
IMAGE_SIZE = 3 * BLOCK + 4321
YEAR = datetime.timedelta(days=365)
LOGIN_URL = "https://login.microsoftonline.com/common/oauth2/authorize?client_id=1"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Contoso files</title></head><body>Your file is ready</body></html>\n"
LOGIN_PAGE = (
    b"\xef\xbb\xbf\n<html><head><title>Sign in</title></head><body>"
    + b"<!-- filler -->" * 100
    + b'<form><input name="passwd" type="password"></form></body></html>\n'
)
EXPIRED_BODY = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class Content:
    """The bytes of an image: in memory, or in a file of any size."""

    def __init__(self, data: bytes = b"", path: Optional[str] = None) -> None:
        self._data = data
        self._path = path
        self.size = os.path.getsize(path) if path else len(data)

    def blocks(self, start: int, stop: int):
        """Give the bytes from start to stop, in blocks."""
        if self._path is None:
            yield from (self._data[at : min(at + BLOCK, stop)] for at in range(start, stop, BLOCK))
            return
        with open(self._path, "rb") as handle:
            handle.seek(start)
            while start < stop:
                block = handle.read(min(BLOCK, stop - start))
                start += len(block)
                yield block

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks(0, self.size):
            digest.update(block)
        return digest.hexdigest()


class Seen(NamedTuple):
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]


class Exchange:
    """One request and its answer, for a scripted answer."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.server: LinkServer = handler.server.owner
        self.path = handler.path
        self.headers = handler.headers

    def send(self, status: int, headers: Optional[dict[str, str]] = None, body: bytes = b"") -> None:
        """Send a whole answer."""
        self.begin(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.write(body)

    def redirect(self, url: str, status: int = 302, **headers: str) -> None:
        self.send(status, {"Location": url, **headers})

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        self._handler.wfile.write(data)

    def wait(self, seconds: float) -> None:
        """Keep silent, with what was written on its way."""
        self._handler.wfile.flush()
        time.sleep(seconds)

    def cut(self) -> None:
        """End the connection in the middle."""
        self._handler.wfile.flush()
        self._handler.close_connection = True
        self._handler.connection.close()

    def wanted_range(self, size: int) -> Optional[tuple[int, int]]:
        found = re.match(r"bytes=(\d*)-(\d*)$", self.headers.get("Range", ""))
        if not found or found.groups() == ("", ""):
            return None
        first, last = found.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(int(last) + 1, size) if last else size

    def file(
        self,
        content: Content,
        ranges: bool = True,
        etag: str = '"v1"',
        cut_at: Optional[int] = None,
        claimed: Optional[int] = None,
        **headers: str,
    ) -> None:
        """Send a file as a good server does.

        C(cut_at): no byte from this offset on is sent. C(claimed): the size that the answer speaks of.
        """
        size = content.size if claimed is None else claimed
        wanted = self.wanted_range(size) if ranges else None
        if wanted and self.headers.get("If-Range", etag) != etag:
            wanted = None
        start, stop = wanted or (0, size)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        common = {"Content-Type": "application/octet-stream", "ETag": etag, **given}
        if ranges:
            common["Accept-Ranges"] = "bytes"
        if wanted and start >= size:
            self.send(416, {**common, "Content-Range": f"bytes */{size}"})
            return
        if wanted:
            common["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.begin(206 if wanted else 200, {"Content-Length": str(stop - start), **common})
        end = min(stop, content.size if cut_at is None else cut_at)
        for block in content.blocks(start, max(start, end)):
            self.write(block)
        if end < stop:
            self.cut()


Answer = Callable[[Exchange], None]


class LinkServer:
    """Listens on one port for each kind of TLS: C(good), C(expired), C(unknown), C(wrong_host), C(no_cipher),

    C(ten_years).
    """

    def __init__(self, image: Optional[Content] = None, folder: Optional[str] = None) -> None:
        # A folder that is given is left to the one who gave it.
        self._folder = folder
        self.image = image or Content(random.Random(1).getrandbits(8 * IMAGE_SIZE).to_bytes(IMAGE_SIZE, "little"))
        self.requests: list[Seen] = []
        self.counts: dict[str, int] = {}
        self.answers: dict[str, Answer] = dict(_ANSWERS)
        self._lock = threading.Lock()
        self._listeners: dict[str, Listener] = {}

    def __enter__(self) -> LinkServer:
        self.folder = self._folder or tempfile.mkdtemp(prefix="link-server-")
        self.ca_path = os.path.join(self.folder, "ca.pem")
        authority, stranger = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(self.ca_path)
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        names = ("localhost", HOST)
        certificates = {
            "good": authority.issue_cert(*names),
            "expired": authority.issue_cert(*names, not_after=past),
            "unknown": stranger.issue_cert(*names),
            "wrong_host": authority.issue_cert("elsewhere.example"),
            "no_cipher": authority.issue_cert(*names),
            "ten_years": authority.issue_cert(*names, not_before=past, not_after=past + 10 * YEAR),
        }
        for kind, certificate in certificates.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            if kind == "no_cipher":  # needs an RSA key, which the certificate has not
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
            self._listeners[kind] = Listener(self, _Handler, context)
        for listener in self._listeners.values():
            listener.start()
        return self

    def __exit__(self, *_details: object) -> None:
        for listener in self._listeners.values():
            listener.stop()
        if self._folder is None:
            shutil.rmtree(self.folder)

    def url(self, path: str, tls: str = "good", host: str = "localhost") -> str:
        return f"https://{host}:{self._listeners[tls].port}{path}"

    def count(self, path: str) -> int:
        """Count a request for a path, and return how many there were before."""
        with self._lock:
            before = self.counts.get(path, 0)
            self.counts[path] = before + 1
            return before

    def seen(self, path: str) -> list[Seen]:
        """Return the requests for a path, its query left out."""
        return [request for request in self.requests if request.path.split("?")[0] == path]


class _Handler(HttpHandler):
    def serve(self) -> None:
        owner = self.server.owner
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.requests.append(Seen(self.command, self.path, headers))
        path = self.path.split("?")[0]
        answer = owner.answers.get(path) or _numbered(path) or (lambda exchange: exchange.send(404))
        answer(Exchange(self))


def _numbered(path: str) -> Optional[Answer]:
    """Return the answer of a path that ends in a number: how many redirects, errors or seconds there are."""
    found = re.fullmatch(r"/(redirects|busy|slow|status)/(\d+)", path)
    return _NUMBERED[found[1]](int(found[2])) if found else None


def _redirects(left: int) -> Answer:
    return lambda exchange: (
        exchange.redirect(f"/redirects/{left - 1}") if left else exchange.file(exchange.server.image)
    )


def _busy(times: int) -> Answer:
    def answer(exchange: Exchange) -> None:
        if exchange.server.count(exchange.path) < times:
            exchange.send(503, {"Retry-After": "0"}, b"busy")
        else:
            exchange.file(exchange.server.image)

    return answer


def _slow(seconds: int) -> Answer:
    def answer(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.file(exchange.server.image)

    return answer


def _status(status: int) -> Answer:
    headers = {401: {"WWW-Authenticate": 'Basic realm="images"'}}
    return lambda exchange: exchange.send(status, headers.get(status), b"no")


_NUMBERED: dict[str, Callable[[int], Answer]] = {
    "redirects": _redirects,
    "busy": _busy,
    "slow": _slow,
    "status": _status,
}


def _image(**how: object) -> Answer:
    return lambda exchange: exchange.file(exchange.server.image, **how)  # type: ignore[arg-type]


def _page(body: bytes, content_type: str = "text/html; charset=utf-8") -> Answer:
    return lambda exchange: exchange.send(200, {"Content-Type": content_type}, body)


def _to(url: str, status: int = 302) -> Answer:
    return lambda exchange: exchange.redirect(url, status)


def _chunked(exchange: Exchange) -> None:
    exchange.begin(200, {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"})
    for block in exchange.server.image.blocks(0, exchange.server.image.size):
        exchange.write(b"%x\r\n%b\r\n" % (len(block), block))
    exchange.write(b"0\r\n\r\n")


def _cookie_start(exchange: Exchange) -> None:
    exchange.redirect("/cookies/2", Set_Cookie="FedAuth=anonymous; Path=/; Secure; HttpOnly")


def _cookie_gate(exchange: Exchange) -> None:
    if "FedAuth=anonymous" in exchange.headers.get("Cookie", ""):
        exchange.file(exchange.server.image)
    else:
        exchange.redirect(LOGIN_URL)


def _set_cookie_page(exchange: Exchange) -> None:
    """A page that gives the file to those who come back with its cookie."""
    if "seen=1" in exchange.headers.get("Cookie", ""):
        exchange.file(exchange.server.image)
    elif exchange.path.endswith("?again"):
        exchange.send(403)
    else:
        exchange.redirect("/cookies/403?again", Set_Cookie="seen=1; Secure")


def _cut_once(**how: object) -> Answer:
    """A connection that breaks in the middle of the first whole download, and never again."""

    def answer(exchange: Exchange) -> None:
        image = exchange.server.image
        whole = not (exchange.headers.get("Range") or "").startswith("bytes=0-")
        first = whole and exchange.server.count(exchange.path) == 0
        exchange.file(image, cut_at=image.size // 2 if first else None, **how)  # type: ignore[arg-type]

    return answer


def _trickle(exchange: Exchange) -> None:
    exchange.begin(200, {"Content-Length": str(exchange.server.image.size)})
    for block in exchange.server.image.blocks(0, 1000):
        for byte in block:
            exchange.write(bytes([byte]))
            time.sleep(0.1)


def _other_range(exchange: Exchange) -> None:
    """A server that answers with other bytes than those that were asked for."""
    image = exchange.server.image
    body = b"".join(image.blocks(512, 1024))
    exchange.send(206, {"Content-Range": f"bytes 512-1023/{image.size}"}, body)


def _expired(exchange: Exchange) -> None:
    exchange.send(403, {"Content-Type": "application/xml"}, EXPIRED_BODY)


def _private_container(exchange: Exchange) -> None:
    exchange.send(409, {"x-ms-error-code": "PublicAccessNotPermitted", "Content-Type": "application/xml"})


def _other_host(exchange: Exchange) -> None:
    exchange.redirect(exchange.server.url("/image.pvmp", host=HOST))


_ANSWERS: dict[str, Answer] = {
    "/image.pvmp": _image(Last_Modified="Sun, 22 Nov 2026 10:00:00 GMT"),
    "/no-ranges.pvmp": _image(ranges=False),
    "/chunked.pvmp": _chunked,
    "/compressed.pvmp": _image(Content_Encoding="gzip"),
    "/empty.pvmp": lambda exchange: exchange.send(200),
    "/page": _page(PAGE),
    "/page.pvmp": _page(PAGE, "application/octet-stream"),
    "/error.pvmp": _page(EXPIRED_BODY, "application/octet-stream"),
    "/login-page": _page(LOGIN_PAGE),
    "/to-login": _to(LOGIN_URL),
    "/to-own-login": _to("/account/login?return=%2Fimage.pvmp"),
    "/account/login": _page(PAGE),
    "/cookies.pvmp": _cookie_start,
    "/cookies/2": _cookie_gate,
    "/cookies/403": _set_cookie_page,
    "/signed.pvmp": _expired,
    "/private.pvmp": _private_container,
    "/truncated.pvmp": lambda exchange: exchange.file(exchange.server.image, cut_at=2 * BLOCK),
    "/short.pvmp": _image(cut_at=100),
    "/cut-once.pvmp": _cut_once(),
    "/cut-once-weak.pvmp": _cut_once(etag='W/"v1"'),
    "/cut-once-no-ranges.pvmp": _cut_once(ranges=False),
    "/trickle.pvmp": _trickle,
    "/other-range.pvmp": _other_range,
    "/loop/a": _to("/loop/b"),
    "/loop/b": _to("/loop/a"),
    "/other-host": _other_host,
    "/downgrade": _to("http://localhost/image.pvmp"),
    "/to-file": _to("file:///etc/passwd"),
    "/to-user": _to("https://someone:hunter2@localhost/image.pvmp"),
    "/to-nowhere": lambda exchange: exchange.send(302),
    "/to-secret": _to("/image.pvmp?sig=topsecret&se=2099-01-01&dl=1", 307),
}


def link_facts(server: LinkServer) -> dict[str, object]:
    """Return what other processes need to know, with the image as a file."""
    image_path = os.path.join(server.folder, "image.pvmp")
    with open(image_path, "wb") as handle:
        handle.writelines(server.image.blocks(0, server.image.size))
    return {
        "url": server.url(""),
        "expired_url": server.url("", tls="expired"),
        "unknown_url": server.url("", tls="unknown"),
        "ca_path": server.ca_path,
        "image_path": image_path,
        "size": server.image.size,
        "sha256": server.image.sha256(),
    }


def main() -> None:
    """Run the server for other processes."""
    parser = argparse.ArgumentParser(description="Answers as real hosts of images do, the good ones and the bad ones.")
    parser.add_argument("--ready-file", required=True, help="written as JSON when the server answers")
    options = parser.parse_args()
    serve_until_ended(LinkServer(), options.ready_file, link_facts)


if __name__ == "__main__":
    main()
