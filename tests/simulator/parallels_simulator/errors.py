# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of the simulated programs and of the C(simulate) command."""

from __future__ import annotations


class CommandError(Exception):
    """A simulated program fails: these lines on stderr, this exit code."""

    def __init__(self, stderr: str, rc: int = 255) -> None:
        super().__init__(stderr)
        self.stderr = stderr
        self.rc = rc


class SimulatorError(Exception):
    """The C(simulate) command cannot do what was requested."""
