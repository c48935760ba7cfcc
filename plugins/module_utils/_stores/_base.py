# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What every backend of a store can do, and what the layers above may count on."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable
from urllib.parse import quote

from .._errors import TaskError
from .._retry import RetryLater

if TYPE_CHECKING:
    from ._body import Body

_PART = re.compile(r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>[0-9a-f]+)-[0-9a-f]{8}\.part")


class Conflict(Exception):
    """Someone else has written that name since it was looked at: look again."""


@dataclass(frozen=True)
class Stored:
    """What is known of one file of a store without reading it."""

    name: str
    size: int
    # Only when the store itself has computed it from the bytes it keeps.
    sha256: str | None = None
    # An ETag or the like; changes with the bytes.
    version: str | None = None


@dataclass(frozen=True)
class Sent:
    """Bytes that are in the store and wait to be published."""

    # The temporary name; the final one where the store can only be written to directly.
    name: str
    size: int


@dataclass(frozen=True)
class StoreOptions:
    """The options of a destination, as the documentation fragment C(_store) names them."""

    username: str | None = None
    password: str | None = None
    token: str | None = None
    ca_path: str | None = None
    proxy: str | None = None
    # Bytes a second.
    rate_limit: int | None = None
    timeout: float = 60.0
    https_method: str = "auto"


class Store(ABC):
    """One folder in which images are published. Names are plain file names in it, without a slash.

    Any method may raise RetryLater for what may pass, and TaskError for what is final.
    """

    # The destination without credentials and without a slash at its end.
    url: str
    # False where a transfer that breaks may leave its first bytes under the final name.
    atomic = True

    @abstractmethod
    def check(self, name: str, size: int, write: bool = True) -> None:
        """Prove, before a body is sent, that C(name) with C(size) bytes can be published here.

        The credentials, the folder, the right to write and to rename, and the space as far as the store tells. With
        C(write) false nothing is written, as check mode wants it, and less is proven.
        """

    @abstractmethod
    def look(self, name: str) -> Stored | None:
        """Return what is there under a name, or None."""

    @abstractmethod
    def send(self, name: str, body: Body, overwrite: bool = False) -> Sent:
        """Send a body, under a temporary name where the store has a way to rename, and prove its size.

        Where it has none, raises Conflict when the store says that there is a file and not C(overwrite).
        """

    @abstractmethod
    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        """Give what was sent its final name, at once. Raises Conflict when there is a file and not C(overwrite)."""

    @abstractmethod
    def discard(self, sent: Sent) -> None:
        """Remove what was sent and is not to be published. Does nothing where it has its final name already."""

    @abstractmethod
    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file in blocks, to its end: raises RetryLater when it breaks off before."""

    @abstractmethod
    def read(self, name: str, limit: int = 4 * 1024 * 1024) -> tuple[bytes, str] | None:
        """Return a small file and its version for C(write), or None when there is none."""

    @abstractmethod
    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        """Write a small file at once. Readers find the old one or the new one, never a part.

        With C(if_version) (from C(read)) or C(if_absent), raises Conflict when someone else has written it meanwhile.
        """

    @abstractmethod
    def list(self) -> list[Stored]:
        """Return the files of the folder."""

    @abstractmethod
    def delete(self, name: str) -> bool:
        """Remove a file; return whether it was there."""

    def link(self, name: str) -> str:
        """Return the URL of a file, its name percent-encoded."""
        return f"{self.url}/{quote(name)}"

    def digest(self, name: str, each: Callable[[int], None] | None = None) -> tuple[str, int]:
        """Read a file of the store; return its SHA-256 and its size."""
        hasher = hashlib.sha256()
        size = 0
        for block in self.blocks(name):
            hasher.update(block)
            size += len(block)
            if each is not None:
                each(size)
        return hasher.hexdigest(), size


def version_of(data: bytes) -> str:
    """Return the version of a small file where the store's own is not to be trusted: an ETag may be made of seconds."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check_name(name: str) -> None:
    """Raise TaskError for what cannot be the name of a file in every store."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise TaskError(
            f"'{name}' cannot be the name of a file in a store: it must not be empty, begin with a dot, or hold a "
            "slash, a backslash or a control character. Give another name."
        )


def part_name(name: str) -> str:
    """Return a new temporary name for C(name), which tells later runs on this machine whose it was."""
    return f".{name}.{_this_host()}-{os.getpid():x}-{secrets.token_hex(4)}.part"


def is_abandoned_part(found: str, name: str) -> bool:
    """Return whether C(found) is a temporary name for C(name) from a run on this machine that is no more.

    A part of another machine is left alone, because nothing here can tell whether that machine is still sending.
    """
    parsed = _PART.fullmatch(found)
    if parsed is None or parsed["name"] != name or parsed["host"] != _this_host():
        return False
    return not _runs(int(parsed["pid"], 16))


def _this_host() -> str:
    return hashlib.sha256(f"{socket.gethostname()} {os.getuid()}".encode()).hexdigest()[:8]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


__all__ = [
    "Conflict",
    "RetryLater",
    "Sent",
    "Store",
    "StoreOptions",
    "Stored",
    "check_name",
    "is_abandoned_part",
    "part_name",
    "version_of",
]
