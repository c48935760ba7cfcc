# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage found: counts, from JUnit files and from exit codes, and the reasons of every skip."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable
from xml.etree import ElementTree

LONGEST = 1000

# What ansible-test says when a sanity test has nothing to look at: that is no test that was left out.
NOTHING_TO_TEST = "No tests applicable."

# A warning of Ansible's in the output of a run. A user would see it too, so it counts as a failure.
WARNING = re.compile(r"\[(?:DEPRECATION )?WARNING\]:? ?(.*)")


@dataclasses.dataclass
class Counts:
    """Tests that passed, failed and were skipped, with the reasons of the last two."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    skips: list[str] = dataclasses.field(default_factory=list)
    # What the tests themselves have to report.
    notes: list[str] = dataclasses.field(default_factory=list)
    # Whether the tests were to be listed, and none to be run.
    only_listed: bool = False

    def add(self, other: Counts) -> None:
        """Add what another part of the same run found."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips
        self.notes += other.notes
        self.only_listed = self.only_listed or other.only_listed

    @property
    def good(self) -> bool:
        """Tell whether nothing failed, and something was done that was asked for."""
        return not self.failed and bool(self.passed or self.only_listed)

    def check(self, name: str, held: bool) -> None:
        """Count one check that passed or failed."""
        if held:
            self.passed += 1
        else:
            self.fail(name)

    def fail(self, name: str) -> None:
        """Count one failure."""
        self.failed += 1
        self.failures.append(name)

    def skip(self, reason: str) -> None:
        """Count one skip."""
        self.skipped += 1
        self.skips.append(reason)

    def closing_line(self) -> str:
        """Return the counts in words."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_junit(files: Iterable[pathlib.Path]) -> Counts:
    """Return the counts of JUnit files, as pytest and ansible-test write them."""
    counts = Counts()
    for path in sorted(files):
        for case in ElementTree.parse(path).iter("testcase"):
            _count_case(counts, case)
    return counts


def _count_case(counts: Counts, case: ElementTree.Element) -> None:
    name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
    failed = next((part for part in case if part.tag in ("failure", "error")), None)
    skipped = case.find("skipped")
    if failed is not None:
        counts.fail(f"{name}: {_words_of(failed)}")
    elif skipped is None:
        counts.passed += 1
    elif _words_of(skipped) != NOTHING_TO_TEST:
        counts.skip(f"{name}: {_words_of(skipped)}")


def _words_of(part: ElementTree.Element) -> str:
    """Return what a test said, shortened: the whole is in the stage's log."""
    words = part.get("message") or (part.text or "").strip() or "no reason given"
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} ..."


def find_fault_table(output: str) -> list[str]:
    """Return the table of faults that the scenarios print, with its totals; nothing where there is none."""
    found = re.search(r"(?:^\| .*\n|^\|---.*\n)+^faults injected .*$", output, re.MULTILINE)
    return found.group(0).splitlines() if found else []


def find_promises(output: str) -> list[str]:
    """Return the matrix of what each kind of store promises, with its totals; nothing where there is none."""
    found = re.search(r"^\| promise .*\n(?:.*\n)+?promises kept .*$", output, re.MULTILINE)
    return found.group(0).splitlines() if found else []


def find_attacks(output: str) -> list[str]:
    """Return the table of attacks and promises, with its totals; nothing where there is none."""
    found = re.search(r"^\| attack .*\n(?:.*\n)+?attacks held .*$", output, re.MULTILINE)
    return found.group(0).splitlines() if found else []


def find_awx_table(output: str) -> list[str]:
    """Return how the stand-in of AWX compares with what was recorded, with its totals; nothing where there is none."""
    found = re.search(r"^\| recorded of AWX .*\n(?:.*\n)+?recorded requests .*$", output, re.MULTILINE)
    return found.group(0).splitlines() if found else []


def find_warnings(output: str, allowed: Iterable[re.Pattern[str]]) -> list[str]:
    """Return Ansible's warnings in C(output), each once, without those that are allowed."""
    found = dict.fromkeys(match.group(0).strip() for match in WARNING.finditer(output))
    return [warning for warning in found if not any(pattern.search(warning) for pattern in allowed)]
