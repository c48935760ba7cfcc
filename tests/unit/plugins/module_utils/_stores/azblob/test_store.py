# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of Azure Blob Storage needs neither its SDK nor a server: places, credentials, blocks, and what errors mean."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.azblob.access import Access, container_of
from ansible_collections.macops.parallels.plugins.module_utils._stores.azblob.errors import Judge
from ansible_collections.macops.parallels.plugins.module_utils._stores.azblob.store import (
    LARGEST_PART,
    MIB,
    MOST_PARTS,
    PART_SIZE,
    AzureBlobStore,
    block_id,
    kept_bytes,
    left_blocks,
    part_size_for,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreFull, StoreOptions

KEY = base64.b64encode(b"a secret key").decode()


def in_hours(hours):
    return (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sas(rights="rw", ends=24 * 7, **more):
    fields = {"sv": "2022-11-02", "sr": "c", "sp": rights, "se": in_hours(ends), "sig": "c2VjcmV0", **more}
    return "&".join(f"{name}={value}" for name, value in fields.items() if value)


def token(lasts):
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + lasts}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


@pytest.mark.parametrize(
    ("destination", "blob", "link"),
    [
        ("azblob://company/images", "a b.pvmp", "https://company.blob.core.windows.net/images/a%20b.pvmp"),
        (
            "azblob://company/images/Mac%20VMs/win",
            "Mac VMs/win/a b.pvmp",
            "https://company.blob.core.windows.net/images/Mac%20VMs/win/a%20b.pvmp",
        ),
        (
            "azblob://company/$web/images",
            "images/a b.pvmp",
            "https://company.blob.core.windows.net/%24web/images/a%20b.pvmp",
        ),
    ],
)
def test_places(destination, blob, link):
    container = container_of(destination, StoreOptions())
    assert (container.blob("a b.pvmp"), container.link("a b.pvmp")) == (blob, link)


def test_another_cloud():
    endpoint = "https://company.blob.core.usgovcloudapi.net/"
    container = container_of("azblob://company/images", StoreOptions(endpoint_url=endpoint))
    assert container.link("x") == "https://company.blob.core.usgovcloudapi.net/images/x"
    assert container.host == "company.blob.core.usgovcloudapi.net"


@pytest.mark.parametrize(
    "destination",
    [
        "azblob://company",
        "azblob://Com-pany/images",
        "azblob:///images",
        "azblob://company/Images",
        "azblob://co/images",
    ],
)
def test_what_is_no_place(destination):
    with pytest.raises(TaskError, match="Use azblob://account/container/folder"):
        container_of(destination, StoreOptions())


@pytest.mark.parametrize("endpoint", ["http://localhost:10000/company", "company.blob", "https://h/x?sig=secret"])
def test_an_endpoint_that_does_not_do(endpoint):
    with pytest.raises(TaskError, match="endpoint_url must be the https:// address") as caught:
        container_of("azblob://company/images", StoreOptions(endpoint_url=endpoint))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "requires credentials"),
        ({"account_key": KEY, "token": "x"}, "requires exactly one credential, but several are set"),
        ({"account_key": "no key at all"}, "account_key is not a key of a storage account"),
        ({"sas_token": "sv=2022-11-02&sp=rw"}, "has no 'sig='"),
    ],
)
def test_credentials_that_cannot_be(options, words):
    with pytest.raises(TaskError, match=words) as caught:
        AzureBlobStore("azblob://company/images", StoreOptions(**options))
    assert "no key at all" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sas_token": sas(ends=-1)}, "sas_token has expired on"),
        ({"sas_token": sas("r")}, r"lacks the permission to write \(sp=r\)"),
        ({"sas_token": sas("l")}, "lacks the permission to read and to write"),
        ({"sas_token": sas(sr="b")}, "for one blob only"),
        ({"sas_token": sas(sr="", ss="f", srt="co")}, "not for the objects of the blob service"),
        ({"sas_token": sas(sr="", ss="b", srt="c")}, "not for the objects of the blob service"),
        ({"sas_token": sas(st=in_hours(3))}, "not valid before"),
        ({"token": token(-10)}, "token has expired on"),
    ],
)
def test_credentials_that_do_not_do(options, words):
    with pytest.raises(TaskError, match=words) as caught:
        Access("company", StoreOptions(**options)).check(pytest.fail)
    assert "c2VjcmV0" not in str(caught.value.result())


@pytest.mark.parametrize(
    "options",
    [
        {"account_key": KEY},
        {"sas_token": sas()},
        {"sas_token": "?" + sas("racwdl", st=in_hours(-1))},
        {"sas_token": sas("", ends=0, se="", si="policy")},
        {"token": token(3 * 3600)},
        {"token": "opaque"},
    ],
)
def test_credentials_that_do(options):
    Access("company", StoreOptions(**options)).check(pytest.fail)


@pytest.mark.parametrize("options", [{"sas_token": sas(ends=1)}, {"token": token(600)}])
def test_what_may_end_in_the_middle_is_told(options):
    notices = []
    Access("company", StoreOptions(**options)).check(notices.append)
    assert [notice for notice in notices if "stops then" in notice and "c2VjcmV0" not in notice] == notices != []


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        (1, None, PART_SIZE),
        (100 * 1024 * MIB, None, PART_SIZE),
        (3 * MIB, 256 * 1024, 256 * 1024),
        (MOST_PARTS * MIB, MIB, MIB),
        (MOST_PARTS * MIB + 1, MIB, 2 * MIB),
        (5 * 1024 * 1024 * MIB, None, 105 * MIB),
        (MOST_PARTS * LARGEST_PART, None, LARGEST_PART),
        (MIB, 9000 * MIB, LARGEST_PART),
    ],
)
def test_the_size_of_blocks(size, wanted, expected):
    assert part_size_for(size, wanted) == expected
    assert -(-size // expected) <= MOST_PARTS


def test_an_image_that_is_too_large():
    with pytest.raises(TaskError, match="larger than the maximum size of a blob"):
        part_size_for(MOST_PARTS * LARGEST_PART + 1)


def ident(number, part_size, data=b""):
    return block_id(number, part_size, hashlib.md5(data).digest())


def test_ids_have_one_length():
    lengths = {len(ident(number, size)) for number in (1, MOST_PARTS) for size in (1, LARGEST_PART)}
    assert lengths == {47}
    assert max(lengths) <= 64


def test_blocks_that_are_left():
    """Those of the run that has left most; of no use are ids of others, and sizes that do not fit."""
    found = [
        (ident(1, 100), 100),
        (ident(1, 100, b"other"), 100),
        (ident(3, 100), 50),
        (ident(2, 100), 60),
        (ident(1, 40), 40),
        ("by-another-program", 100),
    ]
    part_size, blocks = left_blocks(found, 250)
    assert part_size == 100
    assert blocks == {ident(1, 100): 100, ident(1, 100, b"other"): 100, ident(3, 100): 50}
    assert kept_bytes(blocks) == 150


def test_no_blocks_are_left():
    assert left_blocks([("by-another-program", 5)], 5) == (0, {})
    assert left_blocks([(ident(2, 10), 10)], 5) == (0, {})


def answer(status, code="", headers=None, **details):
    """What the SDK raises."""
    response = SimpleNamespace(status_code=status, headers={"x-ms-error-code": code, **(headers or {})})
    message = "https://company.blob.core.windows.net/images/x?sig=c2VjcmV0"
    return SimpleNamespace(response=response, error_code=None, additional_info=details, message=message)


def judge(error, **options):
    given = StoreOptions(**(options or {"sas_token": sas()}))
    found = Judge(container_of("azblob://company/images", given), Access("company", given)).understood(error, "upload")
    assert "c2VjcmV0" not in str(found)
    return found


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (answer(503, "ServerBusy", {"Retry-After": "9"}), 9.0),
        (answer(500, "OperationTimedOut"), None),
        (answer(429), None),
        (answer(400, "Md5Mismatch"), None),
        (answer(409, "ContainerBeingDeleted"), None),
    ],
)
def test_what_is_transient(error, after):
    found = judge(error)
    assert isinstance(found, RetryLater)
    assert found.after == after


def test_an_answer_that_never_came():
    assert isinstance(judge(SimpleNamespace(response=None, error_code=None)), RetryLater)


@pytest.mark.parametrize(
    ("error", "options", "words"),
    [
        (answer(403, "AuthenticationFailed"), {"account_key": KEY}, "account_key is not a key of the storage account"),
        (answer(403, "AuthenticationFailed"), {"sas_token": sas()}, "sas_token is not accepted"),
        (answer(403, "AuthenticationFailed"), {"sas_token": sas(ends=-1)}, "sas_token has expired"),
        (answer(401, "InvalidAuthenticationInfo"), {"token": "x"}, "the token is not accepted"),
        (answer(401, "InvalidAuthenticationInfo"), {"token": token(-9)}, "token has expired"),
        (answer(403, "AuthorizationFailure"), {"account_key": KEY}, "firewall"),
        (answer(403, "AuthorizationPermissionMismatch"), {"sas_token": sas()}, "the permission to write"),
        (answer(403, "AuthorizationPermissionMismatch"), {"token": "x"}, "Storage Blob Data Contributor"),
        (answer(403, "KeyBasedAuthenticationNotPermitted"), {"account_key": KEY}, "account keys are disabled"),
        (
            answer(404, "ContainerNotFound"),
            {"account_key": KEY},
            "the container images does not exist in the storage account company",
        ),
        (answer(409, "BlobImmutableDueToPolicy"), {"account_key": KEY}, "immutability policy"),
        (answer(409, "BlockCountExceedsLimit"), {"account_key": KEY}, "too many blocks"),
        (answer(412, "LeaseIdMissing"), {"account_key": KEY}, "has an active lease"),
        (answer(400, "InvalidHeaderValue", HeaderName="x-ms-version"), {"account_key": KEY}, "Install an older one"),
        (answer(400, "InvalidHeaderValue", HeaderName="x-ms-access-tier"), {"account_key": KEY}, "azblob_tier"),
        (answer(403, "AccountIsDisabled"), {"account_key": KEY}, "account is disabled"),
        (answer(418), {"account_key": KEY}, "answered 418 to the upload"),
    ],
)
def test_what_is_final(error, options, words):
    found = judge(error, **options)
    assert isinstance(found, TaskError)
    assert words in found.message
    assert found.message.endswith((".", ")."))


def test_a_full_account():
    assert isinstance(judge(answer(507)), StoreFull)


@pytest.mark.parametrize(("ahead", "words"), [(3600, "60 minutes behind"), (-3600, "60 minutes ahead")])
def test_a_wrong_clock(ahead, words):
    headers = {"Date": email.utils.formatdate(time.time() + ahead, usegmt=True)}
    found = judge(answer(403, "AuthenticationFailed", headers), account_key=KEY)
    assert f"the clock of this machine is {words}" in found.message
