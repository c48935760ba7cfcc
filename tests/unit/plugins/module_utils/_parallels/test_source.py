# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source VM of a clone always comes back: after a fault at any command, and when several runs clone it at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import space
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import source as source_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.clone import (
    CloneOrder,
    ensure_clone,
    ensure_no_clone,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.source import HeldSource
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm

SOURCE = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
STRANGER = "11111111-2222-4333-8444-555555555555"
NAME = "win11-1-arm64"
BUSY = (
    "Failed to {verb} the VM: Unable to perform the action because the virtual machine is busy. The virtual machine is "
    "currently {doing}. Please try again later."
)


class SmallMac:
    """A Parallels that has a state: VMs that are listed, stopped, started, cloned and deleted.

    C(before) and C(after) are called with the number of a command and the command; C(after) may replace its answer.
    """

    def __init__(self, folder: Path, info: dict[str, Any]) -> None:
        self.folder = folder
        self.folder.mkdir()
        self._info = info
        self.vms: dict[str, dict[str, Any]] = {}
        self.commands: list[list[str]] = []
        self.before: Callable[[int, list[str]], None] = lambda _number, _argv: None
        self.after: Callable[[int, list[str], Any], Any] = lambda _number, _argv, answer: answer
        self.starts = 0
        self._lock = threading.RLock()
        self._cloning: set[str] = set()
        self.clone_body: Callable[[], None] = lambda: None

    def add(self, identity: str, name: str, state: str, home: Optional[Path] = None) -> Path:
        home = home or self.folder / f"{name}.pvm"
        (home / "harddisk1.hdd").mkdir(parents=True)
        (home / "harddisk1.hdd" / "harddisk1.hds").write_bytes(b"d" * 5000)
        (home / "config.pvs").write_text(f"<x><VmUuid>{{{identity}}}</VmUuid></x>")
        self.vms[identity] = {"name": name, "state": state, "home": str(home)}
        return home

    def run_command(self, args: list[str], **_options: Any) -> tuple[int, str, str]:
        argv = args[6:]
        with self._lock:
            number = len(self.commands)
            self.commands.append(argv)
        self.before(number, argv)
        return self.after(number, argv, self._answer(argv))

    def _answer(self, argv: list[str]) -> tuple[int, str, str]:
        if argv == ["list", "-a", "-t", "-j"]:
            return 0, "[]", ""
        if argv[:3] == ["list", "-a", "-j"]:
            rows = [{"uuid": key, "name": vm["name"], "status": vm["state"]} for key, vm in self.vms.items()]
            return 0, json.dumps(rows), ""
        identity = argv[3] if argv[0] == "list" else argv[1]
        vm = self.vms.get(identity)
        if vm is None:
            return 255, "", "Failed to get VM config: The virtual machine could not be found."
        return getattr(self, "_" + argv[0].replace("-", "_"))(identity, vm, argv)

    def _list(self, identity: str, vm: dict[str, Any], _argv: list[str]) -> tuple[int, str, str]:
        hardware = {"hdd0": {"image": f"{vm['home']}/harddisk1.hdd", "type": "expanded", "size": "65536Mb"}}
        facts = {"ID": identity, "Name": vm["name"], "State": vm["state"], "Home": f"{vm['home']}/"}
        return 0, json.dumps([{**self._info, **facts, "Hardware": hardware}]), ""

    def _snapshot_list(self, *_arguments: Any) -> tuple[int, str, str]:
        return 0, "", ""

    def _busy(self, identity: str, vm: dict[str, Any], verb: str) -> Optional[tuple[int, str, str]]:
        doing = "being cloned" if identity in self._cloning else vm["state"] if vm["state"] != "stopped" else ""
        return (255, "", BUSY.format(verb=verb, doing=doing)) if doing else None

    def _stop(self, identity: str, vm: dict[str, Any], _argv: list[str]) -> tuple[int, str, str]:
        if vm["state"] != "running":
            return 255, "", 'Failed to stop the VM: "x" is not started.'
        vm["state"] = "stopped"
        return 0, "", ""

    def _start(self, identity: str, vm: dict[str, Any], _argv: list[str]) -> tuple[int, str, str]:
        with self._lock:
            refused = self._busy(identity, vm, "start")
            if refused:
                return refused
            vm["state"] = "running"
            self.starts += 1
        return 0, "", ""

    def _clone(self, identity: str, vm: dict[str, Any], argv: list[str]) -> tuple[int, str, str]:
        with self._lock:
            refused = self._busy(identity, vm, "clone")
            if refused:
                return refused
            self._cloning.add(identity)
        try:
            self.clone_body()
            self.add(str(uuid.uuid4()), argv[3], "stopped", Path(argv[5]) / f"{argv[3]}.pvm")
        finally:
            self._cloning.discard(identity)
        return 0, "", ""

    def _delete(self, identity: str, vm: dict[str, Any], _argv: list[str]) -> tuple[int, str, str]:
        shutil.rmtree(vm["home"], ignore_errors=True)
        del self.vms[identity]
        return 0, "", ""

    def _unregister(self, identity: str, _vm: dict[str, Any], _argv: list[str]) -> tuple[int, str, str]:
        del self.vms[identity]
        return 0, "", ""


class Time:
    """Passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    program = tmp_path / "bin" / "prlctl"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def small(tmp_path: Path, fixture_text: Callable[[str], str]) -> SmallMac:
    return SmallMac(tmp_path / "Parallels", json.loads(fixture_text("info_20_windows_arm64.json"))[0])


@pytest.fixture
def prl(small: SmallMac, programs: str) -> Prlctl:
    time = Time()
    return Prlctl(small.run_command, programs, sleep=time.sleep, clock=time.clock, retry_for=10)


def order(small: SmallMac, name: str = NAME) -> CloneOrder:
    return CloneOrder(name, SOURCE, str(small.folder), stop_source=True, stop_timeout=60, timeout=600)


def notes_of_sources() -> list[str]:
    folder = os.path.expanduser(source_module.FOLDER)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def garbage(_answer: Any) -> tuple[int, str, str]:
    return 0, "This is not JSON", ""


def lost(answer: tuple[int, str, str]) -> tuple[int, str, str]:
    return 255, "", "PrlJob_GetRetCode: Invalid argument. An invalid argument was passed."


def killed(_answer: Any) -> tuple[int, str, str]:
    return -9, "", ""


def interrupt(_answer: Any = None) -> Any:
    raise Interrupted("It was canceled.")


def os_error(_answer: Any = None) -> Any:
    raise OSError(5, "Input/output error")


class Fault:
    """Strikes at one command and the next ones of the same kind, for a number of times."""

    def __init__(self, at: int, times: int, what: Callable[[Any], Any]) -> None:
        self.at, self.times, self.what = at, times, what

    def strikes(self, number: int) -> bool:
        if number < self.at or not self.times:
            return False
        self.times -= 1
        return True

    def before(self, number: int, _argv: list[str]) -> None:
        if self.strikes(number):
            self.what(None)

    def after(self, number: int, _argv: list[str], answer: Any) -> Any:
        return self.what(answer) if self.strikes(number) else answer


# A command of the clone is at most this far from the first one; the tests check that it is enough.
MOST = 40
FAULTS = {
    "an interruption before": ("before", 1, interrupt),
    "an interruption after": ("after", 1, interrupt),
    "an error of the system before": ("before", 1, os_error),
    "an error of the system after": ("after", 1, os_error),
    "an unreadable answer": ("after", 1, garbage),
    "no readable answer": ("after", 3, garbage),
    "no readable answer for long": ("after", 7, garbage),
    "a lost answer": ("after", 1, lost),
    "lost answers": ("after", 4, lost),
    "a killed program": ("after", 1, killed),
}


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_source_ends_as_it_was_after_a_fault_at_any_command(
    small: SmallMac, prl: Prlctl, fault: str, state: str
) -> None:
    where, times, what = FAULTS[fault]
    small.add(SOURCE, "Quelle Übung", state)
    struck = 0
    for at in range(MOST):
        small.commands.clear()
        small.before, small.after = lambda _number, _argv: None, lambda _number, _argv, answer: answer
        strike = Fault(at, times, what)
        setattr(small, where, getattr(strike, where))
        with contextlib.suppress(TaskError, Interrupted, OSError):
            ensure_clone(prl, order(small), dry=False)
        if strike.times == times:
            break
        struck += 1
        assert small.vms[SOURCE]["state"] == state, (at, small.commands)
        small.before, small.after = lambda _number, _argv: None, lambda _number, _argv, answer: answer
        vm, _changed = ensure_clone(prl, order(small), dry=False)
        assert small.vms[SOURCE]["state"] == state
        assert notes_of_sources() == [], "a source that was asked to shut down, and did not, was not forgotten"
        assert os.path.isdir(vm.home)
        assert [each["name"] for each in small.vms.values()] == ["Quelle Übung", NAME], at
        ensure_no_clone(prl, NAME, SOURCE, str(small.folder), dry=False)
        assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvm"]
    assert 12 < struck < MOST


def test_the_source_ends_as_it_was_when_the_cleanup_is_interrupted(small: SmallMac, prl: Prlctl) -> None:
    """The cloning fails, and then a signal arrives, at any command of the cleanup."""
    struck = 0
    small.add(SOURCE, "Quelle Übung", "running")
    for at in range(MOST):
        small.commands.clear()
        strike = Fault(at, 1, interrupt)

        def after(number: int, argv: list[str], answer: Any, strike: Fault = strike) -> Any:
            if argv[0] == "clone":
                shutil.rmtree(next(vm["home"] for vm in small.vms.values() if vm["name"] == NAME) + "/harddisk1.hdd")
            return strike.after(number, argv, answer)

        small.after = after
        with pytest.raises((TaskError, Interrupted)) as caught:
            ensure_clone(prl, order(small), dry=False)
        assert small.vms[SOURCE]["state"] == "running", (at, small.commands)
        if strike.times:
            assert caught.type is TaskError
            break
        struck += 1
        small.after = lambda _number, _argv, answer: answer
        ensure_clone(prl, order(small), dry=False)
        assert notes_of_sources() == []
        ensure_no_clone(prl, NAME, SOURCE, str(small.folder), dry=False)
    assert 15 < struck < MOST


def test_a_source_that_all_runs_were_killed_under_is_started_by_the_next_one(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    held = HeldSource.take(prl, get_vm(prl, SOURCE), 0)
    held.shut_down(60)
    held._share._shared = False  # as the system does when a process is killed: the lock goes, the note stays
    held._share.release()
    assert small.vms[SOURCE]["state"] == "stopped"
    assert notes_of_sources() == [f".{SOURCE}.claim.json"]
    ensure_clone(prl, order(small, "another-2-arm64"), dry=False)
    assert small.vms[SOURCE]["state"] == "running"
    assert notes_of_sources() == []


def test_a_source_is_not_started_under_the_clone_of_another_run(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    other = HeldSource.take(prl, get_vm(prl, SOURCE), 0)
    ensure_clone(prl, order(small), dry=False)
    assert small.vms[SOURCE]["state"] == "stopped"
    assert read_claim(str(small.folder / f"{NAME}.pvm"))["restart_source"] is False
    assert other.let_go()
    assert small.vms[SOURCE]["state"] == "running"
    assert notes_of_sources() == []


@pytest.fixture
def holder(small: SmallMac) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the source, with the note that it was running."""
    folder = os.path.expanduser(source_module.FOLDER)
    os.makedirs(folder)
    path = claim_path(os.path.join(folder, SOURCE))
    note = json.dumps({"schema": 1, "operation": "cloned", "vm": SOURCE, "restart": True})
    script = (
        "import fcntl, os, sys, time\n"
        f"held = os.open({path!r}, os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(held, fcntl.LOCK_SH)\n"
        f"os.write(held, {note!r}.encode())\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_holder_does_not_count(programs: str, small: SmallMac, prl: Prlctl, holder: Any) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    small.clone_body = lambda: (holder.kill(), holder.wait())
    ensure_clone(prl, order(small), dry=False)
    assert small.vms[SOURCE]["state"] == "running"
    assert notes_of_sources() == []


def test_a_holder_that_is_alive_starts_the_source_itself(
    programs: str, small: SmallMac, prl: Prlctl, holder: Any
) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    ensure_clone(prl, order(small), dry=False)
    assert small.vms[SOURCE]["state"] == "stopped"
    assert notes_of_sources() == [f".{SOURCE}.claim.json"]


def test_a_source_that_somebody_started_again_is_shut_down_before_the_next_attempt(
    small: SmallMac, prl: Prlctl
) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    attempts: list[str] = []

    def before(_number: int, argv: list[str]) -> None:
        if argv[0] == "clone":
            attempts.append(small.vms[SOURCE]["state"])
            if len(attempts) < 3:
                small.vms[SOURCE]["state"] = "running"

    small.before = before
    ensure_clone(prl, order(small), dry=False)
    assert attempts == ["stopped", "stopped", "stopped"]
    assert small.vms[SOURCE]["state"] == "running"


def test_a_source_that_may_not_be_shut_down_is_left_running(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")

    def before(_number: int, argv: list[str]) -> None:
        if argv[0] == "clone":
            small.vms[SOURCE]["state"] = "running"

    small.before = before
    with pytest.raises(TaskError, match=r"is running, and only a VM that is shut down can be cloned"):
        ensure_clone(prl, CloneOrder(NAME, SOURCE, str(small.folder)), dry=False)
    assert small.vms[SOURCE]["state"] == "running"
    assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvm"]


def test_several_runs_clone_one_running_source_at_once(small: SmallMac, programs: str) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    names = [f"image{number}-1-arm64" for number in range(4)]
    all_wait = threading.Barrier(len(names), timeout=20)
    problems: list[BaseException] = []
    # All runs hold the source before the first one of them has finished.
    small.clone_body = lambda: joined.wait(20)
    joined = threading.Event()
    take = HeldSource.take.__func__
    held: list[Any] = []

    def counted(*arguments: Any) -> Any:
        held.append(take(HeldSource, *arguments))
        if len(held) == len(names):
            joined.set()
        return held[-1]

    def run(name: str) -> None:
        # An hour passes in 36 seconds.
        start = threading.Event()
        prl = Prlctl(small.run_command, programs, sleep=lambda seconds: start.wait(seconds / 100))
        try:
            all_wait.wait()
            ensure_clone(prl, order(small, name), dry=False)
        except BaseException as error:
            problems.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldSource, "take", counted)
        threads = [threading.Thread(target=run, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []
    assert sorted(vm["name"] for vm in small.vms.values()) == ["Quelle Übung", *names]
    assert small.vms[SOURCE]["state"] == "running"
    assert small.starts == 1
    assert notes_of_sources() == []


def test_the_source_lock_is_held_by_the_program_that_clones(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    seen: list[bool] = []

    def clone() -> None:
        path = claim_path(os.path.join(os.path.expanduser(source_module.FOLDER), SOURCE))
        with open(path, "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may share it
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(True)

    small.clone_body = clone
    ensure_clone(prl, order(small), dry=False)
    assert seen == [True]


def rename_while_cloning(small: SmallMac, home: Optional[Path] = None) -> None:
    """While we clone, somebody gives the name of the build to another VM, and may move it to the clone's place."""
    small.add(STRANGER, "precious", "stopped")

    def clone() -> None:
        small.vms[STRANGER]["name"] = NAME
        if home is not None:
            os.rename(small.vms[STRANGER]["home"], home)
            small.vms[STRANGER]["home"] = str(home)
        raise Interrupted("It was canceled.")

    small.clone_body = clone


@pytest.mark.parametrize("moved", [True, False])
def test_a_vm_that_somebody_renamed_to_the_name_of_the_build_is_left(small: SmallMac, prl: Prlctl, moved: bool) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    target = small.folder / f"{NAME}.pvm"
    rename_while_cloning(small, target if moved else None)
    with pytest.raises(Interrupted):
        ensure_clone(prl, order(small), dry=False)
    small.clone_body = lambda: None
    home = target if moved else small.folder / "precious.pvm"
    with pytest.raises(TaskError, match=r"already exists"):
        ensure_clone(prl, order(small), dry=False)
    if moved:
        with pytest.raises(TaskError, match=r"describes another virtual machine"):
            ensure_no_clone(prl, NAME, SOURCE, str(small.folder), dry=False)
    assert small.vms[STRANGER] == {"name": NAME, "state": "stopped", "home": str(home)}
    assert (home / "harddisk1.hdd" / "harddisk1.hds").exists()
    assert small.vms[SOURCE]["state"] == "running"


def test_a_vm_that_somebody_moved_to_the_place_of_the_clone_is_left(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    target = small.folder / f"{NAME}.pvm"
    rename_while_cloning(small, target)
    with pytest.raises(Interrupted, match=r"Another virtual machine, 'win11-1-arm64' .* so it was left unchanged"):
        ensure_clone(prl, order(small), dry=False)
    small.vms[STRANGER]["name"] = "precious"
    for end in (
        lambda: ensure_clone(prl, order(small), dry=False),
        lambda: ensure_no_clone(prl, NAME, SOURCE, str(small.folder), dry=False),
    ):
        with pytest.raises(TaskError, match=r"Another virtual machine, 'precious' .* is registered from"):
            end()
    assert (target / "harddisk1.hdd" / "harddisk1.hds").exists()
    assert small.vms[SOURCE]["state"] == "running"


def test_an_unfinished_clone_that_somebody_renamed_is_removed(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "running")

    def after(_number: int, argv: list[str], answer: Any) -> Any:
        if argv[0] == "clone":
            clone = next(vm for vm in small.vms.values() if vm["name"] == NAME)
            clone["name"] = "something else"
            raise Interrupted("It was canceled.")
        return answer

    small.after = after
    with pytest.raises(Interrupted):
        ensure_clone(prl, order(small), dry=False)
    assert [vm["name"] for vm in small.vms.values()] == ["Quelle Übung"]
    assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvm"]


def test_disks_outside_of_an_unfinished_clone_are_not_deleted_with_it(small: SmallMac, prl: Prlctl) -> None:
    source = small.add(SOURCE, "Quelle Übung", "running")

    def after(_number: int, argv: list[str], answer: Any) -> Any:
        if argv[:2] == ["list", "-i"] and argv[3] != SOURCE:
            return answer[0], answer[1].replace(f"{NAME}.pvm/harddisk1", "Quelle \\u00dcbung.pvm/harddisk1"), ""
        return answer

    small.after = after
    with pytest.raises(TaskError, match=r"is the disk of its source"):
        ensure_clone(prl, order(small), dry=False)
    assert [argv[0] for argv in small.commands if argv[0] in ("delete", "unregister")] == ["unregister"]
    assert (source / "harddisk1.hdd" / "harddisk1.hds").exists()
    assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvm"]


def test_a_clone_that_is_elsewhere_while_its_place_is_empty_is_a_doubt(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    elsewhere = small.folder / "elsewhere" / f"{NAME}.pvm"

    def after(_number: int, argv: list[str], answer: Any) -> Any:
        if argv[0] == "clone":
            clone = next(vm for vm in small.vms.values() if vm["name"] == NAME)
            elsewhere.parent.mkdir()
            os.rename(clone["home"], elsewhere)
            clone["home"] = str(elsewhere)
        return answer

    small.after = after
    with pytest.raises(TaskError, match=r"it is in .*elsewhere.*, not in"):
        ensure_clone(prl, order(small), dry=False)
    assert small.vms[SOURCE]["state"] == "running"
    assert elsewhere.exists()


def halve(small: SmallMac, identity: str) -> Path:
    """A packing of the VM was interrupted: it is neither packed nor whole."""
    vm = small.vms[identity]
    home = Path(vm["home"]).with_suffix(".pvmi")
    os.rename(vm["home"], home)
    os.rename(home / "config.pvs", home / "config.pvsp")
    vm["home"] = str(home)
    return home


@pytest.mark.parametrize("dry", [True, False])
def test_a_source_in_an_intermediate_state_is_refused(small: SmallMac, prl: Prlctl, dry: bool) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    halve(small, SOURCE)
    with pytest.raises(TaskError, match=r"'Quelle Übung' is in an intermediate state .*Finish it with `prlctl unpack"):
        ensure_clone(prl, order(small), dry=dry)
    assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvmi"]
    assert notes_of_sources() == []


@pytest.mark.parametrize("image", [True, False])
def test_a_clone_in_an_intermediate_state_is_made_again(small: SmallMac, prl: Prlctl, image: bool) -> None:
    small.add(SOURCE, "Quelle Übung", "running")
    notices: list[str] = []
    prl.notice = notices.append
    vm, _changed = ensure_clone(prl, order(small), dry=False)
    home = halve(small, vm.uuid)
    packed = home.with_suffix(".pvmp")
    packed.write_text("half an image")
    if image:  # it is ours
        with Claim.take(str(packed)) as claim:
            claim.write(operation="pack", vm=vm.uuid, name=NAME, strangers=[])
        assert ensure_clone(prl, order(small), dry=True) == (None, True)
    again, changed = ensure_clone(prl, order(small), dry=False)
    assert changed
    assert again.uuid != vm.uuid
    assert [each["name"] for each in small.vms.values()] == ["Quelle Übung", NAME]
    assert sorted(os.listdir(small.folder)) == [
        f".{NAME}.pvm.claim.json",
        "Quelle Übung.pvm",
        f"{NAME}.pvm",
        *([] if image else [f"{NAME}.pvmp"]),
    ]
    assert "were in an intermediate state. The clone is made again" in notices[0]
    assert not [argv for argv in small.commands if argv[0] == "delete"], "Parallels deletes none in that state"


def test_a_clone_that_another_run_is_packing_is_waited_for(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    vm, _changed = ensure_clone(prl, order(small), dry=False)
    home = halve(small, vm.uuid)
    packer = Claim.take(str(home.with_suffix(".pvmp")))
    packer.write(operation="pack", vm=vm.uuid)
    sleep = prl.sleep

    def finish(seconds: float) -> None:
        sleep(seconds)
        if packer.descriptor >= 0:
            shutil.rmtree(home)
            home.with_suffix(".pvmp").write_text("image")
            small.vms[vm.uuid]["home"] = str(home.with_suffix(".pvmp"))
            packer.remove()

    prl.sleep = finish
    again, changed = ensure_clone(prl, order(small), dry=False)
    assert (again.uuid, again.packed, changed) == (vm.uuid, True, False)


def test_a_clone_in_an_intermediate_state_is_removed(small: SmallMac, prl: Prlctl) -> None:
    small.add(SOURCE, "Quelle Übung", "stopped")
    vm, _changed = ensure_clone(prl, order(small), dry=False)
    halve(small, vm.uuid)
    ensure_no_clone(prl, NAME, SOURCE, str(small.folder), dry=False)
    assert sorted(os.listdir(small.folder)) == ["Quelle Übung.pvm"]
    assert list(small.vms) == [SOURCE]


def test_the_space_for_a_clone_counts_what_is_outside_of_the_bundle(
    small: SmallMac, prl: Prlctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = small.add(SOURCE, "Quelle Übung", "stopped")
    outside = small.folder.parent / "outside.hdd"
    outside.write_bytes(b"x" * 200_000)
    (home / "harddisk1.hdd").rename(home / "unused")
    (home / "harddisk1.hdd").symlink_to(outside)
    monkeypatch.setattr(space, "free_bytes", lambda _path: 150_000)
    with pytest.raises(TaskError, match=r"A clone of 'Quelle Übung' needs up to") as caught:
        ensure_clone(prl, order(small), dry=False)
    assert caught.value.details["needed_bytes"] > 200_000
