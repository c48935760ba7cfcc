# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Which multipart uploads this account on this machine has begun: only those may it abort while they are fresh.

The part size of an upload shows its host only roughly, because there are more hosts than sizes. So an empty file is
kept for each upload. Its name contains the identity of the machine, so a copy does not count on another machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

from ..._common.files import try_to_remove
from ..._common.machine import FOLDER, known_machine
from ..._common.ownership import is_own, own_folder, write_own

_FOLDER = f"{FOLDER}/multipart"
# Seconds after which an upload is stale in any case.
_KEPT = 30 * 24 * 3600.0


def note_begun(address: str, upload: str) -> None:
    """Note that this machine has begun an upload. If that fails, the upload is left until it is stale."""
    path = _path(address, upload)
    if path is None:
        return
    with contextlib.suppress(OSError):
        _remove_old(own_folder(_FOLDER))
        write_own(path, b"")


def has_begun(address: str, upload: str) -> bool:
    """Return whether this machine is known to have begun an upload."""
    path = _path(address, upload)
    return path is not None and is_own(path)


def forget(address: str, upload: str) -> None:
    """Remove the note about an upload that has ended."""
    path = _path(address, upload)
    if path is not None:
        try_to_remove(path)


def _path(address: str, upload: str) -> str | None:
    machine = known_machine()
    if machine is None:
        return None
    name = hashlib.sha256("\n".join((machine, address, upload)).encode()).hexdigest()[:32]
    return os.path.join(os.path.expanduser(_FOLDER), name)


def _remove_old(folder: str) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):
            if is_own(path) and time.time() - os.lstat(path).st_mtime > _KEPT:
                try_to_remove(path)
