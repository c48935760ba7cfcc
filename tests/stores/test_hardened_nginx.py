# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx with the rule of many guides that hides names with a leading dot, and one that does not serve images."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

from support.nginx import NginxStore, nginx_store

NAME = "Windows 11.pvmp"
RULES = {
    "deny": "location ~ /\\. { deny all; }",
    "hide": "location ~ /\\. { return 404; }",
}


@pytest.fixture(scope="module", params=["webdav", "dav", "put"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxStore]:
    with nginx_store(tmp_path_factory.mktemp("nginx") / "root", mode=request.param) as running:
        yield running


@pytest.fixture
def store(server: NginxStore) -> Iterator[Any]:
    options = {"username": server.username, "password": server.password, "ca_path": server.ca_path, "timeout": 20.0}
    method = "put" if server.mode == "put" else "webdav"
    yield open_store(server.url, StoreOptions(**options, https_method=method))
    for path in server.folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("rule", RULES)
def test_an_image_and_its_record_are_published(
    server: NginxStore, store: Any, tmp_path: pathlib.Path, rule: str
) -> None:
    server.reconfigure(RULES[rule])
    image = tmp_path / NAME
    image.write_bytes(os.urandom(100_000))
    store.write("catalog.json", b"1", if_absent=True)
    data, version = store.read("catalog.json")
    Upload(store, Wanted(str(image), NAME), Retries(0)).run()
    store.write("catalog.json", data + b"2", if_version=version)
    found = {path.name: path.read_bytes() for path in server.folder.iterdir()}
    assert (found[NAME], found["catalog.json"]) == (image.read_bytes(), b"12")
    assert set(found) == {NAME, f"{NAME}.sha256", "catalog.json"}


def test_an_ending_that_is_not_served_is_found_by_the_check(server: NginxStore, store: Any) -> None:
    server.reconfigure(
        "if ($request_method ~ ^(GET|HEAD)$) { set $shown R; } if ($uri ~ [.]pvmp$) { set $shown ${shown}P; }"
        " if ($shown = RP) { return 404; }"
    )
    with pytest.raises(TaskError, match="does not serve them: it answered 404"):
        store.abilities("catalog.json")
    assert list(server.folder.iterdir()) == []
