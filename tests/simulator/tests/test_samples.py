# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated programs print what was captured from real Macs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from simulator_harness import SimulatedMac, fixture_text, new_mac


def test_list_text_has_the_captured_columns(mac: SimulatedMac) -> None:
    identity = mac.vm("Windows 11")
    captured = fixture_text("list-all.txt").replace("bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf", identity)
    assert mac.ok("list", "-a") == captured
    assert mac.ok("list", "-a", "-H") == captured.split("\n", 1)[1]


def test_list_json_is_the_captured_text(mac: SimulatedMac) -> None:
    identity = mac.vm("packaged-vm")
    captured = fixture_text("list-all.json").replace("bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf", identity)
    assert mac.ok("list", "-a", "-j") == captured
    assert mac.ok("list", "-aj") == captured
    assert mac.ok("list", "--all", "--json") == captured


def test_list_shows_running_vms_only_unless_asked(mac: SimulatedMac) -> None:
    mac.vm("off")
    mac.vm("on", state="running")
    assert [row["name"] for row in json.loads(mac.ok("list", "-j"))] == ["on"]
    assert [row["name"] for row in json.loads(mac.ok("list", "-S", "-j"))] == ["off"]
    assert [row["name"] for row in json.loads(mac.ok("list", "-a", "-j"))] == ["off", "on"]


def test_list_gives_the_fields_that_are_asked_for(mac: SimulatedMac) -> None:
    identity = mac.vm("a b")
    assert json.loads(mac.ok("list", "-a", "-j", "-o", "name,uuid")) == [{"name": "a b", "uuid": identity}]
    assert mac.ok("list", "-a", "-H", "-o", "uuid") == f"{{{identity}}} \n"
    assert mac.prlctl("list", "-a", "-o", "colour").rc == 1


def test_full_list_shows_the_address_of_a_running_guest(mac: SimulatedMac) -> None:
    mac.vm("on", state="running")
    assert json.loads(mac.ok("list", "-a", "-j"))[0]["ip_configured"] == "-"
    assert json.loads(mac.ok("list", "-a", "-f", "-j"))[0]["ip_configured"].startswith("10.211.55.")


def test_no_vm_at_all(mac: SimulatedMac) -> None:
    assert mac.ok("list", "-a") == fixture_text("list-all.txt").split("\n", 1)[0] + "\n"
    assert mac.ok("list", "-a", "-j") == "[\n]\n"


def _shape(value: Any) -> Any:
    """Reduce a value to its keys and types; lists to the shape of their first element."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return type(value).__name__


def test_info_has_every_key_of_the_captured_one_in_its_order(mac: SimulatedMac) -> None:
    mac.simulate("knob")
    mac.vm("Maui_DevBox", disk="128G", state="running")
    captured = json.loads(fixture_text("info-20-arm64.json"))[0]
    own = mac.info("Maui_DevBox")
    for info in (captured, own):  # what is different from VM to VM
        info["Host Shared Folders"] = {"enabled": info["Host Shared Folders"]["enabled"]}
        info["Network"]["ipAddresses"] = info["Network"]["ipAddresses"][:1]
    assert _shape(own) == _shape(captured)
    assert list(own) == list(captured)
    assert list(own["Hardware"]) == list(captured["Hardware"])


def test_info_values_of_a_fresh_windows_are_the_captured_ones(mac: SimulatedMac) -> None:
    identity = mac.vm("Maui_DevBox", disk="128G")
    captured = json.loads(fixture_text("info-20-arm64.json"))[0]
    own = mac.info("Maui_DevBox")
    different = {"ID", "Uptime", "Home", "Home path", "Hardware", "Host Shared Folders", "Network", "GuestTools"}
    assert {key: own[key] for key in own if key not in different} == {
        key: captured[key] for key in captured if key not in different
    }
    hardware, wanted = own["Hardware"], captured["Hardware"]
    assert {**hardware["hdd0"], "image": ""} == {**wanted["hdd0"], "image": ""}
    assert hardware["cpu"] == wanted["cpu"]
    assert hardware["memory"]["size"] == wanted["memory"]["size"]
    assert {**hardware["net0"], "mac": ""} == {**wanted["net0"], "mac": ""}
    assert own["ID"] == identity
    assert own["Home"] == f"{mac.home}/Maui_DevBox.pvm/"
    assert own["Home path"] == f"{mac.home}/Maui_DevBox.pvm/config.pvs"
    assert hardware["hdd0"]["image"] == f"{mac.home}/Maui_DevBox.pvm/harddisk1.hdd"


def test_json_is_indented_with_tabs_and_escapes_slashes(mac: SimulatedMac) -> None:
    mac.vm("Größe")
    text = mac.ok("list", "-i", "-j", "Größe")
    assert text.startswith('[\n\t{\n\t\t"ID": "')
    assert f'"Home": "{mac.home}/Größe.pvm/"'.replace("/", "\\/") in text
    assert not any(line.startswith(" ") for line in text.splitlines())


def test_packed_vm_of_version_16_has_the_captured_keys(tmp_path: Path) -> None:
    mac = new_mac(tmp_path / "mac", "16", "pro", "x86_64")
    mac.vm("my-vm", os="macosx", disk="256G", packed=True)
    captured = json.loads(fixture_text("info-16-packed.json"))
    own = mac.info("my-vm")
    for key in captured:
        assert key in own
    assert own["Security"] == captured["Security"]
    assert own["State"] == captured["State"]
    assert own["GuestTools"] == captured["GuestTools"]
    assert own["Home"] == own["Home path"] == f"{mac.home}/my-vm.pvmp"
    assert own["Hardware"]["hdd0"] == {**captured["Hardware"]["hdd0"], "image": "harddisk1.hdd"}
    assert own["BIOS type"] == "efi64"
    assert "type" not in own["Hardware"]["cpu"]
    assert "Shared clipboard" in own["Miscellaneous Sharing"]
    assert not {"Print Management", "SMBIOS settings", "Network"} & set(own)


def test_packed_vm_of_version_26_says_so(mac: SimulatedMac) -> None:
    mac.vm("p", packed=True)
    assert mac.info("p")["Security"]["Packed"] == "yes"
    assert mac.state("p") == "stopped"


def test_info_as_text(mac: SimulatedMac) -> None:
    identity = mac.vm("x y", state="running")
    lines = mac.ok("list", "-i", "x y").splitlines()
    for line in (
        f"ID: {{{identity}}}",
        "Name: x y",
        "State: running",
        "OS: win-11",
        f"Home: {mac.home}/x y.pvm/",
        "GuestTools: state=installed version=26.4.1-57516",
        "BIOS type: efi-arm64",
    ):
        assert line in lines
    assert any(
        line.startswith(f"  hdd0 (+) sata:0 image='{mac.home}/x y.pvm/harddisk1.hdd' type='expanded'") for line in lines
    )
    assert any(line.startswith("  net0 (+) type=shared mac=001C42") for line in lines)


def test_snapshot_list_text_has_the_captured_columns(mac: SimulatedMac) -> None:
    mac.vm("x", snapshots="one(two)")
    ids = {name: item["id"] for name, item in mac.snapshots("x").items()}
    captured = fixture_text("snapshot-list.txt")
    captured = captured.replace("{a5b8999f-5d95-4aff-82de-e515b0101b66}", ids["one"])
    captured = captured.replace("{a7345be5-ab66-478c-946e-a6c2caf14909}", ids["two"])
    assert mac.ok("snapshot-list", "x") == captured


def test_snapshot_list_json_is_keyed_by_id_in_braces(mac: SimulatedMac) -> None:
    mac.vm("x", snapshots="Snapshot for linked clone")
    captured = json.loads(fixture_text("snapshot-list.json"))
    own = json.loads(mac.ok("snapshot-list", "x", "-j"))
    (item,), (wanted,) = own.values(), captured.values()
    assert item == {**wanted, "date": item["date"]}
    assert list(item) == list(wanted)
    assert all(key.startswith("{") and key.endswith("}") for key in own)


def test_one_snapshot_in_full(mac: SimulatedMac) -> None:
    mac.vm("x")
    mac.ok("snapshot", "x", "-n", "original", "-d", "original state")
    item = mac.snapshots("x")["original"]
    captured = fixture_text("snapshot-in-full.txt")
    captured = captured.replace("{a5b8999f-5d95-4aff-82de-e515b0101b66}", item["id"])
    captured = captured.replace("2016-03-04 10:50:34", item["date"])
    assert mac.ok("snapshot-list", "x", "-i", item["id"]) == captured


def test_no_snapshots_print_nothing(mac: SimulatedMac) -> None:
    mac.vm("x")
    assert mac.ok("snapshot-list", "x", "-j") == ""
    assert mac.ok("snapshot-list", "x") == ""


@pytest.mark.parametrize(
    ("version", "text"),
    [("16", "16.5.0 (49183)"), ("20", "20.0.0 (55397)"), ("26", "26.4.1 (57516)")],
)
def test_versions(tmp_path: Path, version: str, text: str) -> None:
    mac = new_mac(tmp_path / "mac", version, "pro", "arm64")
    assert mac.ok("--version") == f"prlctl version {text}\n"
    assert (
        json.loads(mac.run("prlsrvctl", "info", "--json").out)["Version"] == "Desktop " + text.replace(" (", "-")[:-1]
    )


def test_status(mac: SimulatedMac) -> None:
    mac.vm("Windows 11", state="running")
    assert mac.ok("status", "Windows 11") == 'VM "Windows 11" exist running\n'


def test_messages_of_refusals(mac: SimulatedMac, messages: dict) -> None:
    mac.vm("X", state="paused")
    mac.vm("Y", state="running")
    assert mac.prlctl("list", "-i", "nobody") == (255, "", messages["not_found"])
    assert mac.prlctl("stop", "X").err == messages["stop_paused"]
    assert mac.prlctl("delete", "Y") == (255, "Removing the VM...\n", messages["remove_running"])
    mac.ok("stop", "X", "--kill")
    assert mac.prlctl("stop", "X") == (255, "Stopping the VM...\n", messages["stop_stopped"])
    assert mac.prlctl("register", f"{mac.home}/X.pvm").err == messages["registered_twice"]
    assert mac.prlctl("snapshot-delete", "X").err == messages["no_snapshot_id"]
    mac.ok("snapshot", "X", "-n", "s")
    compacted = mac.run("prl_disk_tool", "compact", "--hdd", f"{mac.home}/X.pvm/harddisk1.hdd")
    assert (compacted.rc, compacted.err) == (255, messages["compact_snapshots"])


def test_success_messages(mac: SimulatedMac) -> None:
    mac.vm("a")
    assert mac.ok("start", "a") == "Starting the VM...\nThe VM has been successfully started.\n"
    assert mac.ok("stop", "a") == "Stopping the VM...\nThe VM has been successfully stopped.\n"
    mac.ok("start", "a")
    assert mac.ok("stop", "a", "--kill") == "Stopping the VM...\nThe VM has been forcibly stopped\n"
    made = mac.ok("snapshot", "a", "-n", "s")
    guid = mac.snapshots("a")["s"]["id"]
    assert made == f"Creating the snapshot...\nThe snapshot with id {guid} has been successfully created.\n"
    assert mac.ok("snapshot-switch", "a", "-i", guid) == (
        f"Switch to the snapshot {guid}\nThe VM has been successfully switched.\n"
    )
    assert mac.ok("snapshot-delete", "a", "-i", guid) == (
        "Delete the snapshot...\nThe snapshot has been successfully deleted.\n"
    )
    assert mac.ok("clone", "a", "--name", "b") == "Clone the a VM to VM b...\nThe VM has been successfully cloned.\n"
    assert mac.ok("set", "a", "--cpus", "2") == "The VM has been successfully configured.\n"
    assert mac.ok("unregister", "b") == "Unregister the VM...\nThe VM has been successfully unregistered.\n"
    assert mac.ok("register", f"{mac.home}/b.pvm") == "Register the VM...\nThe VM has been successfully registered.\n"
    mac.knob("delete_prompts=silent")
    assert mac.ok("delete", "b") == "Removing the VM...\nThe VM has been successfully removed.\n"


def test_bad_usage_is_1(mac: SimulatedMac) -> None:
    mac.vm("a")
    for arguments in ([], ["fly"], ["stop"], ["stop", "a", "--now"], ["clone", "a"], ["set", "a"], ["list", "-o"]):
        result = mac.prlctl(*arguments)
        assert result.rc == 1, arguments
        assert result.out == ""
        assert "Usage: prlctl" in result.err or "Unknown" in result.err
    assert "pack" not in mac.prlctl().err  # the real usage text does not name it in every edition


def test_licence(mac: SimulatedMac) -> None:
    licence = mac.run("prlsrvctl", "info", "--license", "--json").json
    assert (licence["status"], licence["edition"]) == ("ACTIVE", "enterprise")
    text = mac.run("prlsrvctl", "info", "--license").out
    assert '\tedition="enterprise"\n' in text
    assert "\tcpu_total=32\n" in text
    info = mac.run("prlsrvctl", "info", "--json").json
    assert info["VM home"] == str(mac.home)
    assert info["License"]["state"] == "valid"
    assert f"VM home: {mac.home}\n" in mac.run("prlsrvctl", "info").out


def test_edition_without_prlctl(tmp_path: Path, messages: dict) -> None:
    mac = new_mac(tmp_path / "mac", "26", "standard", "arm64")
    assert mac.prlctl("list", "-a") == (255, "", messages["edition"])
    assert mac.prlctl("--version").rc == 0
