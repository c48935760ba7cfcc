# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of S3 needs neither a server nor boto3: parts, links, sentences, options, what a probe tells."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreFull, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.errors import (
    Place,
    Refusal,
    Refused,
    understood,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.parts import (
    MIB,
    MOST_PARTS,
    Listed,
    is_equal,
    is_from,
    is_of,
    mark_of,
    marked_size,
    on_grid,
    part_size_for,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.probe import Support, learn
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.store import public_url
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.uploads import digests_of

GIB = 1024 * MIB
TIB = 1024 * GIB
PLACE = Place("s3://images/golden", "images", "s3.example.com", "eu-central-1", given_keys=True)


@pytest.mark.parametrize(
    ("size", "wanted", "part_size"),
    [
        (1, None, 64 * MIB),
        (100 * GIB, None, 64 * MIB),
        (100 * GIB, 8 * MIB, 11 * MIB),
        (10_000 * 64 * MIB, None, 64 * MIB),
        (10_000 * 64 * MIB + 1, None, 65 * MIB),
        (5 * TIB, None, 525 * MIB),
        (GIB, 1, 5 * MIB),
        (GIB, 5 * MIB + 1, 6 * MIB),
        (GIB, 6 * GIB, 5 * GIB - MIB),
    ],
)
def test_parts_are_as_large_as_they_have_to_be(size, wanted, part_size):
    assert part_size_for(size, wanted) == part_size
    assert -(-size // part_size) <= MOST_PARTS


def test_what_does_not_fit_into_all_parts_is_refused():
    with pytest.raises(TaskError, match="Make it smaller"):
        part_size_for(MOST_PARTS * 5 * GIB, None)


@pytest.mark.parametrize("base", [5 * MIB, 64 * MIB, 5 * GIB - MIB])
def test_the_size_of_parts_tells_whose_they_are(base):
    ours = base + mark_of("an image", "a host")
    assert base < ours < base + MIB
    elsewhere, other = mark_of("an image", "another host"), mark_of("another image", "a host")
    assert is_of(ours, elsewhere)
    assert is_from(ours, other)
    assert not is_from(ours, elsewhere)
    assert not is_of(ours, other)


@pytest.mark.parametrize("foreign", [5 * MIB, 8 * MIB, 16_777_216, 52_428_800])
def test_parts_of_round_sizes_are_not_from_any_host(foreign):
    assert not any(is_from(foreign, mark_of("an image", f"host {number}")) for number in range(2000))


def listed(number, size, etag="", **checksums):
    return Listed(number, size, etag, checksums)


def test_the_size_of_parts_is_told_by_the_whole_ones():
    size, part = 20 * MIB, 6 * MIB + 7
    whole = [listed(number, part) for number in (1, 3)]
    last = listed(4, size - 3 * part)
    assert marked_size([*whole, last], size) == part
    assert marked_size([last], size) is None
    assert marked_size([], size) is None
    assert marked_size([listed(1, size)], size) is None
    assert on_grid([*whole, last, listed(2, 5), listed(9, part)], size, part) == [*whole, last]


def test_parts_are_compared_by_what_the_store_tells():
    digests = {"sha256": hashlib.sha256(b"x").digest(), "md5": hashlib.md5(b"x").digest()}
    right = base64.b64encode(digests["sha256"]).decode()
    etag = f'"{digests["md5"].hex()}"'
    assert is_equal(listed(1, 1, "opaque", ChecksumSHA256=right), digests, "sha256")
    assert not is_equal(listed(1, 1, etag, ChecksumSHA256="other"), digests, "sha256")
    assert is_equal(listed(1, 1, etag), digests, "sha256")
    assert is_equal(listed(1, 1, etag.upper()), digests, "md5")
    # With a key of the store's own, an ETag is something else, of the same form or another one.
    assert not is_equal(listed(1, 1, '"0123456789abcdef0123456789abcdef"'), digests, "sha256")
    assert not is_equal(listed(1, 1, '"abc-2"'), digests, "md5")
    assert not is_equal(listed(1, 1, etag), {"sha256": digests["sha256"]}, "sha256")


@pytest.mark.parametrize(
    ("bucket", "key", "region", "endpoint", "url"),
    [
        (
            "images",
            "win 11/ä.pvmp",
            "eu-west-1",
            None,
            "https://images.s3.eu-west-1.amazonaws.com/win%2011/%C3%A4.pvmp",
        ),
        ("img.example.com", "a+b", "us-east-1", None, "https://s3.us-east-1.amazonaws.com/img.example.com/a%2Bb"),
        ("images", "a", "cn-north-1", None, "https://images.s3.cn-north-1.amazonaws.com.cn/a"),
        ("images", "a b", "us-east-1", "https://s3.example.com:9000", "https://s3.example.com:9000/images/a%20b"),
    ],
)
def test_links(bucket, key, region, endpoint, url):
    assert public_url(bucket, key, region, endpoint) == url


@pytest.mark.parametrize(
    ("destination", "options", "words"),
    [
        ("s3://", {}, "has no bucket"),
        ("s3:///prefix", {}, "has no bucket"),
        ("s3://host:9000/images", {}, "set endpoint_url to its address"),
        ("s3://images/a//b", {}, "must not contain '//'"),
        ("s3://images/../b", {}, "must not contain '//'"),
        ("s3://images", {"endpoint_url": "http://s3.example.com"}, "must be an https:// address"),
        ("s3://images", {"endpoint_url": "https://me:hidden@s3.example.com"}, "must not contain a user name"),
        ("s3://images", {"username": "me", "password": "hidden"}, "access_key and secret_key"),
        ("s3://images", {"access_key": "AK"}, "Set both, or none"),
        ("s3://images", {"session_token": "hidden"}, "Set all three"),
        ("s3://images", {"s3_kms_key_id": "key"}, "without s3_encryption=aws:kms"),
        ("s3://images", {"s3_storage_class": "DEEP_ARCHIVE"}, "cannot download from the storage class DEEP_ARCHIVE"),
        ("s3://images", {"s3_tags": {str(number): "x" for number in range(11)}}, "at most 10"),
    ],
)
def test_options_that_make_no_sense(destination, options, words):
    with pytest.raises(TaskError) as caught:
        open_store(destination, StoreOptions(**options))
    assert words in caught.value.message
    assert "hidden" not in str(caught.value.result())


@pytest.mark.parametrize(
    ("operation", "code", "status", "kind", "words"),
    [
        ("put_object", "SlowDown", 503, RetryLater, "SlowDown to PutObject: the store is too busy"),
        ("upload_part", "InternalError", 500, RetryLater, "could not process the request"),
        ("complete_multipart_upload", "200", 200, RetryLater, "answered 200 to CompleteMultipartUpload"),
        ("upload_part", "RequestTimeout", 400, RetryLater, "RequestTimeout"),
        ("upload_part", "BadDigest", 400, RetryLater, "BadDigest"),
        ("complete_multipart_upload", "ConditionalRequestConflict", 409, RetryLater, "409"),
        ("upload_part", "503", 503, RetryLater, "answered 503 to UploadPart"),
        ("upload_part", "QuotaExceeded", 403, StoreFull, "full"),
        ("upload_part", "XMinioAdminBucketQuotaExceeded", 400, StoreFull, "quota"),
        ("put_object", "SignatureDoesNotMatch", 403, TaskError, "secret_key does not match access_key"),
        ("put_object", "RequestTimeTooSkewed", 403, TaskError, "more than 15 minutes apart"),
        ("put_object", "NoSuchBucket", 404, TaskError, "the bucket images does not exist"),
        ("put_object", "PermanentRedirect", 301, TaskError, "is in another region, not in eu-central-1"),
        ("put_object", "AccessDenied", 403, TaskError, "Allow them s3:PutObject on s3://images/golden"),
        ("list_objects_v2", "AccessDenied", 403, TaskError, "Allow them s3:ListBucket on the bucket"),
        ("upload_part", "ExpiredToken", 400, TaskError, "run the same command again"),
        ("put_object", "NotImplemented", 501, TaskError, "does not support the request"),
        ("put_object", "KMS.DisabledException", 400, TaskError, "the key is enabled"),
        ("put_object", "Unheard", 418, TaskError, "418 Unheard"),
    ],
)
def test_what_codes_mean(operation, code, status, kind, words):
    found = understood(Refusal(operation, code, status, after=7.0), PLACE)
    assert found.__class__ is kind
    assert words in found.message
    assert found.details["code"] == code
    if kind is RetryLater:
        assert found.after == 7.0


def test_the_right_region_is_named():
    found = understood(Refusal("put_object", "AuthorizationHeaderMalformed", 400, region="eu-west-3"), PLACE)
    assert "is in the region eu-west-3, not in eu-central-1. Set region to eu-west-3." in found.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"given_keys": True}, "Set new ones"),
        ({"given_keys": True, "has_session_token": True}, "session_token has expired"),
        ({"given_keys": False}, "Log in again"),
    ],
)
def test_credentials_that_have_expired_are_named(changes, words):
    assert words in understood(Refusal("upload_part", "ExpiredToken", 400), replace(PLACE, **changes)).message


def test_a_denied_write_names_all_that_it_needs():
    place = replace(PLACE, acl="public-read", tags=True, encryption="aws:kms")
    found = understood(Refusal("create_multipart_upload", "AccessDenied", 403), place)
    for permission in ("s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging", "kms:GenerateDataKey", "kms:Decrypt"):
        assert permission in found.message


class Server:
    """A store that takes the tiny file, or refuses it."""

    def __init__(self, verifies=(), knows=("sha256", "md5"), conditions=True):
        self.verifies, self.knows, self.conditions = verifies, knows, conditions

    def put(self, checksum=None, digests=None, conditions=None, accept=()):
        if conditions:
            if self.conditions is True:
                raise Refused("PreconditionFailed", 412)
            if self.conditions is not False:
                raise TaskError("A refusal.", code=self.conditions)
        if checksum in ("sha256", "md5") and checksum not in self.knows:
            raise TaskError("A refusal.", code="InvalidRequest")
        if checksum in self.verifies and digests is not None and digests != digests_of(b"macops.parallels"):
            raise RetryLater("Other bytes.", code="BadDigest")


# How stores refuse a request with a digest that they do not know: the code, the status, and whether it looks transient.
REFUSALS = [
    ("SignatureDoesNotMatch", 403, TaskError),  # Google Cloud Storage
    ("XAmzContentSHA256Mismatch", 400, RetryLater),  # Ceph
    ("MissingContentLength", 411, TaskError),  # Oracle
    ("InvalidArgument", 400, TaskError),
    ("NotImplemented", 501, TaskError),
    ("AccessDenied", 403, TaskError),
    ("MalformedTrailerError", 400, TaskError),
    ("400", 400, TaskError),
    ("InternalError", 500, RetryLater),
]


class Refusing:
    """A store that refuses each request with one of some digests, and takes all others without verifying them."""

    def __init__(self, error, refuses=("sha256",), times=99):
        self.error, self.refuses, self.times = error, refuses, times
        self.tried = []

    def put(self, checksum=None, digests=None, conditions=None, accept=()):
        self.tried.append(checksum)
        if checksum in self.refuses and self.times > 0:
            self.times -= 1
            raise self.error
        if checksum == "md5" and digests is not None and digests != digests_of(b"macops.parallels"):
            raise RetryLater("Other bytes.", code="BadDigest", status=400)


@pytest.mark.parametrize("refuses", [("sha256",), ("sha256", "md5")])
@pytest.mark.parametrize(("code", "status", "kind"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_a_digest_that_is_refused_in_any_way_is_not_supported(code, status, kind, refuses):
    store = Refusing(kind("A refusal.", code=code, status=status), refuses)
    found = learn(store.put, StoreOptions(endpoint_url="https://s3.example.com"))
    assert found == Support("none" if "md5" in refuses else "md5", False)


@pytest.mark.parametrize(("code", "status", "kind"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_a_digest_that_was_asked_for_and_is_refused_is_named(code, status, kind):
    store = Refusing(kind("A refusal.", code=code, status=status))
    options = StoreOptions(endpoint_url="https://s3.example.com", s3_checksum="sha256")
    with pytest.raises(TaskError, match=r"A refusal\. The checksum sha256 may be the cause: set s3_checksum to auto"):
        learn(store.put, options)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SignatureDoesNotMatch", 403, TaskError),
        ("AccessDenied", 403, TaskError),
        ("NoSuchBucket", 404, TaskError),
        ("QuotaExceeded", 403, StoreFull),
        ("InternalError", 500, RetryLater),
    ],
)
def test_what_is_refused_without_a_digest_too_is_told_as_it_is(code, status, kind):
    store = Refusing(kind("A refusal.", code=code, status=status), ("sha256", "md5", "none", None))
    with pytest.raises(kind) as caught:
        learn(store.put, StoreOptions(endpoint_url="https://s3.example.com"))
    assert caught.value.message == "A refusal."


@pytest.mark.parametrize(
    ("code", "status", "times"),
    [("SlowDown", 503, 99), ("RequestTimeout", 400, 99), (None, 0, 99), ("InternalError", 500, 1)],
)
def test_a_store_in_trouble_is_not_one_without_the_digest(code, status, times):
    """What it does not say about the digest is asked again later: a lost connection, a busy server."""
    store = Refusing(RetryLater("Busy.", code=code, status=status), times=times)
    with pytest.raises(RetryLater, match="Busy"):
        learn(store.put, StoreOptions(endpoint_url="https://s3.example.com"))


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "AccessDenied", "400", "MissingContentLength"])
def test_a_condition_that_is_refused_in_any_way_is_not_supported(code):
    store = Server(verifies=("sha256",), conditions=code)
    assert learn(store.put, StoreOptions(endpoint_url="https://s3.example.com")) == Support("sha256", False)


@pytest.mark.parametrize(
    ("server", "abilities"),
    [
        (Server(verifies=("sha256", "md5")), Support("sha256", True)),
        (Server(verifies=("md5",)), Support("md5", True)),
        (Server(verifies=("md5",), knows=("md5",)), Support("md5", True)),
        (Server(), Support("none", True)),
        (Server(knows=()), Support("none", True)),
        (Server(verifies=("sha256",), conditions=False), Support("sha256", False)),
        (Server(verifies=("sha256",), conditions="InvalidArgument"), Support("sha256", False)),
    ],
)
def test_what_a_probe_tells(server, abilities):
    assert learn(server.put, StoreOptions(endpoint_url="https://s3.example.com")) == abilities


def test_a_probe_that_is_forbidden_ends_it():
    def put(**_how):
        raise TaskError("Forbidden.", code="AccessDenied")

    with pytest.raises(TaskError, match="Forbidden"):
        learn(put, StoreOptions(endpoint_url="https://s3.example.com"))


def test_a_checksum_that_is_not_taken_is_named():
    with pytest.raises(TaskError, match="set s3_checksum to auto"):
        learn(Server(knows=()).put, StoreOptions(endpoint_url="https://s3.example.com", s3_checksum="sha256"))


def test_amazons_own_store_is_known():
    asked = []
    assert learn(lambda **how: asked.append(how), StoreOptions()) == Support("sha256", True)
    assert asked == [{"checksum": "sha256"}]
