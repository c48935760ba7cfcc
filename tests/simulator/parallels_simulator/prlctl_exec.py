# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl exec."""

from __future__ import annotations

from . import jobs, texts
from .errors import CommandError
from .guest import Answer, run_command
from .prlctl_power import power_off, reboot
from .session import Session
from .vms import Vm

_LONGEST = 3900


def run_exec(session: Session) -> int:
    """Run a command in the guest; its exit code is ours."""
    if not session.arguments:
        raise session.usage("The virtual machine is not specified.")
    name, words = session.arguments[0], list(session.arguments[1:])
    mac = session.mac
    with mac.locked() as state:
        vm = session.require(state, name)  # an option before the name is looked for as a name, as the real one does
        current_user = _take_options(session, words)
        if not words:
            raise session.usage("The command is not specified.")
        too_long = len(" ".join(words).encode()) > _LONGEST and mac.knob("exec_long_arguments") == "hang"
        if not too_long:
            answer = _run(session, vm, words, current_user)
    if too_long:
        jobs.hang()
    session.console.raw(answer.stdout)
    if answer.stderr:
        session.console.err(answer.stderr.rstrip("\r\n"))
    return answer.rc


def _take_options(session: Session, words: list[str]) -> bool:
    current_user = False
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--current-user":
            current_user = True
        elif option in ("-u", "--user", "--password") and words:
            words.pop(0)
        else:
            raise session.usage(f"Unrecognized option: {option}")
    return current_user


def _run(session: Session, vm: Vm, words: list[str], current_user: bool) -> Answer:
    mac = session.mac
    if vm.look() not in ("running", "starting", "resuming"):
        raise session.fail(texts.not_started(vm.name))
    config = vm.config()
    if (
        vm.record["transition"]
        or config.isolated
        or config.tools == "not_installed"
        or mac.strike("exec_not_ready")
        or _still_booting(vm)
    ):
        raise CommandError(texts.NO_SESSION)
    memory = vm.bundle.guest()
    before = repr(memory)
    answer = run_command(config, memory, words, current_user, mac.knob("sysprep"))
    if repr(memory) != before:
        vm.bundle.save_guest(memory)
    if answer.power:
        power_off(vm) if answer.power == "off" else reboot(vm)
        if mac.strike("exec_dies_at_shutdown"):
            raise CommandError(texts.JOB_ERROR)
    return answer


def _still_booting(vm: Vm) -> bool:
    if vm.record["not_ready"] > 0:
        vm.record["not_ready"] -= 1
        return True
    return False
