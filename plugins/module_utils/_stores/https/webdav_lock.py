# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock in a folder of a WebDAV server."""

from __future__ import annotations

import secrets
import time
from typing import Any, Callable
from urllib.parse import urlsplit

from ..._http.headers import http_date
from ..._http.session import GONE
from ..folder_lock import FolderLock
from ..temporary_names import TemporaryNames
from .folder import HttpFolder
from .propfind import propfind
from .served import refuses_any


class WebDavLock(FolderLock):
    """A lock on one small file of a WebDAV server.

    Conditions with ETags are not sufficient: nginx ignores them, and its ETags consist of seconds and sizes. C(LOCK) is
    disabled on many servers.
    """

    recursive = True

    def __init__(
        self, folder: HttpFolder, name: str, names: TemporaryNames, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(sleep)
        self._folder = folder
        self._file = name
        self._names = names
        self._name = names.lock(name) + "/"

    @property
    def address(self) -> str:
        return self._folder.address(self._name)

    def age(self) -> float | None:
        response, entries = propfind(self._folder, self._name, 0)
        if response.status_code == 207:
            return _age(http_date(response.headers.get("Date", "")), entries[0].modified if entries else None)
        if response.status_code not in GONE:  # a server without folder listings
            response = self._get(self._name)
            if response.status_code not in GONE and refuses_any(response, self._get(self._sibling)):
                return None
        return None if response.status_code in GONE else 0.0

    @property
    def _sibling(self) -> str:
        """The name of a lock that nobody holds."""
        return f"{self._name[:-1]}-{secrets.token_hex(4)}/"

    def _get(self, name: str) -> Any:
        response = self._folder.get("GET", name)
        response.close()
        return response

    def _make(self) -> bool:
        return self._make_folder(self._name)

    def _make_folder(self, name: str) -> bool:
        response = self._folder.request("MKCOL", name)
        if response.status_code == 401:
            self._folder.judge(response, "upload")
        return bool(response.status_code == 201)

    def _remove(self) -> None:
        self._delete(self._name)

    def _delete(self, name: str) -> bool:
        response = self._folder.request("DELETE", name, {"Depth": "infinity"})
        if response.status_code in GONE:
            return False
        self._folder.judge(response, "removal of a lock")
        return True

    def _marks(self) -> dict[str, float] | None:
        response, entries = propfind(self._folder, self._name, 1)
        if response.status_code in GONE:
            return {}
        if response.status_code != 207:
            return None
        now = http_date(response.headers.get("Date", ""))
        own = self._name.rstrip("/")
        return {entry.name: _age(now, entry.modified) for entry in entries if entry.name != own}

    def _make_mark(self, mark: str) -> bool:
        return self._make_folder(f"{self._name}{mark}/")

    def _remove_mark(self, mark: str) -> bool:
        return self._delete(f"{self._name}{mark}/")

    def _rename_away(self, mark: str) -> bool:
        away = self._names.part(self._file) + "/"
        address = self._folder.address(away)
        # Behind a proxy that terminates TLS, some servers take our https:// for the address of another server.
        for destination in (address, urlsplit(address).path):
            headers = {"Destination": destination, "Overwrite": "F"}
            status = self._folder.request("MOVE", f"{self._name}{mark}/", headers).status_code
            if status in (200, 201, 204):
                self._delete(away)
                return True
            if status not in (400, 502):
                return False
        return False


def _age(now: float | None, modified: float | None) -> float:
    """Return an age in seconds, 0 if it is not known."""
    return max(0.0, now - modified) if now is not None and modified is not None else 0.0
