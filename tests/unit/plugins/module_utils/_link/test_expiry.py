# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When links end."""

from __future__ import annotations

import base64
from datetime import datetime, timezone

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._link.expiry import ends_by_policy, read_expiry


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


EPOCH_END = '{"AWS:EpochTime":1795000000}'


def policy(end: str) -> str:
    """Return a custom policy as CloudFront has it in a URL."""
    text = '{"Statement":[{"Resource":"https://d1.cloudfront.net/?*","Condition":{"DateLessThan":' + end + "}}]}"
    return base64.b64encode(text.encode()).decode().translate(str.maketrans("+=/", "-_~"))


@pytest.mark.parametrize(
    ("query", "kind", "ends", "signed"),
    [
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261122T100000Z&X-Amz-Expires=604800&X-Amz-Signature=ab",
            "S3",
            utc(2026, 11, 29, 10),
            utc(2026, 11, 22, 10),
        ),
        (
            "x-goog-date=20261122T100000Z&x-goog-expires=3600&x-goog-signature=ab",
            "Google Cloud",
            utc(2026, 11, 22, 11),
            utc(2026, 11, 22, 10),
        ),
        (
            "sv=2024-11-04&st=2026-11-22T10:00:00Z&se=2027-11-22T10%3A00%3A00Z&sr=b&sp=r&sig=a%2Bb",
            "shared access",
            utc(2027, 11, 22, 10),
            utc(2026, 11, 22, 10),
        ),
        (
            "X-Amz-Date=20261122T100000Z&X-Amz-Expires=604800&X-Amz-Security-Token=tok&X-Amz-Signature=ab",
            "temporary credentials",
            utc(2026, 11, 23, 22),
            utc(2026, 11, 22, 10),
        ),
        (
            "X-Amz-Date=20261122T100000Z&X-Amz-Expires=3600&X-Amz-Security-Token=tok&X-Amz-Signature=ab",
            "temporary credentials",
            utc(2026, 11, 22, 11),
            utc(2026, 11, 22, 10),
        ),
        (
            "x-oss-date=20261122T100000Z&x-oss-expires=60&x-oss-signature=ab",
            "OSS",
            utc(2026, 11, 22, 10, 1),
            utc(2026, 11, 22, 10),
        ),
        (
            "se=2027-11-22T10:00:00Z&skoid=1&skt=2026-11-22T10:00:00Z&ske=2026-11-29T10:00:00Z&sig=ab",
            "shared access",
            utc(2026, 11, 29, 10),
            None,
        ),
        ("se=2026-11-23&ske=2026-11-29T10:00:00Z&sig=ab", "shared access", utc(2026, 11, 23), None),
        ("temp_url_sig=ab&temp_url_expires=1795000000", "temporary URL", utc(2026, 11, 18, 11, 6, 40), None),
        ("temp_url_sig=ab&temp_url_expires=2027-11-22T10:00:00Z", "temporary URL", utc(2027, 11, 22, 10), None),
        (
            "q-sign-algorithm=sha1&q-sign-time=1795000000%3B1795003600&q-signature=ab",
            "signature",
            utc(2026, 11, 18, 12, 6, 40),
            utc(2026, 11, 18, 11, 6, 40),
        ),
        (
            f"Policy={policy(EPOCH_END)}&Signature=ab&Key-Pair-Id=K1",
            "signature",
            utc(2026, 11, 18, 11, 6, 40),
            None,
        ),
        ("se=2027-11-22&sig=ab", "shared access", utc(2027, 11, 22), None),
        ("se=2027-11-22T10:00Z&sig=ab", "shared access", utc(2027, 11, 22, 10), None),
        ("se=2027-11-22T10:00:00.1234567Z&sig=ab", "shared access", utc(2027, 11, 22, 10, 0, 0, 123456), None),
        ("Expires=1795000000&Signature=ab&Key-Pair-Id=K1", "signature", utc(2026, 11, 18, 11, 6, 40), None),
        (
            "AWSAccessKeyId=A&Expires=99999999999999&Signature=ab",
            "signature",
            utc(9999, 12, 31, 23, 59, 59, 999999),
            None,
        ),
    ],
)
def test_the_end_is_read(query: str, kind: str, ends: datetime, signed: datetime | None) -> None:
    expiry = read_expiry(f"https://store.example.com/image.pvmp?{query}")
    assert expiry is not None
    assert kind in expiry.kind
    assert (expiry.ends, expiry.signed) == (ends, signed)


def test_a_token_whose_end_is_not_written() -> None:
    expiry = read_expiry("https://contoso.sharepoint.com/_layouts/15/download.aspx?UniqueId=1&tempauth=v1.ey")
    assert expiry is not None
    assert (expiry.ends, expiry.signed) == (None, None)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "download=1",
        "expires=1795000000",
        "se=2027-11-22",
        "se=soon&sig=ab",
        "X-Amz-Date=20261122T100000Z",
        "X-Amz-Date=now&X-Amz-Expires=1",
        "X-Amz-Date=20261122T100000Z&X-Amz-Expires=-1",
        "Expires=never&Signature=ab",
        "Policy=nonsense&Key-Pair-Id=K1",
        f"Policy={policy('1')}&Key-Pair-Id=K1",
        "temp_url_sig=ab&temp_url_expires=soon",
        "temp_url_expires=1795000000",
        "q-sign-time=1795000000",
    ],
)
def test_links_without_an_end(query: str) -> None:
    assert read_expiry(f"https://store.example.com/image.pvmp?{query}") is None


def test_an_end_that_a_policy_decides() -> None:
    assert ends_by_policy("https://a.blob.core.windows.net/c/i.pvmp?sv=1&si=golden&sr=b&sig=x") == "golden"
    assert ends_by_policy("https://a.blob.core.windows.net/c/i.pvmp?si=golden&sig=x&se=2027-01-01") is None
    assert ends_by_policy("https://a.blob.core.windows.net/c/i.pvmp") is None


END = 1795600000


@pytest.mark.parametrize(
    "query",
    [
        f"md5=_e4Nc3iduzkWRm01TBBNYw&expires={END}",
        f"st=KNyEQUXC&e={END}",
        f"token=abcDEF&expires={END}",
        f"token=abc&token_path=%2F&expires={END}",
        f"sign=ab&exp={END}",
        f"hdnts=exp={END}~acl=/*~hmac=ab",
        f"__token__=exp%3D{END}~acl%3D%2F%2A~hmac%3Dab",
        f"any=st=1~exp={END}~hmac=ab",
        f"verify={END}-abc%3D",
        "jwt=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU2MDAwMDB9.x",
        "access_token=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU2MDAwMDAuNX0.",
    ],
)
def test_ends_in_other_forms(query: str) -> None:
    expiry = read_expiry(f"https://images.example.com/win11.pvmp?{query}")
    assert expiry is not None
    assert expiry.ends == datetime.fromtimestamp(END, timezone.utc)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://f004.backblazeb2.com/file/b/win11.pvmp?Authorization=3_20261127_abc", "Backblaze"),
        ("https://uc1234.dl.dropboxusercontent.com/cd/0/get/AbCdEf/file?dl=1", "Dropbox"),
        ("https://public.boxcloud.com/d/1/b1!AbC/download", "Box"),
    ],
)
def test_temporary_addresses(url: str, kind: str) -> None:
    expiry = read_expiry(url)
    assert expiry is not None
    assert kind in expiry.kind
    assert expiry.ends is None


@pytest.mark.parametrize(
    "url",
    [
        "https://h/x?e=1795600000",
        "https://h/x?md5=ab&expires=never",
        "https://h/x?md5=ab&e=\u00b2",
        "https://h/x?Expires=\u00b2&Signature=ab",
        "https://h/x?X-Amz-Date=20261122T100000Z&X-Amz-Expires=\u00b2",
        "https://h/x?st=ab&e=x1Y2z3",
        "https://h/x?verify=abc-1795600000",
        "https://h/x?any=exp=1795600000~acl=/*",
        "https://h/x?jwt=eyJhbGciOiJIUzI1NiJ9.AAAA.x",
        "https://h/x?jwt=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOiJuZXZlciJ9.x",
        "https://h/x?jwt=eyJhbGciOiJIUzI1NiJ9.W10.x",
        "https://dl.dropboxusercontent.com/scl/fi/id1/win11.pvmp?rlkey=k",
        "https://contoso.box.com/shared/static/abc.pvmp",
    ],
)
def test_links_that_do_not_end(url: str) -> None:
    assert read_expiry(url) is None
