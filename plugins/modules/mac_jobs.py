#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for the long work on a Mac, ends it, and removes its leftovers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_jobs
short_description: Wait for the long work on a build Mac, or end it
version_added: 1.0.0
description:
  - Modules of this collection whose work can take long (packing, hashing, uploading and the like) run it as a job on
    the Mac. A job continues if the connection or the controller is lost, for as long as the variable
    C(image_unattended_timeout) allows.
  - This module waits until no such job works on a virtual machine or image. It shows the progress of the job meanwhile,
    and keeps it from being ended as unattended. Or it ends the job.
  - Removes the leftovers of jobs that were killed, and of jobs whose results were fetched. Each killed job is reported
    as a warning, because its work has to be done again.
  - Jobs belong to a user. This module sees the jobs of the user that it runs as.
  - Use M(macops.parallels.mac_jobs_info) to only list the jobs.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details: Returns the jobs. Does not wait for, end or remove anything.
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
      - Name of the virtual machine or image, without C(.pvmp). Jobs on others are ignored.
      - By default all jobs of the user.
    type: str
  state:
    description:
      - V(idle) waits until no job works on it. If another playbook is waiting for the job right now, the variable
        C(image_if_running) decides whether to wait or to fail. An unattended job is always waited for.
      - After a job that another playbook waited for, V(idle) waits until there was no job for 15 seconds, so that the
        other playbook can finish.
      - V(canceled) ends the jobs, so that they undo what they started, and waits until that is done.
    type: str
    choices: [idle, canceled]
    default: idle
  attended:
    description:
      - What V(state=canceled) does with a job that another playbook waits for. V(end) ends it. V(fail) waits for 40
        seconds, by when a canceled playbook counts as gone, and fails if a playbook still waits for a job. Then nothing
        is ended.
    type: str
    choices: [end, fail]
    default: end
  timeout:
    description: Seconds to wait. V(0) waits as long as it takes. The timeouts of the jobs themselves limit that.
    type: int
    default: 0
seealso:
  - module: macops.parallels.mac_jobs_info
  - module: macops.parallels.image_pack
  - module: macops.parallels.image_upload
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Wait until nothing works on the image
  macops.parallels.mac_jobs:
    name: win11-2026.11.0-arm64

- name: End what a canceled job template left running
  macops.parallels.mac_jobs:
    state: canceled
    attended: fail
"""

RETURN = r"""
jobs:
  description:
    - The jobs that were running when the module started, the oldest first. Each has the fields of
      RV(macops.parallels.mac_jobs_info#module:jobs).
  returned: success
  type: list
  elements: dict
  sample: []
cleared:
  description: The modules whose jobs were killed before they returned a result, and whose leftovers were removed.
  returned: success
  type: list
  elements: str
  sample: [image_upload]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import remove_stale
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._jobs.waiting import (
    job_facts,
    refuse_attended,
    refuse_watched,
    running_jobs,
    wait_for_all,
)
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_long_module


def settle(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Wait for the jobs or end them, then clear up."""
    name, cancel = module.params["name"], module.params["state"] == "canceled"
    job.subject = name or ""
    if cancel and module.params["attended"] == "fail" and not module.check_mode:
        refuse_attended(name)
    found = running_jobs(name)
    if not module.check_mode:
        refuse_watched(found, job)
        wait_for_all(name, job, module.params["timeout"], cancel=cancel)
    killed = [] if module.check_mode else remove_stale()
    for state in killed:
        where = f" on '{state.subject}'" if state.subject else ""
        how = f"was killed while it worked{where}" if state.ended is False else state.folder.how_it_ended()
        notice_of(module)(
            f"{state.module} {how}. Its work is done again when it is needed, and its leftovers are removed by then."
        )
    return {
        "changed": cancel and bool(found),
        "jobs": [job_facts(state) for state in found],
        "cleared": [state.module for state in killed],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["idle", "canceled"], "default": "idle"},
            "attended": {"type": "str", "choices": ["end", "fail"], "default": "end"},
            "timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    run_long_module(module, settle)


if __name__ == "__main__":
    main()
