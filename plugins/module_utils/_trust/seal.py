# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The signatures in a store: of each record, of the catalog as a whole, and of provenance statements.

A record contains its signature, so the signature stays valid when another host writes the catalog. The signature of the
catalog is in a separate file and shows that no record is missing. The two files cannot be written in one step. So each
writer signs the catalog that it wrote, unless another host has written the catalog since: then that host signs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.json_reader import read_json
from .._common.retry import Retries
from .._records.record import TIME_FORMAT, identity, label, record_problems
from .._stores.base import Conflict, Store
from .signature import CHANGED, GOOD, MISSING, UNREADABLE, Signer, SshKeygen, Verdict, Verifier, is_intact

CATALOG = "catalog.json"
SIGNATURE = ".sig"
PROVENANCE = ".provenance.json"

SIGNED_BY, SIGNED_AT, SIGNATURE_FIELD = "signed_by", "signed_at", "signature"
# The fields of a signed record.
OF_SIGNED = (SIGNED_BY, SIGNED_AT, SIGNATURE_FIELD)
# The fields of a signed catalog. Its signature is in a separate file.
_OF_SIGNED_CATALOG = (SIGNED_BY, SIGNED_AT)

_CATALOG_SIGNATURE = CATALOG + SIGNATURE
_LARGEST = 32 * 1024 * 1024
_WRITE_TRIES = 10
# Seconds. A reader may see the catalog before its new signature, so it reads both again before it reports a problem.
_READ_PAUSES = (1.0, 2.0, 3.0, 4.0)
# In a store without conditional writes: how long another host may take to overwrite our signature.
_SETTLE = 2.0
# How far a signer's clock may be ahead of the clock of this host.
_CLOCKS_DIFFER = timedelta(minutes=10)

Record = dict[str, Any]


def signed_bytes(record: Mapping[str, Any]) -> bytes:
    """Return the signed bytes of a record: all fields but the signature, as canonical JSON.

    The keys are sorted, there is no white space, and the encoding is UTF-8, as in C(jq -cSj 'del(.signature)').
    """
    kept = {key: value for key, value in record.items() if key != SIGNATURE_FIELD}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign_record(record: Mapping[str, Any], signer: Signer, now: datetime) -> Record:
    """Return the record with a new signature."""
    signed = {**unsigned(record), SIGNED_BY: signer.identity, SIGNED_AT: now.strftime(TIME_FORMAT)}
    return {**signed, SIGNATURE_FIELD: signer.sign(signed_bytes(signed))}


def unsigned(record: Mapping[str, Any]) -> Record:
    """Return the record without its signature fields."""
    return {key: value for key, value in record.items() if key not in OF_SIGNED}


def record_verdict(record: Mapping[str, Any], verifier: Verifier, now: datetime) -> Verdict:
    """Return the verdict on the signature of a record."""
    signature = record.get(SIGNATURE_FIELD)
    if not signature:
        return Verdict(MISSING, "The record is not signed.")
    return _verdict(signed_bytes(record), signature, record, verifier, now)


def _verdict(data: bytes, signature: str, said: Mapping[str, Any], verifier: Verifier, now: datetime) -> Verdict:
    signer = said.get(SIGNED_BY)
    at = _moment(said.get(SIGNED_AT))
    if not isinstance(signer, str) or at is None or not isinstance(signature, str):
        return Verdict(UNREADABLE, "The signer or the time of signing is missing.")
    if at > now + _CLOCKS_DIFFER:
        return Verdict(UNREADABLE, f"The time of signing, {said[SIGNED_AT]}, is in the future.")
    return verifier.verify(data, signature, at, signer)


def _moment(text: Any) -> Optional[datetime]:
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)
    except (TypeError, ValueError):
        return None


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Seal:
    """Signs what is written to one catalog, with one key."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        keygen: SshKeygen,
        signer: Signer,
        verifier: Optional[Verifier] = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """With a verifier, nothing is signed while the catalog has a record whose signature it cannot verify."""
        self._store = store
        self._retries = retries
        self._keygen = keygen
        self._signer = signer
        self._verifier = verifier
        self._sleep = sleep
        self._now = now

    def prove(self) -> None:
        """Raise TaskError when the key cannot sign."""
        self._signer.sign(b"Can this key sign?\n")

    def check(self, records: Iterable[Record]) -> None:
        """Raise TaskError for a record without a verified signature: signing the catalog would vouch for it too."""
        if self._verifier is None:
            return
        for record in records:
            verdict = record_verdict(record, self._verifier, self._now())
            if not verdict.is_good:
                raise TaskError(
                    f"The catalog was not signed, because the record of {label(record)} was not verified: "
                    f"{verdict.reason} Check that record. If it is correct, sign it with state: signed. If not, "
                    "withdraw or remove it.",
                    record=record,
                    verdict=verdict.word,
                )

    def sign_records(self, before: Iterable[Record], after: Iterable[Mapping[str, Any]]) -> list[Record]:
        """Return the records, with signatures on those that are new or changed."""
        known = {identity(record): record for record in before}
        return [self._signed(record, known.get(identity(record), {})) for record in after]

    def _signed(self, record: Mapping[str, Any], before: Mapping[str, Any]) -> Record:
        if record == before or (self._is_newly_signed(record, before) and self._is_intact(record)):
            return dict(record)
        return sign_record(record, self._signer, self._now())

    def _is_newly_signed(self, record: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Return whether it came with a new signature, such as from another catalog."""
        return bool(record.get(SIGNATURE_FIELD)) and record[SIGNATURE_FIELD] != before.get(SIGNATURE_FIELD)

    def _is_intact(self, record: Mapping[str, Any]) -> bool:
        return is_intact(self._keygen, signed_bytes(record), str(record[SIGNATURE_FIELD]))

    def sign_all(self, records: Iterable[Record], means: Callable[[Record], bool], anew: bool) -> list[Record]:
        """Return the records. Those that match and have no signature are signed with this key.

        With C(anew), matching records that another key has signed are signed again with this key. Raises TaskError for
        a record that was changed after it was signed: only a person can decide whether the change is correct.
        """
        return [self._signed_by_all_means(record, anew) if means(record) else record for record in records]

    def _signed_by_all_means(self, record: Record, anew: bool) -> Record:
        signed = bool(record.get(SIGNATURE_FIELD))
        if signed and not self._is_intact(record):
            raise TaskError(
                f"The record of {label(record)} was changed after it was signed, so it was not signed again. "
                "Check that record. If it is correct, remove its fields signed_by, signed_at and signature from the "
                "catalog. If not, restore the catalog from a backup.",
                record=record,
            )
        if signed and (not anew or self._is_own(record)):
            return record
        return sign_record(record, self._signer, self._now())

    def _is_own(self, record: Record) -> bool:
        named = record.get(SIGNED_BY) == self._signer.identity
        return named and self._signer.has_signed(signed_bytes(record), str(record[SIGNATURE_FIELD]))

    def mark(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document of a catalog with its signer and the current time."""
        return {**document, SIGNED_BY: self._signer.identity, SIGNED_AT: self._now().strftime(TIME_FORMAT)}

    def holds(self, data: bytes) -> bool:
        """Return whether the stored signature matches these bytes of the catalog, whichever key made it."""
        found = self._retries.call(lambda: self._store.read(_CATALOG_SIGNATURE))
        return found is not None and is_intact(self._keygen, data, _text(found[0]))

    def put(self, data: bytes) -> None:
        """Sign a catalog that was written with these bytes, unless another host has written it since.

        The existing signature is read before the catalog, so a newer signature of another host is never overwritten.
        """
        signature = self._signer.sign(data)
        for _turn in range(_WRITE_TRIES):
            beside = self._retries.call(lambda: self._store.read(_CATALOG_SIGNATURE))
            catalog = self._retries.call(lambda: self._store.read(CATALOG, _LARGEST))
            if catalog is None or catalog[0] != data:
                return
            version = beside[1] if beside is not None else None
            try:
                self._retries.call(lambda version=version: self._write(signature, version))
            except Conflict:
                continue
            if not (self._store.atomic and self._store.exclusive):
                self._sleep(_SETTLE)
            return

    def _write(self, signature: str, version: Optional[str]) -> None:
        self._store.write(
            _CATALOG_SIGNATURE,
            signature.encode(),
            "text/plain; charset=utf-8",
            if_version=version,
            if_absent=version is None,
        )


def without_seal(document: Mapping[str, Any], before: Iterable[Record], after: Iterable[Mapping[str, Any]]) -> Record:
    """Return the document as a host without a key writes it: what it changes loses its signature."""
    known = {identity(record): record for record in before}
    records = [dict(each) if known.get(identity(each)) == each else unsigned(each) for each in after]
    return {**{key: value for key, value in document.items() if key not in _OF_SIGNED_CATALOG}, "records": records}


@dataclass
class Report:
    """The verdicts on the signatures of a store."""

    catalog: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Return the bad signatures, one sentence each."""
        return [sentence for word, sentence in self._verdicts() if word not in (GOOD, MISSING)]

    @property
    def unsigned(self) -> list[str]:
        """Return what is not signed, one sentence each."""
        return [sentence for word, sentence in self._verdicts() if word == MISSING]

    def _verdicts(self) -> Iterator[tuple[str, str]]:
        yield self.catalog["verdict"], f"{CATALOG}: {self.catalog['reason']}"
        for entry in self.records:
            named = f"{entry['name']}-{entry['version']}-{entry['arch']}"
            yield entry["verdict"], f"{named}: {entry['reason']}"
            if entry["provenance"]:
                yield entry["provenance"]["verdict"], f"{named}, provenance: {entry['provenance']['reason']}"

    def result(self) -> dict[str, Any]:
        """Return the report as a module result."""
        return {
            "verified": not self.problems and not self.unsigned,
            "problems": self.problems,
            "unsigned": self.unsigned,
            "catalog": self.catalog,
            "records": self.records,
        }


class Inspection:
    """Verifies the signatures of a catalog, its records and their provenance statements."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        verifier: Verifier,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._retries = retries
        self._verifier = verifier
        self._sleep = sleep
        self._now = now

    def report(self, chosen: Callable[[Sequence[Record]], Sequence[Record]] = lambda records: records) -> Report:
        """Return a report on the catalog and on the records that C(chosen) selects from it."""
        verdict, document = self._look_at_catalog()
        for pause in _READ_PAUSES:
            if verdict.is_good or not document:
                break
            self._sleep(pause)
            verdict, document = self._look_at_catalog()
        catalog = {
            **_shown(verdict),
            SIGNED_BY: _shown_text(document.get(SIGNED_BY)),
            SIGNED_AT: _shown_text(document.get(SIGNED_AT)),
        }
        return Report(catalog, [self._look_at(record) for record in chosen(document.get("records", []))])

    def _look_at_catalog(self) -> tuple[Verdict, dict[str, Any]]:
        found = self._retries.call(lambda: self._store.read(CATALOG, _LARGEST))
        if found is None:
            return Verdict(MISSING, f"{self._store.url} has no {CATALOG}."), {}
        beside = self._retries.call(lambda: self._store.read(_CATALOG_SIGNATURE))
        try:
            document = read_json(found[0])
        except ValueError:
            document = None
        records = document.get("records") if isinstance(document, dict) else None
        if not isinstance(records, list) or any(record_problems(record) for record in records):
            return Verdict(UNREADABLE, f"{CATALOG} is not valid JSON or not a catalog."), {}
        if beside is None:
            return Verdict(MISSING, f"The store has no {_CATALOG_SIGNATURE}."), document
        if SIGNED_BY not in document:
            return Verdict(MISSING, f"{CATALOG} was last written by a host that did not sign it."), document
        return _verdict(found[0], _text(beside[0]), document, self._verifier, self._now()), document

    def _look_at(self, record: Record) -> dict[str, Any]:
        return {
            **dict(zip(("name", "version", "arch"), identity(record))),
            **_shown(record_verdict(record, self._verifier, self._now())),
            SIGNED_BY: _shown_text(record.get(SIGNED_BY)),
            SIGNED_AT: _shown_text(record.get(SIGNED_AT)),
            "provenance": _shown(self._look_at_provenance(record)) if record.get("provenance") else {},
        }

    def _look_at_provenance(self, record: Record) -> Verdict:
        if record.get("file_removed"):
            return Verdict(GOOD, "It was removed together with the image.")
        name = record["file"] + PROVENANCE
        found = self._retries.call(lambda: self._store.read(name))
        if found is None:
            return Verdict(MISSING, f"The record names {name}, but the store does not have it.")
        beside = self._retries.call(lambda: self._store.read(name + SIGNATURE))
        if beside is None:
            return Verdict(MISSING, f"The store has no {name}{SIGNATURE}.")
        return provenance_verdict(found[0], _text(beside[0]), record["sha256"], self._verifier)


def provenance_verdict(data: bytes, signature: str, sha256: str, verifier: Verifier) -> Verdict:
    """Return the verdict on a provenance statement about the image with this SHA-256."""
    try:
        statement = read_json(data)
        digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
        finished = _moment(statement["predicate"]["runDetails"]["metadata"]["finishedOn"])
    except (ValueError, TypeError, KeyError):
        return Verdict(UNREADABLE, "The provenance statement is not a valid in-toto statement with SLSA provenance.")
    if finished is None:
        return Verdict(UNREADABLE, "The provenance statement has no valid finishedOn time.")
    if digests != [sha256]:
        return Verdict(CHANGED, "The provenance statement is about another file: the SHA-256 is different.")
    return verifier.verify(data, signature, finished)


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.word, "reason": verdict.reason}


def _shown_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
