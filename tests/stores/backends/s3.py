# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(s3://): what the servers that speak S3 have in common."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import boto3
import botocore.config

from support.gateway import Gateway
from support.https_store import Fault

from . import Backend, Broken, Folder

MIB = 1024 * 1024
BUCKET = "images"


def error(status: int, code: str, **more: Any) -> Fault:
    """Return an S3 store's refusal as a fault."""
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>not to be shown</Message></Error>"
    headers = {"Content-Type": "application/xml"}
    return Fault("*", status=status, headers=headers, body=body.encode(), **more)


class S3Backend(Backend):
    """A server that speaks S3."""

    # Three parts, of the smallest size that there is.
    part_size = 5 * MIB
    image_size = 11 * MIB + 123
    server: Any
    # In place of the server's own words.
    cannot: ClassVar[Mapping[str, str]] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with self._start() as self.server, Gateway(self.server.port, tls=True) as self.gateway:
            self._prepare()
            yield self

    def _start(self) -> Any:
        raise NotImplementedError

    def _prepare(self) -> None:
        self.client.create_bucket(Bucket=BUCKET)

    @functools.cached_property
    def client(self) -> Any:
        """A client of the server, past the gateway and all that is tested."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.server.url,
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
            region_name="us-east-1",
            verify=self.server.ca_path,
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def folder(self) -> Folder:
        prefix = f"golden images/{self.folder_name()}"
        options = {
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
            "endpoint_url": self.gateway.url,
            "ca_path": self.gateway.ca_path,
            "part_size": self.part_size,
            # One after the other, so that what breaks in the middle leaves whole parts behind it.
            "concurrency": 1,
        }
        return Folder(f"s3://{BUCKET}/{prefix}", options, lambda: self._published(prefix + "/"))

    def _published(self, prefix: str) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        names = [entry["Key"][len(prefix) :] for entry in found]
        return {name: self._download(prefix + name) for name in names if not name.startswith(".")}

    def _download(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def wrong_credentials(self, folder: Folder) -> Broken:
        return Broken({"secret_key": "wrong-and-secret"}, words=("SignatureDoesNotMatch", "Check both"))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(destination="s3://none-such/images", words=("bucket none-such does not exist", "Create it"))

    def full(self, folder: Folder) -> Broken:
        fault = error(403, "QuotaExceeded", times=99, where=lambda request: request.method in ("PUT", "POST"))
        return Broken(words=("QuotaExceeded", "full"), during=lambda: self._while(fault))

    def expired(self, folder: Folder) -> Broken:
        fault = error(400, "ExpiredToken", times=99, where=self.is_upload)
        return Broken(words=("ExpiredToken", "Set new ones"), during=lambda: self._while(fault))

    @contextlib.contextmanager
    def _while(self, fault: Fault) -> Iterator[None]:
        self.gateway.faults.append(fault)
        yield
        self.gateway.faults.remove(fault)
