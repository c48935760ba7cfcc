# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The catalog of a store: C(catalog.json), the records of its published images."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from .._common.errors import TaskError
from .._common.retry import Retries, RetryLater, pause_after_conflict, spread
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
from .._trust.guard import Guard, Signatures
from .._trust.seal import Seal
from .._trust.seen import is_serial
from .._trust.signature import CHANGED, GOOD, MISSING, UNREADABLE, Verdict
from .._trust.statements import CATALOG, SERIAL, SIGNED_BY, without_seal
from .lines import NotJson, read_lines, write_lines

_LARGEST = 128 * 1024 * 1024
# A store without atomic writes may briefly return a partly written catalog.
_READ_TRIES = 3
_READ_PAUSE = 1.0
# Many Macs may publish at the same time, and each must win the race once.
_WRITE_TRIES = 30
# In a store without conditional writes: how long a host that read before us may take to overwrite our catalog.
_SETTLE = 2.0
# Seconds. A reader may see the signature before a change and the catalog after it, so it reads both again before it
# reports a problem. Hosts that read at the same time do not come back at the same time.
_VERIFY_PAUSES = (0.5, 1.0, 2.0)
_MOST_PROBLEMS = 5

# Verdicts on a catalog and a signature that do not belong together, which may be so while another host writes.
_OF_A_MOMENT = (CHANGED, MISSING, UNREADABLE)

_NOT_VERIFIED = Verdict(GOOD, "It was not verified.")


@dataclass
class Catalog:
    """The catalog as it was read. It holds the whole document, so fields of a newer release are kept."""

    document: dict[str, Any] = field(default_factory=lambda: {"schema": SCHEMA, "records": []})
    # None when there is no catalog yet.
    version: str | None = None
    # On the signature, where a guard verified these very bytes.
    verdict: Verdict = _NOT_VERIFIED
    # The signatures that were read before it.
    signatures: Signatures = field(default_factory=Signatures)
    # Of the bytes that were read.
    digest: bytes = b""

    def __post_init__(self) -> None:
        # The records are sorted once: there may be very many.
        self.records = sort_records(self.document["records"])

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
        """Return the catalog as JSON with a line for each record, so that a comparison shows what was changed."""
        return write_lines(self.document, self.records)


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
        guard: Guard | None = None,
    ) -> None:
        """With a guard, what is read is verified. With a seal, which has a guard, everything written is signed.

        Without a seal, what changes loses its signature.
        """
        self._store = store
        self._retries = retries
        self._seal = seal
        self._guard = seal.guard if seal is not None else guard
        # The bytes that were written last, as a digest, and their signature.
        self._made = (b"", "")
        # What was read or written last: the digest of its bytes, and the document.
        self._known: tuple[bytes, dict[str, Any]] | None = None
        # On the signature of the catalog that was read last.
        self.verdict = _NOT_VERIFIED
        self._sleep = sleep
        self._now = now
        self._name = store.link(CATALOG)

    def read(self, means: Callable[[dict[str, Any]], bool] = lambda _record: False) -> Catalog:
        """Return the catalog, or an empty one if there is none. Raises TaskError for an invalid catalog.

        With a guard, exactly what is returned was verified: the catalog, and the signatures of the records that
        C(means) selects. Raises TaskError for what the guard refuses.
        """
        catalog = self.inspected()
        if self._guard is not None:
            absent = catalog.version is None and catalog.verdict.word == MISSING
            self._guard.insist(
                _NOT_VERIFIED if absent else catalog.verdict,
                catalog.document,
                (record for record in catalog.records if means(record)),
            )
        return catalog

    def inspected(self) -> Catalog:
        """Return the catalog with the verdict on its signature, whatever that is."""
        catalog = self._read()
        for pause in _VERIFY_PAUSES:
            # What is not signed at all, or by a key that is not allowed, will not be good a moment later.
            if catalog.verdict.word not in _OF_A_MOMENT or SIGNED_BY not in catalog.document:
                break
            self._sleep(spread(pause))
            catalog = self._read()
        self.verdict = catalog.verdict
        return catalog

    def _read(self) -> Catalog:
        for pauses_left in reversed(range(_READ_TRIES)):
            try:
                return self._read_once()
            except NotJson as error:
                if not pauses_left:
                    raise TaskError(
                        f"{self._name} is not valid JSON ({error}). It was not changed. Restore it from a backup, or "
                        "move it away to start a new catalog."
                    ) from error
            self._sleep(_READ_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _read_once(self) -> Catalog:
        # Before the catalog: see Seal.finish.
        signatures = self._guard.signatures() if self._guard is not None else Signatures()
        found = self._retries.call(lambda: self._store.read(CATALOG, _LARGEST))
        if found is None:
            verdict = self._guard.absent() if self._guard is not None else _NOT_VERIFIED
            return Catalog(verdict=verdict, signatures=signatures)
        data, version = found
        digest = hashlib.sha256(data).digest()
        # The same bytes are not read into a second document: it may be large.
        known, self._known = self._known, None
        if known is not None and known[0] == digest:
            document, lines = known[1], None
        else:
            known = None
            document, lines = read_lines(data)
            self._check_schema(document)
        verdict, signatures = self._verified(document, data, digest, signatures)
        # The bytes and the records together may be too much memory.
        del found, data
        if known is None:
            if lines is not None:
                document["records"] = lines.records()
            self._check_records(document)
        self._known = (digest, document)
        return Catalog(document, version, verdict, signatures, digest)

    def _verified(
        self, document: dict[str, Any], data: bytes, digest: bytes, signatures: Signatures
    ) -> tuple[Verdict, Signatures]:
        if self._guard is None:
            return _NOT_VERIFIED, Signatures()
        made, signature = self._made
        if self._seal is not None and digest == made:
            signatures = self._seal.ensure(signature, signatures)
        return self._guard.catalog(data, document, signatures), signatures

    def _check_schema(self, document: Any) -> None:
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

    def _check_records(self, document: Mapping[str, Any]) -> None:
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

    def _not_ours(self, why: str) -> TaskError:
        return TaskError(
            f"{self._name} is not a valid image catalog: {why}. It was not changed. Correct it, restore it from a "
            "backup, or move it away to start a new catalog."
        )

    def change(
        self,
        edit: Edit,
        what: str,
        check_mode: bool = False,
        means: Callable[[dict[str, Any]], bool] = lambda _record: False,
    ) -> Change:
        """Change the records, and verify the change by reading them again. C(what) names the change in messages.

        C(means) selects the records that the change is about, which are verified even if they do not change.

        Other hosts may write at the same time. If the catalog has changed since it was read, the change is tried again.
        """
        failures = self._retries.begin()
        before: list[dict[str, Any]] | None = None
        written = False
        for turn in range(_WRITE_TRIES):
            catalog = self.read(means)
            before = catalog.records if before is None else before
            wanted = catalog.with_records(edit(catalog.records))
            self._check_changed(catalog, wanted)
            if wanted.records == catalog.records and not self._must_sign(catalog):
                self._finish(catalog)
                return Change(written, before, wanted.records)
            if check_mode:
                return Change(True, before, wanted.records)
            try:
                self._write(self._marked(catalog, wanted), catalog)
                written = True
            except Conflict:
                self._sleep(pause_after_conflict(turn))
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

        change = self.change(
            edit, f"the record of {label(record)}", check_mode, means=lambda each: identity(each) == same
        )
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

    def _check_changed(self, before: Catalog, after: Catalog) -> None:
        """Raise TaskError if a record would be changed whose own signature is not good: it would be signed again."""
        if self._guard is None or before.version is None:
            return
        # What does not change is the same object in both: there may be very many.
        same = {id(record) for record in after.records}
        others = [record for record in before.records if id(record) not in same]
        gone = {identity(record) for record in others}
        wanted = {identity(record): record for record in after.records if identity(record) in gone} if gone else {}
        changed = (each for each in others if wanted.get(identity(each), each) != each)
        self._guard.insist(_NOT_VERIFIED, before.document, changed)

    def _must_sign(self, catalog: Catalog) -> bool:
        return self._seal is not None and catalog.version is not None and self._seal.must_sign(catalog.verdict)

    def _finish(self, catalog: Catalog) -> None:
        if self._seal is not None and self._made[0] and catalog.digest == self._made[0]:
            self._seal.finish(self._made[1], catalog.signatures)

    def _marked(self, before: Catalog, after: Catalog) -> Catalog:
        """Return the catalog to write. What changed gets new signatures, or none without a seal."""
        if self._seal is None:
            document = without_seal(after.document, before.records, after.records)
            if is_serial(document.get(SERIAL)):
                document[SERIAL] += 1
            return Catalog(document)
        records = self._seal.sign_records(before.records, after.records)
        return Catalog(self._seal.mark({**after.document, "records": records}))

    def _write(self, catalog: Catalog, before: Catalog) -> None:
        data = catalog.data()
        if len(data) > _LARGEST:
            raise TaskError(
                f"{self._name} was not changed: it would be larger than {_LARGEST} bytes, which is the most that can "
                "be read. Remove old versions from it first."
            )
        if self._seal is not None:
            self._made = (hashlib.sha256(data).digest(), self._seal.announce(data, before.signatures))
            self._known = (self._made[0], catalog.document)
        self._store.write(
            CATALOG,
            data,
            "application/json",
            if_version=before.version,
            if_absent=before.version is None,
        )
        if not (self._store.atomic and self._store.exclusive):
            self._sleep(_SETTLE)


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
