# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Long work in a guest: a process of its own there, begun and polled by short commands.

A session of C(prlctl exec) keeps all others out of the VM, and may end while its command is still running. So long
work belongs to no session. It is begun by a short command, has a folder of its own in the guest, and leaves its result
there, in the same form in which a session carries it: see guest_frame. Whether the folder could be made decides
whether the work is begun, so it is never begun twice, however often the command that begins it is repeated.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence
from typing import Optional

from .._common.errors import Interrupted, TaskError
from .cli import Result
from .guest import Guest, Lost, NotBegun
from .guest_answer import Unanswered, ask
from .guest_frame import Answer, Unix, Windows
from .guest_scripts import OWN_SESSION
from .guest_session import Outcome

# What a guest says about work: it is not there, is just being begun, runs, has left its result, or has left nothing.
NONE, STARTING, RUNNING, ENDED, GONE = "none", "starting", "running", "ended", "gone"

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0  # seconds between two polls
_GRACE = 60  # seconds that the guest has to end work whose time is over, and to begin it
_LOOKS_AFTER_END = 2  # the result gets its name a moment after the process has ended
_STOP_PATIENCE = 5

# n: the name. The last argument of the process is the name, by which it is told from one that has got its number since.
_UNIX_START = r"""
n=.macops-NAME
d=
for f in /tmp /var/tmp /dev/shm; do if [ -d "$f/$n" ]; then d=$f/$n; break; fi; done
works() { { cat "/proc/$1/cmdline" 2>/dev/null || ps -p "$1" -o args=; } | grep -qF "$n"; }
"""
_UNIX_BEGIN = (
    _UNIX_START
    + OWN_SESSION
    + r"""
umask 077
if [ -n "$d" ]; then
  row work again
else
  for f in /tmp /var/tmp /dev/shm; do if mkdir "$f/$n"; then d=$f/$n; break; fi; done
  if [ -n "$d" ] && cat >"$d/tape" <<'end NAME'
TAPE
end NAME
  then
    (s /bin/sh -c '
      LOADER "$2" <"$1/tape" >"$1/answer" 2>/dev/null & echo $! >"$1/number"
      mv "$1/number" "$1/pid"; wait; mv "$1/answer" "$1/result"
    ' sh "$d" "$n") </dev/null >/dev/null 2>&1 &
    row work begun
  else
    [ -z "$d" ] || rm -rf "$d"
    row work temporary
  fi
fi
whole work
"""
)
_UNIX_LOOK = (
    _UNIX_START
    + r"""
if [ -z "$d" ]; then row work none
elif [ -e "$d/result" ]; then row work ended "$d/result"
elif ! [ -e "$d/pid" ]; then row work starting
elif works "$(cat "$d/pid")"; then row work running
elif [ -e "$d/result" ]; then row work ended "$d/result"
else row work gone; fi
whole work
"""
)
_UNIX_STOP = (
    _UNIX_START
    + r"""
p=$(cat "$d/pid")
if works "$p"; then kill -s TERM "$p"; fi
whole work
"""
)
_UNIX_REMOVE = (
    _UNIX_START
    + r"""
if [ -n "$d" ]; then rm -rf "$d"; fi
whole work
"""
)

_WINDOWS_START = r"""
$n = 'macops-NAME'
$d = "$env:SystemRoot\Temp\$n"
function Test-Work {
  if (-not (Test-Path -LiteralPath "$d\pid")) { return $false }
  $p = [IO.File]::ReadAllText("$d\pid").Trim()
  $found = @(Get-CimInstance Win32_Process -Filter "ProcessId = $p" | Where-Object { $_.CommandLine -like "*$n*" })
  return $found.Count -gt 0
}
"""
# WMI starts a process that belongs to no session and holds none of its handles.
_WINDOWS_BEGIN = (
    _WINDOWS_START
    + r"""
Read-Topic work {
  if (Test-Path -LiteralPath $d) { Add-Row work 'again'; return }
  [void](New-Item -ItemType Directory -Path $d)
  $line = 'cmd.exe /D /S /C "LOADER <%D%\tape >%D%\answer 2>&1 & ren %D%\answer result"'.Replace('%D%', $d)
  try {
    [IO.File]::WriteAllText("$d\tape", 'TAPE')
    $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{CommandLine = $line}
    if ($made.ReturnValue -ne 0) { throw "Windows did not start it: Win32_Process.Create said $($made.ReturnValue)." }
  } catch {
    Remove-Item -LiteralPath $d -Recurse -Force
    throw
  }
  [IO.File]::WriteAllText("$d\pid", "$($made.ProcessId)")
  Add-Row work 'begun'
}
"""
)
_WINDOWS_LOOK = (
    _WINDOWS_START
    + r"""
Read-Topic work {
  if (-not (Test-Path -LiteralPath $d)) { Add-Row work 'none' }
  elseif (Test-Path -LiteralPath "$d\result") { Add-Row work 'ended' "$d\result" }
  elseif (-not (Test-Path -LiteralPath "$d\pid")) { Add-Row work 'starting' }
  elseif (Test-Work) { Add-Row work 'running' }
  elseif (Test-Path -LiteralPath "$d\result") { Add-Row work 'ended' "$d\result" }
  else { Add-Row work 'gone' }
}
"""
)
_WINDOWS_STOP = (
    _WINDOWS_START
    + r"""
Read-Topic work {
  if (Test-Work) { & "$env:SystemRoot\System32\taskkill.exe" /T /F /PID ([IO.File]::ReadAllText("$d\pid")) | Out-Null }
}
"""
)
_WINDOWS_REMOVE = (
    _WINDOWS_START
    + r"""
Read-Topic work { if (Test-Path -LiteralPath $d) { Remove-Item -LiteralPath $d -Recurse -Force } }
"""
)


def new_name() -> str:
    """Return a name for work that nobody in the guest can guess."""
    return secrets.token_hex(8)


def is_name(text: str) -> bool:
    """Return whether a text, such as one that was noted, is a name of work."""
    return re.fullmatch("[0-9a-f]{16}", text) is not None


class Work:
    """One piece of long work in a guest. Its name distinguishes it from others, also in a later run."""

    def __init__(self, guest: Guest, name: str) -> None:
        self.name = name
        self._guest = guest
        self._starting: Optional[float] = None  # since when it is seen to be just being begun
        self._gone = 0  # how often in a row it was seen to be gone
        self.problem = ""  # why the last poll got no answer

    def begin(self, argv: Sequence[str], *, limit: Optional[float] = None) -> None:
        """Begin it, unless it has begun before. After C(limit) seconds, the guest ends it."""
        command = self._guest.command(argv, limit=limit)
        tape = self._guest.dialect.tape(command, self.name).decode("ascii").rstrip("\n")
        row = self._ask(_UNIX_BEGIN, _WINDOWS_BEGIN, tape)
        if row[:1] not in (("begun",), ("again",)):
            raise TaskError(
                f"The guest of '{self._guest.vm.name}' cannot write a temporary file (in /tmp, /var/tmp, /dev/shm). "
                "Free some space in the guest, then run again."
            )

    def look(self) -> str:
        """Return what the guest says about it; without an answer, it counts as running."""
        try:
            state = self._ask(_UNIX_LOOK, _WINDOWS_LOOK)[0]
        except (Lost, NotBegun, Unanswered) as error:
            if isinstance(error, NotBegun) and not error.passes:
                raise
            self.problem = error.message
            return RUNNING
        self.problem = ""
        now = self._guest.prl.clock()
        self._starting = (self._starting or now) if state == STARTING else None
        if self._starting is not None and now - self._starting > _GRACE:
            return GONE
        self._gone = self._gone + 1 if state == GONE else 0
        return RUNNING if state == GONE and self._gone < _LOOKS_AFTER_END else state

    def outcome(self) -> Outcome:
        """Return what came of it when it has ended."""
        row = self._ask(_UNIX_LOOK, _WINDOWS_LOOK)
        answer = Answer(self.name)
        if row[:1] == (ENDED,):
            answer.feed(self._guest.read(row[1]))
        return Outcome(answer, sent=True, said="", code=None, timed_out=answer.killed)

    def stop(self) -> None:
        """End it in the guest."""
        ask(self._guest, self._filled(_UNIX_STOP), self._filled(_WINDOWS_STOP))

    def remove(self) -> None:
        """Remove what it has left in the guest."""
        ask(self._guest, self._filled(_UNIX_REMOVE), self._filled(_WINDOWS_REMOVE))

    def _ask(self, shell: str, windows: str, tape: str = "") -> tuple[str, ...]:
        answer = ask(self._guest, self._filled(shell, tape), self._filled(windows, tape))
        row = answer.one("work")
        if row is None:
            raise TaskError(
                f"Long work in '{self._guest.vm.name}' could not be begun or polled. {answer.why_unknown('work')} "
                "Check the guest, then run again."
            )
        return row

    def _filled(self, script: str, tape: str = "") -> str:
        loader = " ".join(Windows.words[4:]) if self._guest.windows else Unix.words[0]
        # Within a text in single quotes.
        loader = loader if self._guest.windows else loader.replace("'", "'\\''")
        return script.replace("NAME", self.name).replace("LOADER", loader).replace("TAPE", tape)


def run_long(guest: Guest, argv: Sequence[str], *, limit: float) -> Result:
    """Run a program that takes long, and return its result; raise TaskError when it is unknown whether it ran.

    After C(limit) seconds, it is ended in the guest. It is also ended there when this run is interrupted.
    """
    work = Work(guest, new_name())
    try:
        work.begin(argv, limit=limit)
        _wait(guest, work, limit)
    except Interrupted:
        with contextlib.suppress(TaskError):
            Work(Guest(guest.prl, guest.vm, patience=_STOP_PATIENCE), work.name).stop()
        raise
    outcome = work.outcome()
    with contextlib.suppress(TaskError):  # what it did is worth more than what it leaves
        work.remove()
    return guest.conclude(outcome, argv, limit=limit)


def _wait(guest: Guest, work: Work, limit: float) -> None:
    """Wait until the work has ended; raise Lost when that is not known."""
    end = guest.prl.clock() + limit + _GRACE
    pause = _FIRST_PAUSE
    while True:
        state = work.look()
        if state == ENDED:
            return
        if state in (NONE, GONE):
            raise _lost(guest, "Its process has ended, and left no result. The guest may have restarted.")
        if guest.prl.clock() >= end:
            why = work.problem or "It did not finish in time, and the guest did not report that it has ended it."
            raise _lost(guest, why)
        guest.prl.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _lost(guest: Guest, why: str) -> Lost:
    return Lost(
        f"It is not known how the command in '{guest.vm.name}' ended. {why} It was not run again. Check in the guest "
        "whether it had its effect, then run again."
    )
