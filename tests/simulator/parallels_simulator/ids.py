# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New ids and addresses."""

from __future__ import annotations


def new_uuid() -> str:
    """Return an id as JSON shows it."""
    import uuid  # slow to load, and most calls need no id

    return str(uuid.uuid4())


def new_guid() -> str:
    """Return an id in braces, as text and XML show it."""
    return f"{{{new_uuid()}}}"


def new_mac_address() -> str:
    """Return a network address with Parallels' prefix."""
    return "001C42" + new_uuid()[:6].upper()
