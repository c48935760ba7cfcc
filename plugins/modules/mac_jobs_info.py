#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long work on a Mac."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_jobs_info
short_description: List the long work on a build Mac
version_added: 1.0.0
description:
  - Modules of this collection whose work can take long (packing, hashing, uploading and the like) run it as a job on
    the Mac. This module lists the running jobs, and those that were killed and left something.
  - Jobs belong to a user. This module sees the jobs of the user that it runs as.
  - Use M(macops.parallels.mac_jobs) to wait for the jobs, to end them, or to remove what killed ones left.
extends_documentation_fragment:
  - macops.parallels._attributes
attributes:
  check_mode:
    support: full
    details: The module only reads.
  diff_mode:
    support: N/A
    details: The module only reads.
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
seealso:
  - module: macops.parallels.mac_jobs
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: List the long work on the Mac
  macops.parallels.mac_jobs_info:
  register: found

- name: Show how far it is
  ansible.builtin.debug:
    msg: "{{ item.module }} on {{ item.name }}, {{ item.stage }}, {{ item.done }} of {{ item.total }} bytes"
  loop: "{{ found.jobs }}"
"""

RETURN = r"""
jobs:
  description: The running jobs, the oldest first. Jobs that only wait for others are not listed.
  returned: success
  type: list
  elements: dict
  contains:
    module:
      description: The module that does the work.
      type: str
      sample: image_pack
    name:
      description: The virtual machine or image that it works on. Empty if the job has not reported it yet.
      type: str
      sample: win11-2026.11.0-arm64
    started:
      description: When it started, in UTC.
      type: str
      sample: "2026-11-22T09:30:00Z"
    watched:
      description: Whether a playbook asked for it within the last 30 seconds.
      type: bool
      sample: false
    stage:
      description: What it is doing now. Empty if it has not reported anything yet.
      type: str
      sample: Packing
    done:
      description: Bytes that are done. V(0) if unknown.
      type: int
      sample: 12884901888
    total:
      description: Bytes that have to be done. V(0) if unknown.
      type: int
      sample: 64424509440
killed:
  description:
    - The jobs that were killed before they returned a result, and whose leftovers are still there, the oldest first.
      Each has the fields C(module), C(name) and C(started) of RV(jobs).
  returned: success
  type: list
  elements: dict
  sample:
    - module: image_upload
      name: win11-2026.11.0-arm64
      started: "2026-11-22T09:30:00Z"
unclear:
  description:
    - The jobs that have ended, but whose notes about that cannot be read, such as after a power cut. It is not known
      whether they finished or were killed. A warning names the file. Each has the fields of RV(killed).
  returned: success
  type: list
  elements: dict
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import all_jobs
from ansible_collections.macops.parallels.plugins.module_utils._jobs.waiting import (
    job_facts,
    killed_facts,
    killed_jobs,
    running_jobs,
    unclear_jobs,
)
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module


def look(module: AnsibleModule) -> dict[str, Any]:
    """Return the jobs that are asked for."""
    name, states = module.params["name"], all_jobs()
    unclear = unclear_jobs(name, states)
    for state in unclear:
        where = f" on {state.subject}" if state.subject else ""
        notice_of(module)(f"{state.module}{where} {state.folder.how_it_ended()}.")
    return {
        "changed": False,
        "jobs": [job_facts(state) for state in running_jobs(name, states)],
        "killed": [killed_facts(state) for state in killed_jobs(name, states)],
        "unclear": [killed_facts(state) for state in unclear],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"name": {"type": "str"}}, supports_check_mode=True)
    run_module(module, look)


if __name__ == "__main__":
    main()
