# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Generalizes Windows with Sysprep, run so that Windows stays up and the result can be read before the shutdown."""

from __future__ import annotations

import re
from typing import Any, Callable

from .._common.errors import TaskError
from .guest import Guest

_SYSPREP = r"C:\Windows\System32\Sysprep\sysprep.exe"
_LOG = r"C:\Windows\System32\Sysprep\Panther\setuperr.log"
_STATE_KEY = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State"

GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
_FIRST_SETUP = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"

_PAUSE = 3
# Sysprep may write the state a moment after it has ended.
_LOOKS_AFTER_END = 3
_LOG_TAIL = 1500
_LOG_LINES_IN_MESSAGE = 3

# Text in Sysprep's log -> advice for the admin.
_ADVICE = (
    (
        r"installed for a user, but not provisioned for all users|0x80073cf2",
        "An app was installed from the Store for one user only. Remove it in the guest (Get-AppxPackage "
        "-AllUsers NAME | Remove-AppxPackage -AllUsers), or install it for every user.",
    ),
    (
        r"BitLocker|0x80310039",
        "BitLocker or device encryption is on. Decrypt the disk in the guest (manage-bde -off C:), and wait until that "
        "has finished.",
    ),
    (
        r"reserved storage|0x800f0975|pending (update|reboot|restart)|updates? (is|are) (in progress|pending)",
        "Windows is installing updates. Let them finish in the guest, and restart it.",
    ),
    (
        r"rearm|0xc004d307",
        "The Windows license has been reset as often as allowed, so Windows cannot be generalized any more. Make a new "
        "source VM.",
    ),
)
_GENERAL_ADVICE = "Fix the reported problem in the guest."


class SysprepFailed(TaskError):
    """Sysprep has finished, and Windows is not generalized."""


class Windows:
    """Generalizes a Windows guest; C(timeout) is for Sysprep."""

    kept_proof = GENERALIZED
    start_spoils = True

    def __init__(self, unattend: str, mode_vm: bool, timeout: float) -> None:
        self._unattend = unattend
        self._mode_vm = mode_vm
        self._timeout = timeout

    def proof(self, guest: Guest) -> str:
        """Return the proof that a running guest is generalized; empty when it is not."""
        state = _image_state(guest)
        if state == _FIRST_SETUP:
            raise TaskError(
                f"Windows in '{guest.vm.name}' is in its first setup: it was generalized and has been started since. "
                "Complete the setup at its screen, or remove the virtual machine and make it again from its source.",
                image_state=state,
            )
        return state if state == GENERALIZED else ""

    def generalize(self, guest: Guest, begun: Callable[[], None]) -> str:
        """Run Sysprep, wait until it has finished, and return the proof."""
        prl = guest.prl
        end = prl.clock() + self._timeout
        result: dict[str, Any] = {}
        if not _is_at_work(guest):  # else Sysprep of an earlier run, which was interrupted, is still running
            command = self._command(guest)
            begun()
            result = guest.begin(command, limit=self._timeout).details()
        looks = 0
        while True:
            at_work = _is_at_work(guest)
            state = _image_state(guest)
            if state == GENERALIZED and not at_work:
                return state
            looks = 0 if at_work else looks + 1
            if looks >= _LOOKS_AFTER_END:
                raise _failed(guest, state, result)
            if at_work and prl.clock() >= end:
                raise TaskError(
                    f"Sysprep did not finish within {self._timeout:.0f} seconds in '{guest.vm.name}', where Windows is "
                    f"in the state {state}. It is still running. Check the screen, then run again to wait once more, "
                    "or raise timeout.",
                    **result,
                    image_state=state,
                )
            prl.sleep(_PAUSE)

    def _command(self, guest: Guest) -> list[str]:
        command = [_SYSPREP, "/generalize", "/oobe", "/quit", "/quiet"]
        if self._mode_vm:
            command.append("/mode:vm")
        if self._unattend:
            if re.search(r"[\s\"]", self._unattend):
                raise TaskError(
                    f"The path '{self._unattend}' of the answer file cannot be passed to Sysprep, because Parallels "
                    "would split it at spaces. Choose a path without them."
                )
            if not guest.exists(self._unattend):
                raise TaskError(
                    f"There is no answer file '{self._unattend}' in '{guest.vm.name}'. Put it there first, for example "
                    "with the provisioning tasks, or leave out unattend."
                )
            command.append(f"/unattend:{self._unattend}")
        return command


def _failed(guest: Guest, state: str, result: dict[str, Any]) -> SysprepFailed:
    """Return the error with the last lines of Sysprep's log."""
    log = guest.ask(["cmd", "/c", "type", _LOG]).stdout.strip()[-_LOG_TAIL:]
    advice = next((text for pattern, text in _ADVICE if re.search(pattern, log, re.IGNORECASE)), _GENERAL_ADVICE)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = f"Its log ({_LOG}) ends with: {' | '.join(lines[-_LOG_LINES_IN_MESSAGE:])} " if lines else ""
    return SysprepFailed(
        f"Sysprep finished in '{guest.vm.name}' without generalizing Windows, which is in the state {state}. {said}"
        f"{advice} The virtual machine is still running: run again when that is done, and fix the source VM too "
        "for the next image.",
        **result,
        image_state=state,
        sysprep_log=log,
    )


def _image_state(guest: Guest) -> str:
    result = guest.ask(["reg", "query", _STATE_KEY, "/v", "ImageState"])
    found = re.search(r"\bIMAGE_STATE_\w+", result.stdout)
    if found is None:
        raise TaskError(
            f"The state of Windows in '{guest.vm.name}' cannot be read from its registry ({_STATE_KEY}, ImageState). "
            "Check the guest: it may not be Windows, or its setup may not have finished.",
            **result.details(),
        )
    return found.group()


def _is_at_work(guest: Guest) -> bool:
    """Return whether Sysprep runs in the guest."""
    return "sysprep.exe" in guest.ask(["tasklist", "/nh"]).stdout.lower()
