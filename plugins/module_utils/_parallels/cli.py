# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Finds and runs Parallels' programs, with timeouts, parsed output and retries.

The rule for every change: the program's own report does not count. The real state, read again afterwards, decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any, Callable, Optional

from .._common.errors import TaskError
from .._common.interrupt import leave_signals_to_main_thread
from .._common.json_reader import require_shallow
from .._common.notice import Notice, unheard
from .._common.space import FULL_DISK
from .._common.text import sendable
from .guest_frame import Command as GuestCommand
from .guest_frame import Dialect
from .guest_session import Outcome, converse

PRLCTL = "prlctl"
PRLSRVCTL = "prlsrvctl"
PRL_DISK_TOOL = "prl_disk_tool"

# The folders after PATH: sshd gives a Mac's non-interactive commands a PATH without /usr/local/bin.
_FOLDERS = ("/usr/local/bin", "/Applications/Parallels Desktop.app/Contents/MacOS")

# A locale that every Mac has, in which messages are English and names keep their umlauts (C alone loses them).
_ENVIRONMENT = {"LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8", "LANGUAGE": "en_US"}

READ_LIMIT = 120  # seconds for a query
FIRST_READ_LIMIT = 60  # seconds for a query before any work is done, to find out early that Parallels hangs
CHANGE_LIMIT = 900  # seconds for a change that copies no disk
_KILL_GRACE = 15  # seconds between asking a program to end and killing it
_END_POLL = 0.05

_NO_SERVICE = 253  # exit code: prlctl cannot connect to Parallels' service
# The same in words, which also come with another exit code. Such a command has not begun, so it can be repeated.
_NO_SERVICE_WORDS = re.compile(
    r"Unable to connect to Parallels (Service|Desktop)|Login failed"
    r"|Parallels (Service|Desktop) is (shutting down|not running|not started|starting)"
)
_FROZEN = 254  # exit code: the VM is frozen

_TAIL = 2000  # characters of output that a failed task shows


@dataclass(frozen=True)
class Result:
    """The result of a program: the command as an admin would type it, its exit code, its output."""

    cmd: list[str]
    rc: int
    stdout: str
    stderr: str
    timed_out: bool = False

    @property
    def said(self) -> str:
        """Return its whole output, errors first, without progress lines."""
        return "\n".join(text for text in (without_progress(self.stderr), without_progress(self.stdout)) if text)

    def details(self) -> dict[str, Any]:
        """Return the details that a failed task shows."""
        return {
            "cmd": self.cmd,
            "rc": self.rc,
            "stdout": without_progress(self.stdout)[-_TAIL:],
            "stderr": without_progress(self.stderr)[-_TAIL:],
        }


# The subcommands that change something. Commands in the guest are not among them: they may contain anything.
_CHANGES = (
    *("register", "unregister", "clone", "delete", "set", "pack", "unpack"),
    *("start", "stop", "suspend", "resume", "reset", "restart"),
    *("snapshot", "snapshot-switch", "snapshot-delete"),
)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Command:
    """A command that was run to change something, for the result of the module."""

    cmd: list[str]
    rc: int
    # In UTC.
    started_at: str
    seconds: float


@dataclass(frozen=True)
class Remedy:
    """A known message of Parallels: advice for the admin, and whether it is transient."""

    pattern: str
    advice: str
    passes: bool = False


REMEDIES = (
    Remedy(
        r"Data synchronization is currently in progress",
        "Parallels is still merging snapshot files. Wait until the disk activity of the Mac has settled, then run "
        "again.",
        passes=True,
    ),
    Remedy(
        r"virtual machine is busy|is currently being|is locked by another",
        "Another operation is using this virtual machine. Wait until it has finished (Control Center shows it), then "
        "run again. If nothing is running, quit and reopen Parallels Desktop.",
        passes=True,
    ),
    Remedy(
        r"intermediate state|has been started but not finished",
        "Packing or unpacking this virtual machine was interrupted. Finish it with `prlctl unpack VM` (or `prlctl pack "
        "VM`, if the message says so) on the Mac, or with macops.parallels.image_pack, then run again.",
    ),
    Remedy(
        r"Unable to open new session in this virtual machine",
        "The guest system has not started yet, or its Parallels Tools do not respond. Check the virtual machine's "
        "screen. Install or update Parallels Tools in the guest, and make sure that it is not isolated from the Mac "
        "(`prlctl set VM --isolate-vm off`).",
        passes=True,
    ),
    Remedy(
        # The connection may be lost in the middle of a change, so the state is checked before another attempt.
        rf"{_NO_SERVICE_WORDS.pattern}|Connection to Parallels (Service|Desktop) (was|is) lost",
        "The Parallels service does not respond. Log in to the Mac's desktop as the user who owns the virtual machines "
        'and open Parallels Desktop (`open -ga "Parallels Desktop"`), or restart the Mac. Then run again.',
        passes=True,
    ),
    Remedy(
        r"not available in this edition",
        "Parallels' command line needs the Pro, Business or Enterprise edition. Activate a license of one of them "
        "(`prlsrvctl install-license`), then run again.",
    ),
    Remedy(
        r"licen[cs]e.{0,60}(expired|not valid|invalid|not activated|is required)|activate Parallels Desktop",
        "Activate a valid license of Parallels Desktop (`prlsrvctl install-license`), then run again.",
    ),
    Remedy(
        r"host OS administrator's credentials",
        "This Mac requires an administrator's password for that operation. Turn the requirement off with `prlsrvctl "
        "set --require-pwd` (such as remove-vm:off or clone-vm:off), then run again.",
    ),
    Remedy(
        FULL_DISK,
        "The disk is full. Free some space, then run again.",
    ),
    Remedy(
        r"could not be found|is not registered in the virtual machine directory",
        "There is no such virtual machine for this user. Run `prlctl list --all` to see which ones there are. Virtual "
        "machines belong to a user, so connect as the user who owns it.",
    ),
    Remedy(
        r"is already registered|same (UU)?ID",
        "A virtual machine with this UUID or file is already registered. Unregister that one first, or register the "
        "copy with a new UUID.",
    ),
    Remedy(
        r'in the "paused" state|is paused',
        "The virtual machine is paused. Resume it, or set in the module's options what to do with a paused one.",
    ),
    Remedy(
        r"is not started|for running virtual machines only",
        "The virtual machine is not running. Start it first.",
    ),
    Remedy(
        r"is suspended|suspended state",
        "The virtual machine is suspended. Resume it and shut it down, or discard its suspended state.",
    ),
    Remedy(
        r"currently running|is running|must be stopped|stop the virtual machine",
        "The virtual machine is running. Shut it down first.",
    ),
    Remedy(
        r"has one or more snapshots|has snapshots",
        "The virtual machine has snapshots. Remove them first (macops.parallels.vm_snapshot with all: true).",
    ),
    Remedy(
        r"Permission denied|Access (is )?denied|don't have (enough )?(rights|permissions?)|Operation not permitted",
        "Connect as the user who owns the virtual machine and its files. On macOS, folders such as Desktop and "
        "Documents, and external disks, also need Full Disk Access for sshd-keygen-wrapper.",
    ),
    Remedy(
        r"already exists",
        "Something with that name is in the way. Rename or remove it, then run again.",
    ),
)

# Puts the child into its own process group, so that a timeout ends it with everything that it started. Such a group is
# suspended when it reads from a terminal that Ansible may run on, so standard input is a given file, or empty.
# C(streams) are pairs of a file descriptor, or None for an empty file, and the standard one that it becomes.
_OWN_GROUP = """
import os, sys
os.setpgid(0, 0)
for given, standard in {streams}:
    os.dup2(os.open(os.devnull, os.O_RDONLY) if given is None else given, standard)
if not os.read({gate}, 1):
    sys.exit(1)
os.close({gate})
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit("%s: %s" % (sys.argv[1], error.strerror))
"""


class Prlctl:
    """Parallels' programs on this Mac."""

    def __init__(
        self,
        run_command: Callable[..., tuple[int, str, str]],
        executable: Optional[str] = None,
        *,
        notice: Notice = unheard,
        mends: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        retry_for: float = 120,
        read_limit: Optional[float] = None,
    ) -> None:
        """C(run_command) is that of an AnsibleModule; C(retry_for) limits the seconds of retries.

        A query that is not answered within C(read_limit) seconds is an error. By default it gets longer, and is asked
        again: in the middle of a build, the Mac may be busy.

        C(notice) is called with a sentence about leftovers of other runs that were cleaned up. Without C(mends), as in
        check mode, they are not.
        """
        self._run_command = run_command
        self._executable = executable
        self._found: dict[str, str] = {}
        self.notice = notice
        self.mends = mends
        self.sleep = sleep
        self.clock = clock
        self.retry_for = retry_for
        self._read_limit = read_limit
        self._commands: list[Command] = []

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands that have been run to change something, in their order."""
        return [asdict(command) for command in self._commands]

    def program(self, name: str) -> str:
        """Return the path of C(prlctl), C(prlsrvctl) or C(prl_disk_tool)."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> str:
        if self._executable:
            given = os.path.abspath(os.path.expanduser(self._executable))
            path = given if name == PRLCTL else os.path.join(os.path.dirname(given), name)
            if _is_program(path):
                return path
            raise TaskError(
                f"There is no program {path}. Set the option executable to the path of prlctl, with {name} in the same "
                "folder, or leave it out to search for the programs.",
                path=path,
            )
        folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_FOLDERS]
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isabs(path) and _is_program(path):
                return path
        raise TaskError(
            f"The Parallels Desktop program {name} was not found on PATH or in {' or in '.join(_FOLDERS)}. Install "
            "Parallels Desktop and open it once, or set the option executable to the path of prlctl.",
        )

    def run(
        self,
        program: str,
        *args: str,
        limit: float = READ_LIMIT,
        keep_open: Sequence[int] = (),
        private: bool = False,
        answer: str = "",
    ) -> Result:
        """Run a program; retry it while the Parallels service does not respond.

        It is ended after C(limit) seconds. The files C(keep_open), and so their locks, stay open in it.
        With C(private), errors never show its output. C(answer) is what it reads when it asks a question.
        """
        result = self._run_with_answer(program, args, limit, keep_open, answer)
        for pause in self.pauses():
            if not _has_no_service(result):
                return result
            self.sleep(pause)
            result = self._run_with_answer(program, args, limit, keep_open, answer)
        if _has_no_service(result):
            raise failure("Parallels did not respond", result, private=private)
        return result

    def _run_with_answer(
        self, program: str, args: Sequence[str], limit: float, keep_open: Sequence[int], answer: str
    ) -> Result:
        if not answer:
            return self.run_once(program, args, limit, keep_open)
        with piped(answer) as stdin:
            return self.run_once(program, args, limit, keep_open, stdin=stdin)

    def run_once(
        self,
        program: str,
        args: Sequence[str],
        limit: float,
        keep_open: Sequence[int] = (),
        *,
        stdin: Optional[IO[bytes]] = None,
        stdout: Optional[IO[bytes]] = None,
    ) -> Result:
        """Run a program once and accept any exit code: that of C(prlctl exec) may be the guest's.

        An interruption, such as a signal to the module, ends the program first. The program reads from and writes to
        the files C(stdin) and C(stdout) itself, whatever their size. By default its input is empty, and its output is
        in the result.
        """
        cmd = [self.program(program), *args]
        streams = [(stdin.fileno() if stdin is not None else None, 0)]
        if stdout is not None:
            stdout.flush()
            streams.append((stdout.fileno(), 1))
        watch = _Watch(limit)
        started_at, start = time.strftime(_TIME_FORMAT, time.gmtime()), time.monotonic()
        try:
            rc, out, err = self._run_command(
                [sys.executable, "-I", "-S", "-c", _OWN_GROUP.format(gate=watch.gate, streams=streams), *cmd],
                environ_update=_ENVIRONMENT,
                expand_user_and_vars=False,
                before_communicate_callback=watch.start,
                pass_fds=[watch.gate, *keep_open, *(given for given, _standard in streams if given is not None)],
                handle_exceptions=False,
            )
        except BaseException:
            watch.end_program()
            raise
        finally:
            watch.stop()
        if _changes(program, args):
            self._commands.append(Command(cmd, rc, started_at, round(time.monotonic() - start, 1)))
        return Result(cmd, rc, _printable(out), _printable(err), timed_out=watch.struck)

    def converse(self, args: Sequence[str], dialect: type[Dialect], command: GuestCommand, **options: Any) -> Outcome:
        """Run C(prlctl exec) with these arguments as one session with a guest. For the options see guest_session."""
        return converse([self.program(PRLCTL), *args], _ENVIRONMENT, dialect, command, **options)

    def pauses(self, patience: Optional[float] = None, first: float = 1, longest: float = 30) -> Iterator[float]:
        """Yield growing pauses for C(patience) seconds, by default C(retry_for)."""
        end = self.clock() + (self.retry_for if patience is None else patience)
        pause = first
        while self.clock() < end:
            yield min(pause, longest)
            pause *= 1.6

    def read_json(self, program: str, *args: str, expect: type = list, private: bool = False) -> Any:
        """Run a program that answers in JSON, and return its answer as a list or a dictionary.

        Parallels sometimes mixes messages and control characters into its JSON. They are skipped; an answer that is
        still unreadable is requested again. No output is an empty answer, unless an error explains it.
        """
        for attempt in range(3):
            if attempt:
                self.sleep(2)
            result = self.run(program, *args, private=private, limit=self._read_limit or READ_LIMIT)
            answer = parse_json(result.stdout, expect)
            if result.timed_out and self._read_limit:
                break
            remedy = remedy_for(result)
            # An exit code of 255 may follow a complete answer; without an answer, it cannot be told from a refusal.
            if answer or (
                result.rc == 0 and answer is not None and (result.stdout.strip() or not _shows_failure(result))
            ):
                return answer
            if result.rc not in (0, _FROZEN) and remedy is not None and not remedy.passes:
                break
        if result.timed_out:
            raise _no_answer(result, self._read_limit or READ_LIMIT)
        raise failure(
            "Parallels returned no readable answer" if result.rc == 0 else "Parallels refused to answer",
            result,
            private=private,
        )

    def change(
        self,
        what: str,
        args: Sequence[str],
        reached: Callable[[], bool],
        *,
        program: str = PRLCTL,
        limit: float = CHANGE_LIMIT,
        settle: float = 60,
        patience: Optional[float] = None,
        keep_open: Sequence[int] = (),
        before_retry: Callable[[], None] = lambda: None,
        answer: str = "",
    ) -> Result:
        """Run a program that changes something, then check the real state: C(reached) decides whether it was done.

        C(what) completes "Parallels could not ...". After success, C(reached) gets C(settle) seconds to come true,
        because Parallels reports some changes late. Transient failures (busy, merging, no service) are retried for
        C(patience) seconds, by default C(retry_for); C(before_retry) is called before each further attempt.
        C(answer) is what the program reads when it asks a question.
        """
        pauses = self.pauses(patience)
        while True:
            result = self.run(program, *args, limit=limit, keep_open=keep_open, answer=answer)
            if self._comes_true(reached, settle if result.rc == 0 else 0):
                return result
            if result.timed_out:
                raise failure(f"Parallels could not {what} within {limit:.0f} seconds", result)
            if result.rc == 0:
                raise failure(f"Parallels reported success, but a check shows that it did not {what}", result)
            if not is_transient(result):
                # A change may have been made in spite of an unknown error, and show only later.
                if remedy_for(result) is None and self._comes_true(reached, 5):
                    return result
                raise failure(f"Parallels could not {what}", result)
            pause = next(pauses, None)
            if pause is None:
                raise failure(f"Parallels could not {what} after several attempts", result)
            self.sleep(pause)
            if reached():
                return result
            before_retry()

    def _comes_true(self, reached: Callable[[], bool], seconds: float) -> bool:
        end = self.clock() + seconds
        pause = 0.5
        while not reached():
            if self.clock() >= end:
                return False
            self.sleep(pause)
            pause = min(pause * 1.5, 5)
        return True


@contextlib.contextmanager
def piped(text: str) -> Iterator[IO[bytes]]:
    """Return a file from which a program reads this text. It is on no disk and on no command line."""
    reader, writer = os.pipe()

    def feed() -> None:
        leave_signals_to_main_thread()
        # A program that ends without reading all of it is right, too.
        with contextlib.suppress(BrokenPipeError), open(writer, "wb", buffering=0) as pipe:
            left = memoryview(text.encode("utf-8", "surrogateescape"))
            while left:
                left = left[pipe.write(left) or 0 :]

    feeder = threading.Thread(target=feed, daemon=True)
    try:
        with open(reader, "rb") as stdin:
            feeder.start()
            yield stdin
    finally:
        feeder.join()


def _changes(program: str, args: Sequence[str]) -> bool:
    """Return whether a command is run to change something, not only to read."""
    if program == PRL_DISK_TOOL:
        return "--info" not in args
    return program == PRLCTL and bool(args) and args[0] in _CHANGES


class _Watch:
    """Ends a program, with everything that it started, after the timeout.

    The program waits at the C(gate) until the watch knows its process, and exits when the watch goes away. Otherwise a
    program that is started in the very moment of an interruption could run on unnoticed for hours.
    """

    def __init__(self, limit: float) -> None:
        self.struck = False
        self._limit = limit
        self._over = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._process: Any = None
        self.gate, self._opener = os.pipe()

    def start(self, process: Any) -> None:
        self._process = process
        self._thread = threading.Thread(target=self._watch, args=(process.pid,), daemon=True)
        self._thread.start()
        os.write(self._opener, b".")

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        os.close(self.gate)
        os.close(self._opener)

    def end_program(self) -> None:
        """End the program now, and return when it has ended."""
        self._over.set()
        if self._process is None:
            return
        deadline = time.monotonic() + _KILL_GRACE
        asked = False
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                _signal_group(self._process.pid, signal.SIGKILL)
                self._process.kill()
                self._process.wait()
                return
            # The process group does not exist in the very first moment.
            asked = asked or _signal_group(self._process.pid, signal.SIGTERM)
            time.sleep(_END_POLL)

    def _watch(self, pid: int) -> None:
        leave_signals_to_main_thread()
        if self._over.wait(self._limit):
            return
        self.struck = True
        _signal_group(pid, signal.SIGTERM)  # lets prlctl cancel its request to the Parallels service
        if not self._over.wait(_KILL_GRACE):
            _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> bool:
    """Send a signal to a group of processes; return whether there was one."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS calls a dead group not permitted
        return False
    return True


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _printable(text: str) -> str:
    """Return a text that goes into JSON: bytes that were not UTF-8 are shown as replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def without_progress(text: str) -> str:
    r"""Return a text without progress: of a line that was redrawn with \r, the last version."""
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return "\n".join(line for line in lines if not _PROGRESS.fullmatch(line)).strip()


_PROGRESS = re.compile(r".{0,80}?\d{1,3}\s?%\s*")
# A line of its own that Parallels prints into its JSON. One with a quote or a brace may belong to the answer.
_NOISE_LINE = re.compile(
    r"^(?:This feature is not available[^\"{}\n]*|\r?[^\"{}\n]{0,80}?progress[^\"{}\n]{0,20}\d{1,3}\s?%)\s*$",
    re.MULTILINE,
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_ESCAPE = re.compile(r"\\(?P<good>[\"\\/bfnrt]|u[0-9a-fA-F]{4})?")
_STRING_OR_STRAY_QUOTE = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<stray>\\")', re.DOTALL)
# One member of an object on a line of its own: its value ends with the last quote of the line, whatever is before it.
_TEXT_MEMBER = re.compile(r'^(?P<start>\s*"[^"]*"\s*:\s*")(?P<value>.*)(?P<end>"\s*,?\s*)$', re.MULTILINE)
_OTHER_MEMBER = re.compile(r'"\s*:|"\s*,\s*"')
_BARE_QUOTE = re.compile(r'(?P<escape>\\.)|"')


def parse_json(text: str, expect: type = list) -> Any:
    """Return the whole answer, a list or a dictionary, or None: never a part of one that is broken or cut off.

    No text at all is an empty answer. Lines around the answer and known damage within it are tolerated.
    """
    if not text.strip(" \t\r\n"):
        return expect()
    text = _CONTROL.sub("", text)
    for repair in (_unchanged, _without_noise_lines, _with_good_escapes, _without_stray_quotes, _with_escaped_quotes):
        text = repair(text)
        answer = _whole_value(text, expect)
        if answer is not None:
            return answer
    return None


def _unchanged(text: str) -> str:
    return text


def _without_noise_lines(text: str) -> str:
    return _NOISE_LINE.sub("", text)


def _with_good_escapes(text: str) -> str:
    return _ESCAPE.sub(lambda found: found.group() if found["good"] else "\\\\", text)


def _without_stray_quotes(text: str) -> str:
    r"""Return a text without backslashes before quotes outside of strings, as in `[\"remove-vm\"]` of Parallels 11."""
    return _STRING_OR_STRAY_QUOTE.sub(lambda found: '"' if found["stray"] else found.group(), text)


def _with_escaped_quotes(text: str) -> str:
    """Return a text with escaped quotes within values, as far as the lines show where each value ends."""

    def repair(found: re.Match[str]) -> str:
        value = found["value"]
        if _OTHER_MEMBER.search(value):  # there may be more than one member on this line
            return found.group()
        value = _BARE_QUOTE.sub(lambda quote: quote["escape"] or '\\"', value)
        return found["start"] + value + found["end"]

    return _TEXT_MEMBER.sub(repair, text)


def _whole_value(text: str, expect: type) -> Any:
    """Return the one list or dictionary in a text in which there is nothing else but messages."""
    decoder = json.JSONDecoder(strict=False)
    opening = "[" if expect is list else "{"
    position = text.find(opening)
    while position >= 0 and _is_noise(text[:position]):
        try:
            value, end = decoder.raw_decode(text, position)
            require_shallow(value)
            # A half character in a name: no file and no program can be named so, and Ansible would not return it.
            value = sendable(value)
        except (ValueError, RecursionError):
            pass
        else:
            if _is_noise(text[end:]):
                return value
        position = text.find(opening, position + 1)
    return None


_PART_OF_JSON = re.compile(r'[{}]|"\s*[:,]|^\s*[:,]|\[\s*\]|,\s*$')


def _is_noise(text: str) -> bool:
    """Return whether a text before or after an answer is only messages, not a part of an answer."""
    if _PART_OF_JSON.search(text):
        return False
    return not re.search(r"[\[\]]", re.sub(r"\[[^\[\]]*\]", "", text))


def remedy_for(result: Result) -> Optional[Remedy]:
    """Return the remedy for a failure, None for an unknown one."""
    said = result.said
    for remedy in REMEDIES:
        if re.search(remedy.pattern, said):
            return remedy
    return None


def _shows_failure(result: Result) -> bool:
    """Return whether a program reported a failure, whatever its exit code."""
    return remedy_for(result) is not None or re.search(r"^Failed to ", result.stderr, re.MULTILINE) is not None


def _has_no_service(result: Result) -> bool:
    """Return whether a command has not begun, because the Parallels service did not respond (yet)."""
    if result.rc == _NO_SERVICE:
        return True
    return result.rc > 0 and _NO_SERVICE_WORDS.search(result.stderr) is not None


def is_transient(result: Result) -> bool:
    """Return whether the same command may succeed a little later."""
    if result.rc in (_NO_SERVICE, _FROZEN):
        return True
    remedy = remedy_for(result)
    return remedy is not None and remedy.passes


def failure(what: str, result: Result, *, private: bool = False) -> TaskError:
    """Return the error for a program that failed: what failed, its last output, what to do next."""
    details = result.details()
    if result.timed_out:
        details["timed_out"] = True
    words = without_progress(result.stderr) or without_progress(result.stdout)
    if private:
        details["stdout"] = details["stderr"] = words = ""
    sentence = f"{what}: {_as_sentence(words)}" if words else f"{what} (exit code {result.rc})."
    remedy = remedy_for(result)
    if remedy is not None:
        advice = remedy.advice
    elif result.timed_out and _QUESTION.search(words):
        advice = f"It asked for an answer. Run `{' '.join(result.cmd)}` on the Mac and answer it there."
    elif result.timed_out:
        advice = "Check the virtual machine in Control Center. If it is only slow, raise the timeout."
    elif result.rc == _FROZEN:
        advice = "The virtual machine is frozen. Check it in Control Center, then run again."
    elif result.rc < 0:
        advice = f"The program was killed by another process (signal {-result.rc}). Run the same command again."
    else:
        advice = f"Run `{' '.join(result.cmd)}` on the Mac to see the details."
    return TaskError(f"{sentence} {advice}", **details)


_QUESTION = re.compile(r"(\?|[\[(](y|yes)/(n|no)[\])]:?)\s*\Z", re.IGNORECASE)


def _no_answer(result: Result, limit: float) -> TaskError:
    """Return the error for a query that was not answered: a dialog of the application makes all queries hang."""
    return TaskError(
        f"{os.path.basename(result.cmd[0])} gave no answer within {limit:.0f} seconds. Parallels Desktop is probably "
        "waiting for an answer on the Mac's screen: to a license agreement, a question about its license, or its first "
        "start after an update. Log in to the Mac's desktop as the user who owns the virtual machines, open Parallels "
        "Desktop, and answer what it asks. If it asks nothing, restart the Mac. Then run again.",
        cmd=result.cmd,
        rc=result.rc,
        stdout="",
        stderr="",
        timed_out=True,
    )


def was_answered(error: BaseException, verb: str) -> bool:
    """Return whether Parallels itself reported the failure of a subcommand. If not, it may still be working on it."""
    if not isinstance(error, TaskError) or error.details.get("cmd", [])[1:2] != [verb]:
        return False
    return not error.details.get("timed_out") and error.details.get("rc", -1) >= 0


def _as_sentence(words: str) -> str:
    line = " ".join(words.split())[-500:]
    return line if line.endswith((".", "!", "?")) else line + "."
