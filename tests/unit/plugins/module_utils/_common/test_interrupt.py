# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals as exceptions."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted
from ansible_collections.macops.parallels.plugins.module_utils._common.interrupt import (
    SIGNALS,
    interrupt_main_thread,
    interruptible,
    leave_signals_to_main_thread,
)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_work(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"signal {signal.Signals(number).name}"), interruptible():
        os.kill(os.getpid(), number)
        time.sleep(30)
    assert signal.getsignal(number) == before


def test_cleaning_up_is_not_disturbed() -> None:
    cleaned = False
    with pytest.raises(Interrupted), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            cleaned = True
    assert cleaned


def test_another_thread_wakes_the_main_thread() -> None:
    """Which waits in the operating system, and knows the reason then."""
    reason = []

    def interrupt() -> None:
        leave_signals_to_main_thread()
        reason.append("It was canceled.")
        interrupt_main_thread()

    begun = time.monotonic()
    with pytest.raises(Interrupted, match="It was canceled"), interruptible(lambda: reason[0]):
        threading.Timer(0.05, interrupt).start()
        time.sleep(30)
    assert time.monotonic() - begun < 10


def test_it_is_no_exception_that_work_might_get_over() -> None:
    assert not issubclass(Interrupted, Exception)


def test_outside_of_the_main_thread_nothing_is_changed() -> None:
    seen = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
