#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, stops and suspends a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_power
short_description: Start, stop and suspend a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Changes the power state of a virtual machine, and returns how it was changed.
  - A running guest is shut down gracefully. The request is repeated while the guest is running, because Windows may
    finish an update by restarting. The module waits for the state, not for the command.
  - The virtual machine is powered off by force only with O(force=true), and only after O(timeout).
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    platforms: macos
    support: full
options:
  name:
    description: Name or UUID of the virtual machine.
    type: str
    required: true
  state:
    description: The wanted state.
    type: str
    choices: [running, stopped, suspended]
    required: true
  timeout:
    description: Timeout for a step (a shutdown, a start), in seconds.
    type: int
    default: 300
  force:
    description:
      - Force power-off after the timeout, if the guest did not shut down within O(timeout).
    type: bool
    default: false
  suspended:
    description:
      - What to do with a virtual machine that is suspended or paused, and so has data in its memory.
      - V(fail) fails and changes nothing.
      - V(resume) resumes it, and then shuts it down gracefully if the wanted state is V(stopped).
      - V(discard) discards the memory. Data that the guest had not yet written to its disk is lost.
    type: str
    choices: [fail, resume, discard]
    default: fail
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Shut the VM down, and force power-off after ten minutes
  macops.parallels.vm_power:
    name: Windows 11
    state: stopped
    timeout: 600
    force: true

- name: Start the VM, or resume it when it is suspended
  macops.parallels.vm_power:
    name: Windows 11
    state: running
    suspended: resume
"""

RETURN = r"""
state:
  description: The state of the virtual machine now. In check mode, the one that it would have.
  returned: success
  type: str
  sample: stopped
previous_state:
  description: The state before. If Parallels was working on the virtual machine, the state after that work.
  returned: success
  type: str
  sample: running
method:
  description:
    - The step that led to the state, V(none) when it already had this state. Of two steps, such as resuming and then
      shutting down, the last one.
    - One of V(none), V(start), V(resume), V(stop) (a graceful shutdown), V(kill) (a forced power-off), V(drop_state)
      (suspended memory was discarded), V(suspend).
  returned: success
  type: str
  sample: stop
commands:
  description: Commands of Parallels that were run to change something, in their order. Empty when there were none.
  returned: success
  type: list
  elements: dict
  contains:
    cmd:
      description: The program and its arguments.
      type: list
      elements: str
      sample: [/usr/local/bin/prlctl, stop, de22df32-80e2-4e92-ba4b-efb3a66cf092]
    rc:
      description: Its exit code.
      type: int
      sample: 0
    started_at:
      description: When it was started, in UTC.
      type: str
      sample: "2026-11-22T09:12:30Z"
    seconds:
      description: How long it took.
      type: float
      sample: 41.5
cmd:
  description: The command of Parallels that failed. With C(rc), C(stdout) and C(stderr).
  returned: when a command of Parallels failed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.power import NOTHING, set_power
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm


def bring(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Bring the virtual machine into the wanted state."""
    prl = prlctl_of(module)
    vm = get_vm(prl, module.params["name"], partly=True)
    job.subject = vm.name
    done = set_power(
        prl,
        vm,
        module.params["state"],
        timeout=module.params["timeout"],
        force=module.params["force"],
        suspended=module.params["suspended"],
        dry=module.check_mode,
    )
    return {
        "changed": done.method != NOTHING,
        "state": done.state,
        "previous_state": done.previous_state,
        "method": done.method,
        "commands": prl.commands(),
        "diff": {"before": {"state": done.previous_state}, "after": {"state": done.state}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["running", "stopped", "suspended"], "required": True},
            "timeout": {"type": "int", "default": 300},
            "force": {"type": "bool", "default": False},
            "suspended": {"type": "str", "choices": ["fail", "resume", "discard"], "default": "fail"},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_long_module(module, bring)


if __name__ == "__main__":
    main()
