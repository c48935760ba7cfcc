# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The source VM of clones: shut down while one or several runs clone it, and started again by the last of them.

Each run holds a shared claim on the source while it clones it. The claim's note that the source was running
(C(restart)) outlives its holders: after a kill of all of them, the next run that clones this source starts it again.
A second claim is the turn: only one run at a time shuts the source down and clones it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Optional

from .._common.claim import Claim
from .._common.errors import Interrupted, TaskError
from .._common.ownership import own_folder
from .cli import Prlctl
from .power import set_power
from .vm import RUNNING, STOPPED, Vm, state_of, wait_for_state, wait_while_busy

FOLDER = "~/.ansible/macops.parallels/cloned"
_OPERATION = "cloned"

# Seconds that a source gets to shut down after all, when the run that asked it to was interrupted.
_CANCEL_TIME = 120
# A program that works on the source may have survived the run that started it.
_RESTART_PATIENCE = 3600
# The source was running: starting it again is worth more than one attempt.
_RESTART_PAUSES = (5, 15)


class HeldSource:
    """A source VM that this run holds, so that no other run starts it."""

    def __init__(self, prl: Prlctl, vm: Vm, share: Claim) -> None:
        self._prl = prl
        self._vm = vm
        self._share = share
        self._alone = False
        # Until when it may still shut down, because it was asked to.
        self._going_down_until: Optional[float] = None

    @classmethod
    def take(cls, prl: Prlctl, vm: Vm, wait: float) -> HeldSource:
        """Hold the source VM; wait for a run that is starting it again."""
        own_folder(FOLDER)
        share = Claim.take(_target(vm.uuid), wait=wait, sleep=prl.sleep, clock=prl.clock, shared=True)
        return cls(prl, vm, share)

    @property
    def descriptor(self) -> int:
        """The open file that a program keeps open that works on the source."""
        return self._share.descriptor

    @property
    def was_running(self) -> bool:
        """Whether it was running before it was cloned, and has to be started again."""
        return bool(self._share.notes.get("restart"))

    def turn(self, wait: float) -> Claim:
        """Wait for the turn to shut it down and clone it."""
        return Claim.take(f"{_target(self._vm.uuid)}.turn", wait=wait, sleep=self._prl.sleep, clock=self._prl.clock)

    def note_running(self) -> None:
        """Note that it has to be started again. All holders write the same note."""
        if not self.was_running:
            self._share.write(operation=_OPERATION, vm=self._vm.uuid, name=self._vm.name, restart=True)

    def shut_down(self, timeout: float) -> None:
        """Shut it down gracefully, to be started again later."""
        self.note_running()
        self._going_down_until = self._prl.clock() + min(timeout, _CANCEL_TIME)
        set_power(self._prl, self._vm, STOPPED, timeout=timeout)
        self._going_down_until = None

    def let_go(self) -> bool:
        """Start it again if it was running and no other run holds it; an interruption does not keep it from that.

        Returns False when it was asked to shut down and still may: then the note that it was running stays.
        """
        try:
            return self._leave()
        except Interrupted:  # which happens only once
            with contextlib.suppress(TaskError, OSError):
                self._leave()
            raise
        finally:
            self._share.release()

    def _leave(self) -> bool:
        if not self._alone:
            if self._share.descriptor < 0 or not self._share.take_alone():
                return True  # the last one of the others starts it
            self._alone = True
        if self.was_running and not self._start_again():
            return False
        self._share.remove()
        return True

    def _start_again(self) -> bool:
        """Start it once it is down; return False when it was asked to shut down, but has not done so yet."""
        end = self._prl.clock() + _RESTART_PATIENCE
        for pause in (*_RESTART_PAUSES, None):
            try:
                if not self._went_down():
                    return False
                if wait_while_busy(self._prl, self._vm.uuid, max(end - self._prl.clock(), 0)) == STOPPED:
                    self._start()
                return True
            except (TaskError, OSError) as problem:
                if pause is None:
                    details = problem.details if isinstance(problem, TaskError) else {}
                    raise TaskError(
                        f"The source VM '{self._vm.name}' was running before and could not be started again: "
                        f"{problem} Start it by hand, or run the same command again.",
                        **details,
                    ) from problem
            self._prl.sleep(pause)
        return False

    def _went_down(self) -> bool:
        if self._going_down_until is None:
            return True
        left = max(self._going_down_until - self._prl.clock(), 0)
        return wait_for_state(self._prl, self._vm.uuid, {STOPPED}, left) == STOPPED

    def _start(self) -> None:
        self._prl.change(
            f"start '{self._vm.name}' again",
            ["start", self._vm.uuid],
            lambda: state_of(self._prl, self._vm.uuid) == RUNNING,
            patience=_RESTART_PATIENCE,
            settle=300,
        )


def start_again(prl: Prlctl, vm: Vm, wait: float) -> None:
    """Start a source VM that an interrupted run left shut down, unless other runs clone it: the last of them does."""
    held = HeldSource.take(prl, vm, wait)
    held.note_running()
    held.let_go()


def _target(uuid: str) -> str:
    return os.path.join(os.path.expanduser(FOLDER), uuid)
