# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated Mac with Parallels Desktop: stand-ins for prlctl, prlsrvctl and prl_disk_tool with real bytes on disk.

It is a simulation: nothing here is Parallels' code, and no plugin of the collection imports it.
"""

from __future__ import annotations

NOTICE = "SIMULATION of Parallels Desktop for tests: not the real thing"
