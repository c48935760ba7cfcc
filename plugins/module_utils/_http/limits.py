# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""How much of an answer is read, for how long, and from where: no server can fill memory, or keep a task for ever.

Each request has one allowance. Every byte that a connection receives is counted against it: interim answers, headers,
the lines between chunks and trailers, too, which http.client reads without an end. Of the body, no caller gets more
than was asked for, and none gets it decoded: a few kilobytes of gzip may become gigabytes.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator, Set
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urlsplit

from .._common.errors import TaskError
from .._common.files import BLOCK
from .._common.space import in_words
from .headers import compression

MIB = 1024 * 1024
# An answer that is not a file, and not a list: errors, tokens, sessions.
SMALL_ANSWER = MIB
# A page of a list, or a whole list where the server has no pages.
LIST_ANSWER = 16 * MIB
# More than any image has. It limits downloads whose size is not known.
LARGEST_FILE = 4 * 1024 * 1024 * MIB
# Everything before the body: interim answers and headers. http.client allows lines of 64 KiB, and 100 headers.
LARGEST_HEAD = 256 * 1024
# What chunks may add to a body, beside as many bytes as the body itself has.
_FRAMING = MIB
# Bytes per second. An answer that takes longer than at this speed, on average, is not waited for.
_SLOWEST_ANSWER = 64 * 1024
# All pages of one list together: their number, bytes, entries, and seconds. Nexus lists a whole repository.
_MOST_PAGES = 10_000
_LARGEST_LIST = 256 * MIB
_MOST_ENTRIES = 500_000
_LONGEST_LIST = 3600.0


@dataclass(frozen=True)
class Allowance:
    """What one request may cost: bytes of the body, and seconds of waiting for the answer."""

    largest: int = SMALL_ANSWER
    seconds: float = 180.0
    # The networks to which a connection may be opened; None for all.
    networks: Set[str] | None = None


# Set while a request is sent, by the thread that sends it: urllib3 passes nothing of ours to its connections.
_current: ContextVar[Allowance] = ContextVar("allowance")


def allowance() -> Allowance:
    """Return the allowance of the request that this thread is sending."""
    return _current.get(Allowance())


@contextlib.contextmanager
def allowing(allowed: Allowance) -> Iterator[None]:
    """Give the requests in the body of a C(with) statement an allowance."""
    token = _current.set(allowed)
    try:
        yield
    finally:
        _current.reset(token)


def seconds_for(timeout: float, answer_timeout: float | None, largest: int) -> float:
    """Return how many seconds an answer may take in total: to begin, to be silent for a while, and to arrive."""
    return (answer_timeout or timeout) + timeout + largest / _SLOWEST_ANSWER


class Unbounded(OSError):
    """The answer has no end that is worth waiting for."""


class Meter:
    """Counts what a connection receives for one answer."""

    def __init__(self, allowed: Allowance) -> None:
        self._allowed = allowed
        self._left = LARGEST_HEAD
        self._waited = 0.0
        self._what = f"headers of more than {LARGEST_HEAD // 1024} KiB"

    def begin_body(self) -> None:
        """Note that all headers were received."""
        self._left = 2 * self._allowed.largest + _FRAMING
        self._what = "far more bytes than its body has"

    def moved(self, count: int, waited: float) -> None:
        """Record that C(count) bytes took C(waited) seconds. Raises Unbounded."""
        self._left -= count
        self._waited += waited
        if self._left < 0:
            raise Unbounded(errno.EMSGSIZE, f"the server sent {self._what}")
        if self._waited > self._allowed.seconds:
            raise Unbounded(errno.ETIMEDOUT, f"the answer was not complete after {self._waited:.0f} seconds")


class BoundedBody:
    """The body of an answer, as the attribute C(raw) of a C(requests.Response): all its ways to read it end here."""

    def __init__(self, raw: Any, url: str, largest: int) -> None:
        self._raw = raw
        self._host = urlsplit(url).netloc
        self._largest = largest
        self._left = largest
        self.headers = raw.headers
        self.certificate: bytes | None = getattr(getattr(raw, "_original_response", None), "certificate", None)
        self.peer: str | None = getattr(getattr(raw, "_original_response", None), "peer", None)

    def read(self, size: int | None = None, decode_content: bool = False) -> bytes:
        """Return the next bytes. Raises TaskError beyond the limit, and for a body that would have to be decoded."""
        # After the last byte that is allowed, one more shows that it was not the last of the body.
        most = self._left or 1
        wanted = most if size is None or size < 0 else min(size, most)
        data: bytes = self._raw.read(wanted, decode_content=False)
        self._left -= len(data)
        if decode_content and data:
            require_identity(self.headers, self._host)
        if self._left < 0:
            self.close()
            raise TaskError(
                f"{self._host} sent more than {in_words(self._largest)} in answer to one request, so it is not the "
                "expected answer. The rest was not read. Check the address, and what answers there.",
                too_large=True,
            )
        return data

    def stream(self, size: int = BLOCK, decode_content: bool = False) -> Iterator[bytes]:
        """Yield the rest in blocks."""
        while True:
            block = self.read(size, decode_content)
            if not block:
                return
            yield block

    @property
    def enforce_content_length(self) -> bool:
        """Whether a body that is too short is an error. Azure's SDK sets it."""
        return bool(self._raw.enforce_content_length)

    @enforce_content_length.setter
    def enforce_content_length(self, value: bool) -> None:
        self._raw.enforce_content_length = value

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()


def require_identity(headers: Any, host: str) -> None:
    """Raise TaskError when a server compressed a body, although we never ask for that."""
    method = compression(headers)
    if method:
        raise TaskError(
            f"{host} compressed its answer ({method}), although it was asked not to. It was not read. Switch off "
            "compression for this address on the server, and in the proxy or gateway in front of it."
        )


class Pages:
    """The pages of one list: how many there may be, and how large and slow they may be together."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._begun = clock()
        self._marks: set[Any] = set()
        self._size = 0
        self._entries = 0

    def turn(self, mark: Any, size: int = 0, entries: int = 0) -> None:
        """Record that a page of C(size) bytes and C(entries) entries continues at a mark. Raises TaskError."""
        self._size += size
        self._entries += entries
        if mark in self._marks:
            raise self._endless("the server returned a page again")
        if len(self._marks) >= _MOST_PAGES:
            raise self._endless(f"the server returned more than {_MOST_PAGES} pages")
        if self._size > _LARGEST_LIST:
            raise self._endless(f"the server returned more than {in_words(_LARGEST_LIST)}")
        if self._entries > _MOST_ENTRIES:
            raise self._endless(f"the server returned more than {_MOST_ENTRIES} entries")
        if self._clock() - self._begun > _LONGEST_LIST:
            raise self._endless(f"it was not complete after {_LONGEST_LIST / 60:.0f} minutes")
        self._marks.add(mark)

    def _endless(self, why: str) -> TaskError:
        return TaskError(
            f"{self._what} has no end: {why}. It was not used. Check the server, and the proxy or gateway in front of "
            "it. If the folder really has so many files, use another one."
        )
