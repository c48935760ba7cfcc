# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Runs programs in a guest, through C(prlctl exec) and Parallels Tools.

The exit code of C(prlctl exec) is that of the guest's program. Only prlctl's own messages show when it is not, and
whether the program may have started. One that has not started is tried again; one that may have started never is.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

from .._common.errors import TaskError
from .cli import PRLCTL, Prlctl, Result, failure, is_transient, piped
from .vm import RUNNING, Vm, wait_while_busy

_SINGLE_QUOTES = re.compile("(['\u2018-\u201b])")  # all characters that PowerShell accepts as one

# prlctl hangs forever on a command of more than about 3900 characters.
COMMAND_LIMIT = 3800

QUESTION_LIMIT = 60  # seconds for a command that only reads
_LONGEST_PAUSE = 10

WINDOWS = "windows"
LINUX = "linux"

# An error ends the script with exit code 1; no progress bars; output in UTF-8, where there is a console to set that.
_POWERSHELL_START = (
    "$ProgressPreference='SilentlyContinue';$ErrorActionPreference='Stop';"
    "try{[Console]::OutputEncoding=[Text.Encoding]::UTF8}catch{}\n"
)
_POWERSHELL = [
    "powershell.exe",
    *("-NoLogo", "-NoProfile", "-NonInteractive"),
    *("-ExecutionPolicy", "Bypass"),
    *("-OutputFormat", "Text"),
    "-EncodedCommand",
]


@dataclass(frozen=True)
class Login:
    """The account for a program in the guest; by default SYSTEM in Windows and root elsewhere."""

    user: str = ""
    password: str = ""
    current_user: bool = False

    def options(self) -> list[str]:
        """Return the options of C(prlctl exec)."""
        if self.current_user:
            return ["--current-user"]
        return ["-u", self.user, "--password", self.password] if self.user else []

    def hidden_in(self, cmd: Sequence[str]) -> list[str]:
        """Return a command that was run with this login, without its password."""
        shown = list(cmd)
        if self.user and "--password" in shown:
            shown[shown.index("--password") + 1] = "********"
        return shown


SYSTEM = Login()

_ADVICE_FOR_USER = "Check user and password. They were tried only once, so that the account is not locked."
_ADVICE_FOR_CURRENT_USER = "Sign in there or turn on automatic sign-in in the guest, or leave out current_user."


@dataclass(frozen=True)
class _Refusal:
    """A message of prlctl: it shows that an exit code is its own, and whether the guest's program may have started."""

    pattern: str
    begun: bool = False
    at_sign_in: bool = False  # a wrong password may cause the same message


_REFUSALS = (
    _Refusal(r"Unable to open new session in this virtual machine", at_sign_in=True),
    _Refusal(r"Login failed: Unable to connect to Parallels Service"),
    _Refusal(r"Failed to get VM config:"),
    _Refusal(r"because (the virtual machine )?\"[^\n]*\" is not started"),
    _Refusal(r"cannot be completed because the virtual machine \"[^\n]* state\."),
    _Refusal(r"because the virtual machine is busy\."),
    _Refusal(r"This feature is not available in this edition"),
    _Refusal(r"The virtual machine is not responding"),
    _Refusal(r"PrlJob_GetRetCode:", begun=True),
)
_CODES_OF_PRLCTL = (253, 254, 255)


def refusal_in(result: Result) -> Optional[_Refusal]:
    """Return the message by which prlctl shows that the exit code is its own; None when it is the program's."""
    if result.rc not in _CODES_OF_PRLCTL:
        return None
    return next((refusal for refusal in _REFUSALS if re.search(refusal.pattern, result.stderr)), None)


def explain_rc(vm: Vm, result: Result) -> str:
    """Return the error message for a program that failed in the guest."""
    lines = [line.strip() for line in result.said.splitlines() if line.strip()]
    last = f": {lines[-1][-500:]}" if lines else ""
    doubt = ""
    if result.rc in _CODES_OF_PRLCTL:
        doubt = " prlctl also uses this exit code for its own failures: check whether it or the program wrote stderr."
    return (
        f"The command in '{vm.name}' ended with exit code {result.rc}{last}{'' if last.endswith('.') else '.'}{doubt} "
        "Check its output. If this exit code means success, add it to success_rcs."
    )


def powershell(script: str) -> list[str]:
    """Return the command that runs a script in Windows; the script needs no quoting."""
    encoded = base64.b64encode((_POWERSHELL_START + script).encode("utf-16-le")).decode("ascii")
    return [*_POWERSHELL, encoded]


def refuse_long(argv: Sequence[str]) -> None:
    """Raise TaskError for a command that would make prlctl hang."""
    length = len(" ".join(argv).encode("utf-8"))
    if length <= COMMAND_LIMIT:
        return
    what = "command"
    if list(argv[: len(_POWERSHELL)]) == _POWERSHELL:
        what = "script, encoded for PowerShell,"
    raise TaskError(
        f"The {what} has {length} characters, but Parallels hangs on more than {COMMAND_LIMIT}. Split it, or put it "
        "into a file in the guest (with a shared folder or a download) and run that file."
    )


class Guest:
    """The guest system of a VM.

    C(patience) is the number of seconds for which a guest that does not respond (yet) is tried again.
    """

    def __init__(self, prl: Prlctl, vm: Vm, *, patience: float) -> None:
        self.prl = prl
        self.vm = vm
        self.patience = patience
        self._answered = False

    @property
    def windows(self) -> bool:
        """Whether it understands Windows' commands."""
        return self.vm.family == WINDOWS

    def wait_until_ready(self) -> None:
        """Wait until Parallels Tools run commands; raise TaskError for a VM that is not running."""
        if self._answered:
            return
        state = wait_while_busy(self.prl, self.vm.uuid, self.patience)
        if state != RUNNING:
            raise TaskError(
                f"'{self.vm.name}' is {state}, but commands need a running virtual machine. Start it first "
                "(macops.parallels.vm_power with state: running).",
                state=state,
            )
        nothing = ["cmd", "/c", "exit", "0"] if self.windows else ["true"]
        self._until(SYSTEM, nothing, QUESTION_LIMIT, lambda result: result.rc == 0)
        self._answered = True

    def run(self, argv: Sequence[str], *, login: Login = SYSTEM, limit: float, stdin: str = "") -> Result:
        """Run a program once and return its result; raise TaskError when it is unknown whether it ran.

        It reads C(stdin), which no list of processes shows.
        """
        refuse_long(argv)
        self.wait_until_ready()
        result = self._until(login, argv, limit, _has_begun, stdin)
        if result.timed_out:
            raise TaskError(
                f"The command in '{self.vm.name}' did not finish within {limit:.0f} seconds, so prlctl was ended. The "
                "program may still be running in the guest: check there before you run it again, or raise timeout.",
                **result.details(),
            )
        if refusal_in(result):
            raise TaskError(
                f"Parallels lost the command in '{self.vm.name}': {result.said} It is not known whether it ran, so it "
                "was not run again. Check in the guest whether it had its effect, then run again.",
                **result.details(),
            )
        return result

    def begin(self, argv: Sequence[str], *, limit: float) -> Result:
        """Run a program whose effect is checked afterwards, so that the result of prlctl does not matter."""
        refuse_long(argv)
        self.wait_until_ready()
        return self._until(SYSTEM, argv, limit, _has_begun)

    def ask(self, argv: Sequence[str]) -> Result:
        """Run a program that only reads, again until its answer arrives."""
        refuse_long(argv)
        self.wait_until_ready()
        return self._until(SYSTEM, argv, QUESTION_LIMIT, lambda result: not result.timed_out and not refusal_in(result))

    def confirms(self, argv: Sequence[str], no: int = 1) -> bool:
        """Return whether a program that only reads answers yes (exit code 0); C(no) is the exit code for no."""
        result = self.ask(argv)
        if result.rc not in (0, no):
            raise failure(f"A check in '{self.vm.name}' failed", result)
        return result.rc == 0

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder of this path in the guest."""
        if self.windows:
            # Not `if exist` of cmd: quotes around a path with spaces may not arrive there intact. The exit
            # code for "no" is not the one with which PowerShell ends when the script fails.
            quoted = _SINGLE_QUOTES.sub(r"\1\1", path)
            script = f"if (Test-Path -LiteralPath '{quoted}') {{exit 0}} else {{exit 3}}"
            return self.confirms(powershell(script), no=3)
        if re.search(r"[\s\"'\\]", path):
            raise TaskError(
                f"The path '{path}' in the guest cannot be checked: Parallels would split it at spaces and quotes. "
                "Choose a path without them."
            )
        return self.confirms(["test", "-e", path])

    def _until(
        self,
        login: Login,
        argv: Sequence[str],
        limit: float,
        done: Callable[[Result], bool],
        stdin: str = "",
    ) -> Result:
        """Run a command until it is done, and retry transient failures."""
        pauses = self.prl.pauses(self.patience, longest=_LONGEST_PAUSE)
        while True:
            args = ["exec", self.vm.uuid, *login.options(), *argv]
            with piped(stdin) if stdin else contextlib.nullcontext() as given:
                result = self.prl.run_once(PRLCTL, args, limit, stdin=given)
            result = replace(result, cmd=login.hidden_in(result.cmd))
            if done(result):
                return result
            refusal = refusal_in(result)
            if refusal and refusal.at_sign_in and login.user:
                raise self._no_session(result, f"for the user '{login.user}'", _ADVICE_FOR_USER)
            if refusal and not refusal.begun and not is_transient(result):
                raise failure(f"Parallels could not run a command in '{self.vm.name}'", result)
            pause = next(pauses, None)
            if pause is None:
                if refusal and refusal.at_sign_in and login.current_user:
                    whose = "for the user who is signed in at its screen"
                    raise self._no_session(result, whose, _ADVICE_FOR_CURRENT_USER)
                raise failure(
                    f"The guest of '{self.vm.name}' did not respond within {self.patience:.0f} seconds", result
                )
            self.prl.sleep(pause)

    def _no_session(self, result: Result, whose: str, advice: str) -> TaskError:
        return TaskError(
            f"The guest of '{self.vm.name}' responds, but did not open a session {whose}: {result.said} {advice}",
            **result.details(),
        )


def _has_begun(result: Result) -> bool:
    """Return whether the guest's program has started, or may have."""
    refusal = refusal_in(result)
    return refusal is None or refusal.begun
