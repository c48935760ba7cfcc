# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for what comes about by itself: never for a length of time, always for a condition."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

Found = TypeVar("Found")


def wait_until(
    condition: Callable[[], Found | None],
    timeout: float = 60.0,
    *,
    explain: Callable[[], str] = lambda: "it did not come about",
    pause: float = 0.02,
) -> Found:
    """Return what a condition returns, as soon as that is true; asked anew after each pause, in seconds.

    When it is not within so many seconds, the error says what C(explain) returns. A condition that can no longer come
    true may raise an error of its own.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{explain()} (within {timeout} seconds)")
        time.sleep(pause)


def wait_until_it_answers(process: subprocess.Popen[Any], url: str, ca_path: str, patience: float) -> bool:
    """Wait until a server's HTTP answers, whatever it says; return False when it does not.

    Its process has ended then, or is ended.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        try:
            requests.get(url, verify=ca_path, timeout=5)
            return True
        except requests.RequestException:
            time.sleep(0.02)
    process.kill()
    return False
