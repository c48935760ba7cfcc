# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""An HTTPS server: WebDAV, Artifactory, Nexus, or plain C(PUT)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Callable

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..base import Notice, Partial, Sent, Store, Stored, StoreOptions, unheard, version_of
from ..body import Body, Content
from .artifactory import ArtifactoryWriter, is_artifactory
from .folder import GONE, MAY_PASS, HttpFolder
from .nexus import NexusWriter, is_nexus
from .plain_put import PlainPutWriter
from .webdav import PART_SIZE, WebDavWriter

_RANGE = re.compile(r"bytes 0-\d+/(\d+)")
_READ_WAIT = 0.2
_READ_TRIES = 50
_WITHOUT_MOVE: dict[str, type[PlainPutWriter]] = {
    "artifactory": ArtifactoryWriter,
    "nexus": NexusWriter,
    "put": PlainPutWriter,
}


class HttpsStore(Store):
    """C(https://host/folder). Reading is the same on every server; writing is chosen when it is first wanted."""

    def __init__(self, destination: str, options: StoreOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = HttpFolder(destination, options)
        self._method = options.https_method
        self._part_size = options.part_size or PART_SIZE
        self._sleep = sleep
        self._chosen: WebDavWriter | PlainPutWriter | None = None
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
                self._chosen = _WITHOUT_MOVE[method](self._folder, self.look, self._version_now)
        return self._chosen

    def _offered(self) -> str:
        """Return how the server is to be written to, as it says itself."""
        response = self._folder.request("OPTIONS", "")
        # Artifactory speaks some WebDAV, too, but shows what is renamed under no checksum of ours.
        if is_artifactory(response):
            return "artifactory"
        if is_nexus(response):
            return "nexus"
        if response.status_code == 401 or response.status_code in MAY_PASS:
            self._folder.judge(response, "OPTIONS request")
        allowed = response.headers.get("Allow", "").upper().replace(" ", "").split(",")
        return "webdav" if "DAV" in response.headers or "MOVE" in allowed else "put"

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
            return None
        size = response.headers.get("Content-Length")
        if response.status_code in (405, 501) or (response.status_code == 200 and size is None):
            return self._look_by_reading(name)
        self._folder.judge(response, "look at a file")
        return self._stored(name, int(size or 0), response)

    def _look_by_reading(self, name: str) -> Stored | None:
        """For servers that do not answer C(HEAD), or do not tell the size there."""
        response = self._folder.get("GET", name, {"Range": "bytes=0-0"})
        response.close()
        if response.status_code in GONE:
            return None
        if response.status_code == 416:  # there is no first byte
            return self._stored(name, 0, response)
        self._folder.judge(response, "look at a file")
        ranged = _RANGE.match(response.headers.get("Content-Range", ""))
        if response.status_code == 206 and ranged:
            return self._stored(name, int(ranged.group(1)), response)
        if response.status_code == 200 and "Content-Length" in response.headers:
            return self._stored(name, int(response.headers["Content-Length"]), response)
        raise TaskError(f"{self._folder.host} does not tell the size of its files, so nothing can be proven there.")

    @staticmethod
    def _stored(name: str, size: int, response: Any) -> Stored:
        # Artifactory's, computed from the bytes that it keeps.
        digest = response.headers.get("X-Checksum-Sha256", "").lower()
        known = digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None
        return Stored(name, size, known, response.headers.get("ETag"))

    def resumable(self, name: str, body: Body) -> Partial | None:
        return self._writer.resumable(name, body)

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        return self._writer.send(name, body, overwrite, after)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        self._writer.publish(name, sent, overwrite)

    def discard(self, sent: Sent) -> None:
        self._writer.discard(sent)

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        response = self._folder.get("GET", name, {"Range": f"bytes={start}-"} if start else None)
        if response.status_code in GONE:
            response.close()
            raise RetryLater(f"{self._folder.address(name)} is not there any more.")
        self._folder.judge(response, "download")
        begins = response.headers.get("Content-Range", "").replace("=", " ").strip()
        # A server may send the whole file, whatever it was asked for.
        unwanted = 0 if begins.startswith(f"bytes {start}-") else start
        for block in self._folder.blocks(response):
            wanted = block[unwanted:]
            unwanted -= len(block) - len(wanted)
            if wanted:
                yield wanted

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        for _try in range(_READ_TRIES):
            data = self._read_once(name, limit)
            if data is None and self._is_being_written(name):
                self._sleep(_READ_WAIT)
                continue
            if data is None:  # the writer may have ended between the two questions
                data = self._read_once(name, limit)
            return None if data is None else (data, version_of(data))
        raise RetryLater(f"Another run has been writing {self._folder.address(name)} for too long.")

    def _is_being_written(self, name: str) -> bool:
        try:
            return self._writer.is_being_written(name)
        except TaskError:  # whoever may only read cannot ask
            return False

    def _read_once(self, name: str, limit: int) -> bytes | None:
        response = self._folder.get("GET", name)
        if response.status_code in GONE:
            response.close()
            return None
        self._folder.judge(response, "download")
        data = b""
        for block in self._folder.blocks(response):
            data += block
            if len(data) > limit:
                response.close()
                raise TaskError(
                    f"{self._folder.address(name)} is larger than {limit} bytes: it is not what it should be."
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
            return False
        self._folder.judge(response, "removal")
        return True
