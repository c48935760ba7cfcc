# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is, read from captured answers and from bundles."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.settings import Settings
from ansible_collections.macops.parallels.plugins.module_utils._parallels.unlisted import (
    Unlisted,
    find_unlisted,
    off_the_list,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import (
    Entry,
    bare_uuid,
    family_of,
    find_entry,
    find_linked_clones,
    find_vm,
    get_vm,
    get_vm_at_rest,
    home_of,
    is_busy,
    list_vms,
    read_snapshots,
    wait_for_state,
    wait_while_busy,
)

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OTHER = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"


def test_a_windows_vm_on_apple_silicon(mac: Any, fixture_text: Callable[[str], str]) -> None:
    mac.list((UUID, "Maui_DevBox", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", UUID, out=fixture_text("info_20_windows_arm64.json"))
    mac.expect("prlctl", "snapshot-list", UUID, "-j", out="")
    assert get_vm(mac.prl, "Maui_DevBox").result() == {
        "uuid": UUID,
        "name": "Maui_DevBox",
        "state": "stopped",
        "os": "win-11",
        "family": "windows",
        "arch": "arm64",
        "home": "/Users/u/Parallels/Maui_DevBox.pvm",
        "packed": False,
        "intermediate": False,
        "encrypted": False,
        "template": False,
        "tools": {"state": "possibly_installed", "version": "20.0.0-55397"},
        "linked_clone": None,  # its bundle is not there
        "secure_boot_key": "unknown",
        "bytes_on_disk": None,
        "description": "",
        "cpus": 4,
        "memory": 8192,
        "pause_idle": False,
        "startup_view": "window",
        "on_shutdown": "window",
        "on_window_close": "keep-running",
        "nested_virtualization": False,
        "secure_boot": False,
        "tpm": True,
        "asset_tag": None,
        "tools_autoupdate": None,
        "share_mac_folders": True,
        "share_guest_folders": False,
        "share_profile": False,
        "share_mac_apps": False,
        "share_guest_apps": True,
        "share_clipboard": True,
        "share_cloud": False,
        "share_location": True,
        "smart_mount": False,
        "edit_locked": False,
        "isolated": None,
        "disks": [
            {
                "device": "hdd0",
                "path": "/Users/u/Parallels/Maui_DevBox.pvm/harddisk1.hdd",
                "format": "expanding",
                "size": 131072 * 1024 * 1024,
                "bytes_on_disk": None,
            }
        ],
        "snapshots": [],
    }


def test_a_packed_vm_of_an_old_parallels(mac: Any, fixture_text: Callable[[str], str]) -> None:
    mac.expect("prlctl", "list", "-a", "-j", out=fixture_text("list_all.json"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=fixture_text("info_16_packed_macos.json"))
    mac.expect("prlctl", "snapshot-list", OTHER, "-j", out="{}")
    vm = get_vm(mac.prl, "packaged-vm")
    assert vm.packed
    assert (vm.state, vm.family, vm.arch) == ("stopped", "macos", "x86_64")
    assert vm.home == "/Users/user/distiller/vm-images/my-vm.pvmp"
    assert (vm.stem, vm.folder) == ("my-vm", "/Users/user/distiller/vm-images")
    assert [(disk.path, disk.size) for disk in vm.disks] == [("", 262144 * 1024 * 1024)]


def test_the_snapshots_of_a_packed_vm_that_cannot_be_listed_are_unknown(mac: Any) -> None:
    mac.list((UUID, "x", "stopped")).expect("prlctl", "list", "-i", "-j", UUID, out=[mac.info(Home="/p/x.pvmp")])
    for _try in range(3):
        mac.expect("prlctl", "snapshot-list", UUID, "-j", rc=255, err="Failed")
    vm = get_vm(mac.prl, "x")
    assert vm.snapshots is None
    assert vm.linked_clone is None


def test_a_vm_whose_snapshots_cannot_be_listed_is_an_error(mac: Any) -> None:
    mac.list((UUID, "x", "stopped")).expect("prlctl", "list", "-i", "-j", UUID, out=[mac.info()])
    for _try in range(3):
        mac.expect("prlctl", "snapshot-list", UUID, "-j", rc=255, err="Failed")
    mac.list((UUID, "x", "stopped"))
    with pytest.raises(TaskError, match=r"Parallels refused to answer"):
        get_vm(mac.prl, "x")


@pytest.mark.parametrize("packed", ["yes", "no"])
def test_the_key_packed_tells_as_well(mac: Any, packed: str) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, Security={"Packed": packed, "Encrypted": "yes"})
    vm = get_vm(mac.prl, "x")
    assert vm.packed is (packed == "yes")
    assert vm.encrypted


@pytest.mark.parametrize(("packed", "told"), [("yes", True), ("no", False), ("", None), (None, None)])
def test_without_a_home_only_parallels_knows_whether_it_is_packed(mac: Any, packed: Any, told: Optional[bool]) -> None:
    facts = {"Home": None, "Home path": "", "Security": {"Packed": packed, "Encrypted": "no"}}
    mac.list((UUID, "x", "invalid")).look(UUID, **facts)
    assert get_vm(mac.prl, "x").packed is told


@pytest.mark.parametrize(("state", "disks"), [("invalid", None), ("stopped", [])])
def test_an_invalid_vm_without_disks_may_have_some(mac: Any, state: str, disks: Any) -> None:
    mac.list((UUID, "x", state)).look(UUID, State=state, Hardware={"cpu": {"cpus": 2}})
    assert get_vm(mac.prl, "x").result()["disks"] == disks


@pytest.mark.parametrize("hardware", [None, "none", []])
def test_without_facts_about_hardware_no_disks_are_not_known(mac: Any, hardware: Any) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, Hardware=hardware, Name="x")
    vm = get_vm(mac.prl, "x", partly=True)
    assert [vm.result()[key] for key in ("disks", "cpus", "memory")] == [None, None, None]
    mac.list((UUID, "x", "stopped")).look(UUID, Hardware=hardware, Name="x").list((UUID, "x", "stopped"))
    with pytest.raises(TaskError, match=r"does not report the hardware and disks of 'x'\. Check it in Control Center"):
        get_vm(mac.prl, "x")


def test_the_home_is_taken_from_home_path_when_that_is_all_there_is(mac: Any) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, Home="")
    assert get_vm(mac.prl, "x").home == "/Users/u/Parallels/Maui_DevBox.pvm"


def test_all_vms_are_asked_for_one_by_one(mac: Any) -> None:
    mac.list((UUID, "one", "stopped"), (OTHER, "two", "running")).look(UUID).look(OTHER, Name="two", State="running")
    assert [(vm.uuid, vm.name, vm.state) for vm in list_vms(mac.prl)] == [
        (UUID, "Maui_DevBox", "stopped"),
        (OTHER, "two", "running"),
    ]


@pytest.mark.parametrize("wanted", ["Windows 11", UUID, f"{{{UUID.upper()}}}", UUID.upper()])
def test_a_vm_is_found_by_its_whole_name_or_uuid(mac: Any, wanted: str) -> None:
    mac.list((OTHER, "Windows 11 old", "stopped"), (UUID, "Windows 11", "running"))
    found = find_entry(mac.prl, wanted)
    assert found is not None
    assert (found.uuid, found.state) == (UUID, "running")


@pytest.mark.parametrize("wanted", ["Windows", "windows 11", "Windows 11 ", OTHER, "*"])
def test_a_part_of_a_name_finds_nothing(mac: Any, wanted: str) -> None:
    mac.list((UUID, "Windows 11", "running"))
    assert find_vm(mac.prl, wanted) is None


@pytest.mark.parametrize(("given", "known"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_umlaut_may_be_one_character_or_two(mac: Any, given: str, known: str) -> None:
    mac.list((UUID, unicodedata.normalize(known, "Übung"), "stopped"))
    found = find_entry(mac.prl, unicodedata.normalize(given, "Übung"))
    assert found is not None
    assert found.uuid == UUID


def test_two_vms_of_one_name_are_an_error_that_names_both(mac: Any) -> None:
    mac.list((UUID, "x", "stopped"), (OTHER, "x", "stopped"))
    with pytest.raises(TaskError, match=rf"{UUID}, {OTHER}.*Use the UUID"):
        find_entry(mac.prl, "x")


def test_a_missing_vm_is_an_error_with_advice(mac: Any) -> None:
    mac.list((UUID, "x", "stopped"))
    with pytest.raises(
        TaskError, match=r"There is no virtual machine 'y' for this user.*connect as the user who owns it"
    ):
        get_vm(mac.prl, "y")


def test_an_empty_list_is_looked_at_twice(mac: Any) -> None:
    mac.list().list((UUID, "x", "stopped"))
    assert find_entry(mac.prl, "x") is not None
    mac.list().list()
    assert find_entry(mac.prl, "x") is None


@pytest.mark.parametrize(
    ("facts", "arch"),
    [
        ({"BIOS type": "efi-arm64"}, "arm64"),
        ({"BIOS type": "efi64", "Hardware": {"cpu": {"type": "arm"}}}, "arm64"),
        ({"BIOS type": "efi64", "Hardware": {"cpu": {"type": "x86"}}}, "x86_64"),
        ({"BIOS type": "efi64", "Hardware": {"cpu": {}}}, "x86_64"),
        ({"BIOS type": "legacy", "Hardware": {}}, "x86_64"),
        ({"BIOS type": "", "Hardware": {"cpu": {"type": "x86"}}}, "x86_64"),
        ({"BIOS type": "", "Hardware": {}, "Home": "/p/Sonoma.macvm/"}, "arm64"),
        ({"BIOS type": "riscv", "Hardware": {}}, "unknown"),
    ],
)
def test_the_architecture_is_told_by_firmware_and_processor(mac: Any, facts: dict[str, Any], arch: str) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, **facts)
    assert get_vm(mac.prl, "x").arch == arch


@pytest.mark.parametrize(
    ("system", "family"),
    [
        ("win-11", "windows"),
        ("win-2022", "windows"),
        ("macosx", "macos"),
        ("ubuntu", "linux"),
        ("debian", "linux"),
        ("fedora-core", "linux"),
        ("redhat", "linux"),
        ("linux", "linux"),
        ("suse-enterprise", "linux"),
        ("freebsd", "other"),
        ("other", "other"),
        ("", "other"),
    ],
)
def test_the_family_of_a_guest_system(system: str, family: str) -> None:
    assert family_of(system) == family


@pytest.mark.parametrize(
    ("info", "key"),
    [
        ("", "unknown"),
        ("<UefiPlatformKeySha256></UefiPlatformKeySha256>", "unknown"),
        (
            "<UefiPlatformKeySha256>7EC69A1BD679FB7AA7B22CE6B3D0204113B19591DB1F1D52014022D8C74F0D53</UefiPlatformKeySha256>",
            "outdated",
        ),
        ("<a><UefiPlatformKeySha256>00ff</UefiPlatformKeySha256></a>", "current"),
    ],
)
def test_the_bundle_tells_the_secure_boot_key(mac: Any, tmp_path: Path, info: str, key: str) -> None:
    facts = mac.bundle(tmp_path / "x.pvm", info=info)
    mac.list((UUID, "x", "stopped")).look(UUID, **facts)
    assert get_vm(mac.prl, "x").secure_boot_key == key


def test_the_bundle_tells_the_bytes_on_disk(mac: Any, tmp_path: Path) -> None:
    facts = mac.bundle(tmp_path / "Übung 1.pvm", disk=b"x" * 300_000)
    mac.list((UUID, "x", "stopped")).look(UUID, **facts)
    vm = get_vm(mac.prl, "x")
    assert vm.disks[0].path == str(tmp_path / "Übung 1.pvm" / "harddisk1.hdd")
    assert 300_000 <= vm.disks[0].bytes_on_disk < vm.bytes_on_disk < 400_000


@pytest.mark.parametrize(
    ("config", "linked"),
    [
        ("", False),
        ("<LinkedVmUuid></LinkedVmUuid>", False),
        ("<LinkedVmUuid>{00000000-0000-0000-0000-000000000000}</LinkedVmUuid>", False),
        (f"<Identification><LinkedVmUuid>{{{OTHER}}}</LinkedVmUuid></Identification>", True),
    ],
)
def test_the_bundle_tells_a_linked_clone(mac: Any, tmp_path: Path, config: str, linked: bool) -> None:
    facts = mac.bundle(tmp_path / "x.pvm", config=config)
    mac.list((UUID, "x", "stopped")).look(UUID, **facts)
    assert get_vm(mac.prl, "x").linked_clone is linked


@pytest.mark.parametrize(
    ("config", "why"),
    [
        pytest.param(b"<a><open></a>", "is not complete", id="broken"),
        pytest.param(b"<a><LinkedVmUuid>{de22df32", "is not complete", id="cut off"),
        pytest.param(b"<a><LinkedVmUuid>de22</LinkedVmUuid></a>", "is not complete", id="not a UUID"),
        pytest.param(b"", "is not complete", id="empty"),
        pytest.param(b"\x00" * 100, "is not complete", id="NUL"),
        pytest.param(b"<?xml version='1.0' encoding='x-unknown'?><a/>", "is not complete", id="encoding"),
        pytest.param(None, "does not exist. Connect the disk", id="missing"),
    ],
)
def test_a_configuration_file_that_cannot_be_read_does_not_tell_a_linked_clone(
    mac: Any, tmp_path: Path, config: Optional[bytes], why: str
) -> None:
    facts = mac.bundle(tmp_path / "x.pvm")
    path = tmp_path / "x.pvm" / "config.pvs"
    if config is None:
        path.unlink()
    else:
        path.write_bytes(config)
    mac.list((UUID, "x", "stopped")).look(UUID, **facts)
    vm = get_vm(mac.prl, "x")
    assert vm.linked_clone is None
    assert vm.why_unreadable() == vm.why_unreadable()[:1]
    assert vm.why_unreadable()[0].startswith(f"{path} {why}")


def test_the_linked_clones_of_a_vm_are_found(mac: Any, tmp_path: Path) -> None:
    snapshot = "64d481bb-ce04-45b1-8328-49e4e4c43ddf"
    config = f"<LinkedVmUuid>{{{UUID}}}</LinkedVmUuid><LinkedSnapshotUuid>{{{snapshot}}}</LinkedSnapshotUuid>"
    facts = mac.bundle(tmp_path / "clone.pvm", config=config)
    mac.list((UUID, "x", "stopped")).look(UUID)
    vm = get_vm(mac.prl, "x")
    mac.list((UUID, "x", "stopped"), (OTHER, "clone", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**facts)])
    found = find_linked_clones(mac.prl, vm)
    assert [(entry.name, base) for entry, base in found.clones] == [("clone", snapshot)]
    assert found.unreadable == []


def test_a_captured_snapshot(mac: Any, fixture_text: Callable[[str], str]) -> None:
    mac.expect("prlctl", "snapshot-list", UUID, "-j", out=fixture_text("snapshot_list.json"))
    (snapshot,) = read_snapshots(mac.prl, UUID)
    assert snapshot.id == "64d481bb-ce04-45b1-8328-49e4e4c43ddf"
    assert (snapshot.name, snapshot.current, snapshot.parent, snapshot.depth) == (
        "Snapshot for linked clone",
        True,
        "",
        0,
    )


def test_snapshots_come_after_the_ones_that_they_grew_from(mac: Any) -> None:
    ids = {
        name: f"{index:08d}-0000-0000-0000-000000000000" for index, name in enumerate(["office", "base", "test", "up"])
    }
    parents = {"office": "up", "up": "base", "test": "base", "base": ""}
    answer = {
        f"{{{ids[name]}}}": {
            "name": name,
            "date": f"2026-11-0{['base', 'up', 'office', 'test'].index(name) + 1} 10:00:00",
            "state": "poweroff",
            "current": name == "test",
            "parent": f"{{{ids[parents[name]]}}}" if parents[name] else "",
        }
        for name in ids
    }
    mac.expect("prlctl", "snapshot-list", UUID, "-j", out=answer)
    assert [(each.name, each.depth) for each in read_snapshots(mac.prl, UUID)] == [
        ("base", 0),
        ("up", 1),
        ("office", 2),
        ("test", 1),
    ]


@pytest.mark.parametrize(
    ("state", "busy"),
    [
        ("stopped", False),
        ("running", False),
        ("suspended", False),
        ("paused", False),
        ("invalid", False),
        ("stopping", True),
        ("snapshooting", True),
        ("del_snapshot", True),
        ("levitating", True),
        ("", True),
    ],
)
def test_a_state_that_nobody_knows_counts_as_busy(state: str, busy: bool) -> None:
    assert is_busy(state) is busy


def test_a_state_is_waited_for(mac: Any) -> None:
    for state in ("stopping", "levitating", "stopped"):
        mac.list((UUID, "x", state))
    assert wait_for_state(mac.prl, UUID, {"stopped"}, 60) == "stopped"
    assert len(mac.slept) == 2


def test_a_state_that_does_not_come_in_time_is_returned(mac: Any) -> None:
    mac.list((UUID, "x", "stopping"), (OTHER, "y", "stopped")).list((UUID, "x", "stopping"))
    assert wait_for_state(mac.prl, UUID, {"stopped"}, 0.4) == "stopping"


def test_endless_work_is_an_error(mac: Any) -> None:
    mac.list((UUID, "x", "cloning")).list((UUID, "x", "cloning"))
    with pytest.raises(TaskError, match=r"has been 'cloning' for 0 seconds. Wait until Parallels"):
        wait_while_busy(mac.prl, UUID, 0.4)


def test_a_vm_is_read_when_the_work_on_it_is_done(mac: Any) -> None:
    mac.list((UUID, "x", "packing")).list((UUID, "x", "packing")).list((UUID, "x", "stopped"))
    mac.list((UUID, "x", "stopped")).look(UUID, Home="/p/x.pvmp")
    assert get_vm_at_rest(mac.prl, "x").packed
    mac.list((UUID, "x", "stopped"))
    with pytest.raises(TaskError, match=r"There is no virtual machine 'y'"):
        get_vm_at_rest(mac.prl, "y")


@pytest.mark.parametrize(
    ("text", "uuid"),
    [(f"{{{UUID}}}", UUID), (UUID.upper(), UUID), ("Windows 11", ""), ("", ""), ("g" * 36, ""), (f"{{{UUID}", "")],
)
def test_uuids_are_compared_bare(text: str, uuid: str) -> None:
    assert bare_uuid(text) == uuid


def test_only_wanted_settings_count_as_changed() -> None:
    now = Settings(description="a", cpus=4, pause_idle=True)
    assert Settings(description="", cpus=4, pause_idle=False).changed_from(now) == {
        "description": "",
        "pause_idle": False,
    }


@pytest.mark.parametrize(
    ("facts", "unknown"),
    [
        ({"Startup and Shutdown": {}}, ["pause_idle", "startup_view", "on_shutdown", "on_window_close"]),
        ({"Startup and Shutdown": None}, ["pause_idle", "startup_view", "on_shutdown", "on_window_close"]),
        ({"Startup and Shutdown": {"Pause idle": "maybe", "Startup view": ""}}, ["pause_idle"]),
        ({"Startup and Shutdown": {"Pause idle": None, "On shutdown": 1}}, ["pause_idle", "on_shutdown"]),
        ({"Description": None}, ["description"]),
        ({"Hardware": {"cpu": {}, "memory": {"size": "?"}}}, ["cpus", "memory"]),
    ],
)
def test_settings_that_are_not_reported_are_unknown(mac: Any, facts: dict[str, Any], unknown: list[str]) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, Name="x", **facts)
    shown = get_vm(mac.prl, "x").result()
    assert [shown[key] for key in unknown] == [None] * len(unknown)


@pytest.mark.parametrize("size", [None, "", "Mb", "0Mb"])
def test_the_size_of_a_disk_that_is_not_reported_is_unknown(mac: Any, size: Any) -> None:
    hardware = mac.info()["Hardware"]
    hardware["hdd0"]["size"] = size
    mac.list((UUID, "x", "stopped")).look(UUID, Hardware=hardware)
    assert [disk.size for disk in get_vm(mac.prl, "x").disks] == [None]


def test_all_results_can_be_shown_as_json(mac: Any) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID)
    json.dumps(get_vm(mac.prl, "x").result())


NOT_FOUND = "Failed to get VM config: The virtual machine could not be found."


def test_vms_that_go_between_two_looks_are_left_out(mac: Any, tmp_path: Path) -> None:
    mac.list((UUID, "x", "stopped"), (OTHER, "y", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", UUID, rc=255, err=NOT_FOUND)
    mac.list((OTHER, "y", "stopped"))
    mac.look(OTHER)
    assert [vm.uuid for vm in list_vms(mac.prl)] == [OTHER]
    mac.list((UUID, "x", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", UUID, rc=255, err=NOT_FOUND)
    mac.list((OTHER, "y", "stopped"))
    assert find_vm(mac.prl, "x") is None
    mac.expect("prlctl", "list", "-i", "-j", UUID, rc=255, err=NOT_FOUND)
    mac.list((OTHER, "y", "stopped"))
    assert home_of(mac.prl, Entry(UUID, "x", "stopped")) == ""


def a_lost_vm(mac: Any, path: Path) -> Unlisted:
    """A run takes a VM off the list, and ends before it puts it back."""
    lost = Unlisted(UUID, "Büro 1", str(path))
    with pytest.raises(Interrupted), off_the_list(mac.prl, lost, 0):
        raise Interrupted("killed")
    return lost


@pytest.mark.parametrize("wanted", ["Büro 1", UUID, f"{{{UUID}}}"])
def test_a_vm_that_a_killed_run_took_off_the_list_is_put_back(mac: Any, tmp_path: Path, wanted: str) -> None:
    facts = mac.bundle(tmp_path / "x.pvm")
    a_lost_vm(mac, tmp_path / "x.pvm")
    for _look in range(2):
        mac.list((OTHER, "y", "stopped"))
    mac.expect("prlctl", "register", str(tmp_path / "x.pvm"), "--preserve-uuid=yes")
    for _look in range(2):
        mac.list((UUID, "Büro 1", "stopped"))
    mac.look(UUID, Name="Büro 1", **facts)
    assert get_vm(mac.prl, wanted).uuid == UUID
    assert mac.notices == [
        "An earlier run was interrupted after it had unregistered 'Büro 1'. It was registered again from "
        f"{tmp_path / 'x.pvm'}."
    ]
    assert find_unlisted(lambda _vm: True) is None


def test_a_vm_is_not_put_back_where_nothing_may_change(mac: Any, tmp_path: Path) -> None:
    mac.bundle(tmp_path / "x.pvm")
    a_lost_vm(mac, tmp_path / "x.pvm")
    mac.prl.mends = False
    for _look in range(3):
        mac.list((OTHER, "y", "stopped"))
    assert find_vm(mac.prl, "Büro 1") is None
    for look in (get_vm, get_vm_at_rest):
        with pytest.raises(TaskError, match=r"'Büro 1' is not on Parallels' list: an earlier run was interrupted"):
            look(mac.prl, "Büro 1")
    assert find_unlisted(lambda _vm: True) is not None


@pytest.mark.parametrize("wanted", ["another", OTHER])
def test_a_note_about_another_vm_changes_nothing(mac: Any, tmp_path: Path, wanted: str) -> None:
    mac.bundle(tmp_path / "x.pvm")
    a_lost_vm(mac, tmp_path / "x.pvm")
    mac.list((UUID.replace("d", "e"), "y", "stopped"))
    assert find_vm(mac.prl, wanted) is None


def test_a_vm_whose_files_are_gone_is_not_put_back(mac: Any, tmp_path: Path) -> None:
    a_lost_vm(mac, tmp_path / "x.pvm")
    for _look in range(2):
        mac.list((OTHER, "y", "stopped"))
    with pytest.raises(TaskError, match=r"If it cannot, register .*x.pvm by hand"):
        get_vm(mac.prl, "Büro 1")
    assert find_unlisted(lambda _vm: True) is not None


def test_a_vm_that_a_living_run_puts_back_is_waited_for(mac: Any, tmp_path: Path) -> None:
    facts = mac.bundle(tmp_path / "x.pvm")
    lost = a_lost_vm(mac, tmp_path / "x.pvm")
    holder = lost.take(mac.prl, 0)
    mac.prl.sleep = lambda _seconds: holder.remove()
    mac.list((OTHER, "y", "stopped"))
    mac.list((UUID, "Büro 1", "stopped"))
    mac.look(UUID, Name="Büro 1", **facts)
    assert get_vm(mac.prl, "Büro 1").uuid == UUID
    assert mac.notices == []


def test_a_note_about_a_vm_that_is_listed_is_taken_away_unless_it_is_in_use(mac: Any, tmp_path: Path) -> None:
    lost = a_lost_vm(mac, tmp_path / "x.pvm")
    for held in (True, False):
        holder = lost.take(mac.prl, 0) if held else None
        mac.list((UUID, "Büro 1", "stopped")).look(UUID, Name="Büro 1")
        find_vm(mac.prl, "Büro 1")
        assert (find_unlisted(lambda _vm: True) is not None) is held
        if holder is not None:
            holder.release()
