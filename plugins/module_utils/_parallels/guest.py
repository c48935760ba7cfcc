# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Runs programs in a guest, through C(prlctl exec) and Parallels Tools.

The guest itself reports what came of a program: see guest_frame. One that has certainly not begun is tried again; one
that may have begun never is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from .._common.errors import TaskError
from .._common.notice import Notice, unheard
from .cli import PRLCTL, Prlctl, Result, failure
from .guest_frame import Answer, Command, Dialect, Unix, Windows
from .guest_session import NO_SESSION, Body, Outcome
from .guest_slots import LIMITS, Limits, Occupied, slot

_SINGLE_QUOTES = re.compile("(['\u2018-\u201b])")  # all characters that PowerShell accepts as one

# The longest command line that the guests' systems take, less what the script around it needs: Linux takes 128 KiB in
# one argument, Windows 32767 characters.
_LONGEST = {"unix": 120_000, "windows": 30_000}

QUESTION_LIMIT = 60  # seconds for a command that only reads
_LONGEST_PAUSE = 10

WINDOWS = "windows"
LINUX = "linux"

OCCUPIED = "occupied"

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

    def shown(self) -> list[str]:
        """Return the options without the password."""
        return ["-u", self.user, "--password", "********"] if self.user and not self.current_user else self.options()


SYSTEM = Login()


class Target(Protocol):
    """What has to be known of a VM to run commands in it."""

    @property
    def uuid(self) -> str:
        """Its UUID, or its name."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def family(self) -> str:
        """The family of its system."""


class NotBegun(TaskError):
    """A command could not be started, and has certainly not begun.

    C(passes) is whether it may be possible later.
    """

    def __init__(self, why: str, waited: float, *, passes: bool, reason: str, **details: Any) -> None:
        lead = f"The guest did not take a command within {waited:.0f} seconds. " if passes and waited else ""
        super().__init__(f"{lead}{why}", reason=reason, **details)
        self.why = why
        self.passes = passes


class Lost(TaskError):
    """It is not known whether a command has run, or how it ended."""


def explain_rc(vm: Target, result: Result) -> str:
    """Return the error message for a program that failed in the guest."""
    lines = [line.strip() for line in result.said.splitlines() if line.strip()]
    last = f": {lines[-1][-500:]}" if lines else ""
    return (
        f"The command in '{vm.name}' ended with exit code {result.rc}{last}{'' if last.endswith('.') else '.'} "
        "Check its output. If this exit code means success, add it to success_rcs."
    )


def powershell(script: str) -> list[str]:
    """Return the command that runs a script in Windows; the script needs no quoting."""
    encoded = base64.b64encode((_POWERSHELL_START + script).encode("utf-16-le")).decode("ascii")
    return [*_POWERSHELL, encoded]


def refuse_long(argv: Sequence[str], *, windows: bool) -> None:
    """Raise TaskError for a command that is longer than the guest's system takes."""
    length, longest = len(" ".join(argv).encode("utf-8")), _LONGEST["windows" if windows else "unix"]
    if length <= longest:
        return
    what = "script, encoded for PowerShell," if list(argv[: len(_POWERSHELL)]) == _POWERSHELL else "command"
    raise TaskError(
        f"The {what} has {length} characters, but the guest's system takes at most {longest}. Pass long data in stdin."
    )


class Guest:
    """The guest system of a VM.

    C(patience) is the number of seconds for which a guest that does not respond (yet) is tried again. C(waits) is
    called with the reason, when that changes, and with an empty text when the waiting is over.
    """

    def __init__(
        self, prl: Prlctl, vm: Target, *, patience: float, limits: Limits = LIMITS, waits: Notice = unheard
    ) -> None:
        self.prl = prl
        self.vm = vm
        self.patience = patience
        self._limits = limits
        self._waits = waits
        self._reason = ""

    @property
    def windows(self) -> bool:
        """Whether it understands Windows' commands."""
        return self.vm.family == WINDOWS

    @property
    def dialect(self) -> type[Dialect]:
        """How it holds a dialogue."""
        return Windows if self.windows else Unix

    def wait_until_ready(self) -> None:
        """Wait until the guest runs commands; raise TaskError for a VM that is not running."""
        self.perform(self._probe())

    def run(self, argv: Sequence[str], *, login: Login = SYSTEM, limit: float, stdin: str = "") -> Result:
        """Run a program once and return its result; raise TaskError when it is unknown whether it ran.

        It reads C(stdin), which no list of processes shows. After C(limit) seconds, it is ended in the guest.
        """
        data = stdin.encode("utf-8", "surrogateescape")
        outcome = self.perform(self.command(argv, size=len(data), limit=limit), login=login, body=data)
        return self._in_time(outcome, login, argv, limit)

    def conclude(self, outcome: Outcome, argv: Sequence[str], *, limit: float) -> Result:
        """Return the result of a program that has begun; raise TaskError when it is not known, or its time was over."""
        self._refuse_lost(outcome, SYSTEM)
        return self._in_time(outcome, SYSTEM, argv, limit)

    def _in_time(self, outcome: Outcome, login: Login, argv: Sequence[str], limit: float) -> Result:
        result = self._result(outcome, login, argv)
        if outcome.timed_out:
            raise TaskError(
                f"The command in '{self.vm.name}' did not finish within {limit:.0f} seconds, so it was ended in the "
                "guest. Check there what it has done before you run it again, or raise timeout.",
                **result.details(),
            )
        return result

    def begin(self, argv: Sequence[str], *, limit: float) -> Result:
        """Run a program whose effect is checked afterwards, so that losing its result does not matter."""
        try:
            outcome = self.perform(self.command(argv, limit=limit))
        except Lost as error:
            return Result(self._shown(SYSTEM, argv), -1, "", str(error.details.get("stderr", "")))
        return self._result(outcome, SYSTEM, argv)

    def ask(self, argv: Sequence[str], *, stdin: str = "", limit: float = QUESTION_LIMIT) -> Result:
        """Run a program that only reads, or that may be repeated, again until its answer arrives."""
        data = stdin.encode("utf-8", "surrogateescape")
        outcome = self._repeat(self.command(argv, size=len(data), limit=limit), argv, data)
        return self._result(outcome, SYSTEM, argv)

    def read(self, path: str) -> bytes:
        """Return the content of a file, however often it takes until that arrives."""
        command = Command(path.encode("utf-8", "surrogateescape"), limit=QUESTION_LIMIT, fetch=True)
        answer = self._repeat(command, [path]).answer
        if answer.refused:
            raise TaskError(f"{path} could not be read in '{self.vm.name}': it is {answer.refused}.")
        return bytes(answer.stdout)

    def _repeat(self, command: Command, argv: Sequence[str], data: bytes = b"") -> Outcome:
        """Return what came of a command that may be repeated."""
        pauses = self.prl.pauses(self.patience, longest=_LONGEST_PAUSE)
        while True:
            try:
                outcome = self.perform(command, body=data)
            except Lost as error:
                lost = error
            else:
                if not outcome.timed_out:
                    return outcome
                details = self._result(outcome, SYSTEM, argv).details()
                lost = Lost(f"A check in '{self.vm.name}' got no answer in time.", **details)
            pause = next(pauses, None)
            if pause is None:
                raise lost
            self.prl.sleep(pause)

    def confirms(self, argv: Sequence[str], no: int = 1) -> bool:
        """Return whether a program that only reads answers yes (exit code 0); C(no) is the exit code for no."""
        result = self.ask(argv)
        if result.rc not in (0, no):
            raise failure(f"A check in '{self.vm.name}' failed", result)
        return result.rc == 0

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder of this path in the guest."""
        if self.windows:
            # The exit code for "no" is not the one with which PowerShell ends when the script fails.
            quoted = _SINGLE_QUOTES.sub(r"\1\1", path)
            script = f"if (Test-Path -LiteralPath '{quoted}') {{exit 0}} else {{exit 3}}"
            return self.confirms(powershell(script), no=3)
        return self.confirms(["test", "-e", path])

    def write(self, path: str, data: bytes) -> None:
        """Write a file in the guest, and verify what is in it. The content is on no command line."""
        command = Command(path.encode("utf-8", "surrogateescape"), size=len(data), limit=QUESTION_LIMIT, store=True)
        outcome = self.perform(command, body=data)
        result = self._result(outcome, SYSTEM, [path])
        if result.rc != 0 or result.stdout.strip() != hashlib.sha256(data).hexdigest():
            raise failure(f"{path} could not be written in '{self.vm.name}'", result)

    def delete(self, path: str) -> None:
        """Delete a file in the guest. It is no error if it is not there."""
        if self.windows:
            quoted = _SINGLE_QUOTES.sub(r"\1\1", path)
            script = f"if (Test-Path -LiteralPath '{quoted}') {{Remove-Item -LiteralPath '{quoted}' -Force}}"
            result = self.run(powershell(script), limit=QUESTION_LIMIT)
        else:
            result = self.run(["rm", "-f", path], limit=QUESTION_LIMIT)
        if result.rc != 0:
            raise failure(f"{path} could not be deleted in '{self.vm.name}'", result)

    def perform(
        self,
        command: Command,
        *,
        login: Login = SYSTEM,
        body: Body = b"",
        take: Optional[Callable[[bytes], object]] = None,
        started: Callable[[Answer], object] = lambda _answer: None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """Run a command once, as soon as the guest takes it.

        Raises NotBegun when it has certainly not begun, Lost when that is not known. For the other options see
        guest_session.converse.
        """
        pauses = self.prl.pauses(self.patience, longest=_LONGEST_PAUSE)
        end = self.prl.clock() + self.patience
        # A password is used again only when the guest is known to be ready, so that the account is not locked.
        probe = self._probe()
        ready = not (login.user or login.current_user)
        tried = False
        while True:
            try:
                with slot(
                    self.vm.uuid,
                    self._limits,
                    patience=max(end - self.prl.clock(), 0),
                    clock=self.prl.clock,
                    sleep=self.prl.sleep,
                    waits=self._say,
                ):
                    if tried and not ready:
                        outcome = self._converse(SYSTEM, probe)
                        ready = outcome.sent
                    if ready or not tried:
                        outcome = self._converse(login, command, body=body, take=take, started=started, wanted=wanted)
                        if outcome.sent:
                            self._say("")
                            self._refuse_lost(outcome, login)
                            return outcome
                        tried = True
                        if not ready and NO_SESSION.search(outcome.said):
                            ready = self._converse(SYSTEM, probe).sent
            except Occupied as error:
                raise NotBegun(str(error), self.patience, passes=True, reason=OCCUPIED) from error
            pause = self._pause_or_raise(outcome, login, pauses, ready)
            self.prl.sleep(pause)

    def _converse(self, login: Login, command: Command, **options: Any) -> Outcome:
        return self.prl.converse(["exec", self.vm.uuid, *login.options()], self.dialect, command, **options)

    def _pause_or_raise(self, outcome: Outcome, login: Login, pauses: Iterator[float], ready: bool) -> float:
        """Return how long to wait before the next attempt; raise the reason if there is none."""
        # Most commands are taken at once, and this and what it needs would be loaded on the Mac for every one of them.
        from .guest_readiness import find_obstacle  # pylint: disable=import-outside-toplevel

        result = Result(self._shown(login, []), -1 if outcome.code is None else outcome.code, "", outcome.said)
        obstacle = find_obstacle(
            self.prl, self.vm.uuid, result, user=login.user, current_user=login.current_user, root_works=ready
        )
        pause = next(pauses, None) if obstacle.passes else None
        if pause is None:
            raise NotBegun(
                f"{obstacle.reason} {obstacle.advice}",
                self.patience,
                passes=obstacle.passes,
                reason=obstacle.kind,
                **result.details(),
            )
        self._say(obstacle.reason)
        return pause

    def _say(self, reason: str) -> None:
        if reason != self._reason:
            self._waits(reason)
        self._reason = reason

    def _refuse_lost(self, outcome: Outcome, login: Login) -> None:
        answer = outcome.answer
        if answer.refused == "temporary":
            raise NotBegun(
                f"The guest of '{self.vm.name}' cannot write a temporary file (in TMPDIR, /tmp, /var/tmp, /dev/shm). "
                "Free some space in the guest, then run again.",
                0,
                passes=False,
                reason="temporary",
            )
        if not outcome.lost or (outcome.timed_out and answer.complete):
            return
        details = Result(self._shown(login, []), -1, answer.stdout.decode("utf-8", "replace"), outcome.said).details()
        if outcome.timed_out:
            raise Lost(
                f"The command in '{self.vm.name}' did not finish in time, and the guest did not report that it has "
                "ended it. It may still be running: check in the guest before you run it again.",
                timed_out=True,
                **details,
            )
        said = f": {outcome.said}" if outcome.said else "."
        raise Lost(
            f"Parallels lost the command in '{self.vm.name}'{said} It is not known whether it ran to its end, so it "
            "was not run again. Check in the guest whether it had its effect, then run again.",
            **details,
        )

    def _probe(self) -> Command:
        """Return a command that does nothing."""
        return self.command(["cmd", "/c", "exit", "0"] if self.windows else ["true"], limit=QUESTION_LIMIT)

    def command(self, argv: Sequence[str], **options: Any) -> Command:
        """Return the order to run a program."""
        refuse_long(argv, windows=self.windows)
        return Command(self.dialect.line(argv), **options)

    def _shown(self, login: Login, argv: Sequence[str]) -> list[str]:
        """Return the command as an admin would type it."""
        return [self.prl.program(PRLCTL), "exec", self.vm.uuid, *login.shown(), *argv]

    def _result(self, outcome: Outcome, login: Login, argv: Sequence[str]) -> Result:
        answer = outcome.answer
        texts = (bytes(stream).decode("utf-8", "replace") for stream in (answer.stdout, answer.stderr))
        return Result(
            self._shown(login, argv), -1 if answer.code is None else answer.code, *texts, timed_out=outcome.timed_out
        )
