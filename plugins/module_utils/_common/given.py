# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Names and paths that users give: refused before anything is done with characters that nobody can see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import TaskError
from .text import is_printable


def refuse_unprintable(what: str, given: str) -> None:
    """Raise TaskError for a name or path with characters that a terminal obeys or cannot show."""
    if not is_printable(given):
        raise TaskError(
            f"{what} is {given!r}, which contains a control character or another character that cannot be shown. "
            "Remove it, such as a line break at the end."
        )


def refuse_unprintable_paths(arguments: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    """Raise TaskError for a path among the options of a module with such characters."""
    for name, argument in arguments.items():
        if argument.get("type") == "path" and isinstance(given.get(name), str):
            refuse_unprintable(name, given[name])
