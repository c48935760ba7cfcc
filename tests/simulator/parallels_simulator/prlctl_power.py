# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl start, stop, restart, suspend, resume, pause, reset."""

from __future__ import annotations

import time

from . import texts
from .errors import CommandError
from .guest import boot
from .guest_client import tell
from .ids import new_uuid
from .session import Session
from .vms import Vm


def run_start(session: Session) -> int:
    """Start a VM, or resume one that is suspended or paused."""
    name = session.one_word(session.parse({"--rollback-mode": "rollback", "--recovery-mode": "recovery"}, {}))
    session.begin()
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_usable(session, vm)
        if session.mac.strike("start_fails"):
            raise session.fail(texts.not_possible(vm.name, "cannot be started"))
        if power == "running":
            raise session.fail(texts.not_possible(vm.name, "is already running"))
        if power in ("suspended", "paused"):
            resume(vm)
        else:
            power_on(vm)
    session.done()
    return 0


def _require_usable(session: Session, vm: Vm) -> None:
    if vm.packed:
        raise session.fail(texts.not_possible(vm.name, "is packed"))
    problem = vm.problem()
    if problem:
        raise session.fail(texts.not_possible(vm.name, f"is invalid: {problem}"))


def power_on(vm: Vm) -> None:
    """Begin the start of a stopped VM."""
    start_guest(vm)
    vm.record["started"] = time.time()
    _boot(vm)
    vm.begin(("starting", vm.mac.knob("start_polls"), "running"))


def start_guest(vm: Vm) -> None:
    """Boot a guest that has a root of its own."""
    vm.record["boot"] = new_uuid()
    tell(vm.mac, vm.record, "start")


def _boot(vm: Vm) -> None:
    vm.record["not_ready"] = vm.mac.knob("guest_ready_after")
    vm.record["boots"] = vm.record.get("boots", 0) + 1
    memory = vm.bundle.guest()
    if boot(memory):
        vm.bundle.save_guest(memory)


def _count_uptime(vm: Vm) -> None:
    """Add the time since the start to what the VM has run before."""
    vm.record["ran"] = vm.uptime()
    vm.record["started"] = 0


def resume(vm: Vm) -> None:
    """Begin the resumption of a suspended or paused VM."""
    if vm.record["state"] == "suspended":
        vm.bundle.drop_memory()
    tell(vm.mac, vm.record, "thaw")
    vm.record["started"] = time.time()
    vm.begin(("resuming", vm.mac.knob("resume_polls"), "running"))


def power_off(vm: Vm, graceful: bool = True) -> None:
    """Begin the end of a running VM: `stopping` for some looks, then busy for some operations."""
    tell(vm.mac, vm.record, "shutdown" if graceful else "stop")
    note_power_off(vm)


def note_power_off(vm: Vm) -> None:
    """Begin the end of a VM whose guest has ended."""
    _count_uptime(vm)
    vm.begin(("stopping", vm.mac.knob("stop_polls"), "stopped"))
    vm.be_busy("stopping")


def reboot(vm: Vm) -> None:
    """Begin a reboot: down, and up again."""
    tell(vm.mac, vm.record, "reboot")
    note_reboot(vm)


def note_reboot(vm: Vm) -> None:
    """Begin the reboot of a VM whose guest has rebooted."""
    _boot(vm)
    vm.begin(
        ("stopping", vm.mac.knob("stop_polls"), "stopped"),
        ("starting", max(1, vm.mac.knob("start_polls")), "running"),
    )


_STOP_FLAGS = {
    "--kill": "kill",
    "--fast": "kill",
    "--noforce": "noforce",
    "--acpi": "acpi",
    "--drop-state": "drop-state",
}


def run_stop(session: Session) -> int:
    """Stop a VM: gracefully, or as the flag says."""
    parsed = session.parse(_STOP_FLAGS, {})
    name = session.one_word(parsed)
    if len(parsed.flags) > 1:
        raise session.usage("Only one of --kill, --noforce, --acpi, --drop-state can be given.")
    session.begin()
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        answer = _stop(session, vm, power, next(iter(parsed.flags), ""))
    if answer == "ignored":
        time.sleep(session.mac.knob("stop_ignored_seconds"))
        if session.mac.knob("stop_ignored_rc") == "255":
            raise session.fail(texts.not_possible(vm.name, "did not shut down in time"))
        answer = "stop"
    if answer:
        session.done(answer)
    return 0


def _stop(session: Session, vm: Vm, power: str, how: str) -> str:
    mac = session.mac
    if power == "suspended" and (how == "drop-state" or (not how and mac.knob("stop_suspended") == "discard")):
        vm.bundle.drop_memory()
        power_off(vm, graceful=False)
        return "stop"
    if power == "suspended" and how != "kill":
        raise session.fail(texts.wrong_state(vm.name, power))
    if power in ("stopped", "suspended"):
        raise session.fail(texts.not_started(vm.name), rc=int(mac.knob("stop_on_stopped_rc")))
    if how == "kill":
        power_off(vm, graceful=False)
        return "kill"
    if power == "paused":
        raise session.fail(texts.wrong_state(vm.name, power))
    if mac.strike("stop_ignored"):
        return "stop"
    if mac.knob("graceful_stop") == "ignored":
        return "ignored"
    if mac.knob("graceful_stop") == "reboots_once" and not vm.record.get("rebooted"):
        vm.record["rebooted"] = True
        reboot(vm)
        return "stop"
    vm.record["rebooted"] = False
    power_off(vm)
    return "stop"


def _change(session: Session, allowed: tuple) -> Vm:
    """Return a VM in one of the allowed states; to be called under the lock."""
    name = session.one_word(session.parse({"--acpi": "acpi"}, {}))
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_usable(session, vm)
        if power not in allowed:
            reason = texts.not_started(vm.name) if power == "stopped" else texts.wrong_state(vm.name, power)
            raise session.fail(reason)
        return vm


def run_suspend(session: Session) -> int:
    """Save a guest's memory and stop it."""
    session.begin()
    with session.mac.locked():
        vm = _change(session, ("running", "paused"))
        vm.bundle.write_memory(new_uuid())
        tell(session.mac, vm.record, "freeze")
        _count_uptime(vm)
        vm.begin(("suspending", session.mac.knob("suspend_polls"), "suspended"))
    session.done()
    return 0


def run_resume(session: Session) -> int:
    """Go on with a suspended or paused VM."""
    session.begin()
    with session.mac.locked():
        resume(_change(session, ("suspended", "paused")))
    session.done()
    return 0


def run_pause(session: Session) -> int:
    """Halt a running VM."""
    session.begin()
    with session.mac.locked():
        vm = _change(session, ("running",))
        tell(session.mac, vm.record, "freeze")
        vm.record["state"] = "paused"
    session.done()
    return 0


def run_reset(session: Session) -> int:
    """Press the reset button."""
    session.begin()
    with session.mac.locked():
        vm = _change(session, ("running", "paused"))
        tell(session.mac, vm.record, "stop")
        power_on(vm)
    session.done()
    return 0


def run_restart(session: Session) -> int:
    """Ask the guest to reboot."""
    session.begin()
    with session.mac.locked():
        vm = _change(session, ("running",))
        if session.mac.knob("graceful_stop") == "ignored":
            raise CommandError(texts.failed(session.verb, "Operation canceled."))
        reboot(vm)
    session.done()
    return 0
