# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated Mac: its folder, its state file, its locks, its knobs and faults."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from . import NOTICE
from .errors import SimulatorError
from .faults import strike
from .knobs import KNOBS
from .profiles import PROFILES, Profile

STATE_FILE = "simulator.json"
GUESTS = ".guests"  # where the server of the guests listens


class Mac:
    """One simulated Mac. What changes is read and written under one lock; long work is done outside of it."""

    def __init__(self, root: os.PathLike[str] | str) -> None:
        self.root = Path(os.path.abspath(root))
        self.home = self.root / "Parallels"
        self.jobs = self.root / ".jobs"
        self.calls_log = self.root / "calls.log"
        self._state_path = self.root / STATE_FILE
        self._lock_path = self.root / ".lock"
        self._state: Optional[dict[str, Any]] = None

    def exists(self) -> bool:
        """Tell whether there is a simulated Mac in this folder."""
        return self._state_path.is_file()

    def initialise(self, version: str, edition: str, arch: str) -> None:
        """Write the state of a Mac without VMs."""
        self.jobs.mkdir()
        self.home.mkdir()
        self._write(
            {
                "notice": NOTICE,
                "version": version,
                "edition": edition,
                "arch": arch,
                "knobs": {},
                "faults": [],
                "vms": {},
            }
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[dict[str, Any]]:
        """Give the state to one process alone; what was changed in it is written at the end. It nests."""
        if self._state is not None:
            yield self._state
            return
        if not self.exists():
            raise SimulatorError(f"There is no simulated Mac in {self.root}. Create one with `simulate create DIR`.")
        with open_shared(self._lock_path) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            text = self._state_path.read_text(encoding="utf-8")
            self._state = json.loads(text)
            try:
                yield self._state
            finally:
                state, self._state = self._state, None
                if dump(state) != text:
                    self._write(state)

    def _write(self, state: dict[str, Any]) -> None:
        temporary = self._state_path.with_name(f"{STATE_FILE}.{os.getpid()}")
        temporary.write_text(dump(state), encoding="utf-8")
        os.chmod(temporary, 0o666)
        os.replace(temporary, self._state_path)

    def read(self) -> dict[str, Any]:
        """Return a copy of the state as it is now."""
        with self.locked() as state:
            return json.loads(dump(state))

    @property
    def profile(self) -> Profile:
        """Return the version that is simulated."""
        with self.locked() as state:
            return PROFILES[state["version"]]

    def knob(self, name: str) -> Any:
        """Return what a knob is set to."""
        with self.locked() as state:
            return state["knobs"].get(name, KNOBS[name].default)

    def strike(self, name: str, verb: str = "") -> Optional[dict[str, Any]]:
        """Return the fault when it strikes now, and count it down."""
        with self.locked() as state:
            return strike(state["faults"], name, verb)

    def give_to_owner(self) -> None:
        """Let what root made belong to the folder's owner, so that this user can go on with it."""
        if os.geteuid() != 0:
            return
        owner = self.root.stat()
        if owner.st_uid == 0:
            return
        for folder, folders, files in os.walk(self.root):
            if GUESTS in folders and folder == str(self.root):
                folders.remove(GUESTS)  # in the process behind a VM, the guest's root folder is there
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                with contextlib.suppress(FileNotFoundError):
                    if os.lstat(path).st_uid != owner.st_uid:
                        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def dump(state: dict[str, Any]) -> str:
    """Return the state as it stands in its file."""
    return json.dumps(state, indent=1, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def open_shared(path: Path) -> Iterator[int]:
    """Open a file that several users may write, making it when it is missing."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(PermissionError):
            os.fchmod(handle, 0o666)
        yield handle
    finally:
        os.close(handle)
