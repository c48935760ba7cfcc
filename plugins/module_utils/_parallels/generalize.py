# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Generalizes a VM and shuts it down in that state: with Sysprep in Windows, by removing identity files in Linux.

Only the running guest shows whether it is generalized, and starting a generalized Windows runs its first setup, which
undoes it. So the proof is noted in the claim beside the VM's bundle (for a clone, that is the clone's own claim):
C(generalized_vm) the UUID, C(generalizing) that it has begun, as the name of the long work in the guest if it is that
(see guest_work), C(generalized_at) when it was verified,
C(generalized_uptime) the range in which the VM's uptime stays until it is started again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Protocol

from .._common.claim import Claim, read_claim
from .._common.errors import TaskError
from .._common.notice import Notice, unheard
from .cli import PRLCTL, Prlctl
from .generalize_linux import Linux
from .generalize_windows import SysprepFailed, Windows
from .guest import LINUX, WINDOWS, Guest
from .guest_work import is_name
from .idle import kept_running_under, turn_on_again
from .power import set_power
from .sysprep import Preparation
from .uptime import has_not_run, uptime_range
from .vm import BUSY_TIME, RUNNING, STOPPED, Vm, get_vm, state_of, wait_while_busy

_ASK_AGAIN = 60  # seconds after which a guest that ignored the request is asked again to shut down
_LOOK_PAUSE = 1


class System(Protocol):
    """How a guest system is generalized."""

    kept_proof: str  # what proof() returns for a generalized guest
    start_spoils: bool  # whether starting the guest undoes it

    def proof(self, guest: Guest) -> str:
        """Return the proof that a running guest is generalized; empty when it is not."""

    def prepare(self, guest: Guest, *, dry: bool) -> Preparation:
        """Find what stops it, and fix what was ordered; raise TaskError when something is left.

        In a dry run, nothing is fixed.
        """

    def generalize(self, guest: Guest, begun: Callable[[str], None]) -> str:
        """Generalize a running guest, and return the proof; raise TaskError when there is none.

        C(begun) is called before the first step that cannot be undone, with the name of the work in the guest if it
        has one.
        """


@dataclass(frozen=True)
class GeneralizeOrder:
    """The options of the module. Times are in seconds."""

    start: bool = False
    unattend: str = ""
    # The content of an answer file, which is put into the guest and deleted there afterwards.
    answer_file: str = ""
    mode_vm: bool = False
    fixes: tuple[str, ...] = ()
    skip_rearm: bool = False
    timeout: float = 1800
    wait_timeout: float = 300
    stop_timeout: float = 300


@dataclass(frozen=True)
class Outcome:
    """The result, or in a dry run the expected one."""

    changed: bool
    was_generalized: bool
    generalized_at: str
    proof: str
    previous_state: str
    preparation: Preparation = field(default_factory=Preparation)


@dataclass(frozen=True)
class Noted:
    """What is noted of a VM beside its bundle."""

    # None where it may have run since it was generalized, or where that has begun and nobody noted the end.
    generalized: Optional[bool]
    # Whether it has begun, and nobody noted the end; None where the note cannot be read.
    generalizing: Optional[bool]


def noted(vm: Vm) -> Noted:
    """Return what runs of C(generalize) have noted of a VM, without asking its guest."""
    try:
        os.lstat(vm.home)  # a note on a disk that is not mounted is not a missing note
        notes = read_claim(vm.bundle)
    except (TaskError, OSError):  # it cannot be read
        return Noted(None, None)
    mine = _notes_of(vm, notes)
    if not mine:
        return Noted(False, False)
    begun = bool(mine.get("generalizing"))
    holds = vm.state == STOPPED and _still_holds(mine, notes, vm.uptime)
    return Noted(True if holds else None, begun)


def generalize(prl: Prlctl, vm: Vm, order: GeneralizeOrder, *, dry: bool, waits: Notice = unheard) -> Outcome:
    """Bring a VM into the state generalized and stopped. For C(waits) see Guest."""
    system = _system_of(vm, order)
    target = vm.bundle
    if dry:
        return _foresee(prl, vm, order, system, read_claim(target))
    with Claim.take(target, wait=order.timeout, sleep=prl.sleep, clock=prl.clock) as claim:
        state, record = _judge(prl, vm, order, system, claim.notes)
        if record:
            turn_on_again(prl, vm, claim)
            return Outcome(False, True, record, system.kept_proof, state)
        with kept_running_under(prl, vm, claim):
            if state == STOPPED:
                set_power(prl, vm, RUNNING, timeout=order.wait_timeout)
            guest = Guest(prl, vm, patience=order.wait_timeout, waits=waits)
            system = _system_of(vm, order, claim.notes)
            proof = system.proof(guest)
            before = bool(proof)
            preparation = Preparation()
            if not before:
                preparation = system.prepare(guest, dry=False)
                proof = _change(guest, system, claim)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # Noted before the shutdown, so that a later run that finds it stopped knows that it must not be started.
        uptime = get_vm(prl, vm.uuid).uptime
        _note(claim, vm, generalized_at=at, generalized_uptime=uptime_range(uptime, order.stop_timeout))
        _shut_down(prl, vm, claim, order.stop_timeout)
        _note(claim, vm, generalized_at=at, generalized_uptime=uptime_range(get_vm(prl, vm.uuid).uptime, 0))
        return Outcome(True, before, at, proof, state, preparation)


def _change(guest: Guest, system: System, claim: Claim) -> str:
    try:
        return system.generalize(guest, lambda work: _note(claim, guest.vm, generalizing=work or True))
    except SysprepFailed:  # Windows is not generalized, so the guest may be started again
        _note(claim, guest.vm)
        raise


def _shut_down(prl: Prlctl, vm: Vm, claim: Claim, timeout: float) -> None:
    """Shut down a generalized VM. Unlike others, it must not be asked again once it went down and came up again."""
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
                    f"'{vm.name}' was generalized, but restarted instead of shutting down, which undoes it. Find out "
                    "why it restarts (an update?). Remove it (macops.parallels.vm with state: absent), so that it is "
                    "cloned again, then run again.",
                    **last.details(),
                )
            went_down = went_down or state != RUNNING
            if prl.clock() >= (end if went_down else ask_again):
                break
            prl.sleep(_LOOK_PAUSE)
        if prl.clock() >= end:
            raise TaskError(
                f"'{vm.name}' is generalized, but did not shut down within {timeout:.0f} seconds: it is '{state}'. "
                "Check its screen, then run again: the run resumes from there.",
                state=state,
                **last.details(),
            )


def _foresee(prl: Prlctl, vm: Vm, order: GeneralizeOrder, system: System, notes: Mapping[str, Any]) -> Outcome:
    """Return the expected result, or raise what a real run would raise."""
    state, record = _judge(prl, vm, order, system, notes)
    if record:
        return Outcome(False, True, record, system.kept_proof, state)
    if state != RUNNING:
        return Outcome(True, False, "", "", state)
    guest = Guest(prl, vm, patience=order.wait_timeout)
    system = _system_of(vm, order, notes)
    proof = system.proof(guest)
    return Outcome(True, bool(proof), "", proof, state, Preparation() if proof else system.prepare(guest, dry=True))


def _system_of(vm: Vm, order: GeneralizeOrder, notes: Optional[Mapping[str, Any]] = None) -> System:
    """Return how its system is generalized; C(notes) name the work of a run that did not see the end of it."""
    earlier = str(_notes_of(vm, notes or {}).get("generalizing", ""))
    if vm.family == WINDOWS:
        return Windows(
            unattend=order.unattend,
            answer_file=order.answer_file,
            mode_vm=order.mode_vm,
            timeout=order.timeout,
            fixes=order.fixes,
            skip_rearm=order.skip_rearm,
            earlier=earlier if is_name(earlier) else "",
        )
    if vm.family == LINUX:
        return Linux()
    raise TaskError(
        f"'{vm.name}' has the system '{vm.os}' ({vm.family}). Only Windows and Linux can be generalized. Skip this "
        "step (image_generalize: false in the playbooks)."
    )


def _judge(prl: Prlctl, vm: Vm, order: GeneralizeOrder, system: System, notes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a VM, and when it was generalized if it still is; raise where it must not be touched."""
    state = wait_while_busy(prl, vm.uuid, BUSY_TIME)
    if state == RUNNING:
        return state, ""  # the guest itself shows it
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
            f"An earlier run was interrupted while it generalized '{vm.name}', which has been shut down since. It is "
            "not known whether it is generalized. If it is, starting it would run the first setup of Windows. Remove "
            "it (macops.parallels.vm with state: absent), so that it is cloned again. Or start it by hand, make sure "
            "that Windows works, and run again while it is running."
        )
    if not order.start:
        raise TaskError(
            f"'{vm.name}' is stopped, and nothing shows whether it is generalized. If it is not, start it or set "
            "start: true. If it is, leave it stopped: starting it would run the first setup of its system."
        )
    return state, ""


def _notes_of(vm: Vm, notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the notes if they are about the generalizing of this VM."""
    return notes if notes.get("generalized_vm") == vm.uuid else {}


def _still_holds(mine: Mapping[str, Any], notes: Mapping[str, Any], uptime: int) -> bool:
    """Return whether a stopped VM is as it was when it was generalized."""
    if not mine.get("generalized_at"):
        return False
    return has_not_run(notes, mine.get("generalized_uptime"), uptime)


def _note(claim: Claim, vm: Vm, **notes: Any) -> None:
    """Note the progress, in place of earlier notes about generalizing."""
    kept = {key: value for key, value in claim.notes.items() if not key.startswith("generaliz")}
    claim.write(**kept, **(dict(notes, generalized_vm=vm.uuid) if notes else {}))
