# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Whether a VM has run since something was noted of it: its uptime, which Parallels counts, shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

# A VM that ran for less than this has not been through its first setup.
_SLACK = 60


def uptime_range(uptime: int, shutdown: float) -> Optional[list[int]]:
    """Return the range in which the uptime of a VM stays until it is started again; None if it is not counted.

    C(shutdown) are the seconds that a VM which still runs may take to shut down.
    """
    return [uptime, uptime + int(shutdown) + _SLACK] if uptime else None


def has_not_run(notes: Mapping[str, Any], noted: Optional[Sequence[int]], uptime: int) -> bool:
    """Return whether a stopped VM has not run since the range C(noted) was written into its claim, C(notes)."""
    if not noted:  # Parallels does not count it. The note is enough only for a clone, which only the playbook starts.
        return notes.get("operation") == "clone"
    low, high = noted
    return low <= uptime <= high
