# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: filters, order and pages (AWX 24.6.1, recorded: protocol)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .database import Record
from .fields import referred_kind
from .kinds import KINDS
from .recorded import options
from .refusals import Refusal

if TYPE_CHECKING:
    from .server import Awx

PAGE_SIZE, LARGEST_PAGE = 25, 200
NO_FILTERS = ("page", "page_size", "order_by", "order", "format", "search", "role_level")
PREFIXES = ("or", "not", "chain")

LOOKUPS: dict[str, Callable[[Any, str], bool]] = {
    "exact": lambda value, wanted: _text(value) == wanted,
    "iexact": lambda value, wanted: _text(value).lower() == wanted.lower(),
    "contains": lambda value, wanted: wanted in _text(value),
    "icontains": lambda value, wanted: wanted.lower() in _text(value).lower(),
    "startswith": lambda value, wanted: _text(value).startswith(wanted),
    "istartswith": lambda value, wanted: _text(value).lower().startswith(wanted.lower()),
    "endswith": lambda value, wanted: _text(value).endswith(wanted),
    "in": lambda value, wanted: _text(value) in wanted.split(","),
    "isnull": lambda value, wanted: (value is None) == (wanted.lower() in ("true", "1")),
    "gt": lambda value, wanted: value is not None and float(value) > float(wanted),
    "lt": lambda value, wanted: value is not None and float(value) < float(wanted),
}
NUMBERS = ("id",)
# Associations that can be filtered by, and the kinds of what is associated.
LINKED = {
    "labels": "label",
    "credentials": "credential",
    "users": "user",
    "teams": "team",
    "hosts": "host",
    "instance_groups": "instance_group",
}
# Fields that a list does not show, and can be filtered by all the same: awx.awx does.
NOT_SHOWN = {"unified_job_template": ("organization",), "workflow_job_node": ("job",)}


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


class Filters:
    """Picks what a query asks for."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx

    def answer(
        self, kind: str, records: list[Record], query: dict[str, str], path: str, user: Record
    ) -> dict[str, Any]:
        """Return one page of the records that fit."""
        fitting = self.fitting(kind, records, query)
        size = min(int(query.get("page_size", PAGE_SIZE) or PAGE_SIZE), LARGEST_PAGE)
        page = query.get("page", "1")
        last = max(1, -(-len(fitting) // size))
        if not page.isdigit() or not 1 <= int(page) <= last:
            raise Refusal(404, {"detail": "Invalid page."})
        number = int(page)
        shown = [self._awx.show(record, user, detail=False) for record in fitting[(number - 1) * size : number * size]]

        def other(target: int) -> str | None:
            return f"{path}?{urlencode({**query, 'page': target})}" if 1 <= target <= last else None

        return {"count": len(fitting), "next": other(number + 1), "previous": other(number - 1), "results": shown}

    def fitting(self, kind: str, records: list[Record], query: dict[str, str]) -> list[Record]:
        """Return the records that fit a query, in its order."""
        every: list[Callable[[Record], bool]] = []
        some: list[Callable[[Record], bool]] = []
        for key, wanted in query.items():
            if key in NO_FILTERS:
                continue
            prefix, _double, rest = key.partition("__")
            name = rest if prefix in PREFIXES else key
            fits = self._filter(kind, name, wanted)
            if prefix == "not":
                every.append(_opposite(fits))
            else:
                (some if prefix == "or" else every).append(fits)
        if "search" in query:
            text = query["search"].lower()
            every.append(lambda record: text in f"{record['name']} {record['description']}".lower())
        found = [
            record
            for record in records
            if all(fits(record) for fits in every) and (not some or any(fits(record) for fits in some))
        ]
        order = query.get("order_by") or query.get("order") or "id"
        for name in reversed(order.split(",")):
            field = name.lstrip("-")
            found.sort(key=lambda record: str(_value(record, field)).zfill(12), reverse=name.startswith("-"))
        return found

    def _filter(self, kind: str, name: str, wanted: str) -> Callable[[Record], bool]:
        parts = name.split("__")
        lookup = parts.pop() if len(parts) > 1 and parts[-1] in LOOKUPS else "exact"
        field, *further = parts
        self._must_have(kind, field)
        if further or field in LINKED:
            return self._related_filter(field, "__".join([*(further or ["id"]), lookup]), wanted)
        definition = _definition(kind, field)
        if lookup in ("exact", "in") and (field in NUMBERS or definition.get("type") in ("id", "integer")):
            for part in wanted.split(",") if lookup == "in" else [wanted]:
                if not re.fullmatch(r"-?\d+", part) and part.lower() not in ("null", "none", ""):
                    raise Refusal(400, {"detail": f'["\u201c{part}\u201d value must be an integer."]'})
        if wanted.lower() in ("null", "none") and lookup == "exact":
            return lambda record: _value(record, field) is None
        wanted = wanted.lower() if wanted in ("True", "False") else wanted
        return lambda record: LOOKUPS[lookup](_value(record, field), wanted)

    def _related_filter(self, field: str, name: str, wanted: str) -> Callable[[Record], bool]:
        """Return a filter by what an object refers to, or is associated with."""
        kind = LINKED.get(field) or referred_kind(field)
        fits = self._filter(kind, name, wanted)

        def any_fits(record: Record) -> bool:
            others = record.linked(field) if field in LINKED else [self._awx.database.get(kind, record[field])]
            return any(other is not None and fits(other) for other in others)

        return any_fits

    def _must_have(self, kind: str, field: str) -> None:
        known = {*options(KINDS[kind].path).get("GET", ()), *_definitions(kind), *LINKED, *NOT_SHOWN.get(kind, ())}
        if field not in known:
            raise Refusal(400, {"detail": f"{KINDS[kind].model} has no field named '{field}'"})


def _opposite(fits: Callable[[Record], bool]) -> Callable[[Record], bool]:
    return lambda record: not fits(record)


def _value(record: Record, field: str) -> Any:
    if field == "type":
        return record.kind
    return getattr(record, field) if field in ("id", "created", "modified") else record[field]


def _definitions(kind: str) -> dict[str, Any]:
    return options(KINDS[kind].path).get("POST", {})


def _definition(kind: str, field: str) -> dict[str, Any]:
    return _definitions(kind).get(field, {})
