# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of every PowerShell script that goes to a guest. None of them is run here.

The grammar has no release for the Mac's Python 3.9, so there are no tests there. The scripts are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._parallels import (
    guest_scripts,
    guest_work,
    inventory,
    readiness_questions,
    sysprep,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_answer import powershell_script

WORK = guest_work.Work(SimpleNamespace(windows=True), "0123456789abcdef")  # type: ignore[arg-type]
SCRIPTS = {
    "loader": guest_scripts.WINDOWS_LOADER,
    "runner": guest_scripts.WINDOWS_RUNNER,
    "readiness": powershell_script(readiness_questions.POWERSHELL),
    "inventory": powershell_script(inventory._POWERSHELL),
    "what stops Sysprep": powershell_script(sysprep._FACTS),
    "sizes of the logs": powershell_script(sysprep._SIZES),
    "new lines of a log": powershell_script(
        sysprep._NEW_LINES.replace("NAME", "setuperr").replace("PATH", "C:\\log").replace("FROM", "7")
    ),
    "remove packages": sysprep._REMOVE.replace("NAMES", "'a','b''s'"),
    "provision packages": sysprep._PROVISION.replace("NAMES", "'a'"),
    "prevent encryption": sysprep._PREVENT_ENCRYPTION,
    "no hibernation": sysprep._NO_HIBERNATION,
    **{
        f"long work: {script}": powershell_script(WORK._filled(getattr(guest_work, script), "b64=\nb64=\n.name"))
        for script in ("_WINDOWS_BEGIN", "_WINDOWS_LOOK", "_WINDOWS_STOP", "_WINDOWS_REMOVE")
    },
}


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


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("name", SCRIPTS)
    def test_the_grammar_of_powershell(name: str) -> None:
        assert SCRIPTS[name].isascii()
        assert errors(SCRIPTS[name]) == []

    def test_wrong_powershell_is_found() -> None:
        assert errors("if ($x { 'y' }") != []
