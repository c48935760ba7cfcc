# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Which records go: those that are beyond what is kept, and those that are named. Nothing is removed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

from .._common.errors import TaskError
from .record import TIME_FORMAT, label, natural_order

Record = dict[str, Any]

_AGE = re.compile(r"([0-9]{1,6})\s*([hdwy])")
_OLDEST = timedelta(days=36500)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}


@dataclass(frozen=True)
class Choice:
    """Which records are meant: what is None does not matter."""

    name: str | None = None
    version: str | None = None
    arch: str | None = None
    state: str | None = None
    protected: bool | None = None

    def of(self, records: Iterable[Record]) -> list[Record]:
        """Return those that are meant."""
        return [record for record in records if self.means(record)]

    def means(self, record: Mapping[str, Any]) -> bool:
        wanted = {
            "name": self.name,
            "version": self.version,
            "arch": self.arch,
            "state": self.state,
            "protected": self.protected,
        }
        return all(value is None or record[key] == value for key, value in wanted.items())

    def __str__(self) -> str:
        return "-".join(part for part in (self.name, self.version, self.arch) if part)


@dataclass(frozen=True)
class Rule:
    """How many versions of each name and architecture are kept, and from what age on others go."""

    keep: int = 1
    older_than: timedelta | None = None

    def beyond(self, records: Iterable[Record], now: datetime) -> list[Record]:
        """Return the records that go.

        A record that is withdrawn because it goes is chosen again while the same rule holds, so a run that was killed
        in the middle is finished by the next one.
        """
        groups: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            groups.setdefault((record["name"], record["arch"]), []).append(record)
        return [record for group in groups.values() for record in self._beyond(group, now)]

    def _beyond(self, group: Sequence[Record], now: datetime) -> list[Record]:
        published = sorted(_published(group), key=_order, reverse=True)
        kept = published[: self.keep]
        if len(kept) < self.keep:
            return []
        last = _published_last(group)
        return [
            record
            for record in group
            if _order(record) < _order(kept[-1])
            and record is not last
            and not record["protected"]
            and self._is_old(record, now)
        ]

    def _is_old(self, record: Record, now: datetime) -> bool:
        if self.older_than is None:
            return True
        published_at = datetime.strptime(record["published_at"], TIME_FORMAT).replace(tzinfo=timezone.utc)
        return published_at < now - self.older_than


def by_rule(rule: Rule, choice: Choice, now: datetime) -> Callable[[list[Record]], list[Record]]:
    """Return what chooses the records that are beyond a rule."""
    return lambda records: rule.beyond(choice.of(records), now)


def by_name(choice: Choice) -> Callable[[list[Record]], list[Record]]:
    """Return what chooses the records that are named. It raises TaskError for those that must stay."""

    def chosen(records: list[Record]) -> list[Record]:
        named = choice.of(records)
        for record in named:
            _check_that_it_may_go(record, records)
        return named

    return chosen


def _check_that_it_may_go(record: Record, records: list[Record]) -> None:
    if record["protected"]:
        raise TaskError(
            f"{label(record)} is protected, so it stays. Set state: unprotected for it first, if it may go.",
            record=record,
        )
    group = [each for each in records if (each["name"], each["arch"]) == (record["name"], record["arch"])]
    published = _published(group)
    newest = max(published, key=_order, default=None)
    if record is newest or record is _published_last(group):
        which = "the newest version" if record is newest else "the version that was published last"
        raise TaskError(
            f"{label(record)} is {which} that is offered for {record['name']} on {record['arch']}, so it stays. "
            "Publish another version first. If this one is bad, set state: withdrawn for it, then remove it.",
            record=record,
        )


def parse_age(text: str) -> timedelta:
    """Return the time that a text such as C(90d) means."""
    parsed = _AGE.fullmatch(text.strip().lower())
    age = int(parsed[1]) * _UNITS[parsed[2]] if parsed else timedelta()
    if not timedelta() < age <= _OLDEST:
        raise TaskError(
            f"older_than cannot be '{text}': give a number with h, d, w or y (hours, days, weeks, years), such as 90d."
        )
    return age


def _published(group: Iterable[Record]) -> list[Record]:
    return [record for record in group if record["state"] == "published"]


def _published_last(group: Iterable[Record]) -> Record | None:
    """Its number may be a lower one: a version before it was a slip of the pen, or got a correction."""
    return max(_published(group), key=lambda record: (record["published_at"], _order(record)), default=None)


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return natural_order(record["version"])
