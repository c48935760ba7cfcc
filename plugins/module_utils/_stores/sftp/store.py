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
    replaced_name,
    version_of,
    version_of_file,
)
from ..body import Body, Content
from ..folder_lock import FolderLock
from ..parts import Part, send_parts
from ..temporary_names import TemporaryNames
from .connection import DEFAULT_PORT, Connection, is_of_wire

PART_SIZE = 32 * 1024 * 1024
# One connection fills an office line. More only help with high latency: a server accepts at most 2 MiB ahead.
CONCURRENCY = 1
# The web server reads the files as another user.
_MODE = 0o644
# What is written to test a server, and what it has after two bytes were replaced and one was added.
_PROBE, _CONTINUED = b"ab-", b"abcd"


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
        self._names = TemporaryNames()
        # False where the server has no posix-rename@openssh.com, which replaces a file atomically.
        self._replaces = True
        # False where the server reported no free space although it took a file.
        self._tells_room = True
        # Offsets of the parts that the server has confirmed in this run: with a connection that is lost often, the
        # upload would never finish if all of them were read back each time.
        self._confirmed: set[int] = set()

    # Asking

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        with self._words("access") as sftp:
            self._require_folder(sftp)
            if self._is_folder(sftp, name):
                raise TaskError(f"{self._address(name)} is a folder. Choose another name.")
            if write:
                self._remove_useless(sftp, name, content, notice)
                self._probe(sftp, name)
                if self._left is not None and not self.resumes:
                    self._remove_and_tell([self._left.name], notice)
                    self._left = None
        while self._connection.notes:
            notice(self._connection.notes.pop())
        room = self._room()
        self._tells_room = bool(room)
        needed = content.size - (self._left.size if self._left else 0)
        if room and room < needed:
            raise self._too_small(room, needed)

    def _require_folder(self, sftp: Any) -> None:
        """Raise TaskError if the folder does not exist: its files are unknown then, in contrast to a missing file."""
        try:
            folder = sftp.stat(self._folder)
        except FileNotFoundError:
            raise self._missing() from None
        if folder.st_mode is not None and not stat.S_ISDIR(folder.st_mode):
            raise TaskError(f"{self.url} is not a folder. Correct destination.")

    def _is_folder(self, sftp: Any, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISDIR(sftp.stat(self._path(name)).st_mode or 0)
        return False

    def _remove_useless(self, sftp: Any, name: str, content: Content, notice: Notice) -> None:
        """Remove what killed runs have left, except what can be resumed."""
        files = self._files(sftp, [each for each in sftp.listdir_attr(self._folder) if is_internal(each.filename)])
        self._left, useless = left_parts(files, name, content)
        self._remove_and_tell(useless, notice)
        if any(each.name in _replaced_names(name) for each in files):
            self._restore(sftp, name)

    def _remove_and_tell(self, names: list[str], notice: Notice) -> None:
        for found in names:
            if self._try_remove(found):
                notice(removed(self._address(found)))

    def _probe(self, sftp: Any, name: str) -> None:
        """Write, rename, replace and remove a tiny file: a server may refuse what the permissions allow.

        Some servers refuse names with a leading dot; some take a file only from its first byte to its last, as those in
        front of an object store do; some cannot replace a file.
        """
        self._names.find_out(lambda: self._try_names(sftp, name), _is_refusal)

    def _try_names(self, sftp: Any, name: str) -> None:
        first, second = self._names.part(name), self._names.part(name)
        try:
            self._create(sftp, first, _PROBE)
            self.resumes = self._continues(sftp, first)
            sftp.rename(self._path(first), self._path(second))
            self._create(sftp, first, _CONTINUED + _PROBE)
            self._require_replacing(sftp, first, second)
        finally:
            self._try_remove(first)
            for each in (second, *_replaced_names(second)):
                self._try_remove(each)

    def _require_replacing(self, sftp: Any, new: str, old: str) -> None:
        try:
            self._give_name(sftp, new, old)
            refusal = "" if sftp.stat(self._path(old)).st_size == len(_CONTINUED + _PROBE) else "the old file stayed"
        except OSError as error:
            if is_of_wire(error):
                raise
            refusal = str(error)
        if refusal:
            raise TaskError(
                f"{self._connection.name} cannot replace a file in {self.url} ({refusal}), which the catalog requires. "
                "Ask its administrators to allow this user to rename and remove files there, or use another store."
            )

    def _create(self, sftp: Any, name: str, data: bytes) -> None:
        with sftp.open(self._path(name), "wx") as handle:
            handle.write(data)
        if sftp.stat(self._path(name)).st_size != len(data):
            raise OSError(f"{self._connection.name} stores other bytes than it gets")

    def _continues(self, sftp: Any, name: str) -> bool:
        """Return whether the server writes at an offset in a file."""
        try:
            with sftp.open(self._path(name), "r+") as handle:
                handle.seek(len(_PROBE) - 1)
                handle.write(_CONTINUED[len(_PROBE) - 1 :])
            with sftp.open(self._path(name), "rb") as handle:
                return bool(handle.read() == _CONTINUED)
        except OSError as error:
            if is_of_wire(error):
                raise
            return False

    def can_resume(self, name: str, write: bool) -> bool | None:
        return self.resumes if write or self._connection.is_openssh else None

    def _settle(self, name: str) -> None:
        """Find out which temporary names the server accepts, if that is not known. Other errors are found later."""
        if self._names.known:
            return

        def attempt() -> None:
            part = self._names.part(name)
            try:
                self._create(sftp, part, _PROBE)
            finally:
                self._try_remove(part)

        with self._words("write to") as sftp:
            try:
                self._names.find_out(attempt, _is_refusal)
            except OSError as error:
                if is_of_wire(error):
                    raise

    def _room(self) -> int | None:
        with self._words("access"):
            room = self._connection.room(self._folder)
        return room.free if room is not None else None

    def look(self, name: str) -> Stored | None:
        with self._words("access") as sftp:
            found = self._first_there(name, sftp.stat)
            if found is None:
                self._require_folder(sftp)
                return None
        if found.st_size is None:
            raise self._odd(name)
        return Stored(name, found.st_size, version=f"{found.st_mtime}-{found.st_size}")

    def _first_there(self, name: str, ask: Callable[[str], Any]) -> Any:
        """Return the answer for a file, or for the old one while it is replaced; None if there is neither."""
        for each in (name, *_replaced_names(name)):
            try:
                return ask(self._path(each))
            except OSError as error:
                # A name that the server refuses is not there either.
                if is_of_wire(error) or (each == name and not isinstance(error, FileNotFoundError)):
                    raise
        return None

    # Sending

    def resumable(self, name: str, body: Body) -> Partial | None:
        if self._left is not None:
            own = self._names.part(name, body.content)
            with self._words("write to") as sftp, contextlib.suppress(FileNotFoundError):  # another run was faster
                sftp.rename(self._path(self._left.name), self._path(own))
                self._own = own
            self._left = None
        if self._own is None or not is_part_of(self._own, name, body.content):
            return None
        found = self.look(self._own)
        return Partial(self._own, found.size) if found is not None else None

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        part = self._own = after.name if after else self._names.part(name, body.content)
        if after is None:
            self._confirmed.clear()
        sending = _Sending(self, part, after.size if after else 0, self._confirmed)
        try:
            if self.resumes:
                with self._words("write to") as sftp:
                    sftp.open(self._path(part), "r+" if after else "wx").close()
                resumed_from = send_parts(
                    body, self._part_size, self._concurrency, sending.send, sending.has, ("sha256",) if after else ()
                )
            else:
                resumed_from = sending.send_in_order(body)
            found = self.look(part)
            with self._words("write to") as sftp:
                if found is not None and found.size > body.size:
                    sftp.truncate(self._path(part), body.size)
                    found = self.look(part)
                self._set_mode(sftp, part)
            if found is None or found.size != body.size:
                raise RetryLater(f"{self._host} stored {found.size if found else 0} of {body.size} bytes.")
        except BaseException as error:
            if isinstance(error, StoreFull) or not self.resumes or not is_worth_keeping(error):
                self._try_remove(part)
                self._own = None
            raise
        finally:
            sending.close()
        return Sent(part, body.size, resumed_from)

    def _set_mode(self, sftp: Any, name: str) -> None:
        with contextlib.suppress(OSError):  # the server may insist on its own mode
            sftp.chmod(self._path(name), _MODE)

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        part, final = self._path(sent.name), self._path(name)
        with self._words("write to") as sftp:
            if overwrite:
                self._give_name(sftp, sent.name, name)
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

    def _give_name(self, sftp: Any, part: str, name: str) -> None:
        """Rename a file, replacing another one: atomically if the server can, with posix-rename or its own rename.

        Else the old file gets another name first, and keeps it until the new one has its own. Readers of this
        collection, and the next run after one that was killed, find it there.
        """
        part_path, final = self._path(part), self._path(name)
        if self._replaces and self._has_renamed(sftp, sftp.posix_rename, part_path, final):
            return
        self._restore(sftp, name)
        if self._has_renamed(sftp, sftp.rename, part_path, final):
            return
        if self._is_folder(sftp, name):
            raise TaskError(f"{self._address(name)} is a folder. Remove it, or choose another name.")
        old = self._path(replaced_name(name, self._names.hidden))
        sftp.rename(final, old)
        try:
            sftp.rename(part_path, final)
        except BaseException:
            with contextlib.suppress(OSError):
                sftp.rename(old, final)
            raise
        self._replaces = False
        sftp.remove(old)

    @staticmethod
    def _has_renamed(sftp: Any, rename: Callable[[str, str], None], part: str, final: str) -> bool:
        try:
            rename(part, final)
        except OSError as error:
            if is_of_wire(error) or not _exists(sftp, part):
                raise
            return False
        return True

    def _restore(self, sftp: Any, name: str) -> None:
        """Clean up after a replacement that was interrupted: one of the two files is whole and has its name."""
        for each in self._left_by_replacing(sftp, name):
            if _exists(sftp, self._path(name)):
                sftp.remove(self._path(each))
            else:
                sftp.rename(self._path(each), self._path(name))

    def _left_by_replacing(self, sftp: Any, name: str) -> list[str]:
        found = []
        for each in _replaced_names(name):
            try:
                if _exists(sftp, self._path(each)):
                    found.append(each)
            except OSError as error:  # a name that the server refuses is not there either
                if is_of_wire(error):
                    raise
        return found

    def discard(self, sent: Sent) -> None:
        self._try_remove(sent.name)

    # Reading

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        with self._words("read from") as sftp:
            size = sftp.stat(self._path(name)).st_size
            if size is None:
                raise self._odd(name)
            with sftp.open(self._path(name), "rb") as handle:
                yield from _read(handle, start, size - start)

    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        with self._words("read from") as sftp:
            handle = self._first_there(name, lambda path: sftp.open(path, "rb"))
            if handle is None:
                self._require_folder(sftp)
                return None
            with handle:
                data = handle.read(limit + 1)
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
            except PermissionError as error:
                raise CannotList(self._forbidden("access").message) from error
            files = self._files(sftp, [each for each in found if not is_internal(each.filename)])
        return sorted(files, key=lambda each: each.name)

    def _files(self, sftp: Any, found: list[Any]) -> list[Stored]:
        """Return the files among the entries of a listing, which may be links or lack what a lookup shows."""
        files = []
        for each in found:
            attributes = each
            if each.st_mode is None or each.st_size is None or stat.S_ISLNK(each.st_mode):
                try:
                    attributes = sftp.stat(self._path(each.filename))
                except FileNotFoundError:
                    continue
                if attributes.st_mode is None or attributes.st_size is None:
                    raise self._odd(each.filename)
            if stat.S_ISREG(attributes.st_mode):
                files.append(Stored(each.filename, attributes.st_size))
        return files

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
        self._settle(name)
        lock = _SftpLock(self, name, self._names, self._sleep)
        with lock.held():
            if self._version(name) != if_version or lock.is_lost():
                raise Conflict(name)
            self._replace(name, data)

    def _version(self, name: str) -> str | None:
        """Return the version that C(read) would return; the file may be as large as any limit."""
        with self._words("read from") as sftp:
            handle = self._first_there(name, lambda path: sftp.open(path, "rb"))
            if handle is None:
                return None
            with handle:
                return version_of_file(handle)

    def _replace(self, name: str, data: bytes) -> None:
        self._settle(name)
        part = self._names.part(name)
        try:
            with self._words("write to") as sftp:
                with sftp.open(self._path(part), "wx") as handle:
                    handle.write(data)
                self._set_mode(sftp, part)
                self._give_name(sftp, part, name)
        except BaseException:
            self._try_remove(part)
            raise

    def delete(self, name: str) -> bool:
        with self._words("delete from") as sftp:
            # All of them: else the old file would come back.
            found = self._left_by_replacing(sftp, name)
            for each in (*found, name):
                with contextlib.suppress(FileNotFoundError):
                    sftp.remove(self._path(each))
                    found.append(each)
            if not found:
                self._require_folder(sftp)
        return bool(found)

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
            return self._forbidden(doing)
        # Not every server says "No such file" for a file in a folder that does not exist.
        with contextlib.suppress(RetryLater, OSError), self._connection.words():
            try:
                self._require_folder(self._connection.open())
            except TaskError as missing:
                return missing
        if error.errno == errno.ENOENT:
            return RetryLater(f"A file in {self.url} no longer exists.")
        # OpenSSH reports a full disk only as "Failure".
        room = None
        with contextlib.suppress(RetryLater, TaskError, OSError):
            room = self._connection.room(self._folder)
        if doing == "write to" and self._tells_room and room is not None and room.free < BLOCK:
            return self._too_small(room.free, None)
        return RetryLater(f"{self._connection.name} cannot {doing} {self.url} ({error}).")

    def _forbidden(self, doing: str) -> TaskError:
        return TaskError(
            f"{self._connection.name} does not allow this user to {doing} {self.url}. Ask its administrators for "
            "write permission there, or use another user."
        )

    def _odd(self, name: str) -> TaskError:
        return TaskError(
            f"{self._connection.name} does not report the type and size of {self._address(name)}, so nothing is known "
            "about it. Ask its administrators, or use another store."
        )

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

    def send_in_order(self, body: Body) -> int:
        """Write a body through one handle from its first byte to its last, for servers that take it only so."""
        body.rewind()
        connection = self._store._connection
        with self._store._words("write to") as sftp, sftp.open(self._path, "wx") as handle:
            handle.MAX_REQUEST_SIZE = connection.write_size
            handle.set_pipelined(True)
            for block in iter(lambda: body.read(BLOCK), b""):
                handle.set_pipelined(body.offset < body.size)
                handle.write(block)
        return 0

    def _connection(self) -> Connection:
        with self._lock:
            return self._connections.setdefault(threading.get_ident(), self._store.connect())

    def close(self) -> None:
        for connection in (*self._connections.values(), self._reading):
            if connection is not None:
                connection.close()


class _SftpLock(FolderLock):
    """A lock on one small file. Its age is by the server's clock, so another folder is created to compare with."""

    def __init__(self, store: SftpStore, name: str, names: TemporaryNames, sleep: Callable[[float], None]) -> None:
        super().__init__(sleep)
        self._store = store
        self._file = name
        self._names = names
        self._path = store.path(names.lock(name))

    @property
    def address(self) -> str:
        return f"{self._store.url}/{posixpath.basename(self._path)}"

    def age(self) -> float | None:
        with self._store._words("write to") as sftp:
            try:
                made = sftp.stat(self._path).st_mtime
            except FileNotFoundError:
                return None
            return max(0.0, self._now(sftp) - made)

    def _now(self, sftp: Any) -> float:
        path = self._store.path(self._names.part(self._file))
        sftp.mkdir(path)
        now = sftp.stat(path).st_mtime
        sftp.rmdir(path)
        return float(now)

    def _make(self) -> bool:
        with self._store._words("write to") as sftp:
            return self._make_folder(sftp, self._path)

    @staticmethod
    def _make_folder(sftp: Any, path: str) -> bool:
        try:
            sftp.mkdir(path)
        except OSError as error:
            if error.errno is None:  # "Failure": it exists
                return False
            raise
        return True

    def _remove(self) -> None:
        with self._store._words("write to") as sftp, contextlib.suppress(FileNotFoundError):
            sftp.rmdir(self._path)

    def _marks(self) -> dict[str, float]:
        with self._store._words("write to") as sftp:
            try:
                found = sftp.listdir_attr(self._path)
            except FileNotFoundError:
                return {}
            now = self._now(sftp) if found else 0.0
        return {each.filename: max(0.0, now - (each.st_mtime or now)) for each in found}

    def _make_mark(self, mark: str) -> bool:
        with self._store._words("write to") as sftp:
            try:
                return self._make_folder(sftp, posixpath.join(self._path, mark))
            except FileNotFoundError:  # the lock was removed
                return False

    def _remove_mark(self, mark: str) -> bool:
        with self._store._words("write to") as sftp:
            try:
                sftp.rmdir(posixpath.join(self._path, mark))
            except FileNotFoundError:
                return False
        return True

    def _rename_away(self, mark: str) -> bool:
        away = self._store.path(self._names.part(self._file))
        with self._store._words("write to") as sftp:
            try:
                sftp.rename(posixpath.join(self._path, mark), away)
            except FileNotFoundError:
                return False
            sftp.rmdir(away)
        return True


def _replaced_names(name: str) -> tuple[str, str]:
    return replaced_name(name), replaced_name(name, hidden=False)


def _exists(sftp: Any, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, OSError) and not is_of_wire(error)


def _read(handle: Any, start: int, size: int) -> Iterator[bytes]:
    """Read bytes of a remote file, requesting the next ones before they are needed."""
    handle.seek(start)
    while size > 0:
        block = handle.read(min(BLOCK, size))
        if not block:
            raise RetryLater("A file in the store became shorter while it was read.")
        size -= len(block)
        yield block
