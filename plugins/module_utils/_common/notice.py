# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Notices: plain sentences for the admin about what was found and done, which a module shows as warnings."""

from __future__ import annotations

from typing import Callable

# Takes one plain sentence for the admin.
Notice = Callable[[str], None]


def unheard(_sentence: str) -> None:
    """Drop a notice, for callers that do not show any."""
