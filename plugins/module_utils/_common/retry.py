# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Retries transient failures with growing pauses; permanent failures are not retried."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, TypeVar

from .errors import TaskError

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 120.0
_LONGEST_PAUSE_AFTER_CONFLICT = 5.0
# A pause is made longer by chance, by up to this part of its length: clients that failed at the same time, such as all
# build Macs of a run, must not come back at the same time.
_SPREAD = 0.25
# Bytes. Work that has done less than this between two failures has made no progress.
_STEP = 1024 * 1024

T = TypeVar("T")


def spread(pause: float) -> float:
    """Return a pause that is a bit longer, by chance. It is never shorter, because a server may have asked for it."""
    return pause * (1 + _SPREAD * _chance())


# Between 0 and 1. Tests replace it.
_chance = random.random


def pause_after_conflict(turn: int) -> float:
    """Return how long a writer waits when another host was faster.

    That is longer at each turn, and by chance, because all that lost would try again together.
    """
    return random.uniform(0.2, 1.0) * min(_LONGEST_PAUSE_AFTER_CONFLICT, 0.1 * 2**turn)  # nosec B311 # no secret


class RetryLater(Exception):
    """A transient failure: a lost connection, a busy server.

    The message is a whole sentence without a secret, as in TaskError; C(after) is the pause in seconds that the server
    asked for.
    """

    def __init__(self, message: str, after: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.after = after
        self.details = details


class Attempts:
    """The attempts at one operation: how many there were, and the pause before the next one."""

    def __init__(self, retries: int, sleep: Callable[[float], None]) -> None:
        self._retries = retries
        self._sleep = sleep
        self._furthest = 0
        self.used = 0

    def pause(self, error: RetryLater, done: int = 0) -> None:
        """Wait before the next attempt, or raise TaskError when there is none left.

        C(done) is the number of bytes that need not be done again. Whenever it has grown, the count of attempts starts
        again at zero: work that takes hours may fail more often than work that takes seconds, as long as it makes
        progress.
        """
        if done > self._furthest + _STEP:
            self.used = 0
        self._furthest = max(self._furthest, done)
        if self.used >= self._retries:
            tried = f" It was tried {self.used + 1} times." if self.used else ""
            raise TaskError(f"{error.message}{tried}", **error.details) from error
        wanted = FIRST_PAUSE * 2**self.used if error.after is None else error.after
        self.used += 1
        self._sleep(spread(min(wanted, LONGEST_PAUSE)))


class Retries:
    """How often a transient failure is retried."""

    def __init__(self, retries: int = 4, sleep: Callable[[float], None] = time.sleep) -> None:
        self.retries = retries
        self._sleep = sleep

    def begin(self) -> Attempts:
        """Return the counter for one operation, for callers that check the state before they try again."""
        return Attempts(self.retries, self._sleep)

    def call(self, work: Callable[[], T]) -> T:
        """Return what C(work) returns, called again as long as it raises RetryLater."""
        attempts = self.begin()
        while True:
            try:
                return work()
            except RetryLater as error:
                attempts.pause(error)
