# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Turns termination signals into an exception in the main thread, so that unfinished work is cleaned up first."""

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
    """Raise Interrupted in the body when the process receives a termination signal; C(reason) may return why.

    It is raised once: further signals do not disturb the cleanup. Only the main thread can handle signals, so nothing
    changes in other threads.
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
        raise Interrupted(reason() or f"Interrupted by the signal {signal.Signals(number).name}.", number)

    before = {each: signal.signal(each, interrupt) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def interrupt_main_thread() -> None:
    """Make C(interruptible) raise in the main thread, even while it waits in a system call."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def leave_signals_to_main_thread() -> None:
    """For other threads to call: a signal that is delivered to one of them would not wake the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
