# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The exceptions that end a task with a message for the admin."""

from __future__ import annotations

from typing import Any


class TaskError(Exception):
    """A failure with a known cause.

    Its message says what happened and what the admin does next, in whole sentences. It never holds a secret.
    The details become keys of the failed task's result: C(cmd), C(rc), C(stdout), C(stderr) where a program was
    run, otherwise other facts that help: C(verdict), C(status), C(path).
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def result(self) -> dict[str, Any]:
        """Return what the failed task returns."""
        return {"msg": self.message, **self.details}


def add_sentence(error: BaseException, sentence: str, **details: Any) -> None:
    """Append a sentence, such as the outcome of a cleanup, to a TaskError or Interrupted; leave other errors alone."""
    if isinstance(error, Interrupted):
        error.reason = f"{error.reason} {sentence}"
        error.args = (error.reason,)
    if isinstance(error, TaskError):
        error.message = f"{error.message} {sentence}"
        error.args = (error.message,)
        error.details.update(details)


class Interrupted(BaseException):
    """The work was interrupted, by a signal or because it was canceled; the message says why.

    Not an Exception, so that no handler treats it as a failure to recover from: only cleanup code handles it.
    """

    def __init__(self, reason: str, signal_number: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        # The signal that was received, 0 for none.
        self.signal_number = signal_number
