# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, read_claim
from ansible_collections.macops.parallels.plugins.modules import vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
CLONE = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"


@pytest.fixture
def run(module_mac: Any, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return run_module_main(vm.main, executable=str(module_mac.executable), **arguments)

    return call


def look(mac: Any, **facts: Any) -> None:
    mac.list((UUID, "x", facts.get("State", "stopped"))).look(UUID, **{"Name": "x", **facts})


def at_rest(mac: Any, state: str = "stopped") -> None:
    mac.list((UUID, "x", state))


@pytest.mark.parametrize("check", [True, False])
def test_a_clone(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    target = module_mac.folder / "Klon 1.pvm"
    facts = module_mac.bundle(module_mac.folder / "x.pvm")
    look(module_mac, **facts)
    at_rest(module_mac)
    if not check:
        at_rest(module_mac)
        look(module_mac, **facts)
        at_rest(module_mac)
        module_mac.expect(
            "prlctl",
            "clone",
            UUID,
            "--name",
            "Klon 1",
            "--dst",
            str(module_mac.folder),
            then=lambda: module_mac.bundle(target),
        )
        for _look in range(2):
            module_mac.list((UUID, "x", "stopped"), (CLONE, "Klon 1", "stopped"))
        module_mac.look(CLONE, Name="Klon 1", **module_mac.home(target))
    end = run(name="Klon 1", clone_of="x", dest=str(module_mac.folder), _ansible_check_mode=check)
    assert end.result["changed"]
    assert end.result["vm"].get("uuid") == (None if check else CLONE)
    assert end.result["diff"] == {
        "before": {"name": "Klon 1", "state": "absent"},
        "after": {"name": "Klon 1", "state": "present"},
    }
    assert target.exists() is not check


def test_a_clone_goes_to_the_folder_of_parallels(module_mac: Any, run: Callable[..., Any]) -> None:
    home = str(module_mac.executable / "Übung")  # in a file, so that it cannot be made
    module_mac.expect("prlsrvctl", "info", "--json", out={"VM home": home})
    end = run(name="y", clone_of="x")
    assert end.failed
    assert f"There is no folder {home} for the clone" in end.result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_settings(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    new = {"Description": "Büro"}
    look(module_mac)
    at_rest(module_mac)
    if not check:
        module_mac.expect("prlctl", "set", UUID, "--description", "Büro")
        look(module_mac, **new)
        look(module_mac, **new)
    end = run(name="x", description="Büro", cpus=4, pause_idle=False, _ansible_check_mode=check)
    assert end.result["changed"]
    assert end.result["vm"]["description"] == "Büro"
    assert end.result["diff"] == {
        "before": {"name": "x", "state": "present", "description": ""},
        "after": {"name": "x", "state": "present", "description": "Büro"},
    }


def test_settings_that_hold(module_mac: Any, run: Callable[..., Any]) -> None:
    look(module_mac, State="running")
    end = run(name="x", cpus=4, memory=8192)
    assert end.result["changed"] is False
    assert end.result["diff"] == {"before": {}, "after": {}}


def test_a_vm_that_cannot_be_made_of_anything(module_mac: Any, run: Callable[..., Any]) -> None:
    at_rest(module_mac)
    end = run(name="y", cpus=4)
    assert end.failed
    assert "Set what to create it from: clone_of or path." in end.result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_removing(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    path = module_mac.folder / "x.pvm"
    facts = module_mac.bundle(path)
    with Claim.take(str(path)) as claim:
        claim.write(operation="clone", clone=UUID, source=CLONE, source_name="z")
    look(module_mac, **facts)
    at_rest(module_mac)
    if not check:
        module_mac.expect("prlctl", "delete", UUID, then=lambda: shutil.rmtree(path))
        module_mac.list((CLONE, "z", "stopped"))
    end = run(name="x", state="absent", _ansible_check_mode=check)
    assert end.result["changed"]
    assert end.result["vm"]["uuid"] == UUID
    assert end.result["diff"]["after"] == {"name": "x", "state": "absent"}
    assert sorted(os.listdir(module_mac.folder)) == ([".x.pvm.claim.json", "bin", "x.pvm"] if check else ["bin"])


def test_files_that_parallels_left_are_reported(module_mac: Any, run: Callable[..., Any]) -> None:
    path = module_mac.folder / "x.pvm"
    look(module_mac, **module_mac.bundle(path))
    at_rest(module_mac)
    module_mac.expect("prlctl", "delete", UUID).list((CLONE, "z", "stopped"))
    end = run(name="x", state="absent")
    assert end.failed
    assert end.result["msg"] == f"Parallels removed 'x' from its list, but {path} is still there. Delete it by hand."
    assert end.result["path"] == str(path)


@pytest.mark.parametrize(
    ("home", "files", "sentence"),
    [
        ("there/x.pvm", "left", "is still there. Delete it by hand if nothing in it is needed."),
        ("there/gone.pvm", "removed", ""),
        ("/Volumes/Nobody's disk/x.pvm", "unknown", "the disk /Volumes/Nobody's disk is not mounted. Connect it."),
        ("gone/x.pvm", "unknown", "gone/x.pvm does not exist. Connect the disk or the share that it is on"),
        ("", "unknown", "Whether its files still exist is not known. Parallels did not report where they are."),
    ],
)
def test_of_an_invalid_vm_only_the_entry_is_removed(
    module_mac: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, home: str, files: str, sentence: str
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(vm.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    module_mac.bundle(module_mac.folder / "there" / "x.pvm")
    path = f"{module_mac.folder / home}/" if home else ""
    look(module_mac, State="invalid", **{"Home": path, "Home path": path})
    at_rest(module_mac, "invalid")
    module_mac.expect("prlctl", "unregister", UUID).list((CLONE, "z", "stopped"))
    end = run(name="x", state="absent")
    assert (end.failed, end.result["changed"], end.result["files"]) == (False, True, files)
    assert [sentence in each for each in warnings] == ([True] if sentence else [])
    assert (module_mac.folder / "there" / "x.pvm").exists()


@pytest.mark.parametrize("state", ["absent", "unregistered"])
def test_nothing_to_remove(module_mac: Any, run: Callable[..., Any], state: str) -> None:
    at_rest(module_mac)
    end = run(name="y", state=state)
    assert end.result == {"changed": False, "vm": {}, "commands": [], "diff": {"before": {}, "after": {}}}


@pytest.mark.parametrize(("state", "verb"), [("absent", "removed"), ("unregistered", "unregistered")])
def test_a_running_vm_stays(module_mac: Any, run: Callable[..., Any], state: str, verb: str) -> None:
    look(module_mac, State="running")
    at_rest(module_mac, "running")
    end = run(name="x", state=state)
    assert end.failed
    assert f"'x' is running, so it was not {verb}." in end.result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_unregistering(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    look(module_mac)
    at_rest(module_mac)
    if not check:
        module_mac.expect("prlctl", "unregister", UUID).list((CLONE, "z", "stopped"))
    end = run(name="x", state="unregistered", _ansible_check_mode=check)
    assert (end.result["changed"], end.result["vm"]["home"]) == (True, "/Users/u/Parallels/Maui_DevBox.pvm")


def test_a_clone_is_removed_only_as_what_it_is(module_mac: Any, run: Callable[..., Any]) -> None:
    path = module_mac.folder / "x.pvm"
    facts = module_mac.bundle(path)
    module_mac.list((UUID, "x", "stopped"), (CLONE, "z", "stopped")).look(CLONE, Name="z")
    module_mac.list((UUID, "x", "stopped"), (CLONE, "z", "stopped")).look(UUID, Name="x", **facts)
    end = run(name="x", clone_of="z", state="absent", dest=str(module_mac.folder))
    assert end.failed
    assert end.result["msg"].startswith("Nothing shows that this collection made 'x'")
    assert path.exists()


@pytest.mark.parametrize("check", [True, False])
def test_registering(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    path = module_mac.folder / "x.pvmp"
    path.write_bytes(b"image")
    facts = {**module_mac.home(path), "Name": "x"}
    for _look in range(3):
        module_mac.list((CLONE, "z", "stopped"))
        if _look == 1:
            module_mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[module_mac.info()])
    if not check:
        module_mac.expect("prlctl", "register", str(path), "--preserve-uuid=no")
        for _look in range(2):
            at_rest(module_mac)
            module_mac.expect("prlctl", "list", "-i", "-j", UUID, out=[module_mac.info(**facts)])
            module_mac.look(UUID, **facts)
    end = run(name="x", path=str(path), preserve_uuid=False, _ansible_check_mode=check)
    assert end.result["changed"]
    assert end.result["vm"].get("packed") is (None if check else True)


def test_a_clone_and_a_registration_exclude_each_other(run: Callable[..., Any]) -> None:
    end = run(name="x", clone_of="y", path="/x.pvm")
    assert end.failed
    assert "mutually exclusive" in end.result["msg"]


SNAPSHOT = {"{64d481bb-ce04-45b1-8328-49e4e4c43ddf}": {"name": "Snapshot for linked clone", "parent": ""}}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_linked_clones_are_not_lost_with_a_removed_vm(
    module_mac: Any, run: Callable[..., Any], check: bool, ours: bool, force: bool
) -> None:
    home = module_mac.folder / "x.pvm"
    facts = module_mac.bundle(home)
    linked = module_mac.bundle(module_mac.folder / "l.pvm", config=f"<LinkedVmUuid>{{{UUID}}}</LinkedVmUuid>")
    source = "11111111-2222-3333-4444-555555555555"
    if ours:
        with Claim.take(str(home)) as claim:
            claim.write(operation="clone", source=source, clone=UUID)

    def look_at(all_again: bool) -> None:
        if ours:
            module_mac.list((UUID, "x", "stopped"), (CLONE, "L", "stopped"))
        if all_again:
            module_mac.list((UUID, "x", "stopped"), (CLONE, "L", "stopped")).look(UUID, SNAPSHOT, Name="x", **facts)

    look_at(True)
    if ours and not check:
        module_mac.list((UUID, "x", "stopped"), (CLONE, "L", "stopped")).look(UUID, SNAPSHOT, Name="x", **facts)
    module_mac.list((UUID, "x", "stopped"))
    if not force:
        module_mac.list((UUID, "x", "stopped"), (CLONE, "L", "stopped"))
        module_mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[module_mac.info(**linked)])
    elif not check:
        module_mac.expect("prlctl", "delete", UUID, then=lambda: shutil.rmtree(home))
        module_mac.list((CLONE, "L", "stopped"))
    options = {"clone_of": source, "dest": str(module_mac.folder)} if ours else {}
    end = run(name="x", state="absent", force=force, _ansible_check_mode=check, **options)
    assert end.failed is not force
    assert home.exists() is (check or not force)
    if force:
        assert end.result["vm"]["bytes_on_disk"] > 0  # as it was before
        return
    assert end.result["msg"].startswith("Linked clones depend on snapshots of 'x' and would be lost with them: 'L'.")
    assert end.result["linked_clones"] == [CLONE]


@pytest.mark.parametrize("state", ["absent", "present"])
def test_a_template_is_named_as_what_it_is(module_mac: Any, run: Callable[..., Any], state: str) -> None:
    path = module_mac.folder / "x.pvm"
    facts = {**module_mac.bundle(path), "Name": "x", "Template": "yes"}
    options = {} if state == "absent" else {"path": str(path)}
    templates = [{"uuid": UUID, "name": "x", "status": "stopped"}]
    for _look in range(1 if state == "absent" else 2):
        module_mac.list((CLONE, "z", "stopped"))
        module_mac.expect("prlctl", "list", "-a", "-t", "-j", out=templates)
    if options:
        module_mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[module_mac.info()])
        module_mac.expect("prlctl", "list", "-i", "-j", UUID, out=[module_mac.info(**facts)])
    module_mac.look(UUID, **facts)
    end = run(name="x", state=state, **options)
    assert end.failed
    assert re.match(
        r"'x' \(.*x.pvm\) is a template, so it was not (removed|registered)\. Convert it", end.result["msg"]
    )
    assert path.exists()


def test_a_template_is_not_cloned(module_mac: Any, run: Callable[..., Any]) -> None:
    facts = {**module_mac.bundle(module_mac.folder / "x.pvm"), "Name": "x", "Template": "yes"}
    templates = [{"uuid": UUID, "name": "x", "status": "stopped"}]
    for _name in range(2):
        module_mac.list((CLONE, "z", "stopped"))
        module_mac.expect("prlctl", "list", "-a", "-t", "-j", out=templates)
        if not _name:
            module_mac.look(UUID, **facts)
    end = run(name="y", clone_of="x", dest=str(module_mac.folder), _ansible_check_mode=True)
    assert end.result["msg"].startswith("'x' (")
    assert "is a template, so it was not cloned. Convert it to a virtual machine first" in end.result["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {"clone_of": "x", "name": "y\n", "dest": "/p"},
        {"path": "/p/x.pvm", "name": "y\x1b[2J"},
        {"clone_of": "x", "name": "y", "dest": "/p\n"},
        {"path": "/p/\x07x.pvm", "name": "y"},
        {"clone_of": "x", "name": "y", "dest": "/p\n", "state": "absent"},
    ],
)
def test_names_and_paths_with_what_nobody_sees_are_refused(run: Callable[..., Any], options: dict[str, str]) -> None:
    end = run(**options)
    assert end.failed
    assert re.fullmatch(
        r"(The name of the (clone|virtual machine)|dest|path) is '[^\n]*', which contains a control character or "
        r"another character that cannot be shown\. Remove it, such as a line break at the end\.",
        end.result["msg"],
    )


@pytest.mark.parametrize("check", [True, False])
def test_how_far_a_build_got_is_noted(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    home = module_mac.folder / "x.pvm"
    wanted = {"image": "win11", "stage": "provisioned"}
    look(module_mac, **module_mac.bundle(home))
    end = run(name="x", build_stage=wanted, _ansible_check_mode=check)
    assert end.result["changed"]
    assert end.result["diff"]["before"]["build_stage"] == {"image": "", "stage": ""}
    assert end.result["diff"]["after"]["build_stage"] == wanted
    assert ("stage" in read_claim(str(home))) is not check
    if not check:
        look(module_mac, **module_mac.home(home))
        assert not run(name="x", build_stage=wanted).result["changed"]
