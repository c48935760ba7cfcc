# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the scenarios: build Macs behind a real sshd, and real servers."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.account import mac_account
from support.build import Build
from support.fault_table import summary
from support.fixtures import collections, https_store, make_mac, packed_modules, play, simulated_mac
from support.nginx import NginxStore
from support.simulated_mac import SimulatedMac
from support.sshd import SshServer, ssh_server

__all__ = ["collections", "https_store", "make_mac", "packed_modules", "play", "simulated_mac"]


@dataclasses.dataclass(frozen=True)
class SshMac:
    """A simulated Mac, and what an inventory says to work on it over SSH."""

    mac: SimulatedMac
    host_vars: dict[str, Any]


@pytest.fixture(scope="session")
def mac_sshd() -> Iterator[SshServer]:
    """Run one sshd, with an account of its own, for all the Macs of this process."""
    python = pathlib.Path(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable)
    with mac_account(python) as account, ssh_server(account) as server:
        yield server


@pytest.fixture
def make_ssh_mac(mac_sshd: SshServer) -> Iterator[Callable[..., SshMac]]:
    """Return a function that makes a simulated Mac owned by the account that Ansible logs in to."""
    folders: list[pathlib.Path] = []
    numbers = itertools.count(1)

    def make(**options: str) -> SshMac:
        folder = mac_sshd.account.work / f"mac {next(numbers)}"
        folders.append(folder)
        mac = SimulatedMac.create(folder, mac_sshd.account, **options)
        return SshMac(mac, {**mac_sshd.host_vars, **mac.host_vars})

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ssh_mac(make_ssh_mac: Callable[..., SshMac]) -> SshMac:
    """Return a simulated Mac behind SSH."""
    return make_ssh_mac()


@pytest.fixture
def make_nginx_store(tmp_path: pathlib.Path) -> Iterator[Callable[..., NginxStore]]:
    """Return a function that runs nginx as a store; the options are those of support.nginx.NginxStore."""
    with contextlib.ExitStack() as stores:
        numbers = itertools.count(1)
        yield lambda **options: stores.enter_context(NginxStore(tmp_path / f"nginx-{next(numbers)}", **options))


@pytest.fixture
def nginx_store(make_nginx_store: Callable[..., NginxStore]) -> NginxStore:
    """Run nginx with TLS and WebDAV."""
    return make_nginx_store()


@pytest.fixture
def make_build(play: Any, nginx_store: NginxStore, tmp_path: pathlib.Path) -> Callable[..., Build]:
    """Return a function that makes the build of an image on some Macs, with a store that they trust."""
    numbers = itertools.count(1)

    def make(macs: dict[str, SshMac], store: Any = nginx_store) -> Build:
        hosts = {}
        for name, ssh in macs.items():
            # The authority's certificate is where root alone can read it.
            ca_path = shutil.copy(store.ca_path, ssh.mac.folder / "ca.pem")
            hosts[name] = {**ssh.host_vars, "image_store_ca_path": str(ca_path)}
        return Build(play, hosts, store, tmp_path / f"build {next(numbers)}")

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole builds first, then what runs no playbook of its own and often waits, then short playbooks.

    So what waits does so beside other stages, and the run ends with work that is short and keeps all processors busy.
    """

    def rank(item: pytest.Item) -> int:
        fixtures = set(getattr(item, "fixturenames", ()))
        return 0 if fixtures & {"build", "make_build", "hooks"} else 2 if "play" in fixtures else 1

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what became of each fault, and the totals."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    outcomes = [value for report in reports for name, value in report.user_properties if name == "fault"]
    if outcomes:
        terminalreporter.write_line("")
        for line in summary(outcomes):
            terminalreporter.write_line(line)
