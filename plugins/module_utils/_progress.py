# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""How long work tells how far it is: a callable that takes the bytes that are done, and those that there are in all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Callable, Optional

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
