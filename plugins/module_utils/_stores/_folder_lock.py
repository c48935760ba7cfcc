# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock on a small file of a WebDAV server, for those who read it, change it and write it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Callable

from .._errors import TaskError
from .._retry import RetryLater
from ._http_folder import GONE, HttpFolder
from ._propfind import propfind, seconds

# A writer needs the lock for a few small requests. One that is older than this belongs to a run that was killed.
_LIFETIME = 120.0
_WAIT = 60.0
_POLL = 0.1
# A server that refuses to make a folder that is not there, again and again, makes none at all.
_REFUSALS = 5


class FolderLock:
    """One writer at a time.

    The lock is a folder, because making one (C(MKCOL)) is the one thing that every WebDAV server does at once or not at
    all. Conditions with ETags will not do: nginx ignores them, and makes its ETags of seconds and sizes. C(LOCK) is
    switched off in many servers.
    """

    def __init__(self, folder: HttpFolder, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._name = f".{name}.lock/"
        self._sleep = sleep

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. Where the server makes no folders there is none: what is compared then has to do."""
        taken = self._take()
        try:
            yield
        finally:
            if taken:
                self._remove()

    def age(self) -> float | None:
        """Return for how long someone holds the lock, by the server's clock; None when it is free."""
        response, entries = propfind(self._folder, self._name, 0)
        if response.status_code == 207:
            now = seconds(response.headers.get("Date", ""))
            modified = entries[0].modified if entries else None
            return max(0.0, now - modified) if now is not None and modified is not None else 0.0
        if response.status_code not in GONE:  # a server without lists
            response = self._folder.get("GET", self._name)
            response.close()
        return None if response.status_code in GONE else 0.0

    def _take(self) -> bool:
        waited = 0.0
        refusals = 0
        while True:
            response = self._folder.request("MKCOL", self._name)
            if response.status_code == 201:
                return True
            if response.status_code == 401:
                self._folder.judge(response, "upload")
            age = self.age()
            if age is None:
                refusals += 1
                if refusals == _REFUSALS:
                    return False
            elif age > _LIFETIME:
                self._remove()
                continue
            if waited >= _WAIT:
                raise RetryLater(
                    f"Another run is writing to the store: {self._folder.address(self._name)} is there. "
                    "If there is none, remove that folder."
                )
            pause = _POLL * (1 + random.random())  # so that two who wait do not keep in step
            waited += pause
            self._sleep(pause)

    def _remove(self) -> None:
        with contextlib.suppress(RetryLater, TaskError):
            self._folder.request("DELETE", self._name, {"Depth": "infinity"})
