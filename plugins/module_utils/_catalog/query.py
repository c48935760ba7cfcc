# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reading a catalog: the records that are chosen, a page of them at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._common.errors import TaskError
from .._common.retry import Retries
from .._records.retention import Choice
from .._stores.base import Store
from .._trust.guard import Guard
from .._trust.signature import GOOD, MISSING
from .._trust.statements import CATALOG
from .catalog import Catalog, CatalogFile
from .inventory import take_inventory


@dataclass(frozen=True)
class Query:
    """Which records are wanted, and which part of them."""

    choice: Choice
    limit: int
    offset: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise TaskError("limit must be at least 1.")
        if self.offset < 0:
            raise TaskError("offset must not be negative.")

    def part(self, chosen: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the part that is wanted of the records that are chosen."""
        return list(chosen[self.offset : self.offset + self.limit])


class Reading:
    """Reads the catalog of one store."""

    def __init__(self, store: Store, retries: Retries, query: Query) -> None:
        self._store = store
        self._retries = retries
        self._query = query

    def run(self, guard: Guard | None, *, requires: bool, inventory: bool) -> dict[str, Any]:
        """Return the result. With C(requires), raise TaskError when a part of it could not be verified.

        The records come from the bytes that were verified: the catalog is read once.
        """
        catalog = CatalogFile(self._store, self._retries, guard=guard).inspected()
        chosen = self._query.choice.of(catalog.records)
        records = self._query.part(chosen)
        result = {"catalog": self._store.link(CATALOG), "records": records, "total": len(chosen)}
        if guard is not None:
            result["signatures"] = _signatures(guard, catalog, records, requires=requires)
        if inventory:
            result["inventory"] = take_inventory(self._store, catalog.records, self._retries).result()
        return result


def _signatures(guard: Guard, catalog: Catalog, records: list[dict[str, Any]], *, requires: bool) -> dict[str, Any]:
    report = guard.report(catalog.verdict, catalog.document, records)
    # A store in which nothing was published yet has nothing that could be signed.
    nothing_yet = catalog.version is None and catalog.verdict.word == MISSING
    found = [(word, sentence) for word, sentence in report.verdicts() if word != GOOD]
    if requires and found and not nothing_yet:
        raise guard.refusal(found, signatures=report.result())
    return report.result()
