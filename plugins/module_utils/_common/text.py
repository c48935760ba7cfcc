# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Names and other text from outside: how they are compared, and how they are shown."""

from __future__ import annotations

import re
import unicodedata

# What a terminal, an editor or a browser may obey instead of showing it: control characters, what ends a line, what
# turns the direction of the text around it. And what is not text: surrogates and noncharacters.
UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_UNPRINTABLE = re.compile(f"[{UNPRINTABLE}]")
# In a text of several lines, such as an error message.
_UNPRINTABLE_IN_LINES = re.compile(f"(?![\t\n])[{UNPRINTABLE}]")


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
    """Return a text of one or more lines for a terminal or a page: each character that cannot be shown is a C(?)."""
    return _UNPRINTABLE_IN_LINES.sub("?", text.replace("\r\n", "\n"))
