# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Finds out why a guest takes no command, from what Parallels says and what it knows about the VM.

prlctl says the same about a guest that is still booting, one without Parallels Tools, an isolated one, and a wrong
password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from .._common.errors import TaskError
from .cli import Prlctl, Result, failure, is_transient, remedy_for
from .guest_session import NO_SESSION
from .vm import RUNNING, find_vm, is_busy, no_such_vm

# prlctl has lost the handle of its own request, before the guest has begun.
_HANDLE_FAULT = re.compile(r"(PrlJob_GetRetCode|PrlJob_GetResult|PrlVmGuest_RunProgram): Invalid argument")
_AGENT_FAULT = re.compile(r"PrlResult_GetParamByIndex")

BOOTING = "booting"
NO_TOOLS = "no_tools"
ISOLATED = "isolated"
NOT_RUNNING = "not_running"
NOT_SIGNED_IN = "not_signed_in"
WRONG_LOGIN = "wrong_login"
HANDLE_FAULT = "handle_fault"
NO_ANSWER = "no_answer"
OTHER = "other"


@dataclass(frozen=True)
class Obstacle:
    """Why a guest takes no command."""

    kind: str
    reason: str  # a sentence, to be shown while it is waited for
    advice: str
    passes: bool  # whether it may go away by itself


def find_obstacle(
    prl: Prlctl, uuid: str, result: Result, *, user: str, current_user: bool, root_works: bool
) -> Obstacle:
    """Return why a command could not be started. C(result) is that of prlctl.

    C(root_works) says that the guest has just opened a session without a login. So what failed is the login.
    """
    said = result.said
    if NO_SESSION.search(said) and root_works and (user or current_user):
        return _login_obstacle(user)
    try:
        return _from_words(said, result) or _from_facts(prl, uuid, said)
    except TaskError as error:  # Parallels does not answer questions either
        return Obstacle(OTHER, error.message, "", is_transient(result))


def _login_obstacle(user: str) -> Obstacle:
    if user:
        return Obstacle(
            WRONG_LOGIN,
            f"The guest responds, but did not open a session for the user '{user}'.",
            "Check user and password. They were tried only once, so that the account is not locked.",
            passes=False,
        )
    return Obstacle(
        NOT_SIGNED_IN,
        "The guest responds, but nobody is signed in at its screen.",
        "Sign in there or turn on automatic sign-in in the guest, or leave out current_user.",
        passes=True,
    )


def _from_words(said: str, result: Result) -> Optional[Obstacle]:
    """Return the obstacle that prlctl names; None for one that has several causes."""
    if _HANDLE_FAULT.search(said):
        return Obstacle(
            HANDLE_FAULT,
            "prlctl lost its own request before the guest began (a known fault of Parallels 26.4 to 27.0.2).",
            "Run again. If it keeps happening, restart the virtual machine, or update Parallels Desktop.",
            passes=True,
        )
    if _AGENT_FAULT.search(said):
        return Obstacle(
            HANDLE_FAULT,
            "Parallels Tools in the guest do not respond correctly.",
            "Restart the virtual machine.",
            passes=True,
        )
    if NO_SESSION.search(said):
        return None
    remedy = remedy_for(result)
    if remedy is not None or is_transient(result):
        return Obstacle(OTHER, failure("Parallels could not run a command", result).message, "", is_transient(result))
    return None


def _from_facts(prl: Prlctl, uuid: str, said: str) -> Obstacle:
    vm = find_vm(prl, uuid, partly=True)
    if vm is None:
        raise no_such_vm(uuid)
    if is_busy(vm.state):
        return Obstacle(
            BOOTING,
            f"'{vm.name}' is {vm.state}.",
            "Wait until Parallels has finished (Control Center shows it), then run again.",
            passes=True,
        )
    if vm.state != RUNNING:
        return Obstacle(
            NOT_RUNNING,
            f"'{vm.name}' is {vm.state}, but commands need a running virtual machine.",
            "Start it first (macops.parallels.vm_power with state: running).",
            passes=False,
        )
    if vm.settings.isolated:
        return Obstacle(
            ISOLATED,
            f"'{vm.name}' is isolated from the Mac, so Parallels runs no commands in it.",
            "End the isolation (`prlctl set VM --isolate-vm off`), then run again.",
            passes=False,
        )
    if not NO_SESSION.search(said):
        return Obstacle(
            NO_ANSWER,
            f"'{vm.name}' opened a session, but did not answer in it.",
            "Check the virtual machine's screen, and restart it if it hangs. If its system is not "
            f"{'Windows' if vm.family == 'windows' else 'Linux or macOS'}, correct its type in Parallels Desktop "
            "(and ansible_shell_type).",
            passes=True,
        )
    if vm.tools.get("state") == "not_installed":
        return Obstacle(
            NO_TOOLS,
            f"Parallels reports no Parallels Tools in '{vm.name}'.",
            "Install Parallels Tools in the guest. If they are installed, restart the virtual machine.",
            passes=True,  # they are reported late after a start
        )
    return Obstacle(
        BOOTING,
        f"The system of '{vm.name}' is still booting, or its Parallels Tools do not respond yet.",
        "Check the virtual machine's screen. Update Parallels Tools in the guest.",
        passes=True,
    )
