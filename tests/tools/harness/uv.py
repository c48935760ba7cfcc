# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches uv, which makes an environment in a tenth of the time that pip takes, and installs missing Pythons."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import subprocess
import sys

from .layout import CACHE, clean_environment, locked


@functools.cache
def find_uv() -> pathlib.Path | None:
    """Return the program, installed on first use; None where it cannot be installed."""
    folder = CACHE / "uv"
    program = folder / "bin" / "uv"
    with locked(CACHE / "uv.lock"):
        if not program.exists() and importlib.util.find_spec("ensurepip") is not None:
            _quietly(sys.executable, "-m", "venv", "--clear", folder)
            _quietly(folder / "bin" / "python", "-m", "pip", "install", "-q", "uv")
    return program if program.exists() else None


def _quietly(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=False, capture_output=True, env=clean_environment())
