# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Claims: note files beside the output of long operations, which identify leftovers as ours.

A lock on the file, not a process id, shows whether its operation is still running: the system releases the lock with
the last process that has the file open, however that process ends. The program that does the work (prlctl) inherits the
open file, so a claim stays held when the module is killed and the program runs on.

Only a file of this user is a claim (see ownership). Where the name is taken by another user's file, or others could
exchange the file, the claim is in a folder in the user's home instead.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from typing import Any, Callable, Optional

from .errors import TaskError
from .files import flush_file, flush_folder, try_to_remove
from .json_reader import read_json
from .ownership import Foreign, create, is_own, is_safe, open_own, own_folder, why_not_own
from .text import composed

_SCHEMA = 1
# Of the claims that cannot be beside their targets.
_ELSEWHERE = "~/.ansible/macops.parallels/claims"
# Attempts to make a file whose name others take and give back meanwhile.
_ATTEMPTS = 100


def claim_path(target: str) -> str:
    """Return the path of the claim for a file or folder, unless that is taken by another user."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.claim.json")


def _elsewhere(target: str) -> str:
    """Return the name of the claim in the folder that only this user can write to."""
    folder, name = os.path.split(os.path.abspath(target))
    place = composed(os.path.join(os.path.realpath(folder), name))
    return f"{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.claim.json"


def _places(target: str) -> tuple[str, str]:
    """Return where the claim may be. The first one counts if there are two."""
    return os.path.join(os.path.expanduser(_ELSEWHERE), _elsewhere(target)), claim_path(target)


def _find(target: str, flags: int = os.O_RDONLY) -> Optional[tuple[str, int]]:
    """Return the path and the descriptor of the claim of this user; None when there is none."""
    for path in _places(target):
        with contextlib.suppress(FileNotFoundError, Foreign):
            return path, open_own(path, flags)
    return None


def has_claim(target: str) -> bool:
    """Return whether a file or folder has a claim of this user, held or not."""
    return any(is_own(path) for path in _places(target))


def remove_claim(target: str) -> None:
    """Remove the claim for a file or folder, without taking it."""
    for path in _places(target):
        if is_own(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def foreign_claim(target: str) -> str:
    """Return a sentence about a file that looks like the claim, but does not count; empty when there is none."""
    path = claim_path(target)
    try:
        os.close(open_own(path))
    except Foreign as error:
        return f" The note {path} was ignored: {error.why}."
    except OSError:
        pass
    return ""


def read_claim(target: str) -> dict[str, Any]:
    """Return the notes in the claim for a file or folder, without holding it; empty when there is none."""
    found = _find(target)
    if found is None:
        return {}
    path, descriptor = found
    with os.fdopen(descriptor, "rb") as handle:
        return _parse(path, handle.read())


def is_claimed(target: str) -> bool:
    """Return whether somebody holds the claim for a file or folder, without taking it.

    The lock is shared, so two that ask at the same time do not take each other for a holder.
    """
    found = _find(target)
    if found is None:
        return False
    descriptor = found[1]
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise
    finally:
        os.close(descriptor)
    return False


def _parse(path: str, data: bytes) -> dict[str, Any]:
    """Return the notes in a claim. A claim without content was killed before anything was done under it."""
    if not data.strip():
        return {}
    try:
        # What follows the first line is the rest of an older, longer note: see Claim.write.
        content = read_json(data.split(b"\n", 1)[0])
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
        raise TaskError(
            f"{path} is not a readable note of this collection, so it does not show whether the files beside it are "
            "leftovers. Check the files of that name, remove those that are not needed, and remove this file.",
            path=path,
        )
    return {key: value for key, value in content.items() if key != "schema"}


class Claim:
    """A claim that this process holds, alone or shared. What an earlier, dead holder noted is in C(notes)."""

    def __init__(self, path: str, descriptor: int, durable: bool, shared: bool = False) -> None:
        self.path = path
        self._durable = durable
        self._shared = shared
        self.descriptor = descriptor
        self.notes = _parse(path, _read_all(descriptor))

    @classmethod
    def take(
        cls,
        target: str,
        *,
        wait: float = 0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        shared: bool = False,
    ) -> Claim:
        """Return the claim for a file or folder, made or taken over from a dead holder.

        Waits up to C(wait) seconds for a live holder to finish, then raises TaskError. Several processes can hold a
        C(shared) claim at once, see take_alone.
        """
        end = clock() + wait
        while True:
            claim = cls.take_if_free(target, shared=shared)
            if claim is not None:
                return claim
            if clock() >= end:
                raise TaskError(
                    f"Another run is working on {target} (its note is {_path_of(target)}). Wait until it has finished, "
                    "then run again.",
                    path=_path_of(target),
                )
            sleep(2)

    @classmethod
    def take_if_free(cls, target: str, *, durable: bool = True, shared: bool = False) -> Optional[Claim]:
        """Return the claim for a file or folder, made or taken over from a dead holder; None while its holder lives.

        Notes that need not survive a power cut are written faster when they are not C(durable).
        """
        found = _open_locked(target, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if found is None:
            return None
        path, descriptor = found
        try:
            return cls(path, descriptor, durable, shared)
        except BaseException:
            os.close(descriptor)
            raise

    def write(self, **notes: Any) -> None:
        """Replace the notes, so that a kill at any time leaves either the old or the new ones."""
        data = json.dumps({"schema": _SCHEMA, **notes}, sort_keys=True).encode("utf-8") + b"\n"
        os.pwrite(self.descriptor, data, 0)
        os.ftruncate(self.descriptor, len(data))
        if self._durable:
            flush_file(self.descriptor)
            flush_folder(os.path.dirname(self.path))
        self.notes = notes

    def note(self, **notes: Any) -> None:
        """Change some of the notes."""
        self.write(**{**self.notes, **notes})

    def take_alone(self) -> bool:
        """Make a shared claim one of this process alone, with its newest notes.

        Returns False, and no longer holds it, while others share it. So of several holders that call this when they
        have finished, the last one gets True.
        """
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = _is_same(self.path, self.descriptor)  # another one may have been the last, and removed it
        except BlockingIOError:
            alone = False
        if alone:
            self._shared = False
            self.notes = _parse(self.path, _read_all(self.descriptor))
        else:
            self.release()
        return alone

    def remove(self) -> None:
        """Remove the claim: nothing is left that it describes."""
        try:
            if _is_same(self.path, self.descriptor):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
        finally:
            self.release()

    def release(self) -> None:
        """Release the claim and leave its file in place; one without notes is removed, unless others may share it."""
        if self.descriptor < 0:
            return
        if not self.notes and not self._shared and _is_same(self.path, self.descriptor):
            try_to_remove(self.path)
        os.close(self.descriptor)
        self.descriptor = -1

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.release()


def _read_all(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _path_of(target: str) -> str:
    elsewhere, beside = _places(target)
    return elsewhere if is_own(elsewhere) else beside


def _open_locked(target: str, kind: int) -> Optional[tuple[str, int]]:
    """Return the path and descriptor of the locked claim file, made when it was not there; None while it is held."""
    while True:
        path, descriptor = _find_or_make(target)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise TaskError(
                f"The disk of {path} does not support file locks ({error.strerror}), which keep two runs from working "
                "on the same files. Use a folder on a local disk (image_work_dir in the playbooks, dest in the module "
                "vm).",
                path=path,
            ) from error
        # Its holder may have removed it while we waited for the lock, and two runs may just have made one each.
        if _is_same(path, descriptor) and not _is_second(target, path, descriptor):
            return path, descriptor
        os.close(descriptor)


def _find_or_make(target: str) -> tuple[str, int]:
    beside = claim_path(target)
    keeps_owner = True
    for _attempt in range(_ATTEMPTS):
        found = _find(target, os.O_RDWR)
        if found is not None:
            return found
        # What has the name is not ours, and what others can exchange would not stay ours.
        usable = keeps_owner and not os.path.lexists(beside) and is_safe(os.path.dirname(beside) or ".")
        path = beside if usable else os.path.join(own_folder(_ELSEWHERE), _elsewhere(target))
        with contextlib.suppress(FileExistsError):
            descriptor = create(path, 0o600, os.O_RDWR)
            if not why_not_own(path, os.fstat(descriptor)):
                return path, descriptor
            os.close(descriptor)
            try_to_remove(path)
            keeps_owner = False  # such as a share that gives all files to one user
    raise TaskError(f"The note {path} cannot be made: another file is in its place. Remove that, then run again.")


def _is_second(target: str, path: str, descriptor: int) -> bool:
    """Return whether a claim does not count, because there is another one: see _places."""
    elsewhere, beside = _places(target)
    if path == beside:
        return is_own(elsewhere)
    if os.fstat(descriptor).st_size or not (is_own(beside) and is_safe(os.path.dirname(beside) or ".")):
        return False
    try_to_remove(elsewhere)
    return True


def _is_same(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
