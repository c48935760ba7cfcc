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
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    Conflict,
    Sent,
    Stored,
    StoreOptions,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from hypothesis import strategies as st

from support.fuzz import ANY_TEXT, ODD_TEXT, fuzz_by_day_and_by_night, spoilt
from support.fuzz_wire import Wire, answer

by_day_and_by_night = functools.partial(fuzz_by_day_and_by_night, 60, 1000)
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


def check_store(given: list[bytes], destination: str, **options: Any) -> None:
    def opened() -> Any:
        WIRE.use(given)
        return open_store(destination, StoreOptions(timeout=5, **options))

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


def check_s3(given: list[bytes]) -> None:
    options = {"access_key": "AK", "secret_key": "secret", "endpoint_url": "https://s3.example.com"}
    check_store(given, "s3://images/golden", **options)


def check_azure(given: list[bytes]) -> None:
    key = base64.b64encode(b"a secret key").decode()
    check_store(given, "azblob://company/images/golden", account_key=key)


SEVERAL = st.lists(answers(), min_size=1, max_size=4)
test_s3, test_s3_all_night = by_day_and_by_night(check_s3, SEVERAL)
test_azure, test_azure_all_night = by_day_and_by_night(check_azure, SEVERAL)
