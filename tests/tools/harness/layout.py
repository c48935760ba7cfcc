# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are: the repository, and the one folder of everything that is generated."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"
TOOLS = ROOT / "tests" / "tools"
LOGS = CACHE / "logs"
# What the last run ended with, for a caller whose own output comes after it.
CLOSING_LINE = LOGS / "closing-line"
VENVS = CACHE / "venv"
UV_PYTHONS = CACHE / "pythons"

NAMESPACE = "macops"
NAME = "parallels"

TARGET_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
CONTROLLER_PYTHON = "3.13"
# Apple's own Python on a build Mac.
MAC_PYTHON = "3.9"


SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class ToolError(Exception):
    """Something that keeps the tests from running, in a sentence that says what to do about it."""


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Hold the lock file C(path), so that runs side by side do not build the same thing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace_link(link: pathlib.Path, target: pathlib.Path) -> None:
    """Make C(link) point to C(target), whatever it was before."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def clean_environment(path_first: tuple[pathlib.Path, ...] = ()) -> dict[str, str]:
    """Return the environment for a program: the caller's, less what would make its Python or its Ansible ours."""
    # Bytecode is written: what runs is a copy that is thrown away, and compiling it at each start costs more than all.
    dropped = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "PYENV_VERSION"}
    # What a run of the tests gives to its own programs.
    dropped |= {"MACOPS_SLOTS"}
    environment = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("ANSIBLE_")}
    environment.update(
        ANSIBLE_HOME=str(CACHE / "ansible"),
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PYTHONUNBUFFERED="1",
    )
    # A Debian user's PATH leaves out where nginx and sshd are.
    folders = [*map(str, path_first), *environment.get("PATH", os.defpath).split(os.pathsep), *SBIN]
    environment["PATH"] = os.pathsep.join(dict.fromkeys(folders))
    return environment
