# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Keeps Parallels from pausing a VM that seems to be idle while long work runs in its guest.

Its setting is turned off meanwhile, and on again afterwards. Until then, C(idle_vm) in the claim beside its bundle is
its UUID, so that after a run that was killed, the next one turns it on again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .._common.claim import Claim, read_claim
from .._common.errors import TaskError
from .cli import Prlctl
from .lifecycle import apply_settings
from .settings import Settings
from .vm import BUSY_TIME, Vm, get_vm

_KEY = "idle_vm"


@contextlib.contextmanager
def kept_running(prl: Prlctl, vm: Vm) -> Iterator[None]:
    """Keep Parallels from pausing a VM; several of these may be in their body at a time, for one VM."""
    if not vm.settings.pause_idle and not read_claim(vm.bundle).get(_KEY):
        _say_unknown(prl, vm)
        yield
        return
    with Claim.take(vm.bundle, wait=BUSY_TIME, sleep=prl.sleep, clock=prl.clock, shared=True) as claim:
        off = _turn_off(prl, vm, claim)
        try:
            yield
        finally:
            if off and claim.take_alone():
                turn_on_again(prl, vm, claim)


@contextlib.contextmanager
def kept_running_under(prl: Prlctl, vm: Vm, claim: Claim) -> Iterator[None]:
    """Keep Parallels from pausing a VM whose claim is held alone."""
    off = _turn_off(prl, vm, claim)
    try:
        yield
    finally:
        if off:
            turn_on_again(prl, vm, claim)


def turn_on_again(prl: Prlctl, vm: Vm, claim: Claim) -> None:
    """Turn the setting on again where it was turned off; what cannot be done now stays noted."""
    if claim.notes.get(_KEY) != vm.uuid:
        return
    try:
        apply_settings(prl, get_vm(prl, vm.uuid), Settings(pause_idle=True), dry=False)
    except TaskError as error:
        prl.notice(
            f"The setting pause_idle of '{vm.name}' was turned off for long work in the guest, and could not be turned "
            f"on again: {error.message} Turn it on: `prlctl set {vm.uuid} --pause-idle on`."
        )
        return
    claim.write(**{key: value for key, value in claim.notes.items() if key != _KEY})


def _turn_off(prl: Prlctl, vm: Vm, claim: Claim) -> bool:
    """Turn the setting off if it is on, and return whether it is to be turned on again."""
    noted = claim.notes.get(_KEY) == vm.uuid
    if not vm.settings.pause_idle:
        if not noted:
            _say_unknown(prl, vm)
        return noted
    if not noted:
        claim.note(**{_KEY: vm.uuid})
    try:
        apply_settings(prl, vm, Settings(pause_idle=False), dry=False)
    except TaskError as error:
        prl.notice(
            f"The setting pause_idle of '{vm.name}' could not be turned off, so Parallels may pause the virtual "
            f"machine while long work runs in its guest. {error.message}"
        )
    return True


def _say_unknown(prl: Prlctl, vm: Vm) -> None:
    if vm.settings.pause_idle is None:
        prl.notice(
            f"Parallels does not report pause_idle of '{vm.name}', so it was left as it is. If it is on, Parallels may "
            "pause the virtual machine while long work runs in its guest."
        )
