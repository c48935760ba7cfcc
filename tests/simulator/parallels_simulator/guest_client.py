# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How prlctl reaches a guest with a root of its own: its machine through the server, its commands through a socket."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import texts
from .errors import CommandError
from .mac import GUESTS, Mac

if TYPE_CHECKING:
    import socket

CONTROL = "control"
_CHUNK = 1 << 16
_NO_SERVER = (
    "simulator: this virtual machine has a root of its own, but no server runs its guest. "
    "Start one as root with `simulate guests {root}`, then start the virtual machine again."
)


class Session(NamedTuple):
    """What happens to the output and the exit code on their way."""

    deaf_seconds: float = 0  # standard output of the first seconds is lost
    rc_needs_stdin: bool = False  # the exit code is lost when standard input is at its end
    until_eof: bool = True  # wait for the end of standard output, not only for that of the command
    cut: str = ""  # the session ends in the middle of the output: with an "error", or "silent"
    cut_after: bytes = b""  # namely after the first line with this text

    def passes(self, output: bytes) -> tuple[bytes, bool]:
        """Return what arrives of some output, and whether the session ends there."""
        arrived = b""
        for line in output.splitlines(keepends=True):
            arrived += line
            if self.cut_after in line:
                return arrived, True
        return arrived, False


def tell(mac: Mac, record: dict[str, Any], what: str) -> None:
    """Have the machine of a VM started, stopped and so on; nothing happens for a VM without a root of its own."""
    if not record.get("own_root"):
        return
    request = {key: str(record[key]) for key in ("uuid", "name", "home", "arch")}
    try:
        with _connect(mac, CONTROL) as connection, connection.makefile("rwb") as stream:
            stream.write(json.dumps({**request, "do": what, "boot": record.get("boot", "")}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline() or '{"error": "it ended"}')
    except OSError as error:
        if what != "start":
            return  # without a server, no guest runs
        raise CommandError(_NO_SERVER.format(root=mac.root), rc=2) from error
    if answer["error"]:
        raise CommandError(f"simulator: the server of the guests failed to {what} one: {answer['error']}", rc=2)


def _connect(mac: Mac, name: str) -> socket.socket:
    """Connect to a socket whose path may be longer than a socket's can be."""
    import socket  # slow to load, and most calls of prlctl reach no guest

    here = os.open(mac.root / GUESTS, os.O_RDONLY | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{here}/{name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(here)
    return connection


def run_session(mac: Mac, uuid: str, request: dict[str, Any], how: Session) -> int:
    """Run a command in a guest with this process's standard input and outputs; return its exit code."""
    import socket

    try:
        connection = _connect(mac, uuid)
    except OSError as error:
        raise CommandError(_NO_SERVER.format(root=mac.root), rc=2) from error
    with connection:
        stdin, to_guest = os.pipe()
        from_guest, stdout = os.pipe()
        errors_from_guest, stderr = os.pipe()
        theirs = [stdin, stdout, stderr]
        line = json.dumps(request).encode() + b"\n"
        socket.send_fds(connection, [line[:_CHUNK]], [*theirs, from_guest, errors_from_guest])
        if line[_CHUNK:]:
            connection.sendall(line[_CHUNK:])
        for handle in theirs:
            os.close(handle)
        return _Pump(connection, to_guest, from_guest, errors_from_guest, how).run()


class _Pump:
    """Moves the bytes between this process and the command in the guest."""

    def __init__(self, connection: socket.socket, to_guest: int, output: int, errors: int, how: Session) -> None:
        self._connection = connection
        self._to_guest = to_guest
        self._targets = {output: 1, errors: 2}
        self._output = output
        self._how = how
        self._pending = b""
        self._stdin_open = True
        self._messages = b""
        self._rc: Optional[int] = None
        self._lost = False
        self._is_cut = False
        self._began = time.monotonic()
        for handle in (to_guest, output, errors):
            os.set_blocking(handle, False)

    def run(self) -> int:
        """Return the exit code."""
        while not self._is_over():
            self._turn()
        for handle in () if self._is_cut else list(self._targets):
            while self._forward(handle):
                pass
        if self._how.cut:
            return end_early(self._how)
        if self._lost:
            raise CommandError(texts.JOB_ERROR)
        if self._how.rc_needs_stdin and not self._stdin_open:
            return 0
        return self._rc or 0

    def _is_over(self) -> bool:
        if self._lost or self._is_cut:
            return True
        return self._rc is not None and (not self._how.until_eof or self._output not in self._targets)

    def _turn(self) -> None:
        poll = select.poll()
        for handle in (*self._targets, self._connection.fileno()):
            poll.register(handle, select.POLLIN)
        if self._to_guest >= 0:
            if self._pending:
                poll.register(self._to_guest, select.POLLOUT)
            else:
                poll.register(self._to_guest, 0)  # only whether the command has closed its end
                if self._stdin_open:
                    poll.register(0, select.POLLIN)
        for handle, events in poll.poll():
            if handle == 0:
                self._read_stdin()
            elif handle == self._to_guest:
                self._feed(events)
            elif handle == self._connection.fileno():
                self._read_message()
            else:
                self._forward(handle)

    def _read_stdin(self) -> None:
        try:
            self._pending = os.read(0, _CHUNK)
        except OSError:
            self._pending = b""
        if not self._pending:
            self._stdin_open = False
            self._close_stdin()

    def _feed(self, events: int) -> None:
        if events & (select.POLLERR | select.POLLHUP):
            self._pending = b""
            self._close_stdin()
            return
        with contextlib.suppress(BlockingIOError):
            self._pending = self._pending[os.write(self._to_guest, self._pending) :]

    def _close_stdin(self) -> None:
        if self._to_guest >= 0:
            os.close(self._to_guest)
            self._to_guest = -1

    def _read_message(self) -> None:
        data = self._connection.recv(_CHUNK)
        self._messages += data
        self._lost = not data and self._rc is None
        *lines, self._messages = self._messages.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message.get("refused"):
                raise CommandError(texts.NO_SESSION)
            self._rc = message.get("rc", self._rc)

    def _forward(self, handle: int) -> bool:
        """Pass on what the command printed; return whether there may be more at once."""
        try:
            data = os.read(handle, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            del self._targets[handle]
            return False
        if handle == self._output and time.monotonic() < self._began + self._how.deaf_seconds:
            return True
        if handle == self._output and self._how.cut:
            passed, self._is_cut = self._how.passes(data)
            write_all(1, passed)
            return not self._is_cut
        write_all(self._targets[handle], data)
        return True


def end_early(how: Session) -> int:
    """End a session in the middle; the command in the guest goes on."""
    if how.cut == "silent":
        return 0
    raise CommandError(texts.JOB_ERROR)


def write_all(handle: int, data: bytes) -> None:
    """Write all of some bytes."""
    while data:
        data = data[os.write(handle, data) :]
