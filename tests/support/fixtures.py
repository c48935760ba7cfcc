# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that the scenario and the smoke tests share; their conftest.py import them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.https_store import https_store as running_https_store
from support.playbook import PlaybookRun, RunningPlaybook, run_playbook, start_playbook
from support.simulated_mac import SimulatedMac

ROOT = pathlib.Path(__file__).resolve().parents[2]

MakeMac = Callable[..., SimulatedMac]


def nightly(*values: Any) -> Any:
    """Return a row of a parametrized test that is left to C(make test-all)."""
    return pytest.param(*values, marks=pytest.mark.nightly)


@dataclasses.dataclass(frozen=True)
class Play:
    """Runs playbooks that find the collection here."""

    collections: pathlib.Path
    # Ansible packs each module anew in each run, which takes longer than most modules.
    modules: pathlib.Path

    def __call__(self, *arguments: Any, **options: Any) -> PlaybookRun:
        """Run one to its end: see support.playbook.run_playbook."""
        return run_playbook(*arguments, collections=self.collections, modules=self.modules, **options)

    def start(self, *arguments: Any, **options: Any) -> contextlib.AbstractContextManager[RunningPlaybook]:
        """Start one: see support.playbook.start_playbook."""
        return start_playbook(*arguments, collections=self.collections, modules=self.modules, **options)


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a collections path: the one that is named from outside, else one with the sources of these tests."""
    installed = os.environ.get("MACOPS_COLLECTIONS")
    if installed:
        return pathlib.Path(installed)
    folder = tmp_path_factory.mktemp("collections")
    namespace = folder / "ansible_collections" / "macops"
    namespace.mkdir(parents=True)
    (namespace / "parallels").symlink_to(ROOT)
    return folder


@pytest.fixture(scope="session")
def packed_modules(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder that the worker processes of one pytest share.

    ansible-core before 2.19 has no lock between two runs: its stages have one worker.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "packed-modules"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def play(collections: pathlib.Path, packed_modules: pathlib.Path) -> Play:
    """Return what runs playbooks with the sources of these tests."""
    return Play(collections, packed_modules)


@pytest.fixture
def make_mac(tmp_path: pathlib.Path) -> MakeMac:
    """Return a function that makes a simulated Mac of this process's user."""
    numbers = itertools.count(1)

    def make(**options: str) -> SimulatedMac:
        return SimulatedMac.create(tmp_path / f"mac {next(numbers)}", **options)

    return make


@pytest.fixture
def simulated_mac(make_mac: MakeMac) -> SimulatedMac:
    """Return a simulated Mac of this process's user."""
    return make_mac()


@pytest.fixture
def https_store(tmp_path: pathlib.Path) -> Iterator[Any]:
    """Run an HTTPS store with a certificate authority of its own."""
    with running_https_store(tmp_path / "store") as store:
        yield store
