# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""File functions that several layers need: identity, free space, bytes on disk, durable writes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Callable

from .ownership import open_regular

# Bytes that are read, written or sent at a time.
BLOCK = 1024 * 1024

# Parallels' own ending of a packed VM, which is what an image is.
IMAGE_SUFFIX = ".pvmp"
# Of a bundle that Parallels is packing or unpacking. One that was interrupted is neither a bundle nor an image.
INTERMEDIATE_SUFFIX = ".pvmi"

_VOLUMES = "/Volumes"  # where macOS mounts disks

# st_blocks counts units of this size on macOS and Linux, whatever the file system's own block size is.
_STAT_BLOCK = 512

# Seconds between the attempts to remove a folder in which files appear.
_REMOVAL_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class FileIdentity:
    """A cheap check whether a file is still the one that was seen before."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str) -> FileIdentity:
        """Return the identity of the file at C(path). Raises OSError."""
        return cls.from_stat(os.stat(path))

    @classmethod
    def from_stat(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity from the result of C(os.stat) or C(os.fstat)."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


# What network shares and FUSE volumes answer to requests that they do not support.
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY)


def free_bytes(path: str) -> int | None:
    """Return how many bytes the user may still write where C(path) is or would be made; None if that is not known.

    Network shares, FUSE volumes and cloud mounts often report zeros, although they have space. A disk that is really
    full refuses the next byte.
    """
    folder = os.path.abspath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    try:
        status = os.statvfs(folder)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    free = status.f_bavail * (status.f_frsize or status.f_bsize)
    return free if free > 0 and status.f_blocks > 0 else None


def folder_obstacle(path: str) -> str:
    """Return why a folder cannot be written to, or not be made, and what to do; empty when it can."""
    folder = os.path.abspath(path)
    found = folder
    while not os.path.lexists(found):
        found = os.path.dirname(found)
    volume = os.path.join(_VOLUMES, os.path.relpath(folder, _VOLUMES).split(os.sep, maxsplit=1)[0])
    if folder.startswith(_VOLUMES + os.sep) and not os.path.exists(volume):
        # Making it there would fill the startup disk instead.
        return f"The disk {volume} of {folder} is not connected. Connect it, or choose another folder."
    if not os.path.isdir(found):
        return f"{folder} cannot be used: {found} is not a folder. Choose another folder, or move {found} away."
    if not os.access(found, os.W_OK | os.X_OK):
        what = "written to" if found == folder else f"created: {found} is not writable for this user"
        return f"{folder} cannot be {what}. Change its rights, or choose another folder."
    return ""


def bytes_on_disk(path: str) -> int:
    """Return the bytes that a file, or a folder with its contents, takes on the disk: holes take none."""
    return sum(_blocks(path, seen=set()))


def _blocks(path: str, seen: set[tuple[int, int]]) -> list[int]:
    try:
        status = os.lstat(path)
        entries = os.listdir(path) if stat.S_ISDIR(status.st_mode) else []
    except (FileNotFoundError, NotADirectoryError):  # a running VM makes and removes files at any time
        return []
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    taken = [status.st_blocks * _STAT_BLOCK]
    for entry in entries:
        taken.extend(_blocks(os.path.join(path, entry), seen))
    return taken


def wait_until_quiet(
    path: str, seconds: float, timeout: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> bool:
    """Return whether a file or folder, which another process may be writing, stays unchanged for some seconds."""
    end = clock() + timeout
    seen, since = _fingerprint(path), clock()
    while clock() - since < seconds:
        if clock() >= end:
            return False
        sleep(1)
        now = _fingerprint(path)
        if now != seen:
            seen, since = now, clock()
    return True


def _fingerprint(path: str) -> list[tuple[int, int, int]]:
    try:
        status = os.lstat(path)
        entries = sorted(os.listdir(path)) if stat.S_ISDIR(status.st_mode) else []
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [(status.st_ino, status.st_size, status.st_mtime_ns)]
    for entry in entries:
        found.extend(_fingerprint(os.path.join(path, entry)))
    return found


def intermediate_of(path: str) -> str:
    """Return where Parallels works on a bundle or image while it packs or unpacks it."""
    return os.path.splitext(path)[0] + INTERMEDIATE_SUFFIX


def remove_path(path: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    if os.path.isdir(path) and not os.path.islink(path):
        _remove_folder(path, sleep)
    elif os.path.lexists(path):
        os.unlink(path)


def try_to_remove(path: str) -> bool:
    """Remove a temporary file; return whether that was done. Failures are ignored: the caller reports another error."""
    with contextlib.suppress(OSError):
        os.unlink(path)
        return True
    return False


def _remove_folder(path: str, sleep: Callable[[float], None]) -> None:
    """Remove a folder in which macOS may make and remove files meanwhile.

    A Finder window on the folder, and Spotlight, make C(.DS_Store). On disks of other systems, a file with extended
    attributes has a second one, C(._NAME), which comes and goes with it.
    """
    for pause in _REMOVAL_PAUSES:
        try:
            shutil.rmtree(path, **_pass_over(FileNotFoundError))
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _only_of_system(path):
                raise
        sleep(pause)
    shutil.rmtree(path, **_pass_over(FileNotFoundError))


def _pass_over(kind: type[OSError]) -> Any:
    """Return the argument with which C(rmtree) passes over errors of one kind: its name has changed in Python 3.12."""

    def handle(_function: Any, _path: str, found: Any) -> None:
        error = found if isinstance(found, BaseException) else found[1]
        if not isinstance(error, kind):
            raise error

    return {"onexc" if sys.version_info >= (3, 12) else "onerror": handle}


def _only_of_system(path: str) -> bool:
    """Return whether nothing is left in a folder but what macOS makes by itself."""
    files = (name for _folder, _folders, names in os.walk(path) for name in names)
    return all(name.startswith("._") or name == ".DS_Store" for name in files)


def same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to the same file or folder, which may be gone at any time."""
    try:
        return os.path.samefile(one, other)
    except (FileNotFoundError, NotADirectoryError):
        return False


def flush_file(descriptor: int) -> None:
    """Return when the bytes of an open file are on the disk itself."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync alone leaves them in the drive's cache
    if full_sync is not None:
        try:
            fcntl.fcntl(descriptor, full_sync)
            return
        except OSError:  # network file systems do not support it
            pass
    try:
        os.fsync(descriptor)
    except OSError as error:  # some have no fsync either; an error of the disk is one
        if error.errno not in _UNSUPPORTED:
            raise


def set_mode(descriptor: int, mode: int) -> None:
    """Set the mode of an open file, where the file system has modes: SMB, exFAT and FUSE volumes often do not."""
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EPERM, errno.EACCES):
            raise


def flush_folder(path: str) -> None:
    """Return when the names in a folder are on the disk: to be called after a rename that must last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems do not support it for folders; the rename itself is done
        pass
    finally:
        os.close(descriptor)


def temporary_prefix(name: str) -> str:
    """Return the prefix of the temporary files that C(atomic_write) makes for a file: it identifies them as ours."""
    return f".{name.encode()[:200].decode(errors='ignore')}."  # a name has 255 bytes at most


def atomic_write(path: str, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Write a small file so that any reader, at any time, finds either the old content or the whole new one.

    What need not survive a power cut is written faster when it is not C(durable).
    """
    folder, name = os.path.split(path)
    folder = folder or "."
    descriptor, temporary = tempfile.mkstemp(prefix=temporary_prefix(name), suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            set_mode(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            if durable:
                flush_file(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        # After an interrupt it may be renamed already: the interrupt is what has to be reported.
        try_to_remove(temporary)
        raise
    if durable:
        flush_folder(folder)


# What Linux calls the request that makes a file share the blocks of another (linux/fs.h).
_FICLONE = 0x40049409


def clone_file(source: str, target: str, mode: int) -> bool:
    """Make C(target) a file that shares the blocks of C(source); return whether the file system could.

    APFS, btrfs and XFS can, and it takes neither time nor space. Errors are not reported here: the copy that is made
    instead reports them.
    """
    try:
        if sys.platform == "darwin":
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.clonefile(os.fsencode(source), os.fsencode(target), 0) != 0:
                return False
            try:
                with contextlib.suppress(OSError):  # the volume may not have modes
                    os.chmod(target, mode)
            except BaseException:
                try_to_remove(target)
                raise
            return True
        return _share_blocks(source, target, mode)
    except (OSError, AttributeError):
        return False


def _share_blocks(source: str, target: str, mode: int) -> bool:
    with os.fdopen(open_regular(source), "rb") as read:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            fcntl.ioctl(descriptor, _FICLONE, read.fileno())
            set_mode(descriptor, mode)
        except BaseException:
            try_to_remove(target)
            raise
        finally:
            os.close(descriptor)
    return True
