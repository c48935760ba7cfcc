#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports the version, edition, license and free space of Parallels Desktop on a Mac."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_info
short_description: Gather facts about Parallels Desktop on a Mac
version_added: 1.0.0
description:
  - Reports the version, edition and license state of Parallels Desktop, the folder of its virtual machines, and the
    free space there.
  - Fails when Parallels Desktop is not installed, or does not respond in time. So a host on which it succeeds is a
    build Mac.
  - The license key is never returned.
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
  path:
    description:
      - Folder whose free space is returned, and whether it can be written to. If it does not exist, the nearest
        existing folder above it is used.
      - By default, the folder in which Parallels creates new virtual machines.
    type: path
  timeout:
    description:
      - Seconds that Parallels has for each answer.
      - A dialog on the Mac's screen, such as a license agreement after an update, makes its programs hang. Then the
        task fails after this time and says what to do.
    type: int
    default: 60
author:
  - The macops.parallels developers (!UNKNOWN)
seealso:
  - module: macops.parallels.vm_info
"""

EXAMPLES = r"""
- name: Gather facts about Parallels Desktop
  macops.parallels.mac_info:
    path: /Volumes/images
  register: mac

- name: Stop early when there is not enough free space
  ansible.builtin.assert:
    that: mac.free_bytes > 100 * 1024 ** 3
"""

RETURN = r"""
version:
  description: Version of Parallels Desktop, from C(prlsrvctl info).
  returned: success
  type: str
  sample: 26.4.1
build:
  description: Build number of that version; empty when it is not reported.
  returned: success
  type: str
  sample: "57516"
edition:
  description: V(enterprise), V(business), V(pro), V(standard) or V(unknown), from C(prlsrvctl info --license).
  returned: success
  type: str
  sample: enterprise
license_state:
  description:
    - V(valid), or another state that Parallels reports, such as V(expired); V(unknown) when it reports none.
    - V(graced) if the license has expired, but still works until its grace period ends. A warning reports that.
    - V(not_loaded) if there is a license that could be used, but Parallels Desktop has not loaded it. Parallels itself
      calls that C(VALID).
  returned: success
  type: str
  sample: valid
license_grace_period_ends_at:
  description: When the grace period of the license ends, as Parallels reports it. Empty when it is not reported.
  returned: success
  type: str
  sample: "2026-12-15 00:00:00"
vm_home:
  description: Folder in which Parallels creates new virtual machines.
  returned: success
  type: str
  sample: /Users/build/Parallels
architecture:
  description: Architecture of the Mac, from C(uname -m).
  returned: success
  type: str
  sample: arm64
free_bytes:
  description:
    - Free bytes at O(path) for the connecting user. Null if the volume does not report its free space.
  returned: success
  type: int
  sample: 549755813888
path_obstacle:
  description: Why O(path) cannot be written to or created, and what to do about it. Empty if it can.
  returned: success
  type: str
  sample: ""
path_shared:
  description:
    - Why other users of the Mac can put files into O(path), or exchange them. A warning reports that, too. Empty if
      they cannot, and without O(path).
    - Access control lists (ACLs) are not read.
  returned: success
  type: str
  sample: /Users/Shared is writable for its group and everybody
programs:
  description: Paths of the programs that this collection runs.
  returned: success
  type: dict
  contains:
    prlctl:
      description: Path of C(prlctl).
      type: str
      sample: /usr/local/bin/prlctl
    prlsrvctl:
      description: Path of C(prlsrvctl).
      type: str
      sample: /usr/local/bin/prlsrvctl
    prl_disk_tool:
      description: Path of C(prl_disk_tool).
      type: str
      sample: /usr/local/bin/prl_disk_tool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import FIRST_READ_LIMIT, Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.host import read_mac


def look(module: AnsibleModule) -> dict[str, Any]:
    """Return the facts of Parallels on this Mac."""
    prl = Prlctl(
        module.run_command,
        module.params["executable"],
        notice=notice_of(module),
        mends=False,
        read_limit=module.params["timeout"],
    )
    return {"changed": False, **read_mac(prl, module.params["path"] or "")}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "timeout": {"type": "int", "default": FIRST_READ_LIMIT},
            "executable": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run_module(module, look)


if __name__ == "__main__":
    main()
