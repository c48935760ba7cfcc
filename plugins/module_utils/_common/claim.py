# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Claims: note files beside the output of long operations, which identify leftovers as ours.

A lock on the file, not a process id, shows whether its operation is still running: the system releases the lock with
the last process that has the file open, however that process ends. The program that does the work (prlctl) inherits the
open file, so a claim stays held when the module is killed and the program runs on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Callable, Optional

from .errors import TaskError
from .files import flush_file, flush_folder, try_to_remove
from .json_reader import read_json

_SCHEMA = 1


def claim_path(target: str) -> str:
    """Return the path of the claim for a file or folder."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.claim.json")


def read_claim(target: str) -> dict[str, Any]:
    """Return the notes in the claim for a file or folder, without holding it; empty when there is none."""
    path = claim_path(target)
    try:
        with open(path, "rb") as handle:
            return _parse(path, handle.read())
    except FileNotFoundError:
        return {}


def is_claimed(target: str) -> bool:
    """Return whether somebody holds the claim for a file or folder, without taking it.

    The lock is shared, so two that ask at the same time do not take each other for a holder.
    """
    try:
        descriptor = os.open(claim_path(target), os.O_RDONLY)
    except FileNotFoundError:
        return False
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
        path = claim_path(target)
        end = clock() + wait
        while True:
            claim = cls.take_if_free(target, shared=shared)
            if claim is not None:
                return claim
            if clock() >= end:
                raise TaskError(
                    f"Another run is working on {target} (its note is {path}). Wait until it has finished, then run "
                    "again.",
                    path=path,
                )
            sleep(2)

    @classmethod
    def take_if_free(cls, target: str, *, durable: bool = True, shared: bool = False) -> Optional[Claim]:
        """Return the claim for a file or folder, made or taken over from a dead holder; None while its holder lives.

        Notes that need not survive a power cut are written faster when they are not C(durable).
        """
        path = claim_path(target)
        descriptor = _open_locked(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if descriptor is None:
            return None
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


def _open_locked(path: str, kind: int) -> Optional[int]:
    """Return the open and locked claim file, made when it was not there; None when somebody else holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
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
        if _is_same(path, descriptor):
            return descriptor
        os.close(descriptor)  # its holder removed it while we waited for the lock: make a new one


def _is_same(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
