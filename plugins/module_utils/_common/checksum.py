# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The SHA-256 of an image, and the checksum files beside it."""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass

from .errors import TaskError
from .files import BLOCK, IMAGE_SUFFIX, FileIdentity, atomic_write, remove_path
from .leftovers import remove_temporaries
from .notice import Notice, unheard
from .ownership import Foreign, open_own, open_regular, why_foreign, why_unsafe
from .progress import Report, unwatched
from .text import same_name

SIDECAR = ".sha256"
_PARALLELS_SIDECAR = ".sha256.txt"
_LARGEST_SIDECAR = 64 * 1024

_DIGEST = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])")
_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)")
# `shasum -c` and `sha256sum -c` skip lines that begin like this.
_RECORD = re.compile(r"# macops\.parallels: size=(\d+) mtime_ns=(\d+) inode=(\d+)")


@dataclass(frozen=True)
class Sidecar:
    """The content of C(<image>.sha256)."""

    sha256: str | None
    # The file that the digest was computed from; None in the sidecars of other programs.
    identity: FileIdentity | None


@dataclass(frozen=True)
class Checksum:
    """The checksum of a file, and which file it belongs to."""

    sha256: str
    identity: FileIdentity
    # False when it was taken from the sidecar's record.
    was_read: bool


def normalized(sha256: str) -> str:
    """Return an expected digest in the form used here; raise TaskError when it is not a SHA-256."""
    digest = sha256.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise TaskError(f"sha256 must be 64 hexadecimal digits, but is '{sha256}'. Correct it, then run again.")
    return digest


def sidecar_path(path: str) -> str:
    return path + SIDECAR


def parallels_sidecar_path(path: str) -> str:
    """Return where Parallels writes the digest of an image: without C(.pvmp) in its name."""
    base = path[: -len(IMAGE_SUFFIX)] if path.endswith(IMAGE_SUFFIX) else path
    return base + _PARALLELS_SIDECAR


def line_for(sha256: str, name: str) -> str:
    """Return the line by which C(shasum -a 256 -c), run in the file's folder, finds and checks it."""
    if "\\" in name or not name.isprintable():
        raise TaskError(
            f"The file name {name!r} contains a backslash or a control character, which checksum files do not support "
            "portably. Rename the file."
        )
    return f"{sha256}  {name}\n"


def sidecar_text(checksum: Checksum, name: str) -> str:
    """Return the content of the sidecar on this machine: with the record that saves reading the file again."""
    seen = checksum.identity
    record = f"# macops.parallels: size={seen.size} mtime_ns={seen.mtime_ns} inode={seen.inode}\n"
    return record + line_for(checksum.sha256, name)


def parse_sidecar(text: str, name: str) -> Sidecar:
    """Return what a checksum file says about C(name), in the form of shasum or as a digest alone."""
    record = _RECORD.search(text)
    identity = FileIdentity(*(int(part) for part in record.groups())) if record else None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        parsed = _LINE.fullmatch(line)
        if parsed and same_name(os.path.basename(parsed[2]), name):
            return Sidecar(parsed[1].lower(), identity)
    if len(lines) == 1 and _DIGEST.fullmatch(lines[0]):
        return Sidecar(lines[0].lower(), identity)
    return Sidecar(None, None)


def first_digest(text: str) -> str | None:
    """Return the first SHA-256 in a text: it is not documented what else Parallels' file may contain."""
    found = _DIGEST.search(text)
    return found[0].lower() if found else None


def recorded(path: str) -> Checksum | None:
    """Return the checksum in the sidecar's record without reading the file; None when the file is another one.

    That of another user never stands for reading the file.
    """
    sidecar = read_sidecar(path)
    if sidecar is None or sidecar.sha256 is None or sidecar.identity != FileIdentity.of(path):
        return None
    return Checksum(sidecar.sha256, sidecar.identity, was_read=False)


def hash_file(path: str, report: Report = unwatched) -> Checksum:
    """Read a file with constant memory. Raises TaskError when it changes while it is read."""
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(BLOCK))
    with open_image(path) as handle:
        before = FileIdentity.from_stat(os.fstat(handle.fileno()))
        count = 0
        while True:
            size = handle.readinto(buffer)
            if not size:
                break
            count += size
            hasher.update(buffer[:size])
            report(count, before.size)
        after = FileIdentity.from_stat(os.fstat(handle.fileno()))
    changed = before != after or count != before.size
    # Another file may have been put in its place.
    if changed or not os.path.exists(path) or FileIdentity.of(path) != before:
        raise TaskError(
            f"{path} was changed while it was being read. Wait until nothing writes to it, then run the same command "
            "again.",
            path=path,
        )
    return Checksum(hasher.hexdigest(), before, was_read=True)


def open_image(path: str) -> io.FileIO:
    """Open an image for reading. Raises TaskError when it is not a regular file with one name."""
    try:
        return io.FileIO(open_regular(path), "rb")
    except Foreign as error:
        raise TaskError(
            f"{path} is not a file that can be used as an image: {error.why}. Use the path of the packed image itself.",
            path=path,
        ) from error


def refuse_foreign_image(path: str) -> None:
    """Raise TaskError for an image of another user, who can change it at any time."""
    why = why_foreign(path)
    if why:
        raise TaskError(
            f"{path} is not an image of this user: {why}. Remove it and pack the virtual machine again, or connect as "
            "its owner. If you know which file it has to be, set sha256 to its SHA-256.",
            path=path,
        )


def read_sidecar(path: str) -> Sidecar | None:
    """Return what the sidecar of the file at C(path) says, or None when this user has none."""
    text = _text_of(sidecar_path(path))
    return None if text is None else parse_sidecar(text, os.path.basename(path))


def write_sidecar(path: str, checksum: Checksum, notice: Notice = unheard) -> None:
    remove_temporaries(sidecar_path(path), notice)
    atomic_write(sidecar_path(path), sidecar_text(checksum, os.path.basename(path)).encode())


def may_have_sidecar(path: str, notice: Notice) -> bool:
    """Return whether a sidecar can be written. What another user has put in its place is left there."""
    why = why_foreign(sidecar_path(path))
    if why:
        notice(
            f"The SHA-256 of {path} was not saved, so the next run reads the image again: {sidecar_path(path)} is not "
            f"a file of this user ({why})."
        )
    return not why


def remove_sidecars(path: str, notice: Notice = unheard) -> None:
    """Remove the checksum files beside a file that is gone."""
    for sidecar in (sidecar_path(path), parallels_sidecar_path(path)):
        if os.path.lexists(sidecar) and not why_foreign(sidecar):
            remove_path(sidecar)
    remove_temporaries(sidecar_path(path), notice)


def sidecar_content(path: str) -> str | None:
    """Return the sidecar's unchanged text, for a diff."""
    return _text_of(sidecar_path(path))


def compare_with_others(path: str, checksum: Checksum) -> list[str]:
    """Compare with existing checksum files of this user; return the paths of those that agree.

    One that is older than the file describes other content. Raises TaskError when one that is not older disagrees.
    """
    agreed = []
    for other, digest in _claims_of_others(path):
        if digest == checksum.sha256:
            agreed.append(other)
        elif os.stat(other).st_mtime_ns >= checksum.identity.mtime_ns:
            raise TaskError(
                f"{path} has the SHA-256 {checksum.sha256}, but {other} says {digest} and is not older than the file. "
                "The file is damaged or was replaced. Pack the virtual machine again. If you know that the file is "
                f"good, remove {other}.",
                path=path,
                sha256=checksum.sha256,
                sidecar=other,
                sidecar_sha256=digest,
            )
    return agreed


def _claims_of_others(path: str) -> list[tuple[str, str]]:
    claims = []
    # Parallels' service may have written it, which runs as root.
    text = None if why_unsafe(parallels_sidecar_path(path)) else _text_of(parallels_sidecar_path(path), by_root=True)
    digest = first_digest(text) if text is not None else None
    if digest is not None:
        claims.append((parallels_sidecar_path(path), digest))
    sidecar = read_sidecar(path)
    if sidecar is not None and sidecar.sha256 is not None and not _is_about_another_file(sidecar, path):
        claims.append((sidecar_path(path), sidecar.sha256))
    return claims


def _is_about_another_file(sidecar: Sidecar, path: str) -> bool:
    """Our own sidecars record which file they describe; those of other programs do not."""
    return sidecar.identity is not None and sidecar.identity != FileIdentity.of(path)


def _text_of(path: str, by_root: bool = False) -> str | None:
    """Return the text of a checksum file of this user, or of one of root's; None for others."""
    try:
        descriptor = open_regular(path) if by_root else open_own(path)
    except (FileNotFoundError, Foreign):
        return None
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read(_LARGEST_SIDECAR).decode("utf-8", errors="replace")
