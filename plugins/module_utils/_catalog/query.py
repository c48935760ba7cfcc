# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reading a catalog: the records that are chosen, a page of them at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._common.errors import TaskError
from .._common.retry import Retries
from .._records.record import sort_records
from .._records.retention import Choice
from .._stores.base import Store
from .._trust.seal import CATALOG, Inspection
from .._trust.signature import Verifier
from .catalog import CatalogFile
from .inventory import take_inventory

_MOST_PROBLEMS = 5


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

    def page(self, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the part that is wanted of those that are chosen."""
        return self.choice.of(records)[self.offset : self.offset + self.limit]


class Reading:
    """Reads the catalog of one store."""

    def __init__(self, store: Store, retries: Retries, query: Query) -> None:
        self._store = store
        self._retries = retries
        self._query = query

    def run(self, verifier: Verifier | None, *, requires: bool, inventory: bool) -> dict[str, Any]:
        """Return the result. With C(requires), raise TaskError when a part of it could not be verified."""
        all_records = CatalogFile(self._store, self._retries).read().records
        result = {
            "catalog": self._store.link(CATALOG),
            "records": self._query.page(all_records),
            "total": len(self._query.choice.of(all_records)),
        }
        if verifier is not None:
            result["signatures"] = self._signatures(verifier, requires=requires)
        if inventory:
            result["inventory"] = take_inventory(self._store, all_records, self._retries).result()
        return result

    def _signatures(self, verifier: Verifier, *, requires: bool) -> dict[str, Any]:
        report = Inspection(self._store, self._retries, verifier).report(
            lambda records: self._query.page(sort_records(records))
        )
        found = [*report.problems, *report.unsigned]
        if requires and found:
            raise TaskError(
                f"{len(found)} of the signatures in {self._store.url} are not as they should be. "
                f"{' '.join(found[:_MOST_PROBLEMS])} Find out who has written there before anybody "
                "installs these images.",
                signatures=report.result(),
            )
        return report.result()
