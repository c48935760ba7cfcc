# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A lock on a small file of a store, for read-modify-write."""

from __future__ import annotations

import contextlib
import random
import secrets
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


# The mark of a writer that is taking over a lock without a mark.
_TAKEOVER = "takeover"


class FolderLock(ABC):
    """One writer at a time.

    The lock is a folder, because creating one is the only operation that is atomic on every server. Its holder is
    shown by a mark in it, a folder with a unique name: so a writer never takes the lock of another one for its own, or
    a new lock for the stale one that it has seen.

    - A writer holds the lock when its mark is the only one. It looks after it has made the mark, so of two writers
      that enter at the same time at least one sees the other and leaves.
    - A stale mark is renamed away under a unique name, which only one writer can do. That writer enters.
    - The holder ends the lock only while its mark is there. If the mark is gone, another writer has taken over.
    """

    # True where the server removes a folder with all that is in it, False where it removes only empty ones.
    recursive = False

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._own = secrets.token_hex(8)
        self._taken = False

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

    @abstractmethod
    def _marks(self) -> dict[str, float] | None:
        """Return the marks with their ages in seconds; None if the server does not list them."""

    @abstractmethod
    def _make_mark(self, mark: str) -> bool:
        """Create a mark; return whether this call created it."""

    @abstractmethod
    def _remove_mark(self, mark: str) -> bool:
        """Remove a mark; return whether it was there."""

    @abstractmethod
    def _rename_away(self, mark: str) -> bool:
        """Rename a mark to a unique name outside the lock, and remove it; return whether this call renamed it."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. Where the server cannot create folders, there is none: only the comparison protects it."""
        self._taken = self._take()
        try:
            yield
        finally:
            if self._taken:
                self._let_go()

    def is_lost(self) -> bool:
        """Return whether another writer has taken over, because this one was silent for too long."""
        marks = self._marks() if self._taken else None
        return marks is not None and self._own not in marks

    def _take(self) -> bool:
        waited = 0.0
        refusals = 0
        while True:
            made = self._make()
            if (made or self._is_taken_over()) and self._enter():
                return True
            if not made and self.age() is None:
                refusals += 1
                if refusals == _REFUSALS:
                    return False
            if waited >= _WAIT:
                raise RetryLater(
                    f"Another run is writing to the store: the lock folder {self.address} exists. "
                    "Wait for that run. If there is no other run, remove the folder."
                )
            # Random, so that two waiting runs do not stay in step.
            pause = _POLL * (1 + random.random())  # nosec B311 # no secret
            waited += pause
            self._sleep(pause)

    def _is_taken_over(self) -> bool:
        """Return whether this call has ended a stale lock: of several writers that see it, only one may enter."""
        marks = self._marks()
        if marks is None:
            return False
        if marks:
            if any(age <= _LIFETIME for age in marks.values()):
                return False
            ended = [self._rename_away(mark) for mark in marks]
            return any(ended)
        # Its holder is about to make or to remove its mark, or was killed then.
        return (self.age() or 0.0) > _LIFETIME and self._make_mark(_TAKEOVER)

    def _enter(self) -> bool:
        """Return whether this writer holds the lock now, alone."""
        if not self._make_mark(self._own):  # the folder was removed
            return False
        marks = self._marks()
        if marks is None:  # without a list, nobody can take over
            return True
        alone = marks.keys() - {_TAKEOVER} == {self._own}
        if not alone:
            self._remove_mark(self._own)
        if _TAKEOVER in marks:
            self._remove_mark(_TAKEOVER)
        return alone

    def _let_go(self) -> None:
        with contextlib.suppress(RetryLater, TaskError):
            if self.recursive:
                # In one request, with the mark: a writer that enters meanwhile sees either the mark or no folder.
                if not self.is_lost():
                    self._remove()
            elif self._remove_mark(self._own):
                self._remove()
