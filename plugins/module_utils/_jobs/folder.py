# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The files of a job: its progress, who still polls it, and finally its answer.

The lock on its claim (_common.claim), which lies beside its folder, shows whether a job is running. The claim says what
the job is, the folder contains its reports. The action plugin on the controller reads C(progress.json) and writes
C(lease) with plain shell commands, so their names and formats are fixed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from typing import Any, Optional

from .._common.claim import Claim, claim_path, is_claimed, read_claim, remove_claim
from .._common.errors import TaskError
from .._common.files import atomic_write
from .._common.ownership import Foreign, is_own, open_own, own_folder, read_own, why_not_own, write_new, write_own

ROOT = "~/.ansible/macops.parallels/jobs"
# A run that watches a job polls it at least this often, in seconds.
ASKED_WITHIN = 30.0
# Bytes that are reserved for the answer.
RESERVE = 256 * 1024
# Bytes of a report of a job, and of an answer, that are read at most.
_LARGEST_REPORT = 1024 * 1024
_LARGEST_ANSWER = 256 * 1024 * 1024
# Seconds for which a fetched answer is kept, for a run that lost the connection while it fetched the answer.
KEPT_AFTER_FETCH = 60.0
# Seconds for which an unfetched answer is kept: a lost playbook does not lose finished work.
KEPT_UNFETCHED = 7 * 24 * 3600.0


@dataclass(frozen=True)
class JobState:
    """The state of a job as others see it."""

    id: str
    module: str
    # The name of the VM or image that is worked on, if the job has reported it.
    subject: str
    # When it began, in seconds since 1970.
    started: float
    running: bool
    # Whether it finished and left an answer; False for one that is running, and for one that was killed. None if its
    # note cannot be read.
    ended: Optional[bool]
    # Whether a playbook has polled it recently.
    watched: bool
    # See _common.progress.Meter.reading; empty when nothing was reported.
    progress: dict[str, Any]
    folder: JobFolder


class JobFolder:
    """The files of one job."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.progress = os.path.join(path, "progress.json")
        self.lease = os.path.join(path, "lease")
        self.answer = os.path.join(path, "answer")
        self.errors = os.path.join(path, "errors")
        self._reserve = os.path.join(path, "reserve")
        self._ended = os.path.join(path, "ended.json")
        self._canceled = os.path.join(path, "canceled")
        self._fetched = os.path.join(path, "fetched")
        self._private = os.path.join(path, "private.json")

    @classmethod
    def of(cls, key: str) -> JobFolder:
        """Return the folder for the work with this key, in a root that only the user can read."""
        return cls(os.path.join(own_folder(ROOT), key))

    @property
    def module(self) -> str:
        """The module that does the work: the key begins with its name."""
        return os.path.basename(self.path).rpartition("-")[0]

    def take(self) -> Optional[Claim]:
        """Return the claim on the job, None while it runs. One that a power cut has damaged is replaced."""
        try:
            return Claim.take_if_free(self.path, durable=False)
        except TaskError:
            remove_claim(self.path)
            return Claim.take_if_free(self.path, durable=False)

    def is_claimed(self) -> bool:
        """Return whether somebody holds the claim: the job while it runs, others only for a moment."""
        return is_claimed(self.path)

    def notes(self) -> dict[str, Any]:
        """Return C(id) and C(started) of the last job that was started; empty for a claim that is damaged."""
        try:
            return read_claim(self.path)
        except TaskError:
            return {}

    def create(self, token: str) -> None:
        """Create an empty folder, attended by C(token)."""
        self.remove()
        os.mkdir(self.path, 0o700)
        write_new(self._reserve, os.urandom(RESERVE))  # random, so that no file system can compress it
        self.attend(token)

    def make_room(self) -> None:
        """Free the space that is reserved for the answer: work that fails because the disk is full has to report it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._reserve)

    def exists(self) -> bool:
        """Return whether there is a folder of this user: another user may have put one in its place."""
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISDIR(status.st_mode) and not why_not_own(self.path, status)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def attend(self, token: str) -> None:
        """Note that C(token) waits for the job."""
        with contextlib.suppress(FileNotFoundError):
            write_own(self.lease, token.encode())

    def attendance(self) -> tuple[str, int]:
        """Return who polled last, and when: the time changes with each poll."""
        try:
            with os.fdopen(open_own(self.lease), encoding="utf-8", errors="replace") as handle:
                return handle.read(_LARGEST_REPORT).strip(), os.fstat(handle.fileno()).st_mtime_ns
        except (FileNotFoundError, Foreign):
            return "", 0

    def is_watched(self, by_others_than: str = "") -> bool:
        """Return whether a run other than C(by_others_than) has polled recently."""
        token, seen = self.attendance()
        return bool(seen) and token != by_others_than and time.time() - seen / 1e9 < ASKED_WITHIN

    def tell(self, told: dict[str, Any]) -> str:
        """Write the progress. Readers find the old or the new text; it need not survive a power cut.

        Return why it could not be written; empty if it was.
        """
        return self._write(self.progress, told)

    def told(self) -> dict[str, Any]:
        return _read_json(self.progress)

    def cancel(self) -> None:
        """Stop the job, no matter who watches it."""
        with contextlib.suppress(FileNotFoundError):
            write_own(self._canceled, b"")

    def is_canceled(self) -> bool:
        return is_own(self._canceled)

    def end(self, code: int) -> None:
        """Note that the answer is complete."""
        self._write(self._ended, {"code": code, "at": time.time()})

    def ended(self) -> dict[str, Any]:
        """Return C(code) and C(at) of a job that has finished; empty for others, and where that cannot be read."""
        ended = _read_json(self._ended)
        numbers = (ended.get("code"), ended.get("at"))
        return ended if all(isinstance(number, (int, float)) for number in numbers) else {}

    def end_is_unclear(self) -> bool:
        """Return whether it is not known how a job ended that is not running.

        After a power cut, the note of its end may be cut off; on a full disk, a job can answer and not note its end.
        """
        if self.ended():
            return False
        try:
            answered = os.lstat(self.answer).st_size > 0
        except OSError:
            answered = False
        return answered or os.path.lexists(self._ended)

    def how_it_ended(self) -> str:
        """Return why a job that is not running has no answer, as the end of a sentence that begins with the job."""
        if self.end_is_unclear():
            what = "cannot be read" if os.path.lexists(self._ended) else "was not written"
            return f"has ended, but it is not known how: {self._ended} {what}"
        return "was killed in the middle of its work"

    def answered(self) -> dict[str, Any]:
        """Return the answer of a job that has ended, as far as it can be read."""
        return _read_json(self.answer, _LARGEST_ANSWER)

    def output(self, path: str) -> bytes:
        """Return what the job has written to its C(answer) or C(errors)."""
        return read_own(path, _LARGEST_ANSWER) or b""

    def note_fetched(self) -> None:
        with contextlib.suppress(OSError):
            write_own(self._fetched, b"")

    def keep_private(self, seconds: float) -> None:
        """Note that the answer may have secrets: it is kept until it is fetched, and at most for some seconds."""
        self._write(self._private, {"seconds": seconds})

    def is_private(self) -> bool:
        return bool(_read_json(self._private))

    def has_answer(self) -> bool:
        return os.path.exists(self.answer)

    def is_expired(self) -> bool:
        """Return whether the answer of a job that is not running may have secrets, and is not kept any longer."""
        ended, private = self.ended(), _read_json(self._private)
        if not private or not self.has_answer():
            return False
        return not ended or time.time() - float(ended.get("at", 0)) > float(private.get("seconds", 0))

    def forget_answer(self) -> None:
        """Remove all that may have secrets. What is left says that the job has ended, or that it was killed."""
        for path in (self.answer, self.errors, *([self.progress] if self.ended() else [])):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def is_stale(self) -> bool:
        """Return whether a job that is not running is not needed any more."""
        ended = self.ended()
        if not ended or (self.is_private() and not self.has_answer()):
            return True
        try:
            return time.time() - os.lstat(self._fetched).st_mtime > KEPT_AFTER_FETCH
        except FileNotFoundError:
            return time.time() - float(ended.get("at", 0)) > KEPT_UNFETCHED

    def is_fetched(self) -> bool:
        return is_own(self._fetched)

    def _write(self, path: str, content: dict[str, Any]) -> str:
        """Return why a file could not be written, which must not end the work; empty if it was."""
        try:
            atomic_write(path, json.dumps(content).encode(), 0o600, durable=False)
        except FileNotFoundError:  # the folder may be removed while the job ends
            return ""
        except OSError as error:  # the disk may be full of the output of the job
            return f"{path}: {error.strerror or error}"
        return ""


def cancel_path(token: str) -> str:
    """Return the file which says that C(token), which has started or watches a job, wants to stop it.

    The action plugin writes it without knowing the job: the module may just be starting it.
    """
    return os.path.join(os.path.expanduser(ROOT), f"{token}.cancel")


def read_job(folder: JobFolder) -> Optional[JobState]:
    """Return the state of the job in a folder; None when there is none."""
    running = folder.is_claimed()
    notes = folder.notes()
    if not running and not folder.exists():
        return None
    told = folder.told()
    return JobState(
        id=str(notes.get("id", "")),
        module=folder.module,
        subject=str(told.get("subject", "")),
        started=float(notes.get("started", 0)),
        running=running,
        ended=_has_ended(folder) if not running else False,
        watched=running and folder.is_watched(),
        progress=told.get("progress") or {},
        folder=folder,
    )


def _has_ended(folder: JobFolder) -> Optional[bool]:
    return None if folder.end_is_unclear() else bool(folder.ended())


def all_jobs() -> list[JobState]:
    """Return every job of this user that has files, in the order in which they began."""
    root = os.path.expanduser(ROOT)
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    keys = {name for name in names if JobFolder(os.path.join(root, name)).exists()}
    states = [read_job(JobFolder(os.path.join(root, key))) for key in keys]
    return sorted((state for state in states if state is not None), key=lambda state: state.started)


def forget_expired() -> None:
    """Remove the answers that may have secrets and were not fetched in time, such as those from before a power cut."""
    root = os.path.expanduser(ROOT)
    for name in os.listdir(root) if os.path.isdir(root) else []:
        folder = JobFolder(os.path.join(root, name))
        if not folder.exists() or not folder.is_expired():
            continue
        claim = folder.take()
        if claim is not None:
            with claim:
                if folder.is_expired():
                    folder.forget_answer()


def remove_stale() -> list[JobState]:
    """Remove the files of jobs that are not needed any more.

    Return the jobs that were killed before they answered, and those of which that is not known.
    """
    killed = []
    for state in all_jobs():
        if state.running or not state.folder.is_stale():
            continue
        claim = state.folder.take()
        if claim is None:
            continue
        with claim:
            if not state.folder.exists():  # another run has removed it since it was seen
                claim.remove()
                continue
            if not state.folder.is_stale():
                continue
            if not state.folder.ended():
                killed.append(state)
            state.folder.remove()
            claim.remove()
    root = os.path.expanduser(ROOT)
    for name in os.listdir(root) if os.path.isdir(root) else []:
        path = os.path.join(root, name)
        with contextlib.suppress(FileNotFoundError):
            if name.endswith(".cancel") and is_own(path) and time.time() - os.lstat(path).st_mtime > KEPT_AFTER_FETCH:
                os.unlink(path)
    return killed


def _read_json(path: str, limit: int = _LARGEST_REPORT) -> dict[str, Any]:
    try:
        content = json.loads(read_own(path, limit) or b"")
    except (Foreign, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


__all__ = ["ROOT", "JobFolder", "JobState", "all_jobs", "cancel_path", "claim_path", "read_job", "remove_stale"]
