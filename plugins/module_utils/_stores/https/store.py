# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""An HTTPS server: WebDAV, Artifactory, Nexus, or plain C(PUT)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

from ..._common.errors import TaskError
from ..._common.notice import Notice, unheard
from ..._common.retry import RetryLater, spread
from ..._http.headers import content_length, content_range, reports_no_bytes, sha256_headers
from ..._http.limits import LARGEST_FILE
from ..._http.session import GONE, TRANSIENT
from ..base import Partial, Sent, Store, Stored, StoreOptions, version_of
from ..body import Body, Content
from .artifactory import ArtifactoryWriter, is_artifactory
from .folder import HttpFolder
from .nexus import NexusWriter, is_nexus
from .plain_put import PlainPutWriter
from .webdav import PART_SIZE, WebDavWriter

_REFUSALS_OF_HEAD = (400, 403, 405, 501)
# Servers that do not support ranges should ignore them. Some answer this instead.
_REFUSALS_OF_RANGES = (400, 403, 405, 406, 412, 416, 501)
_READ_WAIT = 0.2
_READ_TRIES = 50
# Seconds after which there is no further try, however long a slow server took for each of them.
_READ_LONGEST = 60.0
_WITHOUT_MOVE: dict[str, type[PlainPutWriter]] = {
    "artifactory": ArtifactoryWriter,
    "nexus": NexusWriter,
    "put": PlainPutWriter,
}


class HttpsStore(Store):
    """C(https://host/folder). Reading is the same on every server; the writer is chosen when first needed."""

    def __init__(self, destination: str, options: StoreOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = HttpFolder(destination, options)
        self._folder.leaves = self._keeps_files_elsewhere
        self._method = options.https_method
        self._part_size = options.part_size or PART_SIZE
        self._sleep = sleep
        self._chosen: WebDavWriter | PlainPutWriter | None = None
        # Whether the folder was asked for, which is done before the first file is taken for missing.
        self._required = False
        self.url = self._folder.url

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self._writer.kind

    @property
    def tried(self) -> bool:  # type: ignore[override]
        return self._writer.tried

    @property
    def atomic(self) -> bool:  # type: ignore[override]
        return self._writer.atomic

    @property
    def staged(self) -> bool:  # type: ignore[override]
        return self._writer.staged

    @property
    def resumes(self) -> bool | None:  # type: ignore[override]
        return self._writer.resumes

    @property
    def exclusive(self) -> bool:  # type: ignore[override]
        return self._writer.exclusive

    @property
    def digest_first(self) -> bool:  # type: ignore[override]
        return self._writer.digest_first

    @property
    def _writer(self) -> WebDavWriter | PlainPutWriter:
        if self._chosen is None:
            method = self._offered() if self._method == "auto" else self._method
            if method == "webdav":
                self._chosen = WebDavWriter(self._folder, self.look, self._version_now, self._part_size, self._sleep)
            else:
                self._chosen = _WITHOUT_MOVE[method](self._folder, self.look, self._version_now, self._sleep)
        return self._chosen

    def _offered(self) -> str:
        """Return how to write to the server, by its own answer."""
        response = self._folder.request("OPTIONS", "")
        # Artifactory supports some WebDAV, too, but a renamed file does not keep our checksum.
        if is_artifactory(response):
            return "artifactory"
        if is_nexus(response):
            return "nexus"
        if response.status_code == 401 or response.status_code in TRANSIENT:
            self._folder.judge(response, "OPTIONS request")
        allowed = response.headers.get("Allow", "").upper().replace(" ", "").split(",")
        return "webdav" if "DAV" in response.headers or "MOVE" in allowed else "put"

    def _keeps_files_elsewhere(self, response: Any) -> bool:
        """Return whether a redirect to another server is that of a repository with its files in an object storage."""
        if self._method == "auto":
            return is_artifactory(response) or is_nexus(response)
        return self._method in ("artifactory", "nexus")

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        self._writer.check(name, content, write, notice)

    def can_resume(self, name: str, write: bool) -> bool | None:
        return self._writer.can_resume(name, write)

    def can_compare(self) -> bool | None:
        return self._writer.compares

    def look(self, name: str) -> Stored | None:
        response = self._folder.get("HEAD", name)
        response.close()
        if response.status_code in GONE:
            self._require_folder()
            return None
        self._folder.refuse_page(response, name)
        size = content_length(response.headers)
        # Some servers forbid HEAD, or report no size or 0 there.
        if response.status_code in _REFUSALS_OF_HEAD or (response.status_code == 200 and not size):
            return self._look_by_reading(name)
        self._folder.judge(response, "file lookup")
        return self._stored(name, size or 0, response)

    def _look_by_reading(self, name: str) -> Stored | None:
        """For servers that do not answer C(HEAD), or do not report the size there."""
        response = self._folder.get("GET", name, {"Range": "bytes=0-0"})
        self._folder.refuse_page(response, name)
        response.close()
        if response.status_code == 416 and reports_no_bytes(response.headers):
            return self._stored(name, 0, response)
        ranged = content_range(response.headers) if response.status_code == 206 else None
        if ranged and ranged.start == 0 and ranged.total is not None:
            return self._stored(name, ranged.total, response)
        if response.status_code in (206, *_REFUSALS_OF_RANGES):
            response = self._folder.get("GET", name)
            response.close()
        if response.status_code in GONE:
            self._require_folder()
            return None
        if response.status_code == 416:  # there is no first byte, whatever is asked for
            return self._stored(name, 0, response)
        self._folder.judge(response, "file lookup")
        length = content_length(response.headers)
        if response.status_code == 200 and length is not None:
            return self._stored(name, length, response)
        raise TaskError(
            f"{self._folder.host} does not report the size of its files, so uploads cannot be verified. Use another "
            "store, or ask the server's administrators to send Content-Length."
        )

    @staticmethod
    def _stored(name: str, size: int, response: Any) -> Stored:
        # Artifactory computes it from the stored bytes.
        digest = sha256_headers(response.headers).get("X-Checksum-Sha256")
        return Stored(name, size, digest, response.headers.get("ETag"))

    def resumable(self, name: str, body: Body) -> Partial | None:
        return self._writer.resumable(name, body)

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        return self._writer.send(name, body, overwrite, after)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        self._writer.publish(name, sent, overwrite)

    def discard(self, sent: Sent) -> None:
        self._writer.discard(sent)

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        response = self._folder.get("GET", name, {"Range": f"bytes={start}-"} if start else None, LARGEST_FILE)
        if response.status_code in GONE:
            response.close()
            raise RetryLater(f"{self._folder.address(name)} no longer exists.")
        self._folder.judge(response, "download")
        self._folder.refuse_page(response, name)
        # Some servers write an equals sign.
        begins = response.headers.get("Content-Range", "").replace("=", " ").strip()
        # A server may ignore the range and send the whole file.
        unwanted = 0 if begins.startswith(f"bytes {start}-") else start
        for block in self._folder.blocks(response):
            wanted = block[unwanted:]
            unwanted -= len(block) - len(wanted)
            if wanted:
                yield wanted

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        begun = time.monotonic()
        for _try in range(_READ_TRIES):
            data = self._read_once(name, limit)
            if data is None and self._is_being_written(name):
                if time.monotonic() - begun > _READ_LONGEST:
                    break
                self._sleep(spread(_READ_WAIT))
                continue
            if data is None:  # the writer may have finished between the two requests
                data = self._read_once(name, limit)
            if data is None:
                self._require_folder()
                return None
            return data, version_of(data)
        raise RetryLater(f"Another run is still writing {self._folder.address(name)}.")

    def _require_folder(self) -> None:
        """Raise TaskError if the folder does not exist: whether a file of it exists is unknown then."""
        if self._required:
            return
        try:
            writer = self._writer
        except TaskError:  # without write permission, the kind of server may not be asked for
            return
        writer.require_folder()
        self._required = True

    def _is_being_written(self, name: str) -> bool:
        try:
            return self._writer.is_being_written(name)
        except TaskError:  # without write permission, this cannot be asked
            return False

    def _read_once(self, name: str, limit: int) -> bytes | None:
        # One byte more, which shows that the file is larger.
        response = self._folder.get("GET", name, largest=limit + 1)
        if response.status_code in GONE:
            response.close()
            return None
        self._folder.judge(response, "download")
        data = b""
        for block in self._folder.blocks(response):
            if not data:
                self._folder.refuse_page(response, name, block)
            data += block
            if len(data) > limit:
                response.close()
                raise TaskError(
                    f"{self._folder.address(name)} is larger than {limit} bytes, so it is not the expected file. Check "
                    "what was stored under that name."
                )
        return data

    def _version_now(self, name: str) -> str | None:
        data = self._read_once(name, 64 * 1024 * 1024)
        return None if data is None else version_of(data)

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        self._writer.write(name, data, content_type, if_absent or if_version is not None, if_version)

    def list(self) -> list[Stored]:
        return self._writer.list()

    def delete(self, name: str) -> bool:
        response = self._folder.request("DELETE", name)
        if response.status_code in GONE:
            self._require_folder()
            return False
        self._folder.judge(response, "removal")
        return True
