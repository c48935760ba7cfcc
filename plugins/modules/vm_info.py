#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual machine of Parallels Desktop, or all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Look at virtual machines of Parallels Desktop
version_added: 1.0.0
description:
  - Returns what there is to know about one virtual machine, or about all virtual machines of the connecting user.
  - A virtual machine that does not exist is an empty list, not an error.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
attributes:
  check_mode:
    support: full
    details:
      - It only reads.
  diff_mode:
    support: N/A
    details:
      - It only reads.
  idempotent:
    support: full
  platform:
    platforms: macos
    support: full
options:
  name:
    description:
      - Name or UUID of the virtual machine. The UUID may have braces.
      - The name is compared as a whole. When two virtual machines have the same name, the UUID is needed.
      - Left out, all virtual machines are returned.
    type: str
author:
  - The macops.parallels developers (!UNKNOWN)
seealso:
  - module: macops.parallels.mac_info
"""

EXAMPLES = r"""
- name: Look at the source VM
  macops.parallels.vm_info:
    name: Windows 11
  register: source

- name: Stop when its Secure Boot key is outdated
  ansible.builtin.assert:
    that: source.vms[0].secure_boot_key != 'outdated'

- name: Look at all VMs
  macops.parallels.vm_info:
  register: all_vms

- name: Name those that have snapshots
  ansible.builtin.debug:
    msg: "{{ all_vms.vms | selectattr('snapshots') | map(attribute='name') }}"
"""

RETURN = r"""
vms:
  description: The virtual machines. Empty when there is none, or none of that name.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The UUID, in lower case and without braces.
      type: str
      sample: de22df32-80e2-4e92-ba4b-efb3a66cf092
    uuid:
      description: The same as RV(vms[].id).
      type: str
      sample: de22df32-80e2-4e92-ba4b-efb3a66cf092
    name:
      description: Name in Control Center.
      type: str
      sample: Windows 11
    state:
      description:
        - V(stopped), V(running), V(suspended), V(paused), or V(invalid), which means that its files are missing or
          unreadable.
        - Anything else, such as V(stopping), means that Parallels is at work on it.
      type: str
      sample: stopped
    os:
      description: The guest system, as C(prlctl) names it.
      type: str
      sample: win-11
    family:
      description: V(windows), V(linux), V(macos) or V(other), derived from RV(vms[].os).
      type: str
      sample: windows
    arch:
      description: V(arm64), V(x86_64) or V(unknown), from the types of firmware and processor in its configuration.
      type: str
      sample: arm64
    home:
      description: Path of its bundle, or of its image when it is packed. No slash at the end.
      type: str
      sample: /Users/build/Parallels/Windows 11.pvm
    packed:
      description: Whether it is packed into an image, a C(.pvmp) file.
      type: bool
    encrypted:
      description: Whether its disks are encrypted.
      type: bool
    tools:
      description: Parallels Tools in the guest.
      type: dict
      contains:
        state:
          description: V(installed), V(possibly_installed), V(outdated), V(not_installed) or V(unknown).
          type: str
        version:
          description: Their version.
          type: str
      sample: {"state": "possibly_installed", "version": "20.0.0-55397"}
    linked_clone:
      description:
        - Whether it is a linked clone, whose disks stand on those of another virtual machine. From the file
          C(config.pvs) of its bundle, because C(prlctl) does not tell it.
      type: bool
    secure_boot_key:
      description:
        - V(outdated) when the platform key of Secure Boot is the one that Microsoft's and Parallels' updates replace,
          V(current) for any other key, V(unknown) when no key is recorded.
        - From the file C(VmInfo.pvi) of its bundle, into which Parallels Tools 26.3.3 and newer write the key. So it is
          V(unknown) for a packed virtual machine.
      type: str
      sample: current
    bytes_on_disk:
      description: Bytes that the bundle or the image takes on the disk. Holes in sparse files take nothing.
      type: int
      sample: 34359738368
    description:
      description: Its description.
      type: str
    cpus:
      description: Number of processors.
      type: int
      sample: 4
    memory:
      description: Memory in MiB.
      type: int
      sample: 8192
    pause_idle:
      description: Whether Parallels pauses it when it is idle.
      type: bool
    startup_view:
      description: The view in which it starts, as C(prlctl) names it.
      type: str
      sample: window
    on_shutdown:
      description: What happens to its window when it shuts down, as C(prlctl) names it.
      type: str
      sample: window
    on_window_close:
      description: What happens to it when its window is closed, as C(prlctl) names it.
      type: str
      sample: keep-running
    disks:
      description: Its virtual hard disks.
      type: list
      elements: dict
      contains:
        device:
          description: Name of the device.
          type: str
          sample: hdd0
        path:
          description: Path of the disk; empty when the virtual machine is packed.
          type: str
          sample: /Users/build/Parallels/Windows 11.pvm/harddisk1.hdd
        format:
          description: V(expanding), which grows as it is used, or V(plain), which has its full size from the start.
          type: str
          sample: expanding
        size:
          description: Size for the guest, in bytes.
          type: int
          sample: 137438953472
        bytes_on_disk:
          description: Bytes that it takes on the disk; 0 when the virtual machine is packed.
          type: int
          sample: 30064771072
    snapshots:
      description:
        - Its snapshots, each after the one that it grew from.
        - Empty for a packed virtual machine when Parallels cannot list what is in the image.
      type: list
      elements: dict
      contains:
        id:
          description: The snapshot's id, without braces.
          type: str
          sample: 64d481bb-ce04-45b1-8328-49e4e4c43ddf
        name:
          description: Its name; need not be unique.
          type: str
          sample: After updates
        date:
          description: When it was made, in the local time of the Mac.
          type: str
          sample: "2026-11-15 12:15:03"
        state:
          description: The state of the virtual machine in it, as C(prlctl) names it, such as V(poweroff).
          type: str
          sample: poweroff
        current:
          description: Whether the virtual machine goes on from it.
          type: bool
        parent:
          description: Id of the snapshot from which it grew; empty when there is none.
          type: str
        depth:
          description: How many snapshots are above it.
          type: int
          sample: 0
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._module import run_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import find_vm, list_vms


def look(module: AnsibleModule) -> dict[str, Any]:
    """Return the virtual machines that are asked for."""
    prl = Prlctl(module.run_command, module.params["executable"], notice=module.warn, mends=False)
    name = module.params["name"]
    if name is None:
        vms = list_vms(prl)
    else:
        found = find_vm(prl, name)
        vms = [found] if found else []
    return {"changed": False, "vms": [vm.result() for vm in vms]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "executable": {"type": "path"}},
        supports_check_mode=True,
    )
    run_module(module, look)


if __name__ == "__main__":
    main()
