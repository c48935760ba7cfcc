# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated Mac for a test, on this account or on another."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.account import Account
from support.guests import SIMULATOR, GuestsNotPossible, running_guests


@dataclasses.dataclass(frozen=True)
class SimulatedMac:
    """A folder with Parallels' programs, virtual machines and their state: see tests/simulator/README.md."""

    folder: pathlib.Path
    # None: this process's own user.
    account: Account | None
    arch: str

    @classmethod
    def create(cls, folder: pathlib.Path, account: Account | None = None, **options: str) -> SimulatedMac:
        """Make a Mac; the options are those of C(simulate create)."""
        mac = cls(folder, account, options.get("arch", "arm64"))
        mac.simulate("create", folder, *_flags({"arch": mac.arch, **options}))
        return mac

    @property
    def prlctl_path(self) -> str:
        """Return the path of its prlctl."""
        return str(self.folder / "bin" / "prlctl")

    @property
    def host_vars(self) -> dict[str, Any]:
        """Return the variables that make the playbooks work on this Mac."""
        return {"image_executable": self.prlctl_path, "image_work_dir": str(self.folder / "Parallels")}

    def simulate(self, *arguments: object) -> str:
        """Run the simulator's command, and return what it prints."""
        if self.account is None:
            command = [sys.executable, str(SIMULATOR / "simulate"), *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"simulate {arguments} failed: {done.stderr}"
            return done.stdout
        return self.account.run([self.account.python, self._copied_program(), *arguments]).stdout

    def _copied_program(self) -> pathlib.Path:
        """Return the simulator's command where the account can read it: the tests may be where it can not."""
        assert self.account is not None
        copy = self.account.base / "simulator"
        if not copy.exists():
            shutil.copytree(SIMULATOR, copy, ignore=shutil.ignore_patterns("tests", "__pycache__"))
            # The account may not write there, and would compile the sources at every call.
            subprocess.run([str(self.account.python), "-m", "compileall", "-q", str(copy)], check=True)
        return copy / "simulate"

    def prlctl(self, *arguments: object) -> str:
        """Run prlctl as a person would, and return what it prints."""
        command = [self.prlctl_path, *map(str, arguments)]
        if self.account is not None:
            return self.account.run(command, input="y\n").stdout
        return subprocess.run(command, capture_output=True, text=True, check=True, input="y\n").stdout

    def vm(self, name: str, **options: Any) -> str:
        """Make a virtual machine and return its UUID; the options are those of C(simulate vm)."""
        return self.simulate("vm", self.folder, "--name", name, *_flags({"arch": self.arch, **options})).strip()

    @contextlib.contextmanager
    def guests(self) -> Iterator[None]:
        """Run the guests that C(own_root=True) makes; skip the test where that is impossible."""
        with contextlib.ExitStack() as running:
            try:
                running.enter_context(running_guests(self.folder))
            except GuestsNotPossible as reason:
                pytest.skip(str(reason))
            yield

    def knob(self, **settings: object) -> None:
        """Set what is unknown of the real programs."""
        self.simulate("knob", self.folder, *(f"{name}={value}" for name, value in settings.items()))

    def fault(self, *faults: str) -> None:
        """Switch faults on, such as C(kill_in_pack) or C(rc255_after_success=1:clone)."""
        self.simulate("fault", self.folder, *faults)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.simulate("fault", self.folder, "--clear")

    def show(self) -> dict[str, Any]:
        """Return the virtual machines, the faults that are left, and the calls."""
        return json.loads(self.simulate("show", self.folder, "--json"))

    def wait_for_calls(
        self, is_enough: Callable[[], bool], check: Callable[[], None] = lambda: None, timeout: float = 120
    ) -> None:
        """Return when the calls are as they should be. That is asked each time that there is one more of them.

        C(check) raises an error when there is no use in waiting on.
        """
        log = self.folder / "calls.log"
        seen = 0
        end = time.monotonic() + timeout
        while True:
            size = log.stat().st_size if log.exists() else 0
            if size != seen and is_enough():
                return
            seen = size
            check()
            assert time.monotonic() < end, "the call was not made in time"
            time.sleep(0.05)

    def fingerprint(self, name: str) -> str:
        """Return what is the same as long as nobody touched the virtual machine."""
        return self.simulate("fingerprint", self.folder, name).strip()


def _flags(options: dict[str, Any]) -> list[str]:
    """Turn keywords into options of the command line; True is an option without a value."""
    words: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return words
