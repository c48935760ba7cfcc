# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files of virtual disks: expanding ones (a table of 1 MiB blocks, then the blocks) and plain ones."""

from __future__ import annotations

import contextlib
import os
import struct
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from .sparse import MIB, extents

BLOCK = MIB
_SECTOR = 512
_MAGIC = b"WithouFreSpacExt"
# magic, version, heads, cylinders, sectors a block, table entries, sectors of the disk, in use, data offset in sectors
_HEADER = struct.Struct("<16sIIIIIQII")
_TABLE_AT = 64


class ExpandingImage:
    """An image file that holds only the blocks the guest has written."""

    def __init__(self, path: Path, virtual: int, table: array) -> None:
        self.path = path
        self.virtual = virtual
        self.table = table  # block of the disk -> block of the file; 0: never written

    @classmethod
    def create(cls, path: Path, virtual: int) -> ExpandingImage:
        """Make an image file without data for a disk of C(virtual) bytes."""
        blocks = -(-virtual // BLOCK)
        image = cls(path, virtual, array("I", bytes(4 * blocks)))
        with open(path, "wb") as file:
            file.write(
                _HEADER.pack(
                    _MAGIC, 2, 16, 0, BLOCK // _SECTOR, blocks, virtual // _SECTOR, 0, image.first * BLOCK // _SECTOR
                )
            )
            file.truncate(image.first * BLOCK)
        return image

    @classmethod
    def open(cls, path: Path) -> ExpandingImage:
        """Read the header and the table of an image file."""
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or head[:16] != _MAGIC:
                raise ValueError(f"{path} is not an expanding disk image")
            fields = _HEADER.unpack(head)
            file.seek(_TABLE_AT)
            table = array("I")
            table.frombytes(file.read(4 * fields[5]))
        return cls(path, fields[6] * _SECTOR, table)

    @property
    def first(self) -> int:
        """Return the number of the file's first data block."""
        return -(-(_TABLE_AT + 4 * len(self.table)) // BLOCK)

    def used(self) -> list[int]:
        """Return the blocks of the disk that are in the file."""
        return [block for block, place in enumerate(self.table) if place]

    def append(self, writes: Iterable[tuple[int, bytes]]) -> None:
        """Write blocks at the file's end, or over those that are there; a short one is filled up with a hole."""
        following = self.first + sum(1 for place in self.table if place)
        with open(self.path, "r+b") as file:
            for block, data in writes:
                if not self.table[block]:
                    self.table[block] = following
                    following += 1
                file.seek(self.table[block] * BLOCK)
                file.write(data)
            file.truncate(following * BLOCK)
            self._write_table(file)

    def _write_table(self, file: BinaryIO) -> None:
        file.seek(_TABLE_AT)
        file.write(self.table.tobytes())

    def read_block(self, file: BinaryIO, block: int) -> bytes:
        """Return a block of the disk from the open image file."""
        return os.pread(file.fileno(), BLOCK, self.table[block] * BLOCK)

    def release(self, blocks: Iterable[int]) -> None:
        """Take blocks out of the file: the last ones move into the gaps, then the file is cut."""
        with open(self.path, "r+b") as file:
            gaps = sorted(self.table[block] for block in set(blocks) if self.table[block])
            for block in set(blocks):
                self.table[block] = 0
            owner = {place: block for block, place in enumerate(self.table) if place}
            end = self.first + len(owner)
            movable = sorted((place for place in owner if place >= end), reverse=True)
            for gap, place in zip((gap for gap in gaps if gap < end), movable):
                file.seek(gap * BLOCK)
                file.write(os.pread(file.fileno(), BLOCK, place * BLOCK))
                self.table[owner[place]] = gap
            file.truncate(end * BLOCK)
            self._write_table(file)


def create_plain(path: Path, virtual: int) -> None:
    """Make a plain image file without data."""
    with open(path, "wb") as file:
        file.truncate(virtual)


def is_expanding(path: Path) -> bool:
    """Tell an expanding image file from a plain one."""
    with open(path, "rb") as file:
        return file.read(16) == _MAGIC


def merge(upper: Path, lower: Path) -> None:
    """Write all blocks of the upper image over those of the lower one."""
    above = ExpandingImage.open(upper)
    with open(upper, "rb") as source:
        if is_expanding(lower):
            below = ExpandingImage.open(lower)
            below.append((block, above.read_block(source, block)) for block in above.used())
            return
        with open(lower, "r+b") as target:
            for block in above.used():
                target.seek(block * BLOCK)
                target.write(above.read_block(source, block)[: above.virtual - block * BLOCK])


def read_disk(chain: list[Path], virtual: int) -> Iterable[tuple[int, bytes]]:
    """Yield block number and bytes of what a guest sees through a chain of images, the lowest first; no holes."""
    images = [ExpandingImage.open(path) if is_expanding(path) else path for path in chain]
    blocks: dict[int, int] = {}
    for level, image in enumerate(images):
        if isinstance(image, ExpandingImage):
            for block in image.used():
                blocks[block] = level
        else:
            with open(image, "rb") as file:
                for start, end in extents(file.fileno(), virtual):
                    for block in range(start // BLOCK, -(-end // BLOCK)):
                        blocks[block] = level
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in chain]
        for block in sorted(blocks):
            level = blocks[block]
            image = images[level]
            if isinstance(image, ExpandingImage):
                yield block, image.read_block(files[level], block)
            else:
                yield block, os.pread(files[level].fileno(), BLOCK, block * BLOCK)
