# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A folder in the file system: a mounted share, a web root."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import IO, Callable
from urllib.parse import quote, unquote, urlsplit

from .._common.errors import TaskError
from .._common.files import BLOCK, clone_file, flush_file, flush_folder, free_bytes, set_mode, try_to_remove
from .._common.notice import Notice, unheard
from .._common.ownership import Foreign, create, kind_of, open_regular, user_name
from .._common.retry import RetryLater, spread
from .._common.space import in_words
from .base import (
    CannotList,
    Conflict,
    Partial,
    Sent,
    Store,
    Stored,
    StoreFull,
    StoreOptions,
    is_internal,
    is_part_of,
    is_worth_keeping,
    left_parts,
    removed,
    version_of,
    version_of_file,
)
from .body import Body, Content
from .temporary_names import TemporaryNames

# The server of the folder reads the files as another user.
_MODE = 0o644
_LOCK_WAIT = 60.0
_LOCK_POLL = 0.05
# Attempts to open a lock that its holders give back meanwhile.
_LOCK_ATTEMPTS = 20
_TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN, errno.EHOSTDOWN, errno.ENOTCONN)
# Errors that are not about a name.
_NOT_THE_NAME = (*_TRANSIENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
_NO_LINKS = (
    *(errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV),
    errno.EMLINK,
)
# Where macOS mounts volumes.
_VOLUMES = "/Volumes"


class FileStore(Store):
    """C(file:///path)."""

    kind = "file"

    def __init__(self, destination: str, options: StoreOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(destination)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise TaskError(
                "The destination is not valid: file:// needs three slashes before the path, as in file:///path."
            )
        self._folder = os.path.normpath(unquote(parts.path))
        self._sleep = sleep
        self._names = TemporaryNames()
        self.url = "file://" + quote(self._folder).rstrip("/")
        # Where the file system of the folder is mounted, None until the folder was seen.
        self._mount_point: str | None = None
        # The user whom the folder shows as the owner of what this run writes: a share may show another one.
        self._owner = os.geteuid()
        # The part that a killed run left, until this run takes it over; then this run's own part.
        self._left: Partial | None = None
        self._own: str | None = None

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        with self._words("access"):
            if os.path.isdir(self._path(name)):
                raise TaskError(f"{self._path(name)} is a folder. Choose another name.")
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise self._forbidden()
            if write:
                self._remove_useless(name, content, notice)
                self._probe(name)
                if self._owner != os.geteuid():
                    self._remove_useless(name, content, notice)
            free = free_bytes(self._folder)
        needed = content.size - (self._left.size if self._left else 0)
        if free is not None and free < needed:
            raise self._too_small(free, needed, "")

    def look(self, name: str) -> Stored | None:
        with self._words("access"):
            try:
                status = os.lstat(self._path(name))
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(status.st_mode):
                raise self._not_a_file(name, status)
        return Stored(name, status.st_size, version=f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}")

    def resumable(self, name: str, body: Body) -> Partial | None:
        with self._words("write to"):
            if self._left is not None:
                own = self._names.part(name, body.content)
                with contextlib.suppress(FileNotFoundError):  # another run was faster
                    os.rename(self._path(self._left.name), self._path(own))
                    self._own = own
                self._left = None
        if self._own is None or not is_part_of(self._own, name, body.content):
            return None
        found = self.look(self._own)
        return Partial(self._own, found.size) if found is not None else None

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        part = self._own = after.name if after else self._names.part(name, body.content)
        cloned = after is None and clone_file(body.path, self._path(part), _MODE)
        try:
            with self._words("write to"):
                if after or cloned:
                    descriptor = open_regular(self._path(part), os.O_RDWR)
                else:
                    descriptor = create(self._path(part), _MODE, os.O_RDWR)
                with os.fdopen(descriptor, "r+b", buffering=0):
                    set_mode(descriptor, _MODE)
                    body.rewind()
                    if cloned:
                        resumed_from = self._prove_clone(body)
                    else:
                        resumed_from = self._pass_over_what_is_there(body, descriptor)
                    self._copy(body, descriptor)
                    flush_file(descriptor)
                written = os.lstat(self._path(part)).st_size
            if written != body.size:
                raise RetryLater(f"{self._folder} stored {written} of {body.size} bytes.")
        except BaseException as error:
            if not is_worth_keeping(error):
                self._remove(part)
            if isinstance(error, StoreFull):
                why = f"accepted no more bytes ({error.details['reason']}). After removal of the incomplete image, it "
                raise self._too_small(free_bytes(self._folder), body.size, why) from error
            raise
        return Sent(part, body.size, resumed_from)

    @staticmethod
    def _prove_clone(body: Body) -> int:
        """Read our file, whose blocks the clone shares: as long as the file did not change, the clone is equal."""
        while body.offset < body.size:
            body.pass_over(body.size - body.offset)
        return 0

    def _pass_over_what_is_there(self, body: Body, descriptor: int) -> int:
        """Keep the leading bytes that are equal to ours, cut off the rest, and return how many were kept.

        After a power failure, a file may have the right size but not its bytes.
        """
        there = os.fstat(descriptor).st_size
        same = 0
        while same < there:
            ours = body.pass_over(there - same)
            if not ours:
                break
            if os.pread(descriptor, len(ours), same) != ours:
                os.ftruncate(descriptor, same)
                os.lseek(descriptor, same, os.SEEK_SET)
                body.count(len(ours))
                self._write(descriptor, ours)
                return same
            same += len(ours)
        if same < there:
            os.ftruncate(descriptor, same)
        os.lseek(descriptor, same, os.SEEK_SET)
        return same

    def _copy(self, body: Body, descriptor: int) -> None:
        for block in iter(lambda: body.read(BLOCK), b""):
            self._write(descriptor, block)

    @staticmethod
    def _write(descriptor: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        part, final = self._path(sent.name), self._path(name)
        with self._words("write to"):
            if overwrite:
                os.replace(part, final)
            else:
                try:
                    self._rename_without_overwriting(part, final)
                except FileExistsError as error:
                    raise Conflict(final) from error
            flush_folder(self._folder)

    def _rename_without_overwriting(self, part: str, final: str) -> None:
        """Use a hard link, which never replaces a file as a rename does. Many network shares have none, though."""
        try:
            os.link(part, final)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with self._locked(os.path.basename(final)):
                if os.path.lexists(final):
                    raise FileExistsError(final) from error
                os.rename(part, final)
        else:
            try_to_remove(part)  # it is published; the next run removes the other name

    def discard(self, sent: Sent) -> None:
        self._remove(sent.name)

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        with self._words("read from"), self._open(name) as handle:
            handle.seek(start)
            while True:
                block = handle.read(BLOCK)
                if not block:
                    return
                yield block

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        with self._words("read from"):
            try:
                with self._open(name) as handle:
                    data = handle.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(data) > limit:
            raise TaskError(
                f"{self._path(name)} is larger than {limit} bytes, so it is not the expected file. Check what was "
                "stored under that name."
            )
        return data, version_of(data)

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        with self._words("write to"):
            if if_version is None and not if_absent:
                self._replace(name, data)
                return
            with self._locked(name):
                if self._version(name) != if_version:
                    raise Conflict(name)
                self._replace(name, data)

    def _version(self, name: str) -> str | None:
        """Return the version that C(read) would return; the file may be as large as any limit."""
        try:
            with open(self._path(name), "rb") as handle:
                return version_of_file(handle)
        except FileNotFoundError:
            return None

    def _replace(self, name: str, data: bytes) -> None:
        """Write a small file under a temporary name, then rename it. Later runs recognize that name as ours."""
        self._settle(name)
        part = self._names.part(name)
        try:
            descriptor = create(self._path(part), _MODE)
            with os.fdopen(descriptor, "wb", buffering=0):
                set_mode(descriptor, _MODE)
                self._write(descriptor, data)
                flush_file(descriptor)
            os.replace(self._path(part), self._path(name))
        except BaseException:
            self._remove(part)
            raise
        flush_folder(self._folder)

    def list(self) -> list[Stored]:
        with self._words("access"):
            try:
                entries = sorted(os.scandir(self._folder), key=lambda entry: entry.name)
            except PermissionError as error:
                raise CannotList(self._forbidden("read").message, path=self._folder) from error
            return [
                Stored(entry.name, entry.stat(follow_symlinks=False).st_size)
                for entry in entries
                if entry.is_file(follow_symlinks=False) and not is_internal(entry.name)
            ]

    def delete(self, name: str) -> bool:
        with self._words("delete from"):
            try:
                os.unlink(self._path(name))
            except FileNotFoundError:
                return False
            flush_folder(self._folder)
        return True

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _remove(self, name: str) -> bool:
        return try_to_remove(self._path(name))

    def _remove_useless(self, name: str, content: Content, notice: Notice) -> None:
        """Remove what killed runs have left, except what can be resumed."""
        self._left, useless = left_parts(self._internal(), name, content)
        for found in useless:
            if self._remove(found):
                notice(removed(self._path(found)))

    def _open(self, name: str) -> IO[bytes]:
        """Open a published file, whoever has published it; neither a link is followed nor a pipe waited for."""
        try:
            # Whoever copies a store with hard links gives all its files more names.
            descriptor = open_regular(self._path(name), most_names=sys.maxsize)
        except Foreign as error:
            raise self._not_a_file(name, os.lstat(self._path(name))) from error
        return os.fdopen(descriptor, "rb")

    def _not_a_file(self, name: str, status: os.stat_result) -> TaskError:
        return TaskError(
            f"{self._path(name)} is {kind_of(status)} of the user {user_name(status.st_uid)}, not a file, so it was "
            "not used. Check who made it, and move it away.",
            path=self._path(name),
        )

    def _internal(self) -> list[Stored]:
        """Return the temporary files of this user: those of others are theirs, whatever their names say."""
        found = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):  # others come and go
                if is_internal(entry.name) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_uid != self._owner:
                        continue
                    # With two names, it is published already and must not be written to.
                    found.append(Stored(entry.name, status.st_size if status.st_nlink == 1 else 0))
        return found

    def _probe(self, name: str) -> None:
        """Write and rename an empty file: a share may refuse what the permissions allow, or names with a dot."""
        self._names.find_out(lambda: self._try_names(name), _is_about_name)

    def _try_names(self, name: str) -> None:
        first, second = self._names.part(name), self._names.part(name)
        try:
            os.close(create(self._path(first), _MODE))
            os.rename(self._path(first), self._path(second))
            self._owner = os.lstat(self._path(second)).st_uid
        finally:
            self._remove(first)
            self._remove(second)

    def _settle(self, name: str) -> None:
        """Find out which temporary names the share accepts, if that is not known. Other errors are found later."""
        if not self._names.known:
            with contextlib.suppress(OSError):
                self._probe(name)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Let one writer at a time change a file. The lock ends with its process and leaves no file behind."""
        self._settle(name)
        path = self._path(self._names.lock(name))
        descriptor = self._lock(path)
        try:
            yield
        finally:
            if os.fstat(descriptor).st_uid == self._owner and self._is_still(path, descriptor):
                self._remove(os.path.basename(path))
            os.close(descriptor)

    def _lock(self, path: str) -> int:
        waited = 0.0
        while True:
            descriptor = self._open_lock(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if stat.S_ISDIR(os.fstat(descriptor).st_mode) or self._is_still(path, descriptor):
                    return descriptor
            except BlockingIOError:
                if waited >= _LOCK_WAIT:
                    os.close(descriptor)
                    raise RetryLater(f"Another process holds the lock {path}. Wait until it has ended.") from None
            except OSError:
                # A share without locks: only the comparison before the write remains.
                return descriptor
            os.close(descriptor)
            pause = spread(_LOCK_POLL)
            waited += pause
            self._sleep(pause)

    def _open_lock(self, path: str) -> int:
        """Return the descriptor of the lock, which other publishers may hold; or of the folder.

        The folder itself is locked where something has the name of the lock that cannot be one, such as a link.
        """
        for _attempt in range(_LOCK_ATTEMPTS):
            with contextlib.suppress(FileExistsError):
                return create(path, 0o666, os.O_RDWR)
            # The locks of other users are not writable. That is needed on NFS only, where such a lock protects nothing.
            for flags in (os.O_RDWR, os.O_RDONLY):
                with contextlib.suppress(FileNotFoundError, PermissionError, Foreign):
                    return open_regular(path, flags)
            if os.path.lexists(path):
                break
        return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)

    @staticmethod
    def _is_still(path: str, descriptor: int) -> bool:
        """Return whether the locked file still has its name: the previous holder may have removed it."""
        try:
            return os.path.samestat(os.lstat(path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _require_folder(self) -> None:
        """Raise TaskError if the folder, or the volume that it is on, is not there: its files are unknown then."""
        # With a slash at the end, an automounter mounts it.
        device = os.stat(os.path.join(self._folder, "")).st_dev
        real = os.path.realpath(self._folder)
        if self._mount_point is None:
            if real.startswith(_VOLUMES + "/") and device == os.stat(_VOLUMES).st_dev:
                volume = real[len(_VOLUMES) + 1 :].partition(os.sep)[0]
                raise self._unmounted(os.path.join(_VOLUMES, volume))
            self._mount_point = _mount_point_of(real)
        elif not os.path.ismount(self._mount_point):
            raise self._unmounted(self._mount_point)

    def _unmounted(self, mount_point: str) -> TaskError:
        return TaskError(
            f"The volume of {self._folder} is not mounted: {mount_point} is an ordinary folder now. Mount the volume, "
            "then run the same command again. If macOS mounts it under another name, remove that folder first.",
            path=self._folder,
        )

    def _missing(self) -> TaskError:
        return TaskError(
            f"The folder {self._folder} does not exist. Mount the share, create the folder, or correct destination.",
            path=self._folder,
        )

    def _forbidden(self, right: str = "write") -> TaskError:
        return TaskError(
            f"This user does not have {right} permission for {self._folder}. Grant it, or run as another user (on "
            "macOS, network and external disks also need Full Disk Access for sshd-keygen-wrapper).",
            path=self._folder,
        )

    def _too_small(self, free: int | None, needed: int, how: str) -> TaskError:
        there = "does not report its free space" if free is None else f"has {in_words(free)} free"
        return StoreFull(
            f"{self._folder} {how}{there}, but the image needs {in_words(needed)}. Nothing was "
            "published. Free up space there, then run the same command again.",
            path=self._folder,
            free_bytes=free,
            needed_bytes=needed,
        )

    @contextlib.contextmanager
    def _words(self, doing: str) -> Iterator[None]:
        """Require the folder, and turn errors of the operating system into errors that say what the admin does next."""
        try:
            self._require_folder()
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreFull(
                    f"{self._folder} is full, or the file is too large for it: {error.strerror}. "
                    "Nothing was published. Free up space there, then run the same command again.",
                    path=self._folder,
                    reason=error.strerror,
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise self._forbidden() from error
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(self._folder):
                raise self._missing() from error
            if error.errno in _TRANSIENT:
                raise RetryLater(f"Cannot {doing} {self._folder}: {error.strerror}.") from error
            raise


def _mount_point_of(path: str) -> str:
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def _is_about_name(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno not in _NOT_THE_NAME
