# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_info."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim
from ansible_collections.macops.parallels.plugins.module_utils._parallels import vm as vm_room
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


def test_how_far_a_build_got(module_mac: Any, run_module_main: Callable[..., Any], tmp_path: Path) -> None:
    home = tmp_path / "one.pvm"
    facts = module_mac.bundle(home)
    with Claim.take(str(home)) as claim:
        claim.write(staged_vm=UUID, staged_image="win11", stage="provisioned")
    module_mac.list((UUID, "one", "stopped")).look(UUID, State="stopped", **facts)
    (vm,) = run_module_main(vm_info.main, name="one", executable=str(module_mac.executable)).result["vms"]
    assert vm["build_stage"] == {"image": "win11", "stage": "provisioned"}
    documented = yaml.safe_load(vm_info.RETURN)["vms"]["contains"]["build_stage"]
    assert list(documented["contains"]) == list(vm["build_stage"])


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
    assert end.result["msg"].startswith("Parallels returned no readable answer: ?")
    assert end.result["cmd"] == [str(module_mac.executable), "list", "-a", "-j"]
    assert "exception" not in end.result


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: said.append(text))
    return said


GONE = "Failed to get VM config: The share of the virtual machine is gone."
UNKNOWN_FACTS = ("encrypted", "linked_clone", "bytes_on_disk", "snapshots")


@pytest.mark.parametrize("named", [True, False])
def test_a_vm_that_parallels_does_not_describe_does_not_hide_the_others(
    module_mac: Any, run_module_main: Callable[..., Any], warnings: list[str], named: bool
) -> None:
    vms = [(UUID, "one", "stopped")] if named else [(UUID, "one", "stopped"), (OTHER, "two", "stopped")]
    module_mac.list(*vms)
    for _try in range(3):
        module_mac.expect("prlctl", "list", "-i", "-j", UUID, rc=255, err=GONE)
    module_mac.list(*vms)
    if not named:
        module_mac.look(OTHER, **module_mac.bundle(module_mac.folder / "two.pvm"))
    end = run_module_main(vm_info.main, executable=str(module_mac.executable), **({"name": "one"} if named else {}))
    assert not end.failed
    assert [vm["uuid"] for vm in end.result["vms"]] == ([UUID] if named else [UUID, OTHER])
    one = end.result["vms"][0]
    assert (one["name"], one["state"], one["home"]) == ("one", "stopped", "")
    assert [one[key] for key in (*UNKNOWN_FACTS, "packed", "template", "generalized", "build_stage")] == [None] * 8
    assert list(one) == list(yaml.safe_load(vm_info.RETURN)["vms"]["contains"])
    (warning,) = warnings
    assert warning.startswith("'one': Parallels refused to answer: ")
    assert "The share of the virtual machine is gone." in warning
    if not named:
        assert end.result["vms"][1]["bytes_on_disk"] > 0
        assert end.result["vms"][1]["linked_clone"] is False


def test_a_vm_on_a_disk_that_is_not_mounted(
    module_mac: Any, run_module_main: Callable[..., Any], warnings: list[str]
) -> None:
    module_mac.list((UUID, "one", "invalid"))
    facts = module_mac.info(State="invalid", Home="/Volumes/No Such Disk/one.pvm/", Security={})
    module_mac.expect("prlctl", "list", "-i", "-j", UUID, out=[facts])
    for _try in range(3):
        module_mac.expect("prlctl", "snapshot-list", UUID, "-j", rc=255, err=GONE)
    end = run_module_main(vm_info.main, executable=str(module_mac.executable))
    (vm,) = end.result["vms"]
    assert [vm[key] for key in UNKNOWN_FACTS] == [None] * 4
    assert "the disk /Volumes/No Such Disk is not mounted. Connect it." in warnings[0]
    assert len(warnings) == 1


def test_a_bundle_without_access(
    module_mac: Any, run_module_main: Callable[..., Any], warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = module_mac.folder / "one.pvm"
    module_mac.list((UUID, "one", "stopped")).look(UUID, Name="one", **module_mac.bundle(home))

    def denied(path: str, **_options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(vm_room, "open_regular", denied)
    monkeypatch.setattr(vm_room, "bytes_on_disk", denied)
    end = run_module_main(vm_info.main, name="one", executable=str(module_mac.executable))
    (vm,) = end.result["vms"]
    assert [vm[key] for key in UNKNOWN_FACTS] == [False, None, None, []]
    (warning,) = warnings
    assert warning.startswith(f"'one': {home}/config.pvs cannot be read: Permission denied. ")
    assert "Full Disk Access for sshd-keygen-wrapper" in warning


def test_templates_are_listed(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    module_mac.list((UUID, "one", "stopped"))
    rows = [{"uuid": UUID, "name": "one", "status": "stopped"}, {"uuid": OTHER, "name": "two", "status": "stopped"}]
    module_mac.expect("prlctl", "list", "-a", "-t", "-j", out=rows)
    module_mac.look(UUID).look(OTHER, Template="yes")
    end = run_module_main(vm_info.main, executable=str(module_mac.executable))
    assert [vm["template"] for vm in end.result["vms"]] == [False, True]


@pytest.mark.parametrize("row", [{"name": "two"}, {"uuid": "no", "name": "two"}, "two", None])
def test_an_entry_that_is_not_understood_is_not_left_out(
    module_mac: Any, run_module_main: Callable[..., Any], row: Any
) -> None:
    module_mac.expect("prlctl", "list", "-a", "-j", out=[{"uuid": UUID, "name": "one", "status": "stopped"}, row])
    end = run_module_main(vm_info.main, name="two", executable=str(module_mac.executable))
    assert end.failed
    assert "with an entry that has no UUID" in end.result["msg"]
