# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the simulated programs print."""

from __future__ import annotations

import io
import sys
from typing import Optional, TextIO


class Console:
    """Standard input, output and error, always UTF-8, with progress only where the real programs show it."""

    def __init__(
        self,
        progress_on_pipe: bool = False,
        out: Optional[TextIO] = None,
        err: Optional[TextIO] = None,
        in_: Optional[TextIO] = None,
    ) -> None:
        self._in = in_ or sys.stdin
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        for stream in (self._out, self._err):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        self._progress = progress_on_pipe or self._out.isatty()
        self._percent = -1

    def out(self, text: str) -> None:
        """Print a line on stdout."""
        self.raw(text + "\n")

    def raw(self, text: str) -> None:
        """Print on stdout, as it is."""
        self._out.write(text)
        self._out.flush()

    def err(self, text: str) -> None:
        """Print a line on stderr."""
        self._err.write(text + "\n")
        self._err.flush()

    def ask(self, question: str) -> str:
        """Print a question without a line end, and return the line that is the answer; empty when there is none."""
        self.raw(question)
        return self._in.readline().strip()

    def progress(self, what: str, done: int, total: int) -> None:
        """Print how far a long operation is, each percent once."""
        percent = 100 if total <= 0 else min(100, done * 100 // total)
        if self._progress and percent != self._percent:
            self._percent = percent
            self.raw(f"\r{what} {percent} %" + ("\n" if percent == 100 else ""))
