# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Limits the sessions of C(prlctl exec) on a Mac: more than a few at a time fail, or block each other.

A session holds a lock on a file for its VM, and on one for the Mac. The system frees them when the process ends,
however that happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable

from .._common.ownership import own_folder

FOLDER = "~/.ansible/macops.parallels/guests"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@dataclass(frozen=True)
class Limits:
    """How many sessions there may be at a time: in one VM, and on the whole Mac."""

    of_vm: int = 1
    of_mac: int = 2


LIMITS = Limits()


class Occupied(Exception):
    """There are as many sessions as there may be. The message says where."""


@contextlib.contextmanager
def slot(
    uuid: str,
    limits: Limits,
    *,
    patience: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    waits: Callable[[str], object],
) -> Iterator[None]:
    """Hold a place for one session while the body runs. Raises Occupied when there is none within C(patience) seconds.

    C(waits) is called with a sentence when it has to wait.
    """
    folder = own_folder(FOLDER)
    end = clock() + patience
    with contextlib.ExitStack() as held:
        for name, count, where in (
            (uuid, limits.of_vm, "in this virtual machine"),
            ("mac", limits.of_mac, "on this Mac"),
        ):
            pause = _FIRST_PAUSE
            while True:
                taken = _take(os.path.join(folder, name), count)
                if taken >= 0:
                    held.callback(os.close, taken)
                    break
                reason = (
                    f"Another command is running {where} (at most {count} at a time). Waiting until it has finished."
                )
                if clock() >= end:
                    raise Occupied(reason)
                if pause == _LONGEST_PAUSE:
                    waits(reason)
                sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        yield


def _take(path: str, count: int) -> int:
    """Return the descriptor of a locked file of those with this path and a number, or -1."""
    for number in range(count):
        descriptor = os.open(f"{path}.{number}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return descriptor
    return -1
