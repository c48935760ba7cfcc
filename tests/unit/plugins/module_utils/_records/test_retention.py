# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which records go."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._records.record import label, new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import (
    Choice,
    Rule,
    by_name,
    by_rule,
    parse_age,
)

EVERY = Choice()
NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)


def record(text: str) -> dict[str, Any]:
    """Return a record from its version and marks: its age in days, protected, withdrawn, another name, for Intel."""
    version, *marks = text.split()
    arch = "x86_64" if "intel" in marks else "arm64"
    name = next((mark[1:] for mark in marks if mark[0] == "@"), "win11")
    age = next((int(mark[1:]) for mark in marks if mark[0] == "+"), 0)
    values = {"url": "https://images.example.com/a.pvmp", "sha256": "a1" * 32, "size": 5}
    made = new_record({"name": name, "version": version, "arch": arch, **values}, NOW - timedelta(days=age))
    state = {"state": "withdrawn", "reason": "Bad.", "withdrawn_at": "2026-11-22T10:00:00Z"} if "-" in marks else {}
    return {**made, **state, "protected": "!" in marks}


def goes(rule: Rule, *texts: str, choice: Choice = EVERY) -> list[str]:
    records = [record(text) for text in texts]
    return [each["version"] for each in by_rule(rule, choice, NOW)(records)]


# Ages in days, so that the newest version was also published last.
FIVE = ("1.8 +40", "1.9 +30", "1.10 +20", "1.11 +10", "1.12 +0")


@pytest.mark.parametrize(
    ("rule", "texts", "expected"),
    [
        (Rule(keep=1), FIVE, ["1.8", "1.9", "1.10", "1.11"]),
        (Rule(keep=3), FIVE, ["1.8", "1.9"]),
        (Rule(keep=5), FIVE, []),
        (Rule(keep=9), FIVE, []),
        (Rule(keep=2), (), []),
        # The order is that of versions, not that of texts, and not that of the list.
        (Rule(keep=2), ("1.10 +1", "1.9 +2", "1.12 +0"), ["1.9"]),
        (Rule(keep=1), ("1.0-rc1 +2", "1.0 +1", "1.0-2 +0"), ["1.0-rc1", "1.0"]),
        # Each name and architecture for itself.
        (Rule(keep=1), ("1.0 +1", "1.1 +0", "1.0 intel +1"), ["1.0"]),
        (Rule(keep=1), ("1.0 +1", "1.1 +0", "1.0 @ubuntu +1", "0.9 @ubuntu +2"), ["1.0", "0.9"]),
        # Protected ones stay, and count among the newest.
        (Rule(keep=1), ("1.8 +40 !", "1.9 +30", "1.12 +0"), ["1.9"]),
        (Rule(keep=2), ("1.8 +40", "1.9 +30 !", "1.12 +0 !"), ["1.8"]),
        # Withdrawn ones do not count; they go when they are older than all that are kept.
        (Rule(keep=2), ("1.8 +40", "1.9 +30 -", "1.10 +20", "1.12 +0"), ["1.8", "1.9"]),
        (Rule(keep=2), ("1.9 +30", "1.10 +20 -", "1.11 +10", "1.12 +0 -"), []),
        (Rule(keep=2), ("1.8 +40 -", "1.9 +30"), []),
        (Rule(keep=1), ("1.8 +40 -", "1.9 +30 -"), []),
        (Rule(keep=1), ("1.8 +40 - !", "1.9 +30"), []),
        # A correction of an older version that was published last stays, too.
        (Rule(keep=1), ("1.8 +40", "1.8.1 +0", "2.0 +20"), ["1.8"]),
        # Only those that are old.
        (Rule(older_than=timedelta(days=15)), FIVE, ["1.8", "1.9", "1.10"]),
        (Rule(keep=3, older_than=timedelta(days=15)), FIVE, ["1.8", "1.9"]),
        (Rule(keep=3, older_than=timedelta(days=35)), FIVE, ["1.8"]),
        (Rule(keep=1, older_than=timedelta(days=40)), FIVE, []),
        (Rule(older_than=timedelta(days=1)), ("1.0 +400",), []),
    ],
)
def test_what_is_beyond_a_rule(rule: Rule, texts: tuple[str, ...], expected: list[str]) -> None:
    assert goes(rule, *texts) == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["1.0", "1.0", "1.0"]),
        (Choice(name="win11"), ["1.0", "1.0"]),
        (Choice(name="win11", arch="x86_64"), ["1.0"]),
        (Choice(arch="arm64"), ["1.0", "1.0"]),
        (Choice(name="macos"), []),
    ],
)
def test_a_rule_for_some(choice: Choice, expected: list[str]) -> None:
    texts = ("1.0 +1", "1.1", "1.0 intel +1", "1.1 intel", "1.0 @ubuntu +1", "1.1 @ubuntu")
    assert goes(Rule(), *texts, choice=choice) == expected


def test_what_is_withdrawn_because_it_goes_is_chosen_again() -> None:
    records = [record(text) for text in ("0.9 +50 -", *FIVE, "1.0 intel +1", "0.9 @ubuntu +3", "1.8.1 +0", "1.7 +60 !")]
    for keep in range(1, 6):
        for older_than in (None, timedelta(days=25)):
            choose = by_rule(Rule(keep, older_than), Choice(), NOW)
            gone = [label(each) for each in choose(records)]
            marked = [{**each, "state": "withdrawn"} if label(each) in gone else each for each in records]
            assert [label(each) for each in choose(marked)] == gone


@pytest.mark.parametrize(
    ("texts", "named", "expected"),
    [
        (("1.0 +2", "1.1 +1"), Choice("win11", "1.0"), ["1.0"]),
        (("1.0 +2", "1.0 intel +2", "1.1 +1", "1.1 intel +1"), Choice("win11", "1.0"), ["1.0", "1.0"]),
        (("1.0 +2", "1.0 intel +2", "1.1 +1", "1.1 intel +1"), Choice("win11", "1.0", "arm64"), ["1.0"]),
        (("1.0 +2 -",), Choice("win11", "1.0"), ["1.0"]),
        (("1.0 +2",), Choice("win11", "1.1"), []),
    ],
)
def test_what_is_named(texts: tuple[str, ...], named: Choice, expected: list[str]) -> None:
    assert [each["version"] for each in by_name(named)([record(text) for text in texts])] == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("1.0 +2 !", "1.1 +1"), "win11-1.0-arm64 is protected, so it was not removed"),
        (("1.0 +2 - !",), "is protected, so it was not removed"),
        (("1.0 +2",), "is the newest published version of win11 for arm64"),
        (("1.0 +2", "1.1 +1 -"), "is the newest published version"),
        (("1.0 +0", "1.1 +1"), "is the most recently published version"),
        (("1.0 +2", "1.1 +1", "1.0 intel +2"), "published version of win11 for x86_64"),
    ],
)
def test_what_is_named_but_stays(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        by_name(Choice("win11", "1.0"))([record(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90d", timedelta(days=90)),
        (" 12 W ", timedelta(weeks=12)),
        ("36h", timedelta(hours=36)),
        ("1y", timedelta(days=365)),
    ],
)
def test_ages(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5d", "90 days", "3m", "101y", "999999y", "9999999h"])
def test_ages_that_make_no_sense(text: str) -> None:
    with pytest.raises(TaskError, match=r"older_than cannot be .* such as 90d"):
        parse_age(text)


def test_a_choice_in_words() -> None:
    assert [str(Choice(*parts)) for parts in (("win11", "1.0"), ("win11", "1.0", "arm64"))] == [
        "win11-1.0",
        "win11-1.0-arm64",
    ]
