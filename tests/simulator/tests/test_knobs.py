# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each knob: what it does when it is turned, and what holds by default."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from parallels_simulator.knobs import KNOBS
from simulator_harness import SimulatedMac, disk_content, new_mac

from support.waiting import wait_until

_tested: set[str] = set()


def turns(*names: str) -> Callable[[Any], Any]:
    """Mark a test as that of these knobs."""
    _tested.update(names)
    return lambda test: test


@pytest.fixture
def fresh(tmp_path: Path) -> SimulatedMac:
    """A Mac on which every knob has its default."""
    return new_mac(tmp_path / "fresh")


def test_every_knob_has_a_test() -> None:
    assert _tested == set(KNOBS)


def _states(mac: SimulatedMac, name: str, looks: int) -> list[str]:
    return [mac.state(name) for _look in range(looks)]


@turns("stop_polls", "busy_operations", "start_polls", "resume_polls", "suspend_polls")
def test_lags_by_default(fresh: SimulatedMac) -> None:
    fresh.vm("a", state="running")
    fresh.ok("stop", "a")
    assert _states(fresh, "a", 4) == ["stopping", "stopping", "stopped", "stopped"]
    refused = fresh.prlctl("clone", "a", "--name", "b")
    assert (refused.rc, "is busy" in refused.err) == (255, True)
    fresh.ok("start", "a")
    assert _states(fresh, "a", 2) == ["starting", "running"]
    fresh.ok("suspend", "a")
    assert _states(fresh, "a", 2) == ["suspending", "suspended"]
    fresh.ok("resume", "a")
    assert _states(fresh, "a", 2) == ["resuming", "running"]


@turns("stop_polls", "busy_operations")
def test_lags_are_as_long_as_they_are_set(fresh: SimulatedMac) -> None:
    fresh.knob("stop_polls=4", "busy_operations=3")
    fresh.vm("a", state="running")
    fresh.ok("stop", "a")
    assert _states(fresh, "a", 5) == ["stopping"] * 4 + ["stopped"]
    assert [fresh.prlctl("unregister", "a").rc for _try in range(4)] == [255, 255, 255, 0]


@turns("stop_polls")
def test_operations_that_are_tried_count_as_looks(fresh: SimulatedMac) -> None:
    fresh.knob("stop_polls=2", "busy_operations=0")
    fresh.vm("a", state="running")
    fresh.ok("stop", "a")
    assert [fresh.prlctl("delete", "a").rc for _try in range(3)] == [255, 255, 0]


@turns("stop_seconds", "busy_seconds")
def test_lags_in_seconds(mac: SimulatedMac) -> None:
    mac.knob("stop_seconds=0.3", "busy_seconds=0.6")
    mac.vm("a", state="running")
    began = time.monotonic()
    mac.ok("stop", "a")
    assert mac.state("a") == "stopping"
    wait_until(lambda: mac.state("a") != "stopping")
    assert time.monotonic() - began >= 0.3
    wait_until(lambda: mac.prlctl("pack", "a").rc == 0)
    assert time.monotonic() - began >= 0.6


@turns("snapshot_polls", "snapshot_delete_polls")
def test_snapshot_lags(fresh: SimulatedMac, messages: dict[str, str]) -> None:
    fresh.vm("a", snapshots="one(two)")
    ids = {name: item["id"] for name, item in fresh.snapshots("a").items()}
    fresh.ok("snapshot", "a", "-n", "three")
    assert _states(fresh, "a", 2) == ["snapshooting", "stopped"]
    fresh.ok("snapshot-delete", "a", "-i", ids["two"])
    assert fresh.prlctl("snapshot-delete", "a", "-i", ids["one"]).err == messages["data_sync"]
    assert fresh.prlctl("snapshot-delete", "a", "-i", ids["one"]).rc == 0
    assert _states(fresh, "a", 2) == ["del_snapshot", "stopped"]


@turns("unknown_state")
def test_unknown_state(mac: SimulatedMac) -> None:
    mac.vm("a")
    assert mac.state("a") == "stopped"
    mac.knob("unknown_state=migrating_disks:2")
    assert _states(mac, "a", 3) == ["migrating_disks", "migrating_disks", "stopped"]


@turns("graceful_stop", "stop_ignored_rc", "stop_ignored_seconds")
def test_guest_that_ignores_a_graceful_stop(mac: SimulatedMac) -> None:
    mac.knob("graceful_stop=ignored", "stop_ignored_seconds=0.2")
    mac.vm("a", state="running")
    began = time.monotonic()
    assert mac.prlctl("stop", "a").rc == 255
    assert time.monotonic() - began >= 0.2
    mac.knob("stop_ignored_rc=0")
    assert mac.prlctl("stop", "a", "--acpi").rc == 0
    assert mac.state("a") == "running"
    mac.ok("stop", "a", "--kill")
    assert mac.state("a") == "stopped"


@turns("graceful_stop")
def test_guest_that_reboots_once(mac: SimulatedMac) -> None:
    mac.knob("graceful_stop=reboots_once", "stop_polls=1")
    mac.vm("a", state="running")
    mac.ok("stop", "a")
    assert _states(mac, "a", 3) == ["stopping", "starting", "running"]
    mac.ok("stop", "a")
    assert _states(mac, "a", 2) == ["stopping", "stopped"]


@turns("stop_on_stopped_rc")
def test_stop_of_a_stopped_vm(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("X")
    assert mac.prlctl("stop", "X").rc == 255
    mac.knob("stop_on_stopped_rc=0")
    result = mac.prlctl("stop", "X")
    assert (result.rc, result.err) == (0, messages["stop_stopped"])


@turns("stop_suspended")
def test_stop_of_a_suspended_vm(mac: SimulatedMac) -> None:
    mac.vm("a", state="suspended")
    assert mac.prlctl("stop", "a").rc == 255
    assert mac.state("a") == "suspended"
    mac.knob("stop_suspended=discard")
    mac.ok("stop", "a")
    assert mac.state("a") == "stopped"


@turns("bulk_list_without_home")
def test_bulk_list_without_home(mac: SimulatedMac) -> None:
    mac.vm("a")
    assert "Home" not in json.loads(mac.ok("list", "-a", "-i", "-j"))[0]
    assert "Home" in mac.info("a")
    mac.knob("bulk_list_without_home=off")
    assert json.loads(mac.ok("list", "-a", "-i", "-j"))[0] == mac.info("a")


@turns("empty_list_json")
@pytest.mark.parametrize(("setting", "text"), [("lines", "[\n]\n"), ("brackets", "[]\n"), ("nothing", "")])
def test_empty_list(mac: SimulatedMac, setting: str, text: str) -> None:
    mac.knob(f"empty_list_json={setting}")
    assert mac.ok("list", "-a", "-j") == text


@turns("no_snapshots_json")
def test_no_snapshots(mac: SimulatedMac) -> None:
    mac.vm("a")
    assert mac.ok("snapshot-list", "a", "-j") == ""
    mac.knob("no_snapshots_json=braces")
    assert mac.ok("snapshot-list", "a", "-j") == "{}\n"


@turns("json_noise")
@pytest.mark.parametrize(
    ("setting", "begins", "ends"),
    [
        ("off", "[\n", "]\n"),
        ("info", "INFO\n[", "]\n"),
        ("progress", "\rOperation progress ... 5%[", "]\n"),
        ("edition_line", "This feature is not available in this edition of Parallels Desktop. \n[", "]\n"),
        ("control", "\x1b[0m\x07[", "]\n"),
        ("trailing", "[\n", "]\nPrlVm_GetState: done\n\n"),
        ("all", "This feature", "done\n\n"),
    ],
)
def test_json_noise(mac: SimulatedMac, setting: str, begins: str, ends: str) -> None:
    mac.vm("a")
    mac.knob(f"json_noise={setting}")
    text = mac.ok("list", "-i", "-j", "a")
    assert text.startswith(begins)
    assert text.endswith(ends)
    spoiled = '"OS": "\x01win-11"' in text
    assert spoiled == (setting in ("control", "all"))


@turns("progress_on_pipe")
def test_progress_on_a_pipe(mac: SimulatedMac) -> None:
    mac.vm("a")
    assert "%" not in mac.ok("clone", "a", "--name", "b")
    mac.knob("progress_on_pipe=on")
    text = mac.ok("clone", "a", "--name", "c")
    assert "\rCopying hard disk... 0 %" in text
    assert "\rCopying hard disk... 100 %\n" in text
    assert "\rOperation progress ... 100 %\n" in mac.ok("pack", "c")


@turns("clone_keeps_snapshots")
def test_clone_with_and_without_snapshots(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="one(two,three)")
    mac.ok("clone", "a", "--name", "with")
    assert set(mac.snapshots("with")) == {"one", "two", "three"}
    mac.knob("clone_keeps_snapshots=off")
    mac.ok("clone", "a", "--name", "without")
    assert mac.snapshots("without") == {}
    content = disk_content(mac.registered("a"))
    assert content
    assert disk_content(mac.registered("with")) == content
    assert disk_content(mac.registered("without")) == content


@turns("clone_keeps_suspended")
def test_clone_of_a_suspended_vm(mac: SimulatedMac) -> None:
    mac.vm("a", state="suspended")
    mac.ok("clone", "a", "--name", "b")
    assert mac.state("b") == "suspended"
    mac.knob("clone_keeps_suspended=off")
    mac.ok("clone", "a", "--name", "c")
    assert mac.state("c") == "stopped"
    assert not list((mac.home / "c.pvm").glob("*.mem"))


@turns("clone_copies_description")
def test_description_of_a_clone(mac: SimulatedMac) -> None:
    mac.vm("a", description="the source")
    mac.ok("clone", "a", "--name", "b")
    assert mac.info("b")["Description"] == "the source"
    mac.knob("clone_copies_description=off")
    mac.ok("clone", "a", "--name", "c")
    assert mac.info("c")["Description"] == ""


@turns("clone_running")
def test_clone_of_a_running_vm(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    assert "is busy" in mac.prlctl("clone", "a", "--name", "b").err
    mac.knob("clone_running=allow")
    mac.ok("clone", "a", "--name", "b")
    assert mac.state("b") == "stopped"
    assert mac.state("a") == "running"


@turns("clone_name_clash")
def test_clone_to_a_name_that_exists(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.vm("b")
    assert "already exists" in mac.prlctl("clone", "a", "--name", "b").err
    mac.knob("clone_name_clash=number")
    mac.ok("clone", "a", "--name", "b")
    assert mac.state("b (1)") == "stopped"


@turns("clone_seconds", "pack_seconds")
def test_slow_operations(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.knob("clone_seconds=0.3", "pack_seconds=0.4")
    for seconds, arguments in ((0.3, ("clone", "a", "--name", "b")), (0.4, ("pack", "b")), (0.4, ("unpack", "b"))):
        began = time.monotonic()
        mac.ok(*arguments)
        assert time.monotonic() - began >= seconds


@pytest.mark.parametrize(
    ("knob", "options", "by_default"),
    [
        ("pack_running", {"state": "running"}, "fail"),
        ("pack_running", {"state": "paused"}, "fail"),
        ("pack_suspended", {"state": "suspended"}, "allow"),
        ("pack_snapshots", {"snapshots": "one(two)"}, "allow"),
        ("pack_linked", {"linked_to": "parent"}, "fail"),
        ("pack_encrypted", {"encrypted": True}, "allow"),
    ],
)
@turns("pack_running", "pack_suspended", "pack_snapshots", "pack_linked", "pack_encrypted")
def test_what_may_be_packed(mac: SimulatedMac, knob: str, options: dict[str, Any], by_default: str) -> None:
    mac.vm("parent")
    mac.vm("a", **options)
    content = disk_content(mac.registered("a"))
    for setting in (None, "fail", "allow"):
        if setting:
            mac.knob(f"{knob}={setting}")
        allowed = (setting or by_default) == "allow"
        result = mac.prlctl("pack", "a")
        assert (result.rc == 0) == allowed, result
        assert (mac.home / "a.pvmp").is_file() == allowed
        if allowed:
            mac.ok("unpack", "a")
    assert disk_content(mac.registered("a")) == content
    assert [name for name in os.listdir(mac.home) if name.startswith(".")] == []


@turns("pack_existing")
def test_pack_over_a_file_that_exists(mac: SimulatedMac) -> None:
    mac.vm("a")
    (mac.home / "a.pvmp").write_text("old")
    assert "already exists" in mac.prlctl("pack", "a").err
    assert (mac.home / "a.pvmp").read_text() == "old"
    mac.knob("pack_existing=overwrite")
    mac.ok("pack", "a")
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvmp"


@turns("pack_without_cli")
def test_edition_without_pack(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a")
    mac.knob("pack_without_cli=on")
    result = mac.prlctl("pack", "a")
    assert (result.rc, result.err) == (255, f"Failed to pack the VM: {messages['edition']}")
    assert mac.prlctl("unpack", "a").rc == 255
    assert mac.state("a") == "stopped"


@turns("pack_temp_name")
def test_pack_to_a_temporary_name(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.knob("pack_temp_name=on")
    mac.fault("disk_full:pack")
    assert mac.prlctl("pack", "a").rc == 255
    assert sorted(os.listdir(mac.home)) == ["a.pvm", "a.pvmp.tmp"]
    mac.ok("pack", "a")
    assert sorted(os.listdir(mac.home)) == ["a.pvmp", "a.sha256.txt"]


@turns("packed_leaves_pvm")
def test_bundle_after_packing(mac: SimulatedMac) -> None:
    mac.vm("a")
    mac.vm("b")
    mac.ok("pack", "a")
    assert not (mac.home / "a.pvm").exists()
    mac.knob("packed_leaves_pvm=on")
    mac.ok("pack", "b")
    assert (mac.home / "b.pvm" / "config.pvs").is_file()
    assert mac.info("b")["Home"] == f"{mac.home}/b.pvmp"


@turns("intermediate_bundle")
@pytest.mark.parametrize("verb", ["pack", "unpack"])
def test_a_kill_leaves_the_vm_in_an_intermediate_state(launched: SimulatedMac, verb: str) -> None:
    launched.vm("a", data="2M", packed=True) if verb == "unpack" else launched.vm("a", data="2M")
    launched.knob("intermediate_bundle=on")
    launched.fault(f"kill_in_{verb}")
    assert launched.launch("prlctl", verb, "a").returncode < 0
    home = launched.home / "a.pvmi"
    assert launched.info("a")["Home"] == f"{home}/"
    assert launched.state("a") == "stopped"
    assert (home / "config.pvsp").exists()
    assert not (launched.home / "a.pvm").exists()
    opposite = "unpack" if verb == "pack" else "pack"
    for other in ((opposite,), ("start",), ("delete",), ("clone", "--name", "b")):
        word, *options = other
        refused = launched.prlctl(word, "a", *options)
        assert refused.rc == 255
        assert f'"{home}/config.pvsp" has been started but not finished yet. Please finish {verb}ing.' in refused.err
    assert launched.launch("prlctl", verb, "a").returncode == 0
    assert not home.exists()
    assert launched.info("a")["Home"] == f"{launched.home}/a.pvm" + ("p" if verb == "pack" else "/")
    launched.knob("intermediate_bundle=off")
    if verb == "pack":
        launched.ok("unpack", "a")
    assert launched.state("a") == "stopped"
    assert (launched.home / "a.pvm" / "config.pvs").is_file()
    assert not (launched.home / "a.pvm" / "config.pvsp").exists()
    launched.ok("start", "a")


@turns("intermediate_bundle")
@pytest.mark.parametrize("leaves", ["on", "off"])
def test_an_intermediate_bundle_is_gone_at_the_end(mac: SimulatedMac, leaves: str) -> None:
    mac.vm("a")
    mac.knob("intermediate_bundle=on", f"packed_leaves_pvm={leaves}")
    mac.fault("disk_full:pack")
    assert mac.prlctl("pack", "a").rc == 255
    assert mac.info("a")["Home"] == f"{mac.home}/a.pvm/"
    (mac.home / "a.pvmp").unlink()
    mac.ok("pack", "a")
    assert sorted(os.listdir(mac.home)) == [*(["a.pvm"] if leaves == "on" else []), "a.pvmp", "a.sha256.txt"]
    if leaves == "off":
        mac.ok("unpack", "a")
        assert mac.info("a")["Home"] == f"{mac.home}/a.pvm/"
        assert sorted(os.listdir(mac.home)) == ["a.pvm", "a.sha256.txt"]


@turns("checksum_file")
def test_checksum_file(mac: SimulatedMac) -> None:
    import hashlib

    mac.vm("a.b")
    mac.ok("pack", "a.b")
    assert (mac.home / "a.b.sha256.txt").read_bytes() == (
        hashlib.sha256((mac.home / "a.b.pvmp").read_bytes()).hexdigest().encode()
    )
    mac.knob("checksum_file=off")
    mac.vm("c")
    mac.ok("pack", "c")
    assert not (mac.home / "c.sha256.txt").exists()


@turns("unpack_bundle_name")
def test_name_of_the_bundle_after_unpacking(mac: SimulatedMac) -> None:
    mac.vm("old")
    mac.ok("pack", "old")
    mac.ok("unregister", "old")
    os.rename(mac.home / "old.pvmp", mac.home / "new.pvmp")
    mac.ok("register", str(mac.home / "new.pvmp"))
    mac.ok("unpack", "old")
    assert mac.info("old")["Home"] == f"{mac.home}/old.pvm/"
    mac.ok("pack", "old")
    mac.ok("unregister", "old")
    os.rename(mac.home / "old.pvmp", mac.home / "new.pvmp")
    mac.ok("register", str(mac.home / "new.pvmp"))
    mac.knob("unpack_bundle_name=file")
    mac.ok("unpack", "old")
    assert mac.info("old")["Home"] == f"{mac.home}/new.pvm/"


@turns("snapshot_delete_children")
def test_children_of_a_deleted_snapshot(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="one(two(three))")
    ids = {name: item["id"] for name, item in mac.snapshots("a").items()}
    mac.ok("snapshot-delete", "a", "-i", ids["two"])
    left = mac.snapshots("a")
    assert set(left) == {"one", "three"}
    assert left["three"]["parent"] == ids["one"]
    mac.knob("snapshot_delete_children=cascade")
    mac.ok("snapshot-delete", "a", "-i", ids["one"])
    assert mac.snapshots("a") == {}


@turns("guest_ready_after")
def test_guest_is_not_ready_at_once(fresh: SimulatedMac, messages: dict[str, str]) -> None:
    fresh.knob("guest_ready_after=2", "start_polls=0")
    fresh.vm("a")
    fresh.ok("start", "a")
    answers = [fresh.prlctl("exec", "a", "cmd", "/c", "exit", "0") for _try in range(3)]
    assert answers == [(255, "", messages["no_session"])] * 2 + [(0, "", "")]


@turns("sysprep")
def test_sysprep_that_fails(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.knob("sysprep=fails")
    sysprep = (
        "exec",
        "a",
        "C:\\Windows\\System32\\Sysprep\\sysprep.exe",
        "/generalize",
        "/oobe",
        "/shutdown",
        "/quiet",
    )
    assert mac.prlctl(*sysprep).rc == 31
    assert mac.state("a") == "running"
    log = mac.ok("exec", "a", "cmd", "/c", "type", "C:\\Windows\\System32\\Sysprep\\Panther\\setuperr.log")
    assert "not provisioned for all users" in log
    assert "IMAGE_STATE_COMPLETE" in mac.ok(
        "exec",
        "a",
        "reg",
        "query",
        "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State",
        "/v",
        "ImageState",
    )


@turns("exec_long_arguments")
def test_long_arguments_can_be_made_to_work(mac: SimulatedMac) -> None:
    # that they hang by default is tested with processes, in test_processes.py
    mac.vm("a", state="running")
    mac.knob("exec_long_arguments=work")
    assert mac.prlctl("exec", "a", "cmd", "/c", "echo", "x" * 4000).rc == 0


@turns("exec_argument_limit")
def test_the_limit_of_arguments(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.knob("exec_argument_limit=10")
    assert mac.prlctl("exec", "a", "cmd", "/c", "ver").rc == 0


@turns("exec_non_ascii")
def test_what_is_not_ascii_costs_the_end_of_the_line(mac: SimulatedMac) -> None:
    mac.vm("l", os="debian", state="running")
    mac.vm("w", state="running")
    assert mac.prlctl("exec", "l", "/bin/sh", "-c", "'echo ü'").err.startswith("sh: syntax error")
    assert mac.ok("exec", "l", "echo üü 12345") == "üü 123\n"
    assert mac.ok("exec", "w", "cmd", "/c", "echo ü 12345") == "ü 12345 \r\n"
    mac.knob("exec_non_ascii=work")
    assert mac.ok("exec", "l", "echo üü 12345") == "üü 12345\n"


@turns("exec_fails_every")
def test_every_second_call_fails(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", os="debian", state="running")
    mac.knob("exec_fails_every=2")
    answers = [mac.prlctl("exec", "a", "touch", f"/made{number}") for number in range(4)]
    assert answers == [(0, "", ""), (255, "", messages["job"])] * 2
    mac.knob("exec_fails_every=0")
    assert [mac.prlctl("exec", "a", "test", "-e", f"/made{number}").rc for number in range(4)] == [0, 1, 0, 1]


@turns("pause_idle_after")
def test_a_vm_may_pause_when_it_is_idle(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", state="running")
    mac.knob("pause_idle_after=2")
    answers = [mac.prlctl("exec", "a", "cmd", "/c", "ver") for _try in range(3)]
    assert [answer.rc for answer in answers] == [0, 255, 255]
    assert answers[1].err == messages["job"]
    assert mac.state("a") == "paused"
    mac.ok("resume", "a")
    mac.ok("set", "a", "--pause-idle", "off")
    assert [mac.prlctl("exec", "a", "cmd", "/c", "ver").rc for _try in range(3)] == [0, 0, 0]


@turns("guest_login", "guest_signed_in")
def test_who_is_let_in(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("a", state="running")
    whoami = ("cmd", "/c", "whoami")
    assert mac.prlctl("exec", "a", "--user", "ann", "--password", "x", *whoami).rc == 0
    mac.knob("guest_login=ann:right", "guest_signed_in=off")
    assert mac.prlctl("exec", "a", "-u", "ann", "--password", "right", *whoami).rc == 0
    for login in (("--user", "ann", "--password", "x"), ("--user", "bob", "--password", "right"), ("--current-user",)):
        assert mac.prlctl("exec", "a", *login, *whoami) == (255, "", messages["no_session"])
    assert mac.prlctl("exec", "a", *whoami).rc == 0


@turns("exec_deaf_seconds")
def test_early_output_may_be_lost(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.knob("exec_deaf_seconds=0.2")
    assert mac.prlctl("exec", "a", "cmd", "/c", "ver") == (0, "", "")


# What happens to streams and sessions needs commands that take their time: test_own_root.py has these tests.
turns("exec_returns", "exec_rc_needs_stdin", "exec_sessions", "exec_session_busy", "exec_logons", "exec_path")

# Both need a process that can be killed: test_processes.py has their tests.
turns("killed_clone_registered", "job_survives_client")


@turns("license")
def test_license(fresh: SimulatedMac) -> None:
    def license_now() -> dict[str, Any]:
        return json.loads(fresh.run("prlsrvctl", "info", "--license", "--json").out)

    assert license_now()["status"] == "ACTIVE"
    fresh.knob("license=graced")
    assert (license_now()["status"], license_now()["grace_period_ends_at"][:10]) == ("GRACED", "2026-12-15")


@turns("delete_prompts")
@pytest.mark.parametrize(
    ("prompts", "answer", "rc"),
    [("asks", "y\n", 0), ("asks", "n\n", 255), ("asks", "", 255), ("silent", "", 0)],
)
def test_delete_may_ask(mac: SimulatedMac, prompts: str, answer: str, rc: int) -> None:
    mac.vm("a")
    mac.knob(f"delete_prompts={prompts}")
    result = mac.run("prlctl", "delete", "a", answer=answer)
    assert result.rc == rc
    assert ("[y/n]" in result.out) == (prompts == "asks")
    assert (mac.home / "a.pvm").exists() == (rc == 255)
    assert (mac.prlctl("status", "a").rc == 0) == (rc == 255)


@turns("delete_prompts", "eula_pending")
@pytest.mark.parametrize(
    ("knob", "program", "hangs"),
    [
        ("delete_prompts=hangs", "prlctl delete a", True),
        ("eula_pending=prlctl", "prlctl list", True),
        ("eula_pending=prlctl", "prlsrvctl info", False),
        ("eula_pending=all", "prlsrvctl info", True),
    ],
)
def test_a_call_may_hang_for_ever(launched: SimulatedMac, knob: str, program: str, hangs: bool) -> None:
    launched.vm("a")
    launched.knob(knob)
    name, *arguments = program.split()
    process = subprocess.Popen(
        [str(launched.root / "bin" / name), *arguments],
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.communicate(b"y\n", timeout=1.5 if hangs else 60)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
    process.kill()
    process.communicate()
    assert ended != hangs
