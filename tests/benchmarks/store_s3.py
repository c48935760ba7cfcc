# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(s3://) beside C(aws s3 cp)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

from contest import Contest, upload_with

from support.seaweedfs import SeaweedFS
from support.serving import program

BUCKET = "images"


@contextlib.contextmanager
def seaweedfs(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """SeaweedFS over TLS, which verifies each part."""
    with SeaweedFS(scratch / "seaweedfs") as server:
        settings = scratch / "aws-config"
        settings.write_text("[default]\nregion = us-east-1\ns3 =\n    addressing_style = path\n")
        variables = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_CONFIG_FILE": str(settings),
            "AWS_SHARED_CREDENTIALS_FILE": str(scratch / "none"),
            "AWS_CA_BUNDLE": server.ca_path,
        }

        def aws(*words: str) -> None:
            command = [program("aws"), "--endpoint-url", server.url, *words]
            subprocess.run(command, check=True, env=variables, stdout=subprocess.DEVNULL)

        aws("s3", "mb", f"s3://{BUCKET}")
        options = {
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "endpoint_url": server.url,
            "ca_path": server.ca_path,
        }
        yield Contest(
            "s3: SeaweedFS",
            "aws s3 cp",
            upload_with(f"s3://{BUCKET}/ours", options, image, sha256),
            lambda name: aws("s3", "cp", "--no-progress", str(image), f"s3://{BUCKET}/theirs/{name}"),
        )
