# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz tests: made-up inputs, the same ones in every run. Few in C(make test), many in C(make test-all)."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, Phase, configuration, given, settings
from hypothesis import strategies as st

# Hypothesis keeps what it learned about Unicode in a folder; by default, in the one where the tests run.
configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), f"macops-parallels-fuzz-{os.getuid()}"))

# Of every kind of character, half surrogate pairs too.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
ODD_TEXT = st.sampled_from(
    ["", " ", "\x00", "\x1b[31m", "\x9b", "\ud83d", "\U0001f600", "\u202e", "../..", "%00", "9" * 5000, "²", "٣"]
)
NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 0.5, 1e308, float("nan"), float("inf"), True])
SCALARS = st.one_of(st.none(), NUMBERS, ODD_TEXT, ANY_TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANY_TEXT | ODD_TEXT, inner, max_size=3)),
    max_leaves=6,
)


def fuzz(examples: int, *strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with that many inputs, which do not depend on the time or on earlier runs."""
    how = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        # Without the search for a shorter input that fails too, which takes minutes.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: how(given(*strategies)(test))


def fuzz_by_day_and_by_night(
    few: int, many: int, check: Callable[..., None], *strategies: Any
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return a test with few inputs, and one with many for the night."""
    return fuzz(few, *strategies)(check), pytest.mark.nightly(fuzz(many, *strategies)(check))


@st.composite
def changed(draw: st.DrawFn, value: Any, most: int = 3) -> Any:
    """Return a deep copy of some JSON, in which a few values are others, gone, or new."""
    copy = json.loads(json.dumps(value))
    for _number in range(draw(st.integers(0, most))):
        copy = _change_one(draw, copy)
    return copy


def _change_one(draw: st.DrawFn, value: Any) -> Any:
    """Walk to a random place, and change what is there."""
    inner = value
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
        if not keys:
            return draw(VALUES) if inner is value else value
        key = draw(st.sampled_from(keys))
        if isinstance(inner[key], (dict, list)) and inner[key] and draw(st.integers(0, 3)):
            inner = inner[key]
            continue
        what = draw(st.integers(0, 5))
        if what == 0 and isinstance(inner, dict):
            del inner[key]
        elif what == 1 and isinstance(inner, dict):
            inner[draw(ANY_TEXT | ODD_TEXT)] = draw(VALUES)
        else:
            inner[key] = draw(VALUES)
        return value


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """Return bytes as they were, cut off, with others among them, or in another encoding."""
    what = draw(st.integers(0, 9))
    place = draw(st.integers(0, len(data)))
    if what == 0:
        return data[:place]
    if what == 1:
        return data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:]
    if what == 2:
        return data[:place] + data[place + draw(st.integers(1, 20)) :]
    if what == 3:
        return data[:place] + data[draw(st.integers(0, len(data))) :]
    if what == 4:
        return data.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-7"])))
    return data
