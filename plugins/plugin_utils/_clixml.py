# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reads what Windows PowerShell writes to standard error for another PowerShell: objects as XML (CLIXML).

The parser of ansible-core is private, and has moved twice.
"""

from __future__ import annotations

import re

from ..module_utils._common.xml import parse_xml

_BLOCK = re.compile(rb"#< CLIXML\r?\n(<Objs .*?</Objs>)(?:\r?\n)?", re.DOTALL)
_NAMESPACE = "{http://schemas.microsoft.com/powershell/2004/04}"
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def plain_errors(stderr: bytes) -> bytes:
    """Return standard error with the text of its CLIXML: error messages stay, progress and the like are left out."""
    return _BLOCK.sub(lambda found: _errors_in(found.group(1)) or b"", stderr)


def _errors_in(document: bytes) -> bytes:
    try:
        root = parse_xml(document)
    except ValueError:  # not what it seemed to be: shown as it is
        return document
    lines = (each.text or "" for each in root.iter(f"{_NAMESPACE}S") if each.get("S") == "Error")
    return "".join(map(_unescaped, lines)).encode("utf-8", "replace")


def _unescaped(text: str) -> str:
    """Return a text whose UTF-16 units may be escaped, as in C(_x000D_); two of them may be one character."""
    units = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
