#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones, registers, changes, removes and unregisters a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Clone, register, change and remove a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Ensures that a virtual machine exists with the given settings, as a full clone of another one or registered from
    its files; or that it does not exist.
  - A running virtual machine can be cloned. It is shut down gracefully, never powered off by force, and started again
    after the cloning, even when the cloning fails.
  - A killed run does no harm. A note beside the clone, C(.<name>.pvm.claim.json), shows that the clone was made by this
    module. The next run removes an unfinished clone, makes it again, and starts the source if it was running. The note
    stays for as long as the clone exists.
  - A finished clone whose files exist, but that is no longer registered in Parallels, is registered again. A warning
    reports that, and everything that was removed.
  - Files that are in the way and were not made by this module are reported and never changed.
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
      - An existing clone is not compared with its source.
  platform:
    platforms: macos
    support: full
options:
  name:
    description:
      - Name of the virtual machine. For an existing one, the UUID works as well.
    type: str
    required: true
  state:
    description:
      - V(present) creates it with O(clone_of) or O(path) if it does not exist, and applies the settings.
      - V(absent) removes it with its files. A running or paused one is not removed, nor a template. With O(clone_of),
        the checksum files beside its packed image are removed, too.
      - V(unregistered) removes it from the list of Parallels and keeps its files.
    type: str
    choices: [present, absent, unregistered]
    default: present
  clone_of:
    description:
      - Name or UUID of the virtual machine to clone.
      - With O(state=present), the task fails if a virtual machine O(name) exists that this module did not make as a
        clone of that source.
      - With O(state=absent), only a clone that this module made of that source is removed; any other is an error. Its
        leftovers of a killed run are removed, too.
    type: str
  path:
    description: Bundle (C(.pvm), C(.macvm)) or image (C(.pvmp)) to register as O(name).
    type: path
  preserve_uuid:
    description:
      - Whether a virtual machine that is registered from O(path) keeps its UUID. Use V(false) for a copy of a virtual
        machine that is also registered.
    type: bool
    default: true
  dest:
    description:
      - Folder for the clone. It is created if it does not exist.
      - By default, the folder in which Parallels creates new virtual machines.
    type: path
  stop_source:
    description:
      - Whether to shut down a running O(clone_of) for the cloning and start it again. By default, a running one is an
        error.
      - Several runs that clone the same source take turns. The last one starts it again.
      - A suspended or paused one is always an error, because its memory is not discarded by default.
    type: bool
    default: false
  stop_timeout:
    description: Seconds to wait for O(clone_of) to shut down.
    type: int
    default: 300
  timeout:
    description: Timeout for the cloning, in seconds.
    type: int
    default: 14400
  force:
    description:
      - With O(state=absent), whether to remove a virtual machine even if linked clones depend on it, or may depend on
        it because another virtual machine cannot be read. Their disks are lost with it. By default, that is an error.
    type: bool
    default: false
  description:
    description: Description of the virtual machine.
    type: str
  cpus:
    description: Number of processors. Can only be changed while the virtual machine is shut down.
    type: int
  memory:
    description: Memory in MiB. Can only be changed while the virtual machine is shut down.
    type: int
  pause_idle:
    description: Whether Parallels pauses it when it is idle. This disturbs unattended work in the guest.
    type: bool
  startup_view:
    description: View in which it starts, as a value of C(prlctl set), such as V(headless) or V(window).
    type: str
  on_shutdown:
    description: What happens to its window when it shuts down, as a value of C(prlctl set), such as V(close).
    type: str
  on_window_close:
    description: What happens to it when its window is closed, as a value of C(prlctl set), such as V(keep-running).
    type: str
  nested_virtualization:
    description:
      - Whether the guest may run virtual machines of its own. Can only be changed while the virtual machine is shut
        down.
    type: bool
  secure_boot:
    description: Whether Secure Boot is on. Can only be changed while the virtual machine is shut down.
    type: bool
  tpm:
    description:
      - Whether it has a virtual TPM. Can only be changed while the virtual machine is shut down. Windows 11 needs one.
    type: bool
  asset_tag:
    description:
      - Asset tag in its BIOS, as a value of C(prlctl set --asset-id). Can only be changed while the virtual machine is
        shut down.
      - Parallels does not report it, so it is set each time, and a warning says that it could not be verified. In the
        guest, C(Win32_SystemEnclosure.SMBIOSAssetTag) or C(dmidecode -s chassis-asset-tag) shows it.
      - Parallels documents an asset tag, but not this option of C(prlctl). It was not tried on a real Mac.
    type: str
  tools_autoupdate:
    description:
      - Whether Parallels updates Parallels Tools in the guest by itself.
      - Parallels does not report it, so it is set each time, and a warning says that it could not be verified.
    type: bool
  share_mac_folders:
    description: Whether folders of the Mac are shared with the guest.
    type: bool
  share_guest_folders:
    description: Whether folders of the guest are shared with the Mac.
    type: bool
  share_profile:
    description: Whether the desktop, documents and other folders of the Mac's user are those of the guest's user.
    type: bool
  share_mac_apps:
    description: Whether applications of the Mac can be opened in the guest.
    type: bool
  share_guest_apps:
    description: Whether applications of the guest can be opened on the Mac.
    type: bool
  share_clipboard:
    description: Whether both have one clipboard.
    type: bool
  share_cloud:
    description: Whether cloud folders of the Mac, such as iCloud Drive, are shared with the guest.
    type: bool
  share_location:
    description: Whether the guest knows the location of the Mac.
    type: bool
  smart_mount:
    description: Whether disks and network shares of the Mac appear in the guest.
    type: bool
  edit_locked:
    description:
      - Whether its settings are locked, so that changes need an administrator.
      - V(false) is applied before all other settings.
    type: bool
  isolated:
    description:
      - Whether it is isolated from the Mac. Nothing is shared then, whatever the other settings are.
      - It is applied after all other settings. M(macops.parallels.vm_exec) and the other modules that run commands in
        the guest do not work in an isolated virtual machine.
    type: bool
  build_stage:
    description:
      - Notes beside the bundle how far the build of an image got with the virtual machine, because neither Parallels
        nor the guest shows it. M(macops.parallels.vm_info) returns it.
      - The roles of this collection use it, so that a virtual machine is not provisioned again once it is sealed, and
        not sealed while it is only half provisioned.
    type: dict
    suboptions:
      image:
        description: The image that is built, as text of your own.
        type: str
        required: true
      stage:
        description:
          - V(provisioning) if its provisioning was started, V(provisioned) if that was finished.
          - V(sealed) if it is ready to be packed. It must be stopped then. The note is no longer valid when Parallels'
            uptime counter shows that the virtual machine has run since.
        type: str
        required: true
        choices: [provisioning, provisioned, sealed]
author:
  - The macops.parallels developers (!UNKNOWN)
seealso:
  - module: macops.parallels.vm_info
  - module: macops.parallels.vm_power
"""

EXAMPLES = r"""
- name: Clone the source VM, which may be running
  macops.parallels.vm:
    name: win11-2026.11.0-arm64
    clone_of: Windows 11
    dest: /Users/build/Parallels
    stop_source: true

- name: Register an image, and unpack it
  macops.parallels.vm:
    name: win11-2026.10.0-arm64
    path: /Volumes/images/win11-2026.10.0-arm64.pvmp
    preserve_uuid: false

- name: Prepare a VM for unattended work
  macops.parallels.vm:
    name: Windows 11
    cpus: 4
    memory: 8192
    pause_idle: false
    on_window_close: keep-running

- name: Note that a role of your own has provisioned the clone
  macops.parallels.vm:
    name: win11-2026.11.0-arm64
    build_stage:
      image: win11-2026.11.0-arm64
      stage: provisioned

- name: Separate a VM from the Mac on which it runs
  macops.parallels.vm:
    name: win11-2026.11.0-arm64
    share_mac_folders: false
    share_profile: false
    share_clipboard: false
    share_cloud: false
    smart_mount: false
    tools_autoupdate: false
    isolated: true

- name: Remove the clone, but nothing that is not a clone
  macops.parallels.vm:
    name: win11-2026.11.0-arm64
    clone_of: Windows 11
    state: absent
"""

RETURN = r"""
vm:
  description:
    - The virtual machine, as an element of RV(macops.parallels.vm_info#module:vms) but without C(generalized),
      C(generalizing), C(build_stage), C(ip_address) and C(obstacles). If it was removed or unregistered, its state
      before.
    - Empty when there is none, and in check mode for one that would be created.
  returned: success
  type: dict
  sample:
    uuid: de22df32-80e2-4e92-ba4b-efb3a66cf092
    name: win11-2026.11.0-arm64
    state: stopped
    os: win-11
    family: windows
    arch: arm64
    home: /Users/build/Parallels/win11-2026.11.0-arm64.pvm
    packed: false
    intermediate: false
    encrypted: false
    linked_clone: false
    snapshots: []
linked_clones:
  description: UUIDs of the linked clones that would be lost.
  returned: when linked clones depend on a virtual machine that is to be removed
  type: list
  elements: str
unreadable:
  description: UUIDs of the virtual machines that cannot be read and may be linked clones.
  returned: when it is not known whether linked clones depend on a virtual machine that is to be removed
  type: list
  elements: str
files:
  description:
    - What became of the files of the virtual machine that was removed.
    - V(removed) if they are gone. V(left) if they are still there, or V(unknown) if that cannot be seen, such as on a
      disk that is not mounted. A virtual machine whose files are missing or unreadable is only taken off Parallels'
      list. A warning reports what to do.
  returned: when a virtual machine was removed without O(clone_of)
  type: str
  sample: removed
doubts:
  description: Why a clone that Parallels made did not pass the check.
  returned: when the clone did not pass the check
  type: list
  elements: str
free_bytes:
  description: Free bytes in the folder for the clone.
  returned: when they are not enough, or when the disk filled up during the cloning
  type: int
needed_bytes:
  description: Bytes that the source takes on its disk.
  returned: when the free space is not enough, or when the disk filled up during the cloning
  type: int
path:
  description: The file or folder that the failure is about.
  returned: when a file or folder is in the way, missing, or was not deleted
  type: str
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
      sample: [/usr/local/bin/prlctl, clone, de22df32-80e2-4e92-ba4b-efb3a66cf092, --name, win11-2026.11.0-arm64]
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

import os
from dataclasses import asdict
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.clone import (
    CloneOrder,
    ensure_clone,
    ensure_no_clone,
    forget_clone,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.host import vm_home
from ansible_collections.macops.parallels.plugins.module_utils._parallels.lifecycle import (
    apply_settings,
    delete,
    refuse_removal,
    refuse_running,
    register,
    unregister,
    what_is_left,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.settings import SETTINGS, Settings
from ansible_collections.macops.parallels.plugins.module_utils._parallels.stage import STAGES, BuildStage, note_stage
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import INVALID, Vm, find_vm


def ensure(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Bring the virtual machine into the wanted state."""
    prl = prlctl_of(module)
    job.subject = module.params["name"]
    states = {"present": _ensure_present, "absent": _ensure_absent, "unregistered": _ensure_unregistered}
    return {**states[module.params["state"]](module, prl, job), "commands": prl.commands()}


def _ensure_present(module: AnsibleModule, prl: Prlctl, job: Job) -> dict[str, Any]:
    params = module.params
    wanted = Settings(**{key: params[key] for key in SETTINGS})
    dry = module.check_mode
    if params["clone_of"] is not None:
        order = CloneOrder(
            name=params["name"],
            source=params["clone_of"],
            dest=_folder(params, prl),
            stop_source=params["stop_source"],
            stop_timeout=params["stop_timeout"],
            timeout=params["timeout"],
        )
        vm, made = ensure_clone(prl, order, dry=dry, report=job.progress("Cloning", estimate=True))
    elif params["path"] is not None:
        path = os.path.abspath(params["path"])
        vm, made = register(prl, params["name"], path, new_uuid=not params["preserve_uuid"], dry=dry)
    else:
        vm, made = find_vm(prl, params["name"]), False
        if vm is None:
            raise TaskError(
                f"There is no virtual machine '{params['name']}' for this user. Set what to create it from: clone_of "
                "or path."
            )
    if vm is None:
        return _result(module, None, made, {}, {"state": "present", **_given(wanted)})
    now, differing = apply_settings(prl, vm, wanted, dry=dry)
    before = {key: getattr(vm.settings, key) for key in differing}
    stage = params["build_stage"]
    noted = note_stage(prl, now, BuildStage(**stage), dry=dry) if stage is not None else None
    if noted is not None:
        before["build_stage"], differing["build_stage"] = asdict(noted), stage
    return _result(
        module,
        now,
        made or bool(differing),
        {} if made else {"state": "present", **before},
        {"state": "present", **differing},
    )


def _folder(params: dict[str, Any], prl: Prlctl) -> str:
    return os.path.abspath(params["dest"]) if params["dest"] else vm_home(prl)


def _given(wanted: Settings) -> dict[str, Any]:
    return {key: value for key, value in asdict(wanted).items() if value is not None}


def _ensure_absent(module: AnsibleModule, prl: Prlctl, _job: Job) -> dict[str, Any]:
    params = module.params
    if params["clone_of"] is not None:
        dest = _folder(params, prl)
        vm, changed = ensure_no_clone(
            prl, params["name"], params["clone_of"], dest, dry=module.check_mode, force=params["force"]
        )
    else:
        vm = find_vm(prl, params["name"])
        changed = vm is not None
        if vm is not None:
            state = refuse_removal(prl, vm, force=params["force"])
            if not module.check_mode:
                left = delete(prl, vm, state)
                if left:
                    raise TaskError(
                        f"Parallels removed '{vm.name}' from its list, but {left} is still there. Delete it by hand.",
                        path=left,
                    )
                files, sentence = what_is_left(vm) if state == INVALID else ("removed", "")
                if sentence:
                    prl.notice(sentence)
                if files == "removed":
                    forget_clone(vm)
                return {**_result(module, vm, changed, {"state": "present"}, {"state": "absent"}), "files": files}
    return _result(module, vm, changed, {"state": "present"}, {"state": "absent"})


def _ensure_unregistered(module: AnsibleModule, prl: Prlctl, _job: Job) -> dict[str, Any]:
    vm = find_vm(prl, module.params["name"])
    if vm is not None:
        refuse_running(prl, vm, "unregistered")
        if not module.check_mode:
            unregister(prl, vm)
    return _result(module, vm, vm is not None, {"state": "present"}, {"state": "unregistered"})


def _result(
    module: AnsibleModule, vm: Optional[Vm], changed: bool, before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    name = {"name": vm.name if vm is not None else module.params["name"]}
    return {
        "changed": changed,
        "vm": vm.result() if vm is not None else {},
        "diff": {
            "before": {**name, **(before or {"state": "absent"})} if changed else {},
            "after": {**name, **after} if changed else {},
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "unregistered"], "default": "present"},
            "clone_of": {"type": "str"},
            "path": {"type": "path"},
            "preserve_uuid": {"type": "bool", "default": True},
            "dest": {"type": "path"},
            "stop_source": {"type": "bool", "default": False},
            "stop_timeout": {"type": "int", "default": 300},
            "timeout": {"type": "int", "default": 14400},
            "force": {"type": "bool", "default": False},
            "description": {"type": "str"},
            "cpus": {"type": "int"},
            "memory": {"type": "int"},
            "pause_idle": {"type": "bool"},
            "startup_view": {"type": "str"},
            "on_shutdown": {"type": "str"},
            "on_window_close": {"type": "str"},
            "nested_virtualization": {"type": "bool"},
            "secure_boot": {"type": "bool"},
            "tpm": {"type": "bool"},
            "asset_tag": {"type": "str"},
            "tools_autoupdate": {"type": "bool"},
            "share_mac_folders": {"type": "bool"},
            "share_guest_folders": {"type": "bool"},
            "share_profile": {"type": "bool"},
            "share_mac_apps": {"type": "bool"},
            "share_guest_apps": {"type": "bool"},
            "share_clipboard": {"type": "bool"},
            "share_cloud": {"type": "bool"},
            "share_location": {"type": "bool"},
            "smart_mount": {"type": "bool"},
            "edit_locked": {"type": "bool"},
            "isolated": {"type": "bool"},
            "build_stage": {
                "type": "dict",
                "options": {
                    "image": {"type": "str", "required": True},
                    "stage": {"type": "str", "required": True, "choices": list(STAGES)},
                },
            },
            "executable": {"type": "path"},
        },
        mutually_exclusive=[("clone_of", "path")],
        supports_check_mode=True,
    )
    run_long_module(module, ensure)


if __name__ == "__main__":
    main()
