#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates and removes snapshots of a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot
short_description: Create and remove snapshots of a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Creates a snapshot, or removes one snapshot, one with all its descendants, or all. The current content of the disks
    stays.
  - Several snapshots are removed one by one, the newest first. Each removal is verified with a new list, and is tried
    again while Parallels is still synchronizing data of the previous one.
  - Parallels merges the data of a snapshot with the data that came after it. The bigger part may absorb the smaller one
    before that is deleted. The free space for this is checked before each removal.
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
    details:
      - With O(state=present), only the name of the snapshot counts. Its description is not compared, because Parallels
        cannot change the description of a snapshot from the command line.
  platform:
    platforms: macos
    support: full
options:
  name:
    description: Name or UUID of the virtual machine.
    type: str
    required: true
  state:
    description: Whether the snapshot should exist.
    type: str
    choices: [present, absent]
    default: present
  snapshot:
    description:
      - Name of the snapshot. To remove one, the id works as well.
      - Required unless O(all=true), with which it cannot be combined.
    type: str
  description:
    description: Description of a new snapshot.
    type: str
    default: ""
  children:
    description: Whether to remove the descendants of the snapshot with it.
    type: bool
    default: false
  all:
    description: Whether to remove all snapshots.
    type: bool
    default: false
  force:
    description:
      - Whether to remove a snapshot even if linked clones depend on it, or may depend on it because another virtual
        machine cannot be read. Their disks are lost with it. By default, that is an error.
      - A snapshot that was made for a linked clone which no longer exists is removed like any other.
    type: bool
    default: false
  timeout:
    description: Timeout for creating or removing one snapshot, in seconds.
    type: int
    default: 3600
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Create a snapshot before the updates
  macops.parallels.vm_snapshot:
    name: Windows 11
    snapshot: before updates
    description: Made by the monthly update play

- name: Remove it, and its descendants
  macops.parallels.vm_snapshot:
    name: Windows 11
    state: absent
    snapshot: before updates
    children: true

- name: Remove all snapshots of the build VM
  macops.parallels.vm_snapshot:
    name: win11-2026.11.0-arm64
    state: absent
    all: true
"""

RETURN = r"""
snapshots:
  description:
    - The snapshots of the virtual machine now, each after its parent. In check mode, those that would be left, without
      one that would be created.
    - The keys are those of the snapshots of M(macops.parallels.vm_info).
  returned: success
  type: list
  elements: dict
  sample:
    - id: 64d481bb-ce04-45b1-8328-49e4e4c43ddf
      name: before updates
      date: "2026-11-15 12:15:03"
      state: poweroff
      current: true
      parent: ""
      depth: 0
removed:
  description: The removed snapshots, with the same keys.
  returned: success
  type: list
  elements: dict
linked_clones:
  description: UUIDs of the linked clones that would be lost.
  returned: when linked clones depend on a snapshot that is to be removed
  type: list
  elements: str
unreadable:
  description: UUIDs of the virtual machines that cannot be read and may be linked clones.
  returned: when it is not known whether linked clones depend on a snapshot that is to be removed
  type: list
  elements: str
path:
  description: The folder without enough free space.
  returned: when the free space is not enough, or when the disk filled up during the work
  type: str
free_bytes:
  description: Free bytes in that folder.
  returned: when they are not enough, or when the disk filled up during the work
  type: int
needed_bytes:
  description: Bytes that the removal may need.
  returned: when the free space is not enough, or when the disk filled up during the work
  type: int
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
      sample: [/usr/local/bin/prlctl, snapshot-delete, de22df32-80e2-4e92-ba4b-efb3a66cf092]
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
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.snapshots import (
    chosen,
    create_snapshot,
    find_snapshots,
    known_snapshots,
    refuse_needed,
    remove_snapshots,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Snapshot, Vm, get_vm_at_rest


def ensure(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Create or remove the snapshots."""
    if module.params["all"] and module.params["snapshot"] is not None:
        raise TaskError("snapshot and all exclude each other. Set snapshot to remove one, or all: true to remove all.")
    prl = prlctl_of(module)
    vm = get_vm_at_rest(prl, module.params["name"])
    job.subject = vm.name
    work = _ensure_present if module.params["state"] == "present" else _ensure_absent
    return {**work(module, prl, vm), "commands": prl.commands()}


def _ensure_present(module: AnsibleModule, prl: Prlctl, vm: Vm) -> dict[str, Any]:
    name = module.params["snapshot"]
    if find_snapshots(vm, name):
        return _result(vm, known_snapshots(vm), changed=False)
    if module.check_mode:
        return _result(vm, known_snapshots(vm), changed=True, planned=[name])
    now = create_snapshot(prl, vm, name, module.params["description"], module.params["timeout"])
    return _result(vm, now, changed=True)


def _ensure_absent(module: AnsibleModule, prl: Prlctl, vm: Vm) -> dict[str, Any]:
    victims = chosen(vm, module.params["snapshot"], module.params["children"])
    if not victims:
        return _result(vm, known_snapshots(vm), changed=False)
    if not module.params["force"]:
        refuse_needed(prl, vm, victims)
    if module.check_mode:
        now = [snapshot for snapshot in known_snapshots(vm) if snapshot not in victims]
    else:
        now = remove_snapshots(prl, vm, victims, module.params["timeout"])
    return _result(vm, now, changed=True)


def _result(vm: Vm, now: list[Snapshot], *, changed: bool, planned: Any = ()) -> dict[str, Any]:
    left = {snapshot.id for snapshot in now}
    return {
        "changed": changed,
        "snapshots": [asdict(snapshot) for snapshot in now],
        "removed": [asdict(snapshot) for snapshot in known_snapshots(vm) if snapshot.id not in left],
        "diff": {
            "before": {"snapshots": [snapshot.name for snapshot in known_snapshots(vm)]},
            "after": {"snapshots": [*(snapshot.name for snapshot in now), *planned]},
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "snapshot": {"type": "str"},
            "description": {"type": "str", "default": ""},
            "children": {"type": "bool", "default": False},
            "all": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 3600},
            "executable": {"type": "path"},
        },
        required_if=[("all", False, ["snapshot"]), ("state", "present", ["snapshot"])],
        supports_check_mode=True,
    )
    run_long_module(module, ensure)


if __name__ == "__main__":
    main()
