# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registering, changing, removing and unregistering."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.lifecycle import (
    apply_settings,
    delete,
    refuse_running,
    register,
    register_again,
    unregister,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.settings import Settings
from ansible_collections.macops.parallels.plugins.module_utils._parallels.unlisted import (
    Unlisted,
    find_unlisted,
    off_the_list,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OTHER = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"


def look(mac: Any, **facts: Any) -> None:
    mac.list((UUID, facts.get("Name", "x"), facts.get("State", "stopped"))).look(UUID, **{"Name": "x", **facts})


def a_vm(mac: Any, **facts: Any) -> Vm:
    look(mac, **facts)
    return get_vm(mac.prl, UUID)


def where(mac: Any, facts: dict[str, Any]) -> None:
    """Expect the question in which file the VM is."""
    mac.list((UUID, "x", "stopped")).expect("prlctl", "list", "-i", "-j", UUID, out=[mac.info(**facts)])


@pytest.mark.parametrize(("new_uuid", "option"), [(False, "--preserve-uuid=yes"), (True, "--preserve-uuid=no")])
def test_a_bundle_is_registered_and_found_by_its_file(mac: Any, tmp_path: Path, new_uuid: bool, option: str) -> None:
    path = tmp_path / "Übung 1.pvm"
    facts = mac.bundle(path)
    mac.list((OTHER, "else", "stopped"))
    mac.list((OTHER, "else", "stopped")).expect(
        "prlctl", "list", "-i", "-j", OTHER, out=[mac.info(Home=f"{tmp_path}/else.pvm/")]
    )
    mac.list((OTHER, "else", "stopped"))
    mac.expect("prlctl", "register", str(path), option)
    for _look in range(2):
        where(mac, facts)
        mac.look(UUID, Name="x", **facts)
    vm, changed = register(mac.prl, "x", str(path), new_uuid=new_uuid, dry=False)
    assert vm is not None
    assert (vm.uuid, changed) == (UUID, True)


def test_what_is_registered_is_left_alone(mac: Any, tmp_path: Path) -> None:
    facts = mac.bundle(tmp_path / "x.pvm")
    link = tmp_path / "link.pvm"
    link.symlink_to(tmp_path / "x.pvm")
    mac.list((UUID, "x", "running"))
    where(mac, facts)
    mac.look(UUID, Name="x", **facts)
    vm, changed = register(mac.prl, "x", str(link), new_uuid=False, dry=False)
    assert vm is not None
    assert (vm.uuid, changed) == (UUID, False)


def test_a_dry_run_registers_nothing(mac: Any, tmp_path: Path) -> None:
    mac.bundle(tmp_path / "x.pvm")
    for _look in range(3):
        mac.list((OTHER, "else", "stopped"))
        if _look == 1:
            mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(Home="")])
    assert register(mac.prl, "x", str(tmp_path / "x.pvm"), new_uuid=False, dry=True) == (None, True)


@pytest.mark.parametrize("dry", [True, False])
def test_another_vm_of_that_name_is_an_error(mac: Any, tmp_path: Path, dry: bool) -> None:
    mac.bundle(tmp_path / "x.pvm")
    mac.list((UUID, "x", "stopped"))
    where(mac, {"Home": "/p/other.pvm/"})
    look(mac, Home="/p/other.pvm/")
    with pytest.raises(TaskError, match=r"The virtual machine 'x' already exists, in /p/other.pvm"):
        register(mac.prl, "x", str(tmp_path / "x.pvm"), new_uuid=False, dry=dry)


@pytest.mark.parametrize(
    ("name", "sentence"), [("x.ova", "is neither a bundle"), ("x.pvm", "There is no .*x.pvm on this Mac")]
)
def test_what_cannot_be_registered(mac: Any, tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        register(mac.prl, "x", str(tmp_path / name), new_uuid=False, dry=False)


def test_a_vm_of_another_name_is_renamed(mac: Any, tmp_path: Path) -> None:
    facts = mac.bundle(tmp_path / "x.pvm")
    mac.list((UUID, "x", "stopped"))
    where(mac, facts)
    mac.look(UUID, Name="old", **facts)
    mac.expect("prlctl", "set", UUID, "--name", "Neu Übung")
    for _look in range(2):
        look(mac, Name="Neu Übung", **facts)
    vm, changed = register(mac.prl, "Neu Übung", str(tmp_path / "x.pvm"), new_uuid=False, dry=False)
    assert vm is not None
    assert (vm.name, changed) == ("Neu Übung", True)


@pytest.mark.parametrize(
    ("state", "packed", "sentence"),
    [
        ("stopped", True, "a packed virtual machine cannot be renamed. Use the name 'old'"),
        ("running", False, "Shut it down so that"),
    ],
)
def test_what_cannot_be_renamed(mac: Any, tmp_path: Path, state: str, packed: bool, sentence: str) -> None:
    path = tmp_path / ("x.pvmp" if packed else "x.pvm")
    path.mkdir()
    facts = mac.home(path)
    mac.list((UUID, "x", state))
    where(mac, facts)
    mac.look(UUID, Name="old", State=state, **facts)
    with pytest.raises(TaskError, match=sentence):
        register(mac.prl, "x", str(path), new_uuid=False, dry=True)


@pytest.mark.parametrize(
    ("wanted", "argv", "facts"),
    [
        ({"description": "Büro"}, ["--description", "Büro"], {"Description": "Büro"}),
        ({"cpus": 8}, ["--cpus", "8"], {"Hardware": {"cpu": {"cpus": 8}, "memory": {"size": "8192Mb"}}}),
        ({"memory": 4096}, ["--memsize", "4096"], {"Hardware": {"cpu": {"cpus": 4}, "memory": {"size": "4096Mb"}}}),
        ({"pause_idle": True}, ["--pause-idle", "on"], {"Startup and Shutdown": {"Pause idle": "on"}}),
        (
            {"startup_view": "headless"},
            ["--startup-view", "headless"],
            {"Startup and Shutdown": {"Startup view": "headless"}},
        ),
        ({"on_shutdown": "close"}, ["--on-shutdown", "close"], {"Startup and Shutdown": {"On shutdown": "close"}}),
        (
            {"on_window_close": "stop"},
            ["--on-window-close", "stop"],
            {"Startup and Shutdown": {"On window close": "stop"}},
        ),
        (
            {"nested_virtualization": True},
            ["--nested-virt", "on"],
            {"Optimization": {"Nested virtualization": "on"}},
        ),
        ({"secure_boot": True}, ["--efi-secure-boot", "on"], {"EFI Secure boot": "on"}),
        ({"tpm": False}, ["--tpm", "off"], {"Security": {"TPM enabled": "no"}}),
        ({"share_mac_folders": False}, ["--shf-host", "off"], {"Host Shared Folders": {"enabled": False}}),
        ({"share_guest_folders": True}, ["--shf-guest", "on"], {"Guest Shared Folders": {"enabled": True}}),
        ({"share_profile": True}, ["--shared-profile", "on"], {"Shared Profile": {"enabled": True}}),
        (
            {"share_mac_apps": True},
            ["--sh-app-host-to-guest", "on"],
            {"Shared Applications": {"Host-to-guest apps sharing": "on"}},
        ),
        (
            {"share_guest_apps": False},
            ["--sh-app-guest-to-host", "off"],
            {"Shared Applications": {"Guest-to-host apps sharing": "off"}},
        ),
        (
            {"share_clipboard": False},
            ["--shared-clipboard", "off"],
            {"Miscellaneous Sharing": {"Shared clipboard mode": "off"}},
        ),
        (
            {"share_clipboard": False},
            ["--shared-clipboard", "off"],
            {"Miscellaneous Sharing": {"Shared clipboard": "off"}},
        ),
        ({"share_cloud": True}, ["--shared-cloud", "on"], {"Miscellaneous Sharing": {"Shared cloud": "on"}}),
        ({"share_location": False}, ["--share-host-location", "off"], {"Advanced": {"Share host location": "off"}}),
        ({"smart_mount": True}, ["--smart-mount", "on"], {"SmartMount": {"enabled": True}}),
        ({"edit_locked": True}, ["--lock-edit-settings", "on"], {"Security": {"Configuration is locked": "on"}}),
    ],
)
def test_a_setting_is_changed_and_proven(
    mac: Any, wanted: dict[str, Any], argv: list[str], facts: dict[str, Any]
) -> None:
    vm = a_vm(mac)
    mac.list((UUID, "x", "stopped"))
    mac.expect("prlctl", "set", UUID, *argv)
    look(mac, **facts)
    look(mac, **facts)
    now, differing = apply_settings(mac.prl, vm, Settings(**wanted), dry=False)
    assert differing == wanted
    assert {key: getattr(now.settings, key) for key in wanted} == wanted


def test_a_setting_that_parallels_does_not_report_is_set_and_said_to_be_unknown(mac: Any) -> None:
    silent = {"Startup and Shutdown": {}}
    vm = a_vm(mac, **silent)
    mac.list((UUID, "x", "stopped"))
    mac.expect("prlctl", "set", UUID, "--pause-idle", "off")
    look(mac, **silent)
    look(mac, **silent)
    now, differing = apply_settings(mac.prl, vm, Settings(pause_idle=False), dry=False)
    assert (now.settings.pause_idle, differing) == (None, {"pause_idle": False})
    assert mac.notices == [
        "Parallels does not report pause_idle of 'x'. The setting was changed, but whether it holds is not known."
    ]


@pytest.mark.parametrize(
    ("wanted", "argv"),
    [
        ({"asset_tag": "AB-12 34"}, ["--asset-id", "AB-12 34"]),
        ({"tools_autoupdate": False}, ["--tools-autoupdate", "off"]),
    ],
)
def test_a_setting_that_no_release_reports_is_set_each_time(mac: Any, wanted: dict[str, Any], argv: list[str]) -> None:
    for _time in range(2):
        vm = a_vm(mac)
        mac.list((UUID, "x", "stopped"))
        mac.expect("prlctl", "set", UUID, *argv)
        look(mac)
        look(mac)
        assert apply_settings(mac.prl, vm, Settings(**wanted), dry=False)[1] == wanted
    assert mac.notices == [
        f"Parallels does not report {next(iter(wanted))} of 'x'. The setting was changed, but whether it holds is not "
        "known."
    ] * len(mac.notices)
    assert mac.notices


def a_bundle(mac: Any, folder: Path, isolated: str) -> dict[str, Any]:
    facts = mac.bundle(folder / "x.pvm")
    note_isolation(folder, isolated)
    return facts


def note_isolation(folder: Path, isolated: str) -> None:
    (folder / "x.pvm" / "config.pvs").write_text(
        f"<ParallelsVirtualMachine><Settings><Tools>{isolated}</Tools></Settings></ParallelsVirtualMachine>"
    )


@pytest.mark.parametrize(
    ("noted", "isolated"),
    [
        ("<IsolatedVm>1</IsolatedVm>", True),
        ("<IsolatedVm>0</IsolatedVm>", False),
        ("<IsolatedVm>yes</IsolatedVm>", None),
        ("<IsolatedVm/>", None),
        ("", None),
    ],
)
def test_isolation_is_read_from_the_bundle(mac: Any, tmp_path: Path, noted: str, isolated: Any) -> None:
    vm = a_vm(mac, **a_bundle(mac, tmp_path, noted))
    assert vm.settings.isolated is isolated


def test_a_vm_is_isolated_after_everything_else_and_unlocked_before(mac: Any, tmp_path: Path) -> None:
    facts = a_bundle(mac, tmp_path, "<IsolatedVm>0</IsolatedVm>")
    locked = {"Security": {"Configuration is locked": "on"}}
    vm = a_vm(mac, **facts, **locked)
    wanted = Settings(isolated=True, edit_locked=False, smart_mount=True, description="new")
    mac.list((UUID, "x", "stopped"))
    mac.expect("prlctl", "set", UUID, "--lock-edit-settings", "off")
    facts = {**facts, "Security": {"Configuration is locked": "off"}}
    look(mac, **facts)
    mac.expect("prlctl", "set", UUID, "--description", "new")
    facts = {**facts, "Description": "new"}
    look(mac, **facts)
    mac.expect("prlctl", "set", UUID, "--smart-mount", "on")
    facts = {**facts, "SmartMount": {"enabled": True}}
    look(mac, **facts)
    mac.expect("prlctl", "set", UUID, "--isolate-vm", "on")
    note_isolation(tmp_path, "<IsolatedVm>1</IsolatedVm>")
    look(mac, **facts)
    look(mac, **facts)
    now, differing = apply_settings(mac.prl, vm, wanted, dry=False)
    assert now.settings.isolated is True
    assert set(differing) == {"isolated", "edit_locked", "smart_mount", "description"}


@pytest.mark.parametrize(
    ("key", "value"), [("nested_virtualization", True), ("secure_boot", True), ("tpm", False), ("asset_tag", "A")]
)
def test_hardware_of_a_running_vm_cannot_be_changed(mac: Any, key: str, value: Any) -> None:
    vm = a_vm(mac, State="running")
    mac.list((UUID, "x", "running"))
    with pytest.raises(TaskError, match=f"'x' is running. Shut it down so that its setting {key} can be changed"):
        apply_settings(mac.prl, vm, Settings(**{key: value}), dry=False)


def test_settings_that_hold_are_left_alone(mac: Any) -> None:
    vm = a_vm(mac, State="running")
    wanted = Settings(cpus=4, memory=8192, pause_idle=False, on_window_close="keep-running")
    assert apply_settings(mac.prl, vm, wanted, dry=False) == (vm, {})


def test_a_dry_run_changes_no_setting(mac: Any) -> None:
    vm = a_vm(mac)
    mac.list((UUID, "x", "stopped"))
    now, differing = apply_settings(mac.prl, vm, Settings(cpus=8), dry=True)
    assert (now.settings.cpus, now.settings.memory, differing) == (8, 8192, {"cpus": 8})


def test_a_setting_that_does_not_hold_is_an_error(mac: Any) -> None:
    vm = a_vm(mac)
    mac.list((UUID, "x", "stopped"))
    mac.expect("prlctl", "set", UUID, "--startup-view", "sideways")
    for _look in range(7):
        look(mac)
    with pytest.raises(TaskError, match=r"a check shows that it did not set startup_view of 'x' to 'sideways'"):
        apply_settings(mac.prl, vm, Settings(startup_view="sideways"), dry=False)


@pytest.mark.parametrize("dry", [True, False])
def test_the_processors_of_a_running_vm_cannot_be_changed(mac: Any, dry: bool) -> None:
    vm = a_vm(mac, State="running")
    mac.list((UUID, "x", "running"))
    with pytest.raises(TaskError, match=r"'x' is running. Shut it down so that its setting cpus can be changed"):
        apply_settings(mac.prl, vm, Settings(cpus=8), dry=dry)


def test_the_settings_of_a_packed_vm_cannot_be_changed(mac: Any) -> None:
    vm = a_vm(mac, Home="/p/x.pvmp")
    with pytest.raises(TaskError, match=r"is packed, so its settings cannot be changed \(description\)"):
        apply_settings(mac.prl, vm, Settings(description="new"), dry=False)


def test_a_vm_is_unregistered(mac: Any) -> None:
    vm = a_vm(mac)
    mac.expect("prlctl", "unregister", UUID).list((OTHER, "else", "stopped"))
    unregister(mac.prl, vm)


def test_a_vm_is_deleted(mac: Any) -> None:
    vm = a_vm(mac)
    mac.expect("prlctl", "delete", UUID, rc=255, err="PrlJob").list((OTHER, "else", "stopped"))
    assert delete(mac.prl, vm, "stopped") == ""
    assert "y\n" in mac.answers


def test_a_deleted_vm_whose_files_stay_is_not_removed(mac: Any, tmp_path: Path) -> None:
    vm = a_vm(mac, **mac.bundle(tmp_path / "x.pvm"))
    mac.expect("prlctl", "delete", UUID).list((OTHER, "else", "stopped"))
    assert delete(mac.prl, vm, "stopped") == str(tmp_path / "x.pvm")
    assert sum(mac.slept) == 10


def test_the_files_of_a_deleted_vm_may_go_a_little_later(mac: Any, tmp_path: Path) -> None:
    vm = a_vm(mac, **mac.bundle(tmp_path / "x.pvm"))
    sleep = mac.prl.sleep
    mac.prl.sleep = lambda seconds: (sleep(seconds), shutil.rmtree(tmp_path / "x.pvm"))
    mac.expect("prlctl", "delete", UUID).list((OTHER, "else", "stopped"))
    assert delete(mac.prl, vm, "stopped") == ""


def test_only_a_deletion_gets_an_answer(mac: Any) -> None:
    vm = a_vm(mac)
    mac.expect("prlctl", "unregister", UUID).list((OTHER, "else", "stopped"))
    unregister(mac.prl, vm)
    assert set(mac.answers) == {""}


def test_of_a_vm_without_files_only_the_entry_is_removed(mac: Any) -> None:
    vm = a_vm(mac, State="invalid")
    mac.expect("prlctl", "unregister", UUID).list((OTHER, "else", "stopped"))
    delete(mac.prl, vm, "invalid")


@pytest.mark.parametrize(
    ("state", "refused"),
    [("running", True), ("paused", True), ("stopped", False), ("suspended", False), ("invalid", False)],
)
def test_a_running_vm_is_not_removed(mac: Any, state: str, refused: bool) -> None:
    vm = a_vm(mac, State=state)
    mac.list((UUID, "x", "stopping")).list((UUID, "x", state))
    if refused:
        with pytest.raises(TaskError, match=rf"'x' is {state}, so it was not removed. Shut it down first"):
            refuse_running(mac.prl, vm, "removed")
    else:
        assert refuse_running(mac.prl, vm, "removed") == state


def test_a_vm_is_unlisted_only_while_it_is_registered_again(mac: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "x.pvm"
    facts = mac.bundle(bundle)
    vm = a_vm(mac, Home="/p/x.pvmp")
    noted: list[Any] = []
    mac.expect("prlctl", "unregister", UUID, then=lambda: noted.append(find_unlisted(lambda _vm: True)))
    for _look in range(4):
        mac.list((OTHER, "else", "stopped"))
        if _look == 2:
            mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(Home="/p/else.pvm/")])
    mac.expect(
        "prlctl",
        "register",
        str(bundle),
        "--preserve-uuid=yes",
        then=lambda: noted.append(find_unlisted(lambda _vm: True)),
    )
    for _look in range(2):
        where(mac, facts)
        mac.look(UUID, Name="x", **facts)
    assert register_again(mac.prl, vm, str(bundle), kept="/p/x.pvmp").home == str(bundle)
    assert noted == [Unlisted(UUID, "x", "/p/x.pvmp")] * 2
    assert find_unlisted(lambda _vm: True) is None


@pytest.mark.parametrize("end", [unregister, lambda prl, vm: delete(prl, vm, "stopped")])
def test_a_vm_that_goes_for_good_is_not_put_back(mac: Any, tmp_path: Path, end: Any) -> None:
    vm = a_vm(mac)
    with pytest.raises(KeyboardInterrupt), off_the_list(mac.prl, Unlisted(UUID, "x", str(tmp_path)), 0):
        raise KeyboardInterrupt
    mac.expect("prlctl", "unregister" if end is unregister else "delete", UUID)
    mac.list((OTHER, "else", "stopped"))
    end(mac.prl, vm)
    assert find_unlisted(lambda _vm: True) is None
