# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The interface of every store, and what the layers above can rely on."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

from .._common.errors import TaskError
from .._common.files import BLOCK
from .._common.machine import known_machine, this_machine
from .._common.notice import Notice, unheard
from .._common.progress import Report, unwatched
from .._common.retry import Retries, RetryLater
from .._common.text import same_name
from .body import Body, Content, WrongFile

_PART = re.compile(
    r"\.?(?P<file>.+)\.(?P<mark>[0-9a-f]{16}|small)-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9a-f]+)-[0-9a-f]{8}\.part(\.[^.]+)?"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN_LOCK = ".lock.part"
_PLAIN_REPLACED = ".replaced.part"
# Used instead of a body's mark: small files are never resumed.
_SMALL = "small"


class Conflict(Exception):
    """Another writer has written that name since it was last checked: check again."""


class StoreFull(TaskError):
    """The store has no free space: the incomplete file is removed, because others may need the space."""


class CannotList(TaskError):
    """The store does not list its files for these credentials: it has no request for that, or forbids it.

    C(list) raises it for nothing else: after any other error, it is not known what the store has.
    """


@dataclass(frozen=True)
class Stored:
    """What is known about one file of a store without reading it."""

    name: str
    size: int
    # Only when it certainly belongs to these bytes: the store has computed it, or recorded it in the same step that
    # published them.
    sha256: str | None = None
    # An ETag or similar; changes with the bytes.
    version: str | None = None


@dataclass(frozen=True)
class Sent:
    """Bytes that are in the store and are not published yet."""

    # The temporary name, or the id of an upload; the final name where the store can only be written to directly.
    name: str
    size: int
    # How many of them the store had before this transfer began.
    resumed_from: int = 0
    # False when those bytes were not compared with ours: the whole must be read back before it is published.
    proven: bool = True


@dataclass(frozen=True)
class Partial:
    """Bytes of a body that a store has from an interrupted transfer, of this run or of one that was killed."""

    # How the store finds them again: a temporary name, the ID of an upload, the address of a session.
    name: str
    # Bytes that do not have to be sent again.
    size: int


@dataclass(frozen=True)
class StoreOptions:
    """The options of a destination, as the documentation fragment C(_store) names them."""

    username: str | None = None
    password: str | None = None
    token: str | None = None
    ca_path: str | None = None
    proxy: str | None = None
    # Bytes per second.
    rate_limit: int | None = None
    timeout: float = 60.0
    # Bytes; None for the default of the kind of store.
    part_size: int | None = None
    # Parts that are sent at the same time; None for the default of the kind of store.
    concurrency: int | None = None
    endpoint_url: str | None = None
    https_method: str = "auto"
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    region: str | None = None
    s3_storage_class: str | None = None
    s3_acl: str | None = None
    s3_encryption: str | None = None
    s3_kms_key_id: str | None = None
    s3_tags: Mapping[str, str] = field(default_factory=dict)
    s3_checksum: str = "auto"
    account_key: str | None = None
    sas_token: str | None = None
    azblob_tier: str | None = None
    private_key_path: str | None = None
    private_key_passphrase: str | None = None
    known_hosts_path: str | None = None
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True)
class Abilities:
    """What a store can do, with the options that it was opened with; None where that is not known."""

    # "file", "sftp", "s3", "azblob", "sharepoint"; of HTTPS servers "webdav", "artifactory", "nexus", "put".
    kind: str
    # Whether a file was written, or something else that proves as much.
    writable: bool | None
    # Whether an interrupted transfer resumes.
    resume: bool | None
    # Whether it lists its files.
    list: bool | None
    # Whether it refuses to write a file that was changed since it was read.
    conditional_writes: bool | None


class Store(ABC):
    """One folder in which images are published. Names are plain file names in it, without a slash.

    Any method may raise RetryLater for transient failures, and TaskError for permanent ones.
    """

    # The destination without credentials and without a slash at its end.
    url: str
    # See Abilities.
    kind: str
    # False where C(check) could not try to write, because what it would write could not be removed.
    tried = True
    # False where an interrupted transfer may leave its first bytes under the final name.
    atomic = True
    # False where a file is sent directly to its final name: when an answer is lost, it may be published already.
    staged = True
    # False where an interrupted transfer restarts at the first byte; None where that is not known yet.
    resumes: bool | None = True
    # False where the store ignores the conditions of C(write): the writer must read again who wrote last.
    exclusive = True
    # True where the SHA-256 must be known before the first byte is sent, because it is sent first.
    digest_first = False

    @abstractmethod
    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        """Verify, before anything is sent, that the content can be published here under C(name).

        This covers the credentials, the folder, the permission to write and to rename, and the free space if the store
        reports it. Leftovers of killed runs on this machine with other bytes are removed, with a notice. With C(write)
        false (check mode), nothing is written or removed, and less is verified.
        """

    def abilities(self, name: str, write: bool = True, notice: Notice = unheard) -> Abilities:
        """Return what the store can do, after a C(check) for a small file C(name).

        With C(write) false nothing is written, and less is known.
        """
        self.check(name, Content(0), write, notice)
        return Abilities(
            kind=self.kind,
            writable=True if write and self.tried else None,
            resume=self.can_resume(name, write),
            list=self.can_list(),
            conditional_writes=self.can_compare(),
        )

    def can_resume(self, name: str, write: bool) -> bool | None:
        """Return whether an interrupted transfer resumes; None if only writing would show it."""
        return self.resumes

    def can_list(self) -> bool:
        """Return whether these credentials may see which files there are. Raises other errors than a refusal."""
        try:
            self.list()
        except CannotList:
            return False
        return True

    def can_compare(self) -> bool | None:
        """Return whether the conditions of C(write) hold until it is done."""
        return self.exclusive

    @abstractmethod
    def look(self, name: str) -> Stored | None:
        """Return the file with that name, or None. A file in a folder that does not exist is an error, not None."""

    def resumable(self, name: str, body: Body) -> Partial | None:
        """Return what the store has of a body from an interrupted transfer, or None when it must be sent again.

        To be called after C(check), before each C(send). This run first takes over what a killed run has left, so that
        no two runs ever write to the same part. The bytes are not compared here.
        """
        return None

    @abstractmethod
    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        """Send a body, under a temporary name where the store can rename, and verify its size.

        C(after) is what C(resumable) returned: those bytes are not sent again, unless they differ from ours. A store
        that compares them with ours during the transfer, or that guarantees them, sets C(proven) in what it returns.

        After a failure, the bytes in the store are left for C(resumable) where the store can resume and they are still
        of use (see C(is_worth_keeping)); else they are removed. Where the store can only be written to directly, raises
        Conflict when it reports that the file exists and C(overwrite) is false.
        """

    def is_waiting(self, sent: Sent) -> bool:
        """Return whether what was sent still exists and is not published yet."""
        found = self.look(sent.name)
        return found is not None and found.size == sent.size

    @abstractmethod
    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        """Give what was sent its final name, atomically. Raises Conflict if the file exists, unless C(overwrite)."""

    @abstractmethod
    def discard(self, sent: Sent) -> None:
        """Remove what was sent and will not be published. Does nothing where it has its final name already."""

    @abstractmethod
    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Read a file in blocks, from an offset to its end. Raises RetryLater when it breaks off earlier."""

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
        """Write a small file atomically. Readers get the old one or the new one, never a part.

        With C(if_version) (from C(read)) or C(if_absent), raises Conflict when another writer has written it meanwhile.
        """

    @abstractmethod
    def list(self) -> list[Stored]:
        """Return the files of the folder. Raises CannotList if the store refuses that."""

    @abstractmethod
    def delete(self, name: str) -> bool:
        """Remove a file; return whether it existed."""

    def link(self, name: str) -> str:
        """Return the URL of a file, its name percent-encoded."""
        return f"{self.url}/{quote(name)}"

    def share(self, name: str) -> str:
        """Return the download address of a published file; create it where the store needs that."""
        return self.link(name)

    def digest(
        self, name: str, retries: Retries, report: Report = unwatched, size: int | None = None
    ) -> tuple[str, int]:
        """Read a file of the store, resuming after a lost connection; return its SHA-256 and its size.

        Nothing is read after the first byte beyond C(size).
        """
        hasher = hashlib.sha256()
        count = 0
        attempts = retries.begin()
        while True:
            try:
                for block in self.blocks(name, count):
                    hasher.update(block)
                    count += len(block)
                    report(count, None)
                    if size is not None and count > size:
                        break
                return hasher.hexdigest(), count
            except RetryLater as error:
                attempts.pause(error, count)


def version_of(data: bytes) -> str:
    """Return a version of a small file where the store's own is not reliable: an ETag may depend on seconds only."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_of(value: Any) -> str | None:
    """Return what a store reports as a SHA-256 in lowercase, None when it is not one."""
    found = value.lower() if isinstance(value, str) else ""
    return found if _SHA256.fullmatch(found) else None


def version_of_file(handle: BinaryIO) -> str:
    """Return the C(version_of) a file that is open, of which only a part is held at a time."""
    hasher = hashlib.sha256()
    while True:
        block = handle.read(BLOCK)
        if not block:
            return "sha256:" + hasher.hexdigest()
        hasher.update(block)


def image_headers(name: str) -> dict[str, str]:
    """Return the response headers for a published image, for stores that let the uploader set them.

    An image never changes under its name, so every cache may keep it. Without a file name, a browser names the download
    after the last part of the address, which may be that of a share.
    """
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Cache-Control": "public, max-age=31536000, immutable",
    }


# For small files, which change.
SMALL_CACHE_CONTROL = "no-cache"


# Bytes. File systems take 255. ".provenance.json.sig" and what C(part_name) adds take up to 59 of them.
LONGEST_NAME = 196


def check_name(name: str) -> None:
    """Raise TaskError for a name that not every store accepts."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise TaskError(
            f"'{name}' is not a valid file name for a store. Choose a name that is not empty, does not start with a "
            "dot, and contains no slash, backslash or control character."
        )
    size = len(name.encode())
    if size > LONGEST_NAME:
        raise TaskError(
            f"'{name[:40]}...' is not a valid file name for a store, because it has {size} bytes. Choose a name of at "
            f"most {LONGEST_NAME} bytes: files beside it and files that are being written have longer names."
        )


def part_name(name: str, content: Content | None = None, hidden: bool = True) -> str:
    """Return a new temporary name for C(name), from which later runs on this machine see its owner and content.

    With C(hidden) false, it has no leading dot and the ending of C(name), for stores that refuse other names.
    """
    mark = content.marks[0] if content and content.marks else _SMALL
    part = f"{name}.{mark}-{this_machine()}-{os.getpid():x}-{secrets.token_hex(4)}.part"
    return f".{part}" if hidden else part + os.path.splitext(name)[1]


def lock_name(name: str, hidden: bool = True) -> str:
    """Return the name of the lock on a small file; see C(part_name)."""
    return f".{name}.lock" if hidden else name + _PLAIN_LOCK


def replaced_name(name: str, hidden: bool = True) -> str:
    """Return the name of the old file while a store that cannot replace atomically gives C(name) to the new one."""
    return f".{name}.replaced" if hidden else name + _PLAIN_REPLACED


def is_internal(found: str) -> bool:
    """Return whether a file is not to be listed: a temporary one, a lock, or one that its owner has hidden."""
    return found.startswith(".") or found.endswith((_PLAIN_LOCK, _PLAIN_REPLACED)) or _PART.fullmatch(found) is not None


def is_part_of(found: str, name: str, content: Content) -> bool:
    """Return whether C(found) is a temporary name for this very content."""
    parsed = _PART.fullmatch(found)
    return parsed is not None and same_name(parsed["file"], name) and parsed["mark"] in content.marks


def left_parts(found: Iterable[Stored], name: str, content: Content) -> tuple[Partial | None, list[str]]:
    """Return what ended runs have left for C(name): the part that can be resumed, and the useless ones.

    A part of another machine is neither, because it is unknown whether that machine is still sending. Nor is a part of
    another image, which the next run for that image resumes.
    """
    partials, useless = [], []
    ours = known_machine()
    for stored in found:
        parsed = _PART.fullmatch(stored.name)
        if parsed is None or parsed["host"] != ours or _runs(int(parsed["pid"], 16)):
            continue
        if is_part_of(stored.name, name, content) and 0 < stored.size <= content.size:
            partials.append(Partial(stored.name, stored.size))
        elif same_name(parsed["file"], name) or parsed["mark"] == _SMALL:
            useless.append(stored.name)
    partials.sort(key=lambda partial: partial.size)
    best = partials.pop() if partials else None
    return best, [*useless, *(partial.name for partial in partials)]


def is_worth_keeping(error: BaseException) -> bool:
    """Return whether the next attempt or the next run can resume what a failed transfer has left."""
    return not isinstance(error, (WrongFile, StoreFull))


def removed(address: str) -> str:
    """Return the notice about a removed leftover of a killed run."""
    return f"Removed {address}, which a killed run left behind."


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


__all__ = [
    "SMALL_CACHE_CONTROL",
    "Abilities",
    "CannotList",
    "Conflict",
    "Content",
    "Partial",
    "RetryLater",
    "Sent",
    "Store",
    "StoreFull",
    "StoreOptions",
    "Stored",
    "check_name",
    "image_headers",
    "is_internal",
    "is_part_of",
    "is_worth_keeping",
    "left_parts",
    "lock_name",
    "part_name",
    "removed",
    "replaced_name",
    "sha256_of",
    "version_of",
]
