# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that are answered with made-up bytes, which go through the libraries' own code."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest


class Wire:
    """Connections that are answered with the given bytes, in turn; the last ones again and again."""

    def __init__(self) -> None:
        self._answers: Iterator[bytes] = iter(())
        self._open: list[socket.socket] = []

    def use(self, answers: list[bytes]) -> None:
        self.close()
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    def connect(self, connection: Any) -> None:
        ours, theirs = socket.socketpair()
        ours.sendall(next(self._answers))
        ours.shutdown(socket.SHUT_WR)
        self._open.append(ours)
        theirs.settimeout(5)
        connection.sock = theirs
        connection.is_verified = True

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    @contextlib.contextmanager
    def instead_of_connections(self) -> Iterator[None]:
        """Let all connections of urllib3 be these."""
        from urllib3.connection import HTTPConnection, HTTPSConnection

        def connect(connection: Any) -> None:
            self.connect(connection)

        with pytest.MonkeyPatch.context() as patch:
            for kind in (HTTPConnection, HTTPSConnection):
                patch.setattr(kind, "connect", connect)
            yield
            self.close()


def answer(status: str, headers: dict[str, str] | list[tuple[str, str]], body: bytes) -> bytes:
    """Return an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in dict(headers).items())]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
