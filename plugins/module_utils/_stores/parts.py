# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Sends a body in parallel parts, for stores that assemble them.

The main thread reads the file in order and hashes it. The thread that sends a part then reads it again, while the
system still has its bytes in memory. So the disk is read once, and memory use does not grow with the part size. The
last part is sent only after the digest of the whole file was verified.
"""

from __future__ import annotations

import hashlib
import io
import queue
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from .._common.interrupt import leave_signals_to_main_thread
from .body import Body

# Seconds that the sending threads may take to notice that they are to stop.
_PATIENCE = 5.0
_POLL = 0.2


class _Unwanted(Exception):
    """Another part failed, or the run is stopping."""


@dataclass(frozen=True)
class Part:
    """A piece of a body."""

    # From 1.
    number: int
    offset: int
    size: int
    # Keyed by the name of the algorithm.
    digests: Mapping[str, bytes]
    _sending: _Sending = field(repr=False, compare=False)

    def open(self) -> PartFile:
        """Return the bytes of the part as a file. What is read from it counts as sent."""
        return PartFile(self, self._sending)


class PartFile(io.RawIOBase):
    """The bytes of a part, as the body of a request that may be sent again."""

    def __init__(self, part: Part, sending: _Sending) -> None:
        super().__init__()
        self._part = part
        self._sending = sending
        self._at = 0

    def __len__(self) -> int:
        return self._part.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        self._at = min(max(0, start + offset), self._part.size)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return at most C(size) bytes, or all that are left, which the libraries ask for with small parts."""
        left = self._part.size - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        blocks = []
        while wanted:
            block = self._sending.read(self._part, self._at, wanted)
            self._at += len(block)
            wanted -= len(block)
            blocks.append(block)
        return b"".join(blocks)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Sending:
    """The state that the sending threads share."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._lock = threading.Lock()
        self._done: dict[int, int] = {}
        self._unwanted = threading.Event()

    def read(self, part: Part, at: int, size: int) -> bytes:
        if self._unwanted.is_set():
            raise _Unwanted
        block = self._body.read_at(part.offset + at, size)
        self.reached(part.number, at + len(block))
        return block

    def reached(self, number: int, size: int) -> None:
        with self._lock:
            self._done[number] = size
            done = sum(self._done.values())
        self._body.progress(done)

    def stop(self) -> None:
        self._unwanted.set()


def send_parts(
    body: Body,
    size: int,
    concurrency: int,
    send: Callable[[Part], None],
    have: Callable[[Part], bool] = lambda part: False,
    digests: Sequence[str] = (),
) -> int:
    """Send a body in parts of C(size) bytes, C(concurrency) at a time; return how many bytes the store already had.

    C(have) is called in order, in the calling thread, and returns whether the store already has a part. C(send) is
    called for all other parts, each in one of C(concurrency) threads. Both get the part with the requested C(digests).
    The first error stops all threads, and is raised when no thread sends any more.
    """
    body.rewind()
    sending = _Sending(body)
    workers = _Workers(concurrency, send)
    kept = 0
    try:
        while body.offset < body.size:
            part = _next_part(body, size, digests, sending)
            if have(part):
                kept += part.size
                sending.reached(part.number, part.size)
            else:
                workers.hand_over(part)
        workers.finish()
    except BaseException:
        sending.stop()
        workers.abandon()
        raise
    return kept


def _next_part(body: Body, size: int, digests: Sequence[str], sending: _Sending) -> Part:
    hashers = {name: _hasher(name) for name in digests}
    offset = body.offset
    end = min(offset + size, body.size)
    while body.offset < end:
        block = body.hash_ahead(end - body.offset)
        for hasher in hashers.values():
            hasher.update(block)
    found = {name: hasher.digest() for name, hasher in hashers.items()}
    return Part(offset // size + 1, offset, end - offset, found, sending)


def _hasher(name: str) -> Any:
    if name == "crc32":
        return _Crc32()
    # MD5 is not used for security here: stores compare parts by it. FIPS mode must be told so.
    return hashlib.new(name, usedforsecurity=False)


class _Crc32:
    """CRC-32 with the interface of C(hashlib)."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Workers:
    """Threads that send. Only as many parts as threads may wait, so that reading is not far ahead of sending."""

    def __init__(self, count: int, send: Callable[[Part], None]) -> None:
        self._send = send
        self._waiting: queue.Queue[Part | None] = queue.Queue(maxsize=count)
        self._error: BaseException | None = None
        self._failed = threading.Event()
        # Daemon threads: a run that must end at once does not wait for a silent server.
        self._threads = [threading.Thread(target=self._work, daemon=True) for _number in range(count)]
        self._started = 0

    def hand_over(self, part: Part) -> None:
        if self._started < len(self._threads):
            self._threads[self._started].start()
            self._started += 1
        self._put(part)

    def finish(self) -> None:
        for _thread in self._threads[: self._started]:
            self._put(None)
        for thread in self._threads[: self._started]:
            while thread.is_alive() and not self._failed.is_set():
                thread.join(_POLL)
        self._raise_error()

    def abandon(self) -> None:
        """Stop the threads, and wait briefly for them: none may still write when the next attempt begins."""
        self._failed.set()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads[: self._started]:
            thread.join(max(0.0, end - time.monotonic()))

    def _put(self, part: Part | None) -> None:
        while True:
            self._raise_error()
            try:
                return self._waiting.put(part, timeout=_POLL)
            except queue.Full:
                continue

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        leave_signals_to_main_thread()
        while not self._failed.is_set():
            try:
                part = self._waiting.get(timeout=_POLL)
            except queue.Empty:
                continue
            if part is None:
                return
            try:
                self._send(part)
            except _Unwanted:
                return
            except BaseException as error:  # handed to the thread that waits
                if not self._failed.is_set():
                    self._error = self._error or error
                    self._failed.set()
                return
