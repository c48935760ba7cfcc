# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test copies to an integration target only the files that its aliases name."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_the_aliases_name_every_file_of_the_simulator() -> None:
    aliases = (TESTS / "integration" / "targets" / "setup_simulator" / "aliases").read_text(encoding="utf-8").split()
    named = {alias[len("needs/file/") :] for alias in aliases if alias.startswith("needs/file/")}
    files = [TESTS / "simulator" / "simulate", *(TESTS / "simulator" / "parallels_simulator").rglob("*.py")]
    assert named == {path.relative_to(TESTS.parent).as_posix() for path in files}
