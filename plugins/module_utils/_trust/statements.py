# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What is signed in a store, in which form, and for which store. docs/trust.md describes the same for users.

A signature is bound to a kind of statement by its namespace, and to one store by the field C(signed_for).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Protocol

from .._common.json_reader import read_json
from .._records.record import TIME_FORMAT, identity
from .signature import (
    CATALOG_KIND,
    CHANGED,
    FOREIGN,
    MISSING,
    PROVENANCE_KIND,
    RECORD_KIND,
    UNREADABLE,
    Signer,
    Verdict,
)

CATALOG = "catalog.json"
SIGNATURE = ".sig"
PROVENANCE = ".provenance.json"
CATALOG_SIGNATURE = CATALOG + SIGNATURE

SIGNED_BY, SIGNED_AT, SIGNED_FOR, SIGNATURE_FIELD = "signed_by", "signed_at", "signed_for", "signature"
# The number of a signed catalog: each that is written has a higher one.
SERIAL = "serial"
# The fields of a signed record.
OF_SIGNED = (SIGNED_BY, SIGNED_AT, SIGNED_FOR, SIGNATURE_FIELD)
# The fields of a signed catalog. Its signature is in a separate file.
_OF_SIGNED_CATALOG = (SIGNED_BY, SIGNED_AT, SIGNED_FOR)
# The fields of a signed statement of provenance, in its metadata. They are extensions of SLSA, so they have our prefix.
OF_SIGNED_PROVENANCE = {SIGNED_BY: "macops_signed_by", SIGNED_FOR: "macops_signed_for"}

# How far a signer's clock may be ahead of the clock of this host.
_CLOCKS_DIFFER = timedelta(minutes=10)
# The end of a build is not a time of signing, so it is not compared with the clock.
_ANY_TIME = datetime(9999, 1, 1, tzinfo=timezone.utc)
_LONGEST_SHOWN = 200

Record = dict[str, Any]


class Verifies(Protocol):
    """What verifies a signature: a Verifier, or AnyKey."""

    def verify(
        self, kind: str, data: bytes, signature: str, at: datetime, identity: Optional[str] = None, /
    ) -> Verdict:
        """Return the verdict on the signature of a statement of this kind."""


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def signed_bytes(record: Mapping[str, Any]) -> bytes:
    """Return the signed bytes of a record: all fields but the signature, as canonical JSON.

    The keys are sorted, there is no white space, and the encoding is UTF-8, as in C(jq -cSj 'del(.signature)').
    """
    kept = {key: value for key, value in record.items() if key != SIGNATURE_FIELD}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign_record(record: Mapping[str, Any], signer: Signer, store: str, now: datetime) -> Record:
    """Return the record with a new signature, for the store with this identity."""
    signed = {
        **unsigned(record),
        SIGNED_BY: signer.identity,
        SIGNED_AT: now.strftime(TIME_FORMAT),
        SIGNED_FOR: store,
    }
    return {**signed, SIGNATURE_FIELD: signer.sign(RECORD_KIND, signed_bytes(signed))}


def unsigned(record: Mapping[str, Any]) -> Record:
    """Return the record without its signature fields."""
    return {key: value for key, value in record.items() if key not in OF_SIGNED}


def without_seal(document: Mapping[str, Any], before: Iterable[Record], after: Iterable[Mapping[str, Any]]) -> Record:
    """Return the document as a host without a key writes it: what it changes loses its signature."""
    known = {identity(record): record for record in before}
    records = [dict(each) if known.get(identity(each)) == each else unsigned(each) for each in after]
    return {**{key: value for key, value in document.items() if key not in _OF_SIGNED_CATALOG}, "records": records}


def record_verdict(record: Mapping[str, Any], verifier: Verifies, store: str, now: datetime) -> Verdict:
    """Return the verdict on the signature of a record."""
    signature = record.get(SIGNATURE_FIELD)
    if not signature:
        return Verdict(MISSING, "The record is not signed.")
    return _verdict(RECORD_KIND, signed_bytes(record), signature, record, verifier, store, now)


def catalog_verdict(
    data: bytes,
    document: Mapping[str, Any],
    signature: str,
    verifier: Verifies,
    store: str,
    now: datetime,
) -> Verdict:
    """Return the verdict on a signature for the bytes of a catalog, which are those of the document."""
    return _verdict(CATALOG_KIND, data, signature, document, verifier, store, now)


def provenance_verdict(
    data: bytes, signature: str, record: Mapping[str, Any], verifier: Verifies, store: str
) -> Verdict:
    """Return the verdict on a provenance statement, which must be about the file and the bytes of this record."""
    try:
        statement = read_json(data)
        subjects = [(subject["name"], subject["digest"]["sha256"]) for subject in statement["subject"]]
        metadata = statement["predicate"]["runDetails"]["metadata"]
        said = {field: metadata.get(name) for field, name in OF_SIGNED_PROVENANCE.items()}
        said[SIGNED_AT] = metadata["finishedOn"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return Verdict(UNREADABLE, "The provenance statement is not a valid in-toto statement with SLSA provenance.")
    if _moment(said[SIGNED_AT]) is None:
        return Verdict(UNREADABLE, "The provenance statement has no valid finishedOn time.")
    if [digest for _name, digest in subjects] != [record["sha256"]]:
        return Verdict(CHANGED, "The provenance statement is about another file: the SHA-256 is different.")
    if [name for name, _digest in subjects] != [record["file"]]:
        return Verdict(CHANGED, "The provenance statement is about another file: its name is different.")
    return _verdict(PROVENANCE_KIND, data, signature, said, verifier, store, _ANY_TIME)


def _verdict(
    kind: str,
    data: bytes,
    signature: Any,
    said: Mapping[str, Any],
    verifier: Verifies,
    store: str,
    now: datetime,
) -> Verdict:
    signer = said.get(SIGNED_BY)
    at = _moment(said.get(SIGNED_AT))
    if not isinstance(signer, str) or at is None or not isinstance(signature, str):
        return Verdict(UNREADABLE, "The signer or the time of signing is missing.")
    if at > now + _CLOCKS_DIFFER:
        return Verdict(UNREADABLE, f"The time of signing, {said[SIGNED_AT]}, is in the future.")
    meant = said.get(SIGNED_FOR)
    if not isinstance(meant, str):
        return Verdict(UNREADABLE, "The store that it was signed for is missing.")
    if meant != store:
        return Verdict(FOREIGN, f"It was signed for another store, {meant[:_LONGEST_SHOWN]}, not for {store}.")
    return verifier.verify(kind, data, signature, at, signer)


def _moment(text: Any) -> Optional[datetime]:
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)
    except (TypeError, ValueError):
        return None
