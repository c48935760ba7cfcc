# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the build of an image got with a VM: what is noted, and for how long that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.stage import (
    PROVISIONED,
    PROVISIONING,
    SEALED,
    BuildStage,
    note_stage,
    noted_stage,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
IMAGE = "win11-2026.11.0-arm64"
NOTHING = BuildStage()


class Scene:
    """A VM with a bundle."""

    def __init__(self, mac: Any, folder: Path) -> None:
        self.mac = mac
        self.home = folder / "x.pvm"
        self.facts = mac.bundle(self.home)

    def vm(self, state: str = "stopped", uptime: int = 500, **facts: Any) -> Vm:
        facts = {**self.facts, "Name": "x", "State": state, "Uptime": str(uptime), **facts}
        self.mac.list((UUID, "x", state)).look(UUID, **facts)
        return get_vm(self.mac.prl, "x")

    def note(self, stage: str, *, dry: bool = False, image: str = IMAGE, **facts: Any) -> Any:
        return note_stage(self.mac.prl, self.vm(**facts), BuildStage(image, stage), dry=dry)


@pytest.fixture
def scene(mac: Any, tmp_path: Path) -> Scene:
    return Scene(mac, tmp_path)


def test_nothing_is_noted_of_a_new_vm(scene: Scene) -> None:
    assert noted_stage(scene.vm()) == NOTHING


def test_each_stage_takes_the_place_of_the_one_before(scene: Scene) -> None:
    seen = [scene.note(stage) for stage in (PROVISIONING, PROVISIONING, PROVISIONED, SEALED, SEALED)]
    before = [NOTHING, None, BuildStage(IMAGE, PROVISIONING), BuildStage(IMAGE, PROVISIONED), None]
    assert seen == before
    assert noted_stage(scene.vm()) == BuildStage(IMAGE, SEALED)
    assert scene.note(PROVISIONING, image="win11-2026.12.0-arm64") == BuildStage(IMAGE, SEALED)


def test_a_dry_run_notes_nothing(scene: Scene) -> None:
    assert scene.note(PROVISIONING, dry=True) == NOTHING
    assert not Path(claim_path(str(scene.home))).exists()
    scene.note(PROVISIONING)
    assert scene.note(PROVISIONING, dry=True) is None


def test_other_notes_of_the_claim_stay(scene: Scene) -> None:
    with Claim.take(str(scene.home)) as claim:
        claim.write(operation="clone", generalized_vm=UUID)
    scene.note(PROVISIONED)
    assert read_claim(str(scene.home)) == {
        "operation": "clone",
        "generalized_vm": UUID,
        "staged_vm": UUID,
        "staged_image": IMAGE,
        "stage": PROVISIONED,
        "staged_uptime": [500, 560],
    }


@pytest.mark.parametrize(
    ("state", "uptime", "sealed"),
    [("stopped", 500, True), ("stopped", 560, True), ("stopped", 561, False), ("stopped", 3, False),
     ("running", 500, False), ("suspended", 500, False)],
)  # fmt: skip
def test_a_vm_that_has_run_since_is_not_sealed(scene: Scene, state: str, uptime: int, sealed: bool) -> None:
    scene.note(SEALED)
    assert (noted_stage(scene.vm(state, uptime)) == BuildStage(IMAGE, SEALED)) is sealed


@pytest.mark.parametrize("clone", [True, False])
def test_where_parallels_counts_no_uptime_the_note_counts_for_clones(scene: Scene, clone: bool) -> None:
    if clone:
        with Claim.take(str(scene.home)) as claim:
            claim.write(operation="clone")
    scene.note(SEALED, uptime=0)
    assert (noted_stage(scene.vm(uptime=0)) == BuildStage(IMAGE, SEALED)) is clone


@pytest.mark.parametrize("notes", [{"staged_vm": "another", "stage": SEALED}, {"staged_vm": UUID, "stage": "odd"}])
def test_a_note_about_another_vm_or_of_another_kind_does_not_count(scene: Scene, notes: dict[str, Any]) -> None:
    with Claim.take(str(scene.home)) as claim:
        claim.write(**notes)
    assert noted_stage(scene.vm()) == NOTHING


def test_a_note_that_cannot_be_read_is_unknown(scene: Scene) -> None:
    Path(claim_path(str(scene.home))).write_text("?")
    assert noted_stage(scene.vm()) is None
    with pytest.raises(TaskError, match="not a readable note"):
        scene.note(PROVISIONED)


def test_only_a_stopped_vm_is_sealed(scene: Scene) -> None:
    with pytest.raises(TaskError, match="is running, so it is not sealed"):
        scene.note(SEALED, state="running")


def test_a_packed_vm_gets_no_note(scene: Scene) -> None:
    with pytest.raises(TaskError, match="is packed"):
        scene.note(PROVISIONED, Security={"Packed": "yes"})
