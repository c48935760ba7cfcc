# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reads JSON that others wrote.

Python's own reader accepts what cannot be written again: numbers that are infinite, half of a surrogate pair, nesting
that no other code gets through. And of two values with the same key it drops the first without a word.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

_DEEPEST = 100
# More digits than any number of bytes has. Python refuses some thousands, and is slow before.
_MOST_DIGITS = 100
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_INFINITE = (float("inf"), float("-inf"))


def read_json(data: bytes) -> Any:
    """Return the value in some bytes of JSON. Raises ValueError, with the reason, for everything that is not valid."""
    if not data.strip():
        raise ValueError("it is empty")
    text = data.decode(json.detect_encoding(data))
    try:
        value = json.loads(
            text, parse_int=_integer, parse_float=_fraction, parse_constant=_constant, object_pairs_hook=_object
        )
    except RecursionError:
        raise _too_deep() from None
    require_shallow(value)
    # Only an escape can be one: what is written again to find it takes as much memory as the whole.
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"it contains half of a surrogate pair, {error.object[error.start]!a}") from None
    return value


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if number in _INFINITE:
        raise ValueError(f"the number {_short(digits)} is too large")
    return number


def _constant(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"an object in it has the key {_short(ascii(key))} twice")
        # The same keys come again in each of many records, and are kept once.
        values[sys.intern(key)] = value
    return values


def require_shallow(value: Any) -> None:
    """Raise ValueError for a value that is nested so deep that other code does not get through it."""
    level = [value]
    for _depth in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {_DEEPEST} levels deep")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
