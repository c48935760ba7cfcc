# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers write into headers: read, or unknown."""

from __future__ import annotations

import base64
import email.utils
import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._http.headers import (
    compression,
    content_length,
    content_range,
    http_date,
    login_schemes,
    redirect_target,
    reports_no_bytes,
    sha256_headers,
    whole_number,
)

DIGEST = "ab" * 32
BASE64 = base64.b64encode(bytes.fromhex(DIGEST)).decode()


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 17 ", 17), ("007", 7), ("9" * 18, int("9" * 18))])
def test_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", [None, "", " ", "-1", "+1", "1.0", "1e3", "1_000", "0x10", "ten", "\xb2", "\u0663", "9" * 19, "9" * 5000]
)
def test_what_is_not_a_number(text: str | None) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize(
    ("text", "length"),
    [("10", 10), ("10, 10", 10), ("10,10, 10", 10), ("10, 11", None), ("10,", None), ("-5", None), ("many", None)],
)
def test_the_announced_size(text: str, length: int | None) -> None:
    assert content_length({"Content-Length": text}) == length
    assert content_length({}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-1023/5000", (0, 1024, 5000)),
        ("BYTES  5-5/6", (5, 1, 6)),
        (" bytes 0-9/* ", (0, 10, None)),
        ("bytes=0-1023/5000", None),
        ("0-1023/5000", None),
        ("bytes 0-1023", None),
        ("bytes 9-0/10", None),
        ("bytes 0-10/10", None),
        ("bytes */10", None),
        ("bytes -1-9/10", None),
        ("bytes 0-9/" + "9" * 4400, None),
        ("bytes 0-\xb2/10", None),
        ("items 0-9/10", None),
        ("", None),
    ],
)
def test_the_bytes_of_an_answer(text: str, expected: tuple[int, int, int | None] | None) -> None:
    assert content_range({"Content-Range": text}) == expected


def test_an_empty_file() -> None:
    assert reports_no_bytes({"Content-Range": "bytes */0"})
    assert not reports_no_bytes({"Content-Range": "bytes */10"})
    assert not reports_no_bytes({})


@pytest.mark.parametrize(
    ("text", "named"),
    [("gzip", "gzip"), ("GZIP , br", "gzip, br"), ("identity", ""), ("aws-chunked", ""), ("", ""), ("utf-8", "")],
)
def test_compression(text: str, named: str) -> None:
    assert compression({"Content-Encoding": text}) == named


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Checksum-Sha256", DIGEST.upper()),
        ("X-Amz-Meta-Sha256", f" {DIGEST} "),
        ("X-Ms-Meta-Sha256", BASE64),
        ("X-Goog-Meta-Sha256", BASE64.rstrip("=")),
        ("X-Amz-Checksum-Sha256", BASE64),
        ("Repr-Digest", f"md5=:AAAA:, sha-256=:{BASE64}:"),
        ("Digest", f"SHA-256={BASE64}"),
        ("Digest", f"crc32c=0a72a4df,sha-256={DIGEST}"),
    ],
)
def test_digests(name: str, value: str) -> None:
    assert sha256_headers({name: value}) == {name: DIGEST}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Checksum-Sha256", f"{BASE64}-12"),  # the digest of digests of an upload in parts
        ("X-Checksum-Sha256", "none"),
        ("X-Checksum-Sha256", "ab" * 16),
        ("Digest", "sha-512=" + BASE64),
        ("Repr-Digest", "sha-256=::"),
        ("Content-Digest", f"sha-256=:{BASE64}:"),
        ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("X-Checksum-Sha256", "\xff\xfe"),
    ],
)
def test_what_is_not_the_digest_of_the_file(name: str, value: str) -> None:
    assert sha256_headers({name: value}) == {}


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b.pvmp", "https://h.example/b.pvmp"),
        ("b.pvmp", "https://h.example/folder/b.pvmp"),
        ("  /b c.pvmp ", "https://h.example/b c.pvmp"),
        ("?x=1", "https://h.example/folder/a?x=1"),
        ("//other.example/b", "https://other.example/b"),
        ("/B\xfcro.pvmp", "https://h.example/B%FCro.pvmp"),  # Latin-1
        ("/B\xc3\xbcro.pvmp", "https://h.example/Büro.pvmp"),  # UTF-8
        ("file:///etc/passwd", "file:///etc/passwd"),
    ],
)
def test_redirects(location: str, target: str) -> None:
    assert redirect_target("https://h.example/folder/a", location) == target


@pytest.mark.parametrize("location", ["https://[::1/x", "https://h:port/x", "https://h:0/x", "https://:443"])
def test_redirects_to_nowhere(location: str) -> None:
    assert redirect_target("https://h.example/folder/a", location) is None


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "Sun, 99 Foo 0000 99:99:99 GMT", "Sun, 99 Nov 99999999999 10:00:00 GMT"]
)
def test_what_is_not_a_date(text: str) -> None:
    assert http_date(text) is None


def test_a_date() -> None:
    assert http_date(email.utils.formatdate(1_000_030.0, usegmt=True)) == 1_000_030.0


@pytest.mark.parametrize(
    ("text", "schemes"),
    [
        ('Basic realm="images"', ["Basic"]),
        ("Negotiate, NTLM", ["NTLM", "Negotiate"]),
        ('NTLM, basic realm="a, Digest b", charset="UTF-8"', ["Basic", "NTLM"]),
        ('Bearer realm="https://auth.example.com",service="registry"', ["Bearer"]),
        ('Digest realm="x", nonce="Basic y", qop=auth', ["Digest"]),
        ("", []),
        ('"', []),
        ("\xff\xfe = ,,,", []),
    ],
)
def test_schemes_of_a_login(text: str, schemes: list[str]) -> None:
    assert login_schemes({"WWW-Authenticate": text}) == schemes


@pytest.mark.parametrize("challenge", ['"' * 65_000, '"\\' * 32_000, "a," * 32_000, "," + " " * 65_000])
def test_a_challenge_that_takes_long_to_read(challenge: str) -> None:
    begun = time.monotonic()
    login_schemes({"WWW-Authenticate": challenge})
    assert time.monotonic() - begun < 2


def test_the_schemes_before_a_quote_that_is_not_closed() -> None:
    assert login_schemes({"WWW-Authenticate": 'Basic realm="a, b", Digest realm="c \\" d'}) == ["Basic", "Digest"]


def test_an_address_that_is_too_long() -> None:
    assert redirect_target("https://h.example/", "/" + "a" * 16_000) is not None
    assert redirect_target("https://h.example/", "/" + "a" * 17_000) is None
