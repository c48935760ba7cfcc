#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for, ends, and clears up after the long work on a Mac."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_jobs
short_description: Wait for the long work on a build Mac, or end it
version_added: 1.0.0
description:
  - The modules of this collection whose work may take long (packing, hashing, uploading and the like) do it as a job on
    the Mac. It goes on when the connection is lost, or the controller is gone, for as long as the variable
    C(image_unattended_timeout) allows.
  - This module makes sure that no such job works on a virtual machine or image any more. It waits for the end of the
    job, shows its progress meanwhile, and keeps it from ending because nobody asks for it; or it ends the job.
  - What jobs have left behind that were killed, or whose answers were fetched, is removed. Those that were killed are
    warned of, because their work has to be done again.
  - Jobs belong to a user, and this module sees those of the user that it runs as.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details: What runs is returned. Nothing is waited for, ended or removed.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  name:
    description:
      - Name of the virtual machine or image, without C(.pvmp). Jobs on others are not looked at.
      - Left out, all jobs of the user.
    type: str
  state:
    description:
      - V(idle) waits until no job works on it. When another playbook waits for that job at this very moment, the
        variable C(image_if_running) says whether to wait or to fail. A job that nobody asks for is always waited for.
      - After a job that another playbook waited for, V(idle) waits on until there was none for 15 seconds, so that the
        other playbook comes to its end.
      - V(cancelled) ends the jobs, so that what they had begun is put right, and waits until that is done.
    type: str
    choices: [idle, cancelled]
    default: idle
  timeout:
    description: Seconds to wait. V(0) waits as long as it takes, which the time limits of the jobs themselves bound.
    type: int
    default: 0
seealso:
  - module: macops.parallels.image_pack
  - module: macops.parallels.image_upload
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Wait until nothing works on the image
  macops.parallels.mac_jobs:
    name: win11-2026.11.0-arm64

- name: End what a cancelled job template has left running
  macops.parallels.mac_jobs:
    state: cancelled

- name: Show what runs
  macops.parallels.mac_jobs:
  check_mode: true
  register: found

- name: Print it
  ansible.builtin.debug:
    var: found.jobs
"""

RETURN = r"""
jobs:
  description: The jobs that ran when the module began, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    module:
      description: The module that does the work.
      type: str
      sample: image_pack
    name:
      description: The virtual machine or image that it works on. Empty when the job has not yet told it.
      type: str
      sample: win11-2026.11.0-arm64
    started:
      description: When it began, in UTC.
      type: str
      sample: "2026-11-22T09:30:00Z"
    watched:
      description: Whether a playbook has asked for it within the last 30 seconds.
      type: bool
      sample: false
    stage:
      description: What it does just now. Empty when it has told nothing yet.
      type: str
      sample: Packing
    done:
      description: Bytes that are done, V(0) when that is not known.
      type: int
      sample: 12884901888
    total:
      description: Bytes that there are to be done, V(0) when that is not known.
      type: int
      sample: 64424509440
cleared:
  description: The modules whose jobs were killed before they could answer, and of which the rests were removed.
  returned: success
  type: list
  elements: str
  sample: [image_upload]
"""

import time
from collections.abc import Iterable
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import (
    JobState,
    all_jobs,
    read_job,
    remove_stale,
)
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import run_long_module

# Seconds between two looks.
_PAUSE = 1.0
# Seconds without a job after which a playbook that was at work is taken to be through.
_QUIET = 15.0


def settle(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Wait for the jobs or end them, then clear up."""
    name, cancel = module.params["name"], module.params["state"] == "cancelled"
    job.subject = name or ""
    found = list(_others(all_jobs(), name))
    if not module.check_mode:
        _refuse_watched(found, job)
        _wait_for_all(name, job, module.params["timeout"], cancel=cancel)
    killed = [] if module.check_mode else remove_stale()
    for state in killed:
        module.warn(
            f"The work of {state.module} on '{state.subject}' was killed in the middle. It is done again when it is "
            "needed; what it left is removed by then."
        )
    return {
        "changed": cancel and bool(found),
        "jobs": [_facts(state) for state in found],
        "cleared": [state.module for state in killed],
    }


def _others(states: Iterable[JobState], name: Optional[str]) -> Iterable[JobState]:
    """Return the running jobs that are not waiting themselves, as this one is."""
    for state in states:
        if state.running and state.module != "mac_jobs" and name in (None, "", state.subject):
            yield state


def _refuse_watched(found: list[JobState], job: Job) -> None:
    if not job.fails_if_running:
        return
    for state in found:
        if state.watched:
            raise TaskError(
                f"Another run works on '{state.subject}' on this Mac right now ({state.module}, since "
                f"{_time(state.started)}). Wait until it has ended, or let image_if_running be 'join'.",
                jobs=[_facts(state)],
            )


def _wait_for_all(name: Optional[str], job: Job, limit: float, *, cancel: bool) -> None:
    """Return when there is no job, and none follows that a playbook has still to do."""
    end = time.monotonic() + limit if limit else None
    quiet_until = time.monotonic()
    while True:
        running = list(_others(all_jobs(), name))
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
                f"{state.module} still works on '{state.subject}'. Give it more time, or end it with state: cancelled.",
                jobs=[_facts(now)],
            )
        if attend:
            state.folder.attend(job.token)
        job.relay(now.progress)
        time.sleep(_PAUSE)
        now = read_job(state.folder)


def _facts(state: JobState) -> dict[str, Any]:
    return {
        "module": state.module,
        "name": state.subject,
        "started": _time(state.started),
        "watched": state.watched,
        "stage": state.progress.get("stage") or "",
        "done": state.progress.get("done") or 0,
        "total": state.progress.get("total") or 0,
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["idle", "cancelled"], "default": "idle"},
            "timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    run_long_module(module, settle)


if __name__ == "__main__":
    main()
