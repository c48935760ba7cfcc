# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Writing to a WebDAV server: under a temporary name first, then C(MOVE).

Some servers can add to a file (C(PUT) with C(Content-Range)), some refuse to, and some take the second half for the
whole file. No header shows which it is, so each server is tested with a tiny file. Servers that can get a large file in
parts: Apache drops a new file when the connection is lost, but keeps what was added to an existing one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any, Callable
from urllib.parse import unquote, urlsplit

from ..._common.errors import TaskError
from ..._common.notice import Notice
from ..._common.retry import RetryLater
from ..._common.space import in_words
from ..._common.text import same_name
from ..._http.session import GONE
from ..base import (
    CannotList,
    Conflict,
    Partial,
    Sent,
    Stored,
    is_internal,
    is_part_of,
    is_worth_keeping,
    left_parts,
    removed,
    version_of,
)
from ..body import Body, Chunk, Content
from ..temporary_names import TemporaryNames
from .folder import HttpFolder
from .propfind import Entry, propfind
from .served import is_about_name, require_served, served_name
from .webdav_lock import WebDavLock

PART_SIZE = 64 * 1024 * 1024
# Seconds between the attempts to remove what a server may not have stored yet.
_SETTLE_PAUSES = (0.1, 0.4)
# The last byte is replaced on a server that resumes within a file.
_PROBE = b"ab-"
_BUSY = (408, 423, 425, 429, 502, 503, 504)


class WebDavWriter:
    """Writes to a WebDAV server."""

    kind = "webdav"
    tried = True
    atomic = True
    staged = True
    exclusive = True
    compares = True
    digest_first = False

    def __init__(
        self,
        folder: HttpFolder,
        look: Callable[[str], Stored | None],
        version: Callable[[str], str | None],
        part_size: int = PART_SIZE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._look = look
        self._version = version
        self._part_size = part_size
        self._sleep = sleep
        self._absolute_destination = True
        self._names = TemporaryNames()
        # None until there is a file for which it matters.
        self.resumes: bool | None = None
        # The part that a killed run left, until this run takes it over; then this run's own part.
        self._left: Partial | None = None
        self._own: str | None = None

    def check(self, name: str, content: Content, write: bool, notice: Notice) -> None:
        entries = self._entries_if_any()
        if write:
            internal = [entry for entry in entries if not entry.is_folder and is_internal(entry.name)]
            known = [Stored(entry.name, entry.size) for entry in internal if entry.size is not None]
            self._left, useless = left_parts(known, name, content)
            if useless:
                self._remove_useless(useless, notice)
                entries = self._entries_if_any()
        self._check_space(entries, content.size - (self._left.size if self._left else 0))
        if write:
            self._probe(name, content)
            if self._left is not None and self._left.size < content.size and not self.resumes:
                self._remove_useless([self._left.name], notice)
                self._left = None

    def _remove_useless(self, names: list[str], notice: Notice) -> None:
        for name in names:
            if self._try_delete(name):
                notice(removed(self._folder.address(name)))

    def _entries_if_any(self) -> list[Entry]:
        """Return the folder listing, or an empty list where the server has none; an upload works without it."""
        response, entries = propfind(self._folder, "", 1)
        if response.status_code not in (207, 400, 403, 405, 501):
            self._folder.judge(response, "folder listing")
        return entries

    def _check_space(self, entries: list[Entry], size: int) -> None:
        own_path = unquote(self._folder.path)
        own = next((entry for entry in entries if same_name(entry.path, own_path)), None)
        if own is not None and own.available and own.available < size:  # many servers report 0 instead of nothing
            raise TaskError(
                f"{self._folder.host} has {in_words(own.available)} free for {self._folder.url}, but the image needs "
                f"{in_words(size)}. Free up space there, or ask its administrators for more.",
                free_bytes=own.available,
                needed_bytes=size,
            )

    def _probe(self, name: str, content: Content) -> None:
        """Write, read, rename and remove a tiny file: a server does not always allow what it announces."""
        self._names.find_out(lambda: self._try_names(name, content), is_about_name)

    def _try_names(self, name: str, content: Content) -> None:
        first, second = self._names.part(name), served_name(name, content)
        size = len(_PROBE)
        try:
            self._folder.probe(first, _PROBE)
            require_served(self._folder, self._look, first, size, self._sleep)
            if content.size > self._part_size:
                self.resumes = self._goes_on_within(first)
                size = (self._look(first) or Stored(first, 0)).size
            self._move(first, second, overwrite=False)
            require_served(self._folder, self._look, second, size, self._sleep)
            self._folder.judge(self._folder.request("DELETE", second), "removal of a temporary file")
        except BaseException:
            self._try_delete(first)
            self._try_delete(second)
            raise

    def _settle(self, name: str) -> None:
        """Find out which temporary names the server accepts, if that is not known. Other errors are found later."""
        if not self._names.known:
            with contextlib.suppress(TaskError):
                self._names.find_out(lambda: self._try_name(self._names.part(name)), is_about_name)

    def _try_name(self, part: str) -> None:
        try:
            self._folder.probe(part, _PROBE)
            require_served(self._folder, self._look, part, len(_PROBE), self._sleep)
        finally:
            self._try_delete(part)

    def can_resume(self, name: str, write: bool) -> bool | None:
        """Return whether the server resumes within a file; None if that is unknown because trying would write."""
        if self.resumes is None and write:
            part = self._names.part(name)
            try:
                self._folder.probe(part, _PROBE)
                self.resumes = self._goes_on_within(part)
            finally:
                self._try_delete(part)
        return self.resumes

    def _goes_on_within(self, name: str) -> bool:
        """Return whether the server writes at an offset in a file. The last byte of C(ab-) is to be replaced."""
        response = self._folder.put(name, b"cd", {"Content-Range": "bytes 2-3/4"})
        if response.status_code in _BUSY:
            self._folder.judge(response, "upload")
        return 200 <= response.status_code < 300 and self._version(name) == version_of(b"abcd")

    def resumable(self, name: str, body: Body) -> Partial | None:
        if self._left is not None:
            self._own = self._own or self._names.part(name, body.content)
            # The answer does not matter: the lookup of the new name below shows the result.
            self._ask_to_move(self._left.name, self._own, False, self._folder.patience(self._left.size))
            self._left = None
        if self._own is None or not is_part_of(self._own, name, body.content):
            return None
        kept = self._look(self._own)
        whole = kept is not None and kept.size == body.size
        if kept is None or not (whole or (self.resumes and 0 < kept.size < body.size)):
            # That name must not be used again: bytes that are still on their way to the server may arrive there.
            self._try_delete(self._own)
            self._own = None
            return None
        return Partial(self._own, kept.size)

    def send(self, name: str, body: Body, overwrite: bool, after: Partial | None) -> Sent:
        part = self._own = after.name if after else self._names.part(name, body.content)
        resumed_from = after.size if after else 0
        try:
            body.rewind(resumed_from)
            while body.offset < body.size:
                body.remember()
                self._send_chunk(part, body)
            kept = self._look(part)
            if kept is None or kept.size != body.size:
                raise RetryLater(
                    f"{self._folder.host} stored {kept.size if kept else 0} of the {body.size} bytes that were sent."
                )
        except BaseException as error:
            if not self.resumes or not is_worth_keeping(error):
                self._remove_broken(part)
                self._own = None
            raise
        return Sent(part, body.size, resumed_from, proven=after is None)

    def _send_chunk(self, part: str, body: Body) -> None:
        """Send one request's share of the body: all of it if the server cannot resume within a file."""
        if not self.resumes:
            self._folder.judge(self._folder.put_body(part, body), "upload")
            return
        size = min(self._part_size, body.size - body.offset)
        last = body.offset + size - 1
        headers = {"Content-Range": f"bytes {body.offset}-{last}/{body.size}"} if body.offset else {}
        response = self._folder.put_body(part, Chunk(body, size), headers)
        if response.status_code == 413:
            raise TaskError(
                f"{self._folder.host} does not accept {size} bytes in one request. Set a smaller part_size, or ask "
                "its administrators to raise the limit.",
                status=413,
            )
        self._folder.judge(response, "upload")

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        self._move(sent.name, name, overwrite, self._folder.patience(sent.size))

    def discard(self, sent: Sent) -> None:
        self._try_delete(sent.name)

    def write(self, name: str, data: bytes, content_type: str, conditional: bool, expected: str | None) -> None:
        """Write a small file. With C(conditional), C(expected) is the version that must be there, None for no file."""
        if not conditional:
            self._replace(name, data, content_type)
            return
        self._settle(name)
        lock = WebDavLock(self._folder, name, self._names, self._sleep)
        with lock.held():
            if self._version(name) != expected or lock.is_lost():
                raise Conflict(name)
            self._replace(name, data, content_type)

    def is_being_written(self, name: str) -> bool:
        """Return whether a writer holds the lock: some servers have no file for a moment while it is replaced."""
        locks = (WebDavLock(self._folder, name, TemporaryNames(hidden), self._sleep) for hidden in (True, False))
        return any(lock.age() is not None for lock in locks)

    def list(self) -> list[Stored]:
        response, entries = propfind(self._folder, "", 1)
        if response.status_code != 207:
            self._folder.refuse_page(response, "")
            self._folder.judge_listing(response)
            raise CannotList(
                f"{self._folder.host} does not list {self._folder.url}. Ask its administrators to allow PROPFIND there."
            )
        files = (entry for entry in entries if not entry.is_folder and not is_internal(entry.name))
        return sorted(self._stored(files), key=lambda stored: stored.name)

    def _stored(self, entries: Iterable[Entry]) -> list[Stored]:
        """Return what entries of a listing are. Those without a size are looked up: they are not empty.

        Raises CannotList for those that these credentials may not see.
        """
        try:
            found = [self._look(each.name) if each.size is None else Stored(each.name, each.size) for each in entries]
        except TaskError as error:
            if error.details.get("status") in (401, 403):
                raise CannotList(error.message, **error.details) from error
            raise
        return [stored for stored in found if stored is not None]

    def require_folder(self) -> None:
        """Raise TaskError if the server reports that the folder does not exist."""
        response, _entries = propfind(self._folder, "", 0)
        if response.status_code in GONE and self._folder.is_missing():
            raise self._folder.missing()

    def _replace(self, name: str, data: bytes, content_type: str) -> None:
        self._settle(name)
        part = self._names.part(name)
        try:
            self._folder.judge(self._folder.put(part, data, {"Content-Type": content_type}), "upload")
            self._move(part, name, overwrite=True)
        except BaseException:
            self._try_delete(part)
            raise

    def _move(self, source: str, target: str, overwrite: bool, patience: float | None = None) -> None:
        response = self._ask_to_move(source, target, overwrite, patience)
        if response.status_code in (400, 502) and self._absolute_destination:
            # Behind a proxy that terminates TLS, some servers take our https:// for the address of another server.
            self._absolute_destination = False
            response = self._ask_to_move(source, target, overwrite, patience)
        if response.status_code == 412:
            raise Conflict(target)
        if response.status_code in GONE:
            raise RetryLater(f"{self._folder.host} no longer has the temporary file that is to be renamed to {target}.")
        self._folder.judge(response, "rename (MOVE)")

    def _ask_to_move(self, source: str, target: str, overwrite: bool, patience: float | None) -> Any:
        address = self._folder.address(target)
        headers = {
            "Destination": address if self._absolute_destination else urlsplit(address).path,
            "Overwrite": "T" if overwrite else "F",
        }
        return self._folder.request("MOVE", source, headers, answer_timeout=patience)

    def _remove_broken(self, part: str) -> None:
        """Remove what an interrupted transfer left. The server may store it only when it notices the interruption."""
        for pause in _SETTLE_PAUSES:
            if self._try_delete(part):
                return
            self._sleep(pause)
        self._try_delete(part)

    def _try_delete(self, name: str) -> bool:
        """Try to remove a leftover. Failures are ignored: the error that led here is the one to report."""
        with contextlib.suppress(RetryLater, TaskError):
            return 200 <= self._folder.request("DELETE", name).status_code < 300
        return False
