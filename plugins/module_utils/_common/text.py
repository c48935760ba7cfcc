# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Names and other text from outside: how they are compared, and how they are shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# What a terminal, an editor or a browser may obey instead of showing it: control characters (U+009B begins a command,
# as the escape character does), what ends a line, what turns the direction of the text around it. What nobody sees, so
# that two texts look the same. And what is not text: surrogates and noncharacters.
_UNSEEN = "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
# Joiners form one emoji of two, and are letters of some scripts. Anywhere else they are only unseen.
_STRAY_JOINER = "(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200c\u200d])"
UNPRINTABLE = f"[\x00-\x1f\x7f-\x9f{_UNSEEN}\ud800-\udfff\ufffe\uffff]|{_STRAY_JOINER}"
_UNPRINTABLE = re.compile(UNPRINTABLE)
# In a text of several lines, such as an error message.
_UNPRINTABLE_IN_LINES = re.compile(f"(?![\t\n])(?:{UNPRINTABLE})")
_SURROGATE = re.compile("[\ud800-\udfff]")

# The characters of the longest message: what happened is at its beginning, what to do at its end.
LONGEST_MESSAGE = 4000
# The characters of a name, a status or a title of others within a sentence.
LONGEST_WORDS = 200


def composed(name: str) -> str:
    """Return a name in the form in which names are compared.

    HFS+ and SMB shares list names decomposed: an umlaut is two characters. APFS and other file systems keep them as
    they were written, and people write one character.
    """
    return unicodedata.normalize("NFC", name)


def same_name(one: str, other: str) -> bool:
    """Return whether two names are the same to a person: an umlaut may be one character or two."""
    return composed(one) == composed(other)


def folded(name: str) -> str:
    """Return a form of a file name that is equal for all names of which a store may have only one.

    Folders on a Mac and on Windows servers ignore the case, and list accents decomposed.
    """
    return composed(composed(name).casefold())


def is_printable(text: str) -> bool:
    """Return whether a text of one line can be shown as it is."""
    return _UNPRINTABLE.search(text) is None


def printable(text: str) -> str:
    """Return a text of one or more lines for a terminal or a page: what cannot be shown is escaped, as C(\\x1b)."""
    return _UNPRINTABLE_IN_LINES.sub(_escaped, text.replace("\r\n", "\n"))


def printable_line(text: str, longest: int = LONGEST_WORDS) -> str:
    """Return a text as one line of limited length, for a terminal: a line break in it is escaped, too."""
    return shortened(_UNPRINTABLE.sub(_escaped, text[: longest * 2]), longest)


def printable_message(text: str) -> str:
    """Return an error message, a warning or the like for a terminal. Names and words of others may be in it.

    No line of theirs begins where those of Ansible begin.
    """
    return shortened(printable(text), LONGEST_MESSAGE).replace("\n", "\n  ")


def printable_data(value: Any) -> Any:
    """Return a result for a terminal: every text in it is printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: printable_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_data(item) for item in value]
    return value


def sendable(value: Any) -> Any:
    """Return a result that Ansible takes: it refuses one with half characters (surrogates), which are escaped here."""
    return value if _is_whole(value) else _without_surrogates(value)


def _is_whole(value: Any) -> bool:
    """Return whether no text in a value has a surrogate. It may be a catalog of many records, so nothing is copied."""
    if isinstance(value, str):
        return value.isascii() or _SURROGATE.search(value) is None
    if isinstance(value, Mapping):
        return all(_is_whole(key) and _is_whole(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_whole, value))
    return True


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(_escaped, value)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value


def shortened(text: str, longest: int) -> str:
    """Return the beginning and the end of a text that is too long."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end]} [...] {text[-end:]}"


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
