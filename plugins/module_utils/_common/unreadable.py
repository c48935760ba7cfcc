# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Why a file or folder cannot be read: what is unknown is never "no", so the admin has to know what to do about it."""

from __future__ import annotations

import errno
import os
from typing import Optional

from .ownership import user_name

FULL_DISK_ACCESS = (
    "On macOS, folders such as Desktop and Documents, and external disks, also need Full Disk Access for "
    "sshd-keygen-wrapper."
)
_VOLUMES = "/Volumes"
_OWN_FOLDER = "~/.ansible"


class Unreadable(Exception):
    """Facts that cannot be read; the message says what cannot be read, why, and what to do."""


def why_unreadable(path: str, error: Exception) -> str:
    """Return what cannot be read, why, and what to do, for the error of an attempt to read it."""
    if not isinstance(error, OSError):
        return f"{path} is not complete. If Parallels is writing it, run again later, otherwise restore it."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} cannot be read: {error.strerror}. {advice_for_denied(path)}"
    volume = _missing_volume(path)
    if volume:
        return f"{path} cannot be read: the disk {volume} is not mounted. Connect it."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{path} does not exist. Connect the disk or the share that it is on, or restore it."
    return f"{path} cannot be read: {error.strerror or error}. Check whether its disk or share responds."


def advice_for_denied(path: Optional[str]) -> str:
    """Return what to do about a file or folder that the user must not read or change."""
    where, owner = _denied_at(path) if path else ("", "")
    own = os.path.expanduser(_OWN_FOLDER)
    if owner and (where + os.sep).startswith(own + os.sep):
        return f'{where} belongs to the user {owner}. Run `sudo chown -R "$USER" ~/.ansible`, then run again.'
    whose = f"{where} belongs to the user {owner}. " if owner else ""
    return f"{whose}Connect as the user who owns the virtual machines. {FULL_DISK_ACCESS}"


def _denied_at(path: str) -> tuple[str, str]:
    """Return the nearest file or folder of a path that can be seen, and its owner if that is another user."""
    where = os.path.abspath(path)
    while True:
        try:
            uid = os.stat(where).st_uid
        except OSError:
            if where == os.path.dirname(where):
                return "", ""
            where = os.path.dirname(where)
            continue
        if uid == os.geteuid():
            return where, ""
        return where, user_name(uid)


def _missing_volume(path: str) -> str:
    """Return the volume of a path that is not mounted; empty when it is, or when the path is not on one."""
    parts = os.path.abspath(path).split(os.sep)
    if len(parts) < 4 or os.sep + parts[1] != _VOLUMES:
        return ""
    volume = os.path.join(_VOLUMES, parts[2])
    return "" if os.path.ismount(volume) else volume
