# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Writing to a WebDAV server: under a temporary name first, then C(MOVE)."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable
from urllib.parse import unquote, urlsplit

from .._errors import TaskError
from .._retry import RetryLater
from ._base import Conflict, Sent, Stored, is_abandoned_part, part_name
from ._body import Body
from ._folder_lock import FolderLock
from ._http_folder import GONE, HttpFolder
from ._propfind import Entry, propfind


class WebDavWriter:
    """How a WebDAV server is written to."""

    atomic = True

    def __init__(
        self,
        folder: HttpFolder,
        look: Callable[[str], Stored | None],
        version: Callable[[str], str | None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._look = look
        self._version = version
        self._sleep = sleep
        self._absolute_destination = True

    def check(self, name: str, size: int, write: bool) -> None:
        entries = self._entries_if_any()
        self._check_space(entries, size)
        if write:
            for entry in entries:
                if is_abandoned_part(entry.name, name):
                    self._try_delete(entry.name)
            self._probe(name)

    def _entries_if_any(self) -> list[Entry]:
        """Return the list of the folder; nothing where the server gives no lists, which an upload can do without."""
        response, entries = propfind(self._folder, "", 1)
        if response.status_code not in (207, 400, 403, 405, 501):
            self._folder.judge(response, "reading of the folder")
        return entries

    def _check_space(self, entries: list[Entry], size: int) -> None:
        own_path = unquote(self._folder.path)
        own = next((entry for entry in entries if entry.path == own_path), None)
        if own is not None and own.available is not None and own.available < size:
            raise TaskError(
                f"{self._folder.host} has {own.available} bytes left for {self._folder.url}, and the image needs "
                f"{size}. Free some space there, or ask its administrators for more.",
                free=own.available,
                needed=size,
            )

    def _probe(self, name: str) -> None:
        """Write, rename and remove an empty file: what a server says that it allows is not always what it does."""
        first, second = part_name(name), part_name(name)
        try:
            self._folder.probe(first)
            self._move(first, second, overwrite=False)
            self._folder.judge(self._folder.request("DELETE", second), "removal of a temporary file")
        except BaseException:
            self._try_delete(first)
            self._try_delete(second)
            raise

    def send(self, name: str, body: Body, overwrite: bool = False) -> Sent:
        part = part_name(name)
        try:
            self._folder.judge(self._folder.put_body(part, body), "upload")
            kept = self._look(part)
            if kept is None or kept.size != body.size:
                raise RetryLater(
                    f"{self._folder.host} kept {kept.size if kept else 0} of the {body.size} bytes that it was sent."
                )
        except BaseException:
            self._try_delete(part)
            raise
        return Sent(part, body.size)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        self._move(sent.name, name, overwrite, self._folder.patience(sent.size))

    def discard(self, sent: Sent) -> None:
        self._try_delete(sent.name)

    def write(self, name: str, data: bytes, content_type: str, conditional: bool, expected: str | None) -> None:
        """Write a small file. With C(conditional), C(expected) is the version that must be there, None for no file."""
        if not conditional:
            self._replace(name, data, content_type)
            return
        with FolderLock(self._folder, name, self._sleep).held():
            if self._version(name) != expected:
                raise Conflict(name)
            self._replace(name, data, content_type)

    def is_being_written(self, name: str) -> bool:
        """Return whether a writer holds the lock: some servers have no file for a moment while it is replaced."""
        return FolderLock(self._folder, name, self._sleep).age() is not None

    def list(self) -> list[Stored]:
        response, entries = propfind(self._folder, "", 1)
        if response.status_code != 207:
            self._folder.judge(response, "reading of the folder")
            raise TaskError(f"{self._folder.host} gives no list of {self._folder.url}.")
        files = [entry for entry in entries if not entry.is_folder and not entry.name.startswith(".")]
        return sorted((Stored(entry.name, entry.size or 0) for entry in files), key=lambda stored: stored.name)

    def _replace(self, name: str, data: bytes, content_type: str) -> None:
        part = part_name(name)
        try:
            self._folder.judge(self._folder.put(part, data, {"Content-Type": content_type}), "upload")
            self._move(part, name, overwrite=True)
        except BaseException:
            self._try_delete(part)
            raise

    def _move(self, source: str, target: str, overwrite: bool, patience: float | None = None) -> None:
        response = self._ask_to_move(source, target, overwrite, patience)
        if response.status_code in (400, 502) and self._absolute_destination:
            # Behind a proxy that ends TLS, some servers take our https:// for the address of another server.
            self._absolute_destination = False
            response = self._ask_to_move(source, target, overwrite, patience)
        if response.status_code == 412:
            raise Conflict(target)
        if response.status_code in GONE:
            raise RetryLater(
                f"{self._folder.host} does not have the temporary file any more, to rename it to {target}."
            )
        self._folder.judge(response, "renaming (MOVE)")

    def _ask_to_move(self, source: str, target: str, overwrite: bool, patience: float | None) -> Any:
        address = self._folder.address(target)
        headers = {
            "Destination": address if self._absolute_destination else urlsplit(address).path,
            "Overwrite": "T" if overwrite else "F",
        }
        return self._folder.request("MOVE", source, headers, answer_timeout=patience)

    def _try_delete(self, name: str) -> None:
        """Remove what is in the way, as well as it goes: the error that brought us here is the one to tell about."""
        with contextlib.suppress(RetryLater, TaskError):
            self._folder.request("DELETE", name)
