# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web page where an S3 store should answer: a console, a login, a gateway."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

from support.scripted_server import ScriptedServer

PAGE = "<html><title>Sign in</title>xx"
GATEWAY = f"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: {len(PAGE)}\n\n"
LOGIN = "HTTP/1.1 302 Found\nLocation: https://login.example.com/login?to=secret\nContent-Length: 0\n\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [(GATEWAY, "sent a web page"), (LOGIN, "sent a redirect to https://login.example.com/login where")],
)
@pytest.mark.parametrize("ask", ["look", "read", "list"])
def test_a_page_is_not_the_answer_of_a_store(tmp_path, answer, words, ask):
    def serve(connection):
        while True:
            head = connection.request()
            if not head:
                return
            connection.say(answer + (PAGE if answer is GATEWAY and not head.startswith("HEAD") else ""))

    with ScriptedServer(serve, tls=tmp_path / "tls") as server:
        options = StoreOptions(
            ca_path=server.ca_path,
            endpoint_url=server.url,
            region="us-east-1",
            access_key="a",
            secret_key="b",
            timeout=5.0,
        )
        store = open_store("s3://images/golden", options)
        with pytest.raises(TaskError, match=words) as caught:
            store.list() if ask == "list" else getattr(store, ask)("catalog.json")
    assert "where the store should answer" in caught.value.message
    assert "Check endpoint_url" in caught.value.message
    assert "secret" not in caught.value.message
    if answer is GATEWAY and ask != "look":
        assert "with the title 'Sign in'" in caught.value.message
