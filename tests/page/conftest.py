# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of the page: one browser, and a server that shows pages to it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.catalog_page import load_page
from support.chromium import Chromium
from support.fixtures import collections
from support.listener import HttpHandler, Listener
from support.serving import HOST

__all__ = ["collections"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """Run a browser for all tests."""
    with Chromium() as running:
        yield running


@pytest.fixture(scope="session")
def catalog_page(collections: pathlib.Path) -> Callable[[Any], bytes]:
    """Return what makes a page of records."""
    return load_page(collections).catalog_page


class _PageHandler(HttpHandler):
    def serve(self) -> None:
        page: bytes = self.server.owner
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@contextlib.contextmanager
def serving(page: bytes) -> Iterator[str]:
    listener = Listener(page, _PageHandler)
    listener.start()
    try:
        yield f"http://{HOST}:{listener.port}/golden/index.html"
    finally:
        listener.stop()


@pytest.fixture
def shown(browser: Chromium, catalog_page: Callable[[Any], bytes]) -> Iterator[Callable[..., Any]]:
    """Return what shows the page of records in a tab; the options are those of support.chromium.Tab.look_like."""
    with contextlib.ExitStack() as stack:

        def show(records: Any, **options: Any) -> Any:
            url = stack.enter_context(serving(catalog_page(records)))
            return stack.enter_context(browser.tab(**options)).open(url)

        yield show
