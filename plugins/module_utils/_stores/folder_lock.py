# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock on a small file of a store, for read-modify-write."""

from __future__ import annotations

import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Callable

from .._common.errors import TaskError
from .._common.retry import RetryLater

# A writer needs the lock for a few small requests. A lock that is older than this belongs to a killed run.
_LIFETIME = 120.0
_WAIT = 60.0
_POLL = 0.1
# A server that refuses this often to create a folder that does not exist cannot create folders.
_REFUSALS = 5


class FolderLock(ABC):
    """One writer at a time.

    The lock is a folder, because creating one is the only operation that is atomic on every server.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    @property
    @abstractmethod
    def address(self) -> str:
        """The address of the lock, for messages."""

    @abstractmethod
    def age(self) -> float | None:
        """Return how many seconds the lock has been held, by the server's clock; None when it is free."""

    @abstractmethod
    def _make(self) -> bool:
        """Create the folder; return whether this call created it."""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the folder."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. Where the server cannot create folders, there is none: only the comparison protects it."""
        taken = self._take()
        try:
            yield
        finally:
            if taken:
                self._let_go()

    def _take(self) -> bool:
        waited = 0.0
        refusals = 0
        while True:
            if self._make():
                return True
            age = self.age()
            if age is None:
                refusals += 1
                if refusals == _REFUSALS:
                    return False
            elif age > _LIFETIME:
                self._let_go()
                continue
            if waited >= _WAIT:
                raise RetryLater(
                    f"Another run is writing to the store: the lock folder {self.address} exists. "
                    "Wait for that run. If there is no other run, remove the folder."
                )
            pause = _POLL * (1 + random.random())  # random, so that two waiting runs do not stay in step
            waited += pause
            self._sleep(pause)

    def _let_go(self) -> None:
        with contextlib.suppress(RetryLater, TaskError):
            self._remove()
