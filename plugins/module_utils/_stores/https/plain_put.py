# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Writing to a server that only supports C(PUT), such as nginx without WebDAV."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable

from ..._common.checksum import open_image
from ..._common.errors import TaskError
from ..._common.notice import Notice
from ..._common.retry import RetryLater
from ..._http.session import GONE
from ..base import Conflict, Partial, Sent, Stored
from ..body import Body, Content
from .folder import HttpFolder
from .served import require_served, served_name

# Bytes that distinguish one image from another.
_BEGINNING = 64 * 1024


class PlainPutWriter:
    """Writes directly to the final name.

    Most servers show a file only after all of it has arrived, but not all of them, and none reports which it is.
    """

    kind = "put"
    tried = True
    # False where a file that was written could not be removed again.
    removes = True
    atomic = False
    staged = False
    resumes = False
    # What is compared before a write may change before the write: few of these servers have conditional writes.
    exclusive = False
    compares: bool | None = None
    digest_first = False

    def __init__(
        self,
        folder: HttpFolder,
        look: Callable[[str], Stored | None],
        version: Callable[[str], str | None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._folder = folder
        self._look = look
        self._version = version

    def check(self, name: str, content: Content, write: bool, notice: Notice) -> None:
        """Send an empty file, read and remove it, where it can be removed; else rely on the answer to C(Expect).

        A request to remove a name that does not exist shows both whether the credentials are valid and whether removing
        is allowed. Repositories often let a user write but not remove.
        """
        if not write:
            response = self._folder.get("HEAD", "")
            response.close()
            if response.status_code == 401:
                self._folder.judge(response, "folder lookup")
            return
        probe = served_name(name, content)
        response = self._folder.request("DELETE", probe)
        if response.status_code == 401:
            self._folder.judge(response, "upload")
        if response.status_code not in (200, 204, *GONE):
            self.tried = self.removes = False
            return
        try:
            self._folder.probe(probe)
            require_served(self._folder, self._look, probe, 0, self._sleep)
        finally:
            with contextlib.suppress(RetryLater, TaskError):
                self.removes = self._folder.request("DELETE", probe).status_code in (200, 202, 204, *GONE)

    def can_resume(self, name: str, write: bool) -> bool | None:
        return self.resumes

    def resumable(self, name: str, body: Body) -> Partial | None:
        """Return None: it is unknown how these servers treat a part of a file. Some take it for the whole file."""

    def send(self, name: str, body: Body, overwrite: bool, after: Partial | None) -> Sent:
        response = self._put(name, body, overwrite)
        if response.status_code == 412:
            raise Conflict(name)
        self._folder.judge(response, "upload")
        kept = self._look(name)
        if kept is None or kept.size != body.size:
            raise RetryLater(
                f"{self._folder.host} stored {kept.size if kept else 0} of the {body.size} bytes that were sent."
            )
        return Sent(name, body.size)

    def _put(self, name: str, body: Body, overwrite: bool, headers: dict[str, str] | None = None) -> Any:
        """Send a body, and stop before its last block if another writer has just used the name."""
        body.rewind()
        if overwrite:
            return self._folder.put_body(name, body, headers)
        # The condition is not reliable: nginx ignores it, Apache does not.
        guarded = _Guarded(body, lambda: self._refuse_others(name, body))
        return self._folder.put_body(name, guarded, {"If-None-Match": "*", **(headers or {})})

    def _refuse_others(self, name: str, body: Body) -> None:
        found = self._look(name)
        if found is not None and (self.atomic or found.size >= body.size or not self._is_our_start(name, body)):
            raise Conflict(name)

    def _is_our_start(self, name: str, body: Body) -> bool:
        """Return whether the stored file may be the beginning of the one being sent, which some servers show."""
        response = self._folder.get("GET", name, {"Range": f"bytes=0-{_BEGINNING - 1}"})
        if response.status_code not in (200, 206):
            response.close()
            return True
        start = next(self._folder.blocks(response, _BEGINNING), b"")
        response.close()
        with open_image(body.path) as ours:
            return ours.read(len(start)) == start

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        """Do nothing: the file has its final name already."""

    def discard(self, sent: Sent) -> None:
        """Do nothing: the file has its final name already, and others may have seen it."""

    def write(self, name: str, data: bytes, content_type: str, conditional: bool, expected: str | None) -> None:
        """Write a small file: compared just before, and with HTTP conditions for the servers that support them."""
        headers = {"Content-Type": content_type}
        if conditional:
            if self._version(name) != expected:
                raise Conflict(name)
            headers.update(self._condition(name, expected))
        response = self._folder.put(name, data, headers)
        if response.status_code == 412:
            raise Conflict(name)
        self._folder.judge(response, "upload")

    def _condition(self, name: str, expected: str | None) -> dict[str, str]:
        if expected is None:
            return {"If-None-Match": "*"}
        stored = self._look(name)
        if stored is None or not stored.version or stored.version.startswith("W/"):
            return {}
        return {"If-Match": stored.version}

    def is_being_written(self, name: str) -> bool:
        return False

    def list(self) -> Any:
        raise TaskError(
            f"{self._folder.host} cannot list {self._folder.url}, because it is not a WebDAV server. Use another store "
            "if you need the list."
        )


class _Guarded:
    """A body that calls a check before it returns its last block, without which no server has the whole file."""

    def __init__(self, body: Body, ask: Callable[[], None]) -> None:
        self._body = body
        self._ask = ask

    def __len__(self) -> int:
        return len(self._body)

    def read(self, size: int = -1) -> bytes:
        block = self._body.read(size)
        if block and self._body.offset == self._body.size:
            self._ask()
        return block
