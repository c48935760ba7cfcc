# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloning, and mending what a killed cloning left."""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import space
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import bytes_on_disk
from ansible_collections.macops.parallels.plugins.module_utils._common.progress import watched
from ansible_collections.macops.parallels.plugins.module_utils._parallels import clone as clone_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels import source as source_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.clone import (
    CloneOrder,
    ensure_clone,
    ensure_no_clone,
    forget_clone,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm

SOURCE = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
CLONE = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"
NAME = "win11-1-arm64"
SOURCE_NAME = "Quelle Übung"


class Stage:
    """A Mac with a source VM, and what the cloning of it asks Parallels."""

    def __init__(self, mac: Any) -> None:
        self.mac = mac
        self.state = "stopped"
        self.clone_state: Optional[str] = None
        self.dest = mac.folder / "bilder ü"
        self.dest.mkdir()
        self.target = self.dest / f"{NAME}.pvm"
        self.facts = mac.bundle(mac.folder / "Parallels" / f"{SOURCE_NAME}.pvm")
        self.order = CloneOrder(NAME, SOURCE_NAME, str(self.dest))

    def run(self, dry: bool = False, **order: Any) -> tuple[Any, bool]:
        return ensure_clone(self.mac.prl, replace(self.order, **order), dry=dry)

    def list(self) -> None:
        vms = [(SOURCE, SOURCE_NAME, self.state)]
        if self.clone_state:
            vms.append((CLONE, NAME, self.clone_state))
        self.mac.list(*vms)

    def find_source(self) -> None:
        self.list()
        self.mac.look(SOURCE, Name=SOURCE_NAME, State=self.state, **self.facts)

    def find_clone(self, **facts: Any) -> None:
        self.list()
        if self.clone_state:
            self.mac.look(CLONE, **{"Name": NAME, "State": self.clone_state, **self.mac.home(self.target), **facts})

    def registered_from_the_target(self) -> None:
        """The looks that find the clone by its bundle."""
        self.list()
        facts = self.mac.info(ID=CLONE, Name=NAME, **self.mac.home(self.target))
        self.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[facts])
        self.mac.look(CLONE, Name=NAME, State=self.clone_state, **self.mac.home(self.target))

    def first_look(self) -> None:
        self.find_source()
        self.find_clone()

    def under_the_claim(self) -> None:
        """The looks at clone and source, once the claim is held and the way is clear."""
        self.find_clone()
        self.find_source()
        self.list()

    def stop_source(self) -> None:
        self.list()
        self.mac.expect("prlctl", "stop", SOURCE, "--noforce")
        self.state = "stopped"
        self.list()

    def start_source(self) -> None:
        self.list()
        self.mac.expect("prlctl", "start", SOURCE)
        self.state = "running"
        self.list()

    def clone(self, rc: int = 0, err: str = "", then: Optional[Callable[[], Any]] = None) -> None:
        self.mac.expect(
            "prlctl", "clone", SOURCE, "--name", NAME, "--dst", str(self.dest), rc=rc, err=err, then=then or self.copy
        )

    def copy(self) -> None:
        self.mac.bundle(self.target)

    def cloned(self) -> None:
        """The clone is made and found to be whole."""
        self.clone()
        self.clone_state = "stopped"
        self.list()
        self.find_clone()

    def claim(self, **notes: Any) -> None:
        with Claim.take(str(self.target)) as claim:
            claim.write(**{"operation": "clone", "source": SOURCE, "source_name": SOURCE_NAME, "clone": "", **notes})

    def notes(self) -> dict[str, Any]:
        return read_claim(str(self.target))


@pytest.fixture
def stage(mac: Any) -> Stage:
    return Stage(mac)


def test_a_clone_is_made_proven_and_remembered(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.cloned()
    vm, changed = stage.run()
    assert changed
    assert (vm.uuid, vm.home) == (CLONE, str(stage.target))
    assert stage.notes() == {
        "operation": "clone",
        "source": SOURCE,
        "source_name": SOURCE_NAME,
        "clone": CLONE,
        "restart_source": False,
    }


def test_the_program_that_clones_holds_the_claim(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.cloned()
    stage.run()
    # With the claim it holds the source, and the turn to clone it.
    assert [len(descriptors) for descriptors in stage.mac.descriptors if descriptors] == [3]


def test_a_clone_that_is_there_is_left_alone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    for state in ("stopped", "running", "levitating"):
        stage.clone_state = state
        stage.first_look()
        vm, changed = stage.run()
        assert (vm.uuid, changed) == (CLONE, False)


def test_a_packed_clone_is_left_alone(stage: Stage) -> None:
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.find_source()
    stage.find_clone(**stage.mac.home(stage.target.with_suffix(".pvmp")))
    vm, changed = stage.run()
    assert vm.packed
    assert not changed


def test_a_clone_is_left_alone_when_its_source_is_gone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.mac.list((CLONE, NAME, "stopped"))
    stage.mac.list((CLONE, NAME, "stopped")).look(CLONE, Name=NAME, **stage.mac.home(stage.target))
    _vm, changed = stage.run()
    assert not changed


def test_a_missing_source_is_an_error(stage: Stage) -> None:
    stage.mac.list((CLONE, "else", "stopped")).list((CLONE, "else", "stopped"))
    with pytest.raises(TaskError, match=r"There is no virtual machine 'Quelle Übung'"):
        stage.run()


def test_a_running_source_is_stopped_and_started_again(stage: Stage) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()
    stage.stop_source()
    remembered: list[bool] = []
    stage.clone(then=lambda: (stage.copy(), remembered.append(stage.notes()["restart_source"])))
    stage.clone_state = "stopped"
    stage.list()
    stage.find_clone()
    stage.start_source()
    _vm, changed = stage.run(stop_source=True)
    assert changed
    assert remembered == [True]
    assert stage.notes()["restart_source"] is False


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("state", "stop", "sentence"),
    [
        ("running", False, "is running, and only a VM that is shut down.*stop_source: true"),
        ("suspended", True, "is suspended, and a clone would contain its memory"),
        ("paused", True, "is paused, and a clone would contain its memory"),
        ("invalid", True, "files of 'Quelle Übung' are missing"),
    ],
)
def test_a_source_in_another_state_is_refused(stage: Stage, dry: bool, state: str, stop: bool, sentence: str) -> None:
    stage.state = state
    stage.first_look()
    if not dry:
        stage.under_the_claim()
    with pytest.raises(TaskError, match=sentence):
        stage.run(dry=dry, stop_source=stop)
    assert os.listdir(stage.dest) == []


def test_a_packed_source_is_refused(stage: Stage) -> None:
    stage.facts = stage.mac.home(stage.mac.folder / "x.pvmp")
    stage.first_look()
    with pytest.raises(TaskError, match=r"is packed and cannot be cloned"):
        stage.run(dry=True)


@pytest.mark.parametrize("dry", [True, False])
def test_a_full_disk_is_found_before_the_source_is_stopped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, dry: bool
) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: 1000)
    stage.state = "running"
    stage.first_look()
    if not dry:
        stage.under_the_claim()
    with pytest.raises(
        TaskError, match=r"A clone of 'Quelle Übung' needs up to .* 1.0 kB \(1000 bytes\) are"
    ) as caught:
        stage.run(dry=dry, stop_source=True)
    assert caught.value.details["needed_bytes"] > 5000
    assert caught.value.details["free_bytes"] == 1000
    assert os.listdir(stage.dest) == []


def test_a_dry_run_changes_nothing(stage: Stage) -> None:
    stage.state = "running"
    stage.first_look()
    assert stage.run(dry=True, stop_source=True) == (None, True)
    assert os.listdir(stage.dest) == []


def test_a_source_that_does_not_shut_down_is_remembered_to_have_run(stage: Stage) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()
    stage.list()
    stage.mac.expect("prlctl", "stop", SOURCE, "--noforce")
    for _look in range(5):
        stage.list()
    with pytest.raises(TaskError, match=r"did not shut down within 1 seconds"):
        stage.run(stop_source=True, stop_timeout=1)
    assert stage.notes()["restart_source"] is True


@pytest.mark.parametrize(
    ("rc", "err", "sentence"), [(255, "Out of disk space.", "Free some space"), (-9, "", "killed by another process")]
)
def test_a_failed_cloning_is_cleaned_up_and_the_source_started(stage: Stage, rc: int, err: str, sentence: str) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()
    stage.stop_source()
    stage.clone(rc=rc, err=err)
    for _look in range(2 if rc == 255 else 8):
        stage.list()
    stage.start_source()
    with pytest.raises(TaskError, match=sentence):
        stage.run(stop_source=True)
    assert os.listdir(stage.dest) == []


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_cloning_whose_program_was_killed_may_go_on(stage: Stage, goes_on: bool) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.clone(rc=-9)
    for _look in range(7 if goes_on else 8):
        stage.list()

    def grow(seconds: float) -> None:
        stage.mac.now += seconds
        if goes_on:
            (stage.target / "harddisk1.hdd" / "more").write_text("x" * int(stage.mac.now))

    stage.mac.prl.sleep = grow
    with pytest.raises(TaskError, match=r"killed by another process") as caught:
        stage.run()
    assert ("Parallels is still working on it" in caught.value.message) is goes_on
    assert stage.target.exists() is goes_on
    assert (stage.notes() != {}) is goes_on


def test_a_source_that_cannot_be_started_again_is_said_and_remembered(stage: Stage) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()
    stage.stop_source()
    stage.clone(rc=255, err="Out of disk space.")
    for _look in range(2):
        stage.list()
    for _try in range(3):
        stage.list()
        stage.mac.expect("prlctl", "start", SOURCE, rc=255, err="Out of disk space.")
        stage.list()
    with pytest.raises(TaskError) as caught:
        stage.run(stop_source=True)
    assert "could not clone 'Quelle Übung'" in caught.value.message
    assert "was running before and could not be started again" in caught.value.message
    assert stage.notes()["restart_source"] is True
    assert not stage.target.exists()


def test_a_source_is_started_again_at_the_second_attempt(stage: Stage) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()
    stage.stop_source()
    stage.cloned()
    stage.list()
    stage.mac.expect("prlctl", "start", SOURCE, rc=255, err="Out of disk space.")
    stage.list()
    stage.start_source()
    _vm, changed = stage.run(stop_source=True)
    assert changed
    assert stage.notes()["restart_source"] is False


def test_a_success_without_a_clone_is_a_failure(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.clone(then=lambda: None)
    for _look in range(11):
        stage.list()
    with pytest.raises(TaskError, match=r"a check shows that it did not"):
        stage.run()
    assert os.listdir(stage.dest) == []


NUMBERED = f"{NAME} (1)"


def a_numbered_clone(stage: Stage, *others: tuple[str, str, str], home: Optional[Path] = None) -> dict[str, Any]:
    """Let Parallels number the name of the clone, because it is taken in that moment; return its facts."""
    facts = {"Name": NUMBERED, **stage.mac.home(home or stage.target)}
    stage.mac.list((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped"), *others)
    stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[stage.mac.info(ID=CLONE, **facts)])
    return facts


def test_a_clone_whose_name_parallels_numbered_is_found_by_its_bundle_and_renamed(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.clone()
    facts = a_numbered_clone(stage)
    for _look in range(2):
        stage.mac.list((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped"))
        if not _look:
            stage.mac.look(CLONE, **facts)
    stage.mac.expect("prlctl", "set", CLONE, "--name", NAME)
    stage.clone_state = "stopped"
    for _look in range(2):
        stage.find_clone()
    vm, changed = stage.run()
    assert (vm.uuid, vm.name, changed) == (CLONE, NAME, True)
    assert stage.notes()["clone"] == CLONE


def test_a_clone_whose_name_another_vm_has_taken_is_removed(stage: Stage) -> None:
    other = ("99999999-0000-0000-0000-000000000000", NAME, "stopped")
    there = ((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped"), other)
    stage.first_look()
    stage.under_the_claim()
    stage.clone()
    stage.mac.list(*there)
    stage.mac.list(*there).look(other[0], Name=NAME, Home="/elsewhere/x.pvm/")  # new, and of the right name
    stage.mac.list(*there)
    facts = {"Name": NUMBERED, **stage.mac.home(stage.target)}
    stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[stage.mac.info(ID=CLONE, **facts)])
    stage.mac.look(CLONE, **facts)
    stage.mac.list(*there)
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.mac.list(there[0], other)
    with pytest.raises(TaskError, match=r"did not pass the check.*it is in /elsewhere/x.pvm, not in"):
        stage.run()
    assert os.listdir(stage.dest) == []


def test_a_numbered_clone_in_its_place_is_removed_when_its_name_is_taken(stage: Stage) -> None:
    other = ("99999999-0000-0000-0000-000000000000", NAME, "stopped")
    stage.first_look()
    stage.under_the_claim()
    stage.clone()
    facts = a_numbered_clone(stage)
    stage.mac.list((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped")).look(CLONE, **facts)
    there = ((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped"), other)
    stage.mac.list(*there)
    stage.mac.list(*there)
    stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[stage.mac.info(ID=CLONE, **facts)])
    stage.mac.look(CLONE, **facts)
    stage.mac.list(*there)
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.mac.list(there[0], other)
    with pytest.raises(TaskError, match=rf"it is named '{NAME} \(1\)', because another virtual machine \(9999.*has"):
        stage.run()
    assert os.listdir(stage.dest) == []


def test_a_numbered_vm_in_another_place_is_named_and_left(stage: Stage) -> None:
    elsewhere = stage.dest / f"{NUMBERED}.pvm"
    stage.first_look()
    stage.under_the_claim()
    stage.clone(then=lambda: stage.mac.bundle(elsewhere))
    for _look in range(9):
        a_numbered_clone(stage, home=elsewhere)
    for _look in range(2):
        stage.mac.list((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NUMBERED, "stopped"))
        if not _look:
            stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[stage.mac.info(**stage.mac.home(elsewhere))])
    with pytest.raises(
        TaskError, match=rf"'{NAME} \(1\)' \({CLONE}\) is new. It may be the clone.*Remove it by its UUID"
    ):
        stage.run()
    assert os.listdir(stage.dest) == [f"{NUMBERED}.pvm"]


@pytest.mark.parametrize(
    ("facts", "doubt"),
    [
        ({"Hardware": {}}, "it has 0 disks, its source has 1"),
        ({"State": "levitating"}, "it is levitating"),
        ({"Home": "/elsewhere/x.pvm/"}, "it is in /elsewhere/x.pvm, not in"),
        ("the disk of its source", "is the disk of its source"),
        ("no disk", "harddisk1.hdd is missing"),
    ],
)
def test_a_clone_that_is_not_whole_is_removed(stage: Stage, facts: Any, doubt: str) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.clone()
    stage.clone_state = "stopped"
    stage.list()
    if facts == "the disk of its source":
        facts = {"Hardware": stage.facts["Hardware"]}
    elif facts == "no disk":
        facts = {}
        stage.mac.calls[-1].then = lambda: shutil.rmtree(stage.target / "harddisk1.hdd")
    stage.find_clone(**facts)
    stage.registered_from_the_target()
    stage.list()
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.clone_state = None
    stage.list()
    with pytest.raises(TaskError, match=r"the clone 'win11-1-arm64' did not pass the check") as caught:
        stage.run()
    assert any(doubt in each for each in caught.value.details["doubts"])
    assert os.listdir(stage.dest) == []


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("was_running", [True, False])
def test_what_a_killed_run_left_is_removed_and_made_again(stage: Stage, registered: bool, was_running: bool) -> None:
    stage.claim(restart_source=was_running)
    stage.mac.bundle(stage.target, disk=b"half")
    stage.clone_state = "stopped" if registered else None
    stage.first_look()
    stage.find_clone()
    if registered:
        stage.list()
        stage.mac.expect("prlctl", "delete", CLONE)
        stage.clone_state = None
        stage.list()
    else:
        stage.list()
    stage.find_source()
    stage.list()
    stage.cloned()
    if was_running:
        stage.start_source()
    vm, changed = stage.run()
    assert changed
    assert vm.disks[0].bytes_on_disk > 4096
    assert stage.notes()["clone"] == CLONE
    assert stage.notes()["restart_source"] is False


def test_a_run_that_was_killed_before_the_source_was_started_again_is_ended(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE, restart_source=True)
    stage.clone_state = "stopped"
    stage.first_look()
    stage.find_clone()
    stage.start_source()
    vm, changed = stage.run()
    assert (vm.uuid, changed) == (CLONE, True)
    assert stage.notes()["restart_source"] is False


@pytest.mark.parametrize("image", [b"", None])
def test_a_ruined_clone_is_made_again(stage: Stage, image: Optional[bytes]) -> None:
    ruin = stage.target.with_suffix(".pvmp")
    if image is not None:
        ruin.write_bytes(image)
    stage.claim(clone=CLONE)
    stage.clone_state = "invalid"
    stage.find_source()
    for _look in range(2):
        stage.find_clone(**stage.mac.home(ruin))
    stage.list()
    stage.mac.expect("prlctl", "unregister", CLONE)
    stage.clone_state = None
    stage.list()
    stage.find_source()
    stage.list()
    stage.cloned()
    vm, changed = stage.run()
    assert (vm.state, changed) == ("stopped", True)
    assert not ruin.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_a_clone_whose_files_cannot_be_seen_is_not_ruined(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "invalid"
    stage.first_look()
    real, config = os.stat, str(stage.target / "config.pvs")

    def stat(path: Any, *args: Any, **options: Any) -> Any:
        if str(path) == config:
            raise OSError(number, os.strerror(number), path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(TaskError, match=r"config.pvs cannot be read: .*Then run again"):
        stage.run()
    assert stage.target.is_dir()


def test_an_invalid_clone_whose_files_are_there_is_left_alone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "invalid"
    stage.first_look()
    _vm, changed = stage.run()
    assert not changed


def test_the_clone_of_a_run_that_is_still_at_work_is_waited_for(stage: Stage) -> None:
    stage.first_look()
    holder = Claim.take(str(stage.target))
    holder.write(operation="clone", source=SOURCE, source_name=SOURCE_NAME, clone="")

    def finish(seconds: float) -> None:
        stage.mac.slept.append(seconds)
        stage.copy()
        holder.note(clone=CLONE)
        holder.release()

    stage.mac.prl.sleep = finish
    stage.clone_state = "stopped"
    stage.find_clone()
    _vm, changed = stage.run()
    assert not changed
    assert len(stage.mac.slept) == 1


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    "notes",
    [
        pytest.param(None, id="no claim"),
        pytest.param({"source": CLONE}, id="clone of another source"),
        pytest.param({"clone": SOURCE}, id="claim of another clone"),
        pytest.param({"operation": "pack"}, id="claim of another operation"),
    ],
)
def test_a_vm_that_is_not_ours_is_left_alone(stage: Stage, dry: bool, notes: Optional[dict[str, Any]]) -> None:
    stage.copy()
    if notes is not None:
        stage.claim(**notes)
    before = sorted(os.listdir(stage.dest))
    stage.clone_state = "stopped"
    stage.first_look()
    with pytest.raises(TaskError, match=r"The virtual machine 'win11-1-arm64' already exists"):
        stage.run(dry=dry)
    assert sorted(os.listdir(stage.dest)) == before


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("name", [f"{NAME}.pvm", f"{NAME}.pvmp", f"{NAME}.pvmi"])
def test_files_that_are_not_ours_are_left_alone(stage: Stage, dry: bool, name: str) -> None:
    (stage.dest / name).write_text("precious")
    stage.first_look()
    if not dry:
        stage.find_clone()
    with pytest.raises(TaskError, match=rf"{name} is in the way of the clone"):
        stage.run(dry=dry)
    assert os.listdir(stage.dest) == [name]
    assert (stage.dest / name).read_text() == "precious"


def register_lost(stage: Stage, path: Path) -> None:
    """The questions that registering asks: what there is, whose that file is, whether the name is free."""
    for look in range(3):
        stage.list()
        if look == 1:
            stage.mac.expect("prlctl", "list", "-i", "-j", SOURCE, out=[stage.mac.info(**stage.facts)])
    stage.mac.expect("prlctl", "register", str(path), "--preserve-uuid=yes")
    stage.clone_state = "stopped"
    facts = stage.mac.home(path)
    for _look in range(2):
        stage.list()
        stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, out=[stage.mac.info(ID=CLONE, Name=NAME, **facts)])
        stage.mac.look(CLONE, Name=NAME, State="stopped", **facts)


@pytest.mark.parametrize(
    ("bundle", "image", "operation", "ending"),
    [
        pytest.param(True, False, "", ".pvm", id="a bundle"),
        pytest.param(False, True, "", ".pvmp", id="an image"),
        pytest.param(True, True, "pack", ".pvm", id="an image half packed"),
        pytest.param(True, True, "unpack", ".pvmp", id="a bundle half unpacked"),
    ],
)
def test_a_clone_that_parallels_lost_is_registered_again(
    stage: Stage, bundle: bool, image: bool, operation: str, ending: str
) -> None:
    if bundle:
        stage.mac.bundle(stage.target, config=f"<VmUuid>{{{CLONE}}}</VmUuid>")
    packed = stage.target.with_suffix(".pvmp")
    if image:
        packed.write_text("image")
    if operation:
        with Claim.take(str(packed)) as claim:
            claim.write(operation=operation, vm=CLONE)
    stage.claim(clone=CLONE)
    stage.first_look()
    assert stage.run(dry=True) == (None, True)
    stage.first_look()
    stage.find_clone()
    register_lost(stage, stage.target.with_suffix(ending))
    vm, changed = stage.run()
    assert (vm.uuid, changed) == (CLONE, True)
    assert [str(stage.target.with_suffix(ending)) in notice for notice in stage.mac.notices] == [True]
    assert (stage.target.exists(), packed.exists()) == (bundle, image)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("content", ["another VM", "a bundle without its configuration"])
def test_what_is_not_the_clone_any_more_is_left_alone(stage: Stage, dry: bool, content: str) -> None:
    if content == "another VM":
        stage.mac.bundle(stage.target, config=f"<VmUuid>{{{SOURCE}}}</VmUuid>")
    else:
        stage.target.mkdir()
    stage.claim(clone=CLONE)
    stage.first_look()
    if not dry:
        stage.find_clone()
    with pytest.raises(TaskError, match=r"it is no longer on Parallels' list, so it was left unchanged. Register it"):
        stage.run(dry=dry)
    assert stage.target.exists()


def test_an_image_that_turns_out_to_be_another_vm_is_unregistered_again(stage: Stage) -> None:
    packed = stage.target.with_suffix(".pvmp")
    packed.write_text("image")
    stage.claim(clone=SOURCE.replace("d", "e"))
    stage.first_look()
    stage.find_clone()
    register_lost(stage, packed)
    stage.mac.expect("prlctl", "unregister", CLONE)
    stage.clone_state = None
    stage.list()
    with pytest.raises(TaskError, match=r"it is no longer on Parallels' list"):
        stage.run()
    assert packed.exists()


def test_a_clone_in_another_folder_is_an_error(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.first_look()
    with pytest.raises(TaskError, match=r"already exists, but in .*bilder ü, not in"):
        stage.run(dest=str(stage.mac.folder))


@pytest.mark.parametrize("name", ["", " ", ".hidden", "a/b"])
def test_a_name_that_is_no_file_name_is_an_error(stage: Stage, name: str) -> None:
    with pytest.raises(TaskError, match=r"is not a valid name for a clone"):
        stage.run(name=name)


@pytest.mark.parametrize("name", ["a\nb", "win11\n", "\x1b[2J", "a\x00", "a\x7f", "a\u202eb", "\udcff"])
def test_a_name_with_what_nobody_sees_is_an_error(stage: Stage, name: str) -> None:
    with pytest.raises(TaskError, match=r"^The name of the clone is .*, which contains a control character") as caught:
        stage.run(name=name)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("dry", [True, False])
def test_a_folder_that_cannot_be_made_is_an_error(stage: Stage, dry: bool) -> None:
    dest = str(stage.mac.executable / "deeper")
    with pytest.raises(TaskError, match=r"There is no folder .* for the clone\..* is not a folder\. Choose another"):
        stage.run(dest=dest, dry=dry)


@pytest.mark.parametrize("dry", [True, False])
def test_a_missing_folder_is_made(stage: Stage, dry: bool) -> None:
    stage.dest.rmdir()
    stage.first_look()
    if not dry:
        stage.under_the_claim()
        stage.cloned()
    assert stage.run(dry=dry)[1]
    assert stage.dest.exists() is not dry


def absent(stage: Stage, dry: bool = False, source: str = SOURCE_NAME) -> tuple[Any, bool]:
    return ensure_no_clone(stage.mac.prl, NAME, source, str(stage.dest), dry=dry)


def test_a_clone_is_removed_and_its_claim_goes_last(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.first_look()
    stage.find_clone()
    stage.list()
    stage.mac.expect(
        "prlctl", "delete", CLONE, then=lambda: stage.clone_notes.append(stage.notes()) or shutil.rmtree(stage.target)
    )
    stage.clone_notes: list[dict[str, Any]] = []
    stage.clone_state = None
    stage.list()
    vm, changed = absent(stage)
    assert (vm.uuid, changed) == (CLONE, True)
    assert stage.clone_notes[0]["removing"] is True
    assert os.listdir(stage.dest) == []


def test_a_removal_that_was_killed_is_ended(stage: Stage) -> None:
    stage.copy()
    image = stage.target.with_suffix(".pvmp")
    image.write_text("image")
    with Claim.take(str(image)) as claim:
        claim.write(operation="pack", vm=CLONE)
    stage.claim(clone=CLONE, removing=True)
    stage.first_look()
    stage.find_clone()
    stage.list()
    assert absent(stage) == (None, True)
    assert os.listdir(stage.dest) == []


def test_what_a_killed_cloning_left_is_removed_and_the_source_started(stage: Stage) -> None:
    stage.copy()
    stage.claim(restart_source=True)
    stage.first_look()
    stage.find_clone()
    stage.start_source()
    stage.list()
    assert absent(stage) == (None, True)
    assert os.listdir(stage.dest) == []


def test_nothing_to_remove(stage: Stage) -> None:
    stage.first_look()
    assert absent(stage) == (None, False)


def test_a_dry_removal_removes_nothing(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.first_look()
    stage.list()
    vm, changed = absent(stage, dry=True)
    assert (vm.uuid, changed) == (CLONE, True)
    assert stage.notes() == {"operation": "clone", "source": SOURCE, "source_name": SOURCE_NAME, "clone": CLONE}


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        (None, "Nothing shows that this collection made 'win11-1-arm64'"),
        ({"source": CLONE}, "Nothing shows that this collection made 'win11-1-arm64'"),
        ({"clone": SOURCE}, "describes another virtual machine"),
    ],
)
def test_what_is_not_our_clone_is_not_removed(
    stage: Stage, dry: bool, notes: Optional[dict[str, Any]], sentence: str
) -> None:
    stage.copy()
    if notes is not None:
        stage.claim(**notes)
    stage.clone_state = "stopped"
    stage.first_look()
    with pytest.raises(TaskError, match=sentence):
        absent(stage, dry)
    assert stage.target.exists()


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_running_clone_is_not_removed(stage: Stage, state: str) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = state
    stage.first_look()
    stage.find_clone()
    stage.list()
    with pytest.raises(TaskError, match=rf"is {state}, so it was not removed. Shut it down first"):
        absent(stage)
    assert "removing" not in stage.notes()


def test_an_unregistered_clone_is_not_removed(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.first_look()
    stage.list()
    with pytest.raises(TaskError, match=r"it is no longer on Parallels' list, so it was left unchanged"):
        absent(stage)
    assert stage.target.exists()


@pytest.mark.parametrize(("name", "removed"), [(NUMBERED, True), (f"{NAME} 1", False), ("somebody's", False)])
def test_a_clone_whose_name_parallels_numbered_is_removed_by_uuid_and_bundle(
    stage: Stage, name: str, removed: bool
) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.find_source()
    there = ((SOURCE, SOURCE_NAME, "stopped"), (CLONE, name, "stopped"))
    stage.mac.list(*there)
    stage.mac.list(*there)
    if removed:
        for _look in range(2):
            stage.mac.look(CLONE, Name=name, **stage.mac.home(stage.target))
            stage.mac.list(*there)
        stage.mac.expect("prlctl", "delete", CLONE)
        stage.list()
        assert absent(stage)[1]
    else:
        with pytest.raises(TaskError, match=r"so it was left unchanged"):
            absent(stage)
    assert stage.target.exists() is not removed


SNAPSHOT = {"{64d481bb-ce04-45b1-8328-49e4e4c43ddf}": {"name": "base", "parent": ""}}


@pytest.mark.parametrize("dry", [True, False])
def test_a_source_that_cannot_be_read_does_not_keep_its_clone(stage: Stage, dry: bool) -> None:
    """Nothing of the source but its entry is needed, and it cannot be a linked clone of its own clone."""
    shutil.rmtree(stage.facts["Home"])  # its disk is not connected
    stage.copy()
    stage.claim(clone=CLONE)
    stage.state, stage.clone_state = "invalid", "stopped"
    clone = {"Name": NAME, **stage.mac.home(stage.target)}
    stage.list()
    stage.mac.expect("prlctl", "list", "-i", "-j", SOURCE, out=[stage.mac.info(State="invalid", **stage.facts)])
    for _try in range(3):
        stage.mac.expect("prlctl", "snapshot-list", SOURCE, "-j", rc=255, err="The disk is not there.")
    for _look in range(1 if dry else 2):
        stage.list()
        stage.mac.look(CLONE, SNAPSHOT, **clone)
    stage.list()  # whether it runs
    stage.list()  # whether linked clones depend on it
    stage.mac.expect("prlctl", "list", "-i", "-j", SOURCE, out=[stage.mac.info(**stage.facts)])
    if not dry:
        stage.mac.expect("prlctl", "delete", CLONE)
        stage.clone_state = None
        stage.list()
    assert absent(stage, dry)[1]
    assert stage.target.exists() is dry


def test_another_vm_that_cannot_be_read_still_may_be_a_linked_clone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    other = "99999999-0000-0000-0000-000000000000"
    there = ((SOURCE, SOURCE_NAME, "stopped"), (CLONE, NAME, "stopped"), (other, "new", "stopped"))
    stage.mac.list(*there).look(SOURCE, Name=SOURCE_NAME, **stage.facts)
    stage.mac.list(*there).look(CLONE, SNAPSHOT, Name=NAME, **stage.mac.home(stage.target))
    stage.mac.list(*there).list(*there)
    stage.mac.expect("prlctl", "list", "-i", "-j", SOURCE, out=[stage.mac.info(**stage.facts)])
    stage.mac.expect("prlctl", "list", "-i", "-j", other, out=[stage.mac.info(Home="/not/there.pvm/")])
    with pytest.raises(TaskError, match=r"'new': /not/there.pvm/config.pvs does not exist.*force: true") as caught:
        absent(stage, dry=True)
    assert caught.value.details["unreadable"] == [other]


def test_a_source_that_cannot_be_started_again_does_not_keep_its_clone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE, restart_source=True)
    stage.clone_state = "stopped"
    stage.first_look()
    stage.find_clone()
    stage.list()
    for _try in range(3):
        stage.list()
        stage.mac.expect("prlctl", "start", SOURCE, rc=255, err="Out of disk space.")
        stage.list()
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.clone_state = None
    stage.list()
    assert absent(stage)[1]
    assert os.listdir(stage.dest) == []
    assert "was running before and could not be started again" in stage.mac.notices[0]
    assert f"'{NAME}' was removed nevertheless." in stage.mac.notices[0]
    assert read_claim(os.path.join(os.path.expanduser(source_module.FOLDER), SOURCE))["restart"] is True


def test_a_folder_under_another_name_is_the_same(stage: Stage) -> None:
    """Parallels reports the bundle by another path than the one that is given: through a link, with a slash."""
    stage.copy()
    image = stage.target.with_suffix(".pvmp")
    image.write_text("of somebody else")
    link = stage.mac.folder / "link"
    link.symlink_to(stage.dest)
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.find_source()
    stage.find_clone(**stage.mac.home(link / stage.target.name))
    stage.find_clone()
    stage.list()
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.clone_state = None
    stage.list()
    assert absent(stage)[1]
    assert os.listdir(stage.dest) == [image.name]


def test_the_claim_of_a_clone_removed_by_name_is_taken_away(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.find_clone()
    vm = get_vm(stage.mac.prl, NAME)
    forget_clone(replace(vm, uuid=SOURCE))
    assert os.path.exists(claim_path(str(stage.target)))
    forget_clone(vm)
    assert os.listdir(stage.dest) == [f"{NAME}.pvm"]


def test_a_packed_clone_is_removed_with_its_image(stage: Stage, tmp_path: Path) -> None:
    image = stage.target.with_suffix(".pvmp")
    image.write_text("image")
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.find_source()
    for _look in range(2):
        stage.find_clone(**stage.mac.home(image))
    stage.list()
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.clone_state = None
    stage.list()
    vm, changed = absent(stage)
    assert vm.packed
    assert changed
    assert os.listdir(stage.dest) == []


def test_a_clone_that_another_run_has_removed_meanwhile_is_gone(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.first_look()
    holder = Claim.take(str(stage.target))

    def finish(_seconds: float) -> None:
        shutil.rmtree(stage.target)
        holder.remove()

    stage.mac.prl.sleep = finish
    stage.clone_state = None
    stage.find_clone()
    assert absent(stage) == (None, False)
    assert os.listdir(stage.dest) == []


def test_a_clone_that_goes_between_two_looks_is_gone(stage: Stage) -> None:
    stage.find_source()
    stage.clone_state = "stopped"
    stage.list()
    stage.mac.expect("prlctl", "list", "-i", "-j", CLONE, rc=255, err="The virtual machine could not be found.")
    stage.clone_state = None
    stage.list()
    assert absent(stage) == (None, False)


def test_a_vm_that_another_run_has_made_meanwhile_is_not_removed(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    stage.clone_state = "stopped"
    stage.first_look()
    holder = Claim.take(str(stage.target))

    def finish(_seconds: float) -> None:
        holder.write(operation="clone", source=CLONE, source_name="else", clone=CLONE)
        holder.release()

    stage.mac.prl.sleep = finish
    stage.find_clone()
    with pytest.raises(TaskError, match=r"Nothing shows that this collection made 'win11-1-arm64'"):
        absent(stage)
    assert stage.target.exists()


def test_a_clone_of_another_source_that_was_made_meanwhile_is_not_used(stage: Stage) -> None:
    stage.first_look()
    holder = Claim.take(str(stage.target))

    def finish(_seconds: float) -> None:
        stage.copy()
        holder.write(operation="clone", source=CLONE, source_name="else", clone=CLONE)
        holder.release()

    stage.mac.prl.sleep = finish
    stage.clone_state = "stopped"
    stage.find_clone()
    with pytest.raises(TaskError, match=r"The virtual machine 'win11-1-arm64' already exists"):
        stage.run()
    assert stage.notes()["source"] == CLONE


def test_a_removal_that_was_killed_is_ended_before_the_clone_is_made_again(stage: Stage) -> None:
    image = stage.target.with_suffix(".pvmp")
    image.write_text("image")
    stage.claim(clone=CLONE, removing=True, image=True)
    stage.first_look()
    stage.find_clone()
    stage.list()
    stage.find_source()
    stage.list()
    stage.cloned()
    _vm, changed = stage.run()
    assert changed
    assert not image.exists()
    assert "removing" not in stage.notes()
    assert len(stage.mac.notices) == 1
    assert str(image) in stage.mac.notices[0]


def test_an_image_of_others_beside_a_clone_is_not_removed_with_it(stage: Stage) -> None:
    stage.copy()
    stage.claim(clone=CLONE)
    image = stage.target.with_suffix(".pvmp")
    image.write_text("precious")
    stage.clone_state = "stopped"
    stage.first_look()
    stage.find_clone()
    stage.list()
    stage.mac.expect("prlctl", "delete", CLONE)
    stage.clone_state = None
    stage.list()
    assert absent(stage)[1]
    assert os.listdir(stage.dest) == [image.name]


def test_what_a_killed_cloning_left_is_named_with_its_size_and_look_alikes_stay(stage: Stage) -> None:
    stage.mac.bundle(stage.target, disk=b"half")
    stage.claim()
    others = [f"{NAME}.pvm.tmp", f"{NAME}.pvmp.part", f".{NAME}2.pvm.claim.json", f"{NAME}2.pvm", ".x.tmp"]
    for name in others:
        (stage.dest / name).write_text("precious")
    stage.first_look()
    stage.find_clone()
    stage.list()
    stage.find_source()
    stage.list()
    stage.cloned()
    stage.run()
    assert len(stage.mac.notices) == 1
    assert re.match(
        rf"{re.escape(str(stage.target))} \(.* \(\d+ bytes\)\): leftovers of an earlier run", stage.mac.notices[0]
    )
    assert all((stage.dest / name).read_text() == "precious" for name in others)


def test_a_claim_that_a_killed_run_left_alone_is_named(stage: Stage) -> None:
    stage.claim()
    stage.first_look()
    stage.under_the_claim()
    stage.mac.calls.insert(4, stage.mac.calls[0])  # whether Parallels knows something of that name
    stage.cloned()
    stage.run()
    assert len(stage.mac.notices) == 1
    assert claim_path(str(stage.target)) in stage.mac.notices[0]


def test_cloning_tells_how_far_it_is(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone_module, "watched", functools.partial(watched, every=0.01))
    reports: list[tuple[int, Optional[int]]] = []

    def copy_slowly() -> None:
        stage.copy()
        end = time.monotonic() + 5
        while (not reports or not reports[-1][0]) and time.monotonic() < end:
            time.sleep(0.01)

    stage.first_look()
    stage.under_the_claim()
    stage.clone(then=copy_slowly)
    stage.clone_state = "stopped"
    stage.list()
    stage.find_clone()
    ensure_clone(stage.mac.prl, stage.order, dry=False, report=lambda done, total: reports.append((done, total)))
    whole = bytes_on_disk(str(stage.target))
    assert reports[-1] == (whole, whole)


def test_a_disk_that_fills_up_ends_with_the_numbers(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()
    stage.clone(rc=255, err="Out of disk space.")
    stage.list()
    stage.list()
    with pytest.raises(TaskError) as caught:
        stage.run()
    assert re.search(r"bilder ü has .* free now, and a clone of 'Quelle Übung' needs up to ", caught.value.message)
    assert caught.value.details["path"] == str(stage.dest)
    assert caught.value.details["free_bytes"] > caught.value.details["needed_bytes"] > 5000


@pytest.mark.parametrize("shuts_down", [True, False])
def test_a_source_that_was_told_to_shut_down_is_started_again_after_an_interruption(
    stage: Stage, shuts_down: bool
) -> None:
    stage.state = "running"
    stage.first_look()
    stage.under_the_claim()

    def interrupt() -> None:
        raise Interrupted("It was canceled.")

    stage.list()
    stage.mac.expect("prlctl", "stop", SOURCE, "--noforce", then=interrupt)
    if shuts_down:
        stage.list()
        stage.state = "stopped"
        stage.list()
        stage.start_source()
    else:
        for _look in range(4):
            stage.list()
    with pytest.raises(Interrupted):
        stage.run(stop_source=True, stop_timeout=2)
    assert bool(stage.notes().get("restart_source")) is not shuts_down


def test_an_interrupted_cloning_waits_until_nobody_writes(stage: Stage) -> None:
    stage.first_look()
    stage.under_the_claim()

    def interrupt() -> None:
        stage.copy()
        raise Interrupted("It was canceled.")

    stage.clone(then=interrupt)
    stage.list()
    before = stage.mac.now
    with pytest.raises(Interrupted):
        stage.run()
    assert stage.mac.now - before >= 20
    assert os.listdir(stage.dest) == []


NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def make_foreign(path: Path, inner: str = "") -> None:
    os.chown(path / inner, 12345, 12345)


def make_writable(path: Path, inner: str = "") -> None:
    (path / inner).chmod(0o777)


def make_link(path: Path, inner: str = "") -> None:
    (path / inner).rename(path.parent / "elsewhere")
    (path / inner).symlink_to(path.parent / "elsewhere")


class TestFilesOfOtherUsers:
    """The claim is ours. What lies under the name of the clone is not, or is not ours alone."""

    @pytest.mark.parametrize("inner", ["", "config.pvs"])
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            pytest.param(make_foreign, "it belongs to the user 12345", marks=NEEDS_ROOT),
            (make_writable, "it is writable for"),
            (make_link, "it is a symbolic link"),
        ],
    )
    def test_a_lost_clone_is_registered_only_if_it_is_ours(
        self, stage: Stage, inner: str, change: Callable[[Path, str], None], why: str
    ) -> None:
        stage.mac.bundle(stage.target, config=f"<VmUuid>{{{CLONE}}}</VmUuid>")
        change(stage.target, inner)
        stage.claim(clone=CLONE)
        stage.first_look()
        stage.find_clone()
        # Of a link to the configuration it is not even known whose bundle it is.
        with pytest.raises(TaskError, match=rf"another user may have put it there: .*{why}.*It was not registered"):
            stage.run()
        assert os.path.lexists(stage.target)

    @NEEDS_ROOT
    def test_a_clone_that_was_exchanged_is_not_used(self, stage: Stage) -> None:
        stage.copy()
        stage.claim(clone=CLONE)
        stage.clone_state = "stopped"
        make_foreign(stage.target)
        stage.first_look()
        with pytest.raises(TaskError, match=rf"{NAME}.pvm is not a file of this user: it belongs to the user 12345"):
            stage.run()
        stage.first_look()
        stage.find_clone()
        stage.list()
        with pytest.raises(TaskError, match=rf"it belongs to the user 12345. '{NAME}' was not removed"):
            absent(stage)
        assert stage.target.exists()

    @NEEDS_ROOT
    def test_what_was_put_in_place_of_leftovers_stays(self, stage: Stage) -> None:
        stage.copy()
        make_foreign(stage.target)
        stage.claim()
        stage.first_look()
        stage.find_clone()
        with pytest.raises(TaskError, match=rf"{NAME}.pvm is not a file of this user: it belongs to the user 12345"):
            stage.run()
        assert stage.target.exists()

    @NEEDS_ROOT
    def test_the_owner_of_what_is_in_the_way_is_named(self, stage: Stage) -> None:
        stage.copy()
        make_foreign(stage.target)
        stage.first_look()
        stage.find_clone()
        with pytest.raises(TaskError, match=rf"{NAME}.pvm \(it belongs to the user 12345\) is in the way of the clone"):
            stage.run()

    @NEEDS_ROOT
    def test_what_changes_for_ever_is_not_waited_for(self, stage: Stage) -> None:
        """In place of a clone whose removal has begun."""
        stage.copy()
        make_foreign(stage.target)
        stage.claim(clone=CLONE, removing=True)
        stage.first_look()
        stage.find_clone()
        with pytest.raises(TaskError, match=rf"{NAME}.pvm is not a file of this user: it belongs to the user 12345"):
            stage.run()
        assert stage.mac.slept == []
        assert stage.target.exists()
