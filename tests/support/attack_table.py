# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of attacks: what docs/security.md promises against each, and whether the tests that were run hold it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

_ROW = re.compile(r"^\| (?P<attack>.+?) \| (?P<promise>.+?) \| (?P<tests>[^|]*`tests/security/[^|]*) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/security/[^`]+)`")


@dataclasses.dataclass(frozen=True)
class Attack:
    """A row of the page; its tests are files or names, of which each may have several cases."""

    attack: str
    promise: str
    tests: tuple[str, ...]

    def held(self, outcomes: Mapping[str, bool]) -> str:
        """Return whether the promise was held. C(outcomes) says of each test that was run whether it passed."""
        found = [self._of(test, outcomes) for test in self.tests]
        if not all(found):
            return "not tried"
        return "held" if all(passed for of_test in found for passed in of_test) else "BROKEN"

    @staticmethod
    def _of(test: str, outcomes: Mapping[str, bool]) -> list[bool]:
        return [
            passed for name, passed in outcomes.items() if name == test or name.startswith((f"{test}[", f"{test}::"))
        ]


def attacks_in(page: str) -> Iterator[Attack]:
    """Yield the attacks of the page that tests/security tries."""
    for row in _ROW.finditer(page):
        yield Attack(row["attack"], row["promise"], tuple(_TEST.findall(row["tests"])))


def summary(page: str, outcomes: Mapping[str, bool]) -> list[str]:
    """Return the table, and a line with the totals."""
    attacks = list(attacks_in(page))
    said = [attack.held(outcomes) for attack in attacks]
    rows = [f"| {attack.attack} | {attack.promise} | {held} |" for attack, held in zip(attacks, said)]
    return ["| attack | promise | held |", "|---|---|---|", *rows, f"attacks held {said.count('held')} of {len(said)}"]
