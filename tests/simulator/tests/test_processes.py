# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launchers, what happens when a process is killed, and several processes at once."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from parallels_simulator import cli, jobs
from simulator_harness import SimulatedMac, disk_content

from support.waiting import wait_until

_NOBODY = 65534


# --- launchers ----------------------------------------------------------------------------------------------------


def test_launchers_need_no_environment(launched: SimulatedMac, tmp_path: Path) -> None:
    identity = launched.vm("Größe 1")
    listed = launched.launch("prlctl", "list", "-a", cwd=str(tmp_path))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.endswith(f"{{{identity}}}  stopped      -               Größe 1\n")
    info = json.loads(launched.launch("prlctl", "list", "-i", "-j", "Größe 1").stdout)
    assert info[0]["Home"] == f"{launched.home}/Größe 1.pvm/"
    disk = info[0]["Hardware"]["hdd0"]["image"]
    assert launched.launch("prl_disk_tool", "compact", "--info", "--hdd", disk).returncode == 0
    assert json.loads(launched.launch("prlsrvctl", "info", "-j").stdout)["VM home"] == str(launched.home)


def test_launchers_say_what_they_are(launched: SimulatedMac) -> None:
    programs = sorted(path.name for path in (launched.root / "bin").iterdir())
    assert programs == ["prl_disk_tool", "prlctl", "prlsrvctl"]
    for program in programs:
        path = launched.root / "bin" / program
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/bin/sh"
        assert "SIMULATION" in lines[1]
        assert path.stat().st_mode & 0o777 == 0o755


def test_launchers_do_not_need_the_folder_they_were_made_from(launched: SimulatedMac) -> None:
    source = str(Path(cli.__file__).resolve().parent)
    for path in (launched.root / "bin").iterdir():
        assert source not in path.read_text(encoding="utf-8")


def test_errors_go_to_stderr_with_their_exit_code(launched: SimulatedMac, messages: dict[str, str]) -> None:
    missing = launched.launch("prlctl", "list", "-i", "nobody")
    assert (missing.returncode, missing.stdout, missing.stderr) == (255, "", messages["not_found"] + "\n")
    assert launched.launch("prlctl", "fly").returncode == 1
    launched.fault("service_down")
    assert launched.launch("prlctl", "list").returncode == 253


def test_an_odd_environment_changes_nothing(launched: SimulatedMac, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a foreign module was loaded')")
    environment = {"PYTHONPATH": str(tmp_path), "LC_ALL": "C", "LANG": "de_DE.UTF-8", "PYTHONSTARTUP": "/nowhere"}
    assert launched.launch("prlctl", "list", "-a", env=environment, cwd=str(tmp_path)).returncode == 0


@pytest.mark.skipif(sys.version_info[:2] == (3, 9), reason="the other tests ran with it already")
def test_launchers_run_with_the_oldest_python(tmp_path: Path, oldest_python: str) -> None:
    root = tmp_path / "mac"
    assert cli.main(["create", str(root), "--python", oldest_python]) == 0
    mac = SimulatedMac(root)
    assert oldest_python in (root / "bin" / "prlctl").read_text()
    mac.vm("a", data="1M", snapshots="one(two)")
    content = disk_content(mac.registered("a"))
    for arguments in (
        ("list", "-a", "-i", "-j"),
        ("snapshot-delete", "a", "-i", mac.snapshots("a")["two"]["id"]),
        ("list", "-a"),
        ("clone", "a", "--name", "b"),
        ("pack", "a"),
        ("unpack", "a"),
        ("set", "a", "--cpus", "2"),
        ("start", "a"),
        ("status", "a"),
        ("status", "a"),
        ("exec", "a", "cmd", "/c", "exit", "0"),
        ("exec", "a", "cmd", "/c", "exit", "0"),
        ("stop", "a"),
    ):
        result = mac.launch("prlctl", *arguments)
        assert result.returncode in (0, 255), result
        assert "Traceback" not in result.stderr
    assert disk_content(mac.registered("b")) == content
    assert mac.launch("prlsrvctl", "info").returncode == 0


def test_state_can_be_written_by_whoever_may_write_the_folder(launched: SimulatedMac) -> None:
    old = os.umask(0o077)
    try:
        launched.vm("a")
        launched.launch("prlctl", "list", "-a")
    finally:
        os.umask(old)
    for name in ("simulator.json", "calls.log", ".lock"):
        assert stat.S_IMODE((launched.root / name).stat().st_mode) == 0o666, name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_folders_owner(launched: SimulatedMac) -> None:
    subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", str(launched.root)], check=True)
    launched.vm("a", snapshots="s")
    launched.fault("start_fails")
    assert launched.launch("prlctl", "clone", "a", "--name", "b").returncode == 0
    owners = {
        os.lstat(os.path.join(folder, name)).st_uid
        for folder, folders, files in os.walk(launched.root)
        for name in (*folders, *files)
    }
    assert owners == {_NOBODY}


# --- the log of calls ---------------------------------------------------------------------------------------------


def test_every_call_is_in_the_log(launched: SimulatedMac) -> None:
    launched.vm("ä")
    launched.launch("prlctl", "status", "ä")
    launched.launch("prlctl", "status", "nobody")
    launched.launch("prlsrvctl", "info")
    lines = [json.loads(line) for line in (launched.root / "calls.log").read_text(encoding="utf-8").splitlines()]
    assert [(line["program"], line["argv"], line["rc"]) for line in lines] == [
        ("prlctl", ["status", "ä"], 0),
        ("prlctl", ["status", "nobody"], 255),
        ("prlsrvctl", ["info"], 0),
    ]
    assert all(line["start"] <= line["end"] for line in lines)
    assert launched.show()["calls"] == lines


@pytest.mark.parametrize(("number", "rc"), [(signal.SIGTERM, -15), (signal.SIGKILL, None)])
def test_killed_calls_are_in_the_log(launched: SimulatedMac, number: int, rc: object) -> None:
    launched.fault("hang:list")
    process = launched.start_process("list", "-a")
    wait_until(lambda: bool(launched.calls()) and launched.faults_left() == 0)
    process.send_signal(number)
    assert process.wait(timeout=20) == -number
    assert [(call["argv"], call["rc"]) for call in launched.calls()] == [(["list", "-a"], rc)]
    assert launched.launch("prlctl", "list", "-a").returncode == 0


# --- killed half-way ----------------------------------------------------------------------------------------------


def test_kill_in_pack(launched: SimulatedMac) -> None:
    launched.vm("a", data="2M")
    before = launched.fingerprint("a")
    launched.fault("kill_in_pack")
    assert launched.launch("prlctl", "pack", "a").returncode == -signal.SIGKILL
    partial = launched.home / "a.pvmp"
    assert 1 << 20 <= partial.stat().st_size < 2 << 20
    assert launched.info("a")["Home"] == f"{launched.home}/a.pvm/"
    assert launched.fingerprint("a") == before
    assert "already exists" in launched.prlctl("pack", "a").err
    partial.unlink()
    assert launched.launch("prlctl", "pack", "a").returncode == 0


def test_kill_in_unpack(launched: SimulatedMac) -> None:
    launched.vm("a", data="2M", packed=True)
    launched.fault("kill_in_unpack")
    assert launched.launch("prlctl", "unpack", "a").returncode == -signal.SIGKILL
    assert (launched.home / "a.pvm").is_dir()
    assert launched.info("a")["Home"] == f"{launched.home}/a.pvmp"


@pytest.mark.parametrize("registered", ["off", "on"])
def test_kill_in_clone(launched: SimulatedMac, registered: str) -> None:
    launched.vm("a", data="2M", snapshots="s")
    before = launched.fingerprint("a")
    launched.knob(f"killed_clone_registered={registered}")
    launched.fault("kill_in_clone")
    assert launched.launch("prlctl", "clone", "a", "--name", "b").returncode == -signal.SIGKILL
    assert (launched.home / "b.pvm").is_dir()
    assert not (launched.home / "b.pvm" / "config.pvs").exists()
    if registered == "on":
        assert launched.state("b") == "invalid"
        launched.ok("delete", "b")
        assert not (launched.home / "b.pvm").exists()
    else:
        assert launched.prlctl("status", "b").rc == 255
        assert "already exists" in launched.prlctl("clone", "a", "--name", "b").err
    assert launched.fingerprint("a") == before


@pytest.mark.parametrize("verb", ["clone", "pack"])
def test_kill_after_success(launched: SimulatedMac, verb: str) -> None:
    launched.vm("a")
    launched.fault(f"kill_after_{verb}")
    words = ("--name", "b") if verb == "clone" else ()
    assert launched.launch("prlctl", verb, "a", *words).returncode == -signal.SIGKILL
    assert launched.state("b" if verb == "clone" else "a") == "stopped"
    assert launched.info("a")["Home"].endswith(".pvmp") == (verb == "pack")


def test_kill_in_snapshot_delete(launched: SimulatedMac) -> None:
    launched.vm("a", snapshots="s")
    guid = launched.snapshots("a")["s"]["id"]
    launched.fault("kill_in_snapshot_delete")
    assert launched.launch("prlctl", "snapshot-delete", "a", "-i", guid).returncode == -signal.SIGKILL
    assert set(launched.snapshots("a")) == {"s"}
    launched.settle()
    launched.ok("snapshot-delete", "a", "-i", guid)


def test_hang_in_pack_keeps_the_vm_busy_until_it_is_killed(launched: SimulatedMac) -> None:
    launched.vm("a", data="2M")
    launched.fault("hang:pack")
    process = launched.start_process("pack", "a")
    partial = launched.home / "a.pvmp"
    wait_until(lambda: partial.exists() and partial.stat().st_size >= 1 << 20)
    try:
        busy = launched.prlctl("pack", "a")
        assert (busy.rc, "currently being packed" in busy.err) == (255, True)
    finally:
        process.kill()
        process.wait(timeout=20)
    assert partial.stat().st_size < 2 << 20
    partial.unlink()
    launched.ok("pack", "a")


def test_job_that_survives_its_client(launched: SimulatedMac) -> None:
    launched.vm("a", data="2M")
    launched.knob("job_survives_client=on", "pack_seconds=3")
    process = launched.start_process("pack", "a")
    wait_until((launched.home / "a.pvmp").exists)
    process.kill()
    process.wait(timeout=20)
    assert "currently being packed" in launched.prlctl("unregister", "a").err
    wait_until(lambda: launched.info("a")["Home"].endswith(".pvmp"))
    wait_until(lambda: not jobs.is_alive(launched.mac, launched.registered("a").uuid))
    launched.knob("pack_seconds=0", "job_survives_client=off")
    launched.ok("unpack", "a")


def test_job_of_its_own_process_fails_like_any_other(launched: SimulatedMac) -> None:
    launched.vm("a", data="1M")
    launched.knob("job_survives_client=on")
    launched.fault("disk_full:pack", "kill_in_clone")
    failed = launched.launch("prlctl", "pack", "a")
    assert (failed.returncode, "Not enough free space" in failed.stderr) == (255, True)
    assert launched.launch("prlctl", "clone", "a", "--name", "b").returncode == -signal.SIGKILL
    done = launched.launch("prlctl", "clone", "a", "--name", "c")
    assert (done.returncode, done.stdout) == (0, "Clone the a VM to VM c...\nThe VM has been successfully cloned.\n")


def test_long_arguments_hang(launched: SimulatedMac) -> None:
    launched.vm("a", state="running")
    assert launched.launch("prlctl", "exec", "a", "cmd", "/c", "echo", "x" * 3800).returncode == 0
    process = launched.start_process("exec", "a", "cmd", "/c", "echo", "x" * 4000)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.7)
    assert launched.prlctl("status", "a").rc == 0
    process.kill()
    process.wait(timeout=20)


# --- several at once ----------------------------------------------------------------------------------------------


def _halt_in(mac: SimulatedMac, verb: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a long operation on the VM C(a), and halt its process in the middle."""
    mac.knob(f"{verb}_seconds=2")
    process = mac.start_process(verb, "a", *arguments)
    wait_until(lambda: _halted(mac, process))
    mac.knob(f"{verb}_seconds=0")
    return process


def _halted(mac: SimulatedMac, process: subprocess.Popen[str]) -> bool:
    """Halt a process if it works on the VM C(a). We hold the Mac's lock meanwhile, so that the process does not."""
    with mac.mac.locked() as state:
        if not any(vm["name"] == "a" and vm["job"] for vm in state["vms"].values()):
            return False
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return True


def test_two_packs_at_once(launched: SimulatedMac) -> None:
    launched.vm("a", data="1M")
    first = _halt_in(launched, "pack")
    second = launched.launch("prlctl", "pack", "a")
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 255
    assert second.stderr == (
        "Failed to pack the VM: Unable to perform the action because the virtual machine is busy. "
        "The virtual machine is currently being packed. Please try again later.\n"
    )
    assert first.wait(timeout=20) == 0
    assert launched.info("a")["Home"].endswith(".pvmp")


def test_unregister_while_cloning(launched: SimulatedMac, messages: dict[str, str]) -> None:
    launched.vm("a", data="1M")
    clone = _halt_in(launched, "clone", "--name", "b")
    refused = launched.prlctl("unregister", "a")
    clone.send_signal(signal.SIGCONT)
    assert (refused.rc, refused.err) == (255, messages["unregister_cloning"])
    assert clone.wait(timeout=20) == 0
    launched.ok("unregister", "a")


def test_work_on_one_vm_leaves_the_others_free(launched: SimulatedMac) -> None:
    launched.vm("a", data="1M")
    launched.vm("b", data="1M")
    pack = _halt_in(launched, "pack")
    launched.ok("pack", "b")
    assert launched.info("b")["Home"].endswith(".pvmp")
    assert launched.info("a")["Home"].endswith(".pvm/")
    pack.send_signal(signal.SIGCONT)
    assert pack.wait(timeout=20) == 0


def test_many_clones_and_looks_at_once(launched: SimulatedMac) -> None:
    for name in "abc":
        launched.vm(name)
    processes = [launched.start_process("clone", name, "--name", f"{name}{name}") for name in "abc"]
    processes += [launched.start_process("list", "-a", "-i", "-j") for _look in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 6
    assert sorted(vm["name"] for vm in launched.show()["vms"]) == ["a", "aa", "b", "bb", "c", "cc"]
    assert len(launched.calls()) == 6
    assert all(call["rc"] == 0 for call in launched.calls())
