# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Checks what a user's Mac gets from a link: one verdict, the reasons for it, and advice.

The link is requested as such a Mac does: with GET, without cookies and credentials. Redirects are followed one by one.
"""

from __future__ import annotations

import email.utils
import os
import random
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO, Callable, TypeVar
from urllib.parse import urlsplit

from .._common.errors import TaskError
from .._common.retry import Retries
from .._http.headers import compression, reports_no_bytes, sha256_headers
from .._http.limits import LARGEST_FILE, SMALL_ANSWER
from .._http.networks import Networks
from .._http.page import asks_for_password, describe_document, is_text, one_line, readable, title_of
from .._http.session import GONE, TRANSIENT, Http, TlsError
from .expiry import TIME_FORMAT, Expiry, ends_by_policy, read_expiry
from .proof import (
    LocalFile,
    Part,
    Validators,
    WholeDownload,
    part_of,
    read_sample,
    sample_ranges,
    take,
    take_what_comes,
)
from .report import Question, Report, advice_for
from .route import Route, Unfit, masked, status_line
from .share_link import share_link

_HEAD = 1024
_LONGEST_PAGE = 64 * 1024
_LONGEST_HEADER = 300

# Failures that a server may cause which only needs its cookie back.
_PERHAPS_COOKIES = ("html", "login", "forbidden", "not_found", "too_many_redirects")
_PERHAPS_LOGIN = ("html", "forbidden", "not_found", "unreachable", "tls_error")

_CHAIN_ADVICE = (
    "Configure the server to send its intermediate certificates, too (the full chain), or set ca_path to the file of "
    "the company's certificate authority, which users' Macs must trust, too."
)

# A redirect that was signed longer ago than this was not made for our request: it expires, and the link with it.
_FRESH_SIGNATURE = timedelta(hours=1)

_SHOWN_HEADERS = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Last-Modified",
    "Retry-After",
    "Server",
    "WWW-Authenticate",
    "X-Ms-Error-Code",
)

T = TypeVar("T")


class LinkCheck:
    """The check of one link. C(open_http) returns a session without credentials, with or without cookies."""

    def __init__(
        self,
        question: Question,
        open_http: Callable[[bool], Http],
        retries: Retries,
        networks: Networks | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        choose: random.Random | None = None,
        each: Callable[[int, int | None], None] = lambda count, total: None,
        patience: float = 60.0,
    ) -> None:
        question = replace(question, url=question.url.strip())
        question.check()
        self._question = question
        self._open_http = open_http
        self._retries = retries
        self._networks = networks or Networks()
        self._now = now
        # A server must not foresee which parts are compared.
        self._choose = choose or random.SystemRandom()
        self._each = each
        # How many seconds the first bytes may take in total.
        self._patience = patience
        self._cookies = False
        # Whether requests with Range fail.
        self._refuses_ranges = False
        self._route = self._new_route()
        self._report = Report(url=masked(question.url))
        self._wanted_size = question.size
        self._local: LocalFile | None = None

    def run(self) -> Report:
        """Return the report. Raises TaskError only for invalid arguments."""
        with ExitStack() as opened:
            if self._question.path is not None:
                handle = opened.enter_context(_open_image(self._question.path))
                self._use_local_file(handle, self._question.path)
            self._http = opened.enter_context(self._open_http(False))
            self._judge()
        self._report.advice = self._report.advice or advice_for(self._report.verdict, self._question.url)
        return self._report

    def _use_local_file(self, handle: BinaryIO, path: str) -> None:
        size = os.fstat(handle.fileno()).st_size
        if self._wanted_size not in (None, size):
            raise TaskError(
                f"The file {path} has {size} bytes, but size is {self._wanted_size}. "
                "Set path to the file that was uploaded, or omit path or size."
            )
        self._wanted_size = size
        self._local = LocalFile(handle, path)

    def _judge(self) -> None:
        try:
            self._prove()
        except Unfit as unfit:
            self._report.condemn(unfit.verdict, unfit.reason, unfit.advice)
            self._report_route()

    def _prove(self) -> None:
        part = self._probe_with_and_without_cookies()
        self._note_route(part)
        if self._question.proof == "full":
            self._read_all()
        elif self._question.proof == "sample":
            self._read_samples(part)
        self._check_expiry()

    # The beginning of the file

    def _probe_with_and_without_cookies(self) -> Part:
        try:
            return self._probe()
        except Unfit as unfit:
            if unfit.verdict not in _PERHAPS_COOKIES or not self._route.sets_cookies:
                raise
            self._probe_with_cookies(unfit)
            raise Unfit(
                "needs_cookies",
                "The server sends the file only to clients that send back the cookie that it sets. "
                f"Without the cookie: {unfit.reason}",
            ) from None

    def _probe_with_cookies(self, without: Unfit) -> None:
        """Return if the link works with cookies, else raise what happened without them."""
        plain = self._http, self._route
        self._cookies = True
        try:
            with self._open_http(True) as self._http:
                self._probe()
        except Unfit:
            raise without from None
        finally:
            self._cookies = False
            self._http, self._route = plain

    def _probe(self) -> Part:
        """Check the first bytes. Raises Unfit."""
        try:
            return self._probe_with_and_without_range()
        except Unfit as unfit:
            if unfit.verdict in _PERHAPS_LOGIN and self._route.hints_at_login:
                raise Unfit("login", f"The link redirects to a sign-in page. {unfit.reason}") from None
            raise

    def _probe_with_and_without_range(self) -> Part:
        """Check the first bytes, as a part of the file or as the beginning of all of it.

        Servers that do not support ranges should ignore them, but some answer with an error or an invalid header. A Mac
        that just downloads still gets the file.
        """
        try:
            return self._with_retries(lambda: self._look_at_head({"Range": f"bytes=0-{_HEAD - 1}"}))
        except Unfit as unfit:
            if not self._may_refuse_range(unfit):
                raise
            ranged, refused = unfit, self._route
        try:
            part = self._as_verdict(lambda: Retries(0).call(lambda: self._look_at_head({})))
        except Unfit:
            answer = self._route.response
            if answer is None or answer.status_code == 206 or answer.status_code in TRANSIENT:
                self._route = refused
                raise ranged from None
            raise
        self._report.ranges = False
        self._refuses_ranges = True
        return replace(part, ranged=False)

    def _may_refuse_range(self, unfit: Unfit) -> bool:
        response = self._route.response
        if response is None or unfit.verdict in ("login", "html", "wrong_checksum", "tls_error"):
            return False
        if response.status_code == 206:
            return unfit.verdict == "unreachable"
        if response.status_code == 416:
            return not reports_no_bytes(response.headers)
        return response.status_code >= 400 and response.status_code not in GONE

    def _look_at_head(self, headers: dict[str, str]) -> Part:
        route = self._walk(headers)
        with closing(route):
            self._judge_status(route)
            part = part_of(route.response)
            pieces = self._pieces(route.response)
            head = take(pieces, _HEAD, self._patience)
            self._judge_document(route.response, head, pieces)
            if part.start != 0:
                raise Unfit("unreachable", "The server was asked for the first bytes of the file and sent other bytes.")
            self._report.size, self._report.ranges = part.total, part.ranged
            self._judge_size(part.total, head, compression(route.response.headers))
            self._judge_text(route.response, head, part.total)
            self._judge_compression(route.response)
            if self._local:
                self._local.compare(0, head)
        self._judge_digest_headers(route.response)
        self._validators = Validators.of(route.response)
        return part

    def _judge_status(self, route: Route) -> None:
        response, status = route.response, route.response.status_code
        if status in (200, 206):
            return
        said = f"{route.host} answered {status_line(response)}."
        if 400 <= status < 500 and self._refused_for_age(response):
            raise Unfit("expired", f"The link has expired: {said}")
        if status in (401, 407) or (status == 403 and "WWW-Authenticate" in response.headers):
            raise Unfit("login", f"The server asks for credentials: {said}")
        if status in (403, 451) or response.headers.get("X-Ms-Error-Code") == "PublicAccessNotPermitted":
            raise Unfit("forbidden", said)
        if status in GONE:
            raise Unfit("not_found", said)
        if status == 416 and self._report.size:
            raise Unfit(
                "wrong_size", f"The server reports {self._report.size} bytes, but the last ones are missing: {said}"
            )
        if status in (204, 205, 416):
            raise Unfit("wrong_size", f"The file is empty: {said}")
        raise Unfit("unreachable", f"The server did not send a file: {said}")

    def _refused_for_age(self, response: Any) -> bool:
        body = take_what_comes(self._pieces(response), _LONGEST_PAGE, self._patience)
        if any(mark in body for mark in (b"Request has expired", b"<Code>ExpiredToken", b"ExpiredSignature")):
            return True
        expiry = read_expiry(self._question.url)
        return expiry is not None and expiry.ends is not None and expiry.ends <= self._time_of(response)

    def _judge_document(self, response: Any, head: bytes, rest: Iterator[bytes]) -> None:
        encoding = response.headers.get("Content-Encoding", "")
        document = describe_document(response.headers.get("Content-Type", ""), head, encoding)
        if not document:
            return
        if self._local and head and self._local.has(0, head):  # the same bytes outweigh any guess
            self._report.note(
                f"The server labels the image as {document}. Configure it to send application/octet-stream."
            )
            return
        page = readable(head + take_what_comes(rest, _LONGEST_PAGE, self._patience), encoding)
        if asks_for_password(page):
            raise Unfit("login", f"The link leads to a page that asks for a password{_titled(page)}.")
        raise Unfit("html", f"The link leads to {document}, not to an image{_titled(page)}.")

    def _judge_text(self, response: Any, head: bytes, total: int | None) -> None:
        """Raise Unfit for a message of a server or a gateway that comes with status 200 and any Content-Type."""
        encoding = response.headers.get("Content-Encoding", "")
        if not is_text(head, encoding) or (self._local and self._local.has(0, head)):
            return
        if total is not None and total == self._wanted_size:  # such an image was published
            return
        said = one_line(readable(head, encoding).decode())
        size = "a text" if total is None else f"a text of {total} bytes"
        raise Unfit(
            "html",
            f"The link leads to {size}, not to an image, which has some MB and is not text. It begins with '{said}'.",
            "Open the link in a browser, and read what the server or a gateway in front of it reports. Then use the "
            "address of the image itself.",
        )

    @staticmethod
    def _judge_compression(response: Any) -> None:
        method = compression(response.headers)
        if method:
            raise Unfit(
                "wrong_checksum",
                f"The server compresses the file in transit ({method}), although it was asked not to. A Mac that "
                "stores the bytes as they come gets a file with another size and another checksum.",
                "Switch off compression for this file on the server, and remove the header Content-Encoding from it in "
                "the store. The image does not have to be uploaded again.",
            )

    def _judge_size(self, total: int | None, head: bytes, compressed: str) -> None:
        if total == 0 or not head:
            raise Unfit("wrong_size", "The file is empty.")
        if compressed:  # the size of something else
            return
        if total is not None and self._wanted_size not in (None, total):
            raise Unfit("wrong_size", f"The file at the link has {total} bytes, but the image has {self._wanted_size}.")

    def _judge_digest_headers(self, response: Any) -> None:
        for name, said in sha256_headers(response.headers).items():
            if self._question.sha256 and said != self._question.sha256:
                raise Unfit("wrong_checksum", f"The server's header {name} reports another SHA-256: {said}.")

    # More of it

    def _read_samples(self, part: Part) -> None:
        if not part.ranged or part.total is None:
            self._report.note("No samples were read, because the server does not support range requests.")
            return
        for start, stop in sample_ranges(part.total, self._choose):
            data = self._with_retries(lambda start=start, stop=stop: self._sample(start, stop, part.total))
            if self._local:
                self._local.compare(start, data)
        self._report.proof = "sample"

    def _sample(self, start: int, stop: int, total: int) -> bytes:
        route = self._ask({"Range": f"bytes={start}-{stop - 1}"}, largest=stop - start)
        return read_sample(route, self._http.blocks, start, stop, total, self._validators)

    def _read_all(self) -> None:
        # Where the digest is known, it is compared; else the bytes themselves are.
        local = None if self._question.sha256 else self._local
        download = WholeDownload(
            self._ask_for_file, self._http.blocks, self._retries.begin, self._wanted_size, local, self._each
        )
        try:
            self._as_verdict(download.run)
        finally:
            self._report.size = download.count
        if download.resumed:
            self._report.note(f"The connection was lost and the download resumed {_times(download.resumed)}.")
        if download.restarted:
            self._report.note(
                f"The connection was lost and the download had to restart from the beginning "
                f"{_times(download.restarted)}."
            )
        self._report.sha256 = download.sha256
        self._judge_download(download)
        self._report.proof = "full"

    def _judge_download(self, download: WholeDownload) -> None:
        if self._wanted_size not in (None, download.count):
            raise Unfit(
                "wrong_size", f"The download has {download.count} bytes, but the image has {self._wanted_size}."
            )
        if not self._question.sha256:
            if not self._local:
                self._report.note("The download was hashed, but no checksum was given to compare it with.")
        elif download.sha256 != self._question.sha256:
            raise Unfit(
                "wrong_checksum",
                f"The SHA-256 of the download is {download.sha256}, but the image has {self._question.sha256}.",
            )

    def _ask_for_file(self, headers: dict[str, str]) -> Route:
        # One byte more than the image has, which shows that the file is longer.
        largest = LARGEST_FILE if self._wanted_size is None else self._wanted_size + 1
        route = self._ask({} if self._refuses_ranges else headers, largest)
        if compression(route.response.headers):
            route.close()
            self._judge_compression(route.response)
        document = describe_document(route.response.headers.get("Content-Type", ""), b"")
        if document and not self._local:
            route.close()
            raise Unfit("html", f"The server was asked for the whole file and sent {document}.")
        return route

    # Asking

    def _new_route(self) -> Route:
        question = self._question
        return Route(question.url, self._networks, question.allow_private_redirects, self._cookies)

    def _pieces(self, response: Any) -> Iterator[bytes]:
        # Small pieces, because the server may be silent for a while before each.
        return self._http.blocks(response, size=16)

    def _walk(self, headers: dict[str, str], largest: int = SMALL_ANSWER) -> Route:
        self._route = self._new_route()
        return self._route.walk(self._http, headers, largest)

    def _ask(self, headers: dict[str, str], largest: int) -> Route:
        """Follow the link again, for other bytes of a file that is known to exist."""
        route = self._walk(headers, largest)
        try:
            self._judge_status(route)
        except Unfit:
            route.close()
            raise
        return route

    def _with_retries(self, work: Callable[[], T]) -> T:
        return self._as_verdict(lambda: self._retries.call(work))

    def _as_verdict(self, work: Callable[[], T]) -> T:
        """Return what C(work) returns; turn its error into a verdict."""
        try:
            return work()
        except TlsError as error:
            advice = _CHAIN_ADVICE if error.details.get("issuer_missing") else ""
            raise Unfit("tls_error", error.message, advice) from None
        except TaskError as error:
            if error.details.get("truncated") or error.details.get("too_large"):
                raise Unfit("wrong_size", error.message) from None
            raise Unfit("tls_error" if _is_tls(error) else "unreachable", error.message) from None

    # Notes about a link that works

    def _note_route(self, part: Part) -> None:
        self._report_route()
        route, response = self._route, self._route.response
        first, last = urlsplit(route.urls[0]), urlsplit(route.url)
        if first.hostname != last.hostname:
            self._report.note(f"The link redirects to another host: {last.hostname}.")
        if not part.ranged:
            self._report.note(
                "The server does not support range requests. A download that is interrupted must restart from the "
                "beginning."
            )
        if part.total is None:
            self._report.note("The server does not report the size of the file.")
            if "Content-Length" in response.headers and not part.ranged:
                self._report.note(
                    "The server's header Content-Length is not a valid number: "
                    f"'{one_line(response.headers['Content-Length'])}'."
                )
        for host in sorted(route.unread_certificates):
            self._report.note(
                f"The certificate of {host} could not be read, so it was not checked whether it meets Apple's rules "
                "for its validity, names, purposes and key."
            )
        if self._http.ca_path:
            self._report.note(
                f"The server's certificate was verified with {self._http.ca_path}. Users' Macs must trust that "
                "certificate authority, too."
            )
        if self._report.network == "private":
            self._report.note(f"{last.hostname} has a private address. Only Macs in its network can reach it.")
        elif self._report.network in ("loopback", "link_local"):
            self._report.note(f"{last.hostname} is a loopback or link-local address. Other Macs cannot reach it.")
        known = share_link(self._question.url)
        if known and not known.direct:
            self._report.note(known.advice)

    def _check_expiry(self) -> None:
        policy = ends_by_policy(self._question.url)
        if policy:
            self._report.note("A stored access policy decides when the link expires. It cannot be read with the link.")
        expiry = read_expiry(self._question.url) or self._expiry_of_redirects()
        if expiry is None:
            return
        if expiry.ends is None:
            raise Unfit("expires_soon", f"The link contains a {expiry.kind}, which expires soon.")
        self._report.expires_at = expiry.ends.strftime(TIME_FORMAT)
        left = expiry.ends - self._time_of(self._route.response)
        if left <= timedelta(0):
            raise Unfit("expired", f"The {expiry.kind} of the link expired at {self._report.expires_at}.")
        if left < timedelta(days=self._question.min_validity):
            raise Unfit(
                "expires_soon",
                f"The {expiry.kind} of the link expires at {self._report.expires_at}, in {left.days} days.",
            )

    def _expiry_of_redirects(self) -> Expiry | None:
        """Return the expiry of a signed address to which the link redirects permanently, as a URL shortener does."""
        now = self._time_of(self._route.response)
        for url in self._route.urls[1:]:
            expiry = read_expiry(url)
            if expiry and expiry.signed and now - expiry.signed > _FRESH_SIGNATURE:
                return expiry
            if expiry and not expiry.signed:
                self._report.note(
                    "The link redirects to a signed address that expires. The server must make a new one for each "
                    "request."
                )
        return None

    def _time_of(self, response: Any) -> datetime:
        """Return the time by the server's clock, which decides whether a signature is valid."""
        try:
            return email.utils.parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            return self._now()

    def _report_route(self) -> None:
        route = self._route
        self._report.chain = route.chain()
        self._report.final_url = masked(route.url)
        if route.statuses:
            self._report.network = self._networks.of(route.url)
        if route.response is not None:
            self._report.headers = _shown_headers(route.response)


def _open_image(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise TaskError(
            f"The file {path} cannot be read: {error.strerror}. Correct path (it is a path on the host that runs the "
            "module), or omit it."
        ) from error


def _titled(page: bytes) -> str:
    title = title_of(page)
    return f"; its title is '{title}'" if title else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _shown_headers(response: Any) -> dict[str, str]:
    found = {name: response.headers[name] for name in _SHOWN_HEADERS if name in response.headers}
    return {name.lower().replace("-", "_"): value[:_LONGEST_HEADER] for name, value in found.items()}


def _is_tls(error: BaseException | None) -> bool:
    """Return whether TLS itself failed, below the libraries' errors. A dropped connection is not a TLS failure."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
