# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The one exception that ends a task with a sentence for the admin."""

from __future__ import annotations

from typing import Any


class TaskError(Exception):
    """A failure that is understood.

    Its message says what happened and what the admin does next, in whole sentences. It never holds a secret.
    The details become keys of the failed task's result: C(cmd), C(rc), C(stdout), C(stderr) where a program was
    run, else whatever helps: C(verdict), C(status), C(path).
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def result(self) -> dict[str, Any]:
        """Return the arguments for C(fail_json)."""
        return {"msg": self.message, **self.details}


def add_sentence(error: BaseException, sentence: str, **details: Any) -> None:
    """Say more in an error of ours, such as what became of an attempt to clean up; other errors cannot tell it."""
    if isinstance(error, Interrupted):
        error.reason = f"{error.reason} {sentence}"
        error.args = (error.reason,)
    if isinstance(error, TaskError):
        error.message = f"{error.message} {sentence}"
        error.args = (error.message,)
        error.details.update(details)


class Interrupted(BaseException):
    """The work was told to end, by a signal or by whoever watches it; the message says why.

    No Exception, so that nothing takes it for a failure that could be got over: only cleaning up comes in between.
    """

    def __init__(self, reason: str, signal_number: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        # The signal that told it, 0 for none.
        self.signal_number = signal_number
