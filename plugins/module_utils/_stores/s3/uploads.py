# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The unfinished multipart uploads of one file: what they contain, and which are resumed or aborted."""

from __future__ import annotations

import contextlib
import hashlib
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..._common.errors import TaskError
from ..._common.notice import Notice
from ..._common.retry import RetryLater
from ..._http.headers import http_date
from .begun import forget, has_begun
from .client import S3Client
from .errors import GONE_UPLOAD, NOT_SUPPORTED, Refused
from .parts import (
    CHECKSUM_PARAMETERS,
    Listed,
    encoded,
    is_from,
    is_of,
    marked_size,
)

# Seconds without a new part after which no run can still be sending.
STALE = 24 * 3600


# Why there are no lists, beside the codes of refusals.
CUT_OFF = "cut off"


class NoLists(Exception):
    """The store does not list uploads or parts, or not all of them."""


@dataclass(frozen=True)
class Unfinished:
    """An unfinished upload."""

    name: str
    parts: tuple[Listed, ...]
    # Seconds since the last part arrived.
    age: float

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def digests_of(data: bytes) -> dict[str, bytes]:
    """Return the digests by which stores verify a small file."""
    return {
        "sha256": hashlib.sha256(data).digest(),
        "crc32": zlib.crc32(data).to_bytes(4, "big"),
        "md5": hashlib.new("md5", data, usedforsecurity=False).digest(),
    }


def checksum_of(digests: Mapping[str, bytes], checksum: str) -> dict[str, str]:
    """Return the parameter by which a store verifies the bytes, if any."""
    return {CHECKSUM_PARAMETERS[checksum]: encoded(digests[checksum])} if checksum in CHECKSUM_PARAMETERS else {}


class Uploads:
    """The unfinished uploads of one bucket."""

    def __init__(self, client: S3Client, page_size: int = 1000) -> None:
        self._client = client
        self._page_size = page_size

    def of(self, key: str) -> list[Unfinished]:
        """Return the unfinished uploads of a file. Raises NoLists."""
        found = []
        for upload, begun, now in list(self._begun(key)):
            with contextlib.suppress(Refused):  # it has ended in the meantime
                parts, last = self._listed(key, upload)
                found.append(Unfinished(upload, tuple(parts), now - max(begun, last)))
        return found

    def are_listed(self, key: str) -> bool:
        """Return whether the store lists unfinished uploads."""
        try:
            next(self._begun(key), None)
        except NoLists:
            return False
        return True

    def parts(self, key: str, upload: str) -> list[Listed] | None:
        """Return the parts of an upload, None when the upload does not exist. Raises NoLists."""
        try:
            return self._listed(key, upload)[0]
        except Refused:
            return None

    def is_there(self, key: str, upload: str) -> bool:
        """Return whether an upload can still be finished. Raises NoLists."""
        try:
            self._call("list_parts", GONE_UPLOAD, Key=key, UploadId=upload, MaxParts=1)
        except Refused:
            return False
        return True

    def abort(self, key: str, upload: str) -> bool:
        """Abort an upload; return whether it existed."""
        existed = True
        try:
            self._client.call("abort_multipart_upload", GONE_UPLOAD, Key=key, UploadId=upload)
        except Refused:
            existed = False
        forget(self._client.place.address(key), upload)
        return existed

    def sort_out(self, key: str, size: int, mark: int, notice: Notice) -> tuple[Unfinished, int] | None:
        """Return the best upload that can be resumed, and its part size; abort useless uploads.

        Useless are uploads without a new part for a day, and those that this host started with other bytes or options.
        All others may be in progress. Raises NoLists.
        """
        ours = []
        for upload in self.of(key):
            part_size = marked_size(upload.parts, size)
            if part_size is not None and is_of(part_size, mark):
                ours.append((upload, part_size))
            elif upload.age > STALE:
                self._abort_with_notice(key, upload, "it received nothing for a day", notice)
            elif upload.parts and self._is_ours(key, upload, max(part.size for part in upload.parts), mark):
                self._abort_with_notice(key, upload, "this host started it with other bytes or options", notice)
        ours.sort(key=lambda found: found[0].size)
        best = ours.pop() if ours else None
        for upload, part_size in ours:
            if self._is_ours(key, upload, part_size, mark):
                self._abort_with_notice(key, upload, "another upload of the same image has more bytes", notice)
        return best

    def _is_ours(self, key: str, upload: Unfinished, part_size: int, mark: int) -> bool:
        return is_from(part_size, mark) and has_begun(self._client.place.address(key), upload.name)

    def _abort_with_notice(self, key: str, upload: Unfinished, why: str, notice: Notice) -> None:
        what = f"an unfinished upload of {self._client.place.address(key)} with {upload.size} bytes"
        try:
            if self.abort(key, upload.name):
                notice(f"Removed {what}: {why}.")
        except TaskError as error:
            notice(f"There is {what}, which is useless ({why}). It could not be removed: {error.message}")
        except RetryLater:
            pass  # the next run finds it again

    def _begun(self, key: str) -> Iterator[tuple[str, float, float]]:
        """Yield the IDs of the uploads of a file, when they were begun, and the current time of the store."""
        more: dict[str, Any] = {}
        while True:
            try:
                answer = self._call(
                    "list_multipart_uploads", GONE_UPLOAD, Prefix=key, MaxUploads=self._page_size, **more
                )
            except Refused:  # rclone answers this when there are none
                return
            if answer.keys().isdisjoint(("Uploads", "IsTruncated", "Bucket", "Prefix")):  # any other document
                raise NoLists(CUT_OFF)
            now = _date(answer)
            for upload in answer.get("Uploads", []):
                if not all(upload.get(name) for name in ("Key", "UploadId", "Initiated")):
                    raise NoLists(CUT_OFF)
                if upload["Key"] == key:
                    yield upload["UploadId"], upload["Initiated"].timestamp(), now
            following = {
                "KeyMarker": answer.get("NextKeyMarker", ""),
                "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
            }
            following = {name: value for name, value in following.items() if value}
            if not answer.get("IsTruncated"):
                return
            if not following or following == more:
                raise NoLists(CUT_OFF)
            more = following

    def _listed(self, key: str, upload: str) -> tuple[list[Listed], float]:
        """Return the parts of an upload, and when the last of them arrived. Raises Refused when it has ended."""
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
            if answer.keys().isdisjoint(("Parts", "IsTruncated", "Bucket", "UploadId")):
                raise NoLists(CUT_OFF)
            for part in answer.get("Parts", []):
                if part.get("PartNumber") is None or part.get("Size") is None:
                    raise NoLists(CUT_OFF)
                checksums = {name: part[name] for name in CHECKSUM_PARAMETERS.values() if part.get(name)}
                parts.append(Listed(part["PartNumber"], part["Size"], part.get("ETag", ""), checksums))
                last = max(last, part["LastModified"].timestamp() if "LastModified" in part else 0.0)
            if not answer.get("IsTruncated"):
                return parts, last
            following = int(answer.get("NextPartNumberMarker") or 0)
            if following <= marker:
                raise NoLists(CUT_OFF)
            marker = following

    def _call(self, operation: str, accept: tuple[str, ...], **parameters: Any) -> Any:
        try:
            return self._client.call(operation, (*accept, *NOT_SUPPORTED, "AccessDenied"), **parameters)
        except Refused as refused:
            if refused.code in accept:
                raise
            raise NoLists(refused.code) from refused


def _date(answer: Mapping[str, Any]) -> float:
    """Return the time by the store's clock, from which ages are computed."""
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    parsed = http_date(told)
    return time.time() if parsed is None else parsed
