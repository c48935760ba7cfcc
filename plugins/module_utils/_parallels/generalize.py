# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Making a VM forget who it is, and shutting it down in that state: Sysprep in Windows, identity files in Linux.

Whether a guest is generalized can be seen in the running guest only, and starting a generalized Windows runs its first
setup, which undoes it. So what was proven in the guest is noted in the claim beside the VM's bundle (for a clone, that
is the clone's own claim): C(generalized_vm) the UUID, C(generalizing) that it has begun, C(generalized_at) when it was
proven, C(generalized_uptime) between which values the VM's uptime stays as long as nobody starts it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from .._common.claim import Claim, read_claim
from .._common.errors import TaskError
from .cli import PRLCTL, Prlctl
from .clone import bundle_of
from .generalize_linux import Linux
from .generalize_windows import SysprepFailed, Windows
from .guest import LINUX, WINDOWS, Guest
from .power import set_power
from .vm import BUSY_TIME, RUNNING, STOPPED, Vm, get_vm, state_of, wait_while_busy

_ASK_AGAIN = 60  # seconds after which a guest that took no notice is asked again to shut down
_LOOK_PAUSE = 1
# A VM that ran for less than this since it was generalized cannot have been through its first setup.
_UPTIME_SLACK = 60


class System(Protocol):
    """How a guest system is generalized."""

    kept_proof: str  # what proof() says of a guest that is generalized
    start_spoils: bool  # whether starting it undoes that

    def proof(self, guest: Guest) -> str:
        """Return by what a running guest is known to be generalized; empty when it is not."""

    def generalize(self, guest: Guest, begun: Callable[[], None]) -> str:
        """Generalize a running guest, and return the proof; raise TaskError when there is none.

        C(begun) is called before the first thing that cannot be taken back.
        """


@dataclass(frozen=True)
class GeneralizeOrder:
    """What is wanted. Times are in seconds."""

    start: bool = False
    unattend: str = ""
    mode_vm: bool = False
    timeout: float = 1800
    wait_timeout: float = 300
    stop_timeout: float = 300


@dataclass(frozen=True)
class Outcome:
    """What there is now, or in a dry run would be."""

    changed: bool
    was_generalized: bool
    generalized_at: str
    proof: str
    previous_state: str


@dataclass(frozen=True)
class Noted:
    """What is noted of a VM beside its bundle."""

    # None where it may have run since it was generalized, or where that has begun and nobody noted the end.
    generalized: Optional[bool]
    # Whether it has begun, and nobody noted the end.
    generalizing: bool


def noted(vm: Vm) -> Noted:
    """Return what runs of C(generalize) have noted of a VM, without asking its guest."""
    try:
        notes = read_claim(bundle_of(vm)) if vm.home else {}
    except (TaskError, OSError):  # it cannot be read
        return Noted(None, False)
    mine = _notes_of(vm, notes)
    if not mine:
        return Noted(False, False)
    begun = bool(mine.get("generalizing"))
    holds = vm.state == STOPPED and _still_holds(mine, notes, vm.uptime)
    return Noted(True if holds else None, begun)


def generalize(prl: Prlctl, vm: Vm, order: GeneralizeOrder, *, dry: bool) -> Outcome:
    """Bring a VM into the state generalized and stopped."""
    system = _system_of(vm, order)
    target = bundle_of(vm)
    if dry:
        return _foresee(prl, vm, order, system, read_claim(target))
    with Claim.take(target, wait=order.timeout, sleep=prl.sleep, clock=prl.clock) as claim:
        state, record = _judge(prl, vm, order, system, claim.notes)
        if record:
            return Outcome(False, True, record, system.kept_proof, state)
        if state == STOPPED:
            set_power(prl, vm, RUNNING, timeout=order.wait_timeout)
        guest = Guest(prl, vm, patience=order.wait_timeout)
        proof = system.proof(guest)
        before = bool(proof)
        if not before:
            proof = _change(guest, system, claim)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # Noted before the shutdown, so that whoever finds it stopped later knows that it must not be started.
        uptime = get_vm(prl, vm.uuid).uptime
        _note(claim, vm, generalized_at=at, **_uptime_note(uptime, order.stop_timeout))
        _shut_down(prl, vm, claim, order.stop_timeout)
        _note(claim, vm, generalized_at=at, **_uptime_note(get_vm(prl, vm.uuid).uptime, 0))
        return Outcome(True, before, at, proof, state)


def _change(guest: Guest, system: System, claim: Claim) -> str:
    try:
        return system.generalize(guest, lambda: _note(claim, guest.vm, generalizing=True))
    except SysprepFailed:  # it has ended without doing it, so the guest may be started again
        _note(claim, guest.vm)
        raise


def _shut_down(prl: Prlctl, vm: Vm, claim: Claim, timeout: float) -> None:
    """Shut a generalized VM down. Unlike any other, it must not be asked again once it went down and came up again."""
    end = prl.clock() + timeout
    went_down = False
    while True:
        last = prl.run(PRLCTL, "stop", vm.uuid, "--noforce", limit=max(end - prl.clock(), 1))
        ask_again = min(end, prl.clock() + _ASK_AGAIN)
        while True:
            state = state_of(prl, vm.uuid)
            if state == STOPPED:
                return
            if state == RUNNING and went_down:
                _note(claim, vm)
                raise TaskError(
                    f"'{vm.name}' was generalized, but started again instead of shutting down, and that undoes it. See "
                    "what makes it start again (an update?), remove it, so that it is cloned anew (macops.parallels.vm "
                    "with state: absent), and run again.",
                    **last.details(),
                )
            went_down = went_down or state != RUNNING
            if prl.clock() >= (end if went_down else ask_again):
                break
            prl.sleep(_LOOK_PAUSE)
        if prl.clock() >= end:
            raise TaskError(
                f"'{vm.name}' is generalized, but did not shut down within {timeout:.0f} seconds: it is '{state}'. "
                "Look at its screen, then run again; it goes on from there.",
                state=state,
                **last.details(),
            )


def _foresee(prl: Prlctl, vm: Vm, order: GeneralizeOrder, system: System, notes: Mapping[str, Any]) -> Outcome:
    """Return what there would be, or raise what a real run would raise."""
    state, record = _judge(prl, vm, order, system, notes)
    if record:
        return Outcome(False, True, record, system.kept_proof, state)
    proof = system.proof(Guest(prl, vm, patience=order.wait_timeout)) if state == RUNNING else ""
    return Outcome(True, bool(proof), "", proof, state)


def _system_of(vm: Vm, order: GeneralizeOrder) -> System:
    if vm.family == WINDOWS:
        return Windows(order.unattend, order.mode_vm, order.timeout)
    if vm.family == LINUX:
        return Linux()
    raise TaskError(
        f"'{vm.name}' has the system '{vm.os}' ({vm.family}). Only Windows and Linux can be generalized: leave this "
        "out (image_generalize: false in the playbooks)."
    )


def _judge(prl: Prlctl, vm: Vm, order: GeneralizeOrder, system: System, notes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a VM, and when it was generalized if it still is; raise where it must not be touched."""
    state = wait_while_busy(prl, vm.uuid, BUSY_TIME)
    if state == RUNNING:
        return state, ""  # the guest itself can be asked
    if state != STOPPED:
        raise TaskError(
            f"'{vm.name}' is {state}. Resume it or shut it down first (macops.parallels.vm_power), then run again.",
            state=state,
        )
    mine = _notes_of(vm, notes)
    if _still_holds(mine, notes, get_vm(prl, vm.uuid).uptime):
        return state, str(mine["generalized_at"])
    if vm.packed:
        raise TaskError(
            f"'{vm.name}' is packed, and nothing shows that it was generalized before. Unpack it first "
            "(macops.parallels.image_pack with state: unpacked)."
        )
    if mine.get("generalizing") and system.start_spoils:
        raise TaskError(
            f"An earlier run began to generalize '{vm.name}' and broke off, and it was shut down since. Nobody can "
            "tell whether it is generalized, and if it is, starting it would run Windows' first setup. Remove it, so "
            "that it is cloned anew (macops.parallels.vm with state: absent), or start it by hand, see that Windows is "
            "well, and run again while it runs."
        )
    if not order.start:
        raise TaskError(
            f"'{vm.name}' is stopped, and nothing shows whether it is generalized. If it is not, start it or say "
            "start: true. If it is, leave it: starting it would run the first setup of its system."
        )
    return state, ""


def _notes_of(vm: Vm, notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the notes if they are about the generalizing of this VM."""
    return notes if notes.get("generalized_vm") == vm.uuid else {}


def _still_holds(mine: Mapping[str, Any], notes: Mapping[str, Any], uptime: int) -> bool:
    """Return whether a stopped VM is as it was when it was generalized."""
    if not mine.get("generalized_at"):
        return False
    low, high = mine.get("generalized_uptime") or (0, 0)
    if (
        not low
    ):  # Parallels does not count: only with a clone, which nobody but the playbook starts, that is good enough
        return notes.get("operation") == "clone"
    return low <= uptime <= high


def _uptime_note(uptime: int, shutdown: float) -> dict[str, Any]:
    return {"generalized_uptime": [uptime, uptime + int(shutdown) + _UPTIME_SLACK] if uptime else None}


def _note(claim: Claim, vm: Vm, **notes: Any) -> None:
    """Note how far it is; what an earlier time left is gone with that."""
    kept = {key: value for key, value in claim.notes.items() if not key.startswith("generaliz")}
    claim.write(**kept, **(dict(notes, generalized_vm=vm.uuid) if notes else {}))
