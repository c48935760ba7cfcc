# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_power."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import vm_power

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.fixture
def run(module_mac: Any, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return run_module_main(vm_power.main, name="x", executable=str(module_mac.executable), **arguments)

    return call


def at(mac: Any, state: str) -> None:
    mac.list((UUID, "x", state)).look(UUID, Name="x", State=state).list((UUID, "x", state))


@pytest.mark.parametrize("check", [True, False])
def test_stopping(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    at(module_mac, "running")
    if not check:
        module_mac.expect("prlctl", "stop", UUID, "--noforce").list((UUID, "x", "stopped"))
    result = run(state="stopped", _ansible_check_mode=check).result
    prlctl = str(module_mac.executable)
    commands = [(command["cmd"], command["rc"]) for command in result.pop("commands")]
    assert commands == ([] if check else [([prlctl, "stop", UUID, "--noforce"], 0)])
    assert result == {
        "changed": True,
        "state": "stopped",
        "previous_state": "running",
        "method": "stop",
        "diff": {"before": {"state": "running"}, "after": {"state": "stopped"}},
    }


@pytest.mark.parametrize("check", [True, False])
def test_nothing_to_do(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    at(module_mac, "stopped")
    end = run(state="stopped", _ansible_check_mode=check)
    assert (end.result["changed"], end.result["method"]) == (False, "none")


def test_commands_have_their_times(module_mac: Any, run: Callable[..., Any]) -> None:
    at(module_mac, "running")
    module_mac.expect("prlctl", "stop", UUID, "--noforce", rc=255, err="odd").list((UUID, "x", "stopped"))
    (command,) = run(state="stopped").result["commands"]
    started = datetime.strptime(command["started_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - started) < timedelta(seconds=60)
    assert (command["rc"], 0 <= command["seconds"] < 60) == (255, True)


def test_a_suspended_vm_is_an_error(module_mac: Any, run: Callable[..., Any]) -> None:
    at(module_mac, "suspended")
    end = run(state="stopped")
    assert end.failed
    assert "not discarded by default" in end.result["msg"]


@pytest.mark.parametrize("part", ["info", "snapshots"])
def test_a_vm_that_can_be_read_only_partly_is_stopped(module_mac: Any, run: Callable[..., Any], part: str) -> None:
    module_mac.list((UUID, "x", "running"))
    if part == "snapshots":
        module_mac.expect("prlctl", "list", "-i", "-j", UUID, out=[module_mac.info(State="running")])
    for _try in range(3):
        args = ["list", "-i", "-j", UUID] if part == "info" else ["snapshot-list", UUID, "-j"]
        module_mac.expect("prlctl", *args, rc=255, err="Failed: The share is gone.")
    for _look in range(2 if part == "info" else 1):
        module_mac.list((UUID, "x", "running"))
    module_mac.expect("prlctl", "stop", UUID, "--noforce").list((UUID, "x", "stopped"))
    end = run(state="stopped")
    assert (end.failed, end.result["method"]) == (False, "stop")
