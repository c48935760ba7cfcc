# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What a user's Mac gets from a link: one verdict, the reasons for it, and what to do.

A link is asked as such a Mac asks: without a cookie, without credentials, with GET. Redirects are followed one by one.
"""

from __future__ import annotations

import email.utils
import os
import random
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO, Callable, TypeVar
from urllib.parse import urlsplit

from .._common.errors import TaskError
from .._common.retry import Retries
from .._http.session import Http, TlsError
from .expiry import TIME_FORMAT, Expiry, ends_by_policy, read_expiry
from .html import asks_for_password, describe_document, title_of
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
from .route import Networks, Route, Unfit, masked, status_line
from .share_link import share_link

_HEAD = 1024
_LONGEST_PAGE = 64 * 1024
_LONGEST_HEADER = 300

# Failures behind which a server may stand that only wants its cookie back.
_PERHAPS_COOKIES = ("html", "login", "forbidden", "not_found", "too_many_redirects")
_PERHAPS_LOGIN = ("html", "forbidden", "not_found", "unreachable", "tls_error")

# A redirect that was signed longer ago than this is no answer to our request: its end is the link's end.
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
# Where stores tell the SHA-256 of what they keep.
_DIGEST_HEADERS = ("X-Checksum-Sha256", "X-Amz-Meta-Sha256", "X-Ms-Meta-Sha256")

T = TypeVar("T")


class LinkCheck:
    """The check of one link. C(open_http) gives a session with or without cookies, and without any credentials."""

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
        question.check()
        self._question = question
        self._open_http = open_http
        self._retries = retries
        self._networks = networks or Networks()
        self._now = now
        self._choose = choose or random.Random()
        self._each = each
        # How many seconds the first bytes may take in all.
        self._patience = patience
        self._cookies = False
        self._route = self._new_route()
        self._report = Report(url=masked(question.url))
        self._wanted_size = question.size
        self._local: LocalFile | None = None

    def run(self) -> Report:
        """Return the report. Raises TaskError only for a question that makes no sense."""
        with ExitStack() as opened:
            if self._question.path is not None:
                handle = opened.enter_context(_open_image(self._question.path))
                self._use_local_file(handle, self._question.path)
            self._http = opened.enter_context(self._open_http(False))
            self._judge()
        self._report.advice = advice_for(self._report.verdict, self._question.url)
        return self._report

    def _use_local_file(self, handle: BinaryIO, path: str) -> None:
        size = os.fstat(handle.fileno()).st_size
        if self._wanted_size not in (None, size):
            raise TaskError(
                f"The file {path} has {size} bytes, but size says {self._wanted_size}: they do not belong together. "
                "Give the file from which the link was made, or leave out one of the two."
            )
        self._wanted_size = size
        self._local = LocalFile(handle, path)

    def _judge(self) -> None:
        try:
            self._prove()
        except Unfit as unfit:
            self._report.condemn(unfit.verdict, unfit.reason)
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
                "The server gives the file only to those who send back the cookie that it sets on the way: "
                f"without it, this happens: {unfit.reason}",
            ) from None

    def _probe_with_cookies(self, without: Unfit) -> None:
        """Return when the link works with cookies, else raise what happened without."""
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
        """Look at the first bytes. Raises Unfit."""
        try:
            return self._with_retries(self._look_at_head)
        except Unfit as unfit:
            if unfit.verdict in _PERHAPS_LOGIN and self._route.hints_at_login:
                raise Unfit("login", f"It redirects to where people sign in. {unfit.reason}") from None
            raise

    def _look_at_head(self) -> Part:
        route = self._walk({"Range": f"bytes=0-{_HEAD - 1}"})
        with closing(route):
            self._judge_status(route)
            part = part_of(route.response)
            pieces = self._pieces(route.response)
            head = take(pieces, _HEAD, self._patience)
            self._judge_document(route.response, head, pieces)
            if part.start != 0:
                raise Unfit("unreachable", "Asked for the first bytes of the file, the server sends others.")
            self._report.size, self._report.ranges = part.total, part.ranged
            self._judge_size(part.total, head)
            if self._local:
                self._local.compare(0, head)
        self._judge_digest_headers(route.response)
        self._validators = Validators.of(route.response)
        return part

    def _judge_status(self, route: Route) -> None:
        response, status = route.response, route.response.status_code
        if status in (200, 206):
            return
        said = f"{route.host} answers {status_line(response)}."
        if 400 <= status < 500 and self._refused_for_age(response):
            raise Unfit("expired", f"The link's time is over: {said}")
        if status in (401, 407) or (status == 403 and "WWW-Authenticate" in response.headers):
            raise Unfit("login", f"The server asks for credentials: {said}")
        if status in (403, 451) or response.headers.get("X-Ms-Error-Code") == "PublicAccessNotPermitted":
            raise Unfit("forbidden", said)
        if status in (404, 410):
            raise Unfit("not_found", said)
        if status == 416 and self._report.size:
            raise Unfit(
                "wrong_size", f"The server speaks of {self._report.size} bytes, and lacks the last ones: {said}"
            )
        if status in (204, 205, 416):
            raise Unfit("wrong_size", f"The file is empty: {said}")
        raise Unfit("unreachable", f"That is no answer with a file: {said}")

    def _refused_for_age(self, response: Any) -> bool:
        body = take_what_comes(self._pieces(response), _LONGEST_PAGE, self._patience)
        if any(mark in body for mark in (b"Request has expired", b"<Code>ExpiredToken", b"ExpiredSignature")):
            return True
        expiry = read_expiry(self._question.url)
        return expiry is not None and expiry.ends is not None and expiry.ends <= self._time_of(response)

    def _judge_document(self, response: Any, head: bytes, rest: Iterator[bytes]) -> None:
        document = describe_document(response.headers.get("Content-Type", ""), head)
        if not document:
            return
        if self._local and head and self._local.has(0, head):  # no guess is as good as the same bytes
            self._report.note(f"The server calls the image {document}: have it sent as application/octet-stream.")
            return
        page = head + take_what_comes(rest, _LONGEST_PAGE, self._patience)
        if asks_for_password(page):
            raise Unfit("login", f"The link gives a page that asks for a password{_titled(page)}.")
        raise Unfit("html", f"The link gives {document}, not an image{_titled(page)}.")

    def _judge_size(self, total: int | None, head: bytes) -> None:
        if total == 0 or not head:
            raise Unfit("wrong_size", "The file is empty.")
        if total is not None and self._wanted_size not in (None, total):
            raise Unfit("wrong_size", f"The link has {total} bytes, the image has {self._wanted_size}.")

    def _judge_digest_headers(self, response: Any) -> None:
        for name in _DIGEST_HEADERS:
            said = response.headers.get(name, "").strip().lower()
            if said and self._question.sha256 and said != self._question.sha256:
                raise Unfit("wrong_checksum", f"The server says in {name} that its SHA-256 is {said[:64]}.")

    # More of it

    def _read_samples(self, part: Part) -> None:
        if not part.ranged or part.total is None:
            self._report.note("No samples could be read, because the server does not send parts of a file.")
            return
        for start, stop in sample_ranges(part.total, self._choose):
            data = self._with_retries(lambda start=start, stop=stop: self._sample(start, stop, part.total))
            if self._local:
                self._local.compare(start, data)
        self._report.proof = "sample"

    def _sample(self, start: int, stop: int, total: int) -> bytes:
        return read_sample(
            self._ask({"Range": f"bytes={start}-{stop - 1}"}), self._http.blocks, start, stop, total, self._validators
        )

    def _read_all(self) -> None:
        # Where the digest is known, it is the proof; else the bytes themselves are.
        local = None if self._question.sha256 else self._local
        download = WholeDownload(
            self._ask_for_file, self._http.blocks, self._retries.begin, self._wanted_size, local, self._each
        )
        try:
            self._as_verdict(download.run)
        finally:
            self._report.size = download.count
        if download.resumed:
            self._report.note(f"The connection broke, and the download went on from there, {_times(download.resumed)}.")
        if download.restarted:
            self._report.note(
                f"The connection broke, and the download had to begin anew, {_times(download.restarted)}."
            )
        self._report.sha256 = download.sha256
        self._judge_download(download)
        self._report.proof = "full"

    def _judge_download(self, download: WholeDownload) -> None:
        if self._wanted_size not in (None, download.count):
            raise Unfit("wrong_size", f"The link has {download.count} bytes, the image has {self._wanted_size}.")
        if not self._question.sha256:
            if not self._local:
                self._report.note("The download was hashed, but there was no checksum to compare it with.")
        elif download.sha256 != self._question.sha256:
            raise Unfit(
                "wrong_checksum",
                f"The SHA-256 of the download is {download.sha256}, that of the image is {self._question.sha256}.",
            )

    def _ask_for_file(self, headers: dict[str, str]) -> Route:
        route = self._ask(headers)
        document = describe_document(route.response.headers.get("Content-Type", ""), b"")
        if document and not self._local:
            route.close()
            raise Unfit("html", f"Asked for the whole file, the server gives {document}.")
        return route

    # Asking

    def _new_route(self) -> Route:
        question = self._question
        return Route(question.url, self._networks, question.allow_private_redirects, self._cookies)

    def _pieces(self, response: Any) -> Iterator[bytes]:
        # Small ones, because the server may keep silent for a while before each.
        return self._http.blocks(response, size=16)

    def _walk(self, headers: dict[str, str]) -> Route:
        self._route = self._new_route()
        return self._route.walk(self._http, headers)

    def _ask(self, headers: dict[str, str]) -> Route:
        """Walk the link once more, for other bytes of a file that is known to be there."""
        route = self._walk(headers)
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
            raise Unfit("tls_error", error.message) from None
        except TaskError as error:
            if error.details.get("truncated"):
                raise Unfit("wrong_size", error.message) from None
            raise Unfit("tls_error" if _is_tls(error) else "unreachable", error.message) from None

    # What there is to say about a link that works

    def _note_route(self, part: Part) -> None:
        self._report_route()
        route, response = self._route, self._route.response
        first, last = urlsplit(route.urls[0]), urlsplit(route.url)
        if first.hostname != last.hostname:
            self._report.note(f"It redirects to another host: {last.hostname}.")
        if not part.ranged:
            self._report.note("The server does not send parts of a file: a download that breaks has to begin anew.")
        if part.total is None:
            self._report.note("The server does not tell the size of the file.")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            self._report.note("The server compresses the file on the way, although it was asked not to.")
        if self._http.ca_path:
            self._report.note(
                f"Its certificate was checked with {self._http.ca_path}, which the users' Macs have to trust as well."
            )
        if self._report.network == "private":
            self._report.note(f"{last.hostname} has a private address: only Macs in its network reach it.")
        elif self._report.network in ("loopback", "link_local"):
            self._report.note(
                f"{last.hostname} is an address of this machine or its own segment: other Macs do not reach it."
            )
        known = share_link(self._question.url)
        if known and not known.direct:
            self._report.note(known.advice)

    def _check_expiry(self) -> None:
        policy = ends_by_policy(self._question.url)
        if policy:
            self._report.note(
                "When the link ends is decided by a stored access policy, which cannot be read from here."
            )
        expiry = read_expiry(self._question.url) or self._expiry_of_redirects()
        if expiry is None:
            return
        if expiry.ends is None:
            raise Unfit("expires_soon", f"The link has a {expiry.kind} in it, which ends soon.")
        self._report.expires_at = expiry.ends.strftime(TIME_FORMAT)
        left = expiry.ends - self._time_of(self._route.response)
        if left <= timedelta(0):
            raise Unfit("expired", f"The {expiry.kind} of the link has ended at {self._report.expires_at}.")
        if left < timedelta(days=self._question.min_validity):
            raise Unfit(
                "expires_soon", f"The {expiry.kind} of the link ends at {self._report.expires_at}, in {left.days} days."
            )

    def _expiry_of_redirects(self) -> Expiry | None:
        """Return the end of a signed address to which the link redirects for good, as a shortener does."""
        now = self._time_of(self._route.response)
        for url in self._route.urls[1:]:
            expiry = read_expiry(url)
            if expiry and expiry.signed and now - expiry.signed > _FRESH_SIGNATURE:
                return expiry
            if expiry and not expiry.signed:
                self._report.note(
                    "It redirects to a signed address that ends: the redirect has to make a new one each time."
                )
        return None

    def _time_of(self, response: Any) -> datetime:
        """Return the time by the server's clock, which decides whether a signature holds."""
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
            f"The file {path} cannot be read: {error.strerror}. Correct path (it is one on the host that runs the "
            "module), or leave it out."
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
    """Return whether TLS itself failed, below the errors of the libraries; a connection that was cut is none."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
