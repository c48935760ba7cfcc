# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialogues with guests of which only their answers exist: the command line has a loader, the rest is on the streams.

Nothing here runs PowerShell or a shell: that a loader does what it should is not known from this. What is known is that
each line arrived, and that it is what such a loader can take. This is a strict listener with a table of answers, as
plugins/module_utils/_parallels/guest_frame.py describes the dialogue:

- C(?NONCE), any number of times: C(!NONCE). Then what is to be done, and C(BEGIN NONCE). Then what the command reads.
- Windows: a line with the base64 of a script, one with the base64 of JSON (C(nonce), C(line), C(limit), C(fetch),
  C(store)), lines of base64, C(.NONCE). The answer is C(END NONCE CODE -1 -1 KILLED BYTES), lines C(O BASE64) and
  C(E BASE64), C(EOT NONCE SHA256). Its lines end with CR LF.
- Linux and macOS: a line with a script for C(printf %b), which begins with its values; so many bytes, C(GOT NONCE), and
  C(end NONCE). The answer is C(END NONCE CODE BYTES BYTES KILLED), the bytes, C(EOT NONCE SHA256).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Callable, NamedTuple, Optional

from .guest import Answer

_WINDOWS_LOADER = re.compile(r"\[Console\]::(In\b|OpenStandardInput)|\$input\b", re.IGNORECASE)
_UNIX_LOADER = re.compile(r"/bin/sh -c 'while read -r \w+; do [^']*\beval\b[^']*; done'")
_ORDER = {"nonce": str, "line": str, "limit": int, "fetch": bool, "store": bool}
_NONCE = re.compile(r"[0-9a-f]{8,64}")
_VALUE = re.compile(rb'([a-z])=\$\(printf %b "([^"]*)"\)')
_UNIX_KEYS = set("nczlwjg")
_STORE = re.compile(r"cat >('(?:[^']|'\\'')*') && h <\1$")
_PIECE = 6000


class ProtocolError(Exception):
    """What came is not what the loader can take."""


class Reply(NamedTuple):
    """One row of the table of answers: to which command, and what it answers."""

    line: str  # a regular expression for the command
    stdin: str = ""  # one for what it reads
    stdout: str = ""
    stderr: str = ""
    rc: int = 0


def parse_replies(text: str) -> list[dict[str, Any]]:
    """Return the rows of a table of answers; raises ValueError for one that is none."""
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is not a list of objects")
    for row in rows:
        unknown = set(row) - set(Reply._fields)
        if unknown or "line" not in row:
            raise ValueError(f"a row has the keys {sorted(row)}; line is needed, and allowed are {list(Reply._fields)}")
        for pattern in (row["line"], row.get("stdin", "")):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern} is not a regular expression: {error}") from error
    return [Reply(**row)._asdict() for row in rows]


class LongWork(NamedTuple):
    """What a script has to do with long work: a command that has a process of its own, and its dialogue in files."""

    name: str
    does: str  # begin, look, or remove (or stop, which is the same here: it ends at once)
    tape: str = ""  # what would come on standard input


_WORK = re.compile(r"^\$n = 'macops-([0-9a-f]{16})'$", re.MULTILINE)
_TAPE = re.compile(r"^ +\[IO\.File\]::WriteAllText\(\"\$d\\tape\", '([A-Za-z0-9+/=\n.]+)'\)$", re.MULTILINE)
_PROCESS = re.compile(
    r"^ +\$line = 'cmd\.exe /D /S /C \"(powershell\.exe [^\"]+) <%D%\\tape >%D%\\answer 2>&1 "
    r"& ren %D%\\answer result\"'",
    re.MULTILINE,
)


def work_in(script: str) -> Optional[LongWork]:
    """Return what a script has to do with long work in Windows, None if nothing; raises ProtocolError."""
    named = _WORK.search(script)
    if not named:
        return None
    if "-MethodName Create" not in script:
        return LongWork(named.group(1), "look" if "'ended'" in script else "remove")
    tape, process = _TAPE.search(script), _PROCESS.search(script)
    if not tape or not process or dialogue_for(True, process.group(1).split(" ")) is not WindowsDialogue:
        raise ProtocolError("long work has no tape, or not the loader that reads it")
    return LongWork(named.group(1), "begin", tape.group(1))


class Order(NamedTuple):
    """What is to be done in the guest."""

    nonce: str
    line: str
    fetch: bool = False
    store: bool = False


# Runs a command with what it reads.
Run = Callable[[Order, bytes], Answer]


class Dialogue:
    """One session: takes what comes on standard input, and returns what goes to standard output."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._step: Callable[[], Optional[bytes]] = self._ask
        self.order: Optional[Order] = None
        self.stdin = b""
        self.answer: Optional[Answer] = None  # what the command answered

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises ProtocolError."""
        self._buffer += data
        output = b""
        while self.answer is None:
            said = self._step()
            if said is None:
                break
            output += said
        return output

    def cut_off(self) -> bytes:
        """End a command whose standard input was closed too early."""
        if self.order is None or self.answer is not None:
            return b""
        return self._end(Answer(1), killed=True)

    def _line(self) -> Optional[bytes]:
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        if line.endswith(b"\r"):
            raise ProtocolError("a line ends with CR LF")
        if not line.isascii():
            raise ProtocolError("a line is not ASCII")
        return line

    def _ask(self) -> Optional[bytes]:
        line = self._line()
        if line is None:
            return None
        if line.startswith(b"?"):
            return b"!" + line[1:] + self.newline
        return self._open(line)

    newline = b"\n"

    def _open(self, line: bytes) -> bytes:
        raise NotImplementedError

    def _end(self, answer: Answer, killed: bool = False) -> bytes:
        raise NotImplementedError

    def _begin(self, order: Order) -> bytes:
        if not _NONCE.fullmatch(order.nonce):
            raise ProtocolError("the nonce is not hexadecimal")
        self.order = order
        return f"BEGIN {order.nonce}".encode() + self.newline

    def _done(self, answer: Answer) -> tuple[str, bytes, bytes, str]:
        assert self.order is not None
        self.answer = answer
        output, errors = (text.encode("utf-8", "surrogateescape") for text in (answer.stdout, answer.stderr))
        return self.order.nonce, output, errors, sha256(output + errors)


class WindowsDialogue(Dialogue):
    """The dialogue with PowerShell."""

    newline = b"\r\n"

    def _open(self, line: bytes) -> bytes:
        try:
            self.runner = _decoded(line, "the script").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("the script is not UTF-8") from error
        self._step = self._take_order
        return b""

    def _take_order(self) -> Optional[bytes]:
        line = self._line()
        if line is None:
            return None
        try:
            order = json.loads(_decoded(line, "the order").decode("utf-8"))
        except ValueError as error:
            raise ProtocolError(f"the order is not JSON: {error}") from error
        types = {key: type(value) for key, value in order.items()}
        if types != _ORDER:
            raise ProtocolError(f"the order has {types}, not {_ORDER}")
        self._step = self._take_input
        return self._begin(Order(order["nonce"], order["line"], order["fetch"], order["store"]))

    def _take_input(self) -> Optional[bytes]:
        assert self.order is not None
        line = self._line()
        if line is None:
            return None
        if line.startswith(b"."):
            if line[1:].decode() != self.order.nonce:
                raise ProtocolError("the closing line has another nonce")
            return self._end(self._run(self.order, self.stdin))
        self.stdin += _decoded(line, "a line of standard input")
        return b""

    def _end(self, answer: Answer, killed: bool = False) -> bytes:
        nonce, output, errors, digest = self._done(answer)
        lines = [f"END {nonce} {answer.rc} -1 -1 {int(killed)} {len(output)}"]
        for mark, data in (("O", output), ("E", errors)):
            pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
            lines += [f"{mark} {base64.b64encode(piece).decode()}" for piece in pieces]
        return "".join(f"{line}\r\n" for line in [*lines, f"EOT {nonce} {digest}"]).encode()


class UnixDialogue(Dialogue):
    """The dialogue with the shell of Linux and macOS."""

    _size = 0

    def _open(self, line: bytes) -> bytes:
        self.runner = _printed(line).decode("utf-8", "surrogateescape")
        values = {}
        for part in _printed(line).split(b"\n"):
            match = _VALUE.fullmatch(part)
            if not match:
                break
            values[match.group(1).decode()] = _printed(match.group(2)).decode("utf-8", "surrogateescape")
        if set(values) != _UNIX_KEYS:
            raise ProtocolError(f"the script sets {sorted(values)}, not {sorted(_UNIX_KEYS)}")
        if not values["z"].isdigit():
            raise ProtocolError("the number of bytes is not a number")
        self._size = int(values["z"])
        store = _STORE.search(values["c"])
        path = store.group(1)[1:-1].replace("'\\''", "'") if store else values["c"]
        self._step = self._take_input
        return self._begin(Order(values["n"], path, "NO $n missing" in self.runner, bool(store)))

    def _take_input(self) -> Optional[bytes]:
        assert self.order is not None
        if self.order.fetch:
            return self._end(self._run(self.order, b""))
        left = self._size - len(self.stdin)
        self.stdin += self._buffer[:left]
        self._buffer = self._buffer[left:]
        if len(self.stdin) < self._size:
            return None
        self._step = self._close
        return f"GOT {self.order.nonce}\n".encode()

    def _close(self) -> Optional[bytes]:
        assert self.order is not None
        line = self._line()
        if line is None:
            return None
        if line != f"end {self.order.nonce}".encode():
            raise ProtocolError("the closing line is another one")
        return self._end(self._run(self.order, self.stdin))

    def _end(self, answer: Answer, killed: bool = False) -> bytes:
        nonce, output, errors, digest = self._done(answer)
        first = f"END {nonce} {answer.rc} {len(output)} {len(errors)} {int(killed)}\n"
        return first.encode() + output + errors + f"EOT {nonce} {digest}\n".encode()


def dialogue_for(windows: bool, words: list[str]) -> Optional[type[Dialogue]]:
    """Return the dialogue that a command line begins; None for a command that is all on the command line."""
    if not windows:
        return UnixDialogue if _UNIX_LOADER.fullmatch(" ".join(words)) else None
    lowered = [word.lower() for word in words]
    if not any(re.search(r"(^|\\)powershell(\.exe)?$", word) for word in lowered) or "-encodedcommand" not in lowered:
        return None
    encoded = words[lowered.index("-encodedcommand") + 1 :]
    try:
        script = base64.b64decode("".join(encoded), validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return WindowsDialogue if len(encoded) == 1 and _WINDOWS_LOADER.search(script) else None


def sha256(data: bytes) -> str:
    """Return the digest of some bytes in hexadecimal."""
    import hashlib  # slow to load, and most calls of prlctl begin no dialogue

    return hashlib.sha256(data).hexdigest()


def _decoded(line: bytes, what: str) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise ProtocolError(f"{what} is not base64: {error}") from error
    if not data:
        raise ProtocolError(f"{what} is empty")
    return data


def _printed(text: bytes) -> bytes:
    """Return what C(printf %b) makes of a text that has no other escapes than octal ones."""
    if re.search(rb'\\(?!0[0-7]{3})|["`$]', text):
        raise ProtocolError("a text for printf has characters that the shell would change")
    return re.sub(rb"\\0([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), text)
