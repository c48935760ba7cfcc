# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Signs records and the catalog, in an order that leaves no moment without a signature that fits.

The catalog and its signature are two files, which cannot be written in one step. So first the signature of the new
catalog is put beside the one of the old catalog, in one file. Then the catalog is written. Then the new signature stays
alone. A run that is killed at any point leaves a catalog with a good signature, the old one or the new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.retry import Retries, RetryLater, pause_after_conflict
from .._records.record import TIME_FORMAT, identity, label, names_own_file
from .._stores.base import Conflict, Store
from .guard import AGE, Guard, Signatures
from .signature import CATALOG_KIND, CHANGED, MISSING, UNREADABLE, Signer, Verdict
from .statements import (
    CATALOG_SIGNATURE,
    SERIAL,
    SIGNATURE_FIELD,
    SIGNED_AT,
    SIGNED_BY,
    SIGNED_FOR,
    Record,
    sign_record,
    utc_now,
)

_WRITE_TRIES = 10
# Signatures that are kept beside the current one while other hosts may be writing. A reader accepts twice as many.
_MOST_KEPT = 8
# In a store without conditional writes: how long another host may take to overwrite our signature.
_SETTLE = 2.0


class Seal:
    """Signs what is written to one catalog, with one key."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        signer: Signer,
        guard: Guard,
        *,
        check_mode: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """What the guard refuses is not signed over. In check mode, images are not read to prove them."""
        self.guard = guard
        self._store = store
        self._retries = retries
        self._signer = signer
        self._check_mode = check_mode
        self._sleep = sleep
        self._now = now
        self._proven: set[tuple[str, int, str]] = set()

    def prove(self) -> None:
        """Raise TaskError when the key cannot sign."""
        self._signer.prove()

    # Records

    def sign_records(self, before: Sequence[Record], after: Sequence[Record]) -> list[Record]:
        """Return the records, with signatures on those that are new or changed."""
        # What does not change is the same object in both: there may be very many.
        same = {id(record) for record in after}
        known = {identity(record): record for record in before if id(record) not in same}
        unchanged = {id(record) for record in before}
        return [
            record if id(record) in unchanged else self._signed(record, known.get(identity(record))) for record in after
        ]

    def _signed(self, record: Mapping[str, Any], before: Optional[Record]) -> Record:
        if before is not None and record == before:
            return before
        newly = bool(record.get(SIGNATURE_FIELD)) and record[SIGNATURE_FIELD] != (before or {}).get(SIGNATURE_FIELD)
        if newly and self.guard.record(dict(record)).is_good:
            return dict(record)
        return self._sign(record)

    def _sign(self, record: Mapping[str, Any]) -> Record:
        signed = sign_record(record, self._signer, self.guard.store_identity, self._now())
        self.guard.made_record(signed)
        return signed

    def sign_all(
        self, records: Iterable[Record], means: Callable[[Record], bool], anew: bool, catalog: Verdict
    ) -> list[Record]:
        """Return the records. Those that match and have no signature are signed, after their images were verified.

        With C(anew), matching records that another key has signed are signed again with this key. Raises TaskError for
        a record that was changed after it was signed: only a person can decide whether the change is correct. Where the
        catalog was not verified, it vouches for none of the others, so each of them must be good.
        """
        return [
            self._signed_by_all_means(record, anew, catalog) if means(record) else self._vouched_for(record, catalog)
            for record in records
        ]

    def _vouched_for(self, record: Record, catalog: Verdict) -> Record:
        if not catalog.is_good:
            verdict = self.guard.record(record)
            if not verdict.is_good:
                raise TaskError(
                    f"The catalog was not signed, because its signature would also vouch for the record of "
                    f"{label(record)}: {verdict.reason} Run state: signed without name, version and arch, or withdraw "
                    "or remove that record.",
                    record=record,
                    verdict=verdict.word,
                )
        return record

    def _signed_by_all_means(self, record: Record, anew: bool, catalog: Verdict) -> Record:
        if catalog.is_good and record.get(SIGNATURE_FIELD) and (not anew or self._is_own(record)):
            return record
        verdict = self.guard.record(record)
        if verdict.word in (CHANGED, UNREADABLE):
            raise TaskError(
                f"The record of {label(record)} was changed after it was signed, so it was not signed again. "
                "Check that record. If it is correct, remove its fields signed_by, signed_at, signed_for and signature "
                "from the catalog. If not, restore the catalog from a backup.",
                record=record,
                verdict=verdict.word,
            )
        if verdict.is_good and (not anew or self._is_own(record)):
            return record
        if verdict.word != MISSING and not anew:
            return self._vouched_for(record, catalog)
        # Without allowed signers, a good signature only shows that the record is as somebody signed it.
        if not (verdict.is_good and self.guard.knows_signers):
            self._prove_image(record)
        return self._sign(record)

    def _is_own(self, record: Record) -> bool:
        return record.get(SIGNED_BY) == self._signer.identity and self._signer.has_made(str(record[SIGNATURE_FIELD]))

    def _prove_image(self, record: Record) -> None:
        """Raise TaskError unless the image in the store has the bytes of the record. Nothing that is stored is trusted.

        A digest that the store or a file beside the image gives could come from whoever replaced the image, so it is
        read and hashed. An image that was removed offers nothing that could be wrong.
        """
        if record.get("file_removed"):
            return
        name, wanted = record["file"], (record["size"], record["sha256"])
        if (name, *wanted) in self._proven:
            return
        link = self._store.link(name)
        if not names_own_file(record):
            raise self._not_signed(record, f"its file is {name!r}, which is not the name of its image", None)
        stored = self._retries.call(lambda: self._store.look(name))
        if stored is None:
            raise self._not_signed(record, f"its image {link} is not in the store", None)
        found = (stored.size, record["sha256"])
        if stored.size == record["size"] and not self._check_mode:
            digest, size = self._store.digest(name, self._retries)
            found = (size, digest)
        if found != wanted:
            raise self._not_signed(
                record,
                f"its image {link} has {found[0]} bytes with SHA-256 {found[1]}, but the record says {wanted[0]} bytes "
                f"with SHA-256 {wanted[1]}"
                if found[0] == wanted[0]
                else f"its image {link} has {found[0]} bytes, but the record says {wanted[0]}",
                CHANGED,
            )
        self._proven.add((name, *wanted))

    def _not_signed(self, record: Record, why: str, verdict: Optional[str]) -> TaskError:
        return TaskError(
            f"The record of {label(record)} was not signed: {why}. Find out who has changed the record or the image. "
            "Restore what is wrong, or withdraw and remove the version.",
            record=record,
            verdict=verdict or MISSING,
        )

    # The catalog

    def must_sign(self, catalog: Verdict) -> bool:
        """Return whether a catalog is to be signed although no record changes: only if a person has ordered it."""
        return self.guard.refuses == AGE and (not catalog.is_good or self.guard.accepted_rollback)

    def mark(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document of a catalog with its signer, the current time, its store and a new serial number."""
        return {
            **document,
            SIGNED_BY: self._signer.identity,
            SIGNED_AT: self._now().strftime(TIME_FORMAT),
            SIGNED_FOR: self.guard.store_identity,
            SERIAL: self.guard.next_serial(document),
        }

    def announce(self, data: bytes, there: Signatures) -> str:
        """Put the signature of a catalog that will be written beside those that are there, and return it."""
        signature = self._signer.sign(CATALOG_KIND, data)
        self._put(signature, there)
        self.guard.made(data, signature)
        return signature

    def ensure(self, signature: str, there: Signatures) -> Signatures:
        """Put the signature back that another host has overwritten, in a store without conditional writes."""
        return there if signature in there.texts else self._put(signature, there)

    def _put(self, signature: str, there: Signatures) -> Signatures:
        for turn in range(_WRITE_TRIES):
            # The signature of the catalog that is there now must not be the one that is left out.
            kept = sorted((text for text in there.texts if text != signature), key=self._is_current, reverse=True)
            try:
                self._write([signature, *kept[: _MOST_KEPT - 1]], there.version)
            except Conflict:
                self._sleep(pause_after_conflict(turn))
            else:
                self._settle()
            there = self.guard.signatures()
            if signature in there.texts:
                return there
        raise TaskError(
            f"Other hosts wrote {self._store.link(CATALOG_SIGNATURE)} each time before the signature of this host was "
            f"saved ({_WRITE_TRIES} attempts). Run the same command again with fewer hosts at a time."
        )

    def _is_current(self, signature: str) -> bool:
        return signature == self.guard.good_signature

    def finish(self, signature: str, there: Signatures) -> None:
        """Leave the signature of a catalog alone, unless another host has written signatures since.

        The signatures were read before the catalog, so a host that has read our catalog and announced another one is
        noticed. Where conditions of a write do not hold, the others stay: the next host that writes leaves them out.
        """
        if list(there.texts) == [signature] or signature not in there.texts or not self._store.exclusive:
            return
        try:
            self._write([signature], there.version)
        except (Conflict, RetryLater):
            return

    def _write(self, signatures: list[str], version: Optional[str]) -> None:
        self._store.write(
            CATALOG_SIGNATURE,
            "".join(signatures).encode(),
            "text/plain; charset=utf-8",
            if_version=version,
            if_absent=version is None,
        )

    def _settle(self) -> None:
        if not (self._store.atomic and self._store.exclusive):
            self._sleep(_SETTLE)
