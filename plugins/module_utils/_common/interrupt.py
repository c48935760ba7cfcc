# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Signals that end a process become an exception in its main thread, so that what it has begun is put right first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, Callable

from .errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def interruptible(reason: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raise Interrupted out of the body when the process is told to end; C(reason) may know why.

    It happens once: further signals do not disturb the cleaning up. Outside of the main thread, which alone can handle
    signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    interrupted = False

    def interrupt(number: int, _frame: Any) -> None:
        nonlocal interrupted
        if interrupted:
            return
        interrupted = True
        raise Interrupted(reason() or f"It was told to end by the signal {signal.Signals(number).name}.", number)

    before = {each: signal.signal(each, interrupt) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def interrupt_main_thread() -> None:
    """Make C(interruptible) raise in the main thread, even while that waits in the operating system."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def leave_signals_to_main_thread() -> None:
    """Called by another thread: a signal that is delivered to it would not wake the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
