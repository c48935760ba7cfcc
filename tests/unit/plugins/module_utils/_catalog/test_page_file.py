# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page beside the catalog: when it is made, and that it is as the catalog is whoever else writes."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.page_file import PageFile
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._records.page import catalog_page
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

FOREIGN = b"<!doctype html><title>The company's own page</title>"


def no_sleep(seconds: float) -> None:
    """Pauses are not waited for."""


class Site:
    """A folder with a catalog and perhaps a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self.store = open_store(folder.as_uri(), StoreOptions())

    @property
    def path(self) -> Path:
        return self.folder / "index.html"

    def add(self, version: str) -> None:
        values = {"name": "win11", "version": version, "arch": "arm64", "sha256": "a1" * 32, "size": 5}
        self.catalog().add({**values, "url": f"https://images.example.com/{version}.pvmp"})

    def catalog(self, store: Store | None = None) -> CatalogFile:
        now = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)
        return CatalogFile(store or self.store, Retries(4, no_sleep), no_sleep, lambda: now)

    def page(self, mode: str = "auto", store: Any = None) -> PageFile:
        opened = store or self.store
        return PageFile(opened, self.catalog(opened), Retries(4, no_sleep), mode, self.notices.append, no_sleep)

    def assert_current(self) -> None:
        assert self.path.read_bytes() == catalog_page(self.catalog().read().records)


@pytest.fixture(name="site")
def fixture_site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.add("1.0")
    return made


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_it_is_made_and_made_again(site: Site, mode: str) -> None:
    for version in ("1.1", "1.2"):
        assert site.page(mode).renew(site.catalog().read().records)
        assert site.page(mode).renew()
        site.assert_current()
        assert not site.page(mode).renew()
        site.add(version)
    assert site.notices == []


def test_check_mode_writes_nothing(site: Site) -> None:
    assert site.page().renew(site.catalog().read().records)
    assert not site.path.exists()
    site.page().renew()
    assert not site.page().renew(site.catalog().read().records)
    assert site.page().renew([])


def test_it_is_left_alone_when_it_is_not_wanted(site: Site) -> None:
    assert not site.page("never").renew()
    assert not site.path.exists()


def test_an_empty_store_gets_no_page_by_itself(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert not site.page("auto").renew()
    assert list(tmp_path.iterdir()) == []
    assert site.page("always").renew()
    site.assert_current()


def test_the_page_of_others_is_never_written_over(site: Site) -> None:
    site.path.write_bytes(FOREIGN)
    assert not site.page("auto").renew()
    site.page("auto").check()
    for attempt in (site.page("always").check, site.page("always").renew):
        with pytest.raises(TaskError, match=r"index.html is a page that this module did not make.* page: never"):
            attempt()
    assert site.path.read_bytes() == FOREIGN
    assert site.notices == []


class Meanwhile:
    """A store in which something happens before a page is written; the first writings may fail."""

    atomic = True
    exclusive = True

    def __init__(self, store: Store, *happens: Callable[[], None]) -> None:
        self._store = store
        self._happens = list(happens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, *args: Any, **options: Any) -> None:
        if self._happens:
            self._happens.pop(0)()
        self._store.write(*args, **options)


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_catalog_that_changes_meanwhile(site: Site) -> None:
    """The other one has made its page already: ours, of the catalog as it was, must not take its place."""

    def other() -> None:
        site.add("2.0")
        site.page().renew()

    assert site.page(store=Meanwhile(site.store, other)).renew() is False
    site.assert_current()
    assert b"2.0.pvmp" in site.path.read_bytes()


def test_a_catalog_that_changes_meanwhile_without_a_page(site: Site) -> None:
    assert site.page(store=Meanwhile(site.store, lambda: site.add("2.0"))).renew()
    site.assert_current()


def test_failures_that_pass(site: Site) -> None:
    failing = Meanwhile(site.store, raising(RetryLater("It hung up.")), raising(Conflict("index.html")))
    assert site.page(store=failing).renew()
    site.assert_current()


@pytest.mark.parametrize(
    ("error", "times", "message"),
    [
        (TaskError("images.example.com answered 403: forbidden."), 1, "403: forbidden"),
        (RetryLater("It hung up."), 9, "It hung up. It was tried 5 times"),
        (Conflict("index.html"), 99, "was written by others each time"),
    ],
)
def test_a_page_that_cannot_be_written(site: Site, error: Exception, times: int, message: str) -> None:
    assert site.page("auto", Meanwhile(site.store, *[raising(error)] * times)).renew() is False
    (notice,) = site.notices
    assert notice.startswith(f"The catalog is right, but the page {site.folder.as_uri()}/index.html was not made again")
    assert message in notice
    with pytest.raises(TaskError, match=message):
        site.page("always", Meanwhile(site.store, *[raising(error)] * times)).renew()


def test_writers_at_the_same_time(site: Site) -> None:
    start = threading.Barrier(3)

    def publish(number: int) -> None:
        own = Site(site.folder)
        start.wait(30)
        for round_ in range(8):
            own.add(f"3.{round_}.{number}")
            own.page("always").renew()

    writers = [threading.Thread(target=publish, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(site.catalog().read().records) == 25
    site.assert_current()


def test_what_kind_of_file_it_is(site: Site) -> None:
    written: list[tuple[Any, ...]] = []

    class Watched(Meanwhile):
        def write(self, *args: Any, **options: Any) -> None:
            written.append(args)
            super().write(*args, **options)

    site.page(store=Watched(site.store)).renew()
    assert [(name, kind) for name, _data, kind in written] == [("index.html", "text/html; charset=utf-8")]
