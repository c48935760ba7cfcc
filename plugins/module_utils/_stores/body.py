# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The file that is sent: read once, for the transfer and for its digest at the same time."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable

from .._common.checksum import open_image
from .._common.errors import TaskError
from .._common.files import BLOCK, FileIdentity
from .._common.progress import Report, unwatched

_SMALLEST_BLOCK = 4 * 1024
_MARK = 16


class WrongFile(TaskError):
    """The file is not the one to be sent, or it has changed: what the store has of it is useless."""


@dataclass(frozen=True)
class Content:
    """What a store needs to know about a file before it is sent."""

    size: int
    # Marks that identify a temporary file in a store as a part of this file: the best mark first.
    marks: tuple[str, ...] = ()


class Body:
    """A file-like object for a request's body, with constant memory.

    The last block is returned only when the whole file has the expected digest and is still the one that was opened. So
    no server ever gets a complete body of wrong bytes, not even one to which an image can only be sent directly under
    its final name. That is true for resumed transfers, too: bytes that the store already has are read and hashed here,
    but not sent.
    """

    def __init__(
        self,
        path: str,
        sha256: str | None = None,
        rate_limit: int | None = None,
        report: Report = unwatched,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self.expected = sha256
        self._report = report
        self._clock = clock
        self._sleep = sleep
        self._rate_limit = rate_limit
        # About four blocks per second, so that a low limit does not look like a stalled connection.
        self._block = max(_SMALLEST_BLOCK, min(BLOCK, rate_limit // 4)) if rate_limit else BLOCK
        # Bytes returned for sending since the body was opened, including those of failed attempts.
        self.sent = 0
        # Called before the last block is returned, without which no server has the whole file.
        self.before_end: Callable[[], None] = lambda: None
        self._file = open_image(path)  # closed by __exit__
        status = os.fstat(self._file.fileno())
        self.identity = FileIdentity.from_stat(status)
        self.size = status.st_size
        if self.size == 0:
            self._file.close()
            raise TaskError(f"{path} is empty, so it is not an image. Pack the virtual machine again.", path=path)
        # How far the file was read.
        self.offset = 0
        self._hasher = hashlib.sha256()
        self._remembered = (0, hashlib.sha256())
        self._paced_from: tuple[float, int] | None = None
        # Several threads may send parts.
        self._pacing = threading.Lock()

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.size

    @property
    def sha256(self) -> str | None:
        """The digest of the whole file, after all of it was read."""
        return self._hasher.hexdigest() if self.offset == self.size else None

    @property
    def so_far(self) -> str:
        """The digest of what was read."""
        return self._hasher.hexdigest()

    @property
    def content(self) -> Content:
        seen = _mark(f"{self.size} {self.identity.mtime_ns}")
        return Content(self.size, (seen,) if self.expected is None else (_mark(self.expected), seen))

    def rewind(self, offset: int = 0) -> None:
        """Start again, for another attempt. The bytes before C(offset) are hashed, but not returned."""
        known, hasher = self._remembered
        if known > offset:
            known, hasher = 0, hashlib.sha256()
        self._file.seek(known)
        self._hasher = hasher.copy()
        self.offset = known
        self._paced_from = None
        while self.offset < offset:
            self.pass_over(offset - self.offset)

    def remember(self) -> None:
        """Keep the current digest, so that an attempt that resumes here does not read the earlier bytes again."""
        self._remembered = (self.offset, self._hasher.copy())

    def read(self, size: int = -1) -> bytes:
        """Return the next block to send, never more than a MiB; nothing at the end."""
        block = self._next(self._block if size is None or size < 0 else min(size, self._block))
        if block:
            self._keep_to_rate(len(block))
        return block

    def pass_over(self, size: int) -> bytes:
        """Return the next block, at most a MiB, for a store that already has these bytes. It is not sent."""
        return self._next(min(size, BLOCK))

    def hash_ahead(self, size: int) -> bytes:
        """Return the next block like C(pass_over), for bytes whose progress is reported elsewhere."""
        return self._next(min(size, BLOCK), unwatched)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return a block to send, at most a MiB, of bytes that were hashed before. Any thread may call this."""
        block = self._read_from(lambda wanted: os.pread(self._file.fileno(), wanted, offset), min(size, self._block))
        self._keep_to_rate(len(block))
        return block

    def progress(self, done: int) -> None:
        """Report how many bytes of the body are done."""
        self._report(done, self.size)

    def _next(self, size: int, report: Report | None = None) -> bytes:
        wanted = min(self.size - self.offset, size)
        if wanted == 0:
            return b""
        block = self._read_from(self._file.read, wanted)
        self._hasher.update(block)
        if self.offset + len(block) == self.size:
            self._prove()
            self.before_end()
        self.offset += len(block)
        (report or self._report)(self.offset, self.size)
        return block

    def _read_from(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            block = read(size)
        except OSError as error:
            raise TaskError(
                f"{self.path} cannot be read ({error.strerror}). Nothing was published. Check the disk that it is on.",
                path=self.path,
            ) from error
        if not block:
            raise self._changed("it became shorter")
        return block

    def _prove(self) -> None:
        """Raise WrongFile when the file is not the one to be sent. Its last block was not sent yet."""
        if FileIdentity.from_stat(os.fstat(self._file.fileno())) != self.identity:
            raise self._changed("its size or modification time is different now")
        if not os.path.exists(self.path) or FileIdentity.of(self.path) != self.identity:
            raise self._changed("it was removed or replaced")
        digest = self._hasher.hexdigest()
        if self.expected is not None and digest != self.expected:
            raise WrongFile(
                f"{self.path} is not the expected file: its SHA-256 is {digest}, but {self.expected} was expected. "
                "Nothing was published. Pack the virtual machine again, or correct sha256.",
                path=self.path,
                sha256=digest,
                expected=self.expected,
            )

    def _changed(self, how: str) -> WrongFile:
        return WrongFile(
            f"{self.path} changed during the upload: {how}. Nothing was published. "
            "Wait until nothing writes to it, then run the same command again.",
            path=self.path,
        )

    def count(self, size: int) -> None:
        """Count bytes as sent that were first passed over."""
        with self._pacing:
            self.sent += size

    def _keep_to_rate(self, size: int) -> None:
        with self._pacing:
            if self._paced_from is None:
                self._paced_from = (self._clock(), self.sent)
            self.sent += size
            begun, before = self._paced_from
            passed = self.sent - before
        ahead = passed / self._rate_limit - (self._clock() - begun) if self._rate_limit else 0
        if ahead > 0:
            self._sleep(ahead)


class Chunk:
    """The next bytes of a body, as the body of one request."""

    def __init__(self, body: Body, size: int) -> None:
        self._body = body
        self._size = size
        self._left = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        block = self._body.read(self._left if size is None or size < 0 else min(size, self._left))
        self._left -= len(block)
        return block


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_MARK]
