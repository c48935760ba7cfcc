# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the stand-in, with the numbers that AWX would give them."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterator
from typing import Any

# Kinds that share one row of numbers (AWX 24.6.1, recorded: a project is 9, the job template after it 11).
SHARED_NUMBERS = dict.fromkeys(
    (
        "project",
        "inventory_source",
        "job_template",
        "workflow_job_template",
        "workflow_approval_template",
        "system_job_template",
    ),
    "unified_job_template",
) | dict.fromkeys(("job", "project_update", "inventory_update", "workflow_job", "workflow_approval"), "unified_job")
# What may stand for any of the kinds that share a row.
UNIONS = ("unified_job_template", "unified_job")


def now() -> str:
    """Return the time as AWX writes it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


@dataclasses.dataclass(eq=False)
class Record:
    """One object: its fields, and the objects that it is associated with, in their order."""

    kind: str
    id: int
    values: dict[str, Any]
    links: dict[str, list[Record]] = dataclasses.field(default_factory=dict)
    created: str = dataclasses.field(default_factory=now)
    modified: str = dataclasses.field(default_factory=now)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.values[name] = value

    def linked(self, name: str) -> list[Record]:
        return self.links.setdefault(name, [])


class Database:
    """All objects, by their kind and number."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[int, Record]] = {}
        self._numbers: dict[str, Iterator[int]] = {}

    def begin_numbers_at(self, kind: str, number: int) -> None:
        """Let the next object of a kind have this number."""
        self._numbers[SHARED_NUMBERS.get(kind, kind)] = itertools.count(number)

    def add(self, kind: str, /, **values: Any) -> Record:
        """Keep a new object."""
        row = SHARED_NUMBERS.get(kind, kind)
        record = Record(kind, next(self._numbers.setdefault(row, itertools.count(1))), values)
        self._tables.setdefault(kind, {})[record.id] = record
        return record

    def get(self, kind: str, number: int | None) -> Record | None:
        """Return an object; of the unions, whatever kind has the number."""
        if kind in UNIONS:
            found = (self.get(each, number) for each, row in SHARED_NUMBERS.items() if row == kind)
            return next((record for record in found if record), None)
        return self._tables.get(kind, {}).get(number) if number is not None else None

    def all(self, kind: str) -> list[Record]:
        """Return the objects of a kind, by their numbers."""
        if kind in UNIONS:
            found = [record for each, row in SHARED_NUMBERS.items() if row == kind for record in self.all(each)]
            return sorted(found, key=lambda record: record.id)
        return list(self._tables.get(kind, {}).values())

    def find(self, kind: str, /, **values: Any) -> list[Record]:
        """Return the objects of a kind whose fields have these values."""
        return [
            record
            for record in self.all(kind)
            if all(record.values.get(name) == value for name, value in values.items())
        ]

    def one(self, kind: str, /, **values: Any) -> Record:
        """Return the object of a kind whose fields have these values."""
        (record,) = self.find(kind, **values)
        return record

    def linking(self, record: Record) -> list[list[Record]]:
        """Return the associations that an object is in."""
        others = (other for table in self._tables.values() for other in table.values())
        return [links for other in others for links in other.links.values() if record in links]

    def remove(self, record: Record) -> None:
        """Forget an object, and what is associated with it."""
        self._tables[record.kind].pop(record.id, None)
        for links in self.linking(record):
            links.remove(record)
