# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a working interpreter for each Python version, and installs what is missing."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from .layout import CACHE, TARGET_PYTHONS, UV_PYTHONS, ToolError, clean_environment, locked
from .uv import find_uv

# ensurepip, because Debian's python3 has none without python3-venv, and then cannot make an environment.
PROBE = "import ensurepip, sys, venv; print(sys._base_executable); print('%d.%d' % sys.version_info[:2])"


def find_python(version: str) -> pathlib.Path:
    """Return a working interpreter of C(version), such as C(3.9); install it when there is none."""
    with locked(CACHE / f"python-{version}.lock"):
        return _find_python(version)


def python_folders() -> tuple[pathlib.Path, ...]:
    """Return the folders of all the Pythons that the tests need, newest first, for a PATH."""
    return tuple(dict.fromkeys(find_python(version).parent for version in reversed(TARGET_PYTHONS)))


@functools.cache
def _find_python(version: str) -> pathlib.Path:
    found = _first_working(version)
    said = ""
    if found is None:
        said = _install_with_uv(version)
        found = _first_working(version)
    if found is None:
        raise ToolError(
            f"No working Python {version} was found on PATH, under pyenv or Homebrew, and uv could not install "
            f"one{said}. "
            f"Install Python {version}, so that python{version} is on PATH (on Debian and Ubuntu with its package "
            f"python{version}-venv), then run the same command again."
        )
    return found


def _first_working(version: str) -> pathlib.Path | None:
    for candidate in _candidates(version):
        real = _probe(candidate, version)
        if real:
            return real
    return None


def _candidates(version: str) -> Iterator[pathlib.Path]:
    name = f"python{version}"
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield pathlib.Path(sys.executable)
    # pyenv's versions before PATH: its shims are on PATH too, and run whatever version is chosen at the moment.
    yield from _newest_first(_pyenv_versions().glob(f"{version}.*/bin/{name}"))
    yield from _newest_first(UV_PYTHONS.glob(f"*/bin/{name}"))
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield pathlib.Path(folder) / name
    yield from (pathlib.Path(folder) / name for folder in ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"))


def _newest_first(paths: Iterator[pathlib.Path]) -> list[pathlib.Path]:
    def version(path: pathlib.Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", path.parts[-3])]

    return sorted(paths, key=version, reverse=True)


def _pyenv_versions() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"


def _probe(candidate: pathlib.Path, version: str) -> pathlib.Path | None:
    if not shutil.which(str(candidate)):
        return None
    try:
        answer = subprocess.run(
            [str(candidate), "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = answer.stdout.split("\n")
    return pathlib.Path(lines[0]) if answer.returncode == 0 and lines[1] == version else None


def _install_with_uv(version: str) -> str:
    """Let uv fetch the interpreter, and return what it said; whether it is there shows in the search that follows."""
    program = find_uv()
    if program is None:
        return " (nor could uv itself be installed)"
    environment = {**clean_environment(), "UV_PYTHON_INSTALL_DIR": str(UV_PYTHONS)}
    command = [str(program), "python", "install", "--no-bin", version]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=600)
    return f" (it said: {' '.join(done.stderr.split())})"
