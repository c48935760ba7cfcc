#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generalizes the guest of a virtual machine of Parallels Desktop and shuts it down."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_generalize
short_description: Generalize the guest of a virtual machine of Parallels Desktop and shut it down
version_added: 1.0.0
description:
  - Makes a guest forget which machine it is, so that each copy of it becomes a machine of its own at its first start,
    and shuts it down in that state.
  - In Windows it runs Sysprep with C(/generalize /oobe /quit) as C(SYSTEM), waits until Windows' own registry says
    that it is generalized, and only then shuts it down. When Sysprep fails, the end of its log is in the error.
  - In Linux it empties C(/etc/machine-id), removes the SSH host keys and runs C(cloud-init clean) where there is
    cloud-init. It looks again whether each of them is gone, and shuts it down.
  - Starting a generalized Windows runs its first setup, which undoes it. So what was proven is noted in a file beside
    the virtual machine's bundle (C(.NAME.pvm.claim.json)), and a virtual machine that is stopped and noted is left as
    it is. The note does not count any more when Parallels' counter of its uptime shows that it has run since.
  - Run it on a clone, as the playbooks do. A generalized source VM would have to go through its first setup before it
    can be worked on again.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - A running guest is asked for its state, which changes nothing in it. A stopped one is not started.
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
  start:
    description:
      - Whether to start a stopped virtual machine of which no note shows that it is generalized. By default that is
        an error, because nobody can tell from outside whether it is.
      - A virtual machine that is noted as generalized is not started, and neither is a Windows that was shut down in
        the middle of it.
    type: bool
    default: false
  unattend:
    description:
      - Windows. Path in the guest of an answer file for the first setup, which Sysprep takes over. It may have no
        spaces.
      - Without it, Sysprep uses what Windows itself finds, such as C(C:\Windows\Panther\unattend.xml).
    type: str
  mode_vm:
    description:
      - Windows. Whether to add C(/mode:vm), which lets the first start be faster because the hardware is not looked
        for again.
      - Only for images that run on the very hypervisor and hardware profile they were made on, so not for both kinds
        of Macs.
    type: bool
    default: false
  timeout:
    description: Seconds that Sysprep may take.
    type: int
    default: 1800
  wait_timeout:
    description: Seconds that a start may take until the guest answers.
    type: int
    default: 300
  stop_timeout:
    description: Seconds that the shutdown may take. The plug is never pulled.
    type: int
    default: 300
notes:
  - The guest needs Parallels Tools, and must not be isolated from the Mac.
  - macOS guests cannot be generalized.
  - Some Linux systems (Debian and Ubuntu without cloud-init) make no new SSH host keys by themselves, and their SSH
    server does not start without. Where it is needed, put a unit that runs C(ssh-keygen -A) into the source VM.
seealso:
  - module: macops.parallels.vm_exec
  - module: macops.parallels.vm_power
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Generalize the clone, which runs
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64

- name: Generalize it with the company's answer file, and start it for that
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64
    start: true
    unattend: C:\Windows\Setup\company.xml
    timeout: 3600

- name: Only look whether it is generalized
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64
    start: true
  check_mode: true
  register: looked
  changed_when: false

- name: Work in it as long as it is not
  macops.parallels.vm_power:
    name: win11-2026.11.0-arm64
    state: running
  when: not looked.generalized
"""

RETURN = r"""
generalized:
  description:
    - Whether the guest is generalized now. In check mode, whether it is before anything is done; of a stopped one
      without a note, V(false).
  returned: success
  type: bool
  sample: true
generalized_at:
  description: When that was proven, in UTC. Empty when it has not been noted.
  returned: success
  type: str
  sample: "2026-11-22T09:30:00Z"
proof:
  description:
    - By what it is known that the guest is generalized. For Windows the value of C(ImageState) below
      C(HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State), for Linux what is gone. Empty when it is not.
  returned: success
  type: str
  sample: IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE
state:
  description: The state of the virtual machine now. In check mode, the one that it would have.
  returned: success
  type: str
  sample: stopped
previous_state:
  description: The state before.
  returned: success
  type: str
  sample: running
image_state:
  description: What Windows says of its state.
  returned: when Windows is not generalized in the end
  type: str
  sample: IMAGE_STATE_COMPLETE
sysprep_log:
  description: The last 1500 characters of C(C:\Windows\System32\Sysprep\Panther\setuperr.log).
  returned: when Sysprep failed
  type: str
  sample: SYSPRP Package Example was installed for a user, but not provisioned for all users.
commands:
  description: The commands of Parallels that were run to change something, in their order. Empty when none was.
  returned: success
  type: list
  elements: dict
  contains:
    cmd:
      description: The program and its arguments.
      type: list
      elements: str
      sample: [/usr/local/bin/prlctl, start, de22df32-80e2-4e92-ba4b-efb3a66cf092]
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
  description: The command of Parallels that failed, or by which Sysprep was run. With C(rc), C(stdout) and C(stderr).
  returned: when a command of Parallels or Sysprep failed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import GeneralizeOrder, generalize
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import STOPPED, get_vm


def bring(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Bring the virtual machine into the state generalized and stopped."""
    params = module.params
    prl = prlctl_of(module)
    order = GeneralizeOrder(
        start=params["start"],
        unattend=params["unattend"] or "",
        mode_vm=params["mode_vm"],
        timeout=params["timeout"],
        wait_timeout=params["wait_timeout"],
        stop_timeout=params["stop_timeout"],
    )
    vm = get_vm(prl, params["name"])
    job.subject = vm.name
    outcome = generalize(prl, vm, order, dry=module.check_mode)
    return {
        "changed": outcome.changed,
        "generalized": outcome.was_generalized if module.check_mode else True,
        "generalized_at": outcome.generalized_at,
        "proof": outcome.proof,
        "state": STOPPED,
        "previous_state": outcome.previous_state,
        "commands": prl.commands(),
        "diff": {
            "before": {"generalized": outcome.was_generalized, "state": outcome.previous_state},
            "after": {"generalized": True, "state": STOPPED},
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "start": {"type": "bool", "default": False},
            "unattend": {"type": "str"},
            "mode_vm": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 1800},
            "wait_timeout": {"type": "int", "default": 300},
            "stop_timeout": {"type": "int", "default": 300},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_long_module(module, bring)


if __name__ == "__main__":
    main()
