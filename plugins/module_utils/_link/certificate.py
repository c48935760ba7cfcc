# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Rules for server certificates that macOS enforces and OpenSSL does not (support.apple.com/103769 and 102028).

Python's C(ssl) does not return all fields that these rules are about, and this collection does not require the library
cryptography: so the few fields are read from the certificate itself, which is DER (X.690).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

_INTEGER, _BITS, _OCTETS, _OID, _UTC_TIME, _GENERALIZED_TIME, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x17, 0x18, 0x30
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87

_SUBJECT_ALT_NAME = "2.5.29.17"
_EXTENDED_KEY_USAGE = "2.5.29.37"
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_RSA = "1.2.840.113549.1.1.1"
_EC = "1.2.840.10045.2.1"
_SMALL_CURVES = {"1.2.840.10045.3.1.1": 192, "1.3.132.0.33": 224}
_WEAK_SIGNATURES = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
}
_SMALLEST_RSA_KEY = 2048

# By the date on which a certificate was issued. The second rule is only for public certificate authorities.
_RULES_OF_2019 = datetime(2019, 7, 1, tzinfo=timezone.utc)
_RULES_OF_2020 = datetime(2020, 9, 1, tzinfo=timezone.utc)
_LONGEST = timedelta(days=825)
_LONGEST_PUBLIC = timedelta(days=398)


@dataclass(frozen=True)
class Certificate:
    """The fields of a certificate that the rules are about."""

    begins: datetime
    ends: datetime
    # Whether it names a host or an address as C(subjectAltName).
    named: bool
    # The OIDs in C(ExtendedKeyUsage), None when there is no such field.
    purposes: tuple[str, ...] | None
    signature: str
    # Of an RSA key or a key on a small curve, in bits; None when the kind of the key has no rule.
    key_bits: int | None
    rsa: bool


def refusal(certificate: Certificate, public: bool) -> str:
    """Return why a Mac refuses a certificate that OpenSSL accepts, in words; empty when it accepts it.

    C(public): the certificate was verified with the public certificate authorities.
    """
    lasts = certificate.ends - certificate.begins
    if not certificate.named:
        return "it has no subjectAltName with the name of the server"
    weak = _WEAK_SIGNATURES.get(certificate.signature)
    if weak:
        return f"it is signed with {weak}"
    if certificate.key_bits is not None and (not certificate.rsa or certificate.key_bits < _SMALLEST_RSA_KEY):
        wanted = f"RSA keys need {_SMALLEST_RSA_KEY} bits" if certificate.rsa else "elliptic curves need 256 bits"
        return f"its key has only {certificate.key_bits} bits ({wanted})"
    if certificate.begins >= _RULES_OF_2019:
        if _SERVER_AUTH not in (certificate.purposes or ()):
            return "its ExtendedKeyUsage does not contain serverAuth"
        if lasts > _LONGEST:
            return f"it is valid for {lasts.days} days, and {_LONGEST.days} days are the limit"
    if public and certificate.begins >= _RULES_OF_2020 and lasts > _LONGEST_PUBLIC:
        return (
            f"it is valid for {lasts.days} days, and {_LONGEST_PUBLIC.days} days are the limit for public certificate "
            "authorities"
        )
    return ""


def read_certificate(der: bytes) -> Certificate | None:
    """Return the fields of a certificate, None when they cannot be read."""
    try:
        return _read(der)
    except (ValueError, IndexError, OverflowError, UnicodeError):
        return None


def _read(der: bytes) -> Certificate:
    certificate = list(_values(_only(der, _SEQUENCE)))
    _check_tags(certificate, _SEQUENCE, _SEQUENCE, _BITS)
    fields = [field for field in _values(certificate[0][1]) if field[0] != _VERSION]
    _check_tags(fields, _INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE)
    begins, ends = (_time(*each) for each in _values(fields[3][1]))
    key_bits, rsa = _key(fields[5][1])
    extensions = dict(_extensions(fields[6:]))
    purposes = extensions.get(_EXTENDED_KEY_USAGE)
    return Certificate(
        begins=begins,
        ends=ends,
        named=any(tag in (_DNS_NAME, _IP_ADDRESS) for tag, _value in _alternative_names(extensions)),
        purposes=None
        if purposes is None
        else tuple(_oid(value) for tag, value in _values(_only(purposes, _SEQUENCE)) if tag == _OID),
        signature=_algorithm(certificate[1][1])[0],
        key_bits=key_bits,
        rsa=rsa,
    )


def _alternative_names(extensions: dict[str, bytes]) -> list[tuple[int, bytes]]:
    names = extensions.get(_SUBJECT_ALT_NAME)
    return [] if names is None else list(_values(_only(names, _SEQUENCE)))


def _key(info: bytes) -> tuple[int | None, bool]:
    parts = list(_values(info))
    _check_tags(parts, _SEQUENCE, _BITS)
    algorithm, parameter = _algorithm(parts[0][1])
    if algorithm == _RSA:
        # The first byte is the count of unused bits.
        numbers = list(_values(_only(parts[1][1][1:], _SEQUENCE)))
        _check_tags(numbers, _INTEGER, _INTEGER)
        return int.from_bytes(numbers[0][1], "big").bit_length(), True
    if algorithm == _EC and parameter and parameter[0] == _OID:
        return _SMALL_CURVES.get(_oid(parameter[1])), False
    return None, False


def _extensions(fields: list[tuple[int, bytes]]) -> Iterator[tuple[str, bytes]]:
    for tag, value in fields:
        if tag != _EXTENSIONS:  # rarely used identifiers may come before
            continue
        for _tag, extension in _values(_only(value, _SEQUENCE)):
            parts = list(_values(extension))
            # Between the two may be whether the extension is critical.
            if parts[0][0] != _OID or parts[-1][0] != _OCTETS:
                raise ValueError("not an extension")
            yield _oid(parts[0][1]), parts[-1][1]


def _algorithm(value: bytes) -> tuple[str, tuple[int, bytes] | None]:
    parts = list(_values(value))
    _check_tags(parts, _OID)
    return _oid(parts[0][1]), parts[1] if len(parts) > 1 else None


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each value, one after the other. Raises ValueError for what is cut off."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if tag & 0x1F == 0x1F:
            raise ValueError("a tag of several bytes")
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length that is not DER")
            length, start = int.from_bytes(data[start : start + count], "big"), start + count
        at = start + length
        if at > len(data):
            raise ValueError("cut off")
        yield tag, data[start:at]


def _only(data: bytes, tag: int) -> bytes:
    values = list(_values(data))
    if len(values) != 1 or values[0][0] != tag:
        raise ValueError("another value was expected")
    return values[0][1]


def _check_tags(values: list[tuple[int, bytes]], *tags: int) -> None:
    if tuple(tag for tag, _value in values[: len(tags)]) != tags:
        raise ValueError("other values were expected")


def _oid(value: bytes) -> str:
    if not value or value[-1] & 0x80:
        raise ValueError("an OID that is cut off")
    numbers, number = [], 0
    for byte in value:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(str(each) for each in (first, numbers[0] - 40 * first, *numbers[1:]))


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # with two digits for the year: 50 is 1950 (RFC 5280)
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
