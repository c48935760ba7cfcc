#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs a virtual machine into an image, and unpacks it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pack
short_description: Pack a virtual machine of Parallels Desktop into an image
version_added: 1.0.0
description:
  - Packs a virtual machine into an image, one C(.pvmp) file beside its bundle, or unpacks it again. It stays
    registered, under the same name and UUID. The checksum files beside an image are removed when it is unpacked.
  - A virtual machine that must not be packed is refused, with the reason and what to do about it. So is one with disks
    outside of its bundle, because they would be missing in the image. The free space is checked first.
  - Afterwards, the module verifies that the image is the home of the virtual machine, a regular file, and not empty.
  - A killed run does no harm. A note beside the image, C(.<file name>.claim.json), shows that an incomplete image was
    made by this module, so that the next run removes it and packs again. A file that is in the way and was not made by
    this module is reported and never changed. A warning reports what was removed.
  - If Parallels left the bundle beside the image, unpacking registers that bundle again. The image is removed when the
    bundle is known to be whole. A virtual machine that a killed run unregistered for that is registered again by the
    next run.
  - Packing or unpacking that was interrupted may leave the virtual machine in an intermediate state, in a C(.pvmi)
    folder. The module lets Parallels finish that first.
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
    description: Whether the virtual machine should be packed.
    type: str
    choices: [packed, unpacked]
    default: packed
  timeout:
    description:
      - Timeout for the packing, in seconds, 14400 (four hours) by default. Packing takes minutes for some GB.
      - After the timeout, the packing is stopped and its leftovers are removed, unless Parallels is still writing them.
      - The module waits as long for another run that is already packing this virtual machine.
    type: int
    default: 14400
  allow_snapshots:
    description:
      - Whether a virtual machine with snapshots may be packed. They make the image bigger, and Parallels warns that
        they may not work on another Mac.
    type: bool
    default: false
  allow_encrypted:
    description:
      - Whether an encrypted virtual machine may be packed. Its image can only be used with its password.
      - Without this option, a virtual machine of which Parallels does not report whether it is encrypted is an error,
        too.
    type: bool
    default: false
  force:
    description:
      - Whether to pack a virtual machine even if linked clones depend on its snapshots, or may depend on them because
        another virtual machine cannot be read. Their disks are lost with it. By default, that is an error.
    type: bool
    default: false
author:
  - The macops.parallels developers (!UNKNOWN)
seealso:
  - module: macops.parallels.image_checksum
  - module: macops.parallels.image_upload
"""

EXAMPLES = r"""
- name: Pack the build VM
  macops.parallels.image_pack:
    name: win11-2026.11.0-arm64
    timeout: 7200
  register: image

- name: Show the image
  ansible.builtin.debug:
    msg: "{{ image.path }}: {{ image.size | ansible.builtin.human_readable }} in {{ image.seconds }} seconds"

- name: Unpack it again
  macops.parallels.image_pack:
    name: win11-2026.11.0-arm64
    state: unpacked
"""

RETURN = r"""
path:
  description: Path of the image, or of the bundle when it is not packed. In check mode, the path that it would have.
  returned: success
  type: str
  sample: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
size:
  description: Size of the image in bytes.
  returned: when it is packed
  type: int
  sample: 17179869184
seconds:
  description: Duration in seconds; 0 when nothing was done.
  returned: success
  type: float
  sample: 512.4
left_behind:
  description: Leftovers on the disk that could not be removed after a failure.
  returned: when something was left behind
  type: list
  elements: str
timed_out:
  description: Whether the work was stopped after O(timeout).
  returned: when it was
  type: bool
state:
  description: The state of the virtual machine.
  returned: when the virtual machine was refused
  type: str
  sample: running
linked_clones:
  description: UUIDs of the linked clones that would be lost.
  returned: when linked clones depend on the virtual machine
  type: list
  elements: str
unreadable:
  description: UUIDs of the virtual machines that cannot be read and may be linked clones.
  returned: when it is not known whether linked clones depend on the virtual machine
  type: list
  elements: str
free_bytes:
  description: Free bytes on the disk.
  returned: when they are not enough, or when the disk filled up during the work
  type: int
needed_bytes:
  description: Bytes that may be needed.
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
      sample: [/usr/local/bin/prlctl, pack, de22df32-80e2-4e92-ba4b-efb3a66cf092]
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
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.pack import (
    PACK,
    UNPACK,
    PackOrder,
    image_facts,
    pack,
    target_of,
    unpack,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm


def ensure(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Pack or unpack the virtual machine."""
    params = module.params
    prl = prlctl_of(module)
    vm = get_vm(prl, params["name"])
    job.subject = vm.name
    start = time.monotonic()
    if params["state"] == "packed":
        order = PackOrder(params["timeout"], params["allow_snapshots"], params["allow_encrypted"], params["force"])
        report = job.progress("Packing", estimate=True)
        changed = pack(prl, vm, order, dry=module.check_mode, report=report)
    else:
        report = job.progress("Unpacking", estimate=True)
        changed = unpack(prl, vm, params["timeout"], dry=module.check_mode, report=report)
    seconds = round(time.monotonic() - start, 1) if changed else 0.0
    if changed and module.check_mode:
        facts = {"path": target_of(vm, PACK if params["state"] == "packed" else UNPACK)}
    else:
        facts = image_facts(get_vm(prl, vm.uuid) if changed else vm)
    return {
        "changed": changed,
        "seconds": seconds,
        **facts,
        "commands": prl.commands(),
        "diff": {
            "before": {"home": os.path.basename(vm.home)},
            "after": {"home": os.path.basename(facts["path"])},
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["packed", "unpacked"], "default": "packed"},
            "timeout": {"type": "int", "default": 14400},
            "allow_snapshots": {"type": "bool", "default": False},
            "allow_encrypted": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_long_module(module, ensure)


if __name__ == "__main__":
    main()
