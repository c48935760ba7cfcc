# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing and unpacking, and mending what a killed packing left."""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
from dataclasses import replace
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import space
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import bytes_on_disk
from ansible_collections.macops.parallels.plugins.module_utils._common.progress import watched
from ansible_collections.macops.parallels.plugins.module_utils._parallels import pack as pack_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.pack import (
    PackOrder,
    image_facts,
    pack,
    target_of,
    unpack,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OTHER = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"
SNAPSHOT = {"{64d481bb-ce04-45b1-8328-49e4e4c43ddf}": {"name": "base", "parent": ""}}


class Stage:
    """A Mac with one VM, and what packing it asks Parallels."""

    def __init__(self, mac: Any) -> None:
        self.mac = mac
        self.folder = mac.folder / "bilder ü"
        self.folder.mkdir()
        self.bundle = self.folder / "win 11.pvm"
        self.image = self.folder / "win 11.pvmp"
        self.state = "stopped"
        self.home = self.bundle
        self.facts: dict[str, Any] = {}
        self.snapshots: Any = ""
        mac.bundle(self.bundle)

    def list(self) -> None:
        self.mac.list((UUID, "win 11", self.state))

    def look(self) -> None:
        self.list()
        facts = {**self.mac.home(self.home), "Name": "win 11", "State": self.state, **self.facts}
        self.mac.look(UUID, self.snapshots, **facts)

    def vm(self) -> Vm:
        self.look()
        return get_vm(self.mac.prl, "win 11")

    def under_the_claim(self) -> None:
        """The look at the VM, once the claim is held."""
        self.list()
        self.look()

    def run(self, verb: str, rc: int = 0, err: str = "", then: Optional[Callable[[], Any]] = None) -> None:
        self.mac.expect("prlctl", verb, UUID, rc=rc, err=err, then=then)

    def is_home(self, path: Any) -> None:
        """Answer the question where the VM is after a change."""
        self.home = path
        self.list()
        self.mac.expect("prlctl", "list", "-i", "-j", UUID, out=[self.mac.info(**self.mac.home(path))])

    def packed(self) -> None:
        shutil.rmtree(self.bundle)
        self.image.write_bytes(b"image")

    def unpacked(self) -> None:
        self.image.unlink()
        self.mac.bundle(self.bundle)

    def claim(self, operation: str = "pack", vm: str = UUID) -> None:
        with Claim.take(str(self.image)) as claim:
            claim.write(operation=operation, vm=vm, name="win 11")

    def files(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture
def stage(mac: Any) -> Stage:
    return Stage(mac)


def packing(stage: Stage, dry: bool = False, **order: Any) -> bool:
    return pack(stage.mac.prl, stage.vm(), PackOrder(**order), dry=dry)


def test_a_vm_is_packed_and_the_image_proven(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", then=stage.packed)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert image_facts(stage.vm()) == {"path": str(stage.image), "size": 5}
    assert stage.files() == ["win 11.pvmp"]
    assert [len(descriptors) for descriptors in stage.mac.descriptors].count(1) == 1


def test_a_packed_vm_is_left_alone(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    assert packing(stage) is False
    assert stage.files() == ["win 11.pvmp"]


def test_a_vm_is_unpacked_and_proven(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("unpack", then=stage.unpacked)
    stage.is_home(stage.bundle)
    stage.look()
    assert unpack(stage.mac.prl, vm, 60, dry=False)
    assert image_facts(stage.vm()) == {"path": str(stage.bundle)}
    assert stage.files() == ["win 11.pvm"]


def test_an_unpacked_vm_is_left_alone(stage: Stage) -> None:
    assert unpack(stage.mac.prl, stage.vm(), 60, dry=False) is False


def test_a_dry_run_names_the_target_and_changes_nothing(stage: Stage) -> None:
    assert packing(stage, dry=True)
    assert target_of(stage.vm(), "pack") == str(stage.image)
    assert stage.files() == ["win 11.pvm"]
    stage.packed()
    stage.home = stage.image
    assert unpack(stage.mac.prl, stage.vm(), 60, dry=True)
    assert target_of(stage.vm(), "unpack") == str(stage.bundle)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("state", "facts", "snapshots", "sentence"),
    [
        ("running", {}, "", "it is running. Shut it down first"),
        ("paused", {}, "", "it is paused. Shut it down first"),
        ("suspended", {}, "", "it is suspended, .* Resume it and shut it down"),
        ("invalid", {}, "", "its files are missing or unreadable"),
        ("stopped", {"Security": {"Encrypted": "yes"}}, "", "it is encrypted.*allow_encrypted: true"),
        ("stopped", {}, SNAPSHOT, "it has 1 snapshots.*allow_snapshots: true"),
        ("stopped", {"Home": "/p/Sonoma.macvm/"}, "", "is not a .pvm bundle"),
    ],
)
def test_what_must_not_be_packed(
    stage: Stage, dry: bool, state: str, facts: dict[str, Any], snapshots: Any, sentence: str
) -> None:
    stage.state, stage.facts, stage.snapshots = state, facts, snapshots
    if "Home" in facts:
        stage.facts = {"Home": f"{stage.folder}/Sonoma.macvm/"}
    vm = stage.vm()
    if not dry:
        stage.under_the_claim()
    with pytest.raises(TaskError, match=rf"'win 11' was not packed: .*{sentence}") as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=dry)
    assert caught.value.details == {"state": state}
    assert stage.files() == ["win 11.pvm"]


def test_a_linked_clone_is_not_packed(stage: Stage) -> None:
    shutil.rmtree(stage.bundle)
    stage.mac.bundle(stage.bundle, config=f"<LinkedVmUuid>{{{OTHER}}}</LinkedVmUuid>")
    with pytest.raises(TaskError, match=r"it is a linked clone.*Make a full clone"):
        packing(stage, dry=True)


def test_work_that_does_not_end_is_not_disturbed(stage: Stage) -> None:
    stage.state = "levitating"
    with pytest.raises(TaskError, match=r"Parallels is working on it \(levitating\)"):
        packing(stage, dry=True)


def test_what_is_allowed_is_packed(stage: Stage) -> None:
    stage.snapshots = SNAPSHOT
    stage.facts = {"Security": {"Encrypted": "yes"}}
    vm = stage.vm()
    stage.under_the_claim()
    stage.list()  # whether linked clones depend on it
    stage.run("pack", then=stage.packed)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(allow_snapshots=True, allow_encrypted=True), dry=False)


@pytest.mark.parametrize("security", [{}, {"Encrypted": ""}, {"Encrypted": "Yes?"}, "none", None])
def test_a_vm_that_may_be_encrypted_is_not_packed(stage: Stage, security: Any) -> None:
    stage.facts = {"Security": security}
    with pytest.raises(
        TaskError, match=r"it is not known whether it is encrypted, because .* Or allow it \(allow_encrypted"
    ):
        packing(stage, dry=True)
    assert packing(stage, dry=True, allow_encrypted=True)


def test_a_vm_that_may_be_a_linked_clone_is_not_packed(stage: Stage) -> None:
    (stage.bundle / "config.pvs").write_text("<cut off")
    with pytest.raises(TaskError, match=r"it is not known whether it is a linked clone\. .*config.pvs is not complete"):
        packing(stage, dry=True)


@pytest.mark.parametrize(
    "work", [lambda *args: pack(*args, PackOrder(), dry=True), lambda *args: unpack(*args, 9, dry=True)]
)
def test_a_vm_whose_place_is_not_known_is_neither_packed_nor_unpacked(stage: Stage, work: Any) -> None:
    stage.facts = {"Home": "", "Home path": ""}
    with pytest.raises(
        TaskError, match=r"'win 11' cannot be (un)?packed: Parallels does not report where its files are"
    ):
        work(stage.mac.prl, stage.vm())


def test_a_template_is_not_packed(stage: Stage) -> None:
    stage.facts = {"Template": "yes"}
    with pytest.raises(TaskError, match=r"is a template, so it was not packed\. Convert it .*--template off"):
        packing(stage, dry=True)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("readable", [True, False])
def test_linked_clones_are_not_lost_with_a_packed_vm(stage: Stage, dry: bool, force: bool, readable: bool) -> None:
    clone = stage.mac.bundle(stage.folder / "clone.pvm", config=f"<LinkedVmUuid>{{{UUID}}}</LinkedVmUuid>")
    if not readable:
        shutil.rmtree(stage.folder / "clone.pvm")
    stage.snapshots = SNAPSHOT
    vm = stage.vm()
    if not dry:
        stage.under_the_claim()
    order = PackOrder(allow_snapshots=True, force=force)
    if force:
        if not dry:
            stage.run("pack", then=stage.packed)
            stage.is_home(stage.image)
            stage.look()
        assert pack(stage.mac.prl, vm, order, dry=dry)
        return
    stage.mac.list((UUID, "win 11", "stopped"), (OTHER, "The clone", "stopped"))
    stage.mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[stage.mac.info(**clone)])
    words = (
        r"would be lost with them: 'The clone'" if readable else r"'The clone': .*clone.pvm/config.pvs does not exist"
    )
    with pytest.raises(TaskError, match=words) as caught:
        pack(stage.mac.prl, vm, order, dry=dry)
    assert caught.value.details == {"linked_clones" if readable else "unreadable": [OTHER]}
    assert stage.bundle.is_dir()
    assert not stage.image.exists()


@pytest.mark.parametrize("dry", [True, False])
def test_a_full_disk_is_found_before(stage: Stage, monkeypatch: pytest.MonkeyPatch, dry: bool) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: 1000)
    vm = stage.vm()
    if not dry:
        stage.under_the_claim()
    words = r"Packing .* needs up to .*, but only 1.0 kB \(1000 bytes\) are free"
    with pytest.raises(TaskError, match=words) as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=dry)
    assert caught.value.details == {
        "path": str(stage.folder),
        "free_bytes": 1000,
        "needed_bytes": vm.bytes_on_disk,
    }
    assert stage.files() == ["win 11.pvm"]


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(("operation", "vm"), [("", ""), ("unpack", UUID), ("pack", OTHER)])
def test_an_image_that_is_not_ours_is_left_alone(stage: Stage, dry: bool, operation: str, vm: str) -> None:
    stage.image.write_text("precious")
    if operation:
        stage.claim(operation, vm)
    before = stage.files()
    found = stage.vm()
    if not dry:
        stage.under_the_claim()
    with pytest.raises(TaskError, match=r"win 11.pvmp is in the way: 'win 11' would be packed into it"):
        pack(stage.mac.prl, found, PackOrder(), dry=dry)
    assert stage.files() == before
    assert stage.image.read_text() == "precious"


def test_what_a_killed_packing_left_is_removed_and_packed_again(stage: Stage) -> None:
    stage.image.write_text("half")
    stage.claim()
    vm = stage.vm()
    stage.under_the_claim()
    stage.under_the_claim()
    stage.list()
    there: list[bool] = []
    stage.run("pack", then=lambda: (there.append(stage.image.exists()), stage.packed()))
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert there == [False]
    assert stage.files() == ["win 11.pvmp"]
    assert len(stage.mac.notices) == 1
    assert re.match(rf"{re.escape(str(stage.image))} \(.*\d+ bytes\)* was left incomplete by an", stage.mac.notices[0])


LOOK_ALIKES = ("win 11.pvmp.part", "win 12.pvmp.tmp", "win 11.pvmp.tmp2", ".win 12.pvmp.claim.json", ".x.tmp")


@pytest.mark.parametrize("stranger", [True, False])
def test_what_a_killed_packing_left_under_a_temporary_name_is_removed_and_look_alikes_stay(
    stage: Stage, stranger: bool
) -> None:
    temporary = stage.folder / "win 11.pvmp.tmp"
    temporary.write_text("half")
    with Claim.take(str(stage.image)) as claim:
        strangers = [str(temporary)] if stranger else []
        claim.write(operation="pack", vm=UUID, name="win 11", strangers=strangers)
    for name in LOOK_ALIKES:
        (stage.folder / name).write_text("precious")
    vm = stage.vm()
    stage.under_the_claim()
    if not stranger:
        stage.under_the_claim()
        stage.list()
    stage.run("pack", then=stage.packed)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert temporary.exists() is stranger
    assert stage.files() == sorted([*LOOK_ALIKES, "win 11.pvmp", *(["win 11.pvmp.tmp"] if stranger else [])])
    assert all((stage.folder / name).read_text() == "precious" for name in LOOK_ALIKES)
    assert len(stage.mac.notices) == 1


def test_a_temporary_file_that_was_there_before_is_not_taken_for_ours(stage: Stage) -> None:
    temporary = stage.folder / "win 11.pvmp.tmp"
    temporary.write_text("precious")
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=255, err="Out of disk space.", then=lambda: stage.image.write_text("half"))
    stage.is_home(stage.bundle)
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"Out of disk space"):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == ["win 11.pvm", "win 11.pvmp.tmp"]
    assert temporary.read_text() == "precious"


def test_packing_under_a_temporary_name_goes_on(stage: Stage) -> None:
    temporary = stage.folder / "win 11.pvmp.tmp"
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=-9, then=lambda: temporary.write_text("half"))
    for _look in range(7):
        stage.is_home(stage.bundle)

    def grow(seconds: float) -> None:
        stage.mac.now += seconds
        temporary.write_text("x" * int(stage.mac.now))

    stage.mac.prl.sleep = grow
    with pytest.raises(TaskError, match=r"Parallels is still working on it") as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert caught.value.details["left_behind"] == [str(stage.bundle), str(temporary)]
    assert temporary.exists()


def test_an_interrupted_packing_waits_until_nobody_writes_and_cleans_up(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()

    def interrupt() -> None:
        stage.image.write_text("half")
        raise Interrupted("It was canceled.")

    stage.run("pack", then=interrupt)
    stage.under_the_claim()
    before = stage.mac.now
    with pytest.raises(Interrupted):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.mac.now - before >= 20
    assert stage.files() == ["win 11.pvm"]


def test_packing_tells_how_far_it_is(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "watched", functools.partial(watched, every=0.01))
    reports: list[tuple[int, Optional[int]]] = []
    vm = stage.vm()
    vm.measure()
    temporary = stage.folder / "win 11.pvmp.tmp"

    def wait_for(count: int) -> None:
        end = time.monotonic() + 5
        while (not reports or reports[-1][0] != count) and time.monotonic() < end:
            time.sleep(0.01)

    def pack_slowly() -> None:
        temporary.write_bytes(b"x" * 5000)
        wait_for(bytes_on_disk(str(temporary)))
        temporary.rename(stage.image)
        with open(stage.image, "ab") as image:
            image.write(b"x" * 50_000)
        wait_for(bytes_on_disk(str(stage.image)))
        shutil.rmtree(stage.bundle)

    stage.under_the_claim()
    stage.run("pack", then=pack_slowly)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False, report=lambda *told: reports.append(told))
    assert reports[-1] == (bytes_on_disk(str(stage.image)), vm.bytes_on_disk)
    assert [done for done, _total in reports] == sorted(done for done, _total in reports)


def test_what_a_killed_run_left_and_parallels_still_writes_is_left(stage: Stage) -> None:
    stage.image.write_text("half")
    stage.claim()
    vm = stage.vm()
    stage.under_the_claim()

    def grow(seconds: float) -> None:
        stage.mac.now += seconds
        stage.image.write_text("x" * int(stage.mac.now))

    stage.mac.prl.sleep = grow
    with pytest.raises(TaskError, match=r"Parallels is still writing .*win 11.pvmp. Wait until it has finished"):
        pack(stage.mac.prl, vm, PackOrder(timeout=60), dry=False)
    assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvm", "win 11.pvmp"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_packing_whose_program_was_killed_may_go_on(stage: Stage, goes_on: bool) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=-9, then=lambda: stage.image.write_text("half"))
    for _look in range(7):
        stage.is_home(stage.bundle)
    if not goes_on:
        stage.under_the_claim()

    def grow(seconds: float) -> None:
        stage.mac.now += seconds
        if goes_on:
            stage.image.write_text("x" * int(stage.mac.now))

    stage.mac.prl.sleep = grow
    before = stage.mac.now
    with pytest.raises(TaskError, match=r"killed by another process") as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert ("left_behind" in caught.value.details) is goes_on
    if goes_on:
        assert "Parallels is still working on it" in caught.value.message
        assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvm", "win 11.pvmp"]
    else:
        assert stage.mac.now - before >= 20
        assert stage.files() == ["win 11.pvm"]


def test_a_claim_of_a_packing_that_was_killed_after_its_end_is_taken_away(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    stage.claim()
    assert packing(stage, dry=True) is False
    assert read_claim(str(stage.image)) != {}
    vm = stage.vm()
    stage.under_the_claim()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False) is False
    assert stage.files() == ["win 11.pvmp"]
    assert len(stage.mac.notices) == 1
    assert ".win 11.pvmp.claim.json" in stage.mac.notices[0]


def test_an_unpacking_that_was_killed_after_its_end_is_ended(stage: Stage) -> None:
    stage.claim("unpack")
    (stage.folder / "win 11.pvmp.sha256").write_text("old")
    vm = stage.vm()
    stage.under_the_claim()
    assert unpack(stage.mac.prl, vm, 60, dry=False) is False
    assert stage.files() == ["win 11.pvm"]
    assert len(stage.mac.notices) == 1


def test_a_claim_that_another_run_has_taken_since_is_left(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    stage.claim()
    vm = stage.vm()
    holder = Claim.take(str(stage.image))

    def unpack_half(_seconds: float) -> None:
        holder.write(operation="unpack", vm=UUID, name="win 11", strangers=[])
        holder.release()

    stage.mac.prl.sleep = unpack_half
    stage.under_the_claim()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False) is False
    assert stage.mac.notices == []


def test_a_packing_that_is_still_at_work_is_waited_for(stage: Stage) -> None:
    vm = stage.vm()
    holder = Claim.take(str(stage.image))
    holder.write(operation="pack", vm=UUID)

    def finish(_seconds: float) -> None:
        stage.packed()
        holder.release()

    stage.mac.prl.sleep = finish
    stage.home = stage.image
    stage.under_the_claim()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == ["win 11.pvmp"]


def test_a_success_with_a_different_state_is_a_success(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=255, err="PrlJob_GetRetCode: Invalid argument.", then=stage.packed)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)


@pytest.mark.parametrize(
    ("rc", "err", "sentence", "looks"),
    [
        (255, "Not enough free space on the physical disk drive /.", "The disk is full", 1),
        (255, "This feature is not available in this edition of Parallels Desktop.", "Pro, Business or Enterprise", 1),
        (-9, "", "killed by another process", 7),
        (0, "", "reported success, but a check shows that it did not pack", 7),
    ],
)
@pytest.mark.parametrize("half_made", [True, False])
def test_a_failed_packing_is_cleaned_up(
    stage: Stage, rc: int, err: str, sentence: str, looks: int, half_made: bool
) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=rc, err=err, then=lambda: half_made and stage.image.write_text("half"))
    for _look in range(looks):
        stage.is_home(stage.bundle)
    stage.under_the_claim()
    with pytest.raises(TaskError, match=sentence) as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert f"'win 11' is unchanged, in {stage.bundle}" in caught.value.message
    assert ("incomplete" in caught.value.message) is half_made
    assert ("free now, and packing 'win 11' needs up to" in caught.value.message) is ("free space" in err)
    assert "left_behind" not in caught.value.details
    assert stage.files() == ["win 11.pvm"]


def test_what_a_broken_packing_leaves_is_named(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()

    def lose() -> None:
        shutil.rmtree(stage.bundle)
        stage.image.write_bytes(b"")

    stage.run("pack", then=lose)
    stage.is_home(stage.image)
    stage.look()
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"is packed in .*win 11.pvmp, but that is an empty file") as caught:
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert "Nothing was removed" in caught.value.message
    assert caught.value.details["left_behind"] == [str(stage.image)]
    assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvmp"]


@pytest.mark.parametrize("image", [b"", None])
def test_a_vm_that_was_replaced_by_nothing_is_registered_again(stage: Stage, image: Optional[bytes]) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", then=lambda: image is not None and stage.image.write_bytes(image))
    stage.is_home(stage.image)
    stage.look()
    stage.under_the_claim()
    stage.mac.expect("prlctl", "unregister", UUID)
    for _look in range(4):  # that it is gone, what is registered, what may hold that file, whether the name is free
        stage.mac.list((OTHER, "else", "stopped"))
        if _look == 2:
            stage.mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[stage.mac.info(Home="/p/else.pvm/")])
    stage.mac.expect("prlctl", "register", str(stage.bundle), "--preserve-uuid=yes")
    stage.home = stage.bundle
    for _look in range(2):
        stage.is_home(stage.bundle)
        stage.mac.look(UUID, Name="win 11", **stage.mac.home(stage.bundle))
    with pytest.raises(TaskError, match=r"'win 11' is unchanged"):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == ["win 11.pvm"]


def test_a_bundle_that_parallels_left_is_remembered_and_taken_back(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", then=lambda: stage.image.write_bytes(b"image"))
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvm", "win 11.pvmp"]
    vm = stage.vm()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False) is False
    assert unpack(stage.mac.prl, vm, 60, dry=True)
    stage.under_the_claim()
    stage.mac.expect("prlctl", "unregister", UUID)
    for _look in range(4):
        stage.mac.list((OTHER, "else", "stopped"))
        if _look == 2:
            stage.mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[stage.mac.info(Home="/p/else.pvm/")])
    stage.mac.expect("prlctl", "register", str(stage.bundle), "--preserve-uuid=yes")
    for _look in range(2):
        stage.is_home(stage.bundle)
        stage.mac.look(UUID, Name="win 11", **stage.mac.home(stage.bundle))
    assert unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.files() == ["win 11.pvm"]
    assert notes_of_unlisted() == []


def notes_of_unlisted() -> list[str]:
    return os.listdir(os.path.expanduser("~/.ansible/macops.parallels/unregistered"))


class Unlisting:
    """What a bundle that is taken back asks Parallels: each step, and what follows it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.mac = stage.mac

    def gone(self, looks: int) -> None:
        """The list without the VM: another one is on it."""
        for look in range(looks):
            self.mac.list((OTHER, "else", "stopped"))
            if look == 2:
                self.mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[self.mac.info(Home="/p/else.pvm/")])

    def unregister(self, then: Optional[Callable[[], Any]] = None) -> None:
        self.mac.expect("prlctl", "unregister", UUID, then=then)

    def register(self, path: Any, **facts: Any) -> None:
        self.gone(4)
        self.mac.expect("prlctl", "register", str(path), "--preserve-uuid=yes")
        self.stage.home = path
        for _look in range(2):
            self.stage.is_home(path)
            self.mac.look(UUID, Name="win 11", **{**self.mac.home(path), **facts})

    def put_back(self, path: Any) -> None:
        """By its name or UUID, and when the note is held by nobody; then it is registered."""
        self.gone(2)
        self.mac.expect("prlctl", "register", str(path), "--preserve-uuid=yes")
        self.stage.home = path
        for _look in range(2):
            self.stage.list()
        self.mac.look(UUID, Name="win 11", **self.mac.home(path))


@pytest.fixture
def left(stage: Stage) -> Unlisting:
    """A VM that was packed into an image, and whose bundle Parallels has left."""
    stage.image.write_bytes(b"image")
    stage.home = stage.image
    stage.claim(pack_module._LEFT)
    return Unlisting(stage)


@pytest.mark.parametrize("then", ["unpack", "pack"])
def test_a_run_that_was_killed_while_the_vm_was_off_the_list_is_ended(
    stage: Stage, left: Unlisting, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    vm = stage.vm()
    stage.under_the_claim()

    def die() -> None:
        raise Interrupted("killed")

    left.unregister(die)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(pack_module, "_return_to_image", lambda *_arguments: None)  # a killed run does nothing more
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert notes_of_unlisted() == [f".{UUID}.claim.json"]

    left.put_back(stage.image)
    vm = get_vm(stage.mac.prl, "win 11")
    assert notes_of_unlisted() == []
    assert "was registered again" in stage.mac.notices[0]
    stage.under_the_claim()
    if then == "unpack":
        left.unregister()
        left.register(stage.bundle)
        assert unpack(stage.mac.prl, vm, 60, dry=False)
        assert stage.files() == ["win 11.pvm"]
    else:
        assert pack(stage.mac.prl, vm, PackOrder(), dry=False) is False
        assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvm", "win 11.pvmp"]


def test_an_interrupted_taking_back_ends_with_the_image(stage: Stage, left: Unlisting) -> None:
    vm = stage.vm()
    stage.under_the_claim()

    def interrupt() -> None:
        raise Interrupted("It was canceled.")

    left.unregister(interrupt)
    left.put_back(stage.image)
    with pytest.raises(Interrupted, match=r"Nothing was removed: 'win 11' is packed in"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvm", "win 11.pvmp"]
    assert notes_of_unlisted() == []
    assert read_claim(str(stage.image))["operation"] == pack_module._LEFT


def lose_a_layer(stage: Stage) -> None:
    disk = stage.bundle / "harddisk1.hdd"
    (disk / "DiskDescriptor.xml").write_text(
        "<D><Storage><Image><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID><File>top.hds</File></Image></Storage></D>"
    )


@pytest.mark.parametrize(
    ("lose", "facts", "words"),
    [
        pytest.param(
            lambda stage: shutil.rmtree(stage.bundle / "harddisk1.hdd"), {}, "harddisk1.hdd cannot be", id="its disk"
        ),
        pytest.param(lose_a_layer, {}, "harddisk1.hdd/top.hds cannot be found there", id="a layer of its disk"),
        pytest.param(lambda _stage: None, {"State": "invalid"}, "it is invalid", id="what Parallels calls invalid"),
        pytest.param(
            lambda _stage: None, {"Hardware": {}}, "it has 0 disks there, and 1 in its image", id="a disk in the list"
        ),
    ],
)
def test_a_bundle_that_lost_something_is_not_taken_back_and_nothing_is_lost(
    stage: Stage, left: Unlisting, lose: Callable[[Stage], None], facts: dict[str, Any], words: str
) -> None:
    lose(stage)
    before = stage.files()
    vm = stage.vm()
    stage.under_the_claim()
    left.unregister()
    left.register(stage.bundle, **facts)
    stage.look()
    left.unregister()
    left.register(stage.image)
    with pytest.raises(TaskError, match=rf"but .*{words}.*is packed in .*win 11.pvmp, as before. Move .*win 11.pvm to"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.files() == before
    assert stage.image.read_bytes() == b"image"
    assert read_claim(str(stage.image))["operation"] == pack_module._LEFT


def test_a_broken_bundle_that_a_killed_run_registered_is_given_up_for_the_image(stage: Stage, left: Unlisting) -> None:
    stage.claim(pack_module._TAKING_BACK)
    stage.home = stage.bundle
    shutil.rmtree(stage.bundle / "harddisk1.hdd")
    vm = stage.vm()
    stage.under_the_claim()
    stage.look()
    left.unregister()
    left.register(stage.image)
    with pytest.raises(TaskError, match=r"harddisk1.hdd cannot be found there.*Nothing was removed"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.image.read_bytes() == b"image"


@pytest.mark.parametrize("operation", [pack_module._TAKING_BACK, "pack"])
def test_an_image_is_not_removed_for_a_bundle_that_lost_a_disk(stage: Stage, operation: str) -> None:
    stage.image.write_bytes(b"image")
    stage.claim(operation)
    shutil.rmtree(stage.bundle / "harddisk1.hdd")
    vm = stage.vm()
    stage.under_the_claim()
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"files of its disks are missing: .*harddisk1.hdd"):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.image.read_bytes() == b"image"


def test_a_bundle_of_another_vm_is_no_leftover(stage: Stage) -> None:
    shutil.rmtree(stage.bundle)
    stage.mac.bundle(stage.bundle, config=f"<VmUuid>{{{OTHER}}}</VmUuid>")
    stage.image.write_bytes(b"image")
    stage.home = stage.image
    stage.claim("unpack")
    vm = stage.vm()
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"win 11.pvm is in the way"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert (stage.bundle / "harddisk1.hdd").exists()


def test_a_leftover_from_which_another_vm_is_registered_is_left(stage: Stage) -> None:
    stage.image.write_text("somebody's image by now")
    stage.claim()
    vm = stage.vm()
    stage.under_the_claim()
    stage.under_the_claim()
    stage.mac.list((UUID, "win 11", "stopped"), (OTHER, "else", "stopped"))
    stage.mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[stage.mac.info(Home=str(stage.image))])
    with pytest.raises(TaskError, match=r"another virtual machine, 'else' .*, is registered from .*win 11.pvmp"):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.image.read_text() == "somebody's image by now"


def outside(stage: Stage, **images: str) -> None:
    hardware = stage.mac.home(stage.bundle)["Hardware"]
    for device, path in images.items():
        hardware[device] = {**hardware["hdd0"], "image": path}
    stage.facts["Hardware"] = hardware


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("kind", ["a disk", "a disk of the Mac", "a layer", "a link"])
def test_disks_outside_of_the_bundle_are_named_and_not_packed(stage: Stage, dry: bool, kind: str) -> None:
    elsewhere = stage.mac.folder / "elsewhere" / "big.hdd"
    elsewhere.mkdir(parents=True)
    place = str(elsewhere)
    if kind == "a disk":
        outside(stage, hdd1=place)
    elif kind == "a disk of the Mac":
        place = "/dev/null"
        outside(stage, hdd1=place)
    elif kind == "a layer":
        place = str(elsewhere / "base.hds")
        (elsewhere / "base.hds").write_text("x")
        (stage.bundle / "harddisk1.hdd" / "DiskDescriptor.xml").write_text(
            "<D><Storage><Image><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID>"
            f"<File>{place}</File></Image></Storage></D>"
        )
    else:
        (stage.bundle / "linked.hdd").symlink_to(elsewhere)
        place = str(stage.bundle / "linked.hdd")
        outside(stage, hdd1=place)
    vm = stage.vm()
    if not dry:
        stage.under_the_claim()
    reason = (
        r"its disk hdd1 is not a file but a disk or partition of the Mac \(/dev/null\)"
        if kind == "a disk of the Mac"
        else rf"its disks are not all in its bundle, .* without them: {re.escape(place)}\."
    )
    with pytest.raises(TaskError, match=reason):
        pack(stage.mac.prl, vm, PackOrder(), dry=dry)
    assert stage.files() == ["win 11.pvm"]


def test_a_disk_whose_files_are_unknown_is_not_packed(stage: Stage) -> None:
    (stage.bundle / "harddisk1.hdd" / "DiskDescriptor.xml").write_text("<Parallels_disk_image><Stora")
    with pytest.raises(TaskError, match=r"the list of files of its disks cannot be read \(.*harddisk1.hdd\), so it is"):
        packing(stage, dry=True)


def test_a_bundle_under_another_name_of_its_folder_is_inside(stage: Stage) -> None:
    (stage.mac.folder / "link").symlink_to(stage.folder)
    outside(stage, hdd0=str(stage.mac.folder / "link" / "win 11.pvm" / "harddisk1.hdd"))
    assert packing(stage, dry=True)


FINISH = (
    'Failed to {verb} the VM: Unable to perform the operation because "win 11" is in the intermediate state. '
    '{begun}ing "/p/win 11.pvmi/config.pvsp" has been started but not finished yet. Please finish {begun}ing.'
)


class Halfway:
    """A VM whose packing or unpacking was interrupted."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.place = stage.folder / "win 11.pvmi"
        os.rename(stage.bundle, self.place)
        os.rename(self.place / "config.pvs", self.place / "config.pvsp")
        stage.home = self.place

    def unpacked(self) -> None:
        """Parallels finishes the unpacking."""
        os.rename(self.place / "config.pvsp", self.place / "config.pvs")
        os.rename(self.place, self.stage.bundle)

    def packed(self) -> None:
        """Parallels finishes the packing."""
        shutil.rmtree(self.place)
        self.stage.image.write_bytes(b"image")

    def finish(self, verb: str) -> None:
        """Expect the command that finishes it, and the looks at the VM afterwards."""
        self.stage.run(verb, then=self.packed if verb == "pack" else self.unpacked)
        self.stage.is_home(self.stage.image if verb == "pack" else self.stage.bundle)
        self.stage.under_the_claim()

    def refuses(self, verb: str, begun: str) -> None:
        self.stage.run(verb, rc=255, err=FINISH.format(verb=verb, begun=begun))
        self.stage.is_home(self.place)


@pytest.fixture
def halfway(stage: Stage) -> Halfway:
    return Halfway(stage)


@pytest.mark.parametrize("operation", ["", "unpack"])
def test_an_interrupted_unpacking_is_finished(stage: Stage, halfway: Halfway, operation: str) -> None:
    if operation:
        stage.claim(operation)
    vm = stage.vm()
    assert (vm.intermediate, vm.packed, vm.bundle) == (True, None, str(stage.bundle))
    assert unpack(stage.mac.prl, vm, 60, dry=True)
    assert target_of(vm, "unpack") == str(stage.bundle)
    stage.under_the_claim()
    halfway.finish("unpack")
    assert unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.files() == ["win 11.pvm"]
    assert "It was finished" in stage.mac.notices[0]


def test_an_interrupted_packing_of_ours_is_finished(stage: Stage, halfway: Halfway) -> None:
    stage.image.write_bytes(b"half")
    stage.claim("pack")
    vm = stage.vm()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=True)
    stage.under_the_claim()
    stage.under_the_claim()
    halfway.finish("pack")
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == ["win 11.pvmp"]


@pytest.mark.parametrize(("operation", "first", "begun"), [("", "unpack", "pack"), ("pack", "pack", "unpack")])
def test_parallels_is_asked_to_finish_what_it_names(
    stage: Stage, halfway: Halfway, operation: str, first: str, begun: str
) -> None:
    if operation:
        stage.claim(operation)
    vm = stage.vm()
    stage.under_the_claim()
    halfway.refuses(first, begun)
    halfway.finish(begun)
    stage.run("unpack" if begun == "pack" else "pack", then=stage.unpacked if begun == "pack" else stage.packed)
    stage.is_home(stage.bundle if begun == "pack" else stage.image)
    stage.look()
    work = unpack if begun == "pack" else pack
    assert work(stage.mac.prl, vm, 60 if work is unpack else PackOrder(), dry=False)
    assert stage.files() == (["win 11.pvm"] if begun == "pack" else ["win 11.pvmp"])


@pytest.mark.parametrize("verb", ["pack", "unpack"])
@pytest.mark.parametrize(("rc", "err"), [(255, "Out of disk space."), (-9, ""), (0, "")])
def test_what_cannot_be_finished_is_an_error_and_nothing_is_removed(
    stage: Stage, halfway: Halfway, verb: str, rc: int, err: str
) -> None:
    stage.image.write_bytes(b"half")
    before = stage.files()
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("unpack", rc=rc, err=err)
    for _look in range(1 if err else 7):
        stage.is_home(halfway.place)
    with pytest.raises(TaskError, match=r"still in an intermediate state .*Nothing was removed") as caught:
        if verb == "pack":
            pack(stage.mac.prl, vm, PackOrder(), dry=False)
        else:
            unpack(stage.mac.prl, vm, 60, dry=False)
    assert str(halfway.place) in caught.value.details["left_behind"]
    assert set(before) <= set(stage.files())
    assert (halfway.place / "harddisk1.hdd" / "harddisk1.hds").exists()


def test_a_packing_that_is_killed_in_an_intermediate_state_loses_nothing(stage: Stage) -> None:
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("pack", rc=-9, then=lambda: (Halfway(stage), stage.image.write_bytes(b"half")))
    for _look in range(7):
        stage.is_home(stage.folder / "win 11.pvmi")
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"is now in an intermediate state, in .*pvmi. Nothing was removed. Run again"):
        pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == [".win 11.pvmp.claim.json", "win 11.pvmi", "win 11.pvmp"]


@pytest.mark.parametrize("stranger", [True, False])
def test_an_intermediate_bundle_beside_a_whole_one_is_a_leftover(stage: Stage, stranger: bool) -> None:
    rest = stage.folder / "win 11.pvmi"
    rest.mkdir()
    with Claim.take(str(stage.image)) as claim:
        claim.write(operation="pack", vm=UUID, name="win 11", strangers=[str(rest)] if stranger else [])
    vm = stage.vm()
    stage.under_the_claim()
    if not stranger:
        stage.under_the_claim()
        stage.list()
    stage.run("pack", then=stage.packed)
    stage.is_home(stage.image)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert rest.exists() is stranger


def test_an_intermediate_bundle_is_kept_when_the_image_is_empty(stage: Stage) -> None:
    rest = Halfway(stage).place
    stage.image.write_bytes(b"")
    stage.home = stage.image
    with Claim.take(str(stage.image)) as claim:
        claim.write(operation="unpack", vm=UUID, name="win 11", strangers=[])
    vm = stage.vm()
    stage.under_the_claim()
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"an empty file"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert (rest / "harddisk1.hdd" / "harddisk1.hds").exists()


def test_an_image_that_is_missing_is_an_error(stage: Stage) -> None:
    stage.home = stage.image
    vm = stage.vm()
    with pytest.raises(TaskError, match=r"is packed in .*win 11.pvmp, but there is no such file"):
        image_facts(vm)
    with pytest.raises(TaskError, match=r"cannot be unpacked: its image .*win 11.pvmp is missing"):
        unpack(stage.mac.prl, vm, 60, dry=True)


def test_an_image_that_is_a_folder_is_an_error(stage: Stage) -> None:
    stage.image.mkdir()
    stage.home = stage.image
    with pytest.raises(TaskError, match=r"but that is not a regular file"):
        image_facts(stage.vm())


def test_a_failed_unpacking_leaves_the_image(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    vm = stage.vm()
    stage.under_the_claim()
    stage.run("unpack", rc=255, err="Out of disk space.", then=stage.bundle.mkdir)
    stage.is_home(stage.image)
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"could not unpack 'win 11': Out of disk space"):
        unpack(stage.mac.prl, vm, 60, dry=False)
    assert stage.files() == ["win 11.pvmp"]


def test_a_bundle_without_its_disk_is_not_taken_for_unpacked(stage: Stage) -> None:
    stage.packed()
    stage.home = stage.image
    vm = stage.vm()
    stage.under_the_claim()

    def lose() -> None:
        stage.unpacked()
        shutil.rmtree(stage.bundle / "harddisk1.hdd")

    stage.run("unpack", then=lose)
    stage.is_home(stage.bundle)
    stage.look()
    stage.under_the_claim()
    with pytest.raises(TaskError, match=r"but the disks .*harddisk1.hdd cannot be found there"):
        unpack(stage.mac.prl, vm, 60, dry=False)


def test_a_vm_whose_place_is_reported_by_another_path_is_not_moved(stage: Stage) -> None:
    link = stage.mac.folder / "link"
    link.symlink_to(stage.folder)
    vm = stage.vm()
    stage.home = link / stage.bundle.name
    stage.under_the_claim()
    stage.run("pack", then=stage.packed)
    stage.is_home(link / stage.image.name)
    stage.look()
    assert pack(stage.mac.prl, vm, PackOrder(), dry=False)
    assert stage.files() == ["win 11.pvmp"]


def test_what_the_vm_itself_is_in_is_no_leftover_by_any_path(stage: Stage) -> None:
    link = stage.mac.folder / "link"
    link.symlink_to(stage.folder)
    stage.image.write_bytes(b"")
    vm = stage.vm()
    work = pack_module._work("pack", vm)
    with Claim.take(str(stage.image)) as claim:
        claim.write(operation="pack", vm=UUID, strangers=[])
        assert pack_module._leftovers(vm, work, claim) == [str(stage.image)]
        reported = replace(vm, home=str(link / stage.image.name))
        assert pack_module._leftovers(reported, work, claim) == []
        assert pack_module._is_replaced_by_nothing(reported, work)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
class TestFilesOfOtherUsers:
    """The claim is ours, what lies under the name of the image or the bundle is not."""

    def test_an_image_is_neither_overwritten_nor_removed(self, stage: Stage) -> None:
        stage.image.write_bytes(b"evil")
        stage.claim()
        os.chown(stage.image, 12345, 12345)
        vm = stage.vm()
        stage.under_the_claim()
        with pytest.raises(TaskError, match=r"win 11.pvmp is not a file of this user: it belongs to the user 12345"):
            pack(stage.mac.prl, vm, PackOrder(), dry=False)
        assert stage.image.read_bytes() == b"evil"

    def test_a_bundle_that_was_left_is_not_taken_back(self, stage: Stage) -> None:
        stage.image.write_bytes(b"image")
        stage.home = stage.image
        stage.claim("packed, with the bundle left")
        os.chown(stage.bundle, 12345, 12345)
        vm = stage.vm()
        stage.under_the_claim()
        with pytest.raises(TaskError, match=r"win 11.pvm is not a file of this user: it belongs to the user 12345"):
            unpack(stage.mac.prl, vm, 60, dry=False)
        assert stage.bundle.is_dir()

    def test_what_parallels_made_must_be_ours(self, stage: Stage) -> None:
        stage.image.write_bytes(b"image")
        os.chown(stage.image, 12345, 12345)
        stage.home = stage.image
        with pytest.raises(TaskError, match=r"It cannot be used as the image of 'win 11'"):
            image_facts(stage.vm())
