# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What an SSH server may send: paramiko itself believes every length, and reads lists and greetings without an end."""

from __future__ import annotations

import functools
import time
from typing import Any, Callable

from ..._common.deps import load
from ..._http.limits import Pages
from ..._http.stall import Pace

# Bytes that a server may send before the login: its greeting, keys and banners.
_LARGEST_GREETING = 1024 * 1024
# Bytes of one SSH packet. We announce 32 KiB as the most for data, and the standard requires 35,000 bytes.
_LARGEST_PACKET = 256 * 1024
# Names in one answer to a list. OpenSSH sends 100.
_MOST_NAMES = 10_000
# How many times the timeout a server may take for all answers after the last request.
_LONGEST_WAIT = 10


class Greeting:
    """A socket on which only so many bytes can be received before C(end) is called."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._left: int | None = _LARGEST_GREETING

    def recv(self, size: int) -> bytes:
        data: bytes = self._wire.recv(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise EOFError(f"the server sent more than {_LARGEST_GREETING} bytes before the login")
        return data

    def end(self) -> None:
        """Note that the login has succeeded."""
        self._left = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


def limit_packets(transport: Any) -> None:
    """Make a paramiko transport refuse packets of a size that no server needs."""
    packetizer = transport.packetizer
    whole = packetizer.read_all

    def read_all(size: int, *args: Any, **options: Any) -> Any:
        if size > _LARGEST_PACKET:
            raise load("paramiko").SSHException(f"the server announced a packet of {size} bytes")
        return whole(size, *args, **options)

    packetizer.read_all = read_all


@functools.cache
def client_class() -> type:
    """Return paramiko's SFTP client with limits for lists, for the speed of reading, and for the time of an answer."""
    paramiko = load("paramiko")
    numbers = load("paramiko.sftp")

    class Client(paramiko.SFTPClient):
        clock: Callable[[], float] = staticmethod(time.monotonic)

        def __init__(self, *args: Any, **options: Any) -> None:
            self._asked = self.clock()
            self._pace = Pace()
            self._pages = Pages("The list")
            self._page = 0
            super().__init__(*args, **options)

        def _send_packet(self, *args: Any) -> Any:
            self._asked = self.clock()
            return super()._send_packet(*args)

        def _read_packet(self) -> Any:
            packet = super()._read_packet()
            patience = self.get_channel().gettimeout()
            if patience is not None and self.clock() - self._asked > _LONGEST_WAIT * patience:
                raise paramiko.SSHException("the server sent other answers than the one to the last request")
            return packet

        def _request(self, kind: Any, *args: Any) -> Any:
            if kind == numbers.CMD_OPENDIR:
                self._pages = Pages(f"The list of {args[0]}")
            elif kind == numbers.CMD_OPEN:
                self._pace = Pace()
            begun = self.clock()
            answer, message = super()._request(kind, *args)
            if kind == numbers.CMD_READ:
                # Also one byte at a time, each within the timeout, has an end.
                self._pace.moved(len(message.asbytes()), self.clock() - begun, self.get_channel().gettimeout())
            elif kind == numbers.CMD_READDIR and answer == numbers.CMD_NAME:
                self._turn_page(message)
            return answer, message

        def _turn_page(self, message: Any) -> None:
            before = message.packet.tell()
            names = message.get_int()
            message.packet.seek(before)
            if names > _MOST_NAMES:
                raise paramiko.SSHException(f"the server sent {names} names at once")
            self._page += 1
            self._pages.turn(self._page, len(message.asbytes()), names)

    return Client
