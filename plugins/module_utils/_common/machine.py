# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The identity of this account on this machine, by which its runs recognize in a store what earlier ones have left.

Not the host name: it follows DHCP, and two machines may have the same. The identity is a random number that is kept in
the home folder. Imaging and Migration Assistant copy home folders, so the file is named after the hardware: a copy on
another machine is not used there, and two machines that share a home folder have one file each.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import secrets
import sys
import tempfile
from typing import Optional

from .files import atomic_write, flush_folder, try_to_remove
from .ownership import own_folder, read_own

FOLDER = "~/.ansible/macops.parallels"
# Where Linux keeps a random number that is made when the system is installed or first started.
_LINUX_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
# Seconds that macOS may take to tell its UUID.
_WAIT = 5
_ID = re.compile(r"[0-9a-f]{8}")
# Stands for the identity where it is not known. No other run has it, so none takes what this one leaves for its own.
_OF_THIS_RUN = secrets.token_hex(4)


def this_machine() -> str:
    """Return the identity of this account on this machine, or one of this run alone where it is not known."""
    return known_machine() or _OF_THIS_RUN


def known_machine() -> Optional[str]:
    """Return the identity of this account on this machine.

    None if the hardware has no readable identity, or the file cannot be read or written. Then nothing that other runs
    have left can be recognized, and so nothing of it may be removed or taken over.
    """
    hardware = hardware_id()
    if hardware is None:
        return None
    name = hashlib.sha256(hardware.encode()).hexdigest()[:16]
    path = os.path.join(os.path.expanduser(FOLDER), f"machine-{name}")
    try:
        return _read(path) or _make(path)
    except (OSError, ValueError):
        return None


def _read(path: str) -> Optional[str]:
    """Return the identity in a file; None if there is none."""
    # It has a second name for a moment, and for longer when its run was killed then: see _make.
    data = read_own(path, 64, most_names=2)
    text = data.decode("ascii", errors="replace").strip() if data is not None else ""
    return text if _ID.fullmatch(text) else None


def _make(path: str) -> Optional[str]:
    """Make the file, or replace a damaged one, and return the identity in it, which another run may have made first."""
    folder = own_folder(FOLDER)
    data = f"{secrets.token_hex(4)}\n".encode()
    if os.path.exists(path):
        atomic_write(path, data, 0o600)
        return _read(path)
    descriptor, temporary = tempfile.mkstemp(prefix=".machine-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
        # A link never replaces the file of another run, and shows it only with its content.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        try_to_remove(temporary)
    flush_folder(folder)
    return _read(path)


@functools.lru_cache(maxsize=1)
def hardware_id() -> Optional[str]:
    """Return what identifies the hardware, or a Linux installation; None if it cannot be read."""
    return _host_uuid() if sys.platform == "darwin" else _linux_id()


def _linux_id() -> Optional[str]:
    for path in _LINUX_IDS:
        with contextlib.suppress(OSError, ValueError):
            with open(path, encoding="ascii") as handle:
                found = handle.read(64).strip().lower()
            # It is "uninitialized" in images, and all zeros is what careless tools write.
            if re.fullmatch(r"[0-9a-f]{32}", found) and found.strip("0"):
                return found
    return None


def _host_uuid() -> Optional[str]:
    """Return the UUID of the Mac, which System Information shows as Hardware UUID.

    The value of C(sysctl kern.uuid) does not identify a Mac: it is that of the kernel's build, which all Macs with the
    same macOS share, and which changes with each update.
    """

    class Timespec(ctypes.Structure):
        _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]

    found = ctypes.create_string_buffer(16)
    try:
        if ctypes.CDLL(None, use_errno=True).gethostuuid(found, ctypes.byref(Timespec(_WAIT, 0))) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return found.raw.hex() if found.raw.strip(b"\0") else None
