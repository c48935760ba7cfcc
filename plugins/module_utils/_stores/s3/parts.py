# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Divides an image into parts for S3, and compares it with the parts in a store, without network access.

An unfinished upload shows nothing but the sizes and digests of its parts. So the part size identifies the upload: what
it has above a whole number of MiB is a mark of the image, of its storage options, and of the host. A mark is short, so
it only shows which uploads to compare; and what was published after a resume is checked again.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..._common.errors import TaskError
from ..base import StoreOptions

MIB = 1024 * 1024
DEFAULT_PART_SIZE = 64 * MIB
SMALLEST_PART = 5 * MIB
LARGEST_PART = 5 * 1024 * MIB
MOST_PARTS = 10_000
# The part of a mark that identifies the host.
_HOSTS = 256
_MARKS = MIB

# By the value of s3_checksum: the name of the parameter, and of the algorithm when an upload begins.
CHECKSUM_PARAMETERS = {"sha256": "ChecksumSHA256", "crc32": "ChecksumCRC32", "md5": "ContentMD5"}
CHECKSUM_ALGORITHMS = {"sha256": "SHA256", "crc32": "CRC32"}
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Listed:
    """A part that a store has."""

    number: int
    size: int
    etag: str
    # Base64, by the name of the parameter.
    checksums: Mapping[str, str]


def part_size_for(size: int, wanted: int | None) -> int:
    """Return the part size of a file: as requested, in whole MiB, but large enough for the maximum number of parts."""
    smallest = -(-size // MOST_PARTS)
    largest = LARGEST_PART - MIB
    if smallest > largest:
        raise TaskError(
            f"The image has {size} bytes, but S3 stores at most {MOST_PARTS * largest} in one file. Make it smaller."
        )
    return _in_mib(max(min(wanted or DEFAULT_PART_SIZE, largest), smallest, SMALLEST_PART))


def _in_mib(size: int) -> int:
    return -(-size // MIB) * MIB


def mark_of(about: str, host: str) -> int:
    """Return the mark that is added to the size of the parts."""
    # Never 0: other programs send parts of round sizes.
    return _number(about) % (_MARKS // _HOSTS) * _HOSTS + _number(host) % (_HOSTS - 1) + 1


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def marked_size(parts: Iterable[Listed], size: int) -> int | None:
    """Return the part size of an unfinished upload of a file of that size, if its parts show it."""
    found = max((part.size for part in parts), default=0)
    if found < SMALLEST_PART or found >= size or -(-size // found) > MOST_PARTS:
        return None
    return found if any(part.size == found for part in on_grid(parts, size, found)) else None


def is_of(part_size: int, mark: int) -> bool:
    """Return whether parts of that size belong to the image with a mark, from any host."""
    return part_size % MIB // _HOSTS == mark // _HOSTS


def is_from(part_size: int, mark: int) -> bool:
    """Return whether parts of that size come from the host with a mark."""
    return part_size % _HOSTS == mark % _HOSTS


def on_grid(parts: Iterable[Listed], size: int, part_size: int) -> list[Listed]:
    """Return the parts that have the expected offset and size."""
    return [part for part in parts if 0 < part.size == min(part_size, size - (part.number - 1) * part_size)]


def is_equal(listed: Listed, digests: Mapping[str, bytes], checksum: str) -> bool:
    """Return whether a part in a store has the bytes with these digests, as far as the store reports it."""
    parameter = CHECKSUM_PARAMETERS.get(checksum, "")
    if parameter in listed.checksums:
        return listed.checksums[parameter] == encoded(digests[checksum])
    return "md5" in digests and is_md5(listed.etag) and plain(listed.etag) == digests["md5"].hex()


def is_md5(etag: str) -> bool:
    """Return whether an ETag may be the MD5 of the content. With encryption by the store's keys, it is not."""
    return _MD5.fullmatch(plain(etag)) is not None


def plain(etag: str) -> str:
    return etag.strip('"').lower()


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def check_options(options: StoreOptions) -> None:
    """Raise TaskError for options that conflict or are not valid for S3."""
    if options.username or options.password or options.token:
        raise TaskError(
            "An s3:// destination does not support username, password and token. Set access_key and secret_key, or "
            "omit all of them to use the environment, a profile or the host's role."
        )
    if bool(options.access_key) != bool(options.secret_key):
        raise TaskError("Only one of access_key and secret_key is set. Set both, or none.")
    if options.session_token and not options.access_key:
        raise TaskError("session_token is set without access_key and secret_key. Set all three.")
    if options.s3_kms_key_id and options.s3_encryption != "aws:kms":
        raise TaskError(
            "s3_kms_key_id is set without s3_encryption=aws:kms. Set s3_encryption=aws:kms, or omit s3_kms_key_id."
        )
    if options.s3_storage_class in ("GLACIER", "DEEP_ARCHIVE"):
        raise TaskError(
            f"Users' Macs cannot download from the storage class {options.s3_storage_class}, because files must be "
            "restored first. Choose another s3_storage_class, such as STANDARD_IA or GLACIER_IR."
        )
    if len(options.s3_tags) > 10:
        raise TaskError(f"s3_tags has {len(options.s3_tags)} tags, but S3 allows at most 10 for a file. Remove some.")
