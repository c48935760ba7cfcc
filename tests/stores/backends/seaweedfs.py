# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(s3://) on SeaweedFS: checksums are verified, conditions honoured, and a policy lets everyone read."""

from __future__ import annotations

import json
import urllib.parse

import requests

from support.seaweedfs import SeaweedFS

from . import Broken, Folder
from .s3 import BUCKET, S3Backend


class SeaweedFSBackend(S3Backend):
    """SeaweedFS."""

    name = "s3: SeaweedFS"

    def _start(self) -> SeaweedFS:
        return SeaweedFS(self.root / "seaweedfs")

    def _prepare(self) -> None:
        super()._prepare()
        everyone = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [everyone]}
        self.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    def _download(self, key: str) -> bytes:
        address = f"{self.server.url}/{BUCKET}/{urllib.parse.quote(key)}"
        answer = requests.get(address, verify=self.server.ca_path, timeout=30)
        answer.raise_for_status()
        return answer.content

    def forbidden_write(self, folder: Folder) -> Broken:
        reader = {"access_key": self.server.reader_key, "secret_key": self.server.reader_secret}
        return Broken(reader, words=("AccessDenied", "s3:PutObject"))
