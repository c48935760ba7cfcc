# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A folder on an SSH server, which a web server publishes: C(sftp://host/path)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import posixpath
import stat
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable
from urllib.parse import quote, unquote, urlsplit

from ..._common.errors import TaskError
from ..._common.files import BLOCK
from ..._common.notice import Notice, unheard
from ..._common.retry import RetryLater
from ..._common.space import in_words
from ..base import (
    Conflict,
    Partial,
    Sent,
    Store,
    Stored,
    StoreFull,
    StoreOptions,
    is_part_of,
    is_worth_keeping,
    left_parts,
    part_name,
    removed,
    version_of,
)
from ..body import Body, Content
from ..folder_lock import FolderLock
from ..parts import Part, send_parts
from .connection import DEFAULT_PORT, Connection

PART_SIZE = 32 * 1024 * 1024
# One connection fills an office line. More only help with high latency: a server accepts at most 2 MiB ahead.
CONCURRENCY = 1
# The web server reads the files as another user.
_MODE = 0o644


class SftpStore(Store):
    """A folder on an SSH server. Only SFTP is used, so the user needs no shell."""

    kind = "sftp"

    def __init__(self, destination: str, options: StoreOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(destination)
        path = unquote(parts.path)
        if not parts.hostname or not path.startswith("/"):
            raise TaskError("The destination is not valid: sftp:// needs a host and a path, as in sftp://host/path.")
        self._folder = path[3:] or "." if path.startswith("/~/") else posixpath.normpath(path)
        self._host, self._port = parts.hostname, parts.port or DEFAULT_PORT
        self._options = options
        self._part_size = options.part_size or PART_SIZE
        self._concurrency = options.concurrency or CONCURRENCY
        self._sleep = sleep
        self._connection = Connection(self._host, self._port, options)
        self.url = f"sftp://{parts.netloc}{quote(path)}".rstrip("/")
        # The part that a killed run left, until this run takes it over; then this run's own part.
        self._left: Partial | None = None
        self._own: str | None = None
        # Offsets of the parts that the server has confirmed in this run: with a connection that is lost often, the
        # upload would never finish if all of them were read back each time.
        self._confirmed: set[int] = set()

    # Asking

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        with self._words("access") as sftp:
            try:
                folder = sftp.stat(self._folder)
            except FileNotFoundError:
                raise self._missing() from None
            if not stat.S_ISDIR(folder.st_mode or 0):
                raise TaskError(f"{self.url} is not a folder. Correct destination.")
            if self._is_folder(sftp, name):
                raise TaskError(f"{self._address(name)} is a folder. Choose another name.")
            if write:
                self._remove_useless(sftp, name, content, notice)
                self._probe(sftp, name)
        while self._connection.notes:
            notice(self._connection.notes.pop())
        room = self._room()
        needed = content.size - (self._left.size if self._left else 0)
        if room is not None and room < needed:
            raise self._too_small(room, needed)

    def _is_folder(self, sftp: Any, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISDIR(sftp.stat(self._path(name)).st_mode or 0)
        return False

    def _remove_useless(self, sftp: Any, name: str, content: Content, notice: Notice) -> None:
        """Remove what killed runs have left, except what can be resumed."""
        files = (each for each in sftp.listdir_attr(self._folder) if _is_file(each) and each.filename.startswith("."))
        self._left, useless = left_parts((Stored(each.filename, each.st_size or 0) for each in files), name, content)
        for found in useless:
            if self._try_remove(found):
                notice(removed(self._address(found)))

    def _probe(self, sftp: Any, name: str) -> None:
        """Write, rename and remove an empty file: a server may refuse what the permissions allow."""
        first, second = part_name(name), part_name(name)
        try:
            sftp.open(self._path(first), "wx").close()
            sftp.rename(self._path(first), self._path(second))
        finally:
            self._try_remove(first)
            self._try_remove(second)

    def _room(self) -> int | None:
        with self._words("access"):
            room = self._connection.room(self._folder)
        return room.free if room is not None else None

    def look(self, name: str) -> Stored | None:
        with self._words("access") as sftp:
            try:
                found = sftp.stat(self._path(name))
            except FileNotFoundError:
                return None
        return Stored(name, found.st_size or 0, version=f"{found.st_mtime}-{found.st_size}")

    # Sending

    def resumable(self, name: str, body: Body) -> Partial | None:
        if self._left is not None:
            own = part_name(name, body.content)
            with self._words("write to") as sftp, contextlib.suppress(FileNotFoundError):  # another run was faster
                sftp.rename(self._path(self._left.name), self._path(own))
                self._own = own
            self._left = None
        if self._own is None or not is_part_of(self._own, name, body.content):
            return None
        found = self.look(self._own)
        return Partial(self._own, found.size) if found is not None else None

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        part = self._own = after.name if after else part_name(name, body.content)
        if after is None:
            self._confirmed.clear()
        sending = _Sending(self, part, after.size if after else 0, self._confirmed)
        try:
            with self._words("write to") as sftp:
                sftp.open(self._path(part), "r+" if after else "wx").close()
            resumed_from = send_parts(
                body, self._part_size, self._concurrency, sending.send, sending.has, ("sha256",) if after else ()
            )
            with self._words("write to") as sftp:
                sftp.truncate(self._path(part), body.size)  # the part may be longer than the body
                with contextlib.suppress(OSError):  # the server may insist on its own mode
                    sftp.chmod(self._path(part), _MODE)
            found = self.look(part)
            if found is None or found.size != body.size:
                raise RetryLater(f"{self._host} stored {found.size if found else 0} of {body.size} bytes.")
        except BaseException as error:
            if isinstance(error, StoreFull) or not is_worth_keeping(error):
                self._try_remove(part)
                self._own = None
            raise
        finally:
            sending.close()
        return Sent(part, body.size, resumed_from)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        part, final = self._path(sent.name), self._path(name)
        with self._words("write to") as sftp:
            if overwrite:
                sftp.posix_rename(part, final)
                return
            # The protocol's rename fails if the file exists; this check is for servers that do not comply.
            if self.look(name) is not None:
                raise Conflict(name)
            try:
                sftp.rename(part, final)
            except OSError:
                if self.look(name) is not None:
                    raise Conflict(name) from None
                raise

    def discard(self, sent: Sent) -> None:
        self._try_remove(sent.name)

    # Reading

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        with self._words("read from") as sftp:
            size = sftp.stat(self._path(name)).st_size or 0
            with sftp.open(self._path(name), "rb") as handle:
                yield from _read(handle, start, size - start)

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        with self._words("read from") as sftp:
            try:
                with sftp.open(self._path(name), "rb") as handle:
                    data = handle.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(data) > limit:
            raise TaskError(
                f"{self._address(name)} is larger than {limit} bytes, so it is not the expected file. Check what was "
                "stored under that name."
            )
        return data, version_of(data)

    def list(self) -> list[Stored]:
        with self._words("access") as sftp:
            try:
                found = sftp.listdir_attr(self._folder)
            except FileNotFoundError:
                raise self._missing() from None
        names = sorted(found, key=lambda each: each.filename)
        return [
            Stored(each.filename, each.st_size or 0)
            for each in names
            if _is_file(each) and not each.filename.startswith(".")
        ]

    # Small files

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        if if_version is None and not if_absent:
            self._replace(name, data)
            return
        with _SftpLock(self, name, self._sleep).held():
            found = self.read(name)
            if (found[1] if found else None) != if_version:
                raise Conflict(name)
            self._replace(name, data)

    def _replace(self, name: str, data: bytes) -> None:
        part = part_name(name)
        try:
            with self._words("write to") as sftp:
                with sftp.open(self._path(part), "wx") as handle:
                    handle.write(data)
                    handle.chmod(_MODE)
                sftp.posix_rename(self._path(part), self._path(name))
        except BaseException:
            self._try_remove(part)
            raise

    def delete(self, name: str) -> bool:
        with self._words("delete from") as sftp:
            try:
                sftp.remove(self._path(name))
            except FileNotFoundError:
                return False
        return True

    # For the other classes of this file

    def connect(self) -> Connection:
        """Return another connection, for another thread."""
        return Connection(self._host, self._port, self._options)

    def path(self, name: str) -> str:
        """Return the path of a file on the server."""
        return self._path(name)

    def _path(self, name: str) -> str:
        return posixpath.join(self._folder, name)

    def _address(self, name: str) -> str:
        return f"{self.url}/{quote(name)}"

    def _try_remove(self, name: str) -> bool:
        with contextlib.suppress(OSError, RetryLater, TaskError):
            with self._connection.words():
                self._connection.open().remove(self._path(name))
            return True
        return False

    @contextlib.contextmanager
    def _words(self, doing: str, connection: Connection | None = None) -> Iterator[Any]:
        """Give a connected client to the body, and turn the server's errors into errors that say what to do next."""
        used = connection or self._connection
        try:
            with used.words():
                yield used.open()
        except OSError as error:
            raise self._understood(error, doing) from error

    def _understood(self, error: OSError, doing: str) -> Exception:
        if error.errno == errno.EACCES:
            return TaskError(
                f"{self._connection.name} does not allow this user to {doing} {self.url}. Ask its administrators for "
                "write permission there, or use another user."
            )
        if error.errno == errno.ENOENT:
            return RetryLater(f"A file in {self.url} no longer exists.")
        # OpenSSH reports a full disk only as "Failure".
        room = None
        with contextlib.suppress(RetryLater, TaskError, OSError):
            room = self._connection.room(self._folder)
        if doing == "write to" and room is not None and room.free < BLOCK:
            return self._too_small(room.free, None)
        return RetryLater(f"{self._connection.name} cannot {doing} {self.url} ({error}).")

    def _missing(self) -> TaskError:
        return TaskError(f"The folder {self.url} does not exist. Create it, or correct destination.")

    def _too_small(self, free: int, needed: int | None) -> TaskError:
        wanted = "and accepted no more bytes" if needed is None else f"but the image needs {in_words(needed)}"
        return StoreFull(
            f"{self.url} is full: {self._connection.name} has {in_words(free)} free there, {wanted}. Nothing was "
            "published. Free up space there, then run the same command again.",
            free_bytes=free,
            needed_bytes=needed,
        )


class _Sending:
    """Writes parts of a body into one file, each thread over its own connection."""

    def __init__(self, store: SftpStore, name: str, there: int, confirmed: set[int]) -> None:
        self._store = store
        self._confirmed = confirmed
        self._path = store.path(name)
        self._there = there
        self._lock = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._reading: Connection | None = None

    def has(self, part: Part) -> bool:
        """Return whether the server has the same bytes. All parts after the first that differs are sent again."""
        if part.offset + part.size > self._there:
            return False
        if part.offset in self._confirmed:
            return True
        if self._reading is None:
            self._reading = self._store.connect()
        hasher = hashlib.sha256()
        with self._store._words("read from", self._reading) as sftp, sftp.open(self._path, "rb") as handle:
            for block in _read(handle, part.offset, part.size):
                hasher.update(block)
        if hasher.digest() == part.digests["sha256"]:
            return True
        self._there = 0
        return False

    def send(self, part: Part) -> None:
        connection = self._connection()
        with self._store._words("write to", connection) as sftp, sftp.open(self._path, "r+") as handle:
            body = part.open()
            handle.MAX_REQUEST_SIZE = connection.write_size
            handle.seek(part.offset)
            handle.set_pipelined(True)
            left = part.size
            while left:
                block = body.read(min(BLOCK, left))
                left -= len(block)
                # The last write waits for all answers, else errors at the end would not be reported.
                handle.set_pipelined(left > 0)
                handle.write(block)
        self._confirmed.add(part.offset)

    def _connection(self) -> Connection:
        with self._lock:
            return self._connections.setdefault(threading.get_ident(), self._store.connect())

    def close(self) -> None:
        for connection in (*self._connections.values(), self._reading):
            if connection is not None:
                connection.close()


class _SftpLock(FolderLock):
    """A lock on one small file. Its age is by the server's clock, so another folder is created to compare with."""

    def __init__(self, store: SftpStore, name: str, sleep: Callable[[float], None]) -> None:
        super().__init__(sleep)
        self._store = store
        self._path = store.path(f".{name}.lock")
        self._now = store.path(part_name(name))

    @property
    def address(self) -> str:
        return f"{self._store.url}/{posixpath.basename(self._path)}"

    def age(self) -> float | None:
        with self._store._words("write to") as sftp:
            try:
                made = sftp.stat(self._path).st_mtime
            except FileNotFoundError:
                return None
            sftp.mkdir(self._now)
            now = sftp.stat(self._now).st_mtime
            sftp.rmdir(self._now)
        return max(0.0, float(now - made))

    def _make(self) -> bool:
        with self._store._words("write to") as sftp:
            try:
                sftp.mkdir(self._path)
            except PermissionError:
                raise
            except OSError as error:
                if error.errno is None:  # "Failure": it exists
                    return False
                raise
        return True

    def _remove(self) -> None:
        with self._store._words("write to") as sftp:
            sftp.rmdir(self._path)


def _is_file(attributes: Any) -> bool:
    return stat.S_ISREG(attributes.st_mode or 0)


def _read(handle: Any, start: int, size: int) -> Iterator[bytes]:
    """Read bytes of a remote file, requesting the next ones before they are needed."""
    handle.seek(start)
    while size > 0:
        block = handle.read(min(BLOCK, size))
        if not block:
            raise RetryLater("A file in the store became shorter while it was read.")
        size -= len(block)
        yield block
