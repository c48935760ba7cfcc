# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the simulator's own tests."""

from __future__ import annotations

import json
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
    simulated.knob("stop_polls=0", "start_polls=0", "resume_polls=0", "suspend_polls=0", "snapshot_polls=0",
                   "snapshot_delete_polls=0", "busy_operations=0", "guest_ready_after=0")
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
