# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which readings become a line, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.plugin_utils._progress_lines import ProgressLines, describe, duration

GB = 10**9


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def reading(done: float, total: float | None = 60 * GB, **more: Any) -> dict[str, Any]:
    return {"stage": "Uploading", "estimate": False, "done": done, "total": total, "rate": None, "left": None, **more}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            reading(25.2 * GB, rate=98e6, left=355),
            "Uploading win11: 42% (25.2 GB of 60.0 GB), 98.0 MB/s, 6 min left",
        ),
        (
            reading(25.2 * GB, rate=123.4e6, left=20, estimate=True),
            "Uploading win11: about 42% (25.2 GB of 60.0 GB), estimated, 123.4 MB/s, 20 s left",
        ),
        (reading(60 * GB, rate=98e6, left=0), "Uploading win11: 100% (60.0 GB of 60.0 GB), 98.0 MB/s"),
        (reading(61 * GB, estimate=True), "Uploading win11: about 99% (61.0 GB of 60.0 GB), estimated"),
        (reading(512, total=None), "Uploading win11: 512 bytes"),
        (reading(0, total=0, rate=0.0), "Uploading win11: 0 bytes"),
        (reading(0, total=2048, rate=0.0), "Uploading win11: 0% (0 bytes of 2.0 kB)"),
    ],
)
def test_words(told: dict[str, Any], words: str) -> None:
    assert describe(told, "win11") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (355, "6 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def shown(readings: list[tuple[float, dict[str, Any]]]) -> list[float]:
    """Return the seconds at which a line was shown, for readings that came at some seconds."""
    clock = Clock()
    lines = ProgressLines("mac", clock)
    begun = clock.now
    seconds = []
    for second, told in readings:
        clock.now = begun + second
        line = lines.line({"subject": "win11", "progress": told})
        if line is not None:
            assert line.startswith("  [mac] ")
            seconds.append(second)
    return seconds


def test_nothing_is_shown_of_short_work() -> None:
    assert shown([(second, reading(second * GB)) for second in (0, 1, 3, 4.9)]) == []


def test_a_line_every_five_seconds_at_most() -> None:
    assert shown([(second, reading(second * GB)) for second in range(21)]) == [5, 10, 15, 20]


def test_a_line_a_percent_at_most() -> None:
    assert shown([(second, reading(second * GB / 50)) for second in range(0, 121, 5)]) == [5, 30, 60, 90, 120]


def test_without_a_total_the_bytes_are_shown_now_and_then() -> None:
    assert shown([(second, reading(second * GB, total=None)) for second in range(0, 91, 5)]) == [5, 35, 65]


def test_a_new_stage_starts_anew() -> None:
    hashing = [(second, reading(60 * GB)) for second in (5, 10, 15)]
    uploading = [(second, {**reading(60 * GB), "stage": "Checking"}) for second in (20, 25)]
    assert shown(hashing + uploading) == [5, 20]


def test_a_job_that_has_told_nothing_is_not_shown() -> None:
    clock = Clock()
    lines = ProgressLines("mac", clock)
    clock.now += 60
    assert lines.line({"subject": "", "progress": {}}) is None
    assert lines.line({"subject": "win11", "progress": reading(0, total=None)}) is None


def test_what_the_work_waits_for_is_shown_once() -> None:
    clock = Clock()
    lines = ProgressLines("mac", clock)
    begun = clock.now
    busy, booting = {"waiting": "Another command is running."}, {"waiting": "It is still booting."}
    told = [
        (3, busy),
        (5, busy),
        (6, busy),
        (7, booting),
        (8, {"waiting": ""}),
        (9, {}),
        (10, booting),
        (11, {}),
    ]
    shown = []
    for second, report in told:
        clock.now = begun + second
        shown.append(lines.line({"progress": {}, **report}))
    booting_line = "  [mac] It is still booting."
    assert shown == [None, "  [mac] Another command is running.", None, booting_line, None, None, booting_line, None]
