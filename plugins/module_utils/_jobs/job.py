# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Long work as a job: it outlives the connection that started it, reports its progress, and other runs can join it.

A module with long work forks. The child leaves the session of the connection and does the work; the parent waits some
seconds. Work that is finished by then is answered as by any other module, at no extra cost. For longer work, the parent
answers that it is running. The action plugin on the controller then polls it with small shell commands, and finally
calls the module again, which finds the finished job and returns its answer.

Ansible's own async is not used: it cannot be pipelined, so each short call would cost several more transfers, and its
job ids are random, so no other run could find the job.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .._common.claim import Claim
from .._common.errors import TaskError
from .._common.interrupt import interrupt_main_thread, leave_signals_to_main_thread
from .._common.ownership import create, is_own
from .._common.progress import Meter, Report, unwatched
from .._common.text import printable_message
from .folder import ASKED_WITHIN, KEPT_AFTER_FETCH, JobFolder, cancel_path, claim_path, forget_expired

# The name of the environment variable by which the action plugin orders a job.
ENVIRONMENT = "MACOPS_PARALLELS_JOB"
# The key of the answer that a job is running, see _say_running.
RUNNING = "macops_parallels_job"
JOIN, FAIL = "join", "fail"
# Seconds for which an unfetched answer is valid, where the state itself does not show that the work is done.
_FRESH = 3600.0
_BEAT = 1.0
_POLL = 0.2
# Seconds for which the claim on a job that has ended may be held by those who list jobs or start it again.
_HELD_BRIEFLY = 30.0


@dataclass(frozen=True)
class JobOrder:
    """The order of the action plugin for a job."""

    # Identifies one task of one run.
    token: str
    # Seconds after which the answer is that the job is running.
    wait: float
    # Seconds for which the job continues while no run polls it.
    unattended: float
    # What to do when another run watches the same work: C(join) or C(fail).
    if_running: str
    # The id of the job that the task has waited for, empty at the first call.
    waited_for: str
    # Whether the answer may have secrets, because the task has C(no_log).
    private: bool = False

    @property
    def private_for(self) -> float:
        """The seconds for which a private answer is kept: as long as the task may still fetch it."""
        return self.unattended + KEPT_AFTER_FETCH

    def is_for(self, job_id: str) -> bool:
        """Return whether the task has started or joined the job before, and asks for its answer."""
        return bool(job_id) and job_id in (self.token, self.waited_for)

    @classmethod
    def from_environment(cls) -> Optional[JobOrder]:
        """Return the order in the environment, None where work is to be done in the foreground."""
        text = os.environ.pop(ENVIRONMENT, "")
        if not text:
            return None
        order = json.loads(text)
        return cls(
            str(order["token"]),
            float(order["wait"]),
            float(order["unattended"]),
            str(order["if_running"]),
            str(order.get("waited_for", "")),
            bool(order.get("private", False)),
        )


class Job:
    """The job as the work itself sees it."""

    def __init__(self, token: str = "", *, fails_if_running: bool = False) -> None:  # nosec B107 # no secret
        # Identifies the task that has ordered it.
        self.token = token
        # Whether the task fails when another run does such work.
        self.fails_if_running = fails_if_running
        # The name of the VM or image that is worked on.
        self.subject = ""
        # A sentence about what the work is waiting for, empty while it works.
        self.waiting = ""
        # Why its progress could not be written, empty while it could.
        self.unwritten = ""
        # Why it has to stop, empty while it may continue.
        self.reason = ""
        # To be called after the work, before its answer is printed.
        self.make_room: Callable[[], None] = lambda: None
        self._meter: Optional[Meter] = None
        self._relayed: Optional[dict[str, Any]] = None

    def progress(self, stage: str, *, estimate: bool = False) -> Report:
        """Begin a stage, such as 'Packing'; return the callable for its progress reports."""
        meter = self._meter = Meter(stage, estimate)
        self._relayed = None
        return meter.report

    def works_on_file(self, path: str) -> None:
        """Take the subject from a file name: an image is named like its VM."""
        self.subject = os.path.splitext(os.path.basename(path))[0]

    def wait(self, reason: str) -> None:
        """Show what the work is waiting for; an empty text when it works again."""
        self.waiting = reason

    def relay(self, reading: dict[str, Any]) -> None:
        """Show the progress of another job as if it were that of this one."""
        self._relayed = reading

    def why_interrupted(self) -> str:
        return self.reason

    def reading(self) -> dict[str, Any]:
        if self._relayed is not None:
            return self._relayed
        return self._meter.reading() if self._meter is not None else {}


class ForegroundJob(Job):
    """Work that is not run as a job: its progress is not shown."""

    def __init__(self) -> None:
        super().__init__("foreground")

    def progress(self, stage: str, *, estimate: bool = False) -> Report:
        return unwatched


class _Attendant:
    """The thread that reports the progress of the work, and stops it when it is canceled or no longer polled."""

    def __init__(self, job: Job, folder: JobFolder, order: JobOrder) -> None:
        self._job = job
        self._folder = folder
        self._order = order
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._attend, daemon=True)
        self._seen = folder.attendance()
        # A monotonic clock stops while the Mac sleeps, when no run can poll.
        self._asked = time.monotonic()
        self._watchers = {order.token: self._asked}
        self._beat = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._tell(ended=True)

    def _attend(self) -> None:
        leave_signals_to_main_thread()
        while not self._over.wait(_BEAT):
            self._tell(ended=False)
            self._note_attendance()
            reason = self._reason_to_end()
            if reason and not self._job.reason:
                self._job.reason = reason
                interrupt_main_thread()

    def _tell(self, ended: bool) -> None:
        self._beat += 1
        unwritten = self._folder.tell(
            {
                "subject": self._job.subject,
                "beat": self._beat,
                "ended": ended,
                "pid": os.getpid(),
                "progress": self._job.reading(),
                "waiting": printable_message(self._job.waiting),
            }
        )
        self._job.unwritten = self._job.unwritten or unwritten

    def _note_attendance(self) -> None:
        attendance = self._folder.attendance()
        if attendance == self._seen or not attendance[0]:
            return
        self._seen = attendance
        self._asked = self._watchers[attendance[0]] = time.monotonic()

    def _reason_to_end(self) -> str:
        if self._folder.is_canceled():
            return "It was canceled."
        now = time.monotonic()
        for token in list(self._watchers):
            if not is_own(cancel_path(token)):
                continue
            del self._watchers[token]
            if not any(now - seen < ASKED_WITHIN for seen in self._watchers.values()):
                return "It was canceled."
        if now - self._asked > self._order.unattended:
            return f"No playbook has polled it for {self._order.unattended:.0f} seconds (image_unattended_timeout)."
        return ""


def key_of(module_name: str, options: dict[str, Any]) -> str:
    """Return the name of the folder for a module with these options; runs with the same options do the same work."""
    text = json.dumps([module_name, options], sort_keys=True, default=str)
    return f"{module_name}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}"


def run_as_job(
    order: JobOrder,
    module_name: str,
    options: dict[str, Any],
    work: Callable[[Job], None],
    *,
    joins: bool,
    keeps_answer: Callable[[dict[str, Any]], bool],
    notice: Callable[[str], None],
) -> None:
    """Do the work as a job, or join the one that already does it. Ends the process, as modules do, and does not return.

    C(work) prints its answer on standard output and ends with SystemExit. Without C(joins), each task does the work
    itself, and it is an error if another run is still doing it. C(keeps_answer) says of the answer of a job that
    finished while no run waited for it, whether to return it instead of doing the work again. Raises TaskError when
    another run watches the same work and the order says to fail then, and OSError where the files of a job cannot be
    written.
    """
    folder = JobFolder.of(key_of(module_name, options))
    forget_expired()
    joined = False
    claim = folder.take()
    if claim is None:
        holder = _Holder.of(folder)
        others = holder.works and not order.is_for(holder.id)
        if others and order.if_running == FAIL and folder.is_watched(by_others_than=order.token):
            raise TaskError(
                f"Another run is already doing the same work on this Mac ({module_name}). Wait until it has finished, "
                "or set image_if_running to 'join'."
            )
        if joins or not others:
            folder.attend(order.token)
        claim = _wait_for(folder, order, joins)
        # A job that had ended before this call, and whose claim was held only to list it, has not been waited for.
        joined = joins and (holder.works or claim.notes.get("id") != holder.id)
    if _may_be_answered(folder, claim, order, joined, joins, keeps_answer):
        code = _answer(folder)
        if order.private or folder.is_private():
            folder.forget_answer()
        claim.release()
        raise SystemExit(code)
    if folder.exists() and not folder.ended():
        _refuse_dead(folder, claim, order)
        notice(
            f"An earlier run of {module_name} {folder.how_it_ended()}. This run "
            f"{'resumes the work' if joins else 'starts it again'}."
        )
    try:
        folder.create(order.token)
        if order.private:
            folder.keep_private(order.private_for)
        claim.write(id=order.token, started=time.time())
        outputs = _open_outputs(folder)
    except OSError:
        folder.remove()
        claim.remove()
        raise
    _fork(order, folder, claim, work, outputs)


@dataclass(frozen=True)
class _Holder:
    """The job that was the last to be started when its claim was found to be held."""

    id: str
    # Whether it had not ended. Otherwise its claim is held for a moment only, to list it or to start it again.
    works: bool

    @classmethod
    def of(cls, folder: JobFolder) -> _Holder:
        # In this order: a job that starts removes the end of the one before it, and then writes its own id.
        job_id = str(folder.notes().get("id", ""))
        return cls(job_id, folder.exists() and not folder.ended())


def _wait_for(folder: JobFolder, order: JobOrder, joins: bool) -> Claim:
    """Return the claim of a job that ends within some seconds. Ends the process when it is still running."""
    begun = time.monotonic()
    while True:
        time.sleep(_POLL)
        claim = folder.take()
        if claim is not None:
            return claim
        waited = time.monotonic() - begun
        if waited < order.wait:
            continue
        holder = _Holder.of(folder)
        if holder.works:
            own = order.is_for(holder.id)
            if not (joins or own):
                _refuse_second(folder)
            _say_running(folder, holder.id, joined=not own)
            raise SystemExit(0)
        if waited > order.wait + _HELD_BRIEFLY:
            raise TaskError(
                f"Another process holds the note of a finished job ({claim_path(folder.path)}). End that process, or "
                "restart the Mac. Then run again."
            )


def _refuse_second(folder: JobFolder) -> None:
    """Raise TaskError for work that another run is still doing, and that must not be taken for that of this task."""
    subject, started = folder.told().get("subject"), folder.notes().get("started")
    where = f" on '{subject}'" if subject else ""
    since = time.strftime(", since %Y-%m-%dT%H:%M:%SZ", time.gmtime(started)) if started else ""
    raise TaskError(
        f"Another task is still running the same command{where} ({folder.module}{since}). This task has not run it. "
        "Wait until the other has finished, then run again. The module mac_jobs waits for it, or ends it with state: "
        "canceled."
    )


def _may_be_answered(
    folder: JobFolder,
    claim: Claim,
    order: JobOrder,
    joined: bool,
    joins: bool,
    keeps_answer: Callable[[dict[str, Any]], bool],
) -> bool:
    """Return whether the answer of a finished job is the answer to this call.

    Without C(joins), raises TaskError where the work must not be done again, and its answer is gone.
    """
    ended = folder.ended()
    if not ended:
        return False
    own = order.is_for(str(claim.notes.get("id", "")))
    if not folder.has_answer():
        if own and not joins:
            claim.release()
            raise TaskError(
                f"The work has ended with exit code {ended.get('code')}, but its result was lost with the connection. "
                "It is not kept on the Mac, because the task has no_log. The work was not done again: check whether it "
                "had its effect, then run again."
            )
        return False
    if joined or own:
        return True
    fresh = time.time() - float(ended.get("at", 0)) < _FRESH
    if not fresh or folder.is_fetched() or ended.get("code") != 0:
        return False
    return keeps_answer(folder.answered())


def _refuse_dead(folder: JobFolder, claim: Claim, order: JobOrder) -> None:
    """Raise TaskError for a job that was killed while this very task waited for it. Other tasks start it again."""
    if claim.notes.get("id") == order.token:
        claim.release()
        if folder.end_is_unclear():
            raise TaskError(f"The work {folder.how_it_ended()}. Run the same command again to resume.")
        raise TaskError(
            "The work did not finish: its process was killed, or the Mac was restarted. Run the same command again to "
            "resume."
        )


def _fork(
    order: JobOrder, folder: JobFolder, claim: Claim, work: Callable[[Job], None], outputs: tuple[int, int, int]
) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    ending, running = os.pipe()
    if os.fork() == 0:
        # This process ends here in any case: the caller continues in the other one, which answers.
        try:
            os.close(ending)
            os.setsid()
            _leave_connection(outputs)
            _work_as_child(order, folder, claim, work, running)
        except Exception:
            traceback.print_exc()
        raise SystemExit(1)
    for descriptor in (running, *outputs):
        os.close(descriptor)
    _answer_for_child(order, folder, claim, ending)
    if folder.end_is_unclear():
        raise TaskError(f"The work {folder.how_it_ended()}. Run the same command again to resume.")
    raise TaskError("The work did not finish: its process was killed. Run the same command again to resume.")


def _answer_for_child(order: JobOrder, folder: JobFolder, claim: Claim, ending: int) -> None:
    """Answer with the child's answer, or that it is running, and end the process; return when the child was killed.

    The claim is shared with the child. It is kept until the answer is read, so that no other task starts the same work
    again in between and removes it.

    The process must never end through Ansible's wrapper, not even when the connection is gone or this process is
    interrupted: the wrapper would delete the module's files while the child still uses them.
    """
    code = 1
    try:
        if not select.select([ending], [], [], order.wait)[0]:
            _say_running(folder, order.token, joined=False)
            code = 0
        elif folder.ended():
            code = _answer(folder)
            with contextlib.suppress(OSError, TaskError):  # the answer counts; mac_jobs removes the files later
                _forget(folder, claim)
        else:
            return
    except BaseException:  # nobody is left to report it to
        os._exit(1)
    os._exit(code)


def _work_as_child(order: JobOrder, folder: JobFolder, claim: Claim, work: Callable[[Job], None], running: int) -> None:
    job = Job(order.token, fails_if_running=order.if_running == FAIL)
    job.make_room = folder.make_room
    attendant = _Attendant(job, folder, order)
    attendant.start()
    code = 1
    try:
        work(job)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        raise
    finally:
        attendant.stop()
        with contextlib.suppress(OSError):  # on a full disk, the part that could be written has to be enough
            sys.stdout.flush()
            sys.stderr.flush()
        folder.end(code)
        os.close(claim.descriptor)
        os.close(running)  # tells the parent that everything is done
        if order.private:
            _forget_unfetched(folder, order.private_for)


def _forget_unfetched(folder: JobFolder, seconds: float) -> None:
    """Remove the answer that nobody has fetched in time; return when it is gone."""
    answer = _identity(folder.answer)
    end = time.monotonic() + seconds
    while answer is not None and _identity(folder.answer) == answer:
        time.sleep(_BEAT)
        claim = folder.take() if time.monotonic() > end else None
        if claim is not None:
            with claim:
                if _identity(folder.answer) == answer:
                    folder.forget_answer()


def _identity(path: str) -> Optional[tuple[int, int]]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _open_outputs(folder: JobFolder) -> tuple[int, int, int]:
    """Return the descriptors that replace standard input, output and error."""
    return os.open(os.devnull, os.O_RDONLY), create(folder.answer), create(folder.errors)


def _leave_connection(outputs: tuple[int, int, int]) -> None:
    """Read nothing from the connection and write nothing to it, so that it can end."""
    for target, source in enumerate(outputs):
        os.dup2(source, target)
        os.close(source)


def _answer(folder: JobFolder) -> int:
    """Print the output of the job; return its exit code."""
    answer = folder.output(folder.answer)
    if not answer.strip():
        said = folder.output(folder.errors).decode("utf-8", errors="replace")[-2000:].strip()
        answer = json.dumps(
            {
                "failed": True,
                "msg": printable_message(
                    f"The work ended without an answer. Run the same command again. Its last output: {said}"
                ),
            }
        ).encode()
    _print(answer)
    folder.note_fetched()
    return int(folder.ended().get("code", 1))


def _forget(folder: JobFolder, claim: Claim) -> None:
    """Remove the files of a job that was answered at once."""
    folder.remove()
    claim.remove()


def _say_running(folder: JobFolder, job_id: str, joined: bool) -> None:
    running = {"id": job_id, "folder": folder.path, "joined": joined}
    _print(json.dumps({"changed": False, RUNNING: running}).encode() + b"\n")


def _print(data: bytes) -> None:
    sys.stdout.flush()
    while data:
        data = data[os.write(1, data) :]
