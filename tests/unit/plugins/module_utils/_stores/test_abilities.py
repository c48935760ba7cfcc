# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store says that it can do. What each kind says of itself is in tests/stores."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Abilities, CannotList
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.tests.support.https_store import https_store

NAME = "catalog.json"


@pytest.mark.parametrize(("write", "tried"), [(True, True), (False, None)])
def test_a_webdav_server_is_tried_out_only_by_writing(connect, webdav, write, tried):
    store = connect(webdav)
    found = store.abilities(NAME, write=write)
    # WsgiDAV takes the second half of a file for the whole.
    resume = False if write else None
    assert found == Abilities("webdav", tried, resume, list=True, conditional_writes=True)
    assert list(webdav.folder.iterdir()) == []


def test_a_server_is_not_asked_twice_whether_it_resumes(connect, webdav):
    store = connect(webdav)
    store.check(NAME, Content(65 * 1024 * 1024))
    asked = len(webdav.seen)
    assert store.can_resume(NAME, write=True) is False
    assert len(webdav.seen) == asked


def test_a_plain_server(connect, plain):
    assert connect(plain).abilities(NAME) == Abilities(
        "put", writable=True, resume=False, list=False, conditional_writes=None
    )
    assert list(plain.folder.iterdir()) == []


def test_a_plain_server_where_nothing_may_be_removed(connect, tmp_path):
    """Nothing is written there that would stay, so nobody knows whether it could be."""
    with https_store(tmp_path, methods=("GET", "HEAD", "PUT")) as running:
        server = running.use("images")
        assert connect(server).abilities(NAME).writable is None
        assert list(server.folder.iterdir()) == []


def test_an_unlisted_store_is_no_store_that_did_not_answer(connect, webdav, monkeypatch):
    store = connect(webdav)

    def fails(error):
        def listing():
            raise error

        return listing

    monkeypatch.setattr(store, "list", fails(CannotList("Forbidden.")))
    assert store.abilities(NAME).list is False
    for error in (RetryLater("Busy."), TaskError("The answer is odd.")):
        monkeypatch.setattr(store, "list", fails(error))
        with pytest.raises(type(error)):
            store.abilities(NAME)
