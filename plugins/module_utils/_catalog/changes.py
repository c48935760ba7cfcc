# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""One change of a catalog as a module orders it, and what it returns about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .._common.errors import TaskError
from .._common.retry import Retries
from .._records.record import identity, label
from .._records.retention import Choice, Rule, by_name, by_rule, parse_age
from .._stores.base import Notice, Store
from .._trust.guard import Guard
from .._trust.seal import Seal
from .._trust.statements import CATALOG
from .catalog import CatalogFile
from .page_file import NEVER, PageFile
from .upkeep import Done, Upkeep

# States that are given to all records of one name and version.
OF_ONE_VERSION = ("withdrawn", "published", "protected", "unprotected")
# A state that changes no record.
PAGE_ONLY = "page"
STATES = ("present", *OF_ONE_VERSION, "absent", PAGE_ONLY, "signed")


class Changes:
    """Changes the catalog of one store, and keeps the page beside it as the catalog is."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        guard: Guard | None,
        seal: Seal | None,
        params: Mapping[str, Any],
        *,
        check_mode: bool,
        notice: Notice,
    ) -> None:
        self._params = params
        self._check_mode = check_mode
        self._seal = seal
        self._catalog = CatalogFile(store, retries, seal=seal, guard=guard)
        self._upkeep = Upkeep(self._catalog, store, retries, check_mode)
        self._page = PageFile(store, self._catalog, retries, params["page"], notice)
        self._choice = Choice(params["name"], params["version"], params["arch"])
        # As they are, and in check mode as they would be: all of them, whichever are returned.
        self._records: list[dict[str, Any]] = []
        self._result: dict[str, Any] = {"changed": False, "catalog": store.link(CATALOG), "records": []}

    def run(self) -> dict[str, Any]:
        """Do what is ordered, and return the result."""
        self._page.check()
        self._change(self._params["state"])
        if self._params["page"] != NEVER:
            self._renew_page()
        return self._result

    def _change(self, state: str) -> None:
        if state == "present":
            self._add()
        elif state == PAGE_ONLY:
            self._records = self._catalog.read(self._is_meant).records
        elif state == "signed":
            self._sign()
        elif state == "absent":
            self._remove()
        else:
            self._change_version(state)

    def _add(self) -> None:
        outcome = self._catalog.add(self._params["record"], check_mode=self._check_mode)
        self._records = outcome.records
        self._result.update(changed=outcome.changed, record=outcome.after, records=[outcome.after])
        if outcome.changed:
            self._show(outcome.before or {}, outcome.after)

    def _change_version(self, state: str) -> None:
        if state == "withdrawn":
            done = self._upkeep.withdraw(self._choice, self._params["reason"], self._params["remove_file"])
            self._result["removed_files"] = done.removed_files
        elif state == "published":
            done = self._upkeep.offer(self._choice)
        else:
            done = self._upkeep.protect(self._choice, state == "protected")
        self._tell(done)
        self._result["records"] = self._choice.of(self._records)

    def _remove(self) -> None:
        if self._params["version"] is not None:
            choose, what = by_name(self._choice), f"the removal of {self._choice}"
        else:
            rule, now = self._rule(), datetime.now(timezone.utc)
            choose, what = by_rule(rule, self._choice, now), "the removal of old versions"
        done = self._upkeep.remove(choose, what)
        self._result.update(removed=done.removed, removed_files=done.removed_files)
        self._tell(done)

    def _rule(self) -> Rule:
        keep, older_than = self._params["keep"], self._params["older_than"]
        if keep is None and not older_than:
            raise TaskError("state: absent needs to know what to remove. Set keep, older_than, or name and version.")
        if keep is not None and keep < 1:
            raise TaskError("keep must be at least 1. The newest published version always stays.")
        return Rule(keep or 1, parse_age(older_than) if older_than else None)

    def _sign(self) -> None:
        seal = self._seal
        if seal is None:
            raise AssertionError("the arguments see to it")
        change = self._catalog.change(
            lambda records: seal.sign_all(
                records, self._choice.means, self._params["sign_anew"], self._catalog.verdict
            ),
            "the signatures",
            self._check_mode,
        )
        self._result["signed"] = len(self._tell(Done(change)))

    def _is_meant(self, record: dict[str, Any]) -> bool:
        """Return whether a task that changes nothing is about a record: only if its options name one."""
        return self._choice.name is not None and self._choice.means(record)

    def _renew_page(self) -> None:
        renewed = self._page.renew(self._records if self._check_mode else None)
        self._result.update(page=self._page.url, page_changed=renewed, changed=self._result["changed"] or renewed)

    def _tell(self, done: Done) -> list[tuple[str, str, str]]:
        """Put what was done into the result, and return which records differ from before."""
        self._records = done.change.after
        self._result["changed"] = done.changed
        # What did not change is the same object in both: there may be very many.
        known = {id(record) for record in done.change.before}
        kept = known & {id(record) for record in done.change.after}
        before = {identity(record): record for record in done.change.before if id(record) not in kept}
        after = {identity(record): record for record in done.change.after if id(record) not in kept}
        differing = sorted(key for key in before if before[key] != after.get(key))
        if differing:
            self._show(
                {label(before[key]): before[key] for key in differing},
                {label(after[key]): after[key] for key in differing if key in after},
            )
        return differing

    def _show(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        header = self._result["catalog"]
        self._result["diff"] = {"before": before, "after": after, "before_header": header, "after_header": header}
