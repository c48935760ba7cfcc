# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder on the same volume as the image, where the file system can clone: nothing is copied."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Uploaded, Wanted

DATA = os.urandom(1024 * 1024) * 20
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def volume(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return a folder on a volume that clones: APFS on a Mac, else a btrfs made for it."""
    if sys.platform == "darwin":
        yield tmp_path
        return
    disk, folder = tmp_path / "disk", tmp_path / "volume"
    folder.mkdir()
    with disk.open("wb") as handle:
        handle.truncate(200 * 1024 * 1024)
    subprocess.run(["mkfs.btrfs", "-q", disk], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", disk, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def image(volume: pathlib.Path) -> pathlib.Path:
    """Return an image on that volume."""
    path = volume / "image.pvmp"
    path.write_bytes(DATA)
    (volume / "store").mkdir()
    return path


def upload(image: pathlib.Path, sha256: str) -> Uploaded:
    """Publish the image in a folder beside it."""
    store = open_store(f"file://{image.parent}/store", StoreOptions())
    return Upload(store, Wanted(str(image), "image.pvmp", sha256), Retries(0)).run()


def test_it_is_cloned(image: pathlib.Path) -> None:
    uploaded = upload(image, SHA256)
    published = image.parent / "store" / "image.pvmp"
    assert (uploaded.changed, uploaded.bytes_sent, uploaded.size) == (True, 0, len(DATA))
    assert published.read_bytes() == DATA
    assert published.stat().st_mode & 0o777 == 0o644
    assert upload(image, SHA256).changed is False
    image.write_bytes(b"another one")
    assert published.read_bytes() == DATA


def test_a_clone_of_wrong_bytes_is_removed(image: pathlib.Path) -> None:
    with pytest.raises(TaskError, match="is not the expected file"):
        upload(image, "0" * 64)
    assert list((image.parent / "store").iterdir()) == []
