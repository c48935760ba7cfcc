# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The progress lines of long work: few, and each with something new."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Callable, Optional

from ..module_utils._common.space import shortly

# Seconds: work that is done by then shows nothing; between two lines; between two lines without a percentage.
QUIET = 5.0
INTERVAL = 5.0
INTERVAL_WITHOUT_PERCENT = 30.0


class ProgressLines:
    """Decides which of the readings of one task become a line."""

    def __init__(self, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._clock = clock
        self._begun = clock()
        self._shown = 0.0
        self._stage = ""
        self._percent = -1
        self._waiting = ""

    def line(self, told: Mapping[str, Any]) -> Optional[str]:
        """Return the line for the report of a job (see module_utils._jobs.job), or None when it is not time for one."""
        reading = told.get("progress") or {}
        now = self._clock()
        waiting = str(told.get("waiting") or "")
        if waiting != self._waiting and now - self._begun >= QUIET:
            self._waiting = waiting
            if waiting:
                return f"  [{self._host}] {waiting}"
        if not reading or now - self._begun < QUIET or not (reading["done"] or reading["total"]):
            return None
        if reading["stage"] != self._stage:
            self._percent = -1
        percent = _percent_of(reading)
        interval = INTERVAL if percent is not None else INTERVAL_WITHOUT_PERCENT
        if self._shown and now - self._shown < interval:
            return None
        if percent is not None and percent == self._percent:
            return None
        self._shown, self._stage = now, reading["stage"]
        self._percent = -1 if percent is None else percent
        return f"  [{self._host}] {describe(reading, str(told.get('subject') or ''))}"


def describe(reading: Mapping[str, Any], subject: str) -> str:
    """Return a reading in words: stage, percentage, bytes, rate, time left."""
    what = f"{reading['stage']} {subject}".rstrip()
    percent = _percent_of(reading)
    parts = []
    if percent is not None:
        amount = f"{percent}% ({shortly(reading['done'])} of {shortly(reading['total'])})"
        parts.append(f"about {amount}, estimated" if reading.get("estimate") else amount)
    else:
        parts.append(shortly(reading["done"]))
    if reading.get("rate"):
        parts.append(f"{shortly(reading['rate'])}/s")
    if reading.get("left") is not None and percent != 100:
        parts.append(f"{duration(reading['left'])} left")
    return f"{what}: {', '.join(parts)}"


def _percent_of(reading: Mapping[str, Any]) -> Optional[int]:
    total = reading.get("total")
    if not total:
        return None
    percent = int(100 * reading["done"] / total)
    # An estimate may be wrong: it never shows 100% while the work is still running.
    return min(percent, 99 if reading.get("estimate") else 100)


def duration(seconds: float) -> str:
    """Return a time in words, only as exact as a forecast can be."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
