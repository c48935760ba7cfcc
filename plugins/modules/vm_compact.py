#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compacts the disks of a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_compact
short_description: Compact the disks of a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Gives the space back that an expanding disk takes on the Mac and that the guest does not use.
  - Disks that hold no unused blocks, by the estimate of C(prl_disk_tool), plain disks, bundles of macOS guests and
    packed virtual machines are left alone.
  - The virtual machine has to be shut down and must have no snapshots.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - That something would change rests on the estimate. RV(bytes_after) is then as RV(bytes_before).
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
  timeout:
    description: Seconds that each of the two passes over a disk may take.
    type: int
    default: 7200
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Compact the disks of the build VM
  macops.parallels.vm_compact:
    name: win11-2026.11.0-arm64
  register: compacted

- name: Show what that gained
  ansible.builtin.debug:
    msg: "{{ (compacted.bytes_before - compacted.bytes_after) | ansible.builtin.human_readable }} gained"
"""

RETURN = r"""
bytes_before:
  description: Bytes that the expanding disks took on the Mac's disk before.
  returned: success
  type: int
  sample: 42949672960
bytes_after:
  description: Bytes that they take now.
  returned: success
  type: int
  sample: 30064771072
disks:
  description: The expanding disks. Empty when there are none.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the disk.
      type: str
      sample: /Users/build/Parallels/win11-2026.11.0-arm64.pvm/harddisk1.hdd
    bytes_before:
      description: Bytes that it took before.
      type: int
    bytes_after:
      description: Bytes that it takes now.
      type: int
state:
  description: The state because of which it was refused.
  returned: when it was refused because of its state
  type: str
  sample: running
path:
  description: The folder in which there was not enough room.
  returned: when the disk filled up meanwhile
  type: str
free_bytes:
  description: Bytes that are free there.
  returned: when the disk filled up meanwhile
  type: int
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
      sample: [/usr/local/bin/prl_disk_tool, compact, --hdd, /Users/build/Parallels/win11.pvm/harddisk1.hdd]
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

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.disks import compact
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm_at_rest


def ensure(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Compact the disks of the virtual machine."""
    prl = prlctl_of(module)
    vm = get_vm_at_rest(prl, module.params["name"])
    job.subject = vm.name
    disks, changed = compact(
        prl, vm, module.params["timeout"], dry=module.check_mode, report=job.progress("Compacting", estimate=True)
    )
    before = sum(disk.bytes_before for disk in disks)
    after = sum(disk.bytes_after for disk in disks)
    return {
        "changed": changed,
        "bytes_before": before,
        "bytes_after": after,
        "commands": prl.commands(),
        "disks": [asdict(disk) for disk in disks],
        "diff": {"before": {"bytes": before}, "after": {"bytes": after}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 7200},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_long_module(module, ensure)


if __name__ == "__main__":
    main()
