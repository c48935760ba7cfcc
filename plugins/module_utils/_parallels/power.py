# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Starts, stops and suspends a VM: gracefully, with a timeout, and without discarding memory unless asked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .._common.errors import TaskError
from .cli import PRLCTL, Prlctl, Result, failure, is_transient, remedy_for
from .vm import (
    INVALID,
    PAUSED,
    RUNNING,
    STOPPED,
    SUSPENDED,
    Vm,
    is_busy,
    refuse_intermediate,
    state_of,
    wait_for_state,
    wait_while_busy,
)

START = "start"
RESUME = "resume"
STOP = "stop"
KILL = "kill"
DROP_STATE = "drop_state"
SUSPEND = "suspend"
NOTHING = "none"

# (state, wanted state) -> value of `suspended` -> steps. The others need no decision, see _STEPS.
_TOLD_STEPS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    (SUSPENDED, STOPPED): {"resume": (RESUME, STOP), "discard": (DROP_STATE,)},
    (SUSPENDED, RUNNING): {"resume": (RESUME,), "discard": (DROP_STATE, START)},
    (PAUSED, STOPPED): {"resume": (RESUME, STOP), "discard": (KILL,)},
    (PAUSED, RUNNING): {"resume": (RESUME,), "discard": (KILL, START)},
    (PAUSED, SUSPENDED): {"resume": (RESUME, SUSPEND)},
}
_STEPS: dict[tuple[str, str], tuple[str, ...]] = {
    (RUNNING, STOPPED): (STOP,),
    (RUNNING, SUSPENDED): (SUSPEND,),
    (STOPPED, RUNNING): (START,),
}

_REACHES = {START: RUNNING, RESUME: RUNNING, STOP: STOPPED, KILL: STOPPED, DROP_STATE: STOPPED, SUSPEND: SUSPENDED}
_COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    START: ("start", ()),
    RESUME: ("resume", ()),
    KILL: ("stop", ("--kill",)),
    DROP_STATE: ("stop", ("--drop-state",)),
    SUSPEND: ("suspend", ()),
}
_KILL_TIME = 120
_BUSY_PAUSE = 3  # before the request to a guest is repeated that did not reach it


@dataclass(frozen=True)
class PowerChange:
    """A change of the power state: C(method) is the step that brought the VM to it."""

    state: str
    previous_state: str
    method: str


def steps_to(vm: Vm, state: str, wanted: str, suspended: str) -> tuple[str, ...]:
    """Return the steps from one state to another; C(suspended) says what to do with a suspended or paused VM."""
    if state == INVALID:
        raise TaskError(
            f"The files of '{vm.name}' are missing or unreadable ({vm.home or 'unknown place'}). Connect the disk "
            "they are on or restore them, or unregister the virtual machine."
        )
    if state == wanted:
        return ()
    if wanted != STOPPED:
        refuse_intermediate(vm)
    if wanted != STOPPED and vm.packed:
        raise TaskError(f"'{vm.name}' is packed. Unpack it first (macops.parallels.image_pack with state: unpacked).")
    if (state, wanted) in _STEPS:
        return _STEPS[state, wanted]
    told = _TOLD_STEPS.get((state, wanted), {})
    if suspended in told:
        return told[suspended]
    if not told:
        raise TaskError(f"'{vm.name}' is {state}, so it cannot be changed to the state '{wanted}'. Start it first.")
    ways = {
        "resume": "suspended: resume continues where it stopped",
        "discard": "suspended: discard loses its memory, like a forced power-off",
    }
    raise TaskError(
        f"'{vm.name}' is {state}, and its memory is not discarded by default. Resume it and shut it down by hand, or "
        f"choose what to do: {'; '.join(ways[way] for way in told)}."
    )


def set_power(
    prl: Prlctl, vm: Vm, wanted: str, *, timeout: float, force: bool = False, suspended: str = "fail", dry: bool = False
) -> PowerChange:
    """Bring a VM to a state. With C(dry), only return what would be done."""
    before = wait_while_busy(prl, vm.uuid, timeout)
    method = NOTHING
    for step in steps_to(vm, before, wanted, suspended):
        method = step if dry else _take(prl, vm, step, timeout, force)
    return PowerChange(wanted, before, method)


def _take(prl: Prlctl, vm: Vm, step: str, timeout: float, force: bool) -> str:
    """Take one step, and return the step that was actually taken."""
    if step != STOP:
        _command(prl, vm, step, timeout)
        return step
    last = _shut_down(prl, vm, timeout)
    if last is None:
        return STOP
    if force:
        _command(prl, vm, KILL, _KILL_TIME)
        return KILL
    state = state_of(prl, vm.uuid)
    raise TaskError(
        f"'{vm.name}' did not shut down within {timeout:.0f} seconds: it is '{state}'. Check its screen (a dialog "
        "or an update may block the shutdown) and its Parallels Tools, and raise the timeout. If nothing can be lost, "
        "force power-off (macops.parallels.vm_power with force: true).",
        state=state,
        **last.details(),
    )


def _command(prl: Prlctl, vm: Vm, step: str, timeout: float) -> None:
    verb, options = _COMMANDS[step]
    prl.change(
        f"{step.replace('_', ' ')} '{vm.name}'",
        [verb, vm.uuid, *options],
        lambda: state_of(prl, vm.uuid) == _REACHES[step],
        limit=timeout,
        settle=timeout,
    )


def _shut_down(prl: Prlctl, vm: Vm, timeout: float) -> Optional[Result]:
    """Ask the guest to shut down until it is stopped, then return None; after the timeout, return the last result.

    The request is repeated while the guest runs: Windows may finish an update by restarting instead of shutting down.
    The end of the command means nothing; --noforce keeps prlctl from forcing a power-off after a while.
    """
    end = prl.clock() + timeout
    patience = 15.0
    while True:
        last = prl.run(PRLCTL, "stop", vm.uuid, "--noforce", limit=max(end - prl.clock(), 1))
        pause = _BUSY_PAUSE if is_transient(last) else patience
        state = wait_for_state(prl, vm.uuid, {STOPPED}, min(pause, end - prl.clock()))
        remedy = remedy_for(last) if last.rc else None
        if state == RUNNING and remedy and not remedy.passes:
            raise failure(f"Parallels could not shut down '{vm.name}'", last)
        while is_busy(state) and prl.clock() < end:
            state = wait_for_state(prl, vm.uuid, {STOPPED, RUNNING}, end - prl.clock())
        if state == STOPPED:
            return None
        if prl.clock() >= end:
            return last
        patience = min(patience * 2, 120)
