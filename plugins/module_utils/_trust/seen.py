# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Notes of the newest catalog that was verified on this host, by which an old one with its old signature is noticed.

There is one note for each store, in the home folder of the account that verifies. It keeps the highest serial number of
each signer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.files import atomic_write
from .._common.json_reader import read_json
from .._common.machine import FOLDER
from .._common.ownership import create, open_own, own_folder, read_own
from .._common.retry import spread

_SCHEMA = 1
_FOLDER = "seen"
# Larger notes are not ours.
_LARGEST = 64 * 1024
# Serial numbers are counted up by one, so no honest catalog comes near it.
LARGEST_SERIAL = 2**53
# Seconds for which another run may be writing its note.
_WAIT = 30.0
_POLL = 0.05
_PRIVATE = 0o600


def is_serial(value: object) -> bool:
    """Return whether a value can be the serial number of a catalog."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SERIAL


class Seen:
    """The note on one store.

    Raises TaskError when the note exists but cannot be read or understood: that is not a first sight.
    """

    def __init__(self, identity: str, *, writes: bool = True, sleep: Callable[[float], None] = time.sleep) -> None:
        """With C(writes) false (check mode), the note is compared but not changed."""
        self._identity = identity
        self._writes = writes
        self._sleep = sleep
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        self.path = os.path.join(os.path.expanduser(FOLDER), _FOLDER, f"{name}.json")

    def highest(self) -> Optional[dict[str, Any]]:
        """Return C(signer), C(serial) and C(signed_at) of the newest catalog that was seen; None at the first sight."""
        signers = self._read()["signers"]
        return max(
            ({"signer": signer, **entry} for signer, entry in signers.items()),
            key=lambda entry: entry["serial"],
            default=None,
        )

    def floor(self) -> int:
        """Return the highest serial number that was ever seen, those before a rollback was accepted among them."""
        return int(self._read()["floor"])

    def keep(self, signer: str, serial: int, signed_at: str) -> None:
        """Note a catalog that was verified, unless a newer one of its signer is noted."""

        def kept(note: dict[str, Any]) -> None:
            if note["signers"].get(signer, {"serial": 0})["serial"] < serial:
                note["signers"][signer] = {"serial": serial, "signed_at": signed_at}

        known = self._read()["signers"].get(signer, {"serial": 0})["serial"]
        if known < serial:
            self._change(kept)

    def accept(self, signer: str, serial: int, signed_at: str) -> None:
        """Note an older catalog in place of all that were seen. Without a signer, note that there is none."""

        def accepted(note: dict[str, Any]) -> None:
            note["signers"] = {signer: {"serial": serial, "signed_at": signed_at}} if signer else {}

        self._change(accepted)

    def _change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        if not self._writes:
            return
        try:
            own_folder(os.path.join(FOLDER, _FOLDER))
            with self._lock():
                note = self._read()
                edit(note)
                serials = [entry["serial"] for entry in note["signers"].values()]
                note["floor"] = max([note["floor"], *serials])
                content = {"schema": _SCHEMA, "store": self._identity, **note}
                atomic_write(self.path, (json.dumps(content, sort_keys=True) + "\n").encode(), _PRIVATE)
        except OSError as error:
            raise self._unusable(f"cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the lock of this note, so that of several runs that verify at the same time none lowers it."""
        path = f"{self.path}.lock"
        try:
            descriptor = create(path, _PRIVATE, os.O_RDWR)
        except FileExistsError:
            descriptor = open_own(path, os.O_RDWR)
        try:
            end = time.monotonic() + _WAIT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EWOULDBLOCK, errno.EACCES) or time.monotonic() >= end:
                        raise
                self._sleep(spread(_POLL))
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, Any]:
        """Return C(signers) and C(floor) of the note, empty when there is none."""
        try:
            data = read_own(self.path, _LARGEST)
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from error
        if data is None:
            return {"signers": {}, "floor": 0}
        try:
            note = read_json(data)
        except ValueError as error:
            raise self._unusable(f"is damaged ({error})") from error
        if not _is_note(note) or note["store"] != self._identity:
            raise self._unusable("is not a note about this store")
        return {"signers": dict(note["signers"]), "floor": note["floor"]}

    def _unusable(self, why: str) -> TaskError:
        return TaskError(
            f"Whether the catalog of {self._identity} is older than the last one that was verified on this host is not "
            f"known: the note {self.path} {why}. Restore the note or correct its owner and mode. Remove it only if you "
            "know that the catalog is the newest one.",
            path=self.path,
        )


def _is_note(note: Any) -> bool:
    return (
        isinstance(note, Mapping)
        and note.get("schema") == _SCHEMA
        and isinstance(note.get("store"), str)
        and isinstance(note.get("floor"), int)
        and not isinstance(note["floor"], bool)
        and 0 <= note["floor"] <= LARGEST_SERIAL
        and isinstance(note.get("signers"), Mapping)
        and all(_is_entry(entry) for entry in note["signers"].values())
    )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping)
        and set(entry) == {"serial", "signed_at"}
        and is_serial(entry["serial"])
        and isinstance(entry["signed_at"], str)
    )
