# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed check after publishing removes: what this run has published, and never the file of another writer."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, Sent, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3 import store as store_module
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.errors import Refused
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.store import S3Store

NAME = "win11-1.0-arm64.pvmp"
OURS, THEIRS = "a1" * 32, "b2" * 32


class Bucket:
    """A bucket as boto3 shows it, without and with versions. C(before) is called before each request."""

    def __init__(self, versioned: str = "no", conditional: bool | str = True) -> None:
        self.versioned, self.conditional = versioned, conditional
        self.before: Callable[[str], None] = lambda operation: None
        self.requests: list[str] = []
        # Newest last.
        self.versions: list[dict[str, Any]] = []
        # The metadata of the unfinished upload, which is completed.
        self.begun = OURS
        self.denies = False
        self.place = SimpleNamespace(host="s3.example.com", address=lambda key: f"s3://images/{key}")
        self._numbers = itertools.count(1)

    def put(self, sha256: str) -> dict[str, Any]:
        number = next(self._numbers)
        made = {"ETag": f'"{number:032x}-2"', "ContentLength": 5, "Metadata": {"sha256": sha256}}
        if self.versioned == "yes":
            self.versions.append({**made, "VersionId": f"v{number}"})
        else:
            self.versions = [{**made, "VersionId": "null"} if self.versioned == "suspended" else made]
        return self.versions[-1]

    def call(
        self,
        operation: str,
        accept: tuple[str, ...] = (),
        conditions: dict[str, str] | None = None,
        work: int = 0,
        **parameters: Any,
    ) -> Any:
        self.before(operation)
        self.requests.append(operation)
        try:
            return getattr(self, "_" + operation)(conditions or {}, **parameters)
        except Refused as refused:
            if refused.code in accept:
                raise
            raise TaskError("Refused.", code=refused.code) from refused

    def _complete_multipart_upload(self, conditions: dict[str, str], **_unused: Any) -> dict[str, Any]:
        return {key: value for key, value in self.put(self.begun).items() if key in ("ETag", "VersionId")}

    def _head_object(self, conditions: dict[str, str], Key: str) -> dict[str, Any]:
        if not self.versions:
            raise Refused("404", 404)
        return self.versions[-1]

    def _delete_object(self, conditions: dict[str, str], Key: str, VersionId: str | None = None) -> None:
        if self.denies:
            raise Refused("AccessDenied", 403)
        if VersionId is not None:
            self.versions = [each for each in self.versions if each.get("VersionId") != VersionId]
            return
        if conditions and isinstance(self.conditional, str):
            raise Refused(self.conditional, 501)
        if conditions and self.conditional and conditions["If-Match"] != self.versions[-1]["ETag"]:
            raise Refused("PreconditionFailed", 412)
        self.versions = []


class Case:
    """A store whose upload was begun with the digest of another image, and what is published meanwhile."""

    def __init__(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store_module, "S3Client", lambda *_unused: bucket)
        self.bucket = bucket
        self.store = S3Store("s3://images", StoreOptions())
        self.store._sha256 = OURS
        self.notices: list[str] = []
        self.store._notice = self.notices.append

    def publish(self, overwrite: bool = True) -> None:
        self.store.publish(NAME, Sent("upload", 5), overwrite)

    def overtake(self, operation: str, times: int = 1) -> None:
        """Have another writer publish before the next such requests."""
        left = [None] * times

        def put(called: str) -> None:
            if called == operation and left:
                left.pop()
                self.bucket.put(THEIRS)

        self.bucket.before = put

    @property
    def there(self) -> list[str]:
        return [each["Metadata"]["sha256"] for each in self.bucket.versions]


BUCKETS = {
    "conditions": {},
    "no conditions": {"conditional": "NotImplemented"},
    "no such method": {"conditional": "405"},
    "ignores conditions": {"conditional": False},
    "versions": {"versioned": "yes"},
    "suspended": {"versioned": "suspended"},
}
every_bucket = pytest.mark.parametrize("how", BUCKETS)


@every_bucket
def test_what_was_published_right_stays(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Bucket(**BUCKETS[how]), monkeypatch)
    case.publish()
    assert case.there == [OURS]
    assert "delete_object" not in case.bucket.requests


@every_bucket
def test_what_this_run_has_published_wrong_is_removed(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Bucket(**BUCKETS[how]), monkeypatch)
    case.bucket.begun = "c3" * 32
    with pytest.raises(RetryLater, match="was that of another image"):
        case.publish()
    assert case.there == []
    assert case.notices == []


def test_the_older_versions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Bucket(versioned="yes"), monkeypatch)
    case.bucket.put(THEIRS)
    case.bucket.begun = "c3" * 32
    with pytest.raises(RetryLater):
        case.publish()
    assert case.there == [THEIRS]


@every_bucket
@pytest.mark.parametrize("begun", [OURS, "c3" * 32])
def test_what_another_writer_publishes_before_the_look_stays(
    how: str, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(Bucket(**BUCKETS[how]), monkeypatch)
    case.bucket.begun = begun
    case.overtake("head_object")
    with pytest.raises(Conflict):
        case.publish()
    assert case.there[-1] == THEIRS
    assert "delete_object" not in case.bucket.requests
    assert "Another writer has just published s3://images/win11-1.0-arm64.pvmp. It was not removed" in case.notices[0]


@pytest.mark.parametrize("how", ["conditions", "no conditions", "no such method", "versions"])
def test_what_another_writer_publishes_after_the_look_stays(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Bucket(**BUCKETS[how]), monkeypatch)
    case.bucket.begun = "c3" * 32
    case.overtake("delete_object")
    with pytest.raises((Conflict, RetryLater)):
        case.publish()
    assert case.there == [THEIRS]


@every_bucket
def test_what_may_not_be_removed_is_named(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Bucket(**BUCKETS[how]), monkeypatch)
    case.bucket.begun = "c3" * 32
    case.bucket.denies = True
    with pytest.raises(TaskError, match=r"has the metadata of another image, so it must not be used. Remove it, then"):
        case.publish()
