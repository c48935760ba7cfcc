# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and other text from outside."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.text import (
    LONGEST_MESSAGE,
    composed,
    is_printable,
    printable,
    printable_data,
    printable_line,
    printable_message,
    same_name,
    sendable,
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
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07 and \x9d52;c;QQ==\x9c", r"\x1b]0;title\x07 and \x9d52;c;QQ==\x9c"),
        ("a\x7fb\x9b31mc\x85d", r"a\x7fb\x9b31mc\x85d"),
        ("ends\r\nhere\rand there", "ends\nhere\\rand there"),
        ("good\x08\x08\x08\x08bad", r"good\x08\x08\x08\x08bad"),
        ("turned \u202egpj.\u2066 \u200e\u200f\u061c", r"turned \u202egpj.\u2066 \u200e\u200f\u061c"),
        ("half \ud83d, broken \udcff", r"half \ud83d, broken \udcff"),
        ("\u2028\u2029\ufffe\uffff", r"\u2028\u2029\ufffe\uffff"),
        ("un\u200bseen\ufeff\u2060\xad \U000e0041", r"un\u200bseen\ufeff\u2060\xad \U000e0041"),
        ("\U0001f468\u200d\U0001f469 \u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("win\u200d11 \u200c\U0001f600\u200d", r"win\u200d11 \u200c" + "\U0001f600" + r"\u200d"),
        (r"C:\Windows\x1b", None),
    ],
)
def test_what_is_shown(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)
    assert is_printable(text) is (shown is None and "\n" not in text)


def test_a_text_in_a_line() -> None:
    assert printable_line("  [mac] Packing a\nb\tc\x1b[K") == r"  [mac] Packing a\nb\tc\x1b[K"
    assert printable_line("x" * 50 + "\x1b" * 10_000_000, 30) == "x" * 20 + " [...] " + r"\x1b\x1b\x1b"[-10:]


def test_a_message_is_limited_and_forges_no_line() -> None:
    message = printable_message("The VM 'a\n[WARNING]: b' failed. " + "x" * 1_000_000 + " Run again.")
    assert message.startswith("The VM 'a\n  [WARNING]: b' failed. xxx")
    assert message.endswith("xxx Run again.")
    assert len(message) < LONGEST_MESSAGE + 20


def test_the_data_of_a_failure() -> None:
    data = {"rc": 1, "cmd": ["a\x9b"], "facts": {"name": "\u202eb", "known": None}, "ok": False, "seen": ("\x1b",)}
    assert printable_data(data) == {
        "rc": 1,
        "cmd": [r"a\x9b"],
        "facts": {"name": r"\u202eb", "known": None},
        "ok": False,
        "seen": [r"\x1b"],
    }


def test_only_half_characters_are_not_sent() -> None:
    whole = {"name": "a\x1b\u202e\x9b\U0001f600", "list": [1, None]}
    assert sendable(whole) is whole
    halves = {"name": "a\x1b\ud83d", "\udcff": [("\ud800", 1)], "n": 2}
    assert sendable(halves) == {"name": "a\x1b\\ud83d", "\\udcff": [["\\ud800", 1]], "n": 2}
