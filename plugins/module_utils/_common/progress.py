# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""How long work tells how far it is: a callable that takes the bytes that are done, and those that there are in all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Callable, Optional

from .interrupt import leave_signals_to_main_thread

# Called with the bytes done and the total, None where that is not known. It must be cheap and never raise.
Report = Callable[[int, Optional[int]], None]


def unwatched(_done: int, _total: Optional[int]) -> None:
    """For work whose progress nobody wants to know."""


@contextlib.contextmanager
def watched(size: Callable[[], int], total: Optional[int], report: Report, every: float = 1.0) -> Iterator[None]:
    """Report C(size()) every few seconds, while the body does what makes it grow (or waits for a program that does).

    What C(size) cannot read is not reported: progress never ends the work.
    """
    over = threading.Event()

    def watch() -> None:
        leave_signals_to_main_thread()
        while not over.wait(every):
            with contextlib.suppress(OSError):
                report(size(), total)

    if report is unwatched:
        yield
        return
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Meter:
    """What is reported of one stage, and the rate that follows from it."""

    # Seconds over which the rate is taken: long enough to be steady, short enough to tell that something stands still.
    WINDOW = 30.0

    def __init__(self, stage: str, estimate: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """C(stage) says what is done, as in 'Packing'; C(estimate), that the bytes done are only a guess at it."""
        self.stage = stage
        self.estimate = estimate
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._done = 0
        self._total: Optional[int] = None

    def report(self, done: int, total: Optional[int]) -> None:
        """Take a report, see Report."""
        now = self._clock()
        if done < self._done:  # it began again
            self._samples.clear()
        self._done, self._total = done, total
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.WINDOW:
            self._samples.popleft()

    def reading(self) -> dict[str, Any]:
        """Return what is known now, for people to read: bytes, bytes a second, seconds left; None for what is not."""
        rate = self._rate()
        left = None
        if rate and self._total is not None:
            left = max(0.0, (self._total - self._done) / rate)
        return {
            "stage": self.stage,
            "estimate": self.estimate,
            "done": self._done,
            "total": self._total,
            "rate": rate,
            "left": left,
        }

    def _rate(self) -> Optional[float]:
        if not self._samples:
            return None
        begun, first = self._samples[0]
        seconds = self._clock() - begun
        return (self._done - first) / seconds if seconds >= 1 else None
