# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reads what servers write into headers, which may be anything: what is not valid is unknown, never an exception."""

from __future__ import annotations

import base64
import binascii
import email.utils
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

# Not str.isdigit, which is true for superscripts, too. No file is larger than 18 digits of bytes.
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_NO_BYTES = re.compile(r"bytes[ \t]+\*/0", re.IGNORECASE)
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
# Algorithm and value in Repr-Digest and Content-Digest (RFC 9530), and in Digest (RFC 3230).
_DIGEST_ITEM = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:?\s*([A-Za-z0-9+/_=-]+)", re.IGNORECASE)
# To the end where a quote is not closed, so that no quote in it is tried again.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*("?)')
# The first word between commas, if it is not the name of a parameter.
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z0-9]|\s*(?:,|$))")
# Signed addresses have up to 4 KiB. Servers and browsers refuse longer ones than this.
_LONGEST_ADDRESS = 16 * 1024
_COMPRESSIONS = ("br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd")

# Headers in which stores report the SHA-256 of a file.
_SHA256_HEADERS = ("X-Checksum-Sha256", "X-Amz-Meta-Sha256", "X-Ms-Meta-Sha256", "X-Goog-Meta-Sha256")
_S3_SHA256 = "X-Amz-Checksum-Sha256"
# Content-Digest is left out, because it is the digest of the bytes in this answer, which may be a part of the file.
_DIGEST_HEADERS = ("Repr-Digest", "Digest")

Headers = Mapping[str, str]


class ContentRange(NamedTuple):
    """The bytes of a file in an answer: C(total) is None when the server does not know it."""

    start: int
    length: int
    total: int | None


def whole_number(text: str | None) -> int | None:
    """Return a number of digits only, or None."""
    text = (text or "").strip()
    return int(text) if _NUMBER.fullmatch(text) else None


def content_length(headers: Headers) -> int | None:
    """Return the announced size of a body, or None. The same number may be there more than once (RFC 9110, 8.6)."""
    numbers = {whole_number(each) for each in (headers.get("Content-Length") or "").split(",")}
    return numbers.pop() if len(numbers) == 1 else None


def content_range(headers: Headers) -> ContentRange | None:
    """Return which bytes an answer has, None when the header is missing or not valid."""
    found = _CONTENT_RANGE.fullmatch((headers.get("Content-Range") or "").strip())
    if not found:
        return None
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last - first + 1, total)


def reports_no_bytes(headers: Headers) -> bool:
    """Return whether the answer to a range request reports an empty file."""
    return bool(_NO_BYTES.fullmatch((headers.get("Content-Range") or "").strip()))


def compression(headers: Headers) -> str:
    """Return by which method a server compressed a body in transit; empty when it did not."""
    named = (each.strip().lower() for each in (headers.get("Content-Encoding") or "").split(","))
    return ", ".join(each for each in named if each in _COMPRESSIONS)


def sha256_headers(headers: Headers) -> dict[str, str]:
    """Return the SHA-256 digests of the file that a server reports, as hexadecimal digits, by the header's name.

    What is not a SHA-256 of the whole file, such as the digest of digests of an S3 upload in parts, is left out.
    """
    said = {name: _sha256(headers.get(name) or "") for name in (*_SHA256_HEADERS, _S3_SHA256)}
    for name in _DIGEST_HEADERS:
        found = _DIGEST_ITEM.search(headers.get(name) or "")
        said[name] = _sha256(found[1]) if found else None
    return {name: digest for name, digest in said.items() if digest}


def login_schemes(headers: Headers) -> list[str]:
    """Return the schemes of C(WWW-Authenticate), such as Basic, Bearer or Negotiate."""
    found = _SCHEME.findall(_unquoted(headers.get("WWW-Authenticate") or ""))
    return sorted({each.capitalize() if each.upper() != "NTLM" else "NTLM" for each in found})


def _unquoted(text: str) -> str:
    """Return a text without what is in quotes."""
    return _QUOTED.sub(lambda found: "" if found[1] else found[0], text)


def _sha256(text: str) -> str | None:
    """Read 32 bytes that are written in hexadecimal digits or in Base64."""
    text = text.strip().strip('"')
    if _SHA256_HEX.fullmatch(text.lower()):
        return text.lower()
    try:
        raw = base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw.hex() if len(raw) == 32 else None


def locations(response: Any) -> list[str]:
    """Return the different addresses in the C(Location) headers of an answer: more than one contradict each other."""
    every = getattr(getattr(getattr(response, "raw", None), "headers", None), "getlist", None)
    found = every("Location") if every is not None else [response.headers.get("Location")]
    return list(dict.fromkeys(each.strip() for each in found if each))


def redirect_of(response: Any, url: str) -> str | None:
    """Return the address to which an answer redirects, None when there is none, or more than one."""
    found = locations(response)
    return redirect_target(url, found[0]) if len(found) == 1 else None


def redirect_target(url: str, location: str) -> str | None:
    """Return the address to which a server redirects, None when it is not a valid one.

    Headers are read as Latin-1. Servers write addresses in UTF-8, or in an encoding that is not known: such bytes are
    sent back as they are, as browsers do.
    """
    if len(location) > _LONGEST_ADDRESS:
        return None
    try:
        raw = location.strip().encode("latin-1", "replace")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
        target = urljoin(url, text)
        parts = urlsplit(target)
        valid = parts.port != 0  # a port that is not a number raises
    except ValueError:
        return None
    return target if valid and (parts.hostname or parts.scheme not in ("http", "https")) else None


def http_date(text: str) -> float | None:
    """Return a date of a header as seconds since 1970, None when it is not a date."""
    try:
        parsed = email.utils.parsedate_tz(text) if text else None
        return float(email.utils.mktime_tz(parsed)) if parsed else None
    except (ValueError, TypeError, IndexError, OverflowError):  # parsedate_tz accepts the 99th of a month in year 0
        return None
