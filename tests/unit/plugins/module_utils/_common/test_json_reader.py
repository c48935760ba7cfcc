# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of any shape: a value that can be written again, or ValueError with the reason."""

from __future__ import annotations

import json

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.json_reader import read_json


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xbc"]}', {"a": [1, 2.5, None, True, "ü"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "\u00fc"}'.encode("utf-16"), {"a": "ü"}),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        ("9" * 100, int("9" * 100)),
        ("[" * 99 + "]" * 99, None),
        (b"1e308", 1e308),
    ],
)
def test_what_is_valid(data: bytes | str, value: object) -> None:
    found = read_json(data if isinstance(data, bytes) else data.encode())
    assert value is None or found == value
    json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b" \r\n\t", "it is empty"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 levels deep"),
        (b"[" * 100_000, "nested more than 100 levels deep|Expecting value"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 100 levels deep"),
        (b"NaN", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e999]", "1e999 is too large"),
        (b"-1" + b"0" * 400 + b".5", r"-10+\.\.\. is too large"),
        (b"1" * 101, "has 101 digits"),
        (b"1" * 100_000, "has 100000 digits"),
        (rb'["\ud83d"]', r"half of a surrogate pair, '\\ud83d'"),
        (rb'{"\udc00": 1}', "half of a surrogate pair"),
        (b'"\xed\xa0\xbd"', "can't decode"),
        (b'"\xff"', "can't decode"),
        (b"\x00\x00\x00", "can't decode|Expecting value"),
        (b'{"records": [1], "records": []}', "the key 'records' twice"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' twice"),
        (b'{"a": 1', "delimiter"),
        (b'{"a": 1} {"a": 2}', "Extra data"),
        (b"{'a': 1}", "Expecting property name"),
        (b'"a\nb"', "control character"),
    ],
)
def test_what_is_not_valid(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_json(data)
