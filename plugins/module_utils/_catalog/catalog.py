# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The catalog of a store: C(catalog.json), the records of what is published there."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Callable

from .._common.errors import TaskError
from .._common.retry import Retries, RetryLater
from .._records.record import SCHEMA, identity, label, new_record, record_problems, sort_records
from .._stores.base import Conflict, Store
from .._trust.seal import CATALOG, Seal, without_seal

_LARGEST = 32 * 1024 * 1024
# A store without atomic writing may show half of a catalog for a moment.
_READ_TRIES = 3
_READ_PAUSE = 1.0
# Many Macs may publish at once, and each writer has to be the first one once.
_WRITE_TRIES = 30
_LONGEST_PAUSE = 5.0
# Where a store does not compare before it writes, how long others who had read before us may take to write over us.
_SETTLE = 2.0
_MOST_PROBLEMS = 5


@dataclass
class Catalog:
    """The catalog as it was read: the whole document, so that what a newer release put in it is kept."""

    document: dict[str, Any] = field(default_factory=lambda: {"schema": SCHEMA, "records": []})
    # None when there is no catalog yet.
    version: str | None = None
    # The very bytes that were read, which are what its signature is of.
    raw: bytes = b""

    @property
    def records(self) -> list[dict[str, Any]]:
        return sort_records(self.document["records"])

    def find(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record of the same name, version and architecture."""
        return next((each for each in self.records if identity(each) == identity(record)), None)

    def put(self, record: Mapping[str, Any]) -> Catalog:
        """Return a catalog with the record, in place of one of the same identity."""
        others = [each for each in self.records if identity(each) != identity(record)]
        return self.with_records([*others, record])

    def with_records(self, records: Sequence[Mapping[str, Any]]) -> Catalog:
        """Return a catalog with these records, and all else that is in this one."""
        return Catalog({**self.document, "records": sort_records(records)}, self.version)

    def data(self) -> bytes:
        return (json.dumps(self.document, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Change:
    """What became of the catalog: all its records, as they were found and as they are now."""

    changed: bool
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


# Returns what the records have to be, where others are there now. It may be asked several times, because others write
# too; asked about its own answer, it changes nothing. Raises TaskError for what must not be done.
Edit = Callable[[list[dict[str, Any]]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """What became of a record, and the catalog with it."""

    changed: bool
    before: dict[str, Any] | None
    after: dict[str, Any]
    records: list[dict[str, Any]]


class CatalogFile:
    """Reads and writes the catalog of one store."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        seal: Seal | None = None,
    ) -> None:
        self._store = store
        self._retries = retries
        # With it, what is written is signed; without it, what is changed is signed by nobody any more.
        self._seal = seal
        self._sleep = sleep
        self._now = now
        self._name = store.link(CATALOG)

    def read(self) -> Catalog:
        """Return the catalog, an empty one when there is none. Raises TaskError for one that is not understood."""
        for pauses_left in reversed(range(_READ_TRIES)):
            found = self._retries.call(lambda: self._store.read(CATALOG, _LARGEST))
            if found is None:
                return Catalog()
            data, version = found
            try:
                return Catalog(self._checked(json.loads(data)), version, data)
            except ValueError as error:
                if not pauses_left:
                    raise TaskError(
                        f"{self._name} is not JSON ({error}). It was left as it is: restore it from a backup, or "
                        "move it away to begin a new catalog."
                    ) from error
            self._sleep(_READ_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _checked(self, document: Any) -> dict[str, Any]:
        if not isinstance(document, dict) or "schema" not in document:
            raise self._not_ours("it does not say which schema it has")
        schema = document["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise TaskError(
                f"{self._name} was written by a newer release of the collection macops.parallels (schema {schema}, "
                f"this one knows {SCHEMA}). It was left as it is: install the newer release here too."
            )
        if schema != SCHEMA or isinstance(schema, bool):
            raise self._not_ours(f"its schema is {schema!r}, not {SCHEMA}")
        records = document.get("records")
        if not isinstance(records, list):
            raise self._not_ours("it has no list of records")
        problems = [
            f"record {number}: {problem}"
            for number, record in enumerate(records, start=1)
            for problem in record_problems(record)
        ]
        if problems:
            raise self._not_ours("; ".join(problems[:_MOST_PROBLEMS]))
        seen: set[tuple[str, str, str]] = set()
        for record in records:
            if identity(record) in seen:
                raise self._not_ours(f"it has two records of {label(record)}")
            seen.add(identity(record))
        return document

    def _not_ours(self, why: str) -> TaskError:
        return TaskError(
            f"{self._name} is not a catalog of images: {why}. It was left as it is: correct it, restore it from a "
            "backup, or move it away to begin a new catalog."
        )

    def change(self, edit: Edit, what: str, check_mode: bool = False) -> Change:
        """Change the records, and prove by reading them again that it was done; C(what) says what is changed.

        Others may write at the same time: whoever finds the catalog changed since it was read takes another turn.
        """
        failures = self._retries.begin()
        before: list[dict[str, Any]] | None = None
        written = False
        for turn in range(_WRITE_TRIES):
            catalog = self.read()
            before = catalog.records if before is None else before
            wanted = catalog.with_records(edit(catalog.records))
            if wanted.records == catalog.records and self._is_sealed(catalog):
                return Change(written, before, wanted.records)
            if check_mode:
                return Change(True, before, wanted.records)
            try:
                self._write(self._marked(catalog, wanted))
                written = True
            except Conflict:
                self._sleep(random.uniform(0.2, 1.0) * min(_LONGEST_PAUSE, 0.1 * 2**turn))
            except RetryLater as error:
                written = True  # the answer may be all that was lost
                failures.pause(error)
        raise TaskError(
            f"{self._name} was written by others each time before {what} was in it, {_WRITE_TRIES} times. Run the same "
            "command again, with fewer hosts at a time."
        )

    def add(self, values: Mapping[str, Any], check_mode: bool = False) -> Outcome:
        """Put the record of an image into the catalog."""
        record = self._complete(values)
        same = identity(record)

        def edit(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            found = next((each for each in records if identity(each) == same), None)
            return [*(each for each in records if each is not found), _merged(found, record)]

        change = self.change(edit, f"the record of {label(record)}", check_mode)
        before = next((each for each in change.before if identity(each) == same), None)
        after = next(each for each in change.after if identity(each) == same)
        return Outcome(change.changed, before, after, change.after)

    def _complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        record = new_record(values, self._now())
        problems = record_problems(record, strict=True)
        if record.get("state") == "withdrawn":
            problems.append("state has to be published for a record that is added")
        if problems:
            raise TaskError(f"The record cannot be added to the catalog: {'; '.join(problems)}.")
        return record

    def _is_sealed(self, catalog: Catalog) -> bool:
        """Return whether there is nothing to sign: a run may have been killed between the catalog and its signature."""
        return self._seal is None or catalog.version is None or self._seal.holds(catalog.raw)

    def _marked(self, before: Catalog, after: Catalog) -> Catalog:
        """Return what is written: with the signatures of what is new, or without those of what has changed."""
        if self._seal is None:
            return replace(after, document=without_seal(after.document, before.records, after.records))
        self._seal.check(before.records)
        signed = after.with_records(self._seal.sign_records(before.records, after.records))
        return replace(signed, document=self._seal.mark(signed.document))

    def _write(self, catalog: Catalog) -> None:
        data = catalog.data()
        self._store.write(
            CATALOG,
            data,
            "application/json",
            if_version=catalog.version,
            if_absent=catalog.version is None,
        )
        if not (self._store.atomic and self._store.exclusive):
            self._sleep(_SETTLE)
        if self._seal is not None:
            self._seal.put(data)


def _merged(found: dict[str, Any] | None, record: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be in the catalog, where C(found) is there now. Raises TaskError for what may not change."""
    if found is None:
        return record
    if found["state"] != "published":
        why = f" ({found['reason']})" if found.get("reason") else ""
        raise TaskError(
            f"{label(record)} was published before and is {found['state']} now{why}. Publish the image as a new "
            "version."
        )
    if (found["sha256"], found["size"]) != (record["sha256"], record["size"]):
        raise TaskError(
            f"{label(record)} is in the catalog already, with other bytes: {found['size']} with the SHA-256 "
            f"{found['sha256']}, rather than {record['size']} with {record['sha256']}. What is published never "
            "changes, because the Management Portal knows it by its checksum: publish the image as a new version.",
            record=found,
        )
    # The same bytes at another address: a store that has moved, or a public name that was put right.
    return {**found, "url": record["url"], "file": record["file"]}
