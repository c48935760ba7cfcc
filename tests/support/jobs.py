# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of a build Mac's user, seen from outside, so that a test can strike while one works."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator

from support.account import Account
from support.waiting import wait_until


@dataclasses.dataclass(frozen=True)
class RunningJob:
    """The process that does the work of a module."""

    module: str
    pid: int

    def kill(self) -> None:
        """Kill the process of the module, and nothing else."""
        os.kill(self.pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The jobs in a home."""

    home: pathlib.Path

    @property
    def folder(self) -> pathlib.Path:
        return self.home / ".ansible" / "macops.parallels" / "jobs"

    def running(self, module: str = "*") -> Iterator[RunningJob]:
        """Yield the jobs that run: each holds its claim open, in a session of its own."""
        claims = {str(path): path.name[1:].partition("-")[0] for path in self.folder.glob(f".{module}-*.claim.json")}
        if not claims:
            return
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            pid = int(process.name)
            for claim in _open_files(process) & set(claims):
                with contextlib.suppress(ProcessLookupError):
                    if os.getsid(pid) == pid:
                        yield RunningJob(claims[claim], pid)

    def wait_for(self, module: str, timeout: float = 120) -> RunningJob:
        """Return the job of a module as soon as there is one."""
        return wait_until(
            lambda: next(self.running(module), None), timeout, explain=lambda: f"no job of {module} began"
        )

    def wait_for_none(self, timeout: float = 60) -> None:
        """Return when no job runs."""
        wait_until(
            lambda: not any(self.running()),
            timeout,
            explain=lambda: f"jobs go on: {list(self.running())}",
            pause=0.1,
        )


def _open_files(process: pathlib.Path) -> set[str]:
    """Return the files that a process has open, of those that it does not open or close in this moment."""
    files = set()
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                files.add(os.readlink(entry))
    return files


def forget_jobs(account: Account) -> None:
    """End all work of a Mac's user and remove its traces, for the next test with the same account."""
    account.kill_everything()
    shutil.rmtree(account.home / ".ansible", ignore_errors=True)
