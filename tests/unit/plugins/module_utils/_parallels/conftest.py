# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves out what needs a library that this Python does not have."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.version_info >= (3, 12) else ["test_powershell.py"]
