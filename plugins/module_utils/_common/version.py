# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The version of this collection, as in galaxy.yml: managed hosts get only the Python files."""

from __future__ import annotations

VERSION = "1.0.0"
