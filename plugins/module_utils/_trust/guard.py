# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Verifies what is read of the catalog of one store, before anything of it is used, shown or signed.

The one good signature of the catalog vouches for all of its records, because nothing is signed over a catalog that was
not verified. The signatures of records are verified only for the records that a task is about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.notice import Notice, unheard
from .._common.retry import Retries
from .._records.record import identity, label
from .._stores.base import Store
from .seen import Seen, is_serial
from .signature import CHANGED, GOOD, MISSING, ROLLED_BACK, UNKNOWN, UNREADABLE, Verdict, signatures_in
from .statements import (
    CATALOG,
    CATALOG_SIGNATURE,
    PROVENANCE,
    SERIAL,
    SIGNATURE,
    SIGNATURE_FIELD,
    SIGNED_AT,
    SIGNED_BY,
    SIGNED_FOR,
    Record,
    Verifies,
    catalog_verdict,
    provenance_verdict,
    record_verdict,
    signed_bytes,
    utc_now,
)

# What is refused: everything that is not good; a rollback only, for a person who signs what was reviewed; nothing.
ALL, AGE, NOTHING = "all", "age", "nothing"

_LARGEST_SIGNATURES = 64 * 1024
_MOST_SENTENCES = 5
_TEXT_KEYS = (SIGNED_BY, SIGNED_AT, SIGNED_FOR)


@dataclass(frozen=True)
class Signatures:
    """The signatures beside a catalog, and the version of their file, None where there is none."""

    texts: Sequence[str] = ()
    version: Optional[str] = None


@dataclass
class Report:
    """The verdicts on the signatures of a store."""

    catalog: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Return the bad signatures, one sentence each."""
        return [sentence for word, sentence in self.verdicts() if word not in (GOOD, MISSING)]

    @property
    def unsigned(self) -> list[str]:
        """Return what is not signed, one sentence each."""
        return [sentence for word, sentence in self.verdicts() if word == MISSING]

    def verdicts(self) -> list[tuple[str, str]]:
        """Return each verdict with its sentence."""
        found = [(self.catalog["verdict"], f"{CATALOG}: {self.catalog['reason']}")]
        for entry in self.records:
            named = f"{entry['name']}-{entry['version']}-{entry['arch']}"
            found.append((entry["verdict"], f"{named}: {entry['reason']}"))
            if entry["provenance"]:
                found.append((entry["provenance"]["verdict"], f"{named}, provenance: {entry['provenance']['reason']}"))
        return found

    def result(self) -> dict[str, Any]:
        """Return the report as a module result."""
        return {
            "verified": not self.problems and not self.unsigned,
            "problems": self.problems,
            "unsigned": self.unsigned,
            "catalog": self.catalog,
            "records": self.records,
        }


class Guard:
    """Verifies the catalog of one store, its records and their statements of provenance."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        verifier: Verifies,
        identity_of_store: str,
        seen: Optional[Seen] = None,
        *,
        refuses: str = ALL,
        accepts_rollback: bool = False,
        notice: Notice = unheard,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """C(seen) is None without allowed signers: anybody could raise the serial number then."""
        self.store_identity = identity_of_store
        self.refuses = refuses
        self.first_sight = False
        self.accepted_rollback = False
        # The one that was good for the catalog that was read last.
        self.good_signature = ""
        # Whether it is known who may sign. Otherwise any key is accepted.
        self.knows_signers = seen is not None
        self._store = store
        self._retries = retries
        self._verifier = verifier
        self._seen = seen
        self._accepts_rollback = accepts_rollback
        self._notice = notice
        self._now = now
        # What was verified in this task: it is written and read several times.
        self._good_catalog = b""
        self._good_records: set[bytes] = set()
        self._noticed: set[str] = set()

    def signatures(self) -> Signatures:
        """Read the signatures beside the catalog."""
        found = self._retries.call(lambda: self._store.read(CATALOG_SIGNATURE, _LARGEST_SIGNATURES))
        if found is None:
            return Signatures()
        return Signatures(signatures_in(found[0].decode("utf-8", errors="replace")), found[1])

    def absent(self) -> Verdict:
        """Return the verdict on a store without a catalog."""
        nothing = Verdict(MISSING, f"{self._store.url} has no {CATALOG}.")
        return nothing if self._seen is None else self._judged(self._seen, nothing, "", 0, "")

    def catalog(self, data: bytes, document: Mapping[str, Any], signatures: Signatures) -> Verdict:
        """Return the verdict on the bytes of a catalog, which are those of the document."""
        digest = hashlib.sha256(data).digest()
        verdict = self._catalog(data, digest, document, signatures)
        if not verdict.is_good:
            return verdict
        if not is_serial(document.get(SERIAL)):
            return Verdict(UNREADABLE, "It has no serial number.")
        if self._seen is not None:
            verdict = self._judged(self._seen, verdict, document[SIGNED_BY], document[SERIAL], document[SIGNED_AT])
        if verdict.is_good:
            self._good_catalog = digest
        return verdict

    def _catalog(self, data: bytes, digest: bytes, document: Mapping[str, Any], signatures: Signatures) -> Verdict:
        """Return the verdict on the signatures. While a host writes, there are several: one that is good is enough."""
        if SIGNED_BY not in document:
            return Verdict(MISSING, f"{CATALOG} was last written by a host that did not sign it.")
        if not signatures.texts:
            return Verdict(MISSING, f"The store has no {CATALOG_SIGNATURE}.")
        if digest == self._good_catalog and self.good_signature in signatures.texts:
            return Verdict(GOOD, "It was verified in this task.")
        verdicts = []
        for text in signatures.texts:
            verdict = catalog_verdict(data, document, text, self._verifier, self.store_identity, self._now())
            if verdict.is_good:
                self.good_signature = text
                return verdict
            verdicts.append(verdict)
        # That of another catalog says the least.
        return next((verdict for verdict in verdicts if verdict.word != CHANGED), verdicts[0])

    def made(self, data: bytes, signature: str) -> None:
        """Take a catalog for verified, because this task has signed it."""
        self._good_catalog = hashlib.sha256(data).digest()
        self.good_signature = signature
        self.accepted_rollback = False

    def next_serial(self, document: Mapping[str, Any]) -> int:
        """Return the serial number of the catalog that is written next."""
        there = document.get(SERIAL)
        seen = self._seen.floor() if self._seen is not None else 0
        return max(there if isinstance(there, int) and is_serial(there) else 0, seen) + 1

    def _judged(self, seen: Seen, verdict: Verdict, signer: str, serial: int, signed_at: str) -> Verdict:
        """Return the verdict on the age of a catalog, and note it if it is the newest one."""
        try:
            highest = seen.highest()
            if highest is None:
                self.first_sight = True
            elif serial < highest["serial"]:
                if not self._accepts_rollback:
                    return Verdict(ROLLED_BACK, _rolled_back(highest, serial))
                self.accepted_rollback = True
                seen.accept(signer, serial, signed_at)
                self._tell(
                    f"{self._store.link(CATALOG)} has the serial number {serial} and was accepted in place of number "
                    f"{highest['serial']} (accept_rollback)."
                )
                return verdict
            if serial:
                seen.keep(signer, serial, signed_at)
        except TaskError as error:
            return Verdict(UNKNOWN, error.message)
        return verdict

    def record(self, record: Record) -> Verdict:
        """Return the verdict on the signature of a record."""
        digest = _digest(record)
        if digest in self._good_records:
            return Verdict(GOOD, "It was verified in this task.")
        verdict = record_verdict(record, self._verifier, self.store_identity, self._now())
        if verdict.is_good:
            self._good_records.add(digest)
        return verdict

    def made_record(self, record: Record) -> None:
        """Take a record for verified, because this task has signed it."""
        self._good_records.add(_digest(record))

    def provenance(self, record: Mapping[str, Any]) -> Verdict:
        """Return the verdict on the statement of provenance that a record names."""
        if record.get("file_removed"):
            return Verdict(GOOD, "It was removed together with the image.")
        name = record["file"] + PROVENANCE
        found = self._retries.call(lambda: self._store.read(name))
        if found is None:
            return Verdict(MISSING, f"The record names {name}, but the store does not have it.")
        beside = self._retries.call(lambda: self._store.read(name + SIGNATURE, _LARGEST_SIGNATURES))
        if beside is None:
            return Verdict(MISSING, f"The store has no {name}{SIGNATURE}.")
        verdicts = [
            provenance_verdict(found[0], text, record, self._verifier, self.store_identity)
            for text in signatures_in(beside[0].decode("utf-8", errors="replace"))
        ]
        return next((verdict for verdict in verdicts if verdict.is_good), verdicts[0])

    def report(self, verdict: Verdict, document: Mapping[str, Any], records: Iterable[Record]) -> Report:
        """Return the report on a catalog with this verdict, and on some of its records and their provenance."""
        catalog = {
            **_shown(verdict),
            **_facts(document),
            SERIAL: document[SERIAL] if is_serial(document.get(SERIAL)) else None,
            "first_sight": self.first_sight,
        }
        return Report(catalog, [self._look_at(record) for record in records])

    def _look_at(self, record: Record) -> dict[str, Any]:
        return {
            **dict(zip(("name", "version", "arch"), identity(record))),
            **_shown(self.record(record)),
            **_facts(record),
            "provenance": _shown(self.provenance(record)) if record.get("provenance") else {},
        }

    def insist(self, catalog: Verdict, document: Mapping[str, Any], records: Iterable[Record] = ()) -> None:
        """Raise TaskError for what this task may not use or sign: see C(refuses). Otherwise show it as a notice."""
        found = [] if catalog.is_good else [(catalog.word, f"{CATALOG}: {catalog.reason}{_named(document)}")]
        if self.refuses != AGE:
            for record in records:
                verdict = self.record(record)
                if not verdict.is_good:
                    found.append((verdict.word, f"{label(record)}: {verdict.reason}{_named(record)}"))
        if self.refuses == AGE:
            found = [each for each in found if each[0] in (ROLLED_BACK, UNKNOWN)]
        if found and self.refuses != NOTHING:
            raise self.refusal(found, verdict=found[0][0])
        for _word, sentence in found:
            self._tell(f"{sentence} It was used all the same, because require_signature is not set.")

    def refusal(self, found: Sequence[tuple[str, str]], **details: Any) -> TaskError:
        """Return the error for verdicts that are not good, each with its sentence."""
        many = len(found) > 1
        sentences = " ".join(sentence for _word, sentence in found[:_MOST_SENTENCES])
        head = f"{len(found)} of the signatures" if many else "A signature"
        return TaskError(
            f"{head} in {self._store.url} {'are' if many else 'is'} not good, so nothing there was used or signed. "
            f"{sentences} {_ADVICE_ON_AGE if {word for word, _text in found} <= {ROLLED_BACK, UNKNOWN} else _ADVICE}",
            **details,
        )

    def _tell(self, sentence: str) -> None:
        if sentence not in self._noticed:
            self._noticed.add(sentence)
            self._notice(sentence)


_ADVICE = (
    f"Find out who has written to the store before anybody installs these images. If something is wrong, restore "
    f"{CATALOG} and {CATALOG_SIGNATURE} from a backup. If all of it is right, somebody who has reviewed the records "
    "signs them with the module image_catalog and state: signed."
)
_ADVICE_ON_AGE = "Find out who has written to the store before anybody installs these images."


def _digest(record: Record) -> bytes:
    return hashlib.sha256(signed_bytes(record) + str(record.get(SIGNATURE_FIELD)).encode()).digest()


def _rolled_back(highest: Mapping[str, Any], serial: int) -> str:
    newest = f"number {highest['serial']}, signed by {highest['signer']} at {highest['signed_at']}"
    there = f"The store has the serial number {serial}" if serial else f"The store has no {CATALOG}"
    return (
        f"{there}, but this host has verified a newer one: {newest}. Somebody has put back an old catalog, or a cache "
        "has answered. If you restored a backup on purpose, accept it once with accept_rollback "
        "(image_accept_rollback in the playbooks)."
    )


def _named(said: Mapping[str, Any]) -> str:
    facts = _facts(said)
    if not facts[SIGNED_BY]:
        return ""
    return f" It names {facts[SIGNED_BY]} as its signer, at {facts[SIGNED_AT] or 'an unknown time'}."


def _facts(said: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else "" for key, value in ((key, said.get(key)) for key in _TEXT_KEYS)}


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.word, "reason": verdict.reason}
