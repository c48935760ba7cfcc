# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(azblob://) beside the upload of Microsoft's SDK, which is what C(az storage blob upload) calls."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from contest import Contest, upload_with

from support.azurite import azurite


@contextlib.contextmanager
def server(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """A container on Azurite."""
    with azurite(scratch / "azurite", in_memory=False) as running:
        container = running.container("images")
        container.create_container()

        def by_sdk(name: str) -> None:
            with image.open("rb") as handle:
                container.get_blob_client(name).upload_blob(handle, max_concurrency=4)

        options = {"account_key": running.key, "endpoint_url": running.endpoint, "ca_path": running.ca_path}
        upload = upload_with(f"azblob://{running.account}/images", options, image, sha256)
        yield Contest("azblob: Azurite", "upload_blob(max_concurrency=4)", upload, by_sdk)
