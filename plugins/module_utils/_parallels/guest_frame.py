# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What a command in the guest and its result look like on the standard streams of C(prlctl exec).

The command line that Parallels hands to the guest is short, the same for all commands, and holds no secret. It starts a
loader. All else is a dialogue on standard input and standard output:

- C(?NONCE) asks whether the guest reads and answers. It is asked again, because the first output may get lost. The
  answer is C(!NONCE). Until it has come, no command has been sent, so none has begun.
- Then comes the script, which answers C(BEGIN NONCE) and starts the command.
- Then come the bytes that the command reads. Their number is known, so that standard input need not be closed: it stays
  open until the end. When it is closed before, the guest ends the command.
- At the end, the guest sends C(END NONCE CODE ...), the output, and C(EOT NONCE SHA256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from .guest_scripts import (
    UNIX_COMMAND,
    UNIX_FILE,
    UNIX_LOADER,
    UNIX_STORE,
    WINDOWS_LOADER,
    WINDOWS_RUNNER,
)

# Parallels hangs forever on a longer command line; see docs/guests.md.
COMMAND_LINE_LIMIT = 3000
NO_DIGEST = "-"

_NOISE_KEPT = 4000
_BASE64_LINE = 6000  # bytes of data in one line
# What printf %b and a double quoted string of a shell leave as it is.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,-./:=@_")


@dataclass(frozen=True)
class Command:
    """What to do in the guest: run C(line).

    With C(fetch), it is the path of a file that is the output. With C(store), it is the path of a file that is written
    from standard input, and the output is its SHA-256.

    C(size) is the number of bytes that the command reads from its standard input. C(limit) is its time in seconds; None
    for no limit. C(password) answers the prompt of sudo and the like: it is sent when C(prompt) shows, not when
    C(granted) does.
    """

    line: bytes
    size: int = 0
    limit: Optional[float] = None
    fetch: bool = False
    store: bool = False
    password: str = ""
    prompt: str = ""
    granted: str = ""


class Dialect:
    """How a family of systems holds the dialogue."""

    words: tuple[str, ...]  # the command line
    waits_for_receipt: bool  # whether the closing has to wait until standard input has arrived

    @staticmethod
    def line(argv: Sequence[str]) -> bytes:
        """Return the command line that runs a program with these arguments."""
        raise NotImplementedError

    @staticmethod
    def opening(command: Command, nonce: str) -> bytes:
        """Return what follows the answer C(!NONCE)."""
        raise NotImplementedError

    @staticmethod
    def body(chunk: bytes) -> bytes:
        """Return what carries a part of standard input."""
        raise NotImplementedError

    @staticmethod
    def closing(nonce: str) -> bytes:
        """Return what follows the last byte of standard input."""
        raise NotImplementedError

    @classmethod
    def tape(cls, command: Command, nonce: str) -> bytes:
        """Return a file that is standard input for a command which reads nothing, and which nobody attends."""
        raise NotImplementedError


class Unix(Dialect):
    """The dialogue with Linux and macOS."""

    # What takes a number of bytes from a pipe (head) may read more than that, so there must be no more.
    waits_for_receipt = True
    # One string: Parallels joins the words, and a shell in the guest parses the result.
    words = (f"/bin/sh -c {shlex.quote(UNIX_LOADER)}",)

    @staticmethod
    def line(argv: Sequence[str]) -> bytes:
        return shlex.join(argv).encode("utf-8", "surrogateescape")

    @staticmethod
    def opening(command: Command, nonce: str) -> bytes:
        values = {
            "n": nonce.encode(),
            "c": _store(command.line) if command.store else command.line,
            "z": str(command.size).encode(),
            "l": b"" if command.limit is None else str(max(round(command.limit), 1)).encode(),
            "w": command.password.encode("utf-8", "surrogateescape"),
            "j": command.prompt.encode("utf-8", "surrogateescape"),
            "g": command.granted.encode("utf-8", "surrogateescape"),
        }
        given = "".join(f'{name}=$(printf %b "{_escaped(value)}")\n' for name, value in values.items())
        return _escaped((given + (UNIX_FILE if command.fetch else UNIX_COMMAND)).encode()).encode() + b"\n"

    @staticmethod
    def body(chunk: bytes) -> bytes:
        return chunk

    @staticmethod
    def closing(nonce: str) -> bytes:
        return f"end {nonce}\n".encode()

    @classmethod
    def tape(cls, command: Command, nonce: str) -> bytes:
        # The end of the file must not end the command.
        return cls.opening(command, nonce) + f"leave {nonce}\n".encode()


class Windows(Dialect):
    """The dialogue with Windows: lines of text, all of them ASCII, because consoles have code pages."""

    waits_for_receipt = False
    # The program is a word of its own. cmd.exe is there when Parallels refuses to start powershell.exe directly.
    words = (
        *("cmd.exe", "/D", "/S", "/C", "powershell.exe"),
        *("-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-EncodedCommand"),
        base64.b64encode(WINDOWS_LOADER.encode("utf-16-le")).decode(),
    )

    @staticmethod
    def line(argv: Sequence[str]) -> bytes:
        return " ".join(map(_quoted_for_windows, argv)).encode("utf-8", "surrogateescape")

    @staticmethod
    def opening(command: Command, nonce: str) -> bytes:
        order = {
            "nonce": nonce,
            "line": command.line.decode("utf-8", "replace"),
            "limit": 0 if command.limit is None else max(round(command.limit), 1),
            "fetch": command.fetch,
            "store": command.store,
        }
        runner = base64.b64encode(WINDOWS_RUNNER.encode())
        return runner + b"\n" + base64.b64encode(json.dumps(order).encode()) + b"\n"

    @staticmethod
    def body(chunk: bytes) -> bytes:
        parts = (chunk[start : start + _BASE64_LINE] for start in range(0, len(chunk), _BASE64_LINE))
        return b"".join(base64.b64encode(part) + b"\n" for part in parts)

    @staticmethod
    def closing(nonce: str) -> bytes:
        return f".{nonce}\n".encode()

    @classmethod
    def tape(cls, command: Command, nonce: str) -> bytes:
        return cls.opening(command, nonce) + cls.closing(nonce)


def ping(nonce: str) -> bytes:
    """Return the question whether the guest reads and answers."""
    return f"?{nonce}\n".encode()


def _store(path: bytes) -> bytes:
    """Return the command that writes its standard input to a file, and prints the SHA-256 of what is in it then."""
    quoted = b"'" + (path if path.startswith(b"/") else b"./" + path).replace(b"'", b"'\\''") + b"'"
    return UNIX_STORE.encode().replace(b"PATH", quoted)


def _escaped(text: bytes) -> str:
    """Return bytes for printf %b within double quotes."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in text)


def _quoted_for_windows(word: str) -> str:
    """Quote an argument by the rules of the Microsoft C runtime."""
    if word and not re.search(r'[\s"]', word):
        return word
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f'"{escaped}"'


class Answer:
    """Takes what the guest writes, piece by piece.

    C(take) is called with each piece of standard output; without it, all of it is kept in C(stdout). C(started) is
    called before the first piece, when the size of a file is known.
    """

    def __init__(
        self,
        nonce: str,
        take: Optional[Callable[[bytes], object]] = None,
        started: Callable[[Answer], object] = lambda _answer: None,
    ) -> None:
        self.ready = False
        self.begun = False
        self.received = False  # all of standard input has arrived in the guest
        self.code: Optional[int] = None
        self.complete = False
        self.killed = False  # the guest has ended the command: its time was over, or standard input was closed
        self.refused = ""  # why the guest did not begin, in its own word
        self.size: Optional[int] = None  # of standard output, where it is known before it comes
        self.digest = ""
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.noise = bytearray()  # what is not part of the dialogue
        self._take = take or self.stdout.extend
        self._started = started
        self._nonce = nonce.encode()
        self._buffer = bytearray()
        self._left = [0, 0]  # bytes of the two streams that are still to come
        self._hash = hashlib.sha256()

    @property
    def intact(self) -> bool:
        """Whether the output has arrived as it was sent."""
        return self.complete and self.digest in (NO_DIGEST, self._hash.hexdigest())

    @property
    def sha256(self) -> str:
        """The digest of what has arrived."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        self._buffer += data
        while self._buffer and not self.complete and self._step():
            pass

    def _step(self) -> bool:
        """Take the next line or the next bytes, and return whether there may be more."""
        for stream, left in enumerate(self._left):
            if left:
                piece = bytes(self._buffer[:left])
                del self._buffer[:left]
                self._left[stream] -= len(piece)
                self._add(stream, piece)
                return True
        line, newline, _rest = self._buffer.partition(b"\n")
        if not newline:
            return False
        del self._buffer[: len(line) + 1]
        self._line(bytes(line).rstrip(b"\r"))
        return True

    def _add(self, stream: int, piece: bytes) -> None:
        self._hash.update(piece)
        (self.stderr.extend if stream else self._take)(piece)

    def _line(self, line: bytes) -> None:
        words = line.split(b" ")
        if line.endswith(b"!" + self._nonce):
            self.ready = True
        elif self.code is not None and len(words) == 2 and words[0] in (b"O", b"E"):
            self._add(int(words[0] == b"E"), binascii.a2b_base64(words[1]))
        elif len(words) < 2 or words[1] != self._nonce:
            self.noise += line[:_NOISE_KEPT] + b"\n"
            del self.noise[:-_NOISE_KEPT]
        elif words[0].endswith(b"BEGIN"):
            self.begun = True
        elif words[0] == b"GOT":
            self.received = True
        elif words[0] == b"NO":
            self.refused = words[2].decode("ascii", "replace") if len(words) > 2 else "unknown"
        elif words[0] == b"END":
            self.code, self.killed = int(words[2]), words[5] == b"1"
            if words[3] == b"-1":  # the bytes come as lines of text
                self.size = int(words[6])
            else:
                self._left = [int(words[3]), int(words[4])]
                self.size = self._left[0]
            self._started(self)
        elif words[0] == b"EOT":
            self.digest = words[2].decode("ascii", "replace")
            self.complete = True
