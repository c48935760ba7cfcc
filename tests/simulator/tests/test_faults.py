# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault: how it strikes, that it strikes as often as it was told to, and what it leaves behind."""

from __future__ import annotations

import json
import os
from typing import Any, Callable

import pytest
from parallels_simulator.faults import FAULTS
from simulator_harness import SimulatedMac

_tested: set[str] = set()


def strikes(*names: str) -> Callable[[Any], Any]:
    """Mark a test as that of these faults."""
    _tested.update(names)
    return lambda test: test


def test_every_fault_has_a_test() -> None:
    assert _tested == set(FAULTS)


@strikes("service_down")
def test_service_down(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a")
    mac.fault("service_down=2")
    assert mac.prlctl("list", "-a") == (253, "", messages["service_down"])
    assert mac.run("prlsrvctl", "info", "--json") == (253, "", messages["service_down"])
    assert mac.prlctl("list", "-a").rc == 0
    assert mac.prlctl("--version").rc == 0


@strikes("vm_frozen")
def test_frozen(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.fault("vm_frozen:stop")
    assert mac.prlctl("status", "a").rc == 0
    assert mac.prlctl("stop", "a").rc == 254
    mac.ok("stop", "a")


@strikes("rc255_after_success")
@pytest.mark.parametrize("verb", ["clone", "pack", "stop", "snapshot-delete"])
def test_255_after_success(mac: SimulatedMac, messages: dict[str, str], verb: str) -> None:
    mac.vm("a", state="running" if verb == "stop" else "stopped", snapshots="s")
    arguments = {"clone": ("--name", "b"), "snapshot-delete": ("-i", mac.snapshots("a")["s"]["id"])}.get(verb, ())
    mac.fault(f"rc255_after_success:{verb}")
    result = mac.prlctl(verb, "a", *arguments)
    assert (result.rc, result.err) == (255, messages["job"])
    assert mac.faults_left() == 0
    reached = {
        "clone": lambda: mac.state("b") == "stopped",
        "pack": lambda: mac.info("a")["Home"].endswith(".pvmp"),
        "stop": lambda: mac.state("a") == "stopped",
        "snapshot-delete": lambda: mac.snapshots("a") == {},
    }
    assert reached[verb]()


@strikes("busy")
def test_busy(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a")
    mac.fault("busy=2:delete")
    mac.ok("set", "a", "--cpus", "2")
    assert [mac.prlctl("delete", "a").rc for _try in range(3)] == [255, 255, 0]
    mac.vm("b")
    mac.fault("busy")
    assert mac.prlctl("delete", "b").err == messages["remove_running"]


@strikes("sync_race")
def test_sync_race(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", snapshots="s")
    mac.fault("sync_race=2")
    guid = mac.snapshots("a")["s"]["id"]
    for _try in range(2):
        result = mac.prlctl("snapshot-delete", "a", "-i", guid)
        assert (result.rc, result.err) == (255, messages["data_sync"])
    mac.ok("snapshot-delete", "a", "-i", guid)
    assert mac.snapshots("a") == {}


@strikes("snapshot_remains")
def test_snapshot_remains(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="s")
    guid = mac.snapshots("a")["s"]["id"]
    mac.fault("snapshot_remains")
    mac.ok("snapshot-delete", "a", "-i", guid)
    assert set(mac.snapshots("a")) == {"s"}
    mac.ok("snapshot-delete", "a", "-i", guid)
    assert mac.snapshots("a") == {}


@strikes("disk_full")
def test_disk_full_in_pack(mac: SimulatedMac) -> None:
    mac.vm("a", data="2M")
    before = mac.fingerprint("a")
    mac.fault("disk_full")
    result = mac.prlctl("pack", "a")
    assert result.rc == 255
    assert result.err.startswith("Failed to pack the VM: Not enough free space on the physical disk drive")
    assert 1 << 20 <= (mac.home / "a.pvmp").stat().st_size < 2 << 20
    assert not (mac.home / "a.sha256.txt").exists()
    assert mac.fingerprint("a") == before
    assert mac.state("a") == "stopped"


@strikes("disk_full")
@pytest.mark.parametrize("setting", ["on", "off"])
def test_disk_full_in_clone(mac: SimulatedMac, setting: str) -> None:
    mac.knob(f"killed_clone_registered={setting}")
    mac.vm("a", data="2M")
    mac.fault("disk_full:clone")
    result = mac.prlctl("clone", "a", "--name", "b")
    assert result.rc == 255
    assert result.err.startswith("Failed to clone the VM: Not enough free space")
    assert (mac.home / "b.pvm").is_dir()
    assert not (mac.home / "b.pvm" / "config.pvs").exists()
    assert mac.prlctl("status", "b").rc == 255


@strikes("disk_full")
def test_disk_full_in_unpack(mac: SimulatedMac) -> None:
    mac.vm("a", data="2M")
    mac.ok("pack", "a")
    mac.fault("disk_full:unpack")
    assert mac.prlctl("unpack", "a").rc == 255
    assert (mac.home / "a.pvm").is_dir()
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvmp"


@strikes("pack_empty", "pack_missing")
@pytest.mark.parametrize("fault", ["pack_empty", "pack_missing"])
def test_pack_without_an_image(mac: SimulatedMac, fault: str) -> None:
    mac.vm("a")
    before = mac.fingerprint("a")
    mac.fault(fault)
    mac.ok("pack", "a")
    image = mac.home / "a.pvmp"
    assert (image.stat().st_size == 0) if fault == "pack_empty" else not image.exists()
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvm/"
    assert mac.fingerprint("a") == before


@strikes("pack_empty", "pack_missing")
@pytest.mark.parametrize("fault", ["pack_empty", "pack_missing"])
def test_pack_without_an_image_that_is_registered(mac: SimulatedMac, fault: str) -> None:
    mac.vm("a")
    mac.fault(f"{fault}:moved")
    mac.ok("pack", "a")
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvmp"
    assert mac.state("a") == "invalid"
    assert (mac.home / "a.pvm" / "config.pvs").is_file()


@strikes("pack_rc0_unchanged")
def test_pack_that_changes_nothing(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("pack_rc0_unchanged")
    mac.ok("pack", "a")
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvm/"
    assert (mac.home / "a.pvmp").stat().st_size > 0


@strikes("wrong_checksum_file")
def test_wrong_checksum_file(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("wrong_checksum_file")
    mac.ok("pack", "a")
    assert (mac.home / "a.sha256.txt").read_text() == "0" * 64


@strikes("clone_rc0_missing")
def test_clone_that_is_not_there(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("clone_rc0_missing")
    mac.ok("clone", "a", "--name", "b")
    assert os.listdir(mac.home) == ["a.pvm"]
    assert mac.prlctl("status", "b").rc == 255
    mac.ok("clone", "a", "--name", "b")
    assert mac.state("b") == "stopped"


@strikes("exec_not_ready")
def test_exec_not_ready(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", state="running")
    mac.fault("exec_not_ready=2")
    answers = [mac.prlctl("exec", "a", "cmd", "/c", "exit", "3") for _try in range(3)]
    assert answers == [(255, "", messages["no_session"])] * 2 + [(3, "", "")]


@strikes("exec_false_success")
def test_exec_false_success(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", os="debian", state="running")
    mac.fault("exec_false_success")
    assert mac.prlctl("exec", "a", "touch", "/made") == (0, "", messages["no_session"])
    assert mac.prlctl("exec", "a", "test", "-e", "/made").rc == 1


@strikes("exec_handle_fault")
@pytest.mark.parametrize("function", ["", "PrlJob_GetResult", "PrlVmGuest_RunProgram", "PrlResult_GetParamByIndex"])
def test_exec_handle_fault(mac: SimulatedMac, messages: dict[str, str], function: str) -> None:
    mac.vm("a", os="debian", state="running")
    mac.fault(f"exec_handle_fault=2{':' if function else ''}{function}")
    expected = messages["job"].replace("PrlJob_GetRetCode", function or "PrlJob_GetRetCode")
    answers = [mac.prlctl("exec", "a", "touch", "/made") for _try in range(2)]
    assert answers == [(255, "", expected)] * 2
    assert mac.prlctl("exec", "a", "test", "-e", "/made").rc == 1


@strikes("exec_ends_early")
@pytest.mark.parametrize(("param", "rc"), [("", 255), (":silent", 0)])
def test_exec_ends_early(mac: SimulatedMac, messages: dict[str, str], param: str, rc: int) -> None:
    mac.vm("a", os="debian", state="running")
    mac.fault(f"exec_ends_early{param}")
    command = ("exec", "a", "sh", "-c", "echo BEGIN; touch /made; echo END")
    assert mac.prlctl(*command) == (rc, "BEGIN\n", messages["job"] if rc else "")
    assert mac.prlctl("exec", "a", "test", "-e", "/made").rc == 0
    assert mac.prlctl(*command) == (0, "BEGIN\nEND\n", "")


@strikes("exec_dies_at_shutdown")
def test_exec_dies_at_shutdown(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", state="running")
    mac.fault("exec_dies_at_shutdown")
    assert mac.prlctl("exec", "a", "cmd", "/c", "exit", "0").rc == 0
    result = mac.prlctl("exec", "a", "sysprep.exe", "/generalize", "/oobe", "/shutdown")
    assert (result.rc, result.err) == (255, messages["job"])
    assert mac.state("a") == "stopped"
    assert mac.shown_vm("a")["guest"]["image_state"] == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


@strikes("stop_ignored")
def test_stop_ignored(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.fault("stop_ignored")
    assert "successfully stopped" in mac.ok("stop", "a")
    assert mac.state("a") == "running"
    mac.ok("stop", "a")
    assert mac.state("a") == "stopped"


@strikes("start_fails")
def test_start_fails(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("start_fails")
    assert mac.prlctl("start", "a").rc == 255
    assert mac.state("a") == "stopped"
    mac.ok("start", "a")
    assert mac.state("a") == "running"


@strikes("unregister_fails", "delete_fails")
@pytest.mark.parametrize(("fault", "verb"), [("unregister_fails", "unregister"), ("delete_fails", "delete")])
def test_removal_fails(mac: SimulatedMac, messages: dict[str, str], fault: str, verb: str) -> None:
    mac.vm("a")
    before = mac.fingerprint("a")
    mac.fault(fault)
    result = mac.prlctl(verb, "a")
    assert result.rc == 255
    assert result.err.endswith(": " + messages["credentials"])
    assert mac.fingerprint("a") == before
    mac.ok(verb, "a")
    assert mac.prlctl("status", "a").rc == 255


@strikes("invalid_state")
def test_invalid_state(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("invalid_state=2")
    assert [mac.state("a") for _look in range(3)] == ["invalid", "invalid", "stopped"]


@strikes("json_garbage")
def test_json_garbage(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="s")
    for arguments in (("list", "-a", "-j"), ("snapshot-list", "a", "-j")):
        mac.fault("json_garbage")
        with pytest.raises(ValueError):
            json.loads(mac.ok(*arguments))
        json.loads(mac.ok(*arguments))
    mac.fault("json_garbage")
    with pytest.raises(ValueError):
        json.loads(mac.run("prlsrvctl", "info", "-j").out)


@strikes("list_empty_once")
def test_list_empty(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a")
    mac.fault("list_empty_once")
    assert json.loads(mac.ok("list", "-a", "-j")) == []
    assert len(json.loads(mac.ok("list", "-a", "-j"))) == 1
    mac.fault("list_empty_once")
    assert mac.prlctl("list", "-i", "-j", "a") == (255, "", messages["not_found"])
    assert mac.info("a")["Name"] == "a"


def test_faults_strike_as_often_as_they_are_told_to(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("start_fails=always")
    assert {mac.prlctl("start", "a").rc for _try in range(5)} == {255}
    mac.simulate("fault", "--clear")
    mac.ok("start", "a")


def test_one_fault_for_two_verbs(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.fault("rc255_after_success:clone", "rc255_after_success=2:pack")
    assert mac.prlctl("clone", "a", "--name", "b").rc == 255
    assert mac.prlctl("clone", "a", "--name", "c").rc == 0
    assert [mac.prlctl("pack", name).rc for name in "abc"] == [255, 255, 0]


# These need a process that can be killed: test_processes.py has their tests.
strikes(
    "hang",
    "kill_in_pack",
    "kill_in_unpack",
    "kill_in_clone",
    "kill_after_clone",
    "kill_after_pack",
    "kill_in_snapshot_delete",
)
