# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping Parallels from pausing a VM: off while long work runs, on again afterwards, also after a killed run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._parallels.idle import (
    kept_running,
    kept_running_under,
    turn_on_again,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OFF, ON = ("--pause-idle", "off"), ("--pause-idle", "on")


class Scene:
    """A VM, and the calls that are expected for it."""

    def __init__(self, mac: Any, folder: Path) -> None:
        self.mac = mac
        self.home = folder / "x.pvm"
        self.facts = {**mac.bundle(self.home), "Name": "x", "State": "running"}

    def look(self, setting: Any) -> None:
        self.mac.list((UUID, "x", "running")).look(
            UUID, **self.facts, **{"Startup and Shutdown": {"Pause idle": setting}}
        )

    def vm(self, setting: Any) -> Vm:
        self.look(setting)
        return get_vm(self.mac.prl, "x")

    def turned(self, arguments: tuple[str, str], now: Any = None, **answer: Any) -> None:
        """Expect that the setting is changed, and read."""
        self.mac.list((UUID, "x", "running"))
        self.mac.expect("prlctl", "set", UUID, *arguments, **answer)
        if not answer:
            self.look(arguments[1])
            self.look(arguments[1])

    @property
    def notes(self) -> dict[str, Any]:
        return read_claim(str(self.home))

    @property
    def has_claim(self) -> bool:
        return Path(claim_path(str(self.home))).exists()


@pytest.fixture
def scene(mac: Any, tmp_path: Path) -> Scene:
    return Scene(mac, tmp_path)


def under_own_claim(prl: Any, vm: Vm) -> Any:
    return kept_running(prl, vm)


@contextlib.contextmanager
def under_a_claim(prl: Any, vm: Vm) -> Any:
    with Claim.take(vm.bundle) as claim, kept_running_under(prl, vm, claim):
        yield


WAYS = pytest.mark.parametrize("way", [under_own_claim, under_a_claim])


@WAYS
@pytest.mark.parametrize("fails", [False, True])
def test_it_is_off_meanwhile(scene: Scene, way: Callable[..., Any], fails: bool) -> None:
    vm = scene.vm("on")
    scene.turned(OFF)
    with contextlib.suppress(KeyError), way(scene.mac.prl, vm):
        assert not scene.mac.calls
        assert scene.notes == {"idle_vm": UUID}
        scene.look("off")
        scene.turned(ON)
        if fails:
            raise KeyError
    assert not scene.has_claim
    assert scene.mac.notices == []


@WAYS
def test_one_that_is_off_is_left_alone(scene: Scene, way: Callable[..., Any]) -> None:
    with way(scene.mac.prl, scene.vm("off")):
        pass
    assert not scene.has_claim


@WAYS
def test_one_that_is_not_reported_is_left_alone_and_said(scene: Scene, way: Callable[..., Any]) -> None:
    with way(scene.mac.prl, scene.vm(None)):
        pass
    (notice,) = scene.mac.notices
    assert notice.startswith("Parallels does not report pause_idle of 'x', so it was left as it is.")
    assert not scene.has_claim


@WAYS
def test_after_a_killed_run_it_is_turned_on_again(scene: Scene, way: Callable[..., Any]) -> None:
    with Claim.take(str(scene.home)) as claim:
        claim.write(operation="clone", idle_vm=UUID)
    with way(scene.mac.prl, scene.vm("off")):
        assert not scene.mac.calls
        scene.look("off")
        scene.turned(ON)
    assert scene.notes == {"operation": "clone"}


def test_a_note_of_another_vm_is_not_about_this_one(scene: Scene) -> None:
    with Claim.take(str(scene.home)) as claim:
        claim.write(idle_vm="another")
    with kept_running(scene.mac.prl, scene.vm("off")):
        pass
    assert scene.notes == {"idle_vm": "another"}


@WAYS
def test_one_that_cannot_be_turned_off_is_said(scene: Scene, way: Callable[..., Any]) -> None:
    vm = scene.vm("on")
    scene.turned(OFF, rc=255, err="The configuration is locked.\n")
    for _look in range(9):
        scene.look("on")
    with way(scene.mac.prl, vm):
        scene.mac.calls.clear()
        scene.look("on")  # nothing is left to do
    assert "could not be turned off, so Parallels may pause" in scene.mac.notices[0]
    assert not scene.has_claim


def test_one_that_cannot_be_turned_on_again_stays_noted(scene: Scene) -> None:
    vm = scene.vm("on")
    scene.turned(OFF)
    with kept_running(scene.mac.prl, vm):
        scene.look("off")
        scene.turned(ON, rc=255, err="The configuration is locked.\n")
        for _look in range(9):
            scene.look("off")
    scene.mac.calls.clear()
    (notice,) = scene.mac.notices
    assert "could not be turned on again" in notice
    assert f"`prlctl set {UUID} --pause-idle on`" in notice
    assert scene.notes == {"idle_vm": UUID}


def test_the_last_of_several_turns_it_on_again(scene: Scene) -> None:
    with contextlib.ExitStack() as second:
        vm = scene.vm("on")
        scene.turned(OFF)
        with kept_running(scene.mac.prl, vm):
            second.enter_context(kept_running(scene.mac.prl, scene.vm("off")))
        assert not scene.mac.calls
        assert scene.notes == {"idle_vm": UUID}
        scene.look("off")
        scene.turned(ON)
    assert not scene.has_claim


def test_nothing_noted_is_nothing_to_do(scene: Scene) -> None:
    vm = scene.vm("off")
    with Claim.take(vm.bundle) as claim:
        turn_on_again(scene.mac.prl, vm, claim)
    assert not scene.has_claim
