# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Keeps the web page next to the catalog up to date."""

from __future__ import annotations

import time
from typing import Any, Callable

from .._common.errors import TaskError
from .._common.notice import Notice
from .._common.retry import Retries, RetryLater, pause_after_conflict
from .._records.page import PAGE, catalog_page, is_catalog_page
from .._stores.base import Conflict, Store
from .catalog import CatalogFile

# When the page is written: never, always, or only if there is no other index.html.
NEVER, ALWAYS, AUTO = "never", "always", "auto"
MODES = (AUTO, ALWAYS, NEVER)

_LARGEST = 32 * 1024 * 1024
_WRITE_TRIES = 10


class PageFile:
    """The web page of one store."""

    def __init__(
        self,
        store: Store,
        catalog: CatalogFile,
        retries: Retries,
        mode: str,
        notice: Notice,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._retries = retries
        self._mode = mode
        self._notice = notice
        self._sleep = sleep
        self.url = store.link(PAGE)

    def check(self) -> None:
        """Raise TaskError, before anything is changed, if a required page would overwrite another page."""
        if self._mode == ALWAYS:
            self._found()

    def renew(self, records: list[dict[str, Any]] | None = None) -> bool:
        """Update the page from the catalog, and return whether it changed. With C(records), write nothing.

        If the page is not required, a failure is only reported as a notice, because the catalog matters more.
        """
        if self._mode == NEVER:
            return False
        try:
            return self._renew(records)
        except TaskError as error:
            if self._mode == ALWAYS:
                raise
            self._notice(
                f"The catalog is up to date, but the page {self.url} was not updated: {error.message} The next change "
                "of the catalog updates the page. To update it now, run image_catalog with state: page."
            )
            return False

    def _renew(self, would: list[dict[str, Any]] | None) -> bool:
        """The page is read before the catalog, so a host that changes the catalog later updates our page."""
        failures = self._retries.begin()
        written = False
        for turn in range(_WRITE_TRIES):
            found = self._found()
            if found is not None and not is_catalog_page(found[0]):
                return False
            records = self._catalog.read().records if would is None else would
            wanted = catalog_page(records)
            if found is not None and found[0] == wanted:
                return written
            if found is None and not records and self._mode == AUTO:
                return False
            if would is not None:
                return True
            try:
                self._store.write(
                    PAGE,
                    wanted,
                    "text/html; charset=utf-8",
                    if_version=found[1] if found is not None else None,
                    if_absent=found is None,
                )
                written = True
            except Conflict:
                self._sleep(pause_after_conflict(turn))
            except RetryLater as error:
                failures.pause(error)
        raise TaskError(
            f"Other hosts wrote {self.url} each time before it matched the catalog ({_WRITE_TRIES} attempts). Run "
            "macops.parallels.image_catalog with state: page."
        )

    def _found(self) -> tuple[bytes, str] | None:
        found = self._retries.call(lambda: self._store.read(PAGE, _LARGEST))
        if found is not None and self._mode == ALWAYS and not is_catalog_page(found[0]):
            raise TaskError(
                f"{self.url} is a page that this module did not create, so it was not overwritten. Move it away, or "
                "set page: never."
            )
        return found
