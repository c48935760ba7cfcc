# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the simulator's own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the harness beside this file, and the simulator itself

from parallels_simulator import cli  # noqa: E402
from simulator_harness import FIXTURES, SimulatedMac, new_mac  # noqa: E402


@pytest.fixture
def mac(tmp_path: Path) -> SimulatedMac:
    """A Mac without launchers and without lags: what is tested is done in this process."""
    simulated = new_mac(tmp_path / "mac")
    simulated.knob(
        "stop_polls=0",
        "start_polls=0",
        "resume_polls=0",
        "suspend_polls=0",
        "snapshot_polls=0",
        "snapshot_delete_polls=0",
        "busy_operations=0",
        "guest_ready_after=0",
    )
    return simulated


@pytest.fixture
def launched(tmp_path: Path) -> SimulatedMac:
    """A Mac as C(simulate create) makes it."""
    root = tmp_path / "a Mac with ümlaut"
    assert cli.main(["create", str(root)]) == 0
    return SimulatedMac(root)


@pytest.fixture(scope="session")
def messages() -> dict[str, str]:
    """The messages that were captured from real Macs."""
    return json.loads((FIXTURES / "messages.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def oldest_python() -> str:
    """A Python 3.9: the oldest one that the simulated programs have to run with."""
    candidates = [os.environ.get("SIMULATOR_OLDEST_PYTHON", ""), *_installed("python3.9")]
    for candidate in filter(None, candidates):
        answer = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2] == (3, 9))"],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.stdout.strip() == "True":
            return candidate
    pytest.fail("There is no Python 3.9. Install one, or name one in SIMULATOR_OLDEST_PYTHON.")


def _installed(name: str) -> list[str]:
    """Return the places where a Python may be: on PATH, and where pyenv keeps them (its shims may not work)."""
    found = [os.path.join(folder, name) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found.extend(str(path) for path in sorted((root / "versions").glob(f"*/bin/{name}")))
    return [path for path in found if os.access(path, os.X_OK)]
