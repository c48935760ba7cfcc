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
  - Removes the identity of a guest, so that each copy becomes a separate machine at its first start, and shuts it down
    in that state.
  - In Windows, it first looks for everything that makes Sysprep fail, and reports all of it together, or fixes what
    O(fix) names. Then it runs Sysprep with C(/generalize /oobe /quit /quiet) as C(SYSTEM), waits until the Windows
    registry shows that Windows is generalized, and only then shuts it down. If Sysprep fails, the error names the cause
    and the packages from the new lines of its logs.
  - Sysprep gets a process of its own in the guest, which short commands poll. It does not end when Parallels loses a
    session, or when the run is killed. The next run waits for it, and does not start it again.
  - In Linux, it empties C(/etc/machine-id), removes the SSH host keys, the leases of DHCP clients, the state of the
    network and the history of shells, clears the logs, and runs C(cloud-init clean) if cloud-init is installed. It
    verifies that each of them is gone; of the logs, what was in them before. It also removes the random seed, and shuts
    the guest down.
  - Starting a generalized Windows runs its first setup, which undoes it. So the verified result is noted in a file
    beside the virtual machine's bundle (C(.NAME.pvm.claim.json)), and a stopped virtual machine with such a note is
    left unchanged. The note is no longer valid when Parallels' uptime counter shows that the VM has run since.
  - Run it on a clone, as the playbooks do. A generalized source VM would have to complete its first setup before it can
    be used again.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - The state of a running guest is read without changing the guest. A stopped one is not started.
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
      - Whether to start a stopped virtual machine without a note that it is generalized. By default that is an error,
        because only the running guest shows whether it is.
      - A virtual machine that is noted as generalized is not started. Neither is a Windows that was shut down while it
        was being generalized.
    type: bool
    default: false
  unattend:
    description:
      - Windows only. Path in the guest of an answer file for the first setup, which is passed to Sysprep. It must not
        contain spaces.
      - By default, Sysprep uses the file that Windows itself finds, such as C(C:\Windows\Panther\unattend.xml).
    type: str
  answer_file:
    description:
      - Windows only. Content of an answer file for the first setup. It is put into the guest for Sysprep, which keeps a
        copy, and is deleted there when Sysprep has finished.
      - It travels on standard input, so that no list of processes shows it.
      - Its components must be for the architecture of the guest, C(arm64) on Apple silicon and C(amd64) on Intel.
    type: str
  fix:
    description:
      - Windows only. What to fix in the guest before Sysprep runs. Without this, what blocks Sysprep is an error.
      - V(remove_packages) removes the apps that are installed for one user, but not provisioned for all, for all users.
      - V(provision_packages) provisions them for all users instead.
      - V(bitlocker) turns BitLocker and device encryption off, and waits until the disk is decrypted.
      - V(device_encryption) prevents that Windows turns device encryption on by itself.
      - V(hibernation) turns hibernation and fast startup off.
      - V(restart) restarts the guest while restarts are pending, three times at most.
    type: list
    elements: str
    choices: [remove_packages, provision_packages, bitlocker, device_encryption, hibernation, restart]
    default: []
  skip_rearm:
    description:
      - Windows only. Whether the answer file has C(SkipRearm), so that it does not matter how often the license was
        reset.
    type: bool
    default: false
  mode_vm:
    description:
      - Windows only. Whether to add C(/mode:vm), which makes the first start faster because the hardware is not
        detected again.
      - Only for images that run on the same hypervisor and hardware profile that they were made on, so not on both
        kinds of Macs.
    type: bool
    default: false
  timeout:
    description: Timeout for Sysprep, and for what O(fix) names, in seconds.
    type: int
    default: 1800
  wait_timeout:
    description: Timeout for a start until the guest responds, in seconds.
    type: int
    default: 300
  stop_timeout:
    description: Timeout for the shutdown, in seconds. The virtual machine is never powered off by force.
    type: int
    default: 300
notes:
  - What O(fix) does was not tried on a real Windows.
  - The guest needs Parallels Tools, and must not be isolated from the Mac.
  - While the guest is generalized, the setting C(pause_idle) of the virtual machine is off. Afterwards it is as before.
  - macOS guests cannot be generalized.
  - Some Linux systems (Debian and Ubuntu without cloud-init) do not create new SSH host keys, and their SSH server does
    not start without them. If you need it, add a unit that runs C(ssh-keygen -A) to the source VM.
seealso:
  - module: macops.parallels.vm_exec
  - module: macops.parallels.vm_power
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Generalize the running clone
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64

- name: Start it, and generalize it with the company's answer file
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64
    start: true
    unattend: C:\Windows\Setup\company.xml
    timeout: 3600

- name: Generalize a Windows in which updates and Store apps may be in the way
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64
    answer_file: "{{ lookup('ansible.builtin.template', 'unattend.xml.j2') }}"
    fix: [remove_packages, bitlocker, device_encryption, restart]

- name: Only check whether it is generalized
  macops.parallels.vm_generalize:
    name: win11-2026.11.0-arm64
    start: true
  check_mode: true
  register: looked
  changed_when: false

- name: Start it if it is not
  macops.parallels.vm_power:
    name: win11-2026.11.0-arm64
    state: running
  when: not looked.generalized
"""

RETURN = r"""
generalized:
  description:
    - Whether the guest is generalized now. In check mode, whether it is generalized already; V(false) for a stopped
      one without a note.
  returned: success
  type: bool
  sample: true
generalized_at:
  description: When that was verified, in UTC. Empty when it has not been noted.
  returned: success
  type: str
  sample: "2026-11-22T09:30:00Z"
proof:
  description:
    - The proof that the guest is generalized. For Windows the value of C(ImageState) below
      C(HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State), for Linux what was removed. Empty when it is not.
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
  description: The state that Windows reports.
  returned: when Windows is not generalized in the end
  type: str
  sample: IMAGE_STATE_COMPLETE
sysprep_log:
  description:
    - The new lines of C(setuperr.log) or C(setupact.log) in C(C:\Windows\System32\Sysprep\Panther) that show the cause,
      three at most.
  returned: when Sysprep failed
  type: str
  sample: SYSPRP Package Example was installed for a user, but not provisioned for all users.
cause:
  description:
    - Why Sysprep failed, as its logs show it. V(packages), V(bitlocker), V(updates), V(rearms), V(answer_file),
      V(old_windows), V(earlier_sysprep), V(component_store), V(restart) or V(boot_configuration). Empty if the logs
      show none of these.
  returned: when Sysprep failed
  type: str
  sample: packages
packages:
  description: All packages that its logs name as installed for one user only.
  returned: when Sysprep failed
  type: list
  elements: str
  sample: [Microsoft.WidgetsPlatformRuntime_1.6.1.0_arm64__8wekyb3d8bbwe]
findings:
  description:
    - What was found in the guest before it was generalized, and was not fixed. Empty for a guest that was generalized
      before.
  returned: success, and when something blocks Sysprep
  type: list
  elements: dict
  contains:
    id:
      description: What it is.
      type: str
      sample: hibernation
    blocks:
      description: Whether Sysprep fails because of it.
      type: bool
      sample: false
    problem:
      description: What was found.
      type: str
      sample: Fast startup is on, so Windows may hibernate instead of shutting down.
    remedy:
      description: What to do about it.
      type: str
      sample: Turn it off in the guest (`powercfg /hibernate off`).
    fixes:
      description: The choices of O(fix) that fix it.
      type: list
      elements: str
      sample: [hibernation]
fixed:
  description: What was fixed, as choices of O(fix).
  returned: success
  type: list
  elements: str
  sample: [restart]
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
  description: The command of Parallels that failed, or that ran Sysprep. With C(rc), C(stdout) and C(stderr).
  returned: when a command of Parallels or Sysprep failed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import GeneralizeOrder, generalize
from ansible_collections.macops.parallels.plugins.module_utils._parallels.sysprep import FIXES
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import STOPPED, get_vm


def bring(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Bring the virtual machine into the state generalized and stopped."""
    params = module.params
    prl = prlctl_of(module)
    order = GeneralizeOrder(
        start=params["start"],
        unattend=params["unattend"] or "",
        answer_file=params["answer_file"] or "",
        fixes=tuple(params["fix"]),
        skip_rearm=params["skip_rearm"],
        mode_vm=params["mode_vm"],
        timeout=params["timeout"],
        wait_timeout=params["wait_timeout"],
        stop_timeout=params["stop_timeout"],
    )
    vm = get_vm(prl, params["name"])
    job.subject = vm.name
    outcome = generalize(prl, vm, order, dry=module.check_mode, waits=job.wait)
    preparation = outcome.preparation
    for sentence in (
        *(each.sentence() for each in preparation.found if not each.blocks),
        *preparation.unknown,
    ):
        prl.notice(sentence)
    return {
        "changed": outcome.changed,
        "generalized": outcome.was_generalized if module.check_mode else True,
        "generalized_at": outcome.generalized_at,
        "proof": outcome.proof,
        "state": STOPPED,
        "previous_state": outcome.previous_state,
        "findings": [each.result() for each in preparation.found],
        "fixed": list(preparation.fixed),
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
            "answer_file": {"type": "str", "no_log": True},
            "fix": {"type": "list", "elements": "str", "choices": list(FIXES), "default": []},
            "skip_rearm": {"type": "bool", "default": False},
            "mode_vm": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 1800},
            "wait_timeout": {"type": "int", "default": 300},
            "stop_timeout": {"type": "int", "default": 300},
            "executable": {"type": "path"},
        },
        mutually_exclusive=[("unattend", "answer_file")],
        supports_check_mode=True,
    )
    run_long_module(module, bring)


if __name__ == "__main__":
    main()
