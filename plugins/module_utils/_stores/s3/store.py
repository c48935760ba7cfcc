# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""S3, Amazon's or a compatible store: C(s3://bucket/prefix).

An image is always sent as a multipart upload: nothing has its name before the upload is completed, and the bytes that
arrived stay in the store when the upload is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..._common.errors import TaskError, add_sentence
from ..._common.files import BLOCK
from ..._common.machine import this_machine
from ..._common.notice import Notice, unheard
from ..._common.retry import RetryLater
from ..._http.headers import whole_number
from ..base import (
    SMALL_CACHE_CONTROL,
    CannotList,
    Conflict,
    Partial,
    Sent,
    Store,
    Stored,
    StoreFull,
    StoreOptions,
    image_headers,
    is_internal,
    is_worth_keeping,
    left_parts,
    removed,
    sha256_of,
)
from ..body import Body, Content
from ..parts import Part, send_parts
from ..temporary_names import TemporaryNames
from .begun import forget, note_begun
from .client import S3Client
from .errors import CONDITION_FAILED, GONE_UPLOAD, NOT_FOUND, NOT_SUPPORTED, Refused, unclear_look
from .parts import (
    CHECKSUM_ALGORITHMS,
    Listed,
    check_options,
    is_equal,
    is_md5,
    mark_of,
    on_grid,
    part_size_for,
    plain,
)
from .probe import TINY, learn
from .uploads import CUT_OFF, NoLists, Uploads, checksum_of, digests_of

DEFAULT_CONCURRENCY = 4

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
# After these codes the parts of an upload are not consistent: it restarts from the beginning.
_BROKEN_UPLOAD = ("InvalidPart", "InvalidPartOrder")
_IN_CONFLICT = ("ConditionalRequestConflict", "OperationAborted", "409")
_BEYOND = ("InvalidRange", "416")
# At least one of these is in every list of files.
_OF_LISTS = ("Contents", "IsTruncated", "KeyCount", "Name", "Prefix")
_FORBIDDEN = ("AccessDenied", "403")
# Codes of stores, and of gateways in front of them, for a name that they do not accept.
_NAME_CODES = ("AccessDenied", "InvalidArgument", "InvalidObjectName", "InvalidRequest", "InvalidURI", "NoSuchKey")


class S3Store(Store):
    """One prefix of a bucket."""

    kind = "s3"
    # The digest is sent with the request that begins an upload, and is stored as metadata.
    digest_first = True

    def __init__(self, destination: str, options: StoreOptions, page_size: int = 1000) -> None:
        check_options(options)
        self._bucket, self._prefix = _bucket_and_prefix(destination)
        self._options = _with_endpoint(options)
        self.url = f"s3://{self._bucket}" + (f"/{self._prefix}" if self._prefix else "")
        self._client = S3Client(self._bucket, self.url, self._options)
        self._uploads = Uploads(self._client, page_size)
        self._page_size = page_size
        self._concurrency = options.concurrency or DEFAULT_CONCURRENCY
        # What the store verifies, None until it is known: "sha256", "crc32", "md5", "none".
        self._checksum: str | None = None
        # Whether the bucket was asked for: a server that has none answers 404 for a file, too.
        self._has_bucket = False
        self._names = TemporaryNames()
        self._notice: Notice = unheard
        # This run's upload, the key of the file that was sent last, and the answers to its parts.
        self._own: str | None = None
        self._target: str | None = None
        # The part size and the identity of that upload.
        self._own_size = 0
        self._own_of = ""
        self._answers: dict[int, dict[str, Any]] = {}
        # The digest of the file that was sent last.
        self._sha256: str | None = None

    # Asking

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        self._notice = notice
        part_size_for(content.size, self._options.part_size)
        # Some stores create a missing bucket with the first file.
        self._check_bucket()
        if not write:
            return
        self._checksum = None
        self._find_out(name, in_parts=True)
        self._remove_left(name, content)
        if self._checksum in ("md5", "none") and self._options.s3_encryption == "aws:kms":
            # Then the ETag of a part is not its MD5, and nothing else identifies its bytes.
            self.resumes = False
            return
        self._own = None
        if not content.marks:  # there is nothing to send: only the access to the store was to be checked
            return
        try:
            best = self._uploads.sort_out(self._key(name), content.size, self._mark(name, content), notice)
        except NoLists as error:
            self._cannot_resume(error)
        else:
            if best is not None:
                self._own, self._own_size, self._own_of = best[0].name, best[1], self._about(name, content)

    def can_resume(self, name: str, write: bool) -> bool | None:
        if not self.resumes:
            return False
        if self._checksum is None and self._options.s3_encryption == "aws:kms":
            return None
        return self._uploads.are_listed(self._key(name))

    def can_compare(self) -> bool | None:
        known = self._checksum is not None or self._options.endpoint_url is None
        return self.exclusive if known else None

    def _check_bucket(self) -> None:
        """Verify that the bucket exists, where the credentials allow it."""
        if self._has_bucket:
            return
        try:
            self._client.call("head_bucket", ("403", "404", "NoSuchBucket", *NOT_SUPPORTED))
        except Refused as refused:
            if refused.status == 404:
                raise TaskError(
                    f"The bucket {self._bucket} does not exist. Create it, or correct destination.", status=404
                ) from refused
        self._has_bucket = True

    def _find_out(self, name: str, in_parts: bool = False) -> None:
        """Write and remove a tiny file, and find out what the store supports."""
        self._names.find_out(lambda: self._learn(self._key(self._names.part(name)), in_parts), _is_about_name)

    def _learn(self, probe: str, in_parts: bool) -> None:
        written = []

        def put(**how: Any) -> None:
            self._put(probe, TINY, **how)
            written.append(probe)

        def put_in_parts(checksum: str) -> None:
            self._put_in_parts(probe, TINY, checksum)
            written.append(probe)

        try:
            found = learn(put, self._options, put_in_parts if in_parts else None)
        finally:
            if written:
                self._remove_probe(probe)
        self._checksum = found.checksum
        self.exclusive = found.conditions

    def _remove_probe(self, probe: str) -> None:
        try:
            self._client.call("delete_object", NOT_FOUND, Key=probe)
        except TaskError as error:
            if error.details.get("code") == "AccessDenied":
                self._notice(
                    f"The tiny test file {self._client.place.address(probe)} stays in the store, because these "
                    "credentials may not remove files. Allow them s3:DeleteObject."
                )
        except (RetryLater, Refused):
            pass  # the next run removes it

    def _remove_left(self, name: str, content: Content) -> None:
        """Remove tiny files that killed runs of this host have left."""
        prefix = self._key(f".{name}." if self._names.hidden else f"{name}.")
        start = len(self._key(""))
        try:
            found = [Stored(key[start:], size) for key, size in self._keys(prefix)]
        except TaskError:  # without permission to list, nothing is found
            return
        best, useless = left_parts(found, name, content)
        for left in [*useless, *([best.name] if best else [])]:
            with contextlib.suppress(TaskError, RetryLater):
                if self.delete(left):
                    self._notice(removed(self._client.place.address(self._key(left))))

    def look(self, name: str) -> Stored | None:
        key = self._key(name)
        try:
            answer = self._client.call("head_object", ("400", "403", "404", "405"), Key=key)
        except Refused as refused:
            if refused.code != "404":
                return self._look_by_reading(name)
            self._check_bucket()
            return None
        size = answer.get("ContentLength")
        return self._look_by_reading(name) if size is None else _stored(name, size, answer)

    def _look_by_reading(self, name: str) -> Stored | None:
        """Use C(GET) after a refused C(HEAD), whose answer contains no error code, or one without a size."""
        try:
            answer = self._client.call(
                "get_object", (*NOT_FOUND, *_FORBIDDEN, *_BEYOND), Key=self._key(name), Range="bytes=0-0"
            )
        except Refused as refused:
            if refused.code in _BEYOND:
                return Stored(name, 0)
            if refused.code in NOT_FOUND:
                self._require_bucket(refused)
                return None
            raise unclear_look(self._client.place, name) from refused
        answer["Body"].close()
        size = whole_number(answer.get("ContentRange", "").rpartition("/")[2])
        if size is None and answer["ResponseMetadata"].get("HTTPStatusCode") == 200:  # the range was ignored
            size = answer.get("ContentLength")
        if size is None:
            raise self._client.odd("get_object", "does not show the size of the file")
        return _stored(name, size, answer)

    def _require_bucket(self, refused: Refused) -> None:
        """Verify that the bucket exists, unless the answer already shows it."""
        if refused.code != "NoSuchKey":
            self._check_bucket()

    # Sending

    def resumable(self, name: str, body: Body) -> Partial | None:
        if self._own is None or self._own_of != self._about(name, body.content):
            return None
        try:
            parts = self._uploads.parts(self._key(name), self._own)
        except NoLists as error:
            self._cannot_resume(error)
            self._target = self._key(name)
            self._abort_own()
            return None
        if parts is None:
            self._own = None
            return None
        return Partial(self._own, sum(part.size for part in on_grid(parts, body.size, self._own_size)))

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        key = self._target = self._key(name)
        if self._checksum is None:
            self._find_out(name, in_parts=True)
        checksum = self._checksum or "none"
        self._sha256 = body.expected
        self._answers = {}
        try:
            parts = self._parts_of(key, after)
            upload = after.name if after is not None else self._begin(name, body)
            listed = {part.number: part for part in on_grid(parts, body.size, self._own_size)}
            by_etag = any(not part.checksums for part in listed.values())
            digests = {checksum} - {"none"} | ({"md5"} if by_etag else set())
            kept = send_parts(
                body,
                self._own_size,
                self._concurrency,
                lambda part: self._send_part(key, upload, part, checksum),
                lambda part: self._has(listed, part, checksum),
                sorted(digests),
            )
        except Refused as refused:  # the upload is gone
            self._own = None
            if self._is_published(name, body.size):
                raise Conflict(name) from refused
            raise RetryLater(
                f"{self._client.place.host} no longer has the unfinished upload of {name}. The upload restarts from "
                "the beginning."
            ) from refused
        except BaseException as error:
            if self._own is not None and not (self.resumes and is_worth_keeping(error)):
                self._abort_own()
            raise
        self._tell_what_was_in_vain(after, kept)
        return Sent(upload, body.size, kept)

    def _parts_of(self, key: str, after: Partial | None) -> list[Listed]:
        try:
            return (self._uploads.parts(key, after.name) if after is not None else None) or []
        except NoLists:
            return []

    def _begin(self, name: str, body: Body) -> str:
        answer = self._client.call(
            "create_multipart_upload", needs=("UploadId",), **self._kept_with(name, body.expected)
        )
        base = part_size_for(body.size, self._options.part_size)
        self._own, self._own_of = answer["UploadId"], self._about(name, body.content)
        self._own_size = base + self._mark(name, body.content)
        note_begun(self._client.place.address(self._key(name)), answer["UploadId"])
        return answer["UploadId"]

    def _send_part(self, key: str, upload: str, part: Part, checksum: str) -> None:
        answer = self._client.call(
            "upload_part",
            GONE_UPLOAD,
            work=part.size,
            Key=key,
            UploadId=upload,
            PartNumber=part.number,
            ContentLength=part.size,
            Body=part.open(),
            **checksum_of(part.digests, checksum),
        )
        etag = answer.get("ETag")
        if not etag:
            raise RetryLater(f"{self._client.place.host} did not confirm that it has part {part.number}.")
        md5 = part.digests.get("md5")
        if md5 is not None and is_md5(etag) and plain(etag) != md5.hex() and not answer.get("ServerSideEncryption"):
            raise RetryLater(
                f"The bytes of part {part.number} that {self._client.place.host} received are not those that were sent."
            )
        self._note_answer(part, etag, checksum)

    def _has(self, listed: Mapping[int, Listed], part: Part, checksum: str) -> bool:
        there = listed.get(part.number)
        if there is None or there.size != part.size or not is_equal(there, part.digests, checksum):
            return False
        self._note_answer(part, there.etag, checksum)
        return True

    def _note_answer(self, part: Part, etag: str, checksum: str) -> None:
        verified = checksum_of(part.digests, checksum) if checksum in CHECKSUM_ALGORITHMS else {}
        self._answers[part.number] = {"PartNumber": part.number, "ETag": etag, **verified}

    def _tell_what_was_in_vain(self, after: Partial | None, kept: int) -> None:
        if after is not None and after.size and not kept:
            self._notice(
                f"{self._client.place.host} has {after.size} bytes of an unfinished upload, but they differ from the "
                "file or cannot be compared with it. The whole file was sent again."
            )

    def is_waiting(self, sent: Sent) -> bool:
        if self._target is None:
            return False
        try:
            return self._uploads.is_there(self._target, sent.name)
        except NoLists:
            return True  # publish finds out

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        # Not every store honors the condition here, even if it does so for other requests.
        if not overwrite and self.look(name) is not None:
            raise Conflict(name)
        try:
            answer = self._client.call(
                "complete_multipart_upload",
                (*CONDITION_FAILED, *GONE_UPLOAD, *_BROKEN_UPLOAD),
                {} if overwrite or not self.exclusive else {"If-None-Match": "*"},
                work=sent.size,
                Key=self._key(name),
                UploadId=sent.name,
                MultipartUpload={"Parts": [self._answers[number] for number in sorted(self._answers)]},
            )
        except Refused as refused:
            if refused.code in CONDITION_FAILED:
                raise Conflict(name) from refused
            if refused.code in GONE_UPLOAD and self._is_published(name, sent.size):
                return
            self._abort_own()
            raise RetryLater(
                f"{self._client.place.host} cannot complete the upload of {name} ({refused.code}). The upload restarts "
                "from the beginning."
            ) from refused
        if not answer.get("ETag"):
            raise RetryLater(f"{self._client.place.host} did not confirm that the upload of {name} is complete.")
        self._own = None
        forget(self._client.place.address(self._key(name)), sent.name)
        self._prove_digest(name, answer)

    def _prove_digest(self, name: str, completed: Mapping[str, Any]) -> None:
        """Raise RetryLater if the resumed upload was that of another image with equal first parts.

        C(completed) is the store's answer to our request: it shows whether what has the name now is what we published.
        """
        found = self.look(name)
        if found is None or found.sha256 in (None, self._sha256):
            return
        if found.version is None or plain(found.version) != plain(completed["ETag"]):
            raise self._left_to_others(name)
        version = completed.get("VersionId")
        if version not in (None, "null"):  # without versions, "null" is the ID of whatever is there
            self._remove_own(name, VersionId=version)
        else:
            self._remove_while(name, found.version)
        raise RetryLater(
            f"The unfinished upload of {name} was that of another image. The upload restarts from the beginning."
        )

    def _remove_while(self, name: str, etag: str) -> None:
        """Remove a file if it still has that ETag, else raise Conflict."""
        try:
            self._remove_own(name, {"If-Match": etag})
        except Refused as refused:
            if refused.code not in NOT_SUPPORTED:
                raise self._left_to_others(name) from refused
            found = self.look(name)
            if found is not None and found.version != etag:
                raise self._left_to_others(name) from refused
            self._remove_own(name)

    def _remove_own(self, name: str, conditions: Mapping[str, str] | None = None, **parameters: Any) -> None:
        """Remove what this run has published. Raises Refused when the conditions fail or are not supported."""
        accept = (*CONDITION_FAILED, *_IN_CONFLICT, *NOT_SUPPORTED) if conditions else ()
        try:
            self._client.call("delete_object", (*NOT_FOUND, *accept), conditions, Key=self._key(name), **parameters)
        except Refused as refused:
            if refused.code not in NOT_FOUND:
                raise
        except TaskError as error:
            add_sentence(
                error,
                f"{self._client.place.address(self._key(name))} has the metadata of another image, so it must not be "
                "used. Remove it, then run the same command again.",
            )
            raise

    def _left_to_others(self, name: str) -> Conflict:
        self._notice(
            f"Another writer has just published {self._client.place.address(self._key(name))}. It was not removed, "
            "because it is not what this run has published."
        )
        return Conflict(name)

    def _is_published(self, name: str, size: int) -> bool:
        """Return whether exactly these bytes have the final name, by a request whose answer was lost."""
        found = self.look(name)
        return found is not None and found.size == size and found.sha256 is not None and found.sha256 == self._sha256

    def discard(self, sent: Sent) -> None:
        if self._target is not None:
            self._uploads.abort(self._target, sent.name)
        self._own = None

    def _abort_own(self) -> None:
        """Try to abort the upload. Failures are ignored: the error that led here is the one to report."""
        own, self._own = self._own, None
        if own is not None and self._target is not None:
            with contextlib.suppress(RetryLater, TaskError):
                self._uploads.abort(self._target, own)

    def _cannot_resume(self, error: NoLists) -> None:
        self.resumes = False
        host = self._client.place.host
        if str(error) in NOT_SUPPORTED:
            why = f"{host} does not list unfinished uploads"
        elif str(error) == CUT_OFF:
            why = f"the list of unfinished uploads that {host} sends is not complete"
        else:
            why = (
                "these credentials may not list unfinished uploads (allow them s3:ListBucketMultipartUploads on the "
                "bucket, and s3:ListMultipartUploadParts and s3:AbortMultipartUpload below the prefix)"
            )
        self._notice(f"An interrupted upload to {self.url} restarts from the beginning, because {why}.")

    # Small files

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        ranged = {"Range": f"bytes={start}-"} if start else {}
        try:
            answer = self._client.call("get_object", (*NOT_FOUND, *_BEYOND), Key=self._key(name), **ranged)
        except Refused as refused:
            if refused.code in _BEYOND:
                return
            raise RetryLater(f"{self._client.place.address(self._key(name))} no longer exists.") from refused
        # A store may ignore the range and send the whole file.
        unwanted = 0 if answer.get("ContentRange", "").replace("=", " ").startswith(f"bytes {start}-") else start
        with contextlib.closing(answer["Body"]) as body:
            for block in iter(lambda: body.read(BLOCK), b""):
                wanted = block[unwanted:]
                unwanted -= len(block) - len(wanted)
                if wanted:
                    yield wanted

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        try:
            answer = self._client.call(
                "get_object", (*NOT_FOUND, *_FORBIDDEN), needs=("ETag",), largest=limit + 1, Key=self._key(name)
            )
        except Refused as refused:
            if refused.code in _FORBIDDEN:
                raise unclear_look(self._client.place, name) from refused
            self._require_bucket(refused)
            return None
        data = b""
        with contextlib.closing(answer["Body"]) as body:
            for block in iter(lambda: body.read(BLOCK), b""):
                data += block
                if len(data) > limit:
                    raise TaskError(
                        f"{self._client.place.address(self._key(name))} is larger than {limit} bytes, so it is not the "
                        "expected file. Check what was stored under that name."
                    )
        return data, answer["ETag"]

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        conditions = {"If-None-Match": "*"} if if_absent else {"If-Match": if_version} if if_version else {}
        # Amazon's own store honors them.
        if conditions and self._checksum is None and self._options.endpoint_url:
            self._find_out(name)
        if conditions and not self.exclusive:
            self._compare(name, if_version)
            conditions = {}
        how: dict[str, Any] = {
            "conditions": conditions,
            "accept": (*CONDITION_FAILED, *_IN_CONFLICT, *NOT_FOUND) if conditions else (),
            "ContentType": content_type,
            "CacheControl": SMALL_CACHE_CONTROL,
        }
        try:
            self._put(self._key(name), data, **how)
        except Refused as refused:
            raise Conflict(name) from refused
        except (RetryLater, TaskError) as error:
            # The store may refuse the checksum, if it was not found out which one it takes.
            if self._checksum is not None or not self._options.endpoint_url or "code" not in error.details:
                raise
            guessed = self._likely_checksum()
            self._find_out(name)
            if self._checksum == guessed:
                raise
            self._put(self._key(name), data, **how)

    def _compare(self, name: str, expected: str | None) -> None:
        """Raise Conflict if a small file has changed, for a store without conditional writes."""
        found = self.look(name)
        if (found.version if found else None) != expected:
            raise Conflict(name)

    def _put(
        self,
        key: str,
        data: bytes,
        checksum: str | None = None,
        digests: Mapping[str, bytes] | None = None,
        conditions: Mapping[str, str] | None = None,
        accept: tuple[str, ...] = (),
        **parameters: Any,
    ) -> None:
        """Write a small file, with a digest that the store verifies."""
        verified = checksum_of(digests or digests_of(data), checksum or self._checksum or self._likely_checksum())
        self._client.call(
            "put_object", accept, conditions, Key=key, Body=data, **verified, **self._protection(), **parameters
        )

    def _put_in_parts(self, key: str, data: bytes, checksum: str) -> None:
        """Write a small file as images are written: in a multipart upload, here with one part."""
        algorithm = {"ChecksumAlgorithm": CHECKSUM_ALGORITHMS[checksum]} if checksum in CHECKSUM_ALGORITHMS else {}
        verified = checksum_of(digests_of(data), checksum)
        upload = self._client.call(
            "create_multipart_upload", needs=("UploadId",), Key=key, **algorithm, **self._protection()
        )["UploadId"]
        try:
            answer = self._client.call(
                "upload_part", Key=key, UploadId=upload, PartNumber=1, Body=data, needs=("ETag",), **verified
            )
            part = {"PartNumber": 1, "ETag": answer["ETag"], **(verified if algorithm else {})}
            self._client.call("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": [part]})
        except BaseException:
            with contextlib.suppress(RetryLater, TaskError):
                self._uploads.abort(key, upload)
            raise

    def _likely_checksum(self) -> str:
        if self._options.s3_checksum != "auto":
            return self._options.s3_checksum
        return "md5" if self._options.endpoint_url else "sha256"

    def list(self) -> list[Stored]:
        start = len(self._key(""))
        found = [Stored(key[start:], size) for key, size in self._keys(self._key(""), Delimiter="/")]
        visible = [stored for stored in found if stored.name and not is_internal(stored.name)]
        return sorted(visible, key=lambda stored: stored.name)

    def _keys(self, prefix: str, **parameters: Any) -> Iterator[tuple[str, int]]:
        more: dict[str, str] = {}
        while True:
            answer = self._list_page(Prefix=prefix, MaxKeys=self._page_size, **more, **parameters)
            if answer.keys().isdisjoint(_OF_LISTS):  # any other document
                raise self._client.odd("list_objects_v2", "is not a list")
            for entry in answer.get("Contents", []):
                key, size = entry.get("Key"), entry.get("Size")
                if not key or not key.startswith(prefix) or size is None or size < 0:
                    raise self._client.odd("list_objects_v2", "has a file without a size, or from elsewhere")
                yield key, size
            if not answer.get("IsTruncated"):
                return
            following = answer.get("NextContinuationToken")
            if not following or following == more.get("ContinuationToken"):
                raise self._client.odd("list_objects_v2", "is a part of the list, and does not show how it continues")
            more = {"ContinuationToken": following}

    def _list_page(self, **parameters: Any) -> Any:
        try:
            return self._client.call("list_objects_v2", **parameters)
        except TaskError as error:
            if error.details.get("code") in (*_FORBIDDEN, *NOT_SUPPORTED):
                raise CannotList(error.message, **error.details) from error
            raise

    def delete(self, name: str) -> bool:
        if self.look(name) is None:
            return False
        try:
            self._client.call("delete_object", NOT_FOUND, Key=self._key(name))
        except Refused:
            return False
        return True

    def link(self, name: str) -> str:
        return public_url(self._bucket, self._key(name), self._client.region, self._options.endpoint_url)

    # How files are stored

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _protection(self) -> dict[str, Any]:
        """Return the parameters for every write: ACL, encryption and tags."""
        options = self._options
        found = {
            "ACL": options.s3_acl,
            "ServerSideEncryption": options.s3_encryption,
            "SSEKMSKeyId": options.s3_kms_key_id,
            "Tagging": urlencode(options.s3_tags) or None,
        }
        return {name: value for name, value in found.items() if value}

    def _kept_with(self, name: str, sha256: str | None) -> dict[str, Any]:
        """Return the parameters for the start of an image's upload."""
        headers = image_headers(name)
        found = {
            "Key": self._key(name),
            "ContentType": headers["Content-Type"],
            "ContentDisposition": headers["Content-Disposition"],
            "CacheControl": headers["Cache-Control"],
            "Metadata": {"sha256": sha256} if sha256 else None,
            "StorageClass": self._options.s3_storage_class,
            "ChecksumAlgorithm": CHECKSUM_ALGORITHMS.get(self._checksum or ""),
        }
        return {**{key: value for key, value in found.items() if value}, **self._protection()}

    def _about(self, name: str, content: Content) -> str:
        """Return what identifies an upload: its content, and how it is to be stored."""
        about = {"content": content.marks[0], "size": content.size, "kept": self._kept_with(name, None)}
        return json.dumps(about, sort_keys=True)

    def _mark(self, name: str, content: Content) -> int:
        return mark_of(self._about(name, content), this_machine())


def public_url(bucket: str, key: str, region: str, endpoint: str | None) -> str:
    """Return the public download address of a file, for a bucket that allows public reads."""
    path = quote(key)
    if endpoint:
        return f"{endpoint}/{bucket}/{path}"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:  # the certificate of *.s3.REGION.amazonaws.com is not valid for two labels
        return f"https://s3.{region}.{domain}/{bucket}/{path}"
    return f"https://{bucket}.s3.{region}.{domain}/{path}"


def _bucket_and_prefix(destination: str) -> tuple[str, str]:
    parts = urlsplit(destination)
    bucket, prefix = parts.netloc, unquote(parts.path).strip("/")
    if not bucket:
        raise TaskError("The destination has no bucket. Use a URL such as s3://bucket/prefix.")
    if not _BUCKET.fullmatch(bucket):
        raise TaskError(
            f"'{bucket}' is not a valid bucket name. Use a destination such as s3://bucket/prefix. For a store that is "
            "not Amazon's, set endpoint_url to its address."
        )
    if any(label in ("", ".", "..") for label in prefix.split("/")) and prefix:
        raise TaskError("The prefix of the destination must not contain '//', '/./' or '/../'. Correct destination.")
    return bucket, prefix


def _with_endpoint(options: StoreOptions) -> StoreOptions:
    """Return the options with an endpoint without a trailing slash, or without an endpoint."""
    endpoint = (options.endpoint_url or "").rstrip("/")
    if not endpoint:
        return replace(options, endpoint_url=None)
    parts = urlsplit(endpoint)
    if parts.username is not None or parts.query or parts.fragment:
        raise TaskError("endpoint_url must not contain a user name, a password, '?' or '#'. Correct endpoint_url.")
    if parts.scheme != "https" or not parts.hostname:
        raise TaskError(
            "endpoint_url must be an https:// address, such as https://s3.example.com:9000. Without TLS, images would "
            "be sent unencrypted."
        )
    return replace(options, endpoint_url=endpoint)


def _is_about_name(error: Exception) -> bool:
    """Return whether an error may be about the name of a file, so that another name is worth an attempt."""
    if not isinstance(error, TaskError) or isinstance(error, StoreFull):
        return False
    code, status = str(error.details.get("code", "")), error.details.get("status")
    named = code.replace("XMinio", "") in _NAME_CODES or code == str(status)
    return isinstance(status, int) and 400 <= status < 500 and status not in (401, 407) and named


def _stored(name: str, size: int, answer: Mapping[str, Any]) -> Stored:
    return Stored(name, size, sha256_of(answer.get("Metadata", {}).get("sha256")), answer.get("ETag"))
