# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A container of Azure Blob Storage.

An image is sent in blocks that are not visible. A list of them, committed at the end, creates the blob atomically. The
ID of a block contains its number, the size of the parts and the digest of its bytes. So a later run recognizes which
blocks of an interrupted run are usable, and two runs with different bytes under one name do not mix them. Azure drops
uncommitted blocks after a week.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree  # nosec B405 # the type alone

from ..._common.errors import TaskError
from ..._common.notice import Notice, unheard
from ..._common.retry import RetryLater
from ..._common.xml import HostileXml, parse_xml, require_harmless
from ..._http.limits import Pages
from ..._http.session import REDIRECTS, Http, load_body
from ..base import (
    SMALL_CACHE_CONTROL,
    CannotList,
    Conflict,
    Partial,
    Sent,
    Store,
    Stored,
    StoreOptions,
    image_headers,
    is_internal,
    sha256_of,
)
from ..body import Body, Content
from ..parts import Part, send_parts
from .access import Access, container_of, sdk
from .errors import Judge, code_of

MIB = 1024 * 1024
PART_SIZE = 64 * MIB
MOST_PARTS = 50_000
LARGEST_PART = 4000 * MIB
CONCURRENCY = 4
# For reading: the SDK requests this much at a time, and keeps it in memory.
_PIECE = 8 * MIB
# Larger bodies wait for the server's consent before they are sent.
_LARGE = 1 * MIB
_SLOWEST_SERVER = 10 * MIB
# One name and one ID, so that the blocks that test write permission do not add up. They are never committed.
# Blobs in one answer to a list, and what such an answer has at most: bytes and elements.
_PAGE = 1000
_LARGEST_ANSWER = 16 * MIB
_MOST_ELEMENTS = 100_000
# Without a leading dot, which gateways may refuse.
_PROBE = "write-test.part"
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RuntimeError)

_BLOCK_ID = re.compile(r"(?P<number>\d{5})-(?P<part_size>[0-9a-f]{8})-[0-9a-f]{32}")


def part_size_for(size: int, wanted: int | None = None) -> int:
    """Return the size of an image's blocks: as requested, or larger if there would be too many."""
    needed = -(-size // MOST_PARTS)
    if needed > LARGEST_PART:
        raise TaskError(
            "The image is larger than the maximum size of a blob in Azure (190 TiB). Make it smaller.", size=size
        )
    chosen = wanted or PART_SIZE
    return min(LARGEST_PART, chosen if needed <= chosen else -(-needed // MIB) * MIB)


def block_id(number: int, part_size: int, md5: bytes) -> str:
    """Return the ID of a block. All IDs of a blob must have the same length."""
    return f"{number:05d}-{part_size:08x}-{md5.hex()}"


def left_blocks(found: Iterable[tuple[str, int]], size: int) -> tuple[int, dict[str, int]]:
    """Return the part size of the run that has left most of an image, and its blocks: their sizes by their IDs.

    C(found) are the IDs and sizes of the uncommitted blocks, possibly of several runs with different part sizes.
    """
    runs: dict[int, dict[str, int]] = {}
    for each, length in found:
        match = _BLOCK_ID.fullmatch(each)
        if match is None:
            continue
        part_size = int(match["part_size"], 16)
        if length == min(part_size, size - (int(match["number"]) - 1) * part_size) and size <= part_size * MOST_PARTS:
            runs.setdefault(part_size, {})[each] = length
    best = max(runs, key=lambda part_size: kept_bytes(runs[part_size]), default=0)
    return best, runs.get(best, {})


def kept_bytes(blocks: Mapping[str, int]) -> int:
    """Return how many bytes of an image these blocks have at most: only one block of each number counts."""
    return sum({each[:5]: length for each, length in blocks.items()}.values())


class AzureBlobStore(Store):
    """C(azblob://account/container/prefix)."""

    kind = "azblob"

    def __init__(self, destination: str, options: StoreOptions) -> None:
        self._container = container_of(destination, options)
        self._access = Access(self._container.account, options)
        self._judge = Judge(self._container, self._access)
        self._options = options
        self.url = destination
        self._opened: Any = None
        # The IDs of all blocks of the last sent image, in order.
        self._ids: list[str] = []
        self._sha256: str | None = None
        # What the container had at the last lookup: part size, and blocks by their IDs.
        self._left: tuple[int, dict[str, int]] = (0, {})

    @property
    def _client(self) -> Any:
        if self._opened is None:
            http = Http(ca_path=self._options.ca_path, proxy=self._options.proxy, timeout=self._options.timeout)
            transport = sdk("azure.core.pipeline.transport").RequestsTransport(
                session=_Session(http, self._options.timeout), session_owner=False
            )
            self._opened = sdk("azure.storage.blob").ContainerClient(
                self._container.endpoint,
                self._container.name,
                credential=self._access.credential(),
                transport=transport,
                # Retries are made by the layers above.
                retry_total=0,
                max_single_get_size=_PIECE,
                max_chunk_get_size=_PIECE,
            )
        return self._opened

    def _blob(self, name: str) -> Any:
        return self._client.get_blob_client(self._container.blob(name))

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        part_size_for(content.size, self._options.part_size)
        self._access.check(notice)
        if not write:
            self.look(name)
            return
        # Only a block that is never committed can be written without permission to delete it.
        with self._words("upload"):
            self._blob(_PROBE).stage_block("probe", b"?", length=1)

    def look(self, name: str) -> Stored | None:
        with self._words("file lookup"), self._absent_is_none():
            found = self._blob(name).get_blob_properties()
            return self._stored(name, found)
        return None

    def resumable(self, name: str, body: Body) -> Partial | None:
        self._left = left_blocks(self._waiting(name), body.size)
        kept = kept_bytes(self._left[1])
        return Partial(self._container.blob(name), kept) if kept else None

    def _waiting(self, name: str) -> list[tuple[str, int]]:
        """Return the IDs and sizes of the blocks that were sent under a name and not committed."""
        with self._words("file lookup"), self._absent_is_none():
            _committed, waiting = self._blob(name).get_block_list(
                "uncommitted", raw_response_hook=lambda response: self._require_document(response, "BlockList")
            )
            return [(block.id, block.size) for block in waiting]
        return []

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        left_size, left = self._left if after is not None else (0, {})
        size = left_size or part_size_for(body.size, self._options.part_size)
        blob = self._blob(name)
        ids: list[str] = []

        def have(part: Part) -> bool:
            ids.append(block_id(part.number, size, part.digests["md5"]))
            return left.get(ids[-1]) == part.size

        def send(part: Part) -> None:
            md5 = part.digests["md5"]
            # Azure compares the digest with the bytes that arrive.
            headers = {"Content-MD5": base64.b64encode(md5).decode()}
            with self._words("upload"):
                blob.stage_block(block_id(part.number, size, md5), part.open(), length=part.size, headers=headers)

        kept = send_parts(body, size, self._options.concurrency or CONCURRENCY, send, have, ("md5",))
        self._ids, self._sha256 = ids, body.sha256
        return Sent(name, body.size, kept)

    def is_waiting(self, sent: Sent) -> bool:
        return {each for each, _size in self._waiting(sent.name)}.issuperset(self._ids)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        blobs = sdk("azure.storage.blob")
        words = image_headers(name)
        tier = self._options.azblob_tier
        options: dict[str, Any] = {"standard_blob_tier": blobs.StandardBlobTier(tier)} if tier else {}
        if not overwrite:
            options["match_condition"] = sdk("azure.core").MatchConditions.IfMissing
        with self._words("commit"), self._conflicts(name):
            try:
                self._blob(name).commit_block_list(
                    [blobs.BlobBlock(each) for each in self._ids],
                    content_settings=blobs.ContentSettings(
                        content_type=words["Content-Type"],
                        content_disposition=words["Content-Disposition"],
                        cache_control=words["Cache-Control"],
                    ),
                    metadata={"sha256": self._sha256 or ""},
                    **options,
                )
            except sdk("azure.core.exceptions").HttpResponseError as error:
                if code_of(error) != "InvalidBlockList":
                    raise
                # A commit or write of another program under this name has discarded our blocks.
                raise RetryLater(f"{self._container.host} no longer has all blocks of {name}.") from error

    def discard(self, sent: Sent) -> None:
        """Do nothing: Azure drops uncommitted blocks, and has no request to remove them."""

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        with self._words("download"):
            try:
                yield from self._blob(name).download_blob(offset=start or None, length=None).chunks()
            except sdk("azure.core.exceptions").HttpResponseError as error:
                status = error.response.status_code if error.response is not None else None
                if status == 416:  # there are no more bytes
                    return
                if status in (404, 412):
                    raise RetryLater(f"{self.link(name)} was removed or replaced during the download.") from error
                raise

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        with self._words("download"), self._absent_is_none():
            found = self._blob(name).download_blob()
            if not isinstance(found.size, int) or not found.properties.etag:
                raise self._odd("download", "it has a file without a size or a version")
            if found.size > limit:
                raise TaskError(
                    f"{self.link(name)} is larger than {limit} bytes, so it is not the expected file. Check what was "
                    "stored under that name."
                )
            return found.readall(), found.properties.etag
        return None

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        conditions = sdk("azure.core").MatchConditions
        options: dict[str, Any] = {"overwrite": not if_absent}
        if if_version is not None:
            options.update(etag=if_version, match_condition=conditions.IfNotModified)
        settings = sdk("azure.storage.blob").ContentSettings(
            content_type=content_type, cache_control=SMALL_CACHE_CONTROL
        )
        with self._words("upload"), self._conflicts(name):
            self._blob(name).upload_blob(data, length=len(data), content_settings=settings, **options)

    def list(self) -> list[Stored]:
        prefix = self._container.blob("")
        folders = sdk("azure.storage.blob").BlobPrefix
        seen: set[str] = set()

        def require_page(response: Any) -> None:
            root = self._require_document(response, "EnumerationResults")
            following = root.findtext("NextMarker")
            if root.find("Blobs") is None or following is None or following in seen:
                raise self._odd("file listing", "it is not a page of the list, or does not show how the list continues")
            seen.update({following} - {""})

        with self._refusal_of_lists(), self._words("file listing"):
            found = [
                self._stored(str(each.name)[len(prefix) :] if str(each.name).startswith(prefix) else "", each)
                for each in self._client.walk_blobs(
                    name_starts_with=prefix,
                    include=["metadata"],
                    delimiter="/",
                    results_per_page=_PAGE,
                    raw_response_hook=require_page,
                )
                if not isinstance(each, folders) and "hdi_isfolder" not in (each.metadata or {})
            ]
        return [stored for stored in found if not is_internal(stored.name)]

    @contextlib.contextmanager
    def _refusal_of_lists(self) -> Iterator[None]:
        try:
            yield
        except TaskError as error:
            if error.details.get("status") in (401, 403, 405):
                raise CannotList(error.message, **error.details) from error
            raise

    def _require_document(self, response: Any, kind: str) -> ElementTree.Element:
        """Return the root of the document in an answer: the SDK takes any other one for an empty list.

        Answers without success are left to the SDK.
        """
        answer = response.http_response
        if answer.status_code != 200:
            return parse_xml(b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>")
        try:
            root = parse_xml(answer.body())
        except ValueError as error:
            raise RetryLater(f"{self._container.host} sent a list that cannot be read.") from error
        if root.tag != kind:
            raise self._odd("request for a list", f"it has no {kind}")
        return root

    def _odd(self, doing: str, why: str) -> TaskError:
        """Return the error for an answer that is not that of Azure, so that nothing is known."""
        return TaskError(
            f"{self._container.host} answered oddly to the {doing}: {why}. Check endpoint_url, and the proxy or "
            "gateway in front of it."
        )

    def _stored(self, name: str, found: Any) -> Stored:
        """Return the properties of a blob. The digest was committed together with the blocks."""
        if not name or not isinstance(found.size, int) or found.size < 0:
            raise self._odd("request for a file", "it has a file without a size, or from elsewhere")
        metadata = {str(key).lower(): value for key, value in (found.metadata or {}).items()}
        return Stored(name, found.size, sha256_of(metadata.get("sha256")), found.etag)

    def delete(self, name: str) -> bool:
        with self._words("removal"), self._absent_is_none():
            self._blob(name).delete_blob(delete_snapshots="include")
            return True
        return False

    def link(self, name: str) -> str:
        return self._container.link(name)

    @contextlib.contextmanager
    def _words(self, doing: str) -> Iterator[None]:
        """Turn the errors of the SDK into ours. Connection errors come from C(Http) and need no change."""
        errors = sdk("azure.core.exceptions")
        try:
            yield
        except errors.HttpResponseError as error:
            raise self._judge.understood(error, doing) from error
        except _UNREADABLE as error:  # the SDK reads some headers without a check
            raise RetryLater(
                f"{self._container.host} sent an answer to the {doing} that cannot be read ({type(error).__name__})."
            ) from error
        except errors.AzureError as error:  # while an answer was read
            raise RetryLater(f"{self._container.host} interrupted the {doing} ({type(error).__name__}).") from error

    @contextlib.contextmanager
    def _absent_is_none(self) -> Iterator[None]:
        """Suppress the error for a blob that does not exist. A container that does not exist is an error."""
        try:
            yield
        except sdk("azure.core.exceptions").ResourceNotFoundError as error:
            code = code_of(error)
            if code in ("ResourceNotFound", ""):  # of the blob, or of the container
                self._require_container()
            elif code != "BlobNotFound":
                raise

    def _require_container(self) -> None:
        """Raise an error if the container does not exist, or that is not known."""
        next(self._client.list_blobs(results_per_page=1).by_page(), None)

    @contextlib.contextmanager
    def _conflicts(self, name: str) -> Iterator[None]:
        try:
            yield
        except sdk("azure.core.exceptions").HttpResponseError as error:
            if code_of(error) in (
                "BlobAlreadyExists",
                "ConditionNotMet",
                "BlobOverwritten",
                "UnauthorizedBlobOverwrite",
            ):
                raise Conflict(name) from error
            raise


class _Session:
    """A session for the SDK's transport that uses our own HTTP, with its timeouts, proxy and errors."""

    def __init__(self, http: Http, timeout: float) -> None:
        self._http = http
        self._timeout = timeout
        self._pages = Pages("The list")

    def request(
        self, method: str, url: str, headers: Any = None, data: Any = None, stream: bool = False, **_unused: Any
    ) -> Any:
        size = len(data) if data is not None else 0
        if hasattr(data, "seek"):  # the SDK may send it again if the service requires another token
            data.seek(0)
        response = self._http.request(
            method,
            url,
            dict(headers or {}),
            data,
            stream=True,
            expect=size > _LARGE,
            answer_timeout=self._timeout + size / _SLOWEST_SERVER,
            largest=_PIECE if stream else _LARGEST_ANSWER,
        )
        if response.status_code in REDIRECTS:
            response.close()
            host = urlsplit(url).netloc
            raise TaskError(
                f"{host} answered {response.status_code}, a redirect, which Azure Blob Storage never sends. It was not "
                "followed. Check endpoint_url and the proxy."
            )
        if not stream or response.status_code >= 300:
            self._read(url, response)
        return response

    def _read(self, url: str, response: Any) -> None:
        """Read an answer that is not a file. The SDK then parses it."""
        load_body(response)
        # Whatever the server declares: so the SDK gets the text that is checked here.
        response.encoding = "utf-8"
        parts = urlsplit(url)
        try:
            elements = require_harmless(response.text.encode(), "utf-8", _MOST_ELEMENTS)
        except HostileXml as error:
            raise RetryLater(
                f"The answer of {parts.netloc} was not read: {error}, which Azure Blob Storage never sends. Check "
                "endpoint_url and the proxy."
            ) from error
        query = dict(parse_qsl(parts.query))
        if query.get("comp") == "list":
            if "marker" not in query:
                self._pages = Pages(f"The list of {parts.netloc}{parts.path}")
            # A blob in a list has two elements, or more.
            self._pages.turn(query.get("marker"), len(response.content), elements // 2)

    def close(self) -> None:
        self._http.close()
