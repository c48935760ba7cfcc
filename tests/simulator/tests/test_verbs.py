# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verbs do, beyond what they print."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from simulator_harness import SimulatedMac


def test_life_of_a_vm(mac: SimulatedMac) -> None:
    mac.vm("a")
    steps = [
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("suspend", "suspended"),
        ("start", "running"),
        ("reset", "running"),
        ("restart", "running"),
        ("stop", "stopped"),
    ]
    mac.knob("start_polls=0", "stop_polls=0")
    for verb, state in steps:
        mac.ok(verb, "a")
        mac.settle()
        assert mac.state("a") == state, verb


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("start", "running"),
        ("pause", "stopped"),
        ("pause", "suspended"),
        ("resume", "running"),
        ("resume", "stopped"),
        ("suspend", "stopped"),
        ("reset", "stopped"),
        ("restart", "paused"),
        ("stop", "stopped"),
        ("stop", "paused"),
        ("stop", "suspended"),
        ("delete", "running"),
        ("unregister", "paused"),
        ("clone", "running"),
        ("pack", "running"),
    ],
)
def test_verbs_in_the_wrong_state(mac: SimulatedMac, verb: str, state: str) -> None:
    mac.vm("a", state=state)
    before = mac.fingerprint("a")
    result = mac.prlctl(verb, "a", *(("--name", "b") if verb == "clone" else ()))
    assert result.rc == 255
    assert result.err.startswith("Failed to ")
    assert mac.state("a") == state
    assert mac.fingerprint("a") == before


@pytest.mark.parametrize(
    ("state", "flag", "rc"),
    [
        ("running", "--kill", 0),
        ("running", "--fast", 0),
        ("running", "--noforce", 0),
        ("running", "--acpi", 0),
        ("paused", "--kill", 0),
        ("suspended", "--drop-state", 0),
        ("suspended", "--kill", 255),
        ("paused", "--acpi", 255),
    ],
)
def test_ways_to_stop(mac: SimulatedMac, state: str, flag: str, rc: int) -> None:
    mac.vm("a", state=state)
    assert mac.prlctl("stop", "a", flag).rc == rc
    assert mac.state("a") == ("stopped" if rc == 0 else state)
    assert bool(list((mac.home / "a.pvm").glob("*.mem"))) == (mac.state("a") == "suspended")


def test_only_one_way_to_stop_at_a_time(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    assert mac.prlctl("stop", "a", "--kill", "--acpi").rc == 1
    assert mac.state("a") == "running"


def test_vms_are_found_by_name_and_by_id(mac: SimulatedMac) -> None:
    identity = mac.vm("Größe 11 – neu")
    for name in (identity, f"{{{identity}}}", identity.upper(), "Größe 11 – neu"):
        assert mac.prlctl("status", name).rc == 0
    for name in ("größe 11 – neu", "Größe", identity[:8]):
        assert mac.prlctl("status", name).rc == 255


def test_names_may_begin_like_options_nowhere_but_in_flags(mac: SimulatedMac) -> None:
    mac.vm("a=b")
    mac.ok("set", "a=b", "--description", "x=y --kill")
    assert mac.info("a=b")["Description"] == "x=y --kill"


def test_unregister_and_register_bring_back_the_same_vm(mac: SimulatedMac) -> None:
    identity = mac.vm("a", snapshots="s", description="d")
    before = mac.info("a")
    mac.ok("unregister", "a")
    assert (mac.home / "a.pvm" / "config.pvs").is_file()
    assert mac.prlctl("status", "a").rc == 255
    mac.ok("register", str(mac.home / "a.pvm"))
    assert mac.info("a") == before
    assert mac.info("a")["ID"] == identity
    assert set(mac.snapshots("a")) == {"s"}


def test_register_numbers_a_name_that_exists(mac: SimulatedMac, tmp_path: Path) -> None:
    first = mac.vm("X")
    mac.registered("X").bundle.copy_to(tmp_path / "copy.pvm")
    mac.ok("register", str(tmp_path / "copy.pvm"))
    assert mac.info("X (1)")["Home"] == f"{tmp_path}/copy.pvm/"
    assert mac.info("X (1)")["ID"] != first
    assert mac.info("X")["ID"] == first


def test_register_with_and_without_the_id_inside(mac: SimulatedMac, tmp_path: Path) -> None:
    identity = mac.vm("X")
    mac.registered("X").bundle.copy_to(tmp_path / "copy.pvm")
    clash = mac.prlctl("register", str(tmp_path / "copy.pvm"), "--preserve-uuid", "yes")
    assert (clash.rc, clash.err) == (255, 'Failed to register the VM: "X" is already registered.')
    mac.ok("unregister", "X")
    mac.ok("register", str(tmp_path / "copy.pvm"), "--preserve-uuid=no")
    assert mac.info("X")["ID"] != identity
    mac.ok("unregister", "X")
    mac.ok("register", str(tmp_path / "copy.pvm"), "--uuid", f"{{{identity}}}")
    assert mac.info("X")["ID"] == identity


def test_register_of_something_else(mac: SimulatedMac, tmp_path: Path) -> None:
    (tmp_path / "x.pvm").mkdir()
    (tmp_path / "x.pvmp").write_text("not a package")
    for name in ("x.pvm", "x.pvmp", "nothing.pvm"):
        result = mac.prlctl("register", str(tmp_path / name))
        assert (result.rc, "is not a virtual machine" in result.err) == (255, True)
    assert mac.show()["vms"] == []


def test_packed_vm_travels_to_another_mac(mac: SimulatedMac, tmp_path: Path) -> None:
    mac.vm("a", data="1M", snapshots="s", description="d")
    mac.ok("pack", "a")
    mac.ok("unregister", "a")
    os.rename(mac.home / "a.pvmp", tmp_path / "b.pvmp")
    mac.ok("register", str(tmp_path / "b.pvmp"), "--preserve-uuid=no")
    info = mac.info("a")
    assert (info["Home"], info["State"], info["Description"]) == (f"{tmp_path}/b.pvmp", "stopped", "d")
    assert set(mac.snapshots("a")) == {"s"}
    mac.ok("unpack", "a")
    assert mac.info("a")["ID"] == info["ID"]
    assert mac.info("a")["Home"] == f"{tmp_path}/a.pvm/"


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "a"),
        ("clone", "a", "--name", "b"),
        ("pack", "a"),
        ("snapshot", "a", "-n", "s"),
        ("set", "a", "--cpus", "2"),
    ],
)
def test_packed_vm_cannot_be_used(mac: SimulatedMac, arguments: tuple) -> None:
    mac.vm("a", packed=True)
    before = mac.fingerprint("a")
    assert mac.prlctl(*arguments).rc == 255
    assert mac.fingerprint("a") == before


def test_delete_of_a_packed_vm(mac: SimulatedMac) -> None:
    mac.vm("a", packed=True)
    mac.ok("delete", "a")
    assert not (mac.home / "a.pvmp").exists()
    assert mac.prlctl("status", "a").rc == 255


def test_clone_refuses_a_folder_in_its_way(mac: SimulatedMac) -> None:
    mac.vm("a")
    (mac.home / "b.pvm").mkdir()
    assert "already exists" in mac.prlctl("clone", "a", "--name", "b").err
    assert os.listdir(mac.home / "b.pvm") == []


def test_settings(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.ok(
        "set",
        "a",
        "--cpus",
        "6",
        "--memsize",
        "4096",
        "--description",
        "größer",
        "--pause-idle",
        "off",
        "--startup-view",
        "headless",
        "--on-shutdown",
        "close",
        "--on-window-close=keep-running",
        "--tpm",
        "off",
        "--smart-guard",
        "on",
        "--lock-edit-settings",
        "on",
        "--efi-secure-boot",
        "on",
    )
    info = mac.info("a")
    startup = info["Startup and Shutdown"]
    assert (info["Hardware"]["cpu"]["cpus"], info["Hardware"]["memory"]["size"]) == (6, "4096Mb")
    assert info["Description"] == "größer"
    assert (startup["Pause idle"], startup["Startup view"], startup["On shutdown"], startup["On window close"]) == (
        "off",
        "headless",
        "close",
        "keep-running",
    )
    assert info["Security"]["TPM enabled"] == "no"
    assert info["Security"]["Configuration is locked"] == "on"
    assert info["EFI Secure boot"] == "on"
    assert info["Smart Guard"] == {"enabled": True}
    mac.ok("set", "a", "--cpus", "auto", "--memsize", "auto", "--description", "")
    info = mac.info("a")
    assert (info["Hardware"]["cpu"]["auto"], info["Hardware"]["memory"]["auto"], info["Description"]) == (
        "on",
        "on",
        "",
    )


def test_settings_are_changed_all_or_none(mac: SimulatedMac) -> None:
    mac.vm("a")
    before = mac.fingerprint("a")
    wrong = mac.prlctl("set", "a", "--cpus", "2", "--pause-idle", "perhaps")
    assert (wrong.rc, wrong.err.splitlines()[-1]) == (255, "Failed to configure the virtual machine.")
    assert mac.prlctl("set", "a", "--cpus", "2", "--colour", "red").rc == 1
    assert mac.prlctl("set", "a", "--cpus").rc == 1
    assert mac.fingerprint("a") == before


def test_secrets_are_not_kept(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.ok("set", "a", "--custom-pwd", "hunter2", "--userpasswd", "admin:hunter2")
    assert mac.info("a")["Security"]["Custom password protection"] == "on"
    assert "hunter2" not in (mac.home / "a.pvm" / "config.pvs").read_text()


def test_name_is_changed_only_when_stopped(mac: SimulatedMac) -> None:
    identity = mac.vm("a", state="running")
    assert mac.prlctl("set", "a", "--name", "b").rc == 255
    mac.ok("stop", "a")
    mac.ok("set", "a", "--name", "b")
    assert mac.info("b")["ID"] == identity


def test_shared_folders(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.ok("set", "a", "--shf-host-add", "work", "--path", "/tmp/work")
    assert mac.info("a")["Host Shared Folders"]["work"] == {"enabled": True, "path": "/tmp/work", "mode": "rw"}


def test_tools_are_only_known_for_sure_while_the_guest_runs(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.vm("b", tools="not_installed")
    mac.vm("c", tools="outdated")
    assert mac.info("a")["GuestTools"] == {"state": "possibly_installed", "version": "26.4.1-57516"}
    mac.ok("start", "a")
    assert mac.info("a")["GuestTools"]["state"] == "installed"
    assert mac.info("b")["GuestTools"] == {"state": "not_installed"}
    assert mac.info("c")["GuestTools"]["state"] == "outdated"


def test_encrypted_and_linked_and_intel(mac: SimulatedMac) -> None:
    mac.vm("a", encrypted=True, arch="x86_64")
    info = mac.info("a")
    assert (info["Security"]["Encrypted"], info["BIOS type"], info["Hardware"]["cpu"]["type"]) == (
        "yes",
        "efi64",
        "x86",
    )
    mac.vm("b", linked_to="a")
    assert set(mac.snapshots("a")) == {"Snapshot for linked clone"}
    assert "LinkedVmUuid>{" in (mac.home / "b.pvm" / "config.pvs").read_text()


def test_real_trouble_with_the_disk_is_told_in_words(mac: SimulatedMac, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from parallels_simulator import sparse

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/Volumes/x")

    mac.vm("a")
    monkeypatch.setattr(sparse, "_copy_range", full)
    result = mac.prlctl("clone", "a", "--name", "b")
    assert result.rc == 255
    assert result.err.startswith("Failed to clone the VM: Not enough free space")


def test_templates_are_listed_apart(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.vm("b")
    mac.ok("set", "b", "--template", "on")

    def names(*options: str) -> list[str]:
        return [row["name"] for row in json.loads(mac.ok("list", "-a", "-j", *options))]

    assert (names(), names("-t")) == (["a"], ["b"])
    assert json.loads(mac.ok("list", "-i", "-j", "b"))[0]["Template"] == "yes"
