# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Generalizes Windows with Sysprep, run so that Windows stays up and the result can be read before the shutdown.

Sysprep may run for many minutes, so it is long work: see guest_work. Its name there is noted before it begins, so that
a later run finds it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping
from typing import Any, Callable

from .._common.errors import TaskError
from .guest import Guest
from .guest_work import NONE, RUNNING, STARTING, Work, new_name
from .sysprep import Preparation, log_sizes, name_failure, prepare

_SYSPREP = r"C:\Windows\System32\Sysprep\sysprep.exe"
_STATE_KEY = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State"

GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
_FIRST_SETUP = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"

_PAUSE = 3
# Sysprep may write the state a moment after it has ended.
_LOOKS_AFTER_END = 3
_MOST_PACKAGES = 20
# Sysprep keeps a copy of its own, which Windows reads at the first start.
_ANSWER_FILE = r"C:\Windows\Temp\macops-parallels-unattend.xml"


class SysprepFailed(TaskError):
    """Sysprep has finished, and Windows is not generalized."""


class _StillRunning(TaskError):
    """Sysprep has not finished in time."""


class Windows:
    """Generalizes a Windows guest; C(timeout) is for Sysprep.

    C(earlier) is the name of a Sysprep that an earlier run began, and did not see to its end.
    """

    kept_proof = GENERALIZED
    start_spoils = True

    def __init__(
        self,
        *,
        unattend: str,
        answer_file: str,
        mode_vm: bool,
        timeout: float,
        fixes: Collection[str],
        skip_rearm: bool,
        earlier: str = "",
    ) -> None:
        self._unattend = unattend
        self._answer_file = answer_file
        self._mode_vm = mode_vm
        self._timeout = timeout
        self._fixes = fixes
        self._skip_rearm = skip_rearm
        self._earlier = earlier

    def prepare(self, guest: Guest, *, dry: bool) -> Preparation:
        """Find and fix what stops Sysprep, unless it is at work already."""
        if self._has_begun(guest):
            return Preparation()
        self._refuse_bad_path(guest)
        return prepare(guest, self._fixes, skip_rearm=self._skip_rearm, timeout=self._timeout, dry=dry)

    def _refuse_bad_path(self, guest: Guest) -> None:
        if re.search(r"[\s\"]", self._unattend):
            raise TaskError(
                f"The path '{self._unattend}' of the answer file cannot be passed to Sysprep, because Parallels would "
                "split it at spaces. Choose a path without them."
            )
        if self._unattend and not guest.exists(self._unattend):
            raise TaskError(
                f"There is no answer file '{self._unattend}' in '{guest.vm.name}'. Put it there first, for example "
                "with the provisioning tasks, or leave out unattend."
            )

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

    def generalize(self, guest: Guest, begun: Callable[[str], None]) -> str:
        """Run Sysprep, wait until it has finished, and return the proof."""
        end = guest.prl.clock() + self._timeout
        logs: dict[str, int] = {}
        work = Work(guest, self._earlier or new_name())
        may_run = self._has_begun(guest)
        try:
            if not may_run:
                logs = log_sizes(guest)
                command = self._command(guest)
                begun(work.name)
                may_run = True
                work.begin(command)
            proof = self._wait(guest, work, end, logs)
        except TaskError as error:
            if not may_run or isinstance(error, SysprepFailed):  # else Sysprep may still read it
                with contextlib.suppress(TaskError):  # what went wrong before is worth more
                    self._delete_answer_file(guest)
            raise
        self._delete_answer_file(guest)
        return proof

    def _has_begun(self, guest: Guest) -> bool:
        """Return whether a Sysprep of an earlier run is at work, or has ended and nobody has read how."""
        if self._earlier and Work(guest, self._earlier).look() != NONE:
            return True
        return _is_at_work(guest)

    def _delete_answer_file(self, guest: Guest) -> None:
        if self._answer_file:
            guest.delete(_ANSWER_FILE)

    def _wait(self, guest: Guest, work: Work, end: float, logs: Mapping[str, int]) -> str:
        """Wait until Sysprep has finished, and return the proof that it has generalized Windows."""
        prl = guest.prl
        looks = 0
        while True:
            at_work = work.look() in (STARTING, RUNNING) or _is_at_work(guest)
            if not at_work:
                state = _image_state(guest)
                looks += 1
                if state == GENERALIZED:
                    _clear(work)
                    return state
                if looks >= _LOOKS_AFTER_END:
                    failed = _failed(guest, state, logs, _result_of(guest, work))
                    _clear(work)
                    raise failed
            else:
                looks = 0
                if prl.clock() >= end:
                    state = _image_state(guest)
                    raise _StillRunning(
                        f"Sysprep did not finish within {self._timeout:.0f} seconds in '{guest.vm.name}', where "
                        f"Windows is in the state {state}. {work.problem or 'It is still running.'} Check the screen, "
                        "then run again to wait once more, or raise timeout.",
                        image_state=state,
                    )
            prl.sleep(_PAUSE)

    def _command(self, guest: Guest) -> list[str]:
        command = [_SYSPREP, "/generalize", "/oobe", "/quit", "/quiet"]
        if self._mode_vm:
            command.append("/mode:vm")
        if self._answer_file:
            guest.write(_ANSWER_FILE, self._answer_file.encode())
            command.append(f"/unattend:{_ANSWER_FILE}")
        elif self._unattend:
            command.append(f"/unattend:{self._unattend}")
        return command


def _result_of(guest: Guest, work: Work) -> dict[str, Any]:
    """Return the result of Sysprep itself, where it is known."""
    with contextlib.suppress(TaskError):
        return guest.conclude(work.outcome(), [_SYSPREP], limit=0).details()
    return {}


def _clear(work: Work) -> None:
    with contextlib.suppress(TaskError):  # what Sysprep did is worth more than what it leaves
        work.remove()


def _failed(guest: Guest, state: str, logs: Mapping[str, int], result: Mapping[str, Any]) -> SysprepFailed:
    """Return the error with what Sysprep's logs say."""
    failure = name_failure(guest, logs)
    said = f"Its log ({failure.log}) says: {' | '.join(failure.lines)} " if failure.lines else ""
    names = f"The packages are {', '.join(failure.packages[:_MOST_PACKAGES])}. " if failure.packages else ""
    advice = failure.cause.advice if failure.cause else "Fix the reported problem in the guest."
    return SysprepFailed(
        f"Sysprep finished in '{guest.vm.name}' without generalizing Windows, which is in the state {state}. {said}"
        f"{names}{advice} The virtual machine is still running: run again when that is done, and fix the source VM too "
        "for the next image.",
        **result,
        image_state=state,
        cause=failure.cause.id if failure.cause else "",
        packages=list(failure.packages),
        sysprep_log="\n".join(failure.lines),
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
