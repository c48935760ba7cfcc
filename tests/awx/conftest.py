# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests with AWX: its stand-in, and a project for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.awx import Awx
from support.fixtures import collections, packed_modules, play

__all__ = ["collections", "packed_modules", "play"]


@pytest.fixture
def awx() -> Iterator[Awx]:
    """A stand-in of AWX as it is right after its installation; see support/awx/server.py.

    C(awx.url) is its address, C(support.awx.ADMIN) and C(PASSWORD) the account with all rights.
    C(awx.admin) and C(awx.client(name, password)) are clients that set something up or look at it. C(awx.faults) says
    what goes wrong. C(awx.jobs.run_job) does the work of a job. C(awx.summary()) and C(awx.printed_summary()) say what
    was asked.
    """
    with Awx() as running:
        yield running


@pytest.fixture(scope="session")
def make_repository(tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    """Make a git repository of some files, and return its folder, which is the scm_url of a project."""
    return Repositories(tmp_path_factory)


class Repositories:
    """Makes git repositories."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders

    def __call__(self, files: dict[str, str]) -> Path:
        """Return the folder of a repository with these files."""
        folder = self._folders.mktemp("repository")
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.commit(folder, files)
        return folder

    def commit(self, folder: Path, files: dict[str, str]) -> str:
        """Commit files, and return the revision."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        git(folder, "add", "--all", "--force")
        git(folder, "commit", "--quiet", "--message=Files")
        return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as somebody, without the configuration of who runs the tests."""
    who = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how the stand-in's answers compare with AWX's."""
    for report in [each for key in ("passed", "failed") for each in terminalreporter.stats.get(key, [])]:
        counts = json.loads(dict(report.user_properties).get("awx_answers", "{}"))
        if counts:
            rows = [f"| {verdict} | {count} |" for verdict, count in sorted(counts.items())]
            different, total = counts.get("different", 0), sum(counts.values())
            sums = f"recorded requests {total}, same {total - different}, different {different}"
            for line in ("", "| recorded of AWX | requests |", "|---|---|", *rows, sums):
                terminalreporter.write_line(line)
