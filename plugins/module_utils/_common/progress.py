# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Progress of long work, reported to a callable that takes the bytes done and the total."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Callable, Optional

from .interrupt import leave_signals_to_main_thread

# Called with the bytes done and the total (None where that is unknown). It must be cheap and never raise.
Report = Callable[[int, Optional[int]], None]


def unwatched(_done: int, _total: Optional[int]) -> None:
    """Ignore the progress."""


@contextlib.contextmanager
def watched(size: Callable[[], int], total: Optional[int], report: Report, every: float = 1.0) -> Iterator[None]:
    """Report C(size()) every few seconds while the body, or a program that it waits for, makes it grow.

    Errors in C(size) are ignored: a progress report never stops the work.
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
    """The progress of one stage, and its rate."""

    # Seconds over which the rate is taken: long enough to be steady, short enough to show a stall.
    WINDOW = 30.0

    def __init__(self, stage: str, estimate: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """C(stage) names the work, such as 'Packing'; C(estimate) marks the bytes done as an estimate."""
        self.stage = stage
        self.estimate = estimate
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._done = 0
        self._total: Optional[int] = None

    def report(self, done: int, total: Optional[int]) -> None:
        """Take a report, see Report."""
        now = self._clock()
        if done < self._done:  # the work started over
            self._samples.clear()
        self._done, self._total = done, total
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.WINDOW:
            self._samples.popleft()

    def reading(self) -> dict[str, Any]:
        """Return the current values for display: bytes, bytes per second, seconds left; None for unknown ones."""
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
