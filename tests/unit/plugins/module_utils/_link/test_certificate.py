# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apple's rules for certificates: read from DER, and judged."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._link.certificate import read_certificate, refusal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
DAY = timedelta(days=1)
AUTHORITY = ec.generate_private_key(ec.SECP256R1())
EC_KEY = AUTHORITY.public_key()
NAMES = {
    "dns": x509.DNSName("localhost"),
    "ip": x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    "mail": x509.RFC822Name("jane@example.com"),
}


def certificate(
    days: float = 300,
    begins: datetime = datetime(2026, 1, 2, tzinfo=timezone.utc),
    names: Sequence[str] = ("dns",),
    purposes: Sequence[x509.ObjectIdentifier] | None = (SERVER,),
    key: Any = EC_KEY,
    critical: bool = False,
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key)
    builder = builder.serial_number(2**150 + 1).not_valid_before(begins).not_valid_after(begins + days * DAY)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([NAMES[name] for name in names]), critical)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical)
    builder = builder.add_extension(x509.BasicConstraints(False, None), True)
    return builder.sign(AUTHORITY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def judged(der: bytes, public: bool = False) -> str:
    found = read_certificate(der)
    assert found is not None
    return refusal(found, public)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"critical": True},
        {"days": 825},
        {"names": ("ip",)},
        {"names": ("mail", "dns", "ip")},
        {"purposes": (CLIENT, SERVER)},
        {"key": ec.generate_private_key(ec.SECP384R1()).public_key()},
        {"key": rsa.generate_private_key(65537, 2048).public_key()},
        {"key": ed25519.Ed25519PrivateKey.generate().public_key()},  # unknown to the rules, not forbidden
        {"days": 9000, "purposes": None, "begins": datetime(2019, 6, 30, tzinfo=timezone.utc)},
        {"begins": datetime(2049, 12, 1, tzinfo=timezone.utc)},  # ends in another form of time
    ],
)
def test_certificates_that_a_mac_accepts(how: dict[str, Any]) -> None:
    assert judged(certificate(**how)) == ""


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"days": 826}, "valid for 826 days, and 825 days are the limit"),
        ({"days": 3650}, "valid for 3650 days"),
        ({"days": 900, "begins": datetime(2019, 7, 1, tzinfo=timezone.utc)}, "valid for 900 days"),
        ({"names": ()}, "no subjectAltName"),
        ({"names": ("mail",)}, "no subjectAltName"),
        ({"purposes": None}, "serverAuth"),
        ({"purposes": (CLIENT,)}, "serverAuth"),
        ({"names": (), "begins": datetime(2015, 1, 1, tzinfo=timezone.utc)}, "no subjectAltName"),
        (
            {"key": rsa.generate_private_key(65537, 1024).public_key()},  # nosec B505 # to be refused
            "only 1024 bits (RSA keys need 2048 bits)",
        ),
        ({"key": ec.generate_private_key(ec.SECP224R1()).public_key()}, "only 224 bits"),
    ],
)
def test_certificates_that_a_mac_refuses(how: dict[str, Any], why: str) -> None:
    assert why in judged(certificate(**how))


def test_a_shorter_validity_is_required_of_public_authorities() -> None:
    assert judged(certificate(days=398), public=True) == ""
    assert "398 days are the limit for public" in judged(certificate(days=400), public=True)
    assert judged(certificate(days=400)) == ""
    assert judged(certificate(days=400, begins=datetime(2020, 8, 31, tzinfo=timezone.utc)), public=True) == ""


@pytest.mark.parametrize("oid", ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.2.840.113549.1.1.4"])
def test_weak_signatures(oid: str) -> None:
    found = read_certificate(certificate())
    assert found is not None
    assert found.signature == "1.2.840.10045.4.3.2"  # ECDSA with SHA-256
    assert "it is signed with" in refusal(replace(found, signature=oid), public=False)


def test_what_is_no_certificate_is_unknown() -> None:
    der = certificate()
    for broken in (b"", b"\0", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"-----BEGIN", b"\x30\x00", der[1:]):
        assert read_certificate(broken) is None
    for size in range(len(der)):
        assert read_certificate(der[:size]) is None


def test_no_byte_makes_the_reader_fail() -> None:
    choose = random.Random(3)
    der = certificate(names=("dns", "ip"))
    for _turn in range(3000):
        broken = bytearray(der)
        for _each in range(choose.randrange(1, 4)):
            broken[choose.randrange(len(broken))] = choose.randrange(256)
        found = read_certificate(bytes(broken))
        if found is not None:
            assert isinstance(refusal(found, True), str)
