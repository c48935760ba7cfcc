# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the attacks: two users of a build Mac, and what the scenarios have that is useful here."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from support.account import Account, can_add_users, mac_account
from support.attack_table import summary
from support.fixtures import collections, https_store, make_mac, packed_modules, play, simulated_mac
from support.modules import Modules
from support.simulated_mac import SimulatedMac

__all__ = ["collections", "https_store", "make_mac", "packed_modules", "play", "simulated_mac"]

SECURITY = pathlib.Path(__file__).resolve().parents[2] / "docs" / "security.md"
NO_ACCOUNTS = "two users are needed, and only root on Linux can make their accounts"


@pytest.fixture(scope="session")
def accounts() -> Iterator[tuple[Account, Account]]:
    """Make two accounts: that of the build Mac's user, with a Mac's Python, and that of the other one."""
    if not can_add_users():
        # .ci/run sets it.
        if os.environ.get("MACOPS_ACCOUNTS") == "required":
            pytest.fail(f"{NO_ACCOUNTS}. Run .ci/run as root on Linux.", pytrace=False)
        pytest.skip(NO_ACCOUNTS)
    python = pathlib.Path(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable)
    with mac_account(python) as victim, mac_account() as attacker:
        yield victim, attacker


@pytest.fixture
def victim(accounts: tuple[Account, Account]) -> Account:
    """Return the user who builds images on the Mac."""
    return accounts[0]


@pytest.fixture
def attacker(accounts: tuple[Account, Account]) -> Account:
    """Return another user of the same Mac, without administrator rights."""
    return accounts[1]


@pytest.fixture
def shared_folder(victim: Account) -> Iterator[pathlib.Path]:
    """Return a folder in which every user may make files, as in /Users/Shared."""
    folder = victim.base / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def victim_modules(accounts: tuple[Account, Account], collections: pathlib.Path) -> Iterator[Modules]:
    """Return what runs modules as the victim."""
    victim = accounts[0]
    with Modules(str(victim.python), collections, account=victim) as modules:
        yield modules


@pytest.fixture
def victim_mac(victim: Account) -> Iterator[SimulatedMac]:
    """Return a simulated Mac on which the victim is logged in."""
    folder = victim.work / "mac"
    yield SimulatedMac.create(folder, victim)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which promises were held."""
    outcomes: dict[str, bool] = {}
    for key in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(key, []):
            outcomes[report.nodeid] = outcomes.get(report.nodeid, True) and key == "passed"
    terminalreporter.write_line("")
    for line in summary(SECURITY.read_text(encoding="utf-8"), outcomes):
        terminalreporter.write_line(line)
