# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of any shape in place of those of S3 and Azure: a value, or an error that says what to do.

They go through boto3 and through Microsoft's SDK, which read some of them without a check.
"""

from __future__ import annotations

import base64
import functools
import pathlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._common.text import is_printable
from ansible_collections.macops.parallels.plugins.module_utils._stores.azblob.store import AzureBlobStore
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    Conflict,
    Sent,
    Stored,
    StoreOptions,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.parts import send_parts
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.client import S3Client
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.store import S3Store
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.uploads import NoLists
from hypothesis import strategies as st

from support.fuzz import ANY_TEXT, ODD_TEXT, fuzz_by_day_and_by_night, spoilt
from support.fuzz_wire import Wire, answer

by_day_and_by_night = functools.partial(fuzz_by_day_and_by_night, 40, 1000)
WIRE = Wire()


@pytest.fixture(autouse=True, scope="module")
def _no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    IMAGE.append(home / "a.pvmp")
    IMAGE[0].write_bytes(b"i" * 1000)
    with pytest.MonkeyPatch.context() as patch, WIRE.instead_of_connections():
        patch.setenv("HOME", str(home))
        patch.setattr("time.sleep", lambda _seconds: None)
        yield


IMAGE: list[pathlib.Path] = []
S3 = b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
DATE = b"2026-11-22T10:00:00.000Z"
DOCUMENTS = [
    b"<ListBucketResult " + S3 + b"><IsTruncated>false</IsTruncated><Contents><Key>golden/a.pvmp</Key>"
    b"<LastModified>" + DATE + b"</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size></Contents></ListBucketResult>",
    b"<ListBucketResult " + S3 + b"><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    b"<Contents><Key>golden/a.pvmp</Key><Size>5</Size></Contents></ListBucketResult>",
    b"<ListMultipartUploadsResult " + S3 + b"><IsTruncated>false</IsTruncated><Upload><Key>golden/a.pvmp</Key>"
    b"<UploadId>u</UploadId><Initiated>" + DATE + b"</Initiated></Upload></ListMultipartUploadsResult>",
    b"<ListPartsResult "
    + S3
    + b"><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><LastModified>"
    + DATE
    + b"</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size></Part></ListPartsResult>",
    b"<InitiateMultipartUploadResult " + S3 + b"><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    b"<CompleteMultipartUploadResult " + S3 + b"><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>",
    b"<Error><Code>AccessDenied</Code><Message>m</Message></Error>",
    b"<Error><Code>NoSuchKey</Code></Error>",
    b"<EnumerationResults ContainerName='images'><Blobs><Blob><Name>golden/a.pvmp</Name><Properties><Last-Modified>"
    b"Thu, 01 Jan 1970 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>5</Content-Length><BlobType>"
    b"BlockBlob</BlobType></Properties><Metadata><sha256>"
    + b"a"
    * 64
    + b"</sha256></Metadata></Blob></Blobs><NextMarker/>"
    b"</EnumerationResults>",
    b"<BlockList><CommittedBlocks/><UncommittedBlocks><Block><Name>MDAwMDE=</Name><Size>5</Size></Block>"
    b"</UncommittedBlocks></BlockList>",
]
STATUSES = st.sampled_from(
    ["200 OK", "200 OK", "201 Created", "204 No Content", "206 Partial Content", "301 Moved", "307 Other", "400 Bad"]
    + ["403 No", "404 No", "409 No", "412 No", "416 No", "429 Slow", "500 Oops", "501 No", "503 Later", "999 ?"]
)
VALUES = (
    ODD_TEXT
    | ANY_TEXT
    | st.sampled_from(
        ["5", "-5", "05", "5.0", "1e3", "9" * 30, "bytes 0-0/5", "bytes 0-0/*", "bytes 0-0/\u00b2", "true"]
    )
    | st.sampled_from(["Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 99999 99:99:99 +9999", "BlobNotFound", "null"])
    | st.sampled_from(["https://b.example/x", "text/html", "application/xml", "chunked", "gzip", "BlockBlob", "Hot"])
)
NAMES = st.sampled_from(
    ["Content-Length", "Content-Range", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Location", "ETag"]
    + ["Date", "Last-Modified", "Retry-After", "x-amz-bucket-region", "x-amz-meta-sha256", "x-amz-version-id"]
    + ["x-amz-server-side-encryption", "x-amz-restore", "x-amz-expiration", "x-amz-delete-marker", "x-amz-missing-meta"]
    + ["x-ms-error-code", "x-ms-meta-sha256", "x-ms-blob-type", "x-ms-creation-time", "x-ms-lease-status"]
    + [
        "x-ms-blob-content-length",
        "x-ms-copy-completion-time",
        "x-ms-tag-count",
        "x-ms-server-encrypted",
        "x-ms-version",
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    document = draw(st.sampled_from(DOCUMENTS))
    if draw(st.booleans()):
        # One value is another, or gone.
        values = sorted({each for each in document.replace(b">", b"<").split(b"<") if each and b"/" not in each})
        old, new = draw(st.sampled_from(values)), draw(VALUES | st.just(""))
        document = document.replace(b">" + old + b"<", b">" + new.encode("utf-8", "replace") + b"<")
    body = draw(
        st.sampled_from([document, b"", b"<html><title>x", b"{}", b"<?xml version='1.0'?><a/>"]) | spoilt(document)
    )
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    usual = {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT", "Content-Length": str(len(body))}
    lines = {**{name: value for name, value in usual.items() if draw(st.integers(0, 5))}, **dict(headers)}
    clean = {name: value.replace("\r", "").replace("\n", "") for name, value in lines.items()}
    return answer(draw(STATUSES), clean, body)


def told(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (RetryLater, Conflict) as error:
        assert str(error)
    except TaskError as error:
        assert all(is_printable(line) for line in error.result()["msg"].split("\n"))
    return None


def check_store(opened: Callable[[], Any]) -> None:
    def sent() -> Any:
        store = opened()
        with Body(str(IMAGE[0]), "a" * 64) as body:
            after = store.resumable("a.pvmp", body)
            return store.publish("a.pvmp", store.send("a.pvmp", body, after=after), overwrite=True)

    content = Content(1000, ("0123456789abcdef",))
    found = told(lambda: opened().look("a.pvmp"))
    assert found is None or is_right(found)
    assert all(is_right(each) for each in told(lambda: opened().list()) or [])
    told(lambda: opened().read("catalog.json", 2000))
    told(lambda: opened().check("a.pvmp", content))
    told(lambda: opened().delete("a.pvmp"))
    told(lambda: opened().write("a.json", b"{}", if_absent=True))
    told(lambda: b"".join(opened().blocks("a.pvmp", 3)))
    told(lambda: opened().is_waiting(Sent("a.pvmp", 5)))
    told(sent)


def is_right(found: Stored) -> bool:
    return (
        bool(found.name)
        and isinstance(found.size, int)
        and found.size >= 0
        and (found.sha256 is None or len(found.sha256) == 64)
        and (found.version is None or isinstance(found.version, str))
    )


@functools.cache
def s3_client() -> S3Client:
    """Return one client for all stores: boto3 takes long to make it."""
    return open_s3()._client


def open_s3() -> S3Store:
    keys = {"access_key": "AK", "secret_key": "secret"}
    return S3Store("s3://images/golden", StoreOptions(timeout=5, endpoint_url="https://s3.example.com", **keys))


def check_s3(given: list[bytes]) -> None:
    def opened() -> Any:
        WIRE.use(given)
        store = open_s3()
        store._client = store._uploads._client = s3_client()
        return store

    check_store(opened)


def check_azure(given: list[bytes]) -> None:
    def opened() -> Any:
        WIRE.use(given)
        return open_azure()

    check_store(opened)


def open_azure() -> AzureBlobStore:
    key = base64.b64encode(b"a secret key").decode()
    return AzureBlobStore("azblob://company/images/golden", StoreOptions(timeout=5, account_key=key))


SEVERAL = st.lists(answers(), min_size=1, max_size=4)
test_s3, test_s3_all_night = by_day_and_by_night(check_s3, SEVERAL)
test_azure, test_azure_all_night = by_day_and_by_night(check_azure, SEVERAL)


# Some of these answers, and what they are


XML = {"Content-Type": "application/xml", "ETag": '"e"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}


def s3_list(*inside: str, root: str = "ListBucketResult") -> bytes:
    return answer("200 OK", XML, f"<{root} {S3.decode()}>{''.join(inside)}</{root}>".encode())


ENTRY = "<Contents><Key>golden/a.pvmp</Key><Size>5</Size></Contents>"
CUT = "<IsTruncated>true</IsTruncated>"


@pytest.mark.parametrize(
    "given",
    [
        [s3_list(ENTRY, CUT)],
        [s3_list(ENTRY, CUT, "<NextContinuationToken/>")],
        # It continues with itself.
        [s3_list(ENTRY, CUT, "<NextContinuationToken>t</NextContinuationToken>")],
        [s3_list(ENTRY.replace("<Size>5</Size>", ""))],
        [s3_list(ENTRY.replace("5", "-5"))],
        [s3_list(ENTRY.replace("5", "five"))],
        [s3_list(ENTRY.replace("<Key>golden/a.pvmp</Key>", ""))],
        [s3_list(ENTRY.replace("golden", "other"))],
        [s3_list(ENTRY)[:-5]],
        [s3_list(root="EnumerationResults")],
        [s3_list(root="html")],
        [s3_list(ENTRY.replace("<Size>", f"<LastModified>{'9' * 400}</LastModified><Size>"))],
        [s3_list(ENTRY, CUT, "<NextContinuationToken>t</NextContinuationToken>"), s3_list(CUT)],
    ],
)
def test_a_list_of_s3_that_is_not_the_whole(given: list[bytes]) -> None:
    WIRE.use(given)
    with pytest.raises(
        (TaskError, RetryLater), match=r"answered oddly to ListObjectsV2|cannot be read|could not process"
    ):
        open_s3().list()


UPLOAD = "<Upload><Key>golden/a.pvmp</Key><UploadId>u</UploadId><Initiated>2026-11-22T10:00:00Z</Initiated></Upload>"
PART = "<Part><PartNumber>1</PartNumber><Size>5242881</Size><ETag>e</ETag></Part>"
UPLOADS = s3_list(UPLOAD, root="ListMultipartUploadsResult")


@pytest.mark.parametrize(
    "given",
    [
        [s3_list(UPLOAD, CUT, root="ListMultipartUploadsResult")],
        [s3_list(UPLOAD.replace("<UploadId>u</UploadId>", ""), root="ListMultipartUploadsResult")],
        [s3_list(UPLOAD, CUT, "<NextKeyMarker>k</NextKeyMarker>", root="ListMultipartUploadsResult")],
        [UPLOADS, s3_list(PART, CUT, root="ListPartsResult")],
        [UPLOADS, s3_list(PART, CUT, "<NextPartNumberMarker>0</NextPartNumberMarker>", root="ListPartsResult")],
        [UPLOADS, s3_list(PART.replace("<Size>5242881</Size>", ""), root="ListPartsResult")],
        [UPLOADS, s3_list(PART.replace("<PartNumber>1</PartNumber>", ""), root="ListPartsResult")],
    ],
)
def test_an_upload_of_which_only_a_part_is_listed_is_not_judged(given: list[bytes]) -> None:
    """Nothing is aborted or resumed by it."""
    WIRE.use(given)
    with pytest.raises(NoLists, match="cut off"):
        open_s3()._uploads.sort_out("golden/a.pvmp", 20 * 1024 * 1024, 1, lambda sentence: None)


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"Content-Length": "7"}, 7),
        ({"Content-Range": "bytes 0-0/9"}, 9),
        ({"Content-Range": "bytes 0-0/*"}, None),
        ({"Content-Range": "bytes 0-0/\u00b2"}, None),
        ({}, None),
    ],
)
def test_a_file_of_s3_whose_size_is_not_shown(headers: dict[str, str], size: int | None) -> None:
    """C(HEAD) shows none; the answer to C(GET) with a range has the size of its part, not that of the file."""
    status = "200 OK" if "Content-Length" in headers else "206 Partial Content"
    WIRE.use([answer("200 OK", {"ETag": '"e"'}, b""), answer(status, {"ETag": '"e"', **headers}, b"i" * 7)])
    if size is None:
        with pytest.raises(TaskError, match="does not show the size of the file"):
            open_s3().look("a.pvmp")
    else:
        assert open_s3().look("a.pvmp") == Stored("a.pvmp", size, None, '"e"')


def test_a_part_that_s3_does_not_confirm() -> None:
    WIRE.use([answer("200 OK", {"Content-Length": "0"}, b"")])
    store = open_s3()
    with Body(str(IMAGE[0])) as body:
        parts = []
        send_parts(body, 1000, 1, parts.append, digests=("sha256",))
        with pytest.raises(RetryLater, match="did not confirm that it has part 1"):
            store._send_part("golden/a.pvmp", "u", parts[0], "sha256")


def test_s3_that_redirects_in_a_circle() -> None:
    WIRE.use([answer("307 Other", {"x-amz-request-id": "1", "Content-Length": "0"}, b"")])
    with pytest.raises(TaskError, match="Set region to that of the bucket"):
        open_s3().look("a.pvmp")


def azure_list(*inside: str, root: str = "EnumerationResults", more: str = "<NextMarker/>") -> bytes:
    return answer("200 OK", XML, f"<{root}><Blobs>{''.join(inside)}</Blobs>{more}</{root}>".encode())


BLOB = (
    "<Blob><Name>golden/a.pvmp</Name><Properties><Content-Length>5</Content-Length><Etag>e</Etag>"
    "<BlobType>BlockBlob</BlobType></Properties></Blob>"
)


@pytest.mark.parametrize(
    "given",
    [
        [azure_list(BLOB, more="")],
        [azure_list(BLOB, more="<NextMarker>m</NextMarker>")],
        [azure_list(BLOB, more="<NextMarker>m</NextMarker>"), azure_list(more="")],
        [azure_list(BLOB, root="ListBucketResult")],
        [azure_list(BLOB).replace(b"Blobs", b"Nothing")],
        [azure_list(BLOB)[:-5]],
        [azure_list(BLOB.replace("<Content-Length>5</Content-Length>", ""))],
        [azure_list(BLOB.replace("5", "five"))],
        [azure_list(BLOB.replace("5", "-5"))],
        [azure_list(BLOB.replace("golden/", "other/"))],
        [answer("200 OK", {"Content-Type": "text/html"}, b"<html><title>Sign in</title></html>")],
        [answer("200 OK", {"Content-Type": "application/xml"}, b"")],
    ],
)
def test_a_list_of_azure_that_is_not_the_whole(given: list[bytes]) -> None:
    WIRE.use(given)
    with pytest.raises((TaskError, RetryLater), match=r"answered oddly to|cannot be read|interrupted the file listing"):
        open_azure().list()


def test_the_pages_of_a_list_of_azure() -> None:
    WIRE.use([azure_list(BLOB, more="<NextMarker>m</NextMarker>"), azure_list(BLOB.replace("/a", "/b"))])
    assert [(each.name, each.size) for each in open_azure().list()] == [("a.pvmp", 5), ("b.pvmp", 5)]


@pytest.mark.parametrize(
    ("code", "listing", "missing"),
    [
        ("BlobNotFound", None, True),
        ("ResourceNotFound", azure_list(), True),
        ("", azure_list(), True),
        ("ContainerNotFound", None, False),
        ("ResourceNotFound", answer("404 No", {"x-ms-error-code": "ContainerNotFound"}, b""), False),
        ("", answer("404 No", {}, b""), False),
        ("", answer("403 No", {"x-ms-error-code": "AuthorizationPermissionMismatch"}, b""), False),
    ],
)
@pytest.mark.parametrize("operation", ["look", "read", "delete", "_waiting"])
def test_a_blob_of_a_missing_container_is_not_a_missing_blob(
    operation: str, code: str, listing: bytes | None, missing: bool
) -> None:
    refused = answer("404 No", {"x-ms-error-code": code} if code else {}, b"")
    WIRE.use([refused, listing or refused])
    if missing:
        assert not getattr(open_azure(), operation)("a.pvmp")
    else:
        with pytest.raises(TaskError):
            getattr(open_azure(), operation)("a.pvmp")


@pytest.mark.parametrize("status", [401, 403, 405])
def test_a_container_that_may_not_be_listed(status: int) -> None:
    WIRE.use([answer(f"{status} No", {"x-ms-error-code": "AuthorizationPermissionMismatch"}, b"")])
    assert open_azure().can_list() is False
