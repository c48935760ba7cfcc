# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Notes how far the build of an image got with a VM: neither Parallels nor the guest shows it.

The note is in the claim beside the VM's bundle (for a clone, that is the clone's own claim): C(staged_vm) the UUID,
C(staged_image) the image, C(stage) one of STAGES, C(staged_uptime) the range in which the VM's uptime stays until it is
started again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._common.claim import Claim, read_claim
from .._common.errors import TaskError
from .cli import Prlctl
from .uptime import has_not_run, uptime_range
from .vm import BUSY_TIME, STOPPED, Vm

PROVISIONING = "provisioning"
PROVISIONED = "provisioned"
SEALED = "sealed"
STAGES = (PROVISIONING, PROVISIONED, SEALED)

_PREFIX = "stage"  # of all keys of this file


@dataclass(frozen=True)
class BuildStage:
    """The image that a VM is built for, and how far that got; empty where nothing is noted."""

    image: str = ""
    stage: str = ""


def noted_stage(vm: Vm) -> Optional[BuildStage]:
    """Return what is noted of a VM; None where the note cannot be read.

    The note that a VM is sealed does not count once the VM has run since.
    """
    try:
        os.lstat(vm.home)  # a note on a disk that is not mounted is not a missing note
        return _stage_in(read_claim(vm.bundle), vm)
    except (TaskError, OSError):
        return None


def note_stage(prl: Prlctl, vm: Vm, wanted: BuildStage, *, dry: bool) -> Optional[BuildStage]:
    """Note how far the build of an image got with a VM; return what was noted before, None if that is the same."""
    if vm.packed:
        raise TaskError(
            f"'{vm.name}' is packed, so nothing can be noted beside its bundle. Unpack it first "
            "(macops.parallels.image_pack with state: unpacked)."
        )
    if wanted.stage == SEALED and vm.state != STOPPED:
        raise TaskError(f"'{vm.name}' is {vm.state}, so it is not sealed. Shut it down first.", state=vm.state)
    if dry:
        before = _stage_in(read_claim(vm.bundle), vm)
        return before if before != wanted else None
    with Claim.take(vm.bundle, wait=BUSY_TIME, sleep=prl.sleep, clock=prl.clock) as claim:
        before = _stage_in(claim.notes, vm)
        if before == wanted:
            return None
        kept = {key: value for key, value in claim.notes.items() if not key.startswith(_PREFIX)}
        claim.write(
            **kept,
            staged_vm=vm.uuid,
            staged_image=wanted.image,
            stage=wanted.stage,
            staged_uptime=uptime_range(vm.uptime, 0),
        )
    return before


def _stage_in(notes: Mapping[str, Any], vm: Vm) -> BuildStage:
    """Return what the notes say about this VM."""
    stage = str(notes.get("stage", ""))
    if notes.get("staged_vm") != vm.uuid or stage not in STAGES:
        return BuildStage()
    if stage == SEALED and not (vm.state == STOPPED and has_not_run(notes, notes.get("staged_uptime"), vm.uptime)):
        return BuildStage()
    return BuildStage(str(notes.get("staged_image", "")), stage)
