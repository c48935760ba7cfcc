# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock in a folder of a WebDAV server."""

from __future__ import annotations

import time
from typing import Callable

from ..._http.headers import http_date
from ..._http.session import GONE
from ..folder_lock import FolderLock
from .folder import HttpFolder
from .propfind import propfind


class WebDavLock(FolderLock):
    """A lock on one small file of a WebDAV server.

    Conditions with ETags are not sufficient: nginx ignores them, and its ETags consist of seconds and sizes. C(LOCK) is
    disabled on many servers.
    """

    def __init__(self, folder: HttpFolder, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(sleep)
        self._folder = folder
        self._name = f".{name}.lock/"

    @property
    def address(self) -> str:
        return self._folder.address(self._name)

    def age(self) -> float | None:
        response, entries = propfind(self._folder, self._name, 0)
        if response.status_code == 207:
            now = http_date(response.headers.get("Date", ""))
            modified = entries[0].modified if entries else None
            return max(0.0, now - modified) if now is not None and modified is not None else 0.0
        if response.status_code not in GONE:  # a server without folder listings
            response = self._folder.get("GET", self._name)
            response.close()
        return None if response.status_code in GONE else 0.0

    def _make(self) -> bool:
        response = self._folder.request("MKCOL", self._name)
        if response.status_code == 401:
            self._folder.judge(response, "upload")
        return response.status_code == 201

    def _remove(self) -> None:
        self._folder.request("DELETE", self._name, {"Depth": "infinity"})
