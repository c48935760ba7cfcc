# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a test that passed, failed or was skipped."""

from __future__ import annotations

import re

import pytest

from harness.results import (
    Counts,
    find_attacks,
    find_awx_table,
    find_fault_table,
    find_promises,
    find_warnings,
    read_junit,
)
from support.attack_table import summary

JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite name="units">
  <testcase classname="a" name="good"/>
  <testcase classname="a" name="bad"><failure message="1 is not 2">where</failure></testcase>
  <testcase classname="a" name="broken"><error>no such fixture</error></testcase>
  <testcase classname="a" name="left out"><skipped message="no Mac here"/></testcase>
  <testcase name="empty"><skipped>No tests applicable.</skipped></testcase>
</testsuite></testsuites>
"""


def test_junit_files_are_added_up(tmp_path):
    for name in ("one.xml", "two.xml"):
        (tmp_path / name).write_text(JUNIT)
    counts = read_junit(tmp_path.glob("*.xml"))
    assert counts.closing_line() == "2 passed, 4 failed, 2 skipped"
    assert counts.failures[:2] == ["a::bad: 1 is not 2", "a::broken: no such fixture"]
    assert counts.skips == ["a::left out: no Mac here"] * 2


def test_counts_add_up():
    total = Counts(passed=1)
    part = Counts()
    part.check("held", True)
    part.check("did not hold", False)
    part.skip("a reason")
    total.add(part)
    assert (total.passed, total.failed, total.skipped) == (2, 1, 1)
    assert total.failures == ["did not hold"]
    assert total.skips == ["a reason"]


@pytest.mark.parametrize(
    ("counts", "good"),
    [
        (Counts(passed=1), True),
        (Counts(passed=1, failed=1), False),
        (Counts(), False),
        (Counts(skipped=1), False),
        (Counts(only_listed=True), True),
        (Counts(only_listed=True, failed=1), False),
    ],
)
def test_a_run_is_good_when_something_passed_and_nothing_failed(counts, good):
    assert counts.good is good


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("ok: [mac]\nWARNING: Excluding tests", []),
        ("[WARNING]: old\n[WARNING]: old\n", ["[WARNING]: old"]),
        ("x [DEPRECATION WARNING]: gone in 2.24", ["[DEPRECATION WARNING]: gone in 2.24"]),
        ("[WARNING]: this one is known\n[WARNING]: new", ["[WARNING]: new"]),
    ],
)
def test_warnings_of_ansible_are_found(output, expected):
    assert find_warnings(output, [re.compile("is known")]) == expected


def test_the_table_of_faults_is_found():
    table = [
        "| hits | fault |",
        "|---|---|",
        "| mac | hang |",
        "| server | 503 |",
        "faults injected 2, survived 2, lost 0",
    ]
    assert find_fault_table("\n".join([".... [100%]", "", *table, "4 passed"])) == table
    assert find_fault_table("4 passed\n") == []


def test_the_matrix_of_promises_is_found():
    matrix = ["| promise | file |", "|---|---|", "| resumes | (1) |", "(1) no network", "promises kept 3, broken 0"]
    assert find_promises("\n".join(["..  [100%]", "", *matrix, "4 passed"])) == matrix
    assert find_promises("4 passed\n") == []


def test_the_table_of_attacks_is_found():
    table = summary("| forges a note | it counts for nothing | `tests/security/test_x.py::test_it` |\n", {})
    assert find_attacks("\n".join(["..  [100%]", "", *table, "4 passed"])) == table
    assert find_attacks("4 passed\n") == []


@pytest.mark.parametrize(
    ("outcomes", "held"),
    [
        ({}, "not tried"),
        ({"tests/security/test_x.py::test_it": True}, "not tried"),
        ({"tests/security/test_x.py::test_it[1]": True, "tests/security/test_y.py::test_b": True}, "held"),
        ({"tests/security/test_x.py::test_it[1]": True, "tests/security/test_y.py::test_b": False}, "BROKEN"),
        ({"tests/security/test_x.py::test_it_too": True, "tests/security/test_y.py::test_b": True}, "not tried"),
    ],
)
def test_a_promise_is_held_when_all_its_tests_are(outcomes, held):
    page = "| a | b | `tests/security/test_x.py::test_it`, `tests/unit/test_z.py`, `tests/security/test_y.py` |\n"
    assert summary(page, outcomes)[2:] == [f"| a | b | {held} |", f"attacks held {int(held == 'held')} of 1"]


def test_the_comparison_with_awx_is_found():
    table = [
        "| recorded of AWX | requests |",
        "|---|---|",
        "| same status | 2 |",
        "recorded requests 3, same 2, different 1",
    ]
    assert find_awx_table("\n".join(["..  [100%]", "", *table, "4 passed"])) == table
    assert find_awx_table("4 passed\n") == []
