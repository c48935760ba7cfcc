# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What of a store is signed, and how: each record by itself, the catalog as a whole, statements of provenance.

A record carries its signature, so it keeps its proof when another host writes the catalog. The catalog has its own
in a file beside it, which proves that no record is missing. The two files cannot be written in one step, so whoever
writes the catalog signs what it wrote, unless somebody else has written it by then: that one signs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.retry import Retries
from .._records.record import TIME_FORMAT, identity, label, record_problems
from .._stores.base import Conflict, Store
from .signature import CHANGED, GOOD, MISSING, UNREADABLE, Signer, SshKeygen, Verdict, Verifier, is_intact

CATALOG = "catalog.json"
SIGNATURE = ".sig"
PROVENANCE = ".provenance.json"

SIGNED_BY, SIGNED_AT, SIGNATURE_FIELD = "signed_by", "signed_at", "signature"
# What a record has when it is signed.
OF_SIGNED = (SIGNED_BY, SIGNED_AT, SIGNATURE_FIELD)
# What a catalog says of its signature, which is beside it.
_OF_SIGNED_CATALOG = (SIGNED_BY, SIGNED_AT)

_CATALOG_SIGNATURE = CATALOG + SIGNATURE
_LARGEST = 32 * 1024 * 1024
_WRITE_TRIES = 10
# Seconds. A reader may come between the catalog and its signature: it looks again before it blames anybody.
_READ_PAUSES = (1.0, 2.0, 3.0, 4.0)
# In a store that does not compare before it writes, how long others may take to write over us.
_SETTLE = 2.0
# How far the clock of a signer may be ahead of ours.
_CLOCKS_DIFFER = timedelta(minutes=10)

Record = dict[str, Any]


def signed_bytes(record: Mapping[str, Any]) -> bytes:
    """Return what is signed of a record: all of it but the signature, as JSON in one form only.

    The keys are sorted, there is no white space, and the text is UTF-8; as C(jq -cSj 'del(.signature)') prints it.
    """
    kept = {key: value for key, value in record.items() if key != SIGNATURE_FIELD}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign_record(record: Mapping[str, Any], signer: Signer, now: datetime) -> Record:
    """Return the record with a signature that is made now."""
    signed = {**unsigned(record), SIGNED_BY: signer.identity, SIGNED_AT: now.strftime(TIME_FORMAT)}
    return {**signed, SIGNATURE_FIELD: signer.sign(signed_bytes(signed))}


def unsigned(record: Mapping[str, Any]) -> Record:
    """Return the record without what made it a signed one."""
    return {key: value for key, value in record.items() if key not in OF_SIGNED}


def record_verdict(record: Mapping[str, Any], verifier: Verifier, now: datetime) -> Verdict:
    """Return what is to be thought of a record's signature."""
    signature = record.get(SIGNATURE_FIELD)
    if not signature:
        return Verdict(MISSING, "The record is not signed.")
    return _verdict(signed_bytes(record), signature, record, verifier, now)


def _verdict(data: bytes, signature: str, said: Mapping[str, Any], verifier: Verifier, now: datetime) -> Verdict:
    signer = said.get(SIGNED_BY)
    at = _moment(said.get(SIGNED_AT))
    if not isinstance(signer, str) or at is None or not isinstance(signature, str):
        return Verdict(UNREADABLE, "It does not say by whom and when it was signed.")
    if at > now + _CLOCKS_DIFFER:
        return Verdict(UNREADABLE, f"It says that it was signed at {said[SIGNED_AT]}, which is in the future.")
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
        """With a verifier, nothing is signed as long as the catalog has records that are not proven by it."""
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
        """Raise TaskError for a record that is not proven: a signature of the catalog would vouch for it, too."""
        if self._verifier is None:
            return
        for record in records:
            verdict = record_verdict(record, self._verifier, self._now())
            if not verdict.is_good:
                raise TaskError(
                    f"The catalog was not signed, because its record of {label(record)} is not proven: "
                    f"{verdict.reason} Look at that record. If it is right, sign it with state: signed; if not, "
                    "withdraw it or remove it.",
                    record=record,
                    verdict=verdict.word,
                )

    def sign_records(self, before: Iterable[Record], after: Iterable[Mapping[str, Any]]) -> list[Record]:
        """Return the records with signatures for those that are new or other than before."""
        known = {identity(record): record for record in before}
        return [self._signed(record, known.get(identity(record), {})) for record in after]

    def _signed(self, record: Mapping[str, Any], before: Mapping[str, Any]) -> Record:
        if record == before or (self._is_newly_signed(record, before) and self._is_intact(record)):
            return dict(record)
        return sign_record(record, self._signer, self._now())

    def _is_newly_signed(self, record: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Return whether it has brought a signature along, such as from another catalog."""
        return bool(record.get(SIGNATURE_FIELD)) and record[SIGNATURE_FIELD] != before.get(SIGNATURE_FIELD)

    def _is_intact(self, record: Mapping[str, Any]) -> bool:
        return is_intact(self._keygen, signed_bytes(record), str(record[SIGNATURE_FIELD]))

    def sign_all(self, records: Iterable[Record], means: Callable[[Record], bool], anew: bool) -> list[Record]:
        """Return the records with signatures by this key for those that are meant and have none.

        With C(anew), those that have the signature of another key get one by this key, too. Raises TaskError for one
        that was changed after it was signed: nobody but a person can tell whether that is right.
        """
        return [self._signed_by_all_means(record, anew) if means(record) else record for record in records]

    def _signed_by_all_means(self, record: Record, anew: bool) -> Record:
        signed = bool(record.get(SIGNATURE_FIELD))
        if signed and not self._is_intact(record):
            raise TaskError(
                f"The record of {label(record)} was changed after it was signed, so it is not signed again. Look at "
                "it. If it is right as it is, remove its fields signed_by, signed_at and signature from the catalog; "
                "if not, restore the catalog from a backup.",
                record=record,
            )
        if signed and (not anew or self._is_own(record)):
            return record
        return sign_record(record, self._signer, self._now())

    def _is_own(self, record: Record) -> bool:
        named = record.get(SIGNED_BY) == self._signer.identity
        return named and self._signer.has_signed(signed_bytes(record), str(record[SIGNATURE_FIELD]))

    def mark(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document of a catalog, with who signs it now."""
        return {**document, SIGNED_BY: self._signer.identity, SIGNED_AT: self._now().strftime(TIME_FORMAT)}

    def holds(self, data: bytes) -> bool:
        """Return whether the catalog with these bytes has a signature that fits it, whoever has made it."""
        found = self._retries.call(lambda: self._store.read(_CATALOG_SIGNATURE))
        return found is not None and is_intact(self._keygen, data, _text(found[0]))

    def put(self, data: bytes) -> None:
        """Sign a catalog that was written with these bytes, unless somebody else has written it by now.

        A signature that is there already was looked at before the catalog was, so nobody's newer one is written over.
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
    """Return the document as a host writes it that has no key: what it changes is signed by nobody any more."""
    known = {identity(record): record for record in before}
    records = [dict(each) if known.get(identity(each)) == each else unsigned(each) for each in after]
    return {**{key: value for key, value in document.items() if key not in _OF_SIGNED_CATALOG}, "records": records}


@dataclass
class Report:
    """What was found of the signatures of a store."""

    catalog: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Return what is signed in a wrong way, a sentence each."""
        return [sentence for word, sentence in self._verdicts() if word not in (GOOD, MISSING)]

    @property
    def unsigned(self) -> list[str]:
        """Return what is not signed, a sentence each."""
        return [sentence for word, sentence in self._verdicts() if word == MISSING]

    def _verdicts(self) -> Iterator[tuple[str, str]]:
        yield self.catalog["verdict"], f"{CATALOG}: {self.catalog['reason']}"
        for entry in self.records:
            named = f"{entry['name']}-{entry['version']}-{entry['arch']}"
            yield entry["verdict"], f"{named}: {entry['reason']}"
            if entry["provenance"]:
                yield entry["provenance"]["verdict"], f"{named}, provenance: {entry['provenance']['reason']}"

    def result(self) -> dict[str, Any]:
        """Return it as the result of a module."""
        return {
            "verified": not self.problems and not self.unsigned,
            "problems": self.problems,
            "unsigned": self.unsigned,
            "catalog": self.catalog,
            "records": self.records,
        }


class Inspection:
    """Verifies what a store says of its images."""

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
        """Return what there is to say of the catalog, and of the records that are chosen from it."""
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
            return Verdict(MISSING, f"There is no {CATALOG} in {self._store.url}."), {}
        beside = self._retries.call(lambda: self._store.read(_CATALOG_SIGNATURE))
        try:
            document = json.loads(found[0])
        except ValueError:
            document = None
        records = document.get("records") if isinstance(document, dict) else None
        if not isinstance(records, list) or any(record_problems(record) for record in records):
            return Verdict(UNREADABLE, f"{CATALOG} is not JSON, or not a catalog."), {}
        if beside is None:
            return Verdict(MISSING, f"There is no {_CATALOG_SIGNATURE} beside the catalog."), document
        if SIGNED_BY not in document:
            return Verdict(MISSING, f"{CATALOG} was last written by somebody who did not sign it."), document
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
            return Verdict(GOOD, "It was removed with the image, as the record says.")
        name = record["file"] + PROVENANCE
        found = self._retries.call(lambda: self._store.read(name))
        if found is None:
            return Verdict(MISSING, f"There is no {name}, though the record names it.")
        beside = self._retries.call(lambda: self._store.read(name + SIGNATURE))
        if beside is None:
            return Verdict(MISSING, f"There is no {name}{SIGNATURE} beside it.")
        return provenance_verdict(found[0], _text(beside[0]), record["sha256"], self._verifier)


def provenance_verdict(data: bytes, signature: str, sha256: str, verifier: Verifier) -> Verdict:
    """Return what is to be thought of a statement about the image with this SHA-256."""
    try:
        statement = json.loads(data)
        digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
        finished = _moment(statement["predicate"]["runDetails"]["metadata"]["finishedOn"])
    except (ValueError, TypeError, KeyError):
        return Verdict(UNREADABLE, "The statement of provenance is not one in the form of in-toto and SLSA.")
    if finished is None:
        return Verdict(UNREADABLE, "The statement of provenance does not say when the image was finished.")
    if digests != [sha256]:
        return Verdict(CHANGED, "The statement of provenance is about another file: it has another SHA-256.")
    return verifier.verify(data, signature, finished)


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.word, "reason": verdict.reason}


def _shown_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
