# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Changes to the records of a catalog: withdraw, publish again, protect and remove.

A published record always has its files. To remove files, first the record is withdrawn and marked C(file_removed), then
the files are removed. If the record is to be removed too, it is removed last. So a run that is killed at any point
leaves a correct catalog, and the same command resumes from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from .._common.checksum import SIDECAR, parse_sidecar
from .._common.errors import TaskError, add_sentence
from .._common.retry import Retries
from .._common.text import folded
from .._records.record import (
    OF_WITHDRAWN,
    TIME_FORMAT,
    identity,
    image_file,
    label,
    names_own_file,
    natural_order,
)
from .._records.retention import Choice
from .._stores.base import Store
from .catalog import CatalogFile, Change
from .inventory import files_of, needed_files

Record = dict[str, Any]

RETIRED = "Retired: replaced by newer versions."


@dataclass(frozen=True)
class Done:
    """The result of a change to the catalog and its files."""

    change: Change
    # The removed records, as they were before.
    removed: list[Record] = field(default_factory=list)
    # The names of the removed files. In check mode, those that would be removed.
    removed_files: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.change.changed or bool(self.removed_files)


class Upkeep:
    """Changes the existing records of a catalog, and their files."""

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
        # One time for the whole run: the catalog may be written several times.
        self._now = now().astimezone(timezone.utc).strftime(TIME_FORMAT)

    def withdraw(self, choice: Choice, reason: str, remove_file: bool = False) -> Done:
        """Withdraw a version. Its record is kept, and so are its files unless C(remove_file) is set."""

        def edit(records: list[Record]) -> list[Record]:
            if remove_file:
                _refuse_foreign_files(choice.of(records))
            return self._each(records, choice, lambda record: self._withdrawn(record, reason, remove_file))

        change = self._change(edit, choice)
        files = self._remove_files(choice.of(change.after), change.after) if remove_file else []
        return Done(change, removed_files=files)

    def offer(self, choice: Choice) -> Done:
        """Publish a withdrawn version again, if its files are in the store."""
        return Done(self._change(lambda records: self._each(records, choice, self._offered), choice))

    def protect(self, choice: Choice, protected: bool) -> Done:
        """Protect a version from removal, or end the protection."""

        def edit(records: list[Record]) -> list[Record]:
            return self._each(records, choice, lambda record: {**record, "protected": protected})

        return Done(self._change(edit, choice))

    def remove(self, choose: Callable[[list[Record]], list[Record]], what: str) -> Done:
        """Remove records with their files. C(choose) is called again whenever another host has written the catalog."""
        chosen: set[tuple[str, str, str]] = set()

        def withdraw(records: list[Record]) -> list[Record]:
            gone = choose(records)
            _refuse_foreign_files(gone)
            chosen.clear()
            chosen.update(identity(record) for record in gone)
            return [self._withdrawn(each, None, True) if identity(each) in chosen else each for each in records]

        marked = self._catalog.change(withdraw, what, self._check_mode)
        # As they were before. Records that other hosts added meanwhile have no earlier state.
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
        return self._catalog.change(edit, f"the change to {choice}", self._check_mode, means=choice.means)

    def _each(self, records: list[Record], choice: Choice, edit: Callable[[Record], Record]) -> list[Record]:
        if not choice.of(records):
            known = {record["version"] for record in records if record["name"] == choice.name}
            versions = ", ".join(sorted(known, key=natural_order))
            there = f"It has these versions of {choice.name}: {versions}" if known else f"It has no image {choice.name}"
            raise TaskError(f"The catalog has no record of {choice}. {there}. Correct name, version or arch.")
        return [edit(record) if choice.means(record) else record for record in records]

    def _withdrawn(self, record: Record, reason: str | None, remove_file: bool) -> Record:
        """Return the withdrawn record with this reason. Without a reason, an existing one is kept."""
        if remove_file and record["protected"]:
            raise TaskError(
                f"{label(record)} is protected, so its file was not removed. To remove it, set state: unprotected for "
                "it first.",
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
                f"{label(record)} cannot be published again: its file was removed when it was withdrawn. Publish "
                "the image as a new version.",
                record=record,
            )
        self._check_bytes(record)
        return {key: value for key, value in {**record, "state": "published"}.items() if key not in OF_WITHDRAWN}

    def _check_bytes(self, record: Record) -> None:
        name = record["file"]
        stored = self._retries.call(lambda: self._store.look(name))
        if stored is None:
            raise TaskError(
                f"{label(record)} cannot be published again: {self._store.link(name)} no longer exists. Publish "
                "the image as a new version.",
                record=record,
            )
        digest = stored.sha256 or self._digest_beside(name)
        if digest is None and stored.size == record["size"]:  # only the bytes themselves show which they are
            digest = self._store.digest(name, self._retries)[0]
        if (stored.size, digest) != (record["size"], record["sha256"]):
            raise TaskError(
                f"{label(record)} cannot be published again: {self._store.link(name)} has changed. It has "
                f"{stored.size} bytes with SHA-256 {digest or 'unknown'}, but its record says {record['size']} bytes "
                f"with SHA-256 {record['sha256']}. Publish the image as a new version.",
                record=record,
            )

    def _digest_beside(self, name: str) -> str | None:
        found = self._retries.call(lambda: self._store.read(name + SIDECAR))
        return None if found is None else parse_sidecar(found[0].decode("utf-8", errors="replace"), name).sha256

    def _remove_files(self, gone: Iterable[Mapping[str, Any]], records: list[Record]) -> list[str]:
        """Remove the files of records marked C(file_removed), unless another record needs them. Return their names."""
        removed: list[str] = []
        needed = needed_files(records)
        for record in gone:
            for name in files_of(record):
                if folded(name) in needed:
                    continue
                try:
                    if self._retries.call(lambda name=name: self._remove(name)):
                        removed.append(name)
                except TaskError as error:
                    add_sentence(
                        error,
                        f"{label(record)} is withdrawn, but not all of its files were removed. Run the same command "
                        "again.",
                        removed_files=removed,
                    )
                    raise
        return removed

    def _remove(self, name: str) -> bool:
        return self._store.look(name) is not None if self._check_mode else self._store.delete(name)


def _refuse_foreign_files(gone: Iterable[Record]) -> None:
    """Raise TaskError, before anything is changed, for a record whose file may not belong to it."""
    for record in gone:
        if not names_own_file(record):
            raise TaskError(
                f"The record of {label(record)} names the file {record['file']!r}, but its image is "
                f"{image_file(record)}. Nothing was removed, because that file may not belong to the record. Correct "
                "'file' in that record of catalog.json, or remove the record there. Then run the same command again.",
                record=record,
            )
