# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the collection to where ansible-test, ansible-galaxy and playbooks look for one."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Iterable

from .layout import NAME, NAMESPACE, ROOT, ToolError

# For a tree that is no git checkout, such as an unpacked archive, and for a machine without git.
NOT_SOURCES = {".git", ".cache", ".ansible", "build", "__pycache__", "output"}


def stage(root: pathlib.Path) -> pathlib.Path:
    """Copy the working tree's files below C(root), a collections path; return the collection's folder there.

    Tracked files and new files that are not ignored: what a commit of everything would hold.
    """
    target = root / "ansible_collections" / NAMESPACE / NAME
    shutil.rmtree(root, ignore_errors=True)
    target.mkdir(parents=True)
    for name in _source_files():
        source = ROOT / name
        # A file that is deleted but still in git's index, or that someone else's run just removed.
        if source.is_symlink() or source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    return target


def stage_for_ansible_test(root: pathlib.Path) -> pathlib.Path:
    """Stage into a git work tree of its own: ansible-test asks git which files there are, and obeys .gitignore."""
    target = stage(root)
    subprocess.run(["git", "init", "-q", "-b", "stage", str(target)], check=True, stdin=subprocess.DEVNULL)
    return target


def _source_files() -> Iterable[str]:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return [
            str(path.relative_to(ROOT))
            for path in sorted(ROOT.rglob("*"))
            if path.is_file() and not NOT_SOURCES.intersection(path.relative_to(ROOT).parts)
        ]
    command = [
        "git",
        "-C",
        str(ROOT),
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"git could not list the files of {ROOT}: {done.stderr.strip()}")
    return [name for name in done.stdout.split("\0") if name]
