# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Waits for the jobs on a Mac or ends them, and reports on them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Optional

from .._common.errors import TaskError
from .folder import JobState, all_jobs, read_job
from .job import Job

# The module that waits for jobs, in a job of its own.
WAITING_MODULE = "mac_jobs"
# Seconds between two looks.
_PAUSE = 1.0
# Seconds without a job after which a playbook that was at work is taken to be through.
_QUIET = 15.0
# Seconds after which a playbook that was killed no longer counts as one that waits for its job.
_GONE = 40.0


def running_jobs(name: Optional[str], states: Optional[Iterable[JobState]] = None) -> list[JobState]:
    """Return the jobs that run on a VM or image, or on any; not those that only wait for others."""
    return [
        state
        for state in (all_jobs() if states is None else states)
        if state.running and state.module != WAITING_MODULE and name in (None, "", state.subject)
    ]


def killed_jobs(name: Optional[str], states: Iterable[JobState]) -> list[JobState]:
    """Return the jobs that were killed before they could answer, and that have left something."""
    return [state for state in states if _is_over(state, name) and state.ended is False]


def unclear_jobs(name: Optional[str], states: Iterable[JobState]) -> list[JobState]:
    """Return the jobs that are not running, and of which it is not known how they ended."""
    return [state for state in states if _is_over(state, name) and state.ended is None]


def _is_over(state: JobState, name: Optional[str]) -> bool:
    return not state.running and name in (None, "", state.subject)


def refuse_watched(found: list[JobState], job: Job) -> None:
    """Raise TaskError for a job that another run waits for, where the admin wants that."""
    if not job.fails_if_running:
        return
    for state in found:
        if state.watched:
            raise TaskError(
                f"Another run works on '{state.subject}' on this Mac right now ({state.module}, since "
                f"{_time(state.started)}). Wait until it has finished, or set image_if_running to 'join'.",
                jobs=[job_facts(state)],
            )


def refuse_attended(name: Optional[str]) -> None:
    """Raise TaskError for a job that a playbook still waits for, after the time in which a dead one is noticed."""
    end = time.monotonic() + _GONE
    while True:
        attended = [state for state in running_jobs(name) if state.watched]
        if not attended:
            return
        if time.monotonic() > end:
            works = " and ".join(f"{state.module} on '{state.subject}'" for state in attended)
            raise TaskError(
                f"A playbook waits for the work on this Mac ({works}), so nothing was ended. Cancel that run first, or "
                "allow to end attended work.",
                jobs=[job_facts(state) for state in attended],
            )
        time.sleep(_PAUSE)


def wait_for_all(name: Optional[str], job: Job, limit: float, *, cancel: bool) -> None:
    """Return when there is no job, and none follows that a playbook has still to do; with C(cancel), end them."""
    end = time.monotonic() + limit if limit else None
    quiet_until = time.monotonic()
    while True:
        running = running_jobs(name)
        if not running and time.monotonic() >= quiet_until:
            return
        for state in running:
            if cancel:
                state.folder.cancel()
            _wait(state, job, end, attend=not cancel)
            if state.watched and not cancel:
                quiet_until = time.monotonic() + _QUIET
        time.sleep(_PAUSE)


def _wait(state: JobState, job: Job, end: Optional[float], *, attend: bool) -> None:
    now: Optional[JobState] = state
    while now is not None and now.running and now.id == state.id:
        if end is not None and time.monotonic() > end:
            raise TaskError(
                f"{state.module} still works on '{state.subject}'. Raise timeout, or end it with state: canceled.",
                jobs=[job_facts(now)],
            )
        if attend:
            state.folder.attend(job.token)
        job.relay(now.progress)
        time.sleep(_PAUSE)
        now = read_job(state.folder)


def job_facts(state: JobState) -> dict[str, Any]:
    """Return what modules show of a job that runs."""
    return {
        **killed_facts(state),
        "watched": state.watched,
        "stage": state.progress.get("stage") or "",
        "done": state.progress.get("done") or 0,
        "total": state.progress.get("total") or 0,
    }


def killed_facts(state: JobState) -> dict[str, Any]:
    """Return what modules show of a job that was killed."""
    return {"module": state.module, "name": state.subject, "started": _time(state.started)}


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
