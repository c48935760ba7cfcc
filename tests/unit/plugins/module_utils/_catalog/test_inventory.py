# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a store is not as the catalog says."""

from __future__ import annotations

import hashlib
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.inventory import (
    files_of,
    needed_files,
    take_inventory,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.tests.support.https_store import HttpsStore


def record(version: str, file: str | None = None, **more: Any) -> dict[str, Any]:
    name = file or f"win11-{version}-arm64.pvmp"
    return {"name": "win11", "version": version, "arch": "arm64", "file": name, "size": 5, "state": "published", **more}


def test_the_files_of_a_record() -> None:
    assert files_of(record("1.0", "a.pvmp")) == [
        "a.pvmp",
        "a.pvmp.sha256",
        "a.pvmp.sig",
        "a.pvmp.sha256.sig",
        "a.pvmp.provenance.json",
        "a.pvmp.provenance.json.sig",
        "a.pvmp.cdx.json",
    ]


@pytest.mark.parametrize(
    ("others", "gone"),
    [
        ([], 7),
        ([record("1.1")], 7),
        ([record("1.1", "win11-1.0-arm64.pvmp")], 0),
        ([record("1.1", "win11-1.0-arm64.pvmp", file_removed=True)], 7),
        # What is beside one image is the image of another.
        ([record("1.1", "win11-1.0-arm64.pvmp.sig")], 6),
    ],
)
def test_what_another_record_needs(others: list[dict[str, Any]], gone: int) -> None:
    one = record("1.0", file_removed=True)
    assert len(set(files_of(one)) - needed_files([one, *others])) == gone


RECORDS = [
    record("1.0"),
    record("1.1"),
    record("1.2"),
    record("1.3", state="withdrawn"),
    record("1.4", state="withdrawn", file_removed=True),
    record("1.5", "Büro 11.pvmp"),
]
FILES = {
    "win11-1.0-arm64.pvmp": 5,
    "win11-1.0-arm64.pvmp.sha256": 90,
    "win11-1.0-arm64.pvmp.provenance.json.sig": 90,
    "win11-1.1-arm64.pvmp": 4,
    "win11-1.3-arm64.pvmp": 5,
    "win11-1.4-arm64.pvmp": 5,
    "win11-1.4-arm64.pvmp.sha256": 5,
    "Büro 11.pvmp": 5,
    "win11-0.9-arm64.pvmp": 5,
    "win11-0.9-arm64.pvmp.sha256": 5,
    "win11-0.9-arm64.pvmp.cdx.json": 5,
    # Nobody's business.
    "catalog.json": 10,
    "catalog.json.sig": 10,
    "index.html": 10,
    "README.txt": 10,
    "notes.sig": 1,
    "logo.sha256": 1,
}
STRAYS = [
    "win11-0.9-arm64.pvmp",
    "win11-0.9-arm64.pvmp.cdx.json",
    "win11-0.9-arm64.pvmp.sha256",
    "win11-1.4-arm64.pvmp",
    "win11-1.4-arm64.pvmp.sha256",
]


def fill(folder: Path) -> None:
    for name, size in FILES.items():
        (folder / name).write_bytes(b"x" * size)


@pytest.fixture(name="webdav", scope="module")
def fixture_webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsStore]:
    with HttpsStore(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.mark.parametrize("kind", ["file", "webdav"])
def test_an_inventory(tmp_path: Path, webdav: HttpsStore, kind: str) -> None:
    folder, url = (tmp_path, tmp_path.as_uri()) if kind == "file" else (webdav.folder, webdav.url)
    fill(folder)
    # Only they may have the list; a folder needs none.
    credentials = {"username": webdav.username, "password": webdav.password} if kind == "webdav" else {}
    found = take_inventory(open_store(url, StoreOptions(ca_path=webdav.ca_path, **credentials)), RECORDS, Retries(0))
    assert found.result() == {
        "listed": True,
        "missing": ["win11-1.2-arm64.pvmp"],
        "wrong_size": ["win11-1.1-arm64.pvmp"],
        "strays": STRAYS,
        "wrong_sboms": [],
    }


@pytest.mark.parametrize(("listed", "recorded"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_store_that_lists_names_in_another_form(tmp_path: Path, listed: str, recorded: str) -> None:
    (tmp_path / unicodedata.normalize(listed, "Büro 11.pvmp")).write_bytes(b"x" * 5)
    (tmp_path / unicodedata.normalize(listed, "Ångström.pvmp")).write_bytes(b"x" * 4)
    records = [record(name, unicodedata.normalize(recorded, f"{name}.pvmp")) for name in ("Büro 11", "Ångström", "가")]
    found = take_inventory(open_store(tmp_path.as_uri(), StoreOptions()), records, Retries(0))
    assert (found.missing, found.wrong_size) == ([records[2]["file"]], [records[1]["file"]])


def test_both_forms_of_a_name_in_one_folder(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "Büro.pvmp") for form in ("NFC", "NFD"))
    (tmp_path / one).write_bytes(b"x" * 5)
    (tmp_path / other).write_bytes(b"x" * 6)
    records = [record("1", one), record("2", other, size=6)]
    found = take_inventory(open_store(tmp_path.as_uri(), StoreOptions()), records, Retries(0))
    assert (found.missing, found.wrong_size) == ([], [])


def test_a_store_without_a_list(tmp_path: Path) -> None:
    with HttpsStore(tmp_path / "put", methods=("GET", "HEAD", "PUT", "DELETE")) as server:
        fill(server.folder)
        store = open_store(server.url, StoreOptions(ca_path=server.ca_path, https_method="put"))
        found = take_inventory(store, RECORDS, Retries(0))
    assert found.result() == {
        "listed": False,
        "missing": ["win11-1.2-arm64.pvmp"],
        "wrong_size": ["win11-1.1-arm64.pvmp"],
        "strays": None,
        "wrong_sboms": [],
    }


def test_a_store_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with HttpsStore(tmp_path / "gone") as server:
        ca_path = shutil.copy(server.ca_path, tmp_path / "ca.pem")
    store = open_store(server.url, StoreOptions(ca_path=str(ca_path), timeout=2))
    with pytest.raises(TaskError, match="cannot be reached"):
        take_inventory(store, RECORDS, Retries(0))


def test_an_sbom_that_is_not_the_one_of_its_record(tmp_path: Path) -> None:
    def with_sbom(version: str, data: bytes, **more: Any) -> dict[str, Any]:
        image = record(version, **more)
        name = f"{image['file']}.cdx.json"
        return {**image, "sbom": {"name": name, "url": "https://x/y", "sha256": hashlib.sha256(data).hexdigest()}}

    records = [
        with_sbom("1.0", b"good"),
        with_sbom("1.1", b"changed"),
        with_sbom("1.2", b"gone"),
        with_sbom("1.3", b"removed", file_removed=True),
        # One that names the file of another image.
        {**record("1.4"), "sbom": with_sbom("1.0", b"good")["sbom"]},
        record("1.5"),
    ]
    (tmp_path / "win11-1.0-arm64.pvmp.cdx.json").write_bytes(b"good")
    (tmp_path / "win11-1.1-arm64.pvmp.cdx.json").write_bytes(b"tampered")
    found = take_inventory(open_store(tmp_path.as_uri(), StoreOptions()), records, Retries(0))
    assert found.wrong_sboms == [f"win11-{version}-arm64.pvmp.cdx.json" for version in ("1.1", "1.2", "1.4")]
    assert found.strays == []
