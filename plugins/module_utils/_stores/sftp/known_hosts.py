# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The host keys in a file such as C(~/.ssh/known_hosts), read as C(ssh) reads it (see C(man sshd)).

paramiko's own reader fails at lines that ssh passes over, knows neither patterns nor markers, and accepts only the
first of several keys of one type.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"
_BOM = b"\xef\xbb\xbf"
# How many fields a key has, its type among them. Of other types it is not known.
_FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ssh-dss": 5,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


@dataclass
class KnownHost:
    """What a file says about one server."""

    # The keys by their types.
    keys: dict[str, set[bytes]] = field(default_factory=dict)
    revoked: set[bytes] = field(default_factory=set)
    # Whether a certificate authority vouches for it.
    has_authority: bool = False
    # The numbers of the lines that name the server and cannot be read.
    unread: list[int] = field(default_factory=list)


def read_known_host(data: bytes, host: str, port: int, default_port: int) -> KnownHost:
    """Return what a file says about one server. What is not valid in it is passed over."""
    found = KnownHost()
    host = host.lower()
    with_port = f"[{host}]:{port}"
    names = [host, with_port] if port == default_port else [with_port]
    start = len(_BOM) if data.startswith(_BOM) else 0
    for number, line in enumerate(data[start:].split(b"\n"), start=1):
        words = [word.decode("utf-8", "replace") for word in line.split(None, 4)]
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        # A revoked key is not to be used at any port.
        if not words or not _names(words[0], [*names, host] if marker == _REVOKED else names):
            continue
        kind, key = words[1] if len(words) > 1 else "", _key(words[1:3])
        if key is None or marker not in ("", _REVOKED, _AUTHORITY):
            found.unread.append(number)
        elif marker == _REVOKED:
            found.revoked.add(key)
        elif marker == _AUTHORITY:
            found.has_authority = True
        else:
            found.keys.setdefault(kind, set()).add(key)
    return found


def _names(patterns: str, names: list[str]) -> bool:
    """Return whether the first word of a line means a server. One pattern with C(!) that matches excludes it."""
    if patterns.startswith("|"):
        return any(_is_hash_of(patterns, name) for name in names)
    matched = False
    for pattern in patterns.lower().split(","):
        excludes = pattern.startswith("!")
        if any(_matches(pattern[excludes:], name) for name in names):
            if excludes:
                return False
            matched = True
    return matched


def _matches(pattern: str, name: str) -> bool:
    """Match C(*) and C(?). Brackets are part of a name with a port, and mean nothing here."""
    reached = {0}
    for letter in pattern:
        if letter == "*":
            reached = set(range(min(reached), len(name) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(name) and letter in ("?", name[at])}
        if not reached:
            return False
    return len(name) in reached


def _is_hash_of(hashed: str, name: str) -> bool:
    words = hashed.split("|")
    if len(words) != 4 or words[1] != "1":
        return False
    salt, digest = _from_base64(words[2]), _from_base64(words[3])
    if not salt or digest is None:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode("utf-8", "replace"), hashlib.sha1).digest(), digest)


def _key(words: list[str]) -> bytes | None:
    """Return the key in two words, its type and the key itself; None where they are not a whole key."""
    if len(words) < 2:
        return None
    kind, key = words[0], _from_base64(words[1])
    if key is None:
        return None
    fields = list(_fields(key))
    whole = sum(4 + len(each) for each in fields) == len(key) and len(fields) == _FIELDS.get(kind, len(fields))
    return key if whole and len(fields) > 1 and fields[0] == kind.encode("utf-8", "replace") else None


def _fields(key: bytes) -> Iterator[bytes]:
    """Yield the fields of a key, each of which begins with its length. The last one may be cut off."""
    position = 0
    while position + 4 <= len(key):
        size = int.from_bytes(key[position : position + 4], "big")
        yield key[position + 4 : position + 4 + size]
        position += 4 + size


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
