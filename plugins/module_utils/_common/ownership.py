# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Whose a file is. What another user has put where this collection works is never taken for ours.

A file counts as ours if it is a regular file of the user we act as (with C(become), that user), has one name and cannot
be written to by others. It is opened first, without following a link and without waiting for the other end of a pipe,
and then judged by what was opened: a name may lead elsewhere at any time.

On volumes that ignore owners, as macOS mounts most external disks, neither owners nor modes mean anything. There, only
the kind of a file and the number of its names are judged, and why_shared reports the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from typing import Any, Optional

from .errors import TaskError

# Of what may be any kind of file: no link is followed, and neither a pipe nor a device is waited for.
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE_BITS = ((stat.S_IWGRP, "its group"), (stat.S_IWOTH, "everybody"))

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISREG, "a file"),
)

# The group that may administer a Mac: its members can become root.
_MAC_ADMINISTRATORS = 80
# From <sys/mount.h> of macOS: the volume ignores owners. And where struct statfs has its flags.
_MNT_IGNORE_OWNERSHIP = 0x00200000
_STATFS_FLAGS = 64


class Foreign(OSError):
    """A file or folder that does not count as ours. C(why) is the end of a sentence about it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EACCES, why, path)
        self.path = path
        self.why = why


def user_name(uid: int) -> str:
    """Return the name of a user, or the number where there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def kind_of(status: os.stat_result) -> str:
    """Return what kind of file it is, with an article."""
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "a device")


def open_regular(path: str, flags: int = os.O_RDONLY, most_names: int = 1) -> int:
    """Return the descriptor of a regular file with one name, whoever owns it. Raises Foreign for anything else."""
    before = os.lstat(path)
    _refuse_kind(path, before)  # opening a device may already do something
    try:
        descriptor = os.open(path, flags | _CAREFULLY)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Foreign(path, "it is a symbolic link") from error
        raise
    try:
        status = os.fstat(descriptor)
        _refuse_kind(path, status)
        if status.st_nlink > most_names:
            raise Foreign(path, f"it has {status.st_nlink} names (hard links)")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_kind(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Foreign(path, f"it is {kind_of(status)}{_whose(status)}, not a file")


def open_own(path: str, flags: int = os.O_RDONLY, most_names: int = 1) -> int:
    """Return the descriptor of an existing file of this user. Raises Foreign for others, FileNotFoundError for none."""
    folder = os.path.dirname(path) or "."
    if not is_safe(folder):
        os.lstat(path)
        raise Foreign(path, f"other users can replace it, because they can write to {folder}")
    try:
        descriptor = open_regular(path, flags, most_names)
    except PermissionError as error:
        why = why_not_own(path, os.lstat(path))
        if why:
            raise Foreign(path, why) from error
        raise
    try:
        why = why_not_own(path, os.fstat(descriptor))
        if why:
            raise Foreign(path, why)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def why_not_own(path: str, status: os.stat_result) -> str:
    """Return why a file or folder does not count as ours, by its owner and its mode; empty when it does."""
    if status.st_uid == os.geteuid() and not _others_may_write(status):
        return ""
    if not keeps_owners(path):
        return ""
    return _belongs(status) if status.st_uid != os.geteuid() else _writable_by(status)


def read_own(path: str, limit: int, most_names: int = 1) -> Optional[bytes]:
    """Return the beginning of a small file of this user, None if there is none. Raises Foreign for others."""
    try:
        descriptor = open_own(path, most_names=most_names)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read(limit)


def write_new(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file that must not exist yet: what has the name already, such as a link, is an error."""
    descriptor = create(path, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)


def create(path: str, mode: int = 0o600, flags: int = os.O_WRONLY) -> int:
    """Return the descriptor of a file that is made by this call. Raises FileExistsError for a name that is taken."""
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | _CAREFULLY, mode)


def write_own(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a small file, made when it is not there. That of another user is left, and Foreign raised."""
    with contextlib.suppress(FileExistsError):
        write_new(path, data, mode)
        return
    with os.fdopen(open_own(path, os.O_WRONLY), "wb") as handle:
        handle.truncate(0)
        handle.write(data)


def is_own(path: str) -> bool:
    """Return whether there is a file of this user, by its name: for files that are not opened."""
    try:
        status = os.lstat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):  # none can have a name that is too long
            return False
        raise
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and not why_not_own(path, status)


def own_folder(path: str) -> str:
    """Return a folder in the user's home, written with C(~), made with those above it if it does not exist.

    Raises Foreign when one of them belongs to somebody else. Write access of others is taken away: what is in such a
    folder is nobody else's business. Raises ValueError for a folder outside of the home: its mode is left.
    """
    home = os.path.expanduser("~")
    folder = os.path.expanduser(path)
    steps = os.path.relpath(folder, home).split(os.sep)
    if os.pardir in steps or os.curdir in steps:
        raise ValueError(f"{folder} is not in {home}")
    os.makedirs(home, exist_ok=True)
    current = home
    for number, step in enumerate(steps, 1):
        current = os.path.join(current, step)
        with contextlib.suppress(FileExistsError):
            os.mkdir(current, 0o700)
        status = os.stat(current)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), current)
        is_last = number == len(steps)
        # Root makes the upper ones where a task with become kept the user's HOME.
        if status.st_uid not in (os.geteuid(), *(() if is_last else (0,))) and keeps_owners(current):
            raise Foreign(current, _belongs(status))
        if _others_may_write(status) and status.st_uid == os.geteuid():
            with contextlib.suppress(OSError):  # the volume may not have modes
                os.chmod(current, stat.S_IMODE(status.st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
    return folder


def why_foreign(path: str) -> str:
    """Return why a bundle or image, or what has its name, cannot be ours; empty if it can, and if there is none.

    Parallels' service runs as root, so what root owns may be ours. What others may write to may be as well: Parallels
    has a setting for that. See why_unsafe.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return f"it is {kind_of(status)}{_whose(status)}"
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        return f"it has {status.st_nlink} names (hard links)"
    if status.st_uid not in (os.geteuid(), 0) and keeps_owners(path):
        return _belongs(status)
    return ""


def why_unsafe(path: str, *inside: str) -> str:
    """Return why a bundle or image must not be adopted, by itself and by files inside of it; empty when it may."""
    for each in (path, *(os.path.join(path, name) for name in inside if os.path.isdir(path))):
        why = why_foreign(each)
        if not why and os.path.lexists(each):
            status = os.lstat(each)
            why = _writable_by(status) if _others_may_write(status) and keeps_owners(each) else ""
        if why:
            return why if each == path else f"of {os.path.basename(each)} in it: {why}"
    return ""


def refuse_foreign(path: str, what: str) -> None:
    """Raise TaskError for a bundle or image of another user; C(what) says what was not done with it."""
    why = why_foreign(path)
    if why:
        raise TaskError(
            f"{path} is not a file of this user: {why}. {what} Move it away, or choose another name or folder.",
            path=path,
        )


def owner_clause(path: str) -> str:
    """Return a clause that names the owner of a path, if that is another user; empty otherwise."""
    try:
        status = os.lstat(path)
    except OSError:
        return ""
    return "" if status.st_uid == os.geteuid() else f" (it belongs to the user {user_name(status.st_uid)})"


def why_shared(path: str) -> str:
    """Return why other users can put files into a folder, or exchange it; empty when they cannot.

    The folder may not exist yet; then it is judged where it would be made. It may have the sticky bit only above.
    """
    folder = os.path.realpath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if not keeps_owners(folder):
        return f"the disk of {folder} ignores owners"
    exists = os.path.isdir(path)
    current = folder
    while True:
        status = os.stat(current)
        if status.st_uid not in (os.geteuid(), 0):
            return f"{current} belongs to the user {user_name(status.st_uid)}"
        is_it = exists and current == folder
        if _others_may_write(status) and (is_it or not status.st_mode & stat.S_ISVTX):
            return f"{current} is writable for {_writers(status)}"
        if current == os.path.dirname(current):
            return ""
        current = os.path.dirname(current)


def is_safe(folder: str) -> bool:
    """Return whether nobody else can exchange files of this user in a folder. Raises OSError where there is none."""
    status = os.stat(folder)
    if not keeps_owners(folder):
        return True
    if status.st_uid not in (os.geteuid(), 0):
        return False
    return not _others_may_write(status) or bool(status.st_mode & stat.S_ISVTX)


def keeps_owners(path: str) -> bool:
    """Return whether the volume of a path knows owners and modes: macOS ignores them on most external disks."""
    if sys.platform != "darwin":
        return True
    return not _mac_flags(path) & _MNT_IGNORE_OWNERSHIP


def _mac_flags(path: str) -> int:
    buffer = ctypes.create_string_buffer(4096)  # more than the structure has
    try:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        # On Intel, the plain name is that of the structure before macOS 10.6.
        statfs = getattr(libc, "statfs$INODE64", None) or libc.statfs
        if statfs(os.fsencode(path), buffer) != 0:
            return 0
    except (OSError, AttributeError):
        return 0
    return int.from_bytes(buffer.raw[_STATFS_FLAGS : _STATFS_FLAGS + 4], sys.byteorder)


def _others_may_write(status: os.stat_result) -> bool:
    return next(_write_bits(status), None) is not None


def _write_bits(status: os.stat_result) -> Iterator[str]:
    for bit, who in _WRITE_BITS:
        if status.st_mode & bit and not (bit == stat.S_IWGRP and _is_trusted(status.st_gid)):
            yield who


def _is_trusted(gid: int) -> bool:
    """Return whether a group has no members but those who may do anything anyway, and the user."""
    if gid == 0 or (sys.platform == "darwin" and gid == _MAC_ADMINISTRATORS):
        return True
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    # As Linux makes one for each user; all users of a Mac are in "staff".
    return gid == user.pw_gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _writers(status: os.stat_result) -> str:
    return " and ".join(_write_bits(status))


def _writable_by(status: os.stat_result) -> str:
    return f"it is writable for {_writers(status)}"


def _belongs(status: os.stat_result) -> str:
    return f"it belongs to the user {user_name(status.st_uid)}"


def _whose(status: os.stat_result) -> str:
    return "" if status.st_uid == os.geteuid() else f" of the user {user_name(status.st_uid)}"
