# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts for guests: PowerShell cannot be run here, so at least its grammar is checked; sh checks its own."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._parallels import guest_scripts

SHELL = ("UNIX_LOADER", "UNIX_COMMAND", "UNIX_FILE", "UNIX_STORE")
POWERSHELL = ("WINDOWS_LOADER", "WINDOWS_RUNNER")


@pytest.mark.parametrize("name", [*SHELL, *POWERSHELL])
def test_scripts_are_plain(name: str) -> None:
    assert getattr(guest_scripts, name).isascii()


@pytest.mark.parametrize("name", SHELL)
@pytest.mark.parametrize("shell", [["sh", "-n"], ["bash", "--posix", "-n"]])
def test_the_grammar_of_the_shell(name: str, shell: list[str]) -> None:
    done = subprocess.run(shell, input=getattr(guest_scripts, name), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
