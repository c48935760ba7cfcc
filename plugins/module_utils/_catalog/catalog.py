# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The catalog of a store: C(catalog.json), the records of its published images."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Callable

from .._common.errors import TaskError
from .._common.json_reader import read_json
from .._common.retry import Retries, RetryLater
from .._common.text import folded
from .._records.record import (
    SCHEMA,
    identity,
    image_file,
    label,
    names_own_file,
    new_record,
    record_problems,
    sort_records,
)
from .._stores.base import Conflict, Store
from .._trust.seal import CATALOG, Seal, without_seal

_LARGEST = 32 * 1024 * 1024
# A store without atomic writes may briefly return a partly written catalog.
_READ_TRIES = 3
_READ_PAUSE = 1.0
# Many Macs may publish at the same time, and each must win the race once.
_WRITE_TRIES = 30
_LONGEST_PAUSE = 5.0
# In a store without conditional writes: how long a host that read before us may take to overwrite our catalog.
_SETTLE = 2.0
_MOST_PROBLEMS = 5


@dataclass
class Catalog:
    """The catalog as it was read. It holds the whole document, so fields of a newer release are kept."""

    document: dict[str, Any] = field(default_factory=lambda: {"schema": SCHEMA, "records": []})
    # None when there is no catalog yet.
    version: str | None = None
    # The bytes that were read, which are the signed bytes.
    raw: bytes = b""

    @property
    def records(self) -> list[dict[str, Any]]:
        return sort_records(self.document["records"])

    def find(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record with the same name, version and architecture."""
        return next((each for each in self.records if identity(each) == identity(record)), None)

    def put(self, record: Mapping[str, Any]) -> Catalog:
        """Return a catalog with the record. It replaces one with the same identity."""
        others = [each for each in self.records if identity(each) != identity(record)]
        return self.with_records([*others, record])

    def with_records(self, records: Sequence[Mapping[str, Any]]) -> Catalog:
        """Return a catalog with these records and the other fields of this one."""
        return Catalog({**self.document, "records": sort_records(records)}, self.version)

    def data(self) -> bytes:
        return (json.dumps(self.document, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Change:
    """The result of a change: all records before and after it."""

    changed: bool
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


# Takes the current records and returns the wanted ones. It may be called several times, because other hosts write too.
# It must be idempotent. Raises TaskError for a change that is not allowed.
Edit = Callable[[list[dict[str, Any]]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """The result of adding a record: the record before and after, and all records."""

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
        # With a seal, everything written is signed. Without one, what changes loses its signature.
        self._seal = seal
        self._sleep = sleep
        self._now = now
        self._name = store.link(CATALOG)

    def read(self) -> Catalog:
        """Return the catalog, or an empty one if there is none. Raises TaskError for an invalid catalog."""
        for pauses_left in reversed(range(_READ_TRIES)):
            found = self._retries.call(lambda: self._store.read(CATALOG, _LARGEST))
            if found is None:
                return Catalog()
            data, version = found
            try:
                return Catalog(self._checked(read_json(data)), version, data)
            except ValueError as error:
                if not pauses_left:
                    raise TaskError(
                        f"{self._name} is not valid JSON ({error}). It was not changed. Restore it from a backup, or "
                        "move it away to start a new catalog."
                    ) from error
            self._sleep(_READ_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _checked(self, document: Any) -> dict[str, Any]:
        if not isinstance(document, dict) or "schema" not in document:
            raise self._not_ours("it does not specify its schema")
        schema = document["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise TaskError(
                f"{self._name} was written by a newer release of the collection macops.parallels (schema {schema}; "
                f"this release supports {SCHEMA}). It was not changed. Install the newer release here too."
            )
        if schema != SCHEMA or isinstance(schema, bool):
            raise self._not_ours(f"its schema is {schema!a:.60}, not {SCHEMA}")
        records = document.get("records")
        if not isinstance(records, list):
            raise self._not_ours("it does not have a list of records")
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
            f"{self._name} is not a valid image catalog: {why}. It was not changed. Correct it, restore it from a "
            "backup, or move it away to start a new catalog."
        )

    def change(self, edit: Edit, what: str, check_mode: bool = False) -> Change:
        """Change the records, and verify the change by reading them again. C(what) names the change in messages.

        Other hosts may write at the same time. If the catalog has changed since it was read, the change is tried again.
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
                self._sleep(random.uniform(0.2, 1.0) * min(_LONGEST_PAUSE, 0.1 * 2**turn))  # nosec B311 # no secret
            except RetryLater as error:
                written = True  # it may have been written, and only the response was lost
                failures.pause(error)
        raise TaskError(
            f"Other hosts wrote {self._name} each time before {what} was saved ({_WRITE_TRIES} attempts). Run the same "
            "command again with fewer hosts at a time."
        )

    def add(self, values: Mapping[str, Any], check_mode: bool = False) -> Outcome:
        """Put the record of an image into the catalog."""
        record = self._complete(values)
        same = identity(record)

        def edit(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            found = next((each for each in records if identity(each) == same), None)
            _refuse_foreign_file(record, records)
            return [*(each for each in records if each is not found), _merged(found, record)]

        change = self.change(edit, f"the record of {label(record)}", check_mode)
        before = next((each for each in change.before if identity(each) == same), None)
        after = next(each for each in change.after if identity(each) == same)
        return Outcome(change.changed, before, after, change.after)

    def _complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        record = new_record(values, self._now())
        problems = record_problems(record, strict=True)
        if record.get("state") == "withdrawn":
            problems.append("state must be published for a new record")
        if problems:
            raise TaskError(f"The record cannot be added to the catalog: {'; '.join(problems)}. Correct the record.")
        return record

    def _is_sealed(self, catalog: Catalog) -> bool:
        """Return whether the catalog is signed if it must be: a run may have been killed before it signed."""
        return self._seal is None or catalog.version is None or self._seal.holds(catalog.raw)

    def _marked(self, before: Catalog, after: Catalog) -> Catalog:
        """Return the catalog to write. What changed gets new signatures, or none without a seal."""
        if self._seal is None:
            return replace(after, document=without_seal(after.document, before.records, after.records))
        self._seal.check(before.records)
        signed = after.with_records(self._seal.sign_records(before.records, after.records))
        return replace(signed, document=self._seal.mark(signed.document))

    def _write(self, catalog: Catalog) -> None:
        data = catalog.data()
        if len(data) > _LARGEST:
            raise TaskError(
                f"{self._name} was not changed: it would be larger than {_LARGEST} bytes, which is the most that can "
                "be read. Remove old versions from it first."
            )
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


def _refuse_foreign_file(record: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """Raise TaskError if the file of a new record is not its image, or may be the file of another record."""
    if not names_own_file(record):
        raise TaskError(
            f"The record cannot be added to the catalog: file must be {image_file(record)}, not {record['file']!r}. "
            "Publish the image under that name, and omit 'file'.",
            record=record,
        )
    for other in records:
        if identity(other) == identity(record) or other.get("file_removed"):
            continue
        if folded(other["file"]) == folded(record["file"]):
            raise TaskError(
                f"The record of {label(record)} cannot be added to the catalog: its file {record['file']} is also the "
                f"file of {label(other)}, except perhaps for upper and lower case. Publish the image as a new version.",
                record=other,
            )


def _merged(found: dict[str, Any] | None, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record to write in place of C(found). Raises TaskError for a change that is not allowed."""
    if found is None:
        return record
    if found["state"] != "published":
        why = f" ({found['reason']})" if found.get("reason") else ""
        raise TaskError(
            f"{label(record)} was published before and is now {found['state']}{why}. Publish the image as a new "
            "version."
        )
    if (found["sha256"], found["size"]) != (record["sha256"], record["size"]):
        raise TaskError(
            f"{label(record)} is already in the catalog with different content: {found['size']} bytes with SHA-256 "
            f"{found['sha256']}, not {record['size']} bytes with SHA-256 {record['sha256']}. A published image never "
            "changes, because the Management Portal identifies it by its checksum. Publish the image as a new version.",
            record=found,
        )
    # The same bytes at another URL: the store was moved, or its public URL was corrected.
    return {**found, "url": record["url"], "file": record["file"]}
