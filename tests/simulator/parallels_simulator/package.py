# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packed form of a VM: one regular file. A container of our own, marked as a simulation in its first line.

Line of text, length and JSON (configuration, snapshots, names of files), then the parts of the files that are no holes,
each compressed when that helps; at the end a block that proves that the file is whole.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from . import NOTICE
from .bundle import Bundle
from .config import CONFIG, UNFINISHED_CONFIG, VmConfig, config_name
from .snapshots import SnapshotTree
from .sparse import MIB, Step, extents, no_step

SUFFIX = ".pvmp"
FIRST_LINE = f"{NOTICE}; a package of the simulator, which Parallels Desktop cannot read\n".encode()
_LENGTH = struct.Struct(">Q")
# kind, file, offset, raw length, stored length, CRC of the raw bytes
_BLOCK = struct.Struct(">BIQIII")
_END, _STORED, _DEFLATED, _ZEROS = range(4)
_SAMPLE = 4096
_WORTH_IT = 0.9
_MIN_PIECE = 4096


class DamagedPackage(ValueError):
    """The file is not a whole package."""


class Package:
    """A .pvmp file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def header(self) -> dict[str, Any]:
        """Read what can be known without unpacking; raises DamagedPackage."""
        try:
            with open(self.path, "rb") as file:
                return _read_header(file)
        except OSError as error:
            raise DamagedPackage(str(error)) from error

    def config(self) -> VmConfig:
        """Read the configuration inside."""
        return VmConfig.from_xml(self.header()["config"])

    def snapshots(self) -> SnapshotTree:
        """Read the tree of snapshots inside."""
        text = self.header()["snapshots"]
        return SnapshotTree.from_xml(text) if text else SnapshotTree()

    def unpack_to(self, target: Path, step: Step = no_step) -> Bundle:
        """Write the bundle again, byte for byte; raises DamagedPackage."""
        with open(self.path, "rb") as file:
            header = _read_header(file)
            target.mkdir(parents=True)
            paths = [
                target / (config_name(target) if entry["path"] == CONFIG else entry["path"])
                for entry in header["files"]
            ]
            for path, entry in zip(paths, header["files"]):
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "wb") as output:
                    output.truncate(entry["size"])
                os.chmod(path, entry["mode"])
            done = 0
            for number, blocks in itertools.groupby(_read_blocks(file), key=lambda block: block[0]):
                with open(paths[number], "r+b") as output:
                    for _number, offset, data in blocks:
                        step(done)
                        output.seek(offset)
                        output.write(data)
                        done += len(data)
        return Bundle(target)


def pack_bundle(bundle: Bundle, target: Path, step: Step = no_step, name: str = "") -> str:
    """Write a bundle as one file, reading every byte that is allocated; return the file's SHA-256.

    C(name) is what the bundle will be called when it is unpacked.
    """
    paths = bundle.files()
    snapshots = bundle.snapshots()
    data = bundle.data_bytes()
    piece = max(_MIN_PIECE, min(MIB, data // 16))
    header = json.dumps(
        {
            "bundle": name or bundle.path.name,
            "config": bundle.config().to_xml(),
            "snapshots": snapshots.to_xml() if snapshots else "",
            "data": data,
            "disks": [
                {"name": disk.folder.name, "size": disk.virtual, "type": "plain" if disk.plain else "expanded"}
                for disk in bundle.disks()
            ],
            "files": [
                {
                    "path": CONFIG if str(path) == UNFINISHED_CONFIG else str(path),
                    "size": status.st_size,
                    "mode": status.st_mode & 0o777,
                }
                for path, status in ((path, os.stat(bundle.path / path)) for path in paths)
            ],
        }
    ).encode()
    with open(target, "wb") as file:
        output = _Hashed(file)
        output.write(FIRST_LINE + _LENGTH.pack(len(header)) + header)
        done = 0
        for number, path in enumerate(paths):
            for offset, content in _pieces(bundle.path / path, piece):
                step(done)
                for part in _block(number, offset, content):
                    output.write(part)
                done += len(content)
        output.write(_BLOCK.pack(_END, 0, done, 0, 0, 0))
        return output.digest.hexdigest()


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        import hashlib  # slow to load, and most calls pack nothing

        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)


def _pieces(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    with open(path, "rb", buffering=0) as file:
        for start, end in extents(file.fileno(), path.stat().st_size):
            for offset in range(start, end, size):
                yield offset, os.pread(file.fileno(), min(size, end - offset), offset)


def _block(number: int, offset: int, data: bytes) -> tuple[bytes, ...]:
    crc = zlib.crc32(data)
    if data.count(0) == len(data):
        return (_BLOCK.pack(_ZEROS, number, offset, len(data), 0, crc),)
    middle = len(data) // 2
    sample = data[middle : middle + _SAMPLE]
    if len(zlib.compress(sample, 1)) < _WORTH_IT * len(sample):
        packed = zlib.compress(data, 1)
        if len(packed) < len(data):
            return _BLOCK.pack(_DEFLATED, number, offset, len(data), len(packed), crc), packed
    return _BLOCK.pack(_STORED, number, offset, len(data), len(data), crc), data


def _read_header(file: BinaryIO) -> dict[str, Any]:
    if file.read(len(FIRST_LINE)) != FIRST_LINE:
        raise DamagedPackage("this is not a package of the simulator")
    try:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        return json.loads(file.read(length))
    except (struct.error, ValueError) as error:
        raise DamagedPackage("the package ends in its header") from error


def _read_blocks(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    total = 0
    while True:
        head = file.read(_BLOCK.size)
        if len(head) < _BLOCK.size:
            raise DamagedPackage("the package is cut off")
        kind, number, offset, raw, stored, crc = _BLOCK.unpack(head)
        if kind == _END:
            if offset != total:
                raise DamagedPackage("the package lacks blocks")
            return
        total += raw
        if kind == _ZEROS:
            continue
        data = file.read(stored)
        if kind == _DEFLATED:
            data = zlib.decompress(data)
        if len(data) != raw or zlib.crc32(data) != crc:
            raise DamagedPackage("a block of the package is damaged")
        yield number, offset, data
