# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The multipart uploads of one file that are not finished: what they have, whose they are, what is to become of them.

An upload says nothing about itself but the parts that it has. So each of ours has two tiny ones more, of which no file
is ever made: a note about the image and how it is kept, and a note about the host that sends it. Both can be compared
with ours, as all parts can. What has our note about the image is gone on with. What has only that of our host is of
other bytes. What has neither is someone else's, and may be under way.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import TaskError
from .._retry import RetryLater
from ._base import Notice, this_host
from ._s3_client import S3Client
from ._s3_errors import GONE_UPLOAD, NOT_SUPPORTED, Refused
from ._s3_parts import (
    CHECKSUM_PARAMETERS,
    CONTENT_NOTE,
    HOST_NOTE,
    MOST_PARTS,
    Listed,
    encoded,
    is_equal,
)

# Seconds without a new part, after which nobody can be sending any more.
STALE = 24 * 3600


class NoLists(Exception):
    """The store does not tell which uploads or parts there are."""


@dataclass(frozen=True)
class Unfinished:
    """An upload that is not finished."""

    name: str
    # The notes among them.
    parts: tuple[Listed, ...]
    # Seconds since something came in.
    age: float

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts if part.number <= MOST_PARTS)


def digests_of(data: bytes) -> dict[str, bytes]:
    """Return the digests by which stores compare something small."""
    return {
        "sha256": hashlib.sha256(data).digest(),
        "crc32": zlib.crc32(data).to_bytes(4, "big"),
        "md5": hashlib.new("md5", data, usedforsecurity=False).digest(),
    }


def checksum_of(digests: Mapping[str, bytes], checksum: str) -> dict[str, str]:
    """Return the parameter by which a store verifies what it gets, if any."""
    return {CHECKSUM_PARAMETERS[checksum]: encoded(digests[checksum])} if checksum in CHECKSUM_PARAMETERS else {}


class Uploads:
    """The unfinished uploads of one bucket."""

    def __init__(self, client: S3Client, page_size: int = 1000) -> None:
        self._client = client
        self._page_size = page_size

    def write_notes(self, key: str, upload: str, content: bytes, checksum: str) -> None:
        """Note on a new upload what it is."""
        for number, text in ((CONTENT_NOTE, content), (HOST_NOTE, _host_note())):
            self._client.call(
                "upload_part",
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=text,
                **checksum_of(digests_of(text), checksum),
            )

    def of(self, key: str) -> list[Unfinished]:
        """Return the unfinished uploads of a file. Raises NoLists."""
        found = []
        for upload, begun, now in list(self._begun(key)):
            with contextlib.suppress(Refused):  # it has ended meanwhile
                parts, last = self._listed(key, upload)
                found.append(Unfinished(upload, tuple(parts), now - max(begun, last)))
        return found

    def parts(self, key: str, upload: str) -> list[Listed] | None:
        """Return the parts of an upload without the notes, None when there is no such upload. Raises NoLists."""
        try:
            parts, _last = self._listed(key, upload)
        except Refused:
            return None
        return [part for part in parts if part.number <= MOST_PARTS]

    def is_there(self, key: str, upload: str) -> bool:
        """Return whether an upload can still be finished. Raises NoLists."""
        try:
            self._call("list_parts", GONE_UPLOAD, Key=key, UploadId=upload, MaxParts=1)
        except Refused:
            return False
        return True

    def abort(self, key: str, upload: str) -> bool:
        """Throw away what an upload has; return whether it was there."""
        try:
            self._client.call("abort_multipart_upload", GONE_UPLOAD, Key=key, UploadId=upload)
        except Refused:
            return False
        return True

    def sort_out(self, key: str, content: bytes, checksum: str, notice: Notice) -> Unfinished | None:
        """Return the best of the uploads that can be gone on with, and abort those that are of no use to anybody.

        Raises NoLists.
        """
        ours = []
        for upload in self.of(key):
            if _has(upload, CONTENT_NOTE, content, checksum):
                ours.append(upload)
            elif upload.age > STALE:
                self._abort_with_notice(key, upload, "nothing has come in for it for a day", notice)
            elif _has(upload, HOST_NOTE, _host_note(), checksum):
                self._abort_with_notice(key, upload, "this host has begun it, with other bytes or options", notice)
        ours.sort(key=lambda upload: upload.size)
        best = ours.pop() if ours else None
        for upload in ours:
            if _has(upload, HOST_NOTE, _host_note(), checksum):
                self._abort_with_notice(key, upload, "another one of the same image has more", notice)
        return best

    def _abort_with_notice(self, key: str, upload: Unfinished, why: str, notice: Notice) -> None:
        what = f"an unfinished upload of {self._client.place.address(key)} with {upload.size} bytes"
        try:
            if self.abort(key, upload.name):
                notice(f"Removed {what}: {why}.")
        except TaskError as error:
            notice(f"There is {what}, which is of no use ({why}). It could not be removed: {error.message}")
        except RetryLater:
            pass  # the next run finds it again

    def _begun(self, key: str) -> Iterator[tuple[str, float, float]]:
        """Yield the ids of the uploads of a file, when they were begun, and what time the store has now."""
        more: dict[str, Any] = {}
        while True:
            answer = self._call("list_multipart_uploads", (), Prefix=key, MaxUploads=self._page_size, **more)
            now = _date(answer)
            for upload in answer.get("Uploads", []):
                if upload["Key"] == key:
                    yield upload["UploadId"], upload["Initiated"].timestamp(), now
            following = {
                "KeyMarker": answer.get("NextKeyMarker", ""),
                "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
            }
            following = {name: value for name, value in following.items() if value}
            if not answer.get("IsTruncated") or not following or following == more:
                return
            more = following

    def _listed(self, key: str, upload: str) -> tuple[list[Listed], float]:
        """Return the parts that an upload has, and when the last of them came in. Raises Refused when it has ended."""
        parts: list[Listed] = []
        last = 0.0
        marker = 0
        while True:
            answer = self._call(
                "list_parts",
                GONE_UPLOAD,
                Key=key,
                UploadId=upload,
                MaxParts=self._page_size,
                PartNumberMarker=marker,
            )
            for part in answer.get("Parts", []):
                checksums = {name: part[name] for name in CHECKSUM_PARAMETERS.values() if part.get(name)}
                parts.append(Listed(part["PartNumber"], part.get("Size", 0), part.get("ETag", ""), checksums))
                last = max(last, part["LastModified"].timestamp() if "LastModified" in part else 0.0)
            following = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated") or following <= marker:
                return parts, last
            marker = following

    def _call(self, operation: str, accept: tuple[str, ...], **parameters: Any) -> Any:
        try:
            return self._client.call(operation, (*accept, *NOT_SUPPORTED, "AccessDenied"), **parameters)
        except Refused as refused:
            if refused.code in accept:
                raise
            raise NoLists(refused.code) from refused


def _has(upload: Unfinished, number: int, text: bytes, checksum: str) -> bool:
    note = next((part for part in upload.parts if part.number == number), None)
    return note is not None and note.size == len(text) and is_equal(note, digests_of(text), checksum)


def _host_note() -> bytes:
    return f"macops.parallels {this_host()}".encode()


def _date(answer: Mapping[str, Any]) -> float:
    """Return the time of the store's clock: ages are told by it alone."""
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    parsed = email.utils.parsedate_tz(told) if told else None
    return float(email.utils.mktime_tz(parsed)) if parsed else time.time()
