# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""One session of C(prlctl exec): starts it, holds the dialogue of guest_frame with the guest, and ends it.

What counts is what the guest says. The exit code of prlctl is never that of the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import signal
import subprocess  # nosec B404 # prlctl, by its path, without a shell
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from .guest_frame import Answer, Command, Dialect, ping

# prlctl says so for several reasons, sometimes with the exit code 0.
NO_SESSION = re.compile(r"Unable to open new session in this virtual machine")

OPEN_LIMIT = 60  # seconds until the guest must have answered
_FIRST_PING, _LONGEST_PING = 0.25, 2.0  # seconds between two questions whether the guest answers
_END_LIMIT = 20  # seconds that the guest has to end a command that is over its time
_CLOSE_LIMIT = 3  # seconds that prlctl has to end by itself once all has been said
_KILL_GRACE = 5  # seconds between asking prlctl to end and killing it
_PIECE = 1 << 18
_MESSAGE_KEPT = 4000
_LOOK = 1.0  # seconds between two looks at whether somebody still wants the answer


@dataclass
class Outcome:
    """What came of a session."""

    answer: Answer
    sent: bool  # whether the command was sent: if not, it has certainly not begun
    said: str  # what prlctl itself wrote
    code: Optional[int]  # the exit code of prlctl, None when it had to be ended
    timed_out: bool = False
    abandoned: bool = False  # nobody wants the answer any more

    @property
    def lost(self) -> bool:
        """Whether the command may have begun, and its result is not known."""
        return self.sent and not self.answer.refused and not self.answer.intact


# What the command reads: bytes, or a file descriptor from which C(Command.size) bytes are read.
Body = Union[bytes, int]


def converse(
    argv: Sequence[str],
    environment: Mapping[str, str],
    dialect: type[Dialect],
    command: Command,
    *,
    body: Body = b"",
    take: Optional[Callable[[bytes], object]] = None,
    wanted: Callable[[], bool] = lambda: True,
    started: Callable[[Answer], object] = lambda _answer: None,
    open_limit: float = OPEN_LIMIT,
) -> Outcome:
    """Run a command in one session; C(argv) is that of prlctl with all of its options.

    C(take) gets standard output piece by piece, C(started) is called with the answer before the first piece. The
    session ends early when C(wanted) says that nobody waits for the result any more.
    """
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function  # nosec B603 # a list, and no shell
        [*argv, *dialect.words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    session = _Session(process, dialect, command, body, take, wanted, started, open_limit)
    try:
        return session.run()
    finally:
        session.close()


class _Session:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        dialect: type[Dialect],
        command: Command,
        body: Body,
        take: Optional[Callable[[bytes], object]],
        wanted: Callable[[], bool],
        started: Callable[[Answer], object],
        open_limit: float,
    ) -> None:
        self._process = process
        self._dialect = dialect
        self._command = command
        self._source = body
        self._left = command.size
        self._wanted = wanted
        self._nonce = secrets.token_hex(8)
        self._answer = Answer(self._nonce, take, started)
        self._pending = memoryview(b"")  # what is still to be written
        self._said = bytearray()
        self._sent = False
        self._closing_sent = False
        self._deaf = False  # nobody reads what is written
        self._start = time.monotonic()
        self._open_limit = open_limit
        self._next_ping, self._ping_pause = self._start, _FIRST_PING
        self._selector = selectors.PollSelector()  # the default of Linux takes no regular file
        self._streams = [stream for stream in (process.stdin, process.stdout, process.stderr) if stream]

    def run(self) -> Outcome:
        stdin, stdout, stderr = self._streams
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
        self._selector.register(stdout, selectors.EVENT_READ)
        self._selector.register(stderr, selectors.EVENT_READ)
        may_say_more = True
        timed_out = abandoned = False
        limit = self._command.limit
        # The guest ends the command itself. This is for a guest that does not.
        hard_end = None if limit is None else limit + _END_LIMIT
        sent_at = 0.0
        while may_say_more and not self._answer.complete and not self._answer.refused:
            now = time.monotonic()
            if not self._sent and now - self._start > self._open_limit:
                break
            if self._sent and hard_end is not None and now - sent_at > hard_end:
                timed_out = True
                break
            if not self._wanted():
                abandoned = True
                break
            self._fill(now)
            if self._sent and not sent_at:
                sent_at = now
            self._watch_for_writing(stdin)
            for key, _events in self._selector.select(self._pause(now)):
                if key.fileobj is stdin:
                    self._write(stdin)
                elif key.fileobj == self._source:
                    self._read_source()
                elif not self._read(key.fileobj, stderr):
                    self._selector.unregister(key.fileobj)
                    may_say_more = may_say_more and key.fileobj is not stdout
        code = self._end(stdin, stderr)
        timed_out = timed_out or (self._answer.killed and limit is not None)
        said = bytes(self._said + self._answer.noise).decode("utf-8", "replace").strip()
        return Outcome(self._answer, self._sent, said, code, timed_out, abandoned)

    def _pause(self, now: float) -> float:
        return _LOOK if self._sent else max(min(self._next_ping - now, _LOOK), 0.01)

    def _fill(self, now: float) -> None:
        """Decide what to write next."""
        if self._pending or self._deaf:
            return
        if not self._answer.ready:
            if now >= self._next_ping:
                self._pending = memoryview(ping(self._nonce))
                self._next_ping = now + self._ping_pause
                self._ping_pause = min(self._ping_pause * 1.5, _LONGEST_PING)
        elif not self._sent:
            self._sent = True
            self._pending = memoryview(self._dialect.opening(self._command, self._nonce))
        elif self._left:
            # Not before the guest has the script: what is left of the command then comes in one piece after the other.
            if isinstance(self._source, bytes) and self._answer.begun:
                start = self._command.size - self._left
                self._add_body(self._source[start : start + _PIECE])
        elif not self._closing_sent and (self._answer.received or not self._dialect.waits_for_receipt):
            self._closing_sent = True
            self._pending = memoryview(self._dialect.closing(self._nonce))

    def _add_body(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        self._pending = memoryview(self._dialect.body(chunk))

    def _watch_for_writing(self, stdin: Any) -> None:
        """Select for what has to happen next: something to write, or something to read that will be written."""
        watched = self._selector.get_map()
        if self._pending and stdin.fileno() not in watched:
            self._selector.register(stdin, selectors.EVENT_WRITE)
        elif not self._pending and stdin.fileno() in watched:
            self._selector.unregister(stdin)
        if isinstance(self._source, int):
            wants = bool(self._left and self._answer.begun and not self._pending and not self._deaf)
            if wants and self._source not in watched:
                self._selector.register(self._source, selectors.EVENT_READ)
            elif not wants and self._source in watched:
                self._selector.unregister(self._source)

    def _read_source(self) -> None:
        assert isinstance(self._source, int)
        chunk = os.read(self._source, min(self._left, _PIECE))
        if not chunk:
            raise EOFError("The data for the guest ended early.")
        self._add_body(chunk)

    def _write(self, stdin: Any) -> None:
        try:
            written = os.write(stdin.fileno(), self._pending[:_PIECE])
        except BlockingIOError:
            return
        except BrokenPipeError:  # what was said tells why
            self._pending = memoryview(b"")
            self._deaf = True
            return
        self._pending = self._pending[written:]

    def _read(self, stream: Any, stderr: Any) -> bool:
        """Read from prlctl, and return whether there may be more."""
        try:
            data = os.read(stream.fileno(), _PIECE)
        except BlockingIOError:
            return True
        if stream is stderr:
            self._said += data
            del self._said[:-_MESSAGE_KEPT]
            return bool(data)
        self._answer.feed(data)
        return bool(data)

    def _end(self, stdin: Any, stderr: Any) -> Optional[int]:
        """End prlctl, first by closing its standard input, and return its exit code."""
        if stdin.fileno() in self._selector.get_map():
            self._selector.unregister(stdin)
        with contextlib.suppress(OSError):
            stdin.close()
        end = time.monotonic() + _CLOSE_LIMIT
        while self._process.poll() is None and time.monotonic() < end:
            # prlctl may be waiting for somebody to read what it writes.
            for key, _events in self._selector.select(0.02):
                if key.fileobj == self._source or not self._read(key.fileobj, stderr):
                    self._selector.unregister(key.fileobj)
            if not self._selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(max(end - time.monotonic(), 0.01))
        code = self._process.poll()
        if stderr.fileno() in self._selector.get_map():
            self._read(stderr, stderr)
        return code

    def close(self) -> None:
        """Let nothing run on; closing standard input makes the guest end a command that is still running."""
        with contextlib.suppress(OSError):
            self._streams[0].close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_LIMIT)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_GRACE)
        for stream in self._streams[1:]:
            stream.close()
        self._selector.close()
