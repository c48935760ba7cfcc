# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Which temporary names a store accepts.

They start with a dot, so that nobody downloads an incomplete image by mistake. But it is a usual rule of web servers to
refuse or hide such names, and some servers do not serve files with an ending that they do not know. A store with such a
rule gets names without a dot, with the ending of the final name. A rule applies to all who write to a store, so all of
them use the same names for their locks.
"""

from __future__ import annotations

from typing import Callable

from .base import Content, lock_name, part_name


class TemporaryNames:
    """The form of temporary names in one store."""

    def __init__(self, hidden: bool = True) -> None:
        self.hidden = hidden
        # Whether a file with such a name was written.
        self.known = False

    def part(self, name: str, content: Content | None = None) -> str:
        """Return a new temporary name for C(name)."""
        return part_name(name, content, self.hidden)

    def lock(self, name: str) -> str:
        """Return the name of the lock on a small file."""
        return lock_name(name, self.hidden)

    def find_out(self, attempt: Callable[[], None], is_refusal: Callable[[Exception], bool]) -> None:
        """Call C(attempt), which writes a file with a new temporary name and removes it, and remember which form works.

        Raises the error of the second form if the store refuses both, and other errors than a refusal at once.
        """
        self.hidden = True
        try:
            attempt()
        except Exception as error:
            if not is_refusal(error):
                raise
            self.hidden = False
            try:
                attempt()
            except BaseException:
                self.hidden = True
                raise
        self.known = True
