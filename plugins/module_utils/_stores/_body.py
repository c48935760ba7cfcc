# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The file that is sent: read once, for the wire and for its digest at the same time."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import Any, Callable

from .._errors import TaskError
from .._files import FileIdentity

BLOCK = 1024 * 1024
_SMALLEST_BLOCK = 4 * 1024


class Body:
    """A file-like object for a request's body, with constant memory.

    The last block is handed out only when all bytes together are what was promised, and the file is still the one that
    was opened. So no server ever gets a whole body of wrong bytes, not even one to which an image can only be sent
    directly under its final name.
    """

    def __init__(
        self,
        path: str,
        sha256: str | None = None,
        rate_limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self.expected = sha256
        self._clock = clock
        self._sleep = sleep
        self._rate_limit = rate_limit
        # About four blocks a second, so that a slow limit does not look like a connection that stands still.
        self._block = max(_SMALLEST_BLOCK, min(BLOCK, rate_limit // 4)) if rate_limit else BLOCK
        # Bytes handed out since the body was opened, those of attempts that broke included.
        self.sent = 0
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise TaskError(f"{path} is not a file. Give the path of the packed image.", path=path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        status = os.fstat(self._file.fileno())
        self.identity = FileIdentity.from_stat(status)
        self.size = status.st_size
        if self.size == 0:
            self._file.close()
            raise TaskError(f"{path} is empty, so it is no image. Pack the virtual machine again.", path=path)
        self._hasher = hashlib.sha256()
        self._offset = 0
        self._begun: float | None = None

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.size

    @property
    def sha256(self) -> str | None:
        """The digest of the whole file, once all of it was handed out."""
        return self._hasher.hexdigest() if self._offset == self.size else None

    def rewind(self) -> None:
        """Begin again, for another attempt."""
        self._file.seek(0)
        self._hasher = hashlib.sha256()
        self._offset = 0
        self._begun = None

    def read(self, size: int = -1) -> bytes:
        """Return the next block, at most a MiB of it whatever is asked for; nothing at the end."""
        remaining = self.size - self._offset
        wanted = min(remaining, self._block if size is None or size < 0 else min(size, self._block))
        if wanted == 0:
            return b""
        try:
            block = self._file.read(wanted)
        except OSError as error:
            raise TaskError(
                f"{self.path} cannot be read ({error.strerror}). Nothing was published. Check the disk it is on.",
                path=self.path,
            ) from error
        if not block:
            raise self._changed("it has become shorter")
        self._hasher.update(block)
        if self._offset + len(block) == self.size:
            self._prove()
        self._offset += len(block)
        self.sent += len(block)
        self._keep_to_rate()
        return block

    def _prove(self) -> None:
        """Raise TaskError when the file is not what was to be sent. Its last block is still in our hands."""
        if FileIdentity.from_stat(os.fstat(self._file.fileno())) != self.identity:
            raise self._changed("its size or its time of change is another one now")
        if not os.path.exists(self.path) or FileIdentity.of(self.path) != self.identity:
            raise self._changed("it was removed or replaced")
        digest = self._hasher.hexdigest()
        if self.expected is not None and digest != self.expected:
            raise TaskError(
                f"{self.path} is not the file that was to be sent: its SHA-256 is {digest}, expected was "
                f"{self.expected}. Nothing was published. Pack the virtual machine again, or correct sha256.",
                path=self.path,
                sha256=digest,
                expected=self.expected,
            )

    def _changed(self, how: str) -> TaskError:
        return TaskError(
            f"{self.path} was changed while it was being sent: {how}. Nothing was published. "
            "Wait until nothing writes to it, then run the same command again.",
            path=self.path,
        )

    def _keep_to_rate(self) -> None:
        if not self._rate_limit:
            return
        now = self._clock()
        if self._begun is None:
            self._begun = now
        ahead = self._offset / self._rate_limit - (now - self._begun)
        if ahead > 0:
            self._sleep(ahead)
