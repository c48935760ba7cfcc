#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what is installed in the guest of a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_inventory_info
short_description: List what is installed in the guest of a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Lists the system of a guest, its packages or applications, and its updates. The guest is asked in one call, through
    Parallels Tools.
  - In Linux, the packages of C(dpkg), C(rpm), C(apk), C(pacman), C(snap) and C(flatpak) are listed. In Windows, the
    programs of the registry (also those of users who are signed in), the apps of the Microsoft Store and the updates
    are.
  - An answer that is empty, incomplete or cut off is an error. It is never an empty list.
  - The answer of a running guest is kept on the Mac, in C(~/.ansible/macops.parallels/answers). For a virtual machine
    that is shut down or packed, the module returns the kept answer, as long as the virtual machine has not run since.
    It never starts a virtual machine.
  - M(macops.parallels.image_sbom) makes a software bill of materials from it.
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
  require:
    description:
      - Whether the task fails if the inventory is not known. With V(false), a warning says why, and RV(inventory) is
        empty.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for a running guest that does not respond yet. V(0) tries once.
    type: int
    default: 120
notes:
  - The values are as the guest returns them. They may contain characters that a terminal would obey. Use the filter
    P(macops.parallels.printable#filter) to show them.
  - Programs that only a user who is not signed in has installed are not listed, except for apps of the Microsoft Store.
seealso:
  - module: macops.parallels.image_sbom
  - module: macops.parallels.vm_readiness_info
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: List what is installed
  macops.parallels.vm_inventory_info:
    name: ubuntu
  register: guest

- name: Fail if the agent is missing
  ansible.builtin.assert:
    that: guest.inventory.components | selectattr('name', 'eq', 'example-agent') | length == 1
"""

RETURN = r"""
inventory:
  description: What is installed. Empty if it is not known and O(require=false).
  returned: success
  type: dict
  contains:
    system:
      description:
        - C(family), C(id), C(name), C(version) and C(arch) of the system, as it names them. In Linux also C(kernel) and
          C(cpe). In Windows also C(release) and C(edition).
        - Values that are not known are left out.
      type: dict
      sample:
        family: windows
        id: windows_11
        name: Windows 11 25H2
        version: 10.0.26200.7840
        release: 25H2
        edition: Enterprise
        arch: ARM64
    components:
      description:
        - What is installed, sorted. Each has C(type) and C(name), and the others as far as they are known.
        - RV(inventory.components[].type) is V(deb), V(rpm), V(apk), V(pacman), V(snap) or V(flatpak) in Linux, and
          V(program), V(appx) or V(update) in Windows.
      type: list
      elements: dict
      contains:
        type:
          description: The kind of the component.
          type: str
          sample: deb
        name:
          description: Its name.
          type: str
          sample: bash
        version:
          description: Its version.
          type: str
          sample: 5.2.15-2+b7
        arch:
          description: Its architecture.
          type: str
          sample: arm64
        supplier:
          description: Maintainer, vendor or publisher.
          type: str
          sample: Matthias Klose <doko@debian.org>
taken_at:
  description: When the guest was asked, in UTC. Empty if the inventory is not known.
  returned: success
  type: str
  sample: "2026-11-22T09:12:30Z"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, prlctl_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.inventory import take
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm


def take_inventory(module: AnsibleModule) -> dict[str, Any]:
    """List what is installed in the guest."""
    params = module.params
    prl = prlctl_of(module)
    vm = get_vm(prl, params["name"], partly=True)
    try:
        inventory, taken_at = take(prl, vm, params["wait_timeout"])
    except TaskError as error:
        if params["require"]:
            raise
        notice_of(module)(error.message)
        inventory, taken_at = {}, ""
    return {"changed": False, "inventory": inventory, "taken_at": taken_at}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "require": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 120},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_module(module, take_inventory)


if __name__ == "__main__":
    main()
