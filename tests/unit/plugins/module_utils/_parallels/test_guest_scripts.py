# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts for guests: PowerShell cannot be run here, so at least its grammar is checked; sh checks its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._parallels import guest_scripts

SHELL = ("UNIX_LOADER", "UNIX_COMMAND", "UNIX_FILE", "UNIX_STORE")
POWERSHELL = ("WINDOWS_LOADER", "WINDOWS_RUNNER")
# Its grammar is no library for the Mac's Python 3.9; the scripts are the same everywhere.
has_grammar = pytest.mark.skipif(sys.version_info < (3, 12), reason="tree-sitter needs a newer Python")


def errors(script: str) -> list[str]:
    """Return the parts of a script that are no PowerShell."""
    import tree_sitter
    import tree_sitter_powershell

    source = script.encode()
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))

    def wrong(node: Any) -> Iterator[str]:
        if node.type == "ERROR" or node.is_missing:
            yield source[node.start_byte : node.end_byte].decode()
        for child in node.children:
            yield from wrong(child)

    return list(wrong(parser.parse(source).root_node))


@pytest.mark.parametrize("name", [*SHELL, *POWERSHELL])
def test_scripts_are_plain(name: str) -> None:
    assert getattr(guest_scripts, name).isascii()


@pytest.mark.parametrize("name", SHELL)
@pytest.mark.parametrize("shell", [["sh", "-n"], ["bash", "--posix", "-n"]])
def test_the_grammar_of_the_shell(name: str, shell: list[str]) -> None:
    done = subprocess.run(shell, input=getattr(guest_scripts, name), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@has_grammar
@pytest.mark.parametrize("name", POWERSHELL)
def test_the_grammar_of_powershell(name: str) -> None:
    assert errors(getattr(guest_scripts, name)) == []


@has_grammar
def test_wrong_powershell_is_found() -> None:
    assert errors("if ($x { 'y' }") != []
