# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Upload sessions of Microsoft Graph, and the notes by which a later run resumes them after a kill.

A note counts on this machine only: imaging copies it to others, whose runs must not take over or cancel what this one
is still sending.

A session's address grants access to anyone who knows it. So it is kept in a file that only the user can read, and never
shown. The content of a session cannot be read before it is published. So the SHA-256 of its content is kept with the
address: it is recorded before the last byte of each range is sent, and compared with the file before a run resumes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Optional

from ..._common.claim import Claim
from ..._common.errors import TaskError
from ..._common.machine import known_machine, this_machine
from ..._common.ownership import own_folder

FOLDER = "~/.ansible/macops.parallels/uploads"
_OPERATION = "upload session"
_NOTE = re.compile(r"\.(?P<key>[0-9a-f]{32})\.claim\.json")


@dataclass
class Session:
    """A session and its content."""

    url: str = field(repr=False)
    overwrite: bool
    # When the store deletes it, in Graph's format.
    expires: str = ""
    # SHA-256 of the bytes before each offset that the session may have reached.
    digests: dict[int, str] = field(default_factory=lambda: {0: hashlib.sha256().hexdigest()})
    # A local ID, which stands for the session where the address must not be shown.
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    # The store created the file without the final request.
    published: bool = False
    # Other runs on this machine may find it when this run no longer holds the note.
    noted: bool = False

    def will_have(self, offset: int, digest: str) -> None:
        """Record the digest that the session has if the bytes before C(offset) arrive, which is not certain."""
        begun = max(each for each in self.digests if each < offset)
        self.digests = {begun: self.digests[begun], offset: digest}

    def notes(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "overwrite": self.overwrite,
            "expires": self.expires,
            "digests": {str(offset): digest for offset, digest in self.digests.items()},
        }

    @classmethod
    def of(cls, notes: dict[str, Any]) -> Optional[Session]:
        """Return the session in the notes; None when they contain none."""
        try:
            digests = {int(offset): str(digest) for offset, digest in notes["digests"].items()}
            return cls(str(notes["url"]), bool(notes["overwrite"]), str(notes["expires"]), digests)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


class SessionNotes:
    """The note about one upload on this machine. If it cannot be written, uploads work, but cannot be resumed."""

    def __init__(self, address: str) -> None:
        key = hashlib.sha256(address.encode()).hexdigest()[:32]
        self._target = os.path.join(os.path.expanduser(FOLDER), key)
        self._claim: Optional[Claim] = None

    def take(self) -> bool:
        """Hold the note; return False when another run holds it, which then owns the session."""
        if self._claim is not None:
            return True
        try:
            own_folder(FOLDER)
            self._claim = Claim.take_if_free(self._target, durable=False)
        except (OSError, TaskError):
            return True
        return self._claim is not None

    def session(self) -> Optional[Session]:
        """Return the session that an earlier run on this machine has left."""
        machine = known_machine()
        if self._claim is None or machine is None or self._claim.notes.get("machine") != machine:
            return None
        return Session.of(self._claim.notes)

    def is_of(self, marks: Sequence[str]) -> bool:
        """Return whether that session is for a file with one of these marks."""
        known = self._claim.notes.get("marks") if self._claim is not None else None
        return isinstance(known, list) and any(mark in known for mark in marks)

    def keep(self, session: Session, marks: Iterable[str]) -> None:
        """Write down a session and its progress."""
        if self._claim is not None:
            with contextlib.suppress(OSError):
                session.noted = True
                self._claim.write(operation=_OPERATION, machine=this_machine(), marks=list(marks), **session.notes())

    def forget(self) -> None:
        """Write down that the session no longer exists. The note stays ours."""
        if self._claim is not None:
            with contextlib.suppress(OSError):
                self._claim.write()

    def release(self) -> None:
        """Release the note; remove it if it contains no session."""
        claim, self._claim = self._claim, None
        if claim is not None:
            if Session.of(claim.notes) is None:
                claim.remove()
            else:
                claim.release()


def remove_expired(now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
    """Remove the notes about expired sessions."""
    folder = os.path.expanduser(FOLDER)
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            found = _NOTE.fullmatch(entry)
            if found:
                _remove_if_expired(os.path.join(folder, found["key"]), now())


def _remove_if_expired(target: str, now: datetime) -> None:
    with contextlib.suppress(TaskError):
        claim = Claim.take_if_free(target, durable=False)
        if claim is None:
            return
        session = Session.of(claim.notes)
        ends = _time(session.expires) if session is not None else None
        if session is None or (ends is not None and ends < now):
            claim.remove()
        else:
            claim.release()


def _time(text: str) -> Optional[datetime]:
    """Return a time in Graph's format, whose seconds have any number of digits."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    return datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc) if found else None
