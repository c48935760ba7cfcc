# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The checks that read more than the beginning of a link: samples, and the whole file."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable

from .._common.retry import Attempts, RetryLater
from .._http.headers import content_length, content_range
from .route import Route, Unfit

SAMPLE_BLOCK = 64 * 1024
_RANDOM_SAMPLES = 3
# A download of the whole file may take an hour, and longer only at this speed on average, in bytes per second.
_LONGEST = 3600.0
_SLOWEST = 256 * 1024


@dataclass(frozen=True)
class Part:
    """The part of the file in an answer, by its headers: C(length) of C(total) bytes, from C(start) on."""

    start: int
    length: int | None
    total: int | None
    ranged: bool


def part_of(response: Any) -> Part:
    """Return which part of the file an answer with status 200 or 206 has. Raises Unfit when its headers are invalid."""
    if response.status_code != 206:
        known = content_length(response.headers)
        return Part(0, known, known, ranged=False)
    found = content_range(response.headers)
    if not found:
        raise Unfit("unreachable", "The server answered 206 without a valid Content-Range header.")
    return Part(*found, ranged=True)


@dataclass(frozen=True)
class Validators:
    """The headers that show whether two answers belong to the same file."""

    etag: str = ""
    last_modified: str = ""

    @classmethod
    def of(cls, response: Any) -> Validators:
        return cls(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))

    @property
    def strong_etag(self) -> str:
        """The ETag if it may be used with If-Range, which a weak one may not."""
        return "" if self.etag.startswith("W/") else self.etag


def take(pieces: Iterator[bytes], limit: int, patience: float) -> bytes:
    """Return the next bytes of an answer, C(limit) or fewer; C(patience) is how many seconds they may take.

    Raises RetryLater when the connection is lost, or after that time.
    """
    until = time.monotonic() + patience
    data = b""
    for piece in pieces:
        data += piece
        if len(data) >= limit:
            break
        if time.monotonic() > until:
            raise RetryLater(f"The server is too slow: it sent {len(data)} bytes in {patience:g} seconds.")
    return data


def take_what_comes(pieces: Iterator[bytes], limit: int, patience: float) -> bytes:
    """Like C(take), for a text that only helps to explain an answer: empty when it cannot be read."""
    try:
        return take(pieces, limit, patience)
    except RetryLater:
        return b""


class LocalFile:
    """The file that a link is compared with."""

    def __init__(self, handle: BinaryIO, path: str) -> None:
        self._handle = handle
        self.path = path

    def has(self, start: int, block: bytes) -> bool:
        """Return whether the file has these bytes from C(start) on."""
        self._handle.seek(start)
        return self._handle.read(len(block)) == block

    def compare(self, start: int, block: bytes) -> None:
        """Raise Unfit when the file has other bytes from C(start) on."""
        if not self.has(start, block):
            raise Unfit(
                "wrong_checksum",
                f"The file at the link differs from {self.path} between bytes {start} and {start + len(block)}.",
            )


def sample_ranges(total: int, choose: random.Random) -> list[tuple[int, int]]:
    """Return which bytes to compare: the first, the last, and some random ones between."""
    last = max(0, total - SAMPLE_BLOCK)
    starts = {0, last, *(choose.randrange(last + 1) for _each in range(_RANDOM_SAMPLES))}
    return [(start, min(start + SAMPLE_BLOCK, total)) for start in sorted(starts)]


def read_sample(
    route: Route, read: Callable[[Any], Iterator[bytes]], start: int, stop: int, total: int, validators: Validators
) -> bytes:
    """Return the bytes of an answer to a range request. Raises Unfit, RetryLater."""
    with closing(route):
        part = part_of(route.response)
        if not part.ranged or part.start != start or part.length != stop - start or part.total not in (total, None):
            raise Unfit(
                "wrong_size", f"The server was asked for bytes {start} to {stop} of {total} and sent other bytes."
            )
        if Validators.of(route.response) != validators:
            raise RetryLater("The file changed on the server during the check.")
        data = b"".join(read(route.response))
    if len(data) != stop - start:
        raise RetryLater(f"The response ended after {start + len(data)} of {total} bytes.", truncated=True)
    return data


class WholeDownload:
    """Downloads the whole file to hash it, resuming after a lost connection. Only the digest is kept."""

    def __init__(
        self,
        open_route: Callable[[dict[str, str]], Route],
        read: Callable[[Any], Iterator[bytes]],
        begin_attempts: Callable[[], Attempts],
        size: int | None,
        local: LocalFile | None,
        each: Callable[[int, int | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._begun = clock()
        self._open = open_route
        self._read = read
        self._begin_attempts = begin_attempts
        self._size = size
        self._local = local
        self._each = each
        self._hasher = hashlib.sha256()
        self._validators = Validators()
        self.count = 0
        self.total: int | None = None
        self.resumed = 0
        self.restarted = 0

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()

    def run(self) -> None:
        """Read to the end. Raises Unfit, TaskError."""
        attempts = self._begin_attempts()
        while True:
            try:
                self._read_on()
                return
            except RetryLater as error:
                attempts.pause(error, done=self.count)

    def _read_on(self) -> None:
        route = self._open(self._range_headers())
        with closing(route):
            self._take_up(route.response)
            try:
                for block in self._read(route.response):
                    self._add(block)
            except RetryLater as error:
                if not error.details.get("truncated"):
                    raise
            else:
                if self.total in (None, self.count):
                    return
        size = "" if self.total is None else f" of {self.total}"
        raise RetryLater(f"The download ended after {self.count}{size} bytes.", truncated=True)

    def _add(self, block: bytes) -> None:
        if self._local:
            self._local.compare(self.count, block)
        self._hasher.update(block)
        self.count += len(block)
        if self._size is not None and self.count > self._size:
            raise Unfit("wrong_size", f"The download is longer than the expected {self._size} bytes.")
        taken = self._clock() - self._begun
        if taken > _LONGEST + self.count / _SLOWEST:
            raise Unfit(
                "unreachable",
                f"The download is too slow: {self.count} bytes arrived in {taken / 3600:.1f} hours. It was given up.",
            )
        self._each(self.count, self.total)

    def _range_headers(self) -> dict[str, str]:
        if not self.count:
            return {}
        headers = {"Range": f"bytes={self.count}-"}
        if self._validators.strong_etag:
            headers["If-Range"] = self._validators.strong_etag
        return headers

    def _take_up(self, response: Any) -> None:
        """Continue the digest if the answer continues where the last one broke off, else start over."""
        part, validators = part_of(response), Validators.of(response)
        # Without validators from the server, the second half may belong to another file.
        same = validators == self._validators != Validators() and part.total == self.total
        if self.count and same and part.ranged and part.start == self.count:
            self.resumed += 1
            return
        if self.count:
            self.restarted += 1
            self._hasher = hashlib.sha256()
            self.count = 0
        self._validators, self.total = validators, part.total
        if part.start != 0:
            raise RetryLater("The file changed on the server during the download.")
