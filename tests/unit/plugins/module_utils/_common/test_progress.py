# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the reports of long work."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.progress import Meter, unwatched, watched


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    clock = Clock()
    meter = Meter("Uploading", clock=clock)
    for second in range(61):
        clock.now = float(second)
        meter.report(second * 10 if second <= 30 else 300 + (second - 30) * 100, 10_000)
    reading = meter.reading()
    assert reading["done"] == 3300
    assert reading["rate"] == pytest.approx(100, rel=0.05)
    assert reading["left"] == pytest.approx(67, rel=0.05)


def test_before_there_is_a_rate_nothing_is_forecast() -> None:
    clock = Clock()
    meter = Meter("Packing", estimate=True, clock=clock)
    assert meter.reading() == {
        "stage": "Packing",
        "estimate": True,
        "done": 0,
        "total": None,
        "rate": None,
        "left": None,
    }
    meter.report(5, 10)
    assert (meter.reading()["rate"], meter.reading()["left"]) == (None, None)


def test_work_that_begins_again_has_a_new_rate() -> None:
    clock = Clock()
    meter = Meter("Uploading", clock=clock)
    for done in (0, 500, 1000, 0, 10, 20):
        meter.report(done, 1000)
        clock.now += 1
    assert meter.reading()["rate"] == pytest.approx(20 / 3)


def test_work_that_stands_still_says_so() -> None:
    clock = Clock()
    meter = Meter("Uploading", clock=clock)
    for second in range(90):
        clock.now = float(second)
        meter.report(min(second, 10) * 100, 10_000)
    assert meter.reading()["rate"] == 0
    assert meter.reading()["left"] is None


def test_more_than_expected_leaves_nothing() -> None:
    clock = Clock()
    meter = Meter("Packing", estimate=True, clock=clock)
    meter.report(0, 100)
    clock.now = 10
    meter.report(150, 100)
    assert meter.reading()["left"] == 0


def test_a_size_is_reported_while_it_grows() -> None:
    sizes = iter(range(0, 1000, 10))
    seen: list[tuple[int, int | None]] = []
    enough = threading.Event()

    def report(done: int, total: int | None) -> None:
        seen.append((done, total))
        if len(seen) == 3:
            enough.set()

    with watched(lambda: next(sizes), 500, report, every=0.001):
        assert enough.wait(10)
    count = len(seen)
    assert seen[:3] == [(0, 500), (10, 500), (20, 500)]
    assert len(seen) == count, "it was watched after the end"


def test_what_cannot_be_read_is_not_reported() -> None:
    looked = threading.Event()

    def size() -> int:
        looked.set()
        raise FileNotFoundError

    with watched(size, 500, lambda done, total: pytest.fail("nothing was there"), every=0.001):
        assert looked.wait(10)


def test_nobody_watches() -> None:
    with watched(lambda: pytest.fail("nobody wants to know"), 500, unwatched, every=0.001):
        threading.Event().wait(0.02)
