# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What the modules that drive Parallels Desktop have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment: where the programs of Parallels Desktop are."""

    DOCUMENTATION = r"""
options:
  executable:
    description:
      - Path of C(prlctl), if it is not in one of the usual places. C(prlsrvctl) and C(prl_disk_tool) have to be in the
        same folder.
      - By default the programs are searched on E(PATH), in C(/usr/local/bin), then in C(Contents/MacOS) of
        C(/Applications/Parallels Desktop.app).
    type: path
requirements:
  - Parallels Desktop for Mac, an edition with command-line tools (Pro, Business or Enterprise).
notes:
  - Run it as the macOS user who owns the virtual machines, not as root. Parallels keeps a list of virtual machines for
    each user.
"""
