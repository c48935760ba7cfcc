# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_info."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim
from ansible_collections.macops.parallels.plugins.modules import vm_info

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OTHER = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"


def test_one_vm_has_what_is_documented(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    snapshot = {"{64d481bb-ce04-45b1-8328-49e4e4c43ddf}": {"name": "base", "parent": ""}}
    module_mac.list((UUID, "Windows 11", "stopped")).look(UUID, snapshot)
    end = run_module_main(vm_info.main, name="Windows 11", executable=str(module_mac.executable))
    assert not end.failed
    assert end.result["changed"] is False
    (found,) = end.result["vms"]
    documented = yaml.safe_load(vm_info.RETURN)["vms"]["contains"]
    assert list(documented) == list(found)
    for key in ("disks", "snapshots", "tools"):
        value = found[key] if key == "tools" else found[key][0]
        assert list(documented[key]["contains"]) == list(value)


@pytest.mark.parametrize(("address", "told"), [("10.211.55.12", "10.211.55.12"), ("-", None), ("", None), (None, None)])
def test_the_address_of_a_running_guest(
    module_mac: Any, run_module_main: Callable[..., Any], address: Any, told: Any
) -> None:
    module_mac.list((UUID, "one", "running")).look(UUID, State="running")
    row = {"uuid": UUID, "status": "running", "name": "one"}
    rows = [row if address is None else {**row, "ip_configured": address}, {"uuid": OTHER, "ip_configured": "1.2.3.4"}]
    module_mac.expect("prlctl", "list", "-a", "-f", "-j", out=rows)
    end = run_module_main(vm_info.main, name="one", executable=str(module_mac.executable))
    assert end.result["vms"][0]["ip_address"] == told


def test_what_is_noted_of_a_vm(module_mac: Any, run_module_main: Callable[..., Any], tmp_path: Path) -> None:
    home = tmp_path / "one.pvm"
    facts = module_mac.bundle(home)
    seen = []
    for notes in ({}, {"generalized_at": "2026-11-22T09:30:00Z", "generalized_uptime": [7, 9]}, {"generalizing": True}):
        if notes:
            with Claim.take(str(home)) as claim:
                claim.write(generalized_vm=UUID, **notes)
        module_mac.list((UUID, "one", "stopped")).look(UUID, State="stopped", Uptime="8", **facts)
        (vm,) = run_module_main(vm_info.main, name="one", executable=str(module_mac.executable)).result["vms"]
        seen.append((vm["generalized"], vm["generalizing"]))
        assert "id" not in vm
    assert seen == [(False, False), (True, False), (None, True)]


def test_a_vm_that_is_not_there_is_an_empty_list(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    module_mac.list((UUID, "Windows 11", "stopped"))
    end = run_module_main(vm_info.main, name="Windows", executable=str(module_mac.executable))
    assert end.result == {"changed": False, "vms": []}


@pytest.mark.parametrize("check", [True, False])
def test_all_vms(module_mac: Any, run_module_main: Callable[..., Any], check: bool) -> None:
    module_mac.list((UUID, "one", "stopped"), (OTHER, "two", "stopped")).look(UUID).look(OTHER)
    end = run_module_main(vm_info.main, executable=str(module_mac.executable), _ansible_check_mode=check)
    assert [vm["uuid"] for vm in end.result["vms"]] == [UUID, OTHER]


def test_a_service_that_does_not_answer_is_a_sentence(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    for _try in range(3):
        module_mac.expect("prlctl", "list", "-a", "-j", out="?")
    end = run_module_main(vm_info.main, executable=str(module_mac.executable))
    assert end.failed
    assert end.result["msg"].startswith("Parallels gave no readable answer: ?")
    assert end.result["cmd"] == [str(module_mac.executable), "list", "-a", "-j"]
    assert "exception" not in end.result
