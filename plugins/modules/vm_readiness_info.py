#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a virtual machine of Parallels Desktop before an image is made of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_readiness_info
short_description: Check whether a virtual machine of Parallels Desktop is ready to become an image
version_added: 1.0.0
description:
  - Checks a virtual machine and returns one report. Each check has an ID, a status, a message and a remedy. All checks
    are listed in the documentation of the collection (C(docs/readiness.md)).
  - Some checks are answered by the Mac (the facts of Parallels and the files of the bundle). Others need the running
    guest. They are made in one call, through Parallels Tools, and only in Windows and Linux.
  - What cannot be read fails, because it may be wrong. What cannot be asked is a warning. That is so for the guest of a
    virtual machine that is not running, because one that is generalized must not be started.
  - The answer of a running guest is kept on the Mac, in C(~/.ansible/macops.parallels/answers). So check a virtual
    machine while it runs, and again after its shutdown, and the second report has all checks. A kept answer is used
    only as long as the virtual machine has not run since.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
attributes:
  check_mode:
    support: full
    details:
      - The module only reads. It keeps the answer of the guest in check mode, too.
  diff_mode:
    support: N/A
    details:
      - The module only reads.
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
  waive:
    description:
      - IDs of checks that may fail. Their status is V(waived) instead of V(fail).
      - An ID that does not exist is an error.
    type: list
    elements: str
    default: []
  require:
    description: Whether the task fails if a check has failed. The message has all failed checks.
    type: bool
    default: false
  generalized:
    description:
      - Whether the virtual machine must be generalized. With V(false), one that is not generalized, as far as is known,
        is a warning.
    type: bool
    default: false
  allow_encrypted:
    description: Whether an encrypted virtual machine is waived, as in M(macops.parallels.image_pack).
    type: bool
    default: false
  arch:
    description: Architecture of the image. By default, that of the virtual machine.
    type: str
    choices: [arm64, x86_64]
  windows_activation:
    description:
      - The activation channel that Windows must have. V(retail), V(oem), V(mak) (a multiple activation key) or V(kms)
        (the client of a key management service, or of Active Directory).
      - By default, each channel passes.
    type: str
    choices: [retail, oem, mak, kms]
  inventory:
    description:
      - Whether to check that M(macops.parallels.vm_inventory_info) has listed what is installed in the guest. If not,
        that is a warning.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for a running guest that does not respond yet. V(0) tries once.
    type: int
    default: 120
notes:
  - RV(checks[].message) and RV(lines) may contain names from the guest. What a terminal would obey is escaped in them.
seealso:
  - module: macops.parallels.vm_info
  - module: macops.parallels.vm_inventory_info
  - module: macops.parallels.vm_generalize
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check a VM
  macops.parallels.vm_readiness_info:
    name: Windows 11
  register: readiness

- name: Show what has not passed
  ansible.builtin.debug:
    var: readiness.lines

- name: Fail unless it is ready, except for a folder that is shared on purpose
  macops.parallels.vm_readiness_info:
    name: windows11-2026.11.0-arm64
    require: true
    generalized: true
    windows_activation: kms
    waive: [shared_folders]
"""

RETURN = r"""
ready:
  description: Whether no check has failed. Warnings and waived checks are allowed.
  returned: success
  type: bool
  sample: true
checks:
  description: All checks that apply to the system of the guest, in a fixed order.
  returned: success, or when the task failed because of O(require)
  type: list
  elements: dict
  contains:
    id:
      description: Name of the check, for O(waive).
      type: str
      sample: restart_pending
    status:
      description: V(pass), V(warn), V(fail) or V(waived).
      type: str
      sample: fail
    message:
      description: What was found.
      type: str
      sample: "A restart is pending: Windows Update."
    remedy:
      description: What to do about it. Empty if nothing is to be done.
      type: str
      sample: Restart the guest until nothing waits for it.
    known:
      description: V(false) if the fact could not be read or asked for.
      type: bool
      sample: true
failed_checks:
  description: The IDs of the failed checks.
  returned: success, or when the task failed because of O(require)
  type: list
  elements: str
  sample: []
lines:
  description: The report for people. A summary, then a line for each check that has not passed.
  returned: success
  type: list
  elements: str
  sample: ["Readiness: 23 passed, 1 with a warning."]
report:
  description: The report as the catalog record of an image has it.
  returned: success
  type: dict
  contains:
    guest_answered_at:
      description: When the guest answered, in UTC. Empty if it did not.
      type: str
      sample: "2026-11-22T09:12:30Z"
    passed:
      description: The IDs of the checks that passed.
      type: list
      elements: str
      sample: [linked_clone, encrypted]
    warnings:
      description: The checks with a warning, with C(id) and C(message).
      type: list
      elements: dict
      sample: []
    waived:
      description: The waived checks, with C(id) and C(message).
      type: list
      elements: dict
      sample: []
    failed:
      description: The failed checks, with C(id) and C(message).
      type: list
      elements: dict
      sample: []
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.readiness import (
    ACTIVATIONS,
    Wanted,
    check,
    failed,
    for_record,
    gate,
    table,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import ARM64, X86_64, get_vm


def report(module: AnsibleModule) -> dict[str, Any]:
    """Check the virtual machine."""
    params = module.params
    prl = prlctl_of(module)
    wanted = Wanted(
        waive=frozenset(each.strip() for each in params["waive"]),
        generalized=params["generalized"],
        allow_encrypted=params["allow_encrypted"],
        arch=params["arch"] or "",
        windows_activation=params["windows_activation"] or "",
        inventory=params["inventory"],
        wait_timeout=params["wait_timeout"],
    )
    vm = get_vm(prl, params["name"], partly=True)
    checks, guest_at = check(prl, vm, wanted)
    refusal = gate(vm, checks)
    if params["require"] and refusal is not None:
        raise refusal
    return {
        "changed": False,
        "ready": refusal is None,
        "checks": [asdict(each) for each in checks],
        # Not under the name "failed": that is Ansible's own word for the task.
        "failed_checks": [each.id for each in failed(checks)],
        "lines": table(checks),
        "report": for_record(checks, guest_at),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "waive": {"type": "list", "elements": "str", "default": []},
            "require": {"type": "bool", "default": False},
            "generalized": {"type": "bool", "default": False},
            "allow_encrypted": {"type": "bool", "default": False},
            "arch": {"type": "str", "choices": [ARM64, X86_64]},
            "windows_activation": {"type": "str", "choices": list(ACTIVATIONS)},
            "inventory": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 120},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_module(module, report)


if __name__ == "__main__":
    main()
