# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock on a small file of a store, for those who read it, change it and write it."""

from __future__ import annotations

import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Callable

from .._common.errors import TaskError
from .._common.retry import RetryLater

# A writer needs the lock for a few small requests. One that is older than this belongs to a run that was killed.
_LIFETIME = 120.0
_WAIT = 60.0
_POLL = 0.1
# A server that refuses to make a folder that is not there, again and again, makes none at all.
_REFUSALS = 5


class FolderLock(ABC):
    """One writer at a time.

    The lock is a folder, because making one is the one thing that every server does at once or not at all.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the lock is, for people."""

    @abstractmethod
    def age(self) -> float | None:
        """Return for how many seconds someone holds the lock, by the server's clock; None when it is free."""

    @abstractmethod
    def _make(self) -> bool:
        """Make the folder; return whether it was not there and is now."""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the folder."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. Where the server makes no folders there is none: what is compared then has to do."""
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
                    f"Another run is writing to the store: {self.address} is there. "
                    "If there is none, remove that folder."
                )
            pause = _POLL * (1 + random.random())  # so that two who wait do not keep in step
            waited += pause
            self._sleep(pause)

    def _let_go(self) -> None:
        with contextlib.suppress(RetryLater, TaskError):
            self._remove()
