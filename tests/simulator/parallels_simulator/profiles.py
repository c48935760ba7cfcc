# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the versions and editions of Parallels Desktop that can be simulated."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """One version of Parallels Desktop."""

    key: str
    version: str
    build: str
    has_packed_key: bool
    tools: str

    @property
    def full(self) -> str:
        """Return version and build as Tools and configuration files write them."""
        return f"{self.version}-{self.build}"


PROFILES = {
    "16": Profile("16", "16.5.0", "49183", False, "16.5.0-49183"),
    "20": Profile("20", "20.0.0", "55397", True, "20.0.0-55397"),
    "26": Profile("26", "26.4.1", "57516", True, "26.4.1-57516"),
}

EDITIONS = ("enterprise", "business", "pro", "standard")
ARCHITECTURES = ("arm64", "x86_64")
EDITIONS_WITH_CLI = ("enterprise", "business", "pro")
