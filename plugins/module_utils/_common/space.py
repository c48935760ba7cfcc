# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Free disk space: what a stage needs and what is there, in the same words before it starts and when it ran out."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import Optional

from .errors import TaskError, add_sentence
from .files import free_bytes

FULL_DISK = r"[Nn]ot enough (free )?(disk )?space|Out of disk space|No space left on device|disk is full"

_UNITS = ("kB", "MB", "GB", "TB")


def shortly(count: float) -> str:
    """Return a number of bytes as the Finder shows it."""
    if count < 1000:
        return f"{count:.0f} bytes"
    size, unit = float(count), ""
    for unit in _UNITS:
        size /= 1000
        if size < 999.95 or unit == _UNITS[-1]:
            break
    return f"{size:.1f} {unit}"


def in_words(count: int) -> str:
    """Return a number of bytes as the Finder shows it, and exactly."""
    return f"{shortly(count)} ({count} bytes)" if count >= 1000 else shortly(count)


@dataclass(frozen=True)
class Need:
    """The space that a stage takes on the volume of a folder; C(what) begins a sentence, as in "Packing 'x'"."""

    what: str
    folder: str
    needed: int
    # Whether it may take more than that; otherwise that is the maximum.
    at_least: bool = False

    def refuse_less(self) -> None:
        """Raise TaskError when less is free."""
        free = free_bytes(self.folder)
        if free < self.needed:
            raise TaskError(
                f"{self.what} needs {self._amount()} in {self.folder}, but only {in_words(free)} are free. Free up "
                f"{in_words(self.needed - free)} more, then run again.",
                **self._details(free),
            )

    def explain(self, error: BaseException) -> None:
        """Add the numbers to the error of a stage that ran out of space."""
        free = _free_after(error, self.folder)
        if free is not None:
            add_sentence(
                error,
                f"{self.folder} has {in_words(free)} free now, and {self.what[0].lower()}{self.what[1:]} needs "
                f"{self._amount()}.",
                **self._details(free),
            )

    def _amount(self) -> str:
        return f"{'at least' if self.at_least else 'up to'} {in_words(self.needed)}"

    def _details(self, free: int) -> dict[str, object]:
        return {"path": self.folder, "free_bytes": free, "needed_bytes": self.needed}


def ran_out(error: BaseException) -> bool:
    """Return whether the disk was full, by the error of the operating system or the output of a program."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, TaskError):
        return False
    said = f"{error.details.get('stderr', '')}\n{error.details.get('stdout', '')}"
    return bool(error.details.get("rc")) and re.search(FULL_DISK, said) is not None


def explain_free(error: BaseException, folder: str) -> None:
    """Add the free space to the error of work that ran out of it; the space that it needs is unknown."""
    free = _free_after(error, folder)
    if free is not None:
        add_sentence(error, f"{folder} has {in_words(free)} free now.", path=folder, free_bytes=free)


def _free_after(error: BaseException, folder: str) -> Optional[int]:
    """Return the free space after work that ran out of it; None for other errors, and where it cannot be read."""
    if not ran_out(error):
        return None
    try:
        return free_bytes(folder)
    except OSError:  # the volume may be gone, which must not replace the error that is explained
        return None


def free_where(path: Optional[str]) -> str:
    """Return a sentence about the free space where a file was to be written; empty when that is unknown."""
    if not path:
        return ""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        return f" {folder} has {in_words(free_bytes(folder))} free now."
    except OSError:
        return ""
