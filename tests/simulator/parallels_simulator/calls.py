# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of all calls: one line of JSON each, written when the call begins and completed in place when it ends.

So a call that was killed from outside is in the log as well, with neither exit code nor end.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, Optional

from .mac import open_shared

_ROOM = 64  # bytes kept free in each line for the exit code and the end


class Call:
    """One call of a simulated program."""

    def __init__(self, log: Path, program: str, argv: list) -> None:
        self._log = log
        self._entry: dict[str, Any] = {
            "program": program,
            "argv": argv,
            "rc": None,
            "start": round(time.time(), 6),
            "end": None,
            "pid": os.getpid(),
        }
        line = json.dumps(self._entry, ensure_ascii=False).encode()
        self._width = len(line) + _ROOM
        with open_shared(log) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._offset = os.lseek(handle, 0, os.SEEK_END)
            os.write(handle, line.ljust(self._width) + b"\n")

    def end(self, rc: int) -> None:
        """Complete the line."""
        self._entry["rc"] = rc
        self._entry["end"] = round(time.time(), 6)
        line = json.dumps(self._entry, ensure_ascii=False).encode()
        with open_shared(self._log) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.pwrite(handle, line.ljust(self._width), self._offset)


def read_calls(log: Path, program: Optional[str] = None) -> list:
    """Return all calls in the order in which they began."""
    if not log.exists():
        return []
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [entry for entry in entries if program in (None, entry["program"])]
