# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Signatures by SSH keys, made and verified with C(ssh-keygen -Y), which every Mac and Linux has.

ssh-keygen reads the signed bytes from standard input. It cannot ask for a passphrase, because nobody could answer.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Callable, Optional

from .._common.errors import TaskError
from .._common.files import try_to_remove

# The kinds of statements, as namespaces of ssh-keygen: a signature of one kind is never valid as another.
RECORD_KIND = "macops.parallels/record"
CATALOG_KIND = "macops.parallels/catalog"
PROVENANCE_KIND = "macops.parallels/provenance"
# Of nothing that counts: it only shows that a key can sign.
TRIAL_KIND = "macops.parallels/trial"

# The verdicts on a signature.
GOOD = "good"
MISSING = "missing"
CHANGED = "changed"
FOREIGN = "foreign"
EXPIRED = "expired"
UNREADABLE = "unreadable"
# Only for a catalog: it is older than one that was verified here before, or the note about that cannot be read.
ROLLED_BACK = "rolled_back"
UNKNOWN = "unknown"

RunCommand = Callable[..., tuple[int, str, str]]

_PROGRAM = "ssh-keygen"
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END SSH SIGNATURE-----\s*", re.ASCII)
# Hosts that write at the same time each add a signature. More than these are not of hosts that write.
MOST_SIGNATURES = 16
_IDENTITY = re.compile(r"[^\s\x00-\x1f\x7f\"',*?!-][^\s\x00-\x1f\x7f\"',*?!]{0,254}")


@dataclass(frozen=True)
class Verdict:
    """The verdict on a signature, and the reason in one sentence."""

    word: str
    reason: str

    @property
    def is_good(self) -> bool:
        return self.word == GOOD


def is_identity(text: object) -> bool:
    """Return whether a text can name a signer in a file of allowed signers, such as C(build@example.com)."""
    return isinstance(text, str) and _IDENTITY.fullmatch(text) is not None


class SshKeygen:
    """Runs ssh-keygen without a terminal and without questions."""

    def __init__(self, run_command: RunCommand) -> None:
        self._run_command = run_command
        self._path = ""

    def run(self, *args: str, data: bytes = b"") -> tuple[int, str, str]:
        """Return the exit code, standard output and standard error, in English."""
        return self._run_command(
            [self._program(), *args],
            data=data,
            binary_data=True,
            expand_user_and_vars=False,
            handle_exceptions=False,
            environ_update={
                "LC_ALL": "C",
                "LANGUAGE": "C",
                # A program that gives no passphrase, so that ssh-keygen fails instead of asking.
                "SSH_ASKPASS": shutil.which("false") or "/usr/bin/false",
                "SSH_ASKPASS_REQUIRE": "force",
            },
        )

    def _program(self) -> str:
        if not self._path:
            search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_FOLDERS])
            found = shutil.which(_PROGRAM, path=search)
            if found is None:
                raise TaskError(
                    f"{_PROGRAM}, which makes and verifies signatures, was not found on this host. Install OpenSSH "
                    "8.7 or newer (included in macOS 13 and later)."
                )
            self._path = found
        return self._path


class Signer:
    """Signs with one key as one identity."""

    def __init__(self, keygen: SshKeygen, key_path: str, identity: str) -> None:
        self.keygen = keygen
        self._key_path = key_path
        self.identity = identity
        self._key = b""
        if not is_identity(identity):
            raise TaskError(
                f"signing_identity cannot be '{identity}'. Use one word, such as build@example.com: the identity at "
                "the beginning of a line in the file of allowed signers."
            )

    def sign(self, kind: str, data: bytes) -> str:
        """Return the signature of a statement of this kind as armored text."""
        if not os.path.isfile(self._key_path):
            raise TaskError(
                f"There is no file {self._key_path} on the host that signs. Set signing_key_path to an SSH key on that "
                "host.",
                path=self._key_path,
            )
        if not os.access(self._key_path, os.R_OK):
            raise TaskError(
                f"The user who signs does not have permission to read {self._key_path}. Make that user the owner of "
                "the file, or set signing_key_path to another key.",
                path=self._key_path,
            )
        rc, signature, said = self.keygen.run("-Y", "sign", "-n", kind, "-f", self._key_path, data=data)
        if rc != 0 or not _ARMOR.fullmatch(signature):
            raise TaskError(f"Nothing was signed: {self._why(said)}", path=self._key_path)
        return signature.replace("\r\n", "\n").strip() + "\n"

    def prove(self) -> None:
        """Raise TaskError when the key cannot sign."""
        self._own_key()

    def has_made(self, signature: str) -> bool:
        """Return whether a signature names this key. It may be for any bytes."""
        return _ARMOR.fullmatch(signature) is not None and _key_in(signature) == self._own_key()

    def has_signed(self, kind: str, data: bytes, signature: str) -> bool:
        """Return whether a signature matches a statement and was made with this key."""
        return is_intact(self.keygen, kind, data, signature) and self.has_made(signature)

    def _own_key(self) -> bytes:
        if not self._key:
            self._key = _key_in(self.sign(TRIAL_KIND, b"Which key is this?\n"))
        return self._key

    def _why(self, said: str) -> str:
        if "incorrect passphrase" in said:
            return (
                f"the key {self._key_path} has a passphrase, which cannot be entered here. Load the key into an SSH "
                "agent (`ssh-add`) that this host can reach, such as with ForwardAgent, and set signing_key_path to "
                "the public key. Or create a key without a passphrase for this purpose."
            )
        if "too open" in said:
            return f"other users can read the key {self._key_path}. Run `chmod 600` on it, as ssh-keygen requires."
        if "found for public key" in said:
            return (
                f"{self._key_path} is a public key, and this host cannot reach an SSH agent with its private key. "
                "Load the private key with `ssh-add` and forward the agent (ForwardAgent). Or set signing_key_path to "
                "the private key."
            )
        if "load public key" in said:
            return f"{self._key_path} is not an SSH key that ssh-keygen can read. Set signing_key_path to another file."
        return f"ssh-keygen refused ({_last_line(said)}). Run `ssh-keygen -Y sign` with {self._key_path} for details."


class Verifier:
    """Verifies signatures against a file of allowed signers in the format of C(ssh-keygen)."""

    def __init__(self, keygen: SshKeygen, allowed_signers_path: str) -> None:
        self._keygen = keygen
        self._allowed = allowed_signers_path
        try:
            with open(allowed_signers_path, encoding="utf-8", errors="replace") as handle:
                lines = [line for line in handle if line.strip() and not line.lstrip().startswith("#")]
        except OSError as error:
            raise TaskError(
                f"The file of allowed signers {allowed_signers_path} cannot be read: {error.strerror}. Set "
                "allowed_signers_path to a file on the host that runs the module.",
                path=allowed_signers_path,
            ) from error
        if not lines:
            raise TaskError(
                f"The file of allowed signers {allowed_signers_path} has no signers. Add a line with an identity and a "
                "public key for each signer, such as `build@example.com ssh-ed25519 AAAA...`.",
                path=allowed_signers_path,
            )

    def verify(self, kind: str, data: bytes, signature: str, at: datetime, identity: Optional[str] = None) -> Verdict:
        """Return the verdict on the signature of a statement of this kind that was made at some time.

        Without an identity, any signer in the file is accepted.
        """
        if not _ARMOR.fullmatch(signature):
            return Verdict(UNREADABLE, "The signature is not an SSH signature.")
        if identity is not None and not is_identity(identity):
            return Verdict(UNREADABLE, "The name of the signer is not a valid identity.")
        try:
            moment = f"verify-time={_local(at)}"
        except (OverflowError, ValueError):  # such as the first day of the year 1, west of Greenwich
            return Verdict(UNREADABLE, "The time of signing is not a valid time.")
        with _in_file(signature) as path:
            if identity is None:
                identity = self._principal(path, moment)
            said = f"{self._allowed} does not have its key."
            if identity is not None:
                rc, printed, said = self._keygen.run(
                    *("-Y", "verify", "-f", self._allowed, "-I", identity, "-n", kind, "-O", moment, "-s", path),
                    data=data,
                )
                if rc == 0:
                    return Verdict(GOOD, printed.strip() or f"Signed by {identity}.")
            return self._why_not(kind, data, path, identity, said)

    def _principal(self, path: str, moment: str) -> Optional[str]:
        rc, printed, _said = self._keygen.run("-Y", "find-principals", "-f", self._allowed, "-O", moment, "-s", path)
        names = printed.split()
        return names[0] if rc == 0 and names and is_identity(names[0]) else None

    def _why_not(self, kind: str, data: bytes, path: str, identity: Optional[str], said: str) -> Verdict:
        rc, printed, intact_said = self._keygen.run("-Y", "check-novalidate", "-n", kind, "-s", path, data=data)
        if rc != 0:
            return _broken(kind, intact_said)
        key = re.search(r"with (\S+ key \S+)", printed)
        by = f" ({key.group(1)})" if key else ""
        if "expired" in said or "not yet valid" in said:
            return Verdict(EXPIRED, f"The signer's key{by} was not valid at the time of signing: {_last_line(said)}.")
        who = f"{identity}" if identity else "anyone"
        return Verdict(FOREIGN, f"It was signed with a key{by} that {self._allowed} does not allow for {who}.")


class AnyKey:
    """Verifies that a signature matches, whichever key made it: for a host that has no file of allowed signers."""

    def __init__(self, keygen: SshKeygen) -> None:
        self._keygen = keygen

    def verify(self, kind: str, data: bytes, signature: str, _at: datetime, identity: Optional[str] = None) -> Verdict:
        """Return the verdict on the signature of a statement of this kind."""
        if not _ARMOR.fullmatch(signature):
            return Verdict(UNREADABLE, "The signature is not an SSH signature.")
        with _in_file(signature) as path:
            rc, _printed, said = self._keygen.run("-Y", "check-novalidate", "-n", kind, "-s", path, data=data)
        return Verdict(GOOD, f"Signed as {identity}, by any key.") if rc == 0 else _broken(kind, said)


def is_intact(keygen: SshKeygen, kind: str, data: bytes, signature: str) -> bool:
    """Return whether a signature matches a statement of this kind, whichever key made it."""
    return AnyKey(keygen).verify(kind, data, signature, datetime.now(timezone.utc)).is_good


def signatures_in(text: str) -> list[str]:
    """Return the signatures in a file that holds one or more; one that is not valid where it holds anything else."""
    found = _ARMOR.findall(text)
    if not 1 <= len(found) <= MOST_SIGNATURES or "".join(found) != text:
        return [text]
    return [signature.replace("\r\n", "\n").strip() + "\n" for signature in found]


def _key_in(signature: str) -> bytes:
    """Return the public key that a signature names: after a magic word of 6 bytes and a version of 4."""
    blob = base64.b64decode("".join(signature.split("-----")[2].split()))
    return blob[14 : 14 + int.from_bytes(blob[10:14], "big")]


def _broken(kind: str, said: str) -> Verdict:
    if "namespace" in said:
        return Verdict(FOREIGN, f"It was signed for another purpose: its namespace is not '{kind}'.")
    if "parse" in said or "armor" in said or "header" in said:
        return Verdict(UNREADABLE, f"ssh-keygen cannot read the signature: {_last_line(said)}.")
    return Verdict(CHANGED, "It was changed after it was signed: the signature does not match.")


@contextlib.contextmanager
def _in_file(signature: str) -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix="macops-parallels-", suffix=".sig")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(signature)
        yield path
    finally:
        try_to_remove(path)


def _local(moment: datetime) -> str:
    """Return a time for ssh-keygen, in local time, because older releases do not support UTC."""
    return moment.astimezone().strftime("%Y%m%d%H%M%S")


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no message"
