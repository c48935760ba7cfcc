# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool for all that runs at once: every test, and every command that is one piece of work, holds a slot meanwhile.

A slot is a lock on a file. The system drops it when its holder ends, however that comes about, so none is ever lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import IO, Optional

# Names the folder of the slots to the processes of a run. Without it nobody waits.
VARIABLE = "MACOPS_SLOTS"
# Whoever holds this is the next to get a slot. The system hands it on in the order in which it was asked for, so that
# who has just given a slot back does not get it again before those who wait.
LINE = "line"
PAUSE = 0.02
# Seconds after which a process of many short tests gives its slot back. If it stood in line for each of them, it would
# wait most of the time, for the whole builds of others.
TURN = 3.0


def make_slots(folder: pathlib.Path, number: int) -> None:
    """Make a pool in which so many can work at once."""
    folder.mkdir(parents=True)
    for name in (LINE, *map(str, range(number))):
        (folder / name).touch()


@contextlib.contextmanager
def slot(folder: Optional[pathlib.Path]) -> Iterator[None]:
    """Hold one of the pool's slots, as soon as one is free; without a pool, at once."""
    if folder is None:
        yield
        return
    with (folder / LINE).open(encoding="utf-8") as line:
        fcntl.flock(line, fcntl.LOCK_EX)
        taken = _wait_for_one(folder)
        fcntl.flock(line, fcntl.LOCK_UN)
    try:
        yield
    finally:
        # Unlocked, not only closed: a process that was forked meanwhile may have the same file open.
        fcntl.flock(taken, fcntl.LOCK_UN)
        taken.close()


class Turn:
    """A slot that a process keeps for one short test after another, until C(seconds) are over."""

    def __init__(self, folder: Optional[pathlib.Path], seconds: float = TURN) -> None:
        self._folder = folder
        self._seconds = seconds
        self._kept = contextlib.ExitStack()
        self._end: Optional[float] = None
        self._alarm = threading.Timer(0, self._give_back)

    @contextlib.contextmanager
    def test(self, *, last: bool) -> Iterator[None]:
        """Hold the slot during a test; after the C(last) one it is given back at once."""
        self._alarm.cancel()
        if self._alarm.ident is not None:
            self._alarm.join()  # which may give the slot back at this moment
        if self._end is None:
            self._kept.enter_context(slot(self._folder))
            self._end = time.monotonic() + self._seconds
        try:
            yield
        finally:
            left = self._end - time.monotonic()
            if last or left <= 0:
                self._give_back()
            else:
                # The next test may come late: pytest-xdist lets the last one of each process wait for other processes,
                # and these for a slot.
                self._alarm = threading.Timer(left, self._give_back)
                self._alarm.daemon = True
                self._alarm.start()

    def _give_back(self) -> None:
        self._end = None
        self._kept.close()


def slots_of_this_run() -> Optional[pathlib.Path]:
    """Return the pool that this process shares with others."""
    name = os.environ.get(VARIABLE)
    return pathlib.Path(name) if name else None


def _wait_for_one(folder: pathlib.Path) -> IO[str]:
    paths = [path for path in folder.iterdir() if path.name != LINE]
    while True:
        for path in paths:
            handle = path.open(encoding="utf-8")
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            handle.close()
        time.sleep(PAUSE)
