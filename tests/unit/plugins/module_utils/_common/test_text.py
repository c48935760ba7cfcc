# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and other text from outside."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.text import (
    composed,
    is_printable,
    printable,
    same_name,
)

NAMES = ["Büro", "Ångström", "서울", "ガ", "plain", "e\u0301\u0323", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_two_forms_of_one_name(name: str, form: str) -> None:
    assert same_name(name, unicodedata.normalize(form, name))
    assert composed(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(("one", "other"), [("Büro", "Buro"), ("a", "A"), ("ﬁ", "fi"), ("²", "2")])
def test_two_names(one: str, other: str) -> None:
    assert not same_name(one, other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Büro \U0001f600 – שלום, e\u0301", None),
        ("two\nlines\tand a tab", None),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("a\x7fb\x9b31mc\x85d", "a?b?31mc?d"),
        ("ends\r\nhere\rand there", "ends\nhere?and there"),
        ("turned \u202egpj.\u2066", "turned ?gpj.?"),
        ("half \ud83d, broken \udcff", "half ?, broken ?"),
        ("\u2028\u2029\ufffe\uffff", "????"),
    ],
)
def test_what_is_shown(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)
    assert is_printable(text) is (shown is None and "\n" not in text)


def test_an_error_message_is_printable() -> None:
    error = TaskError("'a\x9b31mb' is not there.\nLook.", path="a\x9b31mb")
    assert error.result() == {"msg": "'a?31mb' is not there.\nLook.", "path": "a\x9b31mb"}
