# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Keeps the Mac awake during long work: one that nobody uses would fall asleep in the middle of it."""

from __future__ import annotations

import contextlib
import os
import subprocess  # nosec B404 # one program of macOS, by its path
from collections.abc import Iterator

_PROGRAM = "/usr/bin/caffeinate"  # part of macOS
_END_TIME = 5  # seconds


@contextlib.contextmanager
def kept_awake() -> Iterator[None]:
    """Prevent idle sleep while the body runs; on other systems than macOS, do nothing.

    With C(-w) the program also ends by itself when this process is killed.
    """
    process = None
    if os.access(_PROGRAM, os.X_OK):
        with contextlib.suppress(OSError):  # the work itself is worth more
            # It has to run beside the work, which run_command would wait for.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function  # nosec B603 # no argument from outside
                [_PROGRAM, "-i", "-m", "-s", "-w", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_TIME)
