# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the stores' tests: an image, running stores, and retries whose pauses are only written down."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.tests.support.https_store import https_store

SIZE = 3 * 1024 * 1024 + 123
# What a server answers that is a place for files, but no WebDAV server.
PLAIN = ("GET", "HEAD", "PUT", "DELETE")


@pytest.fixture
def image(tmp_path):
    """An image with a name that has to be encoded."""
    data = os.urandom(SIZE)
    path = tmp_path / "Büro Windows 11-2026.11.0-arm64.pvmp"
    path.write_bytes(data)
    return SimpleNamespace(
        path=str(path), name=path.name, data=data, size=SIZE, sha256=hashlib.sha256(data).hexdigest()
    )


@pytest.fixture(scope="session")
def running_webdav(tmp_path_factory):
    with https_store(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def running_plain(tmp_path_factory):
    with https_store(tmp_path_factory.mktemp("plain"), methods=PLAIN) as server:
        yield server


@pytest.fixture
def webdav(running_webdav, tmp_path):
    """WsgiDAV, with a folder of its own for each test."""
    return running_webdav.use(tmp_path.name)


@pytest.fixture
def plain(running_plain, tmp_path):
    """A server that takes PUT, writes in place, and so shows half of a file when a transfer breaks."""
    return running_plain.use(tmp_path.name)


@pytest.fixture
def connect():
    """Return a function that opens a running server as a store, with its credentials unless others are given."""

    def connect_to(server, destination=None, **options):
        given = {
            "username": server.username,
            "password": server.password,
            "ca_path": server.ca_path,
            "timeout": 10.0,
            **options,
        }
        return open_store(destination or server.url, StoreOptions(**given))

    return connect_to


@pytest.fixture
def pauses():
    """The pauses in seconds that were made."""
    return []


@pytest.fixture
def retries(pauses):
    return Retries(4, sleep=pauses.append)
