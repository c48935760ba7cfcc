# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program in the virtual environment of the demo, and puts the collection below .cache/stage."""

from __future__ import annotations

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "make demo needs Python 3.11 or newer, and this is Python {}.{}. Install one, then run "
        "'make demo PYTHON=/path/to/it'.".format(*sys.version_info[:2])
    )

from harness.environments import Environment
from harness.layout import CACHE, TOOLS, ToolError, clean_environment
from harness.staging import stage


def main() -> None:
    """Become the program, in its environment."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environment = Environment(f"demo-{version}", version, (TOOLS / "requirements-demo.txt",))
    folder = environment.ready()
    stage(CACHE / "stage")
    python = str(folder / "bin" / "python")
    os.execve(python, [python, *sys.argv[1:]], clean_environment((folder / "bin",)))


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        sys.exit(str(error))
