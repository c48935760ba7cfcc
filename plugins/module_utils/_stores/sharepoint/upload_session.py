# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Upload sessions of Microsoft Graph, and what is kept of them for a run that goes on after a kill.

A session's address opens the session for whoever knows it, so it is kept in a file that only the user can read, and
never shown. What a session has cannot be read before it is published. So with its address goes the SHA-256 of what it
has: noted before the last byte of each range goes out, and compared with the file before anything is sent after it.
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

FOLDER = "~/.ansible/macops.parallels/uploads"
_OPERATION = "upload session"
_NOTE = re.compile(r"\.(?P<key>[0-9a-f]{32})\.claim\.json")


@dataclass
class Session:
    """A session, and what it has."""

    url: str = field(repr=False)
    overwrite: bool
    # When the store throws it away, as Graph writes it.
    expires: str = ""
    # SHA-256 of the bytes before an offset, of the offsets at which the session may be.
    digests: dict[int, str] = field(default_factory=lambda: {0: hashlib.sha256().hexdigest()})
    # Known only here: it stands for the session where the address must not be seen.
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    # The store made the file of it without being told to.
    published: bool = False
    # Other runs on this machine may find it, once this one does not hold the note.
    noted: bool = False

    def will_have(self, offset: int, digest: str) -> None:
        """Note what the session has once the bytes before C(offset) have arrived, which they may do or not."""
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
        """Return the session that notes tell about; None for what is none."""
        try:
            digests = {int(offset): str(digest) for offset, digest in notes["digests"].items()}
            return cls(str(notes["url"]), bool(notes["overwrite"]), str(notes["expires"]), digests)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


class SessionNotes:
    """The note about one upload on this machine. Without a disk that takes it, an upload works, and begins anew."""

    def __init__(self, address: str) -> None:
        key = hashlib.sha256(address.encode()).hexdigest()[:32]
        self._target = os.path.join(os.path.expanduser(FOLDER), key)
        self._claim: Optional[Claim] = None

    def take(self) -> bool:
        """Hold the note; return False when another run does, which then has the session that it tells about."""
        if self._claim is not None:
            return True
        try:
            os.makedirs(os.path.dirname(self._target), mode=0o700, exist_ok=True)
            self._claim = Claim.take_if_free(self._target, durable=False)
        except (OSError, TaskError):
            return True
        return self._claim is not None

    def session(self) -> Optional[Session]:
        """Return the session that an earlier run has left."""
        return Session.of(self._claim.notes) if self._claim is not None else None

    def is_of(self, marks: Sequence[str]) -> bool:
        """Return whether that session is for a file with one of these marks."""
        known = self._claim.notes.get("marks") if self._claim is not None else None
        return isinstance(known, list) and any(mark in known for mark in marks)

    def keep(self, session: Session, marks: Iterable[str]) -> None:
        """Write down a session, or how far it is."""
        if self._claim is not None:
            with contextlib.suppress(OSError):
                session.noted = True
                self._claim.write(operation=_OPERATION, marks=list(marks), **session.notes())

    def forget(self) -> None:
        """Write down that there is no session any more. The note stays ours."""
        if self._claim is not None:
            with contextlib.suppress(OSError):
                self._claim.write()

    def release(self) -> None:
        """Let go of the note; one without a session is taken away."""
        claim, self._claim = self._claim, None
        if claim is not None:
            if Session.of(claim.notes) is None:
                claim.remove()
            else:
                claim.release()


def remove_expired(now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
    """Remove the notes about sessions that the store has thrown away by now."""
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
    """Return the time that Graph writes, whose seconds have any number of digits."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    return datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc) if found else None
