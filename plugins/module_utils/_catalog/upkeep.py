# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Keeping a catalog in order: withdrawing versions and offering them again, protecting and removing them.

A record never promises bytes that are not there. Before any are removed, its record is withdrawn and says that they
are gone; only after that are they removed; and when the record is to go too, it goes last. So a run that is killed
anywhere leaves a catalog that is true, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from .._common.checksum import SIDECAR, parse_sidecar
from .._common.errors import TaskError, add_sentence
from .._common.retry import Retries
from .._records.record import OF_WITHDRAWN, TIME_FORMAT, identity, label, natural_order
from .._records.retention import Choice
from .._stores.base import Store
from .catalog import CatalogFile, Change
from .inventory import files_of, needed_files

Record = dict[str, Any]

RETIRED = "Retired: newer versions have taken its place."


@dataclass(frozen=True)
class Done:
    """What became of the catalog and of the files."""

    change: Change
    # The records that went, as they were.
    removed: list[Record] = field(default_factory=list)
    # The names of the files that went, or in check mode would go.
    removed_files: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.change.changed or bool(self.removed_files)


class Upkeep:
    """What is done to the records that a catalog has, and to their files."""

    def __init__(
        self,
        catalog: CatalogFile,
        store: Store,
        retries: Retries,
        check_mode: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._retries = retries
        self._check_mode = check_mode
        # One moment for a whole run: the catalog may have to be written several times.
        self._now = now().astimezone(timezone.utc).strftime(TIME_FORMAT)

    def withdraw(self, choice: Choice, reason: str, remove_file: bool = False) -> Done:
        """Stop offering a version. Its record stays, and so do its bytes, unless C(remove_file)."""

        def edit(records: list[Record]) -> list[Record]:
            return self._each(records, choice, lambda record: self._withdrawn(record, reason, remove_file))

        change = self._change(edit, choice)
        files = self._remove_files(choice.of(change.after), change.after) if remove_file else []
        return Done(change, removed_files=files)

    def offer(self, choice: Choice) -> Done:
        """Offer a version again that was withdrawn, if its bytes are there."""
        return Done(self._change(lambda records: self._each(records, choice, self._offered), choice))

    def protect(self, choice: Choice, protected: bool) -> Done:
        """Protect a version from being removed, or end that."""

        def edit(records: list[Record]) -> list[Record]:
            return self._each(records, choice, lambda record: {**record, "protected": protected})

        return Done(self._change(edit, choice))

    def remove(self, choose: Callable[[list[Record]], list[Record]], what: str) -> Done:
        """Remove records with their files. C(choose) is asked again whenever others have written the catalog."""
        chosen: set[tuple[str, str, str]] = set()

        def withdraw(records: list[Record]) -> list[Record]:
            chosen.clear()
            chosen.update(identity(record) for record in choose(records))
            return [self._withdrawn(each, None, True) if identity(each) in chosen else each for each in records]

        marked = self._catalog.change(withdraw, what, self._check_mode)
        # As they were before; what others have added meanwhile was not there then.
        first = {identity(record): record for record in [*marked.after, *marked.before]}
        removed = [record for key, record in first.items() if key in chosen]
        files = self._remove_files([each for each in marked.after if identity(each) in chosen], marked.after)
        if not chosen:
            return Done(marked)
        if self._check_mode:
            left = [record for record in marked.after if identity(record) not in chosen]
            return Done(Change(True, marked.before, left), removed, files)
        dropped = self._catalog.change(lambda records: [r for r in records if identity(r) not in chosen], what)
        return Done(Change(True, marked.before, dropped.after), removed, files)

    def _change(self, edit: Callable[[list[Record]], list[Record]], choice: Choice) -> Change:
        return self._catalog.change(edit, f"what is done to {choice}", self._check_mode)

    def _each(self, records: list[Record], choice: Choice, edit: Callable[[Record], Record]) -> list[Record]:
        if not choice.of(records):
            known = {record["version"] for record in records if record["name"] == choice.name}
            versions = ", ".join(sorted(known, key=natural_order))
            there = f"these versions of {choice.name}: {versions}" if known else f"no image {choice.name}"
            raise TaskError(f"The catalog has no record of {choice}. It has {there}. Correct name, version or arch.")
        return [edit(record) if choice.means(record) else record for record in records]

    def _withdrawn(self, record: Record, reason: str | None, remove_file: bool) -> Record:
        """Return the record withdrawn, with this reason; without one, with the one that it has."""
        if remove_file and record["protected"]:
            raise TaskError(
                f"{label(record)} is protected, so its file stays. Set state: unprotected for it first, if it may go.",
                record=record,
            )
        if record["state"] == "published":
            record = {**record, "state": "withdrawn", "withdrawn_at": self._now, "reason": reason or RETIRED}
        elif reason is not None:
            record = {**record, "reason": reason}
        return {**record, "file_removed": True} if remove_file else record

    def _offered(self, record: Record) -> Record:
        if record["state"] == "published":
            return record
        if record.get("file_removed"):
            raise TaskError(
                f"{label(record)} cannot be offered again: its file was removed when it was withdrawn. Publish the "
                "image as a new version.",
                record=record,
            )
        self._check_bytes(record)
        return {key: value for key, value in {**record, "state": "published"}.items() if key not in OF_WITHDRAWN}

    def _check_bytes(self, record: Record) -> None:
        name = record["file"]
        stored = self._retries.call(lambda: self._store.look(name))
        if stored is None:
            raise TaskError(
                f"{label(record)} cannot be offered again: {self._store.link(name)} is not there any more. Publish the "
                "image as a new version.",
                record=record,
            )
        digest = stored.sha256 or self._digest_beside(name) or record["sha256"]
        if (stored.size, digest) != (record["size"], record["sha256"]):
            raise TaskError(
                f"{label(record)} cannot be offered again: {self._store.link(name)} has other bytes now ({stored.size} "
                f"with the SHA-256 {digest}) than its record says ({record['size']} with {record['sha256']}). Publish "
                "the image as a new version.",
                record=record,
            )

    def _digest_beside(self, name: str) -> str | None:
        found = self._retries.call(lambda: self._store.read(name + SIDECAR))
        return None if found is None else parse_sidecar(found[0].decode("utf-8", errors="replace"), name).sha256

    def _remove_files(self, gone: Iterable[Mapping[str, Any]], records: list[Record]) -> list[str]:
        """Remove the files of records that say that they are gone, unless another one needs them; return which."""
        removed: list[str] = []
        needed = needed_files(records)
        for record in gone:
            for name in files_of(record):
                if name in needed:
                    continue
                try:
                    if self._retries.call(lambda name=name: self._remove(name)):
                        removed.append(name)
                except TaskError as error:
                    add_sentence(
                        error,
                        f"{label(record)} is withdrawn, and not all of its files are removed yet. Run the same command "
                        "again.",
                        removed_files=removed,
                    )
                    raise
        return removed

    def _remove(self, name: str) -> bool:
        return self._store.look(name) is not None if self._check_mode else self._store.delete(name)
