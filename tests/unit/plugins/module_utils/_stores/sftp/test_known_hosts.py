# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of host keys of any content: the lines that are valid count, the others are passed over."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._stores.sftp.known_hosts import (
    KnownHost,
    read_known_host,
)

HOST = "sftp.example.com"


def make(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


ED25519 = make(b"ssh-ed25519", b"k" * 32)
OTHER = make(b"ssh-ed25519", b"o" * 32)
RSA = make(b"ssh-rsa", b"\x01\x00\x01", b"n" * 257)


def line(names: str, key: bytes = ED25519, marker: str = "", end: str = "\n", kind: str = "") -> bytes:
    """Return one line for a key."""
    shown = base64.b64encode(key).decode()
    named = kind or key[4 : 4 + key[3]].decode()
    return f"{marker}{' ' if marker else ''}{names} {named} {shown}{end}".encode()


def hashed(name: str) -> str:
    """Return a name as HashKnownHosts writes it."""
    salt = b"s" * 20
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def read(data: bytes, port: int = 22) -> KnownHost:
    return read_known_host(data, HOST, port, 22)


# Valid, or not: none of them may keep the good line from being found, nor name the host.
OTHER_LINES = [
    b"\n",
    b"   \t \r\n",
    b"# comment\n",
    b"  # R\xe9seau interne\n",
    b"\xff\xfe\x00\x01\x80binary\x00\n",
    b"one-word\n",
    b"@revoked\n",
    b"@cert-authority\n",
    b"@\n",
    b"|1|abc|def ssh-ed25519 AAAA\n",
    b"|1|onlysalt ssh-ed25519 AAAA\n",
    b"|1||| ssh-ed25519 AAAA\n",
    b"|2|AAAA|AAAA ssh-ed25519 AAAA\n",
    b"| ssh-ed25519 AAAA\n",
    b"|1|" + b"A" * 300_000 + b"| ssh-ed25519 AAAA\n",
    b"other.example.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCqfdQq3Qd77\n",
    b"other.example.com ssh-rsa \xc3\xbc\n",
    b"other.example.com 1024 35 1234567890\n",
    b"other.example.com ssh-xmss@openssh.com AAAA\n",
    line("other.example.com"),
    line("other.example.com," + "*?" * 5000 + "x"),
    line(f"[{HOST}]:2222", OTHER),
    line(f"!{HOST},*.example.com", OTHER),
    line("sftp.example", OTHER),
    line("xsftp.example.com", OTHER),
    line("[a-z]*", OTHER),
    line(hashed("other.example.com"), OTHER),
    line(hashed(f"[{HOST}]:2222"), OTHER),
    line("*.other.example.com", OTHER, "@cert-authority"),
    line("other.example.com", marker="@revoked"),
]


@pytest.mark.parametrize("other", OTHER_LINES, ids=range(len(OTHER_LINES)))
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_good_line_counts_whatever_is_beside_it(other: bytes, end: bytes) -> None:
    good = line(HOST, end="") + end
    for data in (other + good, line(HOST) + other[:-1], b"".join(OTHER_LINES) + good):
        assert read(data) == KnownHost(keys={"ssh-ed25519": {ED25519}})
    assert read(other) == KnownHost()


@pytest.mark.parametrize(
    "names",
    [
        HOST,
        "SFTP.Example.COM",
        f"[{HOST}]:22",
        f"other,{HOST}",
        f"other,{HOST},*",
        "*.example.com",
        "sftp.example.c?m",
        "*",
        "sftp.*.com,!other",
        hashed(HOST),
    ],
)
def test_names_that_mean_the_host(names: str) -> None:
    assert read(line(names)).keys == {"ssh-ed25519": {ED25519}}


@pytest.mark.parametrize("names", [f"[{HOST}]:2222", "[*.example.com]:2222", "*", hashed(f"[{HOST}]:2222")])
def test_names_that_mean_another_port(names: str) -> None:
    assert read(line(names), port=2222).keys == {"ssh-ed25519": {ED25519}}
    assert read(line(HOST) + line(f"[{HOST}]:22") + line(hashed(HOST)), port=2222) == KnownHost()


def test_a_file_of_another_editor() -> None:
    assert read(b"\xef\xbb\xbf" + line(HOST, end="\r\n") + line("\t " + HOST, RSA, end=" a comment\r\n")).keys == {
        "ssh-ed25519": {ED25519},
        "ssh-rsa": {RSA},
    }


def test_several_keys_of_one_type() -> None:
    assert read(line(HOST) + line(HOST) + line("*.example.com", OTHER)).keys == {"ssh-ed25519": {ED25519, OTHER}}


@pytest.mark.parametrize("names", [HOST, "*", hashed(HOST), f"[{HOST}]:22"])
def test_a_revoked_key(names: str) -> None:
    assert read(line(HOST) + line(names, marker="@revoked")).revoked == {ED25519}
    assert read(line(f"[{HOST}]:2222") + line(HOST, marker="@revoked"), port=2222).revoked == {ED25519}


def test_a_certificate_authority() -> None:
    found = read(line("*.example.com", OTHER, "@cert-authority"))
    assert found == KnownHost(has_authority=True)


@pytest.mark.parametrize(
    "bad",
    [
        HOST.encode(),
        f"{HOST} ssh-ed25519".encode(),
        f"{HOST} ssh-ed25519 AAAA".encode(),
        f"{HOST} ssh-ed25519 ====".encode(),
        f"{HOST} ssh-ed25519 \xfc".encode(),
        f"{HOST} 1024 35 1234567890".encode(),
        line(HOST)[:-20],
        line(HOST, RSA)[:60],
        line(HOST, RSA[:18]),
        line(HOST, ED25519 + b"more"),
        line(HOST, ED25519, kind="ssh-rsa"),
        line(HOST, marker="@unheard-of"),
        line(HOST, marker="@revoked")[:-20],
    ],
)
def test_a_line_of_the_host_that_cannot_be_read_is_noted(bad: bytes) -> None:
    assert read(b"# first\n" + bad) == KnownHost(unread=[2])
    assert read(line(HOST) + bad) == KnownHost(keys={"ssh-ed25519": {ED25519}}, unread=[2])


def test_a_key_type_of_the_future() -> None:
    key = make(b"ssh-mldsa-44@example.com", b"k" * 1312)
    assert read(line(HOST, key)[:-1]).keys == {"ssh-mldsa-44@example.com": {key}}
