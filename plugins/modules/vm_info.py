#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual machine of Parallels Desktop, or all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Get facts about virtual machines of Parallels Desktop
version_added: 1.0.0
description:
  - Returns facts about one virtual machine, or about all virtual machines of the connecting user.
  - A virtual machine that does not exist is an empty list, not an error.
  - A virtual machine that cannot be read, or only partly, is returned as well. Such are one in a folder without access,
    on a disk that is not mounted, on a share that does not respond, or an archived one. Facts that are not known are
    null, and a warning reports what cannot be read and why.
  - Templates are returned, too.
  - Names, descriptions and paths are returned as Parallels Desktop reports them, so that other modules find what they
    name. They may contain characters that a terminal would obey. Use the filter P(macops.parallels.printable#filter) to
    show them.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
attributes:
  check_mode:
    support: full
    details:
      - The module only reads.
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
    description:
      - Name or UUID of the virtual machine. The UUID may have braces.
      - The whole name has to match. If two virtual machines have the same name, use the UUID.
      - By default all virtual machines are returned.
    type: str
author:
  - The macops.parallels developers (!UNKNOWN)
seealso:
  - module: macops.parallels.mac_info
"""

EXAMPLES = r"""
- name: Get facts about the source VM
  macops.parallels.vm_info:
    name: Windows 11
  register: source

- name: Fail if its Secure Boot key is outdated
  ansible.builtin.assert:
    that: source.vms[0].secure_boot_key != 'outdated'

- name: Start it, unless it is generalized or may be
  macops.parallels.vm_power:
    name: "{{ source.vms[0].uuid }}"
    state: running
  when: source.vms[0].generalized is false

- name: Get facts about all VMs
  macops.parallels.vm_info:
  register: all_vms

- name: List those that have snapshots
  ansible.builtin.debug:
    msg: "{{ all_vms.vms | selectattr('snapshots') | map(attribute='name') }}"
"""

RETURN = r"""
vms:
  description: The virtual machines. Empty if there is none, or none with this name.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: The UUID, in lower case and without braces.
      type: str
      sample: de22df32-80e2-4e92-ba4b-efb3a66cf092
    name:
      description: Name in Control Center.
      type: str
      sample: Windows 11
    state:
      description:
        - V(stopped), V(running), V(suspended), V(paused), or V(invalid) if its files are missing or unreadable.
        - Any other value, such as V(stopping), means that Parallels is working on it.
      type: str
      sample: stopped
    os:
      description: Guest operating system, as C(prlctl) names it.
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
      description: Path of its bundle, or of its image if it is packed. Without a slash at the end.
      type: str
      sample: /Users/build/Parallels/Windows 11.pvm
    packed:
      description:
        - Whether it is packed into an image, a C(.pvmp) file.
        - Null if not known, or if it is neither packed nor unpacked, see RV(vms[].intermediate).
      type: bool
    intermediate:
      description:
        - Whether it is in an intermediate state, in a C(.pvmi) folder. Packing or unpacking it was started, but not
          finished. This may be in progress, or it was interrupted.
        - Parallels allows nothing else with such a virtual machine until M(macops.parallels.image_pack) or C(prlctl
          unpack) finishes it.
      type: bool
    encrypted:
      description: Whether its disks are encrypted. Null if Parallels does not report it.
      type: bool
    template:
      description:
        - Whether it is a template, which this collection neither clones nor packs.
        - Null if Parallels does not report it.
      type: bool
    tools:
      description: Parallels Tools in the guest.
      type: dict
      contains:
        state:
          description: V(installed), V(possibly_installed), V(outdated), V(not_installed) or V(unknown).
          type: str
        version:
          description: Version of Parallels Tools. Empty if unknown.
          type: str
      sample: {"state": "possibly_installed", "version": "20.0.0-55397"}
    linked_clone:
      description:
        - Whether it is a linked clone, whose disks depend on the disks of another virtual machine. Read from the file
          C(config.pvs) in its bundle, because C(prlctl) does not report it.
        - Null if that file cannot be read, and for a packed virtual machine.
      type: bool
    secure_boot_key:
      description:
        - V(outdated) if the platform key of Secure Boot is the one that updates from Microsoft and Parallels replace,
          V(current) for any other key, V(unknown) if no key is recorded.
        - Read from the file C(VmInfo.pvi) in its bundle, where Parallels Tools 26.3.3 and newer write the key. So it is
          V(unknown) for a packed virtual machine.
      type: str
      sample: current
    bytes_on_disk:
      description:
        - Bytes that the bundle or the image takes on the disk. Holes in sparse files take nothing.
        - Null if it cannot be read.
      type: int
      sample: 34359738368
    description:
      description: Description of the virtual machine. Null if Parallels does not report it.
      type: str
    cpus:
      description: Number of processors. Null if not known.
      type: int
      sample: 4
    memory:
      description: Memory in MiB. Null if not known.
      type: int
      sample: 8192
    pause_idle:
      description: Whether Parallels pauses it when it is idle. Null if Parallels does not report it.
      type: bool
    startup_view:
      description: View in which it starts, as C(prlctl) names it. Null if not reported.
      type: str
      sample: window
    on_shutdown:
      description: What happens to its window when it shuts down, as C(prlctl) names it. Null if not reported.
      type: str
      sample: window
    on_window_close:
      description: What happens to it when its window is closed, as C(prlctl) names it. Null if not reported.
      type: str
      sample: keep-running
    nested_virtualization:
      description: Whether the guest may run virtual machines of its own. Null if not reported.
      type: bool
    secure_boot:
      description: Whether Secure Boot is on. Null if not reported.
      type: bool
    tpm:
      description: Whether it has a virtual TPM. Null if not reported.
      type: bool
    asset_tag:
      description: Null. Parallels does not report the asset tag in the BIOS.
      type: str
    tools_autoupdate:
      description: Null. Parallels does not report whether it updates Parallels Tools by itself.
      type: bool
    share_mac_folders:
      description: Whether folders of the Mac are shared with the guest. Null if not reported.
      type: bool
    share_guest_folders:
      description: Whether folders of the guest are shared with the Mac. Null if not reported.
      type: bool
    share_profile:
      description: Whether folders of the Mac's user are those of the guest's user. Null if not reported.
      type: bool
    share_mac_apps:
      description: Whether applications of the Mac can be opened in the guest. Null if not reported.
      type: bool
    share_guest_apps:
      description: Whether applications of the guest can be opened on the Mac. Null if not reported.
      type: bool
    share_clipboard:
      description: Whether both have one clipboard. Null if not reported.
      type: bool
    share_cloud:
      description: Whether cloud folders of the Mac are shared with the guest. Null if not reported.
      type: bool
    share_location:
      description: Whether the guest knows the location of the Mac. Null if not reported.
      type: bool
    smart_mount:
      description: Whether disks and network shares of the Mac appear in the guest. Null if not reported.
      type: bool
    edit_locked:
      description: Whether its settings are locked. Null if not reported.
      type: bool
    isolated:
      description:
        - Whether it is isolated from the Mac. Read from the file C(config.pvs) in its bundle, because C(prlctl) does
          not report it.
        - Null if that file does not show it, and for a packed virtual machine.
      type: bool
    disks:
      description: Virtual hard disks. Null if Parallels does not report the hardware.
      type: list
      elements: dict
      contains:
        device:
          description: Name of the device.
          type: str
          sample: hdd0
        path:
          description: Path of the disk. Empty if the virtual machine is packed.
          type: str
          sample: /Users/build/Parallels/Windows 11.pvm/harddisk1.hdd
        format:
          description: V(expanding) for a disk that grows as it is used, or V(plain) for one that has its full size.
          type: str
          sample: expanding
        size:
          description: Size that the guest sees, in bytes. Null if Parallels does not report it.
          type: int
          sample: 137438953472
        bytes_on_disk:
          description: Bytes that it takes on the disk. V(0) if the virtual machine is packed. Null if not known.
          type: int
          sample: 30064771072
    snapshots:
      description:
        - Snapshots, each after its parent.
        - Null if Parallels cannot list them, such as those in an image.
      type: list
      elements: dict
      contains:
        id:
          description: ID of the snapshot, without braces.
          type: str
          sample: 64d481bb-ce04-45b1-8328-49e4e4c43ddf
        name:
          description: Name of the snapshot. Need not be unique.
          type: str
          sample: After updates
        date:
          description: When it was created, in the local time of the Mac.
          type: str
          sample: "2026-11-15 12:15:03"
        state:
          description: State of the virtual machine in the snapshot, as C(prlctl) names it, such as V(poweroff).
          type: str
          sample: poweroff
        current:
          description: Whether the virtual machine continues from it. Null if Parallels does not report it.
          type: bool
        parent:
          description: ID of the parent snapshot. Empty if there is none.
          type: str
        depth:
          description: How many ancestors it has.
          type: int
          sample: 0
    generalized:
      description:
        - Whether M(macops.parallels.vm_generalize) generalized it, as the note beside its bundle says. The guest itself
          is not asked.
        - V(true) if it is stopped and has not been started since. Starting it undoes it.
        - V(false) if nothing is noted. It may still have been generalized by other means.
        - Null if it is not known. It is running, or may have run since; or generalizing started and did not finish; or
          the note cannot be read.
      type: bool
      sample: true
    generalizing:
      description:
        - Whether M(macops.parallels.vm_generalize) started to generalize it and did not note the end. Do not start such
          a Windows virtual machine. Run M(macops.parallels.vm_generalize) again, which reports what to do.
        - Null if the note cannot be read.
      type: bool
      sample: false
    build_stage:
      description:
        - How far the build of an image got with it, as M(macops.parallels.vm) noted beside its bundle.
        - Null if the note cannot be read.
      type: dict
      contains:
        image:
          description: The image. Empty if nothing is noted.
          type: str
          sample: win11-2026.11.0-arm64
        stage:
          description:
            - V(provisioning), V(provisioned) or V(sealed). Empty if nothing is noted, or if the virtual machine was
              sealed and has run since.
          type: str
          sample: provisioned
    ip_address:
      description: IP address of the running guest, if Parallels knows it. Null if not.
      type: str
      sample: 10.211.55.12
    obstacles:
      description:
        - Why no image can be made of it, whatever its power state is. Empty if it is packed.
        - M(macops.parallels.image_pack) refuses it for the same reasons.
      type: list
      elements: dict
      contains:
        id:
          description:
            - V(intermediate), V(macos), V(bundle), V(template), V(linked_clone), V(encrypted), V(disks),
              V(physical_disk) or V(disk_outside).
            - An unknown fact has the same ID as one that is an obstacle.
          type: str
          sample: encrypted
        reason:
          description: The reason.
          type: str
          sample: it is encrypted, so the image could only be used with its password.
        advice:
          description: What to do about it.
          type: str
          sample: Choose another virtual machine.
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import FIRST_READ_LIMIT, Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import noted
from ansible_collections.macops.parallels.plugins.module_utils._parallels.obstacles import obstacles
from ansible_collections.macops.parallels.plugins.module_utils._parallels.stage import noted_stage
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import (
    RUNNING,
    find_vm,
    ip_addresses,
    list_vms,
)


def look(module: AnsibleModule) -> dict[str, Any]:
    """Return the virtual machines that are asked for."""
    prl = Prlctl(
        module.run_command,
        module.params["executable"],
        notice=notice_of(module),
        mends=False,
        read_limit=FIRST_READ_LIMIT,
    )
    name = module.params["name"]
    if name is None:
        vms = list_vms(prl)
    else:
        found = find_vm(prl, name, partly=True)
        vms = [found] if found else []
    for vm in vms:
        reasons = vm.why_unreadable()
        if reasons:
            prl.notice(f"'{vm.name}': {' '.join(reasons)} Facts that are not known are null.")
    addresses = ip_addresses(prl) if any(vm.state == RUNNING for vm in vms) else {}
    return {
        "changed": False,
        "vms": [
            {
                **vm.result(),
                **asdict(noted(vm)),
                "build_stage": asdict(stage) if (stage := noted_stage(vm)) is not None else None,
                "ip_address": addresses.get(vm.uuid),
                "obstacles": [asdict(obstacle) for obstacle in obstacles(vm)],
            }
            for vm in vms
        ],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "executable": {"type": "path"}},
        supports_check_mode=True,
    )
    run_module(module, look)


if __name__ == "__main__":
    main()
