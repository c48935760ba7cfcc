# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with holes: which parts are there, copying them, filling them with bytes that do not compress."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

MIB = 1 << 20
_SMALL = 64 * 1024
_CHUNK_MAX = 8 * MIB
_CHUNK_MIN = 4096

# Called before each piece of a long operation with the bytes done so far; it may pause, fail or kill.
Step = Callable[[int], None]


def no_step(_done: int) -> None:
    """Do nothing between two pieces."""


def extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the parts of a file that are not holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(handle, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
        yield start, end
        position = end


def data_bytes(path: Path) -> int:
    """Return how many bytes of a file are not holes."""
    size = path.stat().st_size
    with open(path, "rb") as source:
        return sum(end - start for start, end in extents(source.fileno(), size))


def copy_file(source: Path, target: Path, step: Step = no_step, done: int = 0) -> int:
    """Copy a file with its holes, in pieces small enough for C(step) to strike in the middle; return the bytes done."""
    size = source.stat().st_size
    chunk = max(_CHUNK_MIN, min(_CHUNK_MAX, data_bytes(source) // 16))
    with open(source, "rb") as reader, open(target, "wb") as writer:
        os.ftruncate(writer.fileno(), size)
        for start, end in extents(reader.fileno(), size):
            position = start
            while position < end:
                step(done)
                copied = _copy_range(reader.fileno(), writer.fileno(), position, min(chunk, end - position))
                position += copied
                done += copied
    return done


def _copy_range(source: int, target: int, offset: int, length: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source, target, length, offset, offset)
            if copied:
                return copied
        except OSError:
            pass  # other file systems, other kernels: the slow way
    data = os.pread(source, length, offset)
    return os.pwrite(target, data, offset)


class Noise:
    """Bytes that do not compress, made faster than the random generator makes them."""

    def __init__(self) -> None:
        self._twice = b""  # the same random bytes two times over, to cut a piece out at any place

    def blocks(self, length: int) -> Iterator[bytes]:
        """Yield blocks that are C(length) bytes together, no two alike."""
        if length <= _SMALL:
            yield os.urandom(length)
            return
        self._twice = self._twice or os.urandom(MIB) * 2
        left = length
        while left > 0:
            start = int.from_bytes(os.urandom(4), "big") % MIB
            block = (os.urandom(16) + self._twice[start : start + MIB - 16])[:left]
            yield block
            left -= len(block)
