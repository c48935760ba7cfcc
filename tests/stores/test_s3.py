# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only S3 has, on a real server."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import random
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3 import uploads as uploads_module
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.client import S3Client
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.store import S3Store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

from support.https_store import Fault, Request

from .backends.rclone_s3 import RcloneS3Backend
from .backends.s3 import BUCKET, MIB, S3Backend, error
from .backends.seaweedfs import SeaweedFSBackend

NAME = "Windows 11+Büro-2026.11.0.pvmp"


# One process runs them all, and so the servers once.
pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture(scope="module")
def _seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Backend]:
    with SeaweedFSBackend(tmp_path_factory.mktemp("s3")).running() as backend:
        yield backend


@pytest.fixture(scope="module")
def _rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Backend]:
    with RcloneS3Backend(tmp_path_factory.mktemp("s3")).running() as backend:
        yield backend


class Case:
    """One image, and a prefix of its own."""

    def __init__(self, backend: S3Backend, folder: pathlib.Path) -> None:
        backend.begin()
        self.backend, self.gateway, self.client = backend, backend.gateway, backend.client
        self.path = folder / NAME
        self.image("an image")
        self.folder = backend.folder()
        self.key = self.folder.destination.split("/", 3)[3] + "/" + NAME
        self.notices: list[str] = []
        self.pauses: list[float] = []

    def open(self, page_size: int = 1000, **options: Any) -> S3Store:
        given = {"timeout": 20.0, **self.folder.options, **options}
        return S3Store(self.folder.destination, StoreOptions(**given), page_size)

    def upload(self, retries: int = 3, report: Any = None, page_size: int = 1000, **options: Any) -> Any:
        wanted = Wanted(str(self.path), NAME, hashlib.sha256(self.path.read_bytes()).hexdigest())
        more = {"report": report} if report is not None else {}
        pausing = Retries(retries, sleep=self.pauses.append)
        store = self.open(page_size, **options)
        return Upload(store, wanted, pausing, notice=self.notices.append, **more).run()

    def break_after(self, size: int, **options: Any) -> None:
        """Let an upload fail when so many bytes have gone out."""
        self.backend.break_after(size)
        with pytest.raises(TaskError, match="Run the same command again to resume"):
            self.upload(retries=0, **options)
        self.backend.begin()

    def image(self, seed: str) -> None:
        """Make the image; the same at each run, because two images in 4096 leave the same mark on their uploads."""
        self.data = random.Random(seed).randbytes(11 * MIB + 7)
        self.path.write_bytes(self.data)

    def fault(self, status: int, code: str, **more: Any) -> Fault:
        found = error(status, code, **more)
        self.gateway.faults.append(found)
        return found

    def uploads(self) -> list[str]:
        try:
            found = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.key).get("Uploads", [])
        except self.client.exceptions.NoSuchUpload:
            return []
        return [upload["UploadId"] for upload in found]

    def assert_published(self) -> None:
        assert self.client.get_object(Bucket=BUCKET, Key=self.key)["Body"].read() == self.data
        assert self.uploads() == []
        assert set(self.folder.published()) == {NAME, f"{NAME}.sha256"}

    def leave_foreign_upload(self) -> str:
        """Begin an upload as another program does."""
        upload = self.client.create_multipart_upload(Bucket=BUCKET, Key=self.key)["UploadId"]
        part = os.urandom(5 * MIB)
        self.client.upload_part(Bucket=BUCKET, Key=self.key, UploadId=upload, PartNumber=1, Body=part)
        return upload


@pytest.fixture
def case(_seaweedfs: S3Backend, tmp_path: pathlib.Path) -> Case:
    return Case(_seaweedfs, tmp_path)


@pytest.fixture
def poor(_rclone: S3Backend, tmp_path: pathlib.Path) -> Case:
    """Return a case on the server that ignores checksums and conditions."""
    return Case(_rclone, tmp_path)


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query and not is_of_probe(request)


def is_end(request: Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query and not is_of_probe(request)


def is_of_probe(request: Any) -> bool:
    """Return whether a request is about the tiny file by which the store is tried out."""
    return request.path.rpartition("/")[2].startswith(".")


def test_how_an_image_is_kept(case: Case) -> None:
    tags = {"team": "mac ops", "public": "yes&no"}
    case.upload(s3_storage_class="STANDARD_IA", s3_tags=tags, s3_acl="private")
    head = case.client.head_object(Bucket=BUCKET, Key=case.key)
    assert head["Metadata"] == {"sha256": hashlib.sha256(case.data).hexdigest()}
    assert head["CacheControl"] == "public, max-age=31536000, immutable"
    assert head["ContentType"] == "application/octet-stream"
    assert head["ContentDisposition"].startswith('attachment; filename="Windows 11+B_ro-2026.11.0.pvmp"')
    assert head["StorageClass"] == "STANDARD_IA"
    found = case.client.get_object_tagging(Bucket=BUCKET, Key=case.key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == tags
    sidecar = case.client.head_object(Bucket=BUCKET, Key=f"{case.key}.sha256")
    assert (sidecar["CacheControl"], sidecar["ContentType"]) == ("no-cache", "text/plain; charset=utf-8")
    assert case.open().look(NAME).sha256 == hashlib.sha256(case.data).hexdigest()


def test_the_link_is_what_everyone_downloads(case: Case) -> None:
    uploaded = case.upload()
    assert uploaded.url.startswith(case.gateway.url)
    answer = requests.get(uploaded.url, headers={"Range": "bytes=5-9"}, verify=case.gateway.ca_path, timeout=20)
    assert (answer.status_code, answer.content) == (206, case.data[5:10])
    assert answer.headers["Content-Range"] == f"bytes 5-9/{len(case.data)}"
    assert "filename*=UTF-8''Windows%2011%2BB%C3%BCro" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    "checksum, header",
    [("auto", "X-Amz-Checksum-Sha256"), ("crc32", "X-Amz-Checksum-Crc32"), ("none", None)],
)
def test_the_store_verifies_each_part(case: Case, checksum: str, header: str | None) -> None:
    case.upload(s3_checksum=checksum)
    case.assert_published()
    parts = [seen for seen in case.gateway.seen if is_part(seen)]
    assert len(parts) > 1
    sums = [{name for name in seen.headers if re.match("X-Amz-Checksum|Content-Md5", name)} for seen in parts]
    assert sums == [{header} if header else set()] * len(parts)


def test_a_store_that_ignores_checksums_gets_another_one(poor: Case) -> None:
    poor.upload()
    poor.assert_published()
    parts = [seen for seen in poor.gateway.seen if is_part(seen)]
    assert all("Content-Md5" in seen.headers for seen in parts)
    assert not any("X-Amz-Checksum-Sha256" in seen.headers for seen in parts)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "SignatureDoesNotMatch"), (400, "XAmzContentSHA256Mismatch"), (411, "MissingContentLength")],
)
def test_a_store_that_refuses_the_newer_checksums_gets_another_one(poor: Case, status: int, code: str) -> None:
    poor.fault(status, code, times=999, where=lambda request: any("X-Amz-Checksum" in name for name in request.headers))
    poor.upload(retries=0)
    assert "Content-Md5" in next(request.headers for request in poor.gateway.seen if is_part(request))
    poor.assert_published()


def test_a_wrong_digest_of_a_part_is_tried_again(case: Case) -> None:
    fault = case.fault(400, "BadDigest", where=is_part)
    case.upload()
    assert fault.struck == 1
    assert len(case.pauses) == 1
    case.assert_published()


def test_only_what_honours_conditions_is_exclusive(case: Case, poor: Case) -> None:
    for each, exclusive in ((case, True), (poor, False)):
        store = each.open()
        store.write("catalog.json", b"{}", if_absent=True)
        assert store.exclusive is exclusive


def test_another_part_size_goes_on_with_the_old_one(case: Case) -> None:
    case.break_after(8 * MIB)
    uploaded = case.upload(part_size=8 * MIB, page_size=1)
    assert uploaded.resumed_from > 5 * MIB
    assert uploaded.resumed_from + uploaded.bytes_sent == len(case.data)
    case.assert_published()


def test_other_options_begin_anew(case: Case) -> None:
    case.break_after(8 * MIB)
    uploaded = case.upload(s3_storage_class="STANDARD_IA")
    assert uploaded.resumed_from == 0
    assert re.search("Removed an unfinished upload .* with other bytes or options", case.notices[0])
    case.assert_published()


def test_an_upload_of_other_bytes_is_aborted(case: Case) -> None:
    case.break_after(8 * MIB)
    case.image("another image")
    uploaded = case.upload()
    assert uploaded.resumed_from == 0
    assert ["with other bytes or options" in notice for notice in case.notices] == [True]
    case.assert_published()


def test_an_encrypted_upload_goes_on(case: Case) -> None:
    case.break_after(8 * MIB, s3_encryption="AES256")
    assert case.upload(s3_encryption="AES256").resumed_from > 5 * MIB
    assert case.client.head_object(Bucket=BUCKET, Key=case.key)["ServerSideEncryption"] == "AES256"
    case.assert_published()


def test_the_best_of_several_uploads_is_gone_on_with(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.break_after(7 * MIB)
    (lesser,) = case.uploads()
    with monkeypatch.context() as patch:  # as two runs do that begin at the same time
        patch.setattr(uploads_module.Uploads, "sort_out", lambda *_unused: None)
        case.break_after(int(11.9 * MIB) - 2 * MIB)
    assert len(case.uploads()) == 2
    uploaded = case.upload()
    assert uploaded.resumed_from > 0
    assert "another upload of the same image has more bytes" in case.notices[0]
    assert lesser not in case.uploads()
    case.assert_published()


def test_uploads_of_others_are_left_until_they_are_stale(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = case.leave_foreign_upload()
    case.upload()
    assert case.uploads() == [theirs]
    assert case.notices == []
    case.client.delete_object(Bucket=BUCKET, Key=case.key)
    monkeypatch.setattr(uploads_module, "STALE", -60)
    case.upload()
    assert "it received nothing for a day" in case.notices[0]
    case.assert_published()


def test_an_upload_that_is_gone_begins_anew(case: Case) -> None:
    done: list[str] = []

    def abort(sent: int, _total: int | None) -> None:
        if sent > 7 * MIB and not done:
            done.extend(case.uploads())
            case.client.abort_multipart_upload(Bucket=BUCKET, Key=case.key, UploadId=done[0])

    case.upload(report=abort)
    assert done
    assert len(case.pauses) == 1
    case.assert_published()


def test_what_another_run_has_completed_is_done(case: Case) -> None:
    done: list[Any] = []

    def overtake(sent: int, _total: int | None) -> None:
        if sent > 7 * MIB and not done:
            done.append(True)
            done.append(case.upload())

    uploaded = case.upload(report=overtake)
    assert done[1].image_changed
    assert not uploaded.image_changed
    case.assert_published()


def test_a_file_that_comes_in_the_last_moment_stays(case: Case) -> None:
    def put() -> None:
        case.client.put_object(Bucket=BUCKET, Key=case.key, Body=b"theirs")

    case.gateway.faults.append(Fault("POST", where=is_end, do=put))
    with pytest.raises(TaskError, match="with different content"):
        case.upload()
    assert case.client.get_object(Bucket=BUCKET, Key=case.key)["Body"].read() == b"theirs"
    assert case.uploads() == []


def test_a_success_with_an_error_in_it_is_tried_again(case: Case) -> None:
    fault = case.fault(200, "InternalError", where=is_end)
    assert case.upload().image_changed
    assert fault.struck == 1
    assert len(case.pauses) == 1
    case.assert_published()


def test_the_lost_answer_to_the_last_request(case: Case) -> None:
    case.gateway.faults.append(Fault("POST", lose_answer=True, where=is_end))
    uploaded = case.upload()
    assert uploaded.image_changed
    assert uploaded.bytes_sent == len(case.data)
    case.assert_published()


def test_parts_that_do_not_fit_begin_anew(case: Case) -> None:
    case.fault(400, "InvalidPart", where=is_end)
    assert case.upload().bytes_sent == 2 * len(case.data)
    case.assert_published()


@pytest.mark.parametrize(
    "code, words",
    [("AccessDenied", "s3:ListBucketMultipartUploads"), ("NotImplemented", "does not list unfinished uploads")],
)
def test_without_lists_of_uploads_it_begins_anew(case: Case, code: str, words: str) -> None:
    status = 403 if code == "AccessDenied" else 501
    case.fault(status, code, times=9, where=lambda request: request.method == "GET" and "upload" in request.query)
    case.backend.break_after(8 * MIB)
    uploaded = case.upload()
    assert words in case.notices[0]
    assert uploaded.resumed_from == 0
    case.gateway.faults.clear()
    case.assert_published()


@pytest.mark.parametrize("write", [True, False])
def test_it_is_known_beforehand_that_it_begins_anew(case: Case, write: bool) -> None:
    case.fault(
        403, "AccessDenied", times=9, where=lambda request: request.method == "GET" and "upload" in request.query
    )
    assert case.open().abilities("catalog.json", write=write).resume is False
    case.gateway.faults.clear()
    assert case.open().abilities("catalog.json", write=write).resume is True


def test_with_a_key_of_the_stores_own_only_writing_tells_whether_it_resumes(case: Case) -> None:
    assert case.open(s3_encryption="aws:kms").abilities("catalog.json", write=False).resume is None


def test_lists_come_in_pages(case: Case) -> None:
    store = case.open(page_size=2)
    for number in range(5):
        store.write(f"file {number}.json", b"x" * (number + 1))
    case.client.put_object(Bucket=BUCKET, Key=case.key.replace(NAME, "below/other.json"), Body=b"")
    assert [(found.name, found.size) for found in store.list()] == [(f"file {n}.json", n + 1) for n in range(5)]


def test_a_probe_that_cannot_be_removed_is_told(case: Case) -> None:
    case.fault(403, "AccessDenied", times=9, where=lambda request: request.method == "DELETE")
    case.upload()
    assert "The tiny test file" in case.notices[0]
    assert "s3:DeleteObject" in case.notices[0]
    case.gateway.faults.clear()
    killed = _rename_probe(case)
    case.image("another image")
    case.client.delete_object(Bucket=BUCKET, Key=case.key)
    case.client.delete_object(Bucket=BUCKET, Key=f"{case.key}.sha256")
    case.upload()
    assert f"Removed s3://{BUCKET}/{killed}" in case.notices[1]


def _rename_probe(case: Case) -> str:
    """Make the probe that was left one of a process that is no more; return its key."""
    prefix = case.key.replace(NAME, f".{NAME}.")
    (found,) = case.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    killed = found["Key"].replace(f"-{os.getpid():x}-", f"-{2**22 + 7:x}-")
    case.client.delete_object(Bucket=BUCKET, Key=found["Key"])
    case.client.put_object(Bucket=BUCKET, Key=killed, Body=b"")
    return killed


SENTENCES = [
    (403, "RequestTimeTooSkewed", {}, "clock"),
    (403, "InvalidAccessKeyId", {}, "Check access_key"),
    (400, "ExpiredToken", {}, "no longer accepted"),
    (400, "KMS.NotFoundException", {"s3_encryption": "aws:kms", "s3_kms_key_id": "k"}, "s3_kms_key_id"),
    (400, "AccessControlListNotSupported", {"s3_acl": "public-read"}, "Omit s3_acl"),
    (400, "InvalidStorageClass", {"s3_storage_class": "FAST"}, "no storage class 'FAST'"),
    (403, "AccessDenied", {"s3_tags": {"a": "b"}}, "s3:PutObject and s3:PutObjectTagging"),
    (501, "NotImplemented", {"s3_encryption": "AES256"}, "Omit s3_encryption"),
    (507, "XMinioStorageFull", {}, "full"),
    (400, "SomethingNew", {}, "400 SomethingNew"),
]


@pytest.mark.parametrize("status, code, options, words", SENTENCES, ids=[row[1] for row in SENTENCES])
def test_what_is_final_is_one_sentence(case: Case, status: int, code: str, options: Any, words: str) -> None:
    def where(request: Request) -> bool:
        return request.method in ("PUT", "POST")

    case.fault(status, code, times=99, where=where)
    with pytest.raises(TaskError) as caught:
        case.upload(**options)
    assert words in caught.value.message
    assert "not to be shown" not in str(caught.value.result())
    assert case.pauses == []


def test_a_token_that_has_expired_is_named(case: Case) -> None:
    case.fault(400, "ExpiredToken", times=9)
    with pytest.raises(TaskError, match=r"session_token has expired .* run the same command again") as caught:
        case.open(session_token="t0ken").look(NAME)
    assert "t0ken" not in str(caught.value.result())


def test_a_refused_look_says_what_it_may_mean(case: Case) -> None:
    case.fault(403, "AccessDenied", times=2)
    with pytest.raises(TaskError, match=r"s3:GetObject on the files below .* and s3:ListBucket on the bucket"):
        case.open().look(NAME)


def test_a_refused_head_is_looked_at_by_reading(case: Case) -> None:
    case.upload()
    case.gateway.faults.append(Fault("HEAD", status=403, times=1))
    found = case.open().look(NAME)
    assert (found.size, found.sha256) == (len(case.data), hashlib.sha256(case.data).hexdigest())
    case.gateway.faults.append(Fault("HEAD", status=403, times=1))
    assert case.open().look("none.pvmp") is None


def test_another_region_is_named(case: Case) -> None:
    elsewhere = {"x-amz-bucket-region": "eu-west-3"}
    case.gateway.faults.append(Fault("*", status=301, headers=elsewhere, times=9))
    with pytest.raises(TaskError, match=r"is in the region eu-west-3, not in us-east-1. Set region to eu-west-3"):
        case.upload()


def test_keys_that_are_renewed_are_read_again(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    server = case.backend.server
    profile = tmp_path / "credentials"

    def log_in(key: str, secret: str) -> None:
        profile.write_text(f"[publisher]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    log_in(server.access_key, server.secret_key)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "publisher")
    no_keys = {"access_key": None, "secret_key": None}
    fault = case.fault(400, "ExpiredToken", where=is_part, do=lambda: log_in(server.new_key, server.new_secret))
    case.upload(**no_keys)
    assert fault.struck == 1
    assert case.pauses == [0.0]
    assert server.new_key in [seen for seen in case.gateway.seen if is_part(seen)][-1].headers["Authorization"]
    case.assert_published()
    case.fault(400, "ExpiredToken", times=9)
    with pytest.raises(TaskError, match=r"has no new ones. Log in again"):
        case.open(**no_keys).look(NAME)


def test_nobody_writes_without_credentials(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(TaskError, match="No credentials for S3 were found"):
        case.upload(access_key=None, secret_key=None)
    assert case.gateway.seen == []


def test_a_download_goes_on_where_it_broke(case: Case) -> None:
    case.upload()
    case.gateway.faults.append(Fault("GET", end_answer_after=3 * MIB))
    digest, size = case.open().digest(NAME, Retries(1, sleep=case.pauses.append))
    assert (digest, size) == (hashlib.sha256(case.data).hexdigest(), len(case.data))
    assert len(case.pauses) == 1
    assert list(case.open().blocks(NAME, len(case.data))) == []
    with pytest.raises(RetryLater, match="no longer exists"):
        list(case.open().blocks("none.pvmp"))


def test_what_is_too_large_is_not_read(case: Case) -> None:
    case.upload()
    with pytest.raises(TaskError, match="larger than 1000 bytes"):
        case.open().read(NAME, 1000)


def test_parts_go_out_side_by_side(case: Case) -> None:
    under_way = SimpleNamespace(now=0, most=0)

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        under_way.now += 1
        under_way.most = max(under_way.most, under_way.now)
        yield
        under_way.now -= 1

    before = S3Store._send_part

    def send(self: S3Store, *arguments: Any) -> None:
        with counted():
            before(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Store, "_send_part", send)
        case.upload(concurrency=2)
    assert under_way.most == 2
    case.assert_published()


class Recorder:
    """In place of what sends: notes the requests, and sends none."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def request(self, method: str, url: str, headers: dict[str, str], *_unused: Any, **_more: Any) -> Any:
        self.seen.append((method, url, headers))
        raise RetryLater("Nothing is sent.")


@pytest.mark.parametrize(
    "bucket, region, url",
    [
        ("images", "eu-central-1", "https://images.s3.eu-central-1.amazonaws.com/golden/a%20b%2Bc.pvmp"),
        ("img.example.com", "us-east-1", "https://s3.us-east-1.amazonaws.com/img.example.com/golden/a%20b%2Bc.pvmp"),
        ("images", "cn-north-1", "https://images.s3.cn-north-1.amazonaws.com.cn/golden/a%20b%2Bc.pvmp"),
    ],
)
def test_where_amazons_requests_go(monkeypatch: pytest.MonkeyPatch, bucket: str, region: str, url: str) -> None:
    recorder = Recorder()
    monkeypatch.setattr(S3Client, "_http", lambda self: recorder)
    store = S3Store(
        f"s3://{bucket}/golden", StoreOptions(access_key="AK", secret_key="SK", session_token="t0ken", region=region)
    )
    with pytest.raises(RetryLater):
        store.look("a b+c.pvmp")
    with pytest.raises(RetryLater):
        store.write("a b+c.pvmp", b"{}", if_absent=True)
    assert [(method, address) for method, address, _headers in recorder.seen] == [("HEAD", url), ("PUT", url)]
    assert store.link("a b+c.pvmp") == url
    headers = recorder.seen[1][2]
    signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"if-none-match", "x-amz-checksum-sha256", "x-amz-security-token", "host"} <= set(signed)
    assert f"/{region}/s3/aws4_request" in headers["Authorization"]


def test_amazons_buckets_need_a_region(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(TaskError, match="Set region"):
        S3Store("s3://images", StoreOptions(access_key="AK", secret_key="SK"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    found = S3Store("s3://images", StoreOptions(access_key="AK", secret_key="SK")).link("a.pvmp")
    assert found == "https://images.s3.eu-west-3.amazonaws.com/a.pvmp"


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(TaskError, match="AWS_PROFILE"):
        S3Store("s3://images", StoreOptions(region="eu-west-3")).look("a.pvmp")


def has_checksum(request: Request) -> bool:
    return any(name.startswith("X-Amz-Checksum") for name in request.headers)


REFUSALS = {
    "the start": lambda request: request.method == "POST" and "uploads" in request.query,
    "a part": lambda request: "partNumber" in request.query,
    # The checksums of the parts are in its body.
    "the end": lambda request: request.method == "POST" and "uploadId" in request.query,
}


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidRequest"), (501, "NotImplemented"), (403, "AccessDenied")])
@pytest.mark.parametrize("where", REFUSALS)
def test_a_checksum_that_is_refused_only_in_a_multipart_upload(case: Case, where: str, status: int, code: str) -> None:
    """It is found out before the image is sent, and another checksum is used."""

    def refuses(request: Request) -> bool:
        if not REFUSALS[where](request):
            return False
        return has_checksum(request) if where != "the end" else begun(request)

    def begun(request: Request) -> bool:
        starts = [seen for seen in case.gateway.seen if seen.method == "POST" and "uploads" in seen.query]
        return "X-Amz-Checksum-Algorithm" in starts[-1].headers

    case.fault(status, code, times=999, where=refuses)
    case.upload(retries=0)
    case.assert_published()
    assert all("Content-Md5" in seen.headers for seen in case.gateway.seen if is_part(seen))


def test_a_small_file_where_the_first_choice_of_a_checksum_is_refused(case: Case) -> None:
    case.fault(400, "InvalidDigest", times=999, where=lambda request: "Content-Md5" in request.headers)
    case.open().write("page.html", b"<html>")
    assert case.folder.published() == {"page.html": b"<html>"}


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchKey"), (400, "InvalidURI"), (403, "")]
)
def test_a_gateway_that_refuses_names_with_a_dot(case: Case, status: int, code: str) -> None:
    case.fault(status, code, times=999, where=is_of_probe)
    case.upload(retries=0)
    case.assert_published()


@pytest.mark.parametrize("operation", ["look", "read", "delete", "list", "check"])
def test_a_bucket_that_does_not_exist_is_not_an_empty_one(case: Case, operation: str) -> None:
    store = S3Store("s3://misspelt/golden", StoreOptions(**{"timeout": 20.0, **case.folder.options}))
    arguments = {"list": (), "check": (NAME, Content(0))}.get(operation, ("catalog.json",))
    with pytest.raises(TaskError, match=r"[Tt]he bucket misspelt does not exist"):
        getattr(store, operation)(*arguments)


def test_credentials_that_may_not_list(case: Case) -> None:
    case.fault(403, "AccessDenied", where=lambda request: "list-type" in request.query)
    assert case.open().can_list() is False
    case.fault(403, "SignatureDoesNotMatch", where=lambda request: "list-type" in request.query)
    with pytest.raises(TaskError, match="secret_key"):
        case.open().can_list()
