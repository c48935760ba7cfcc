# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules, and the texts of their recurrence (AWX 24.6.1, recorded: schedule).

AWX reads them with dateutil, and so does this.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import TYPE_CHECKING, Any

from dateutil import rrule as recurrence

from . import prompts
from .kinds import Change, Rules
from .refusals import invalid

if TYPE_CHECKING:
    from .database import Record

START = re.compile(r"(DTSTART(?:;TZID=([^:]+))?:\d+T\d+Z?)")
NO_ZONE = "A valid TZID must be provided (e.g., America/New_York)"
# How many dates of a recurrence a preview shows.
PREVIEWED = 10


class Schedules(Rules):
    """What AWX checks of schedules."""

    def check(self, change: Change) -> None:
        new = change.new
        if "rrule" in change.given:
            new["rrule"] = normalized(new["rrule"])
        prompts.check_saved(self.awx.database, new["unified_job_template"], new, required=True)

    def show(self, record: Record, body: dict[str, Any]) -> None:
        dates = next_dates(record["rrule"], 1)
        zone = START.search(record["rrule"])
        body["dtstart"] = body["next_run"] = _utc(dates[0]) if dates and record["enabled"] else None
        body["dtend"] = None
        body["timezone"] = (zone and zone.group(2)) or "UTC"
        body["until"] = _until(record["rrule"])


def _utc(date: datetime.datetime) -> str:
    return date.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _until(text: str) -> str:
    found = re.search(r"UNTIL=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", text)
    return "{}-{}-{}T{}:{}:{}".format(*found.groups()) if found else ""


# Of each rule of a text: what AWX refuses, and its words.
WRONG_RULES = (
    (lambda rule: "INTERVAL" not in rule, "INTERVAL required in rrule"),
    (lambda rule: "SECONDLY" in rule, "SECONDLY is not supported"),
    (lambda rule: re.search(r"BYDAY=[^;]*\d[A-Z]{2}", rule), "BYDAY with numeric prefix not supported"),
    (lambda rule: "COUNT=" in rule and "UNTIL=" in rule, "RRULE may not contain both COUNT and UNTIL"),
    (lambda rule: _count(rule) > 999, "COUNT > 999 is unsupported"),
)


def _count(rule: str) -> int:
    found = re.search(r"COUNT=(\d+)", rule)
    return int(found.group(1)) if found else 0


def problems(text: str) -> list[str]:
    """Return all that is wrong with the text of a recurrence."""
    found = []
    starts = re.findall(r"DTSTART[^\n ]*", text)
    if not START.search(text):
        found.append("Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ")
    if len(starts) > 1:
        found.append("Multiple DTSTART is not supported.")
    elif starts and re.fullmatch(r"DTSTART:\d+T\d+", starts[0]):
        found.append("DTSTART cannot be a naive datetime.  Specify ;TZINFO= or YYYYMMDDTHHMMSSZZ.")
    rules = re.findall(r"(?:EX)?(RULE:[^\s]*)", text)
    if not re.search(r"RULE:", text, re.IGNORECASE):
        found.append("One or more rule required in rrule.")
    found += [f"{name} not allowed in rrule." for name in ("RDATE", "EXDATE") if name in text]
    found += [f"{words}: {rule}" for rule in rules for wrong, words in WRONG_RULES if wrong(rule)]
    if not found or not _other_than_form(found):
        try:
            _parsed(text)
        except ValueError as error:
            found.append(f"rrule parsing failed validation: {error}")
    return found


def _other_than_form(found: list[str]) -> bool:
    """Return whether something else is wrong than what dateutil refuses, too."""
    return any(not re.match(r"Valid DTSTART|DTSTART cannot|One or more|INTERVAL required", text) for text in found)


def _parsed(text: str) -> recurrence.rruleset | recurrence.rrule:
    start = START.search(text)
    zones = {}
    if start is not None and start.group(2):
        zones = {start.group(2): _zone(start.group(2))}
    naive = start is not None and not start.group(2) and not start.group(1).endswith("Z")
    if naive or None in zones.values() or (start is None and "RULE:" in text):
        raise ValueError(NO_ZONE)
    return recurrence.rrulestr(_lines(text), forceset=True, tzinfos=zones)


def _lines(text: str) -> str:
    return re.sub(r"[ \n]+", "\n", text.strip())


def normalized(text: str) -> str:
    """Return the text of a recurrence as AWX keeps it: on one line, its end in UTC."""
    text = _with_end_in_utc(" ".join(text.split()))
    wrong = problems(text)
    if wrong:
        raise invalid(rrule=wrong)
    return text


def _with_end_in_utc(text: str) -> str:
    start = START.search(text)
    zone = _zone(start.group(2)) if start is not None and start.group(2) else datetime.timezone.utc
    if zone is None:
        return text

    def in_utc(found: re.Match[str]) -> str:
        local = datetime.datetime.strptime(found.group(1), "%Y%m%dT%H%M%S").replace(tzinfo=zone)
        return "UNTIL=" + local.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")

    return re.sub(r"UNTIL=(\d{8}T\d{6})(?!Z)", in_utc, text)


def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None


def _moved_near(now: datetime.datetime, text: str) -> str:
    """Return a recurrence of minutes or hours that began long ago as if it had begun yesterday: the dates are the same.

    Else all dates since then would be counted, as AWX does not either.
    """
    found = re.fullmatch(r"DTSTART:(\d+T\d+)Z RRULE:FREQ=(MINUTELY|HOURLY);INTERVAL=(\d+)", text)
    if not found:
        return text
    start = datetime.datetime.strptime(found.group(1), "%Y%m%dT%H%M%S").replace(tzinfo=datetime.timezone.utc)
    step = int(found.group(3)) * datetime.timedelta(
        **{"MINUTELY": {"minutes": 1}, "HOURLY": {"hours": 1}}[found.group(2)]
    )
    behind = (now - datetime.timedelta(days=1) - start) // step
    moved = start + max(behind, 0) * step
    return text.replace(found.group(1), moved.strftime("%Y%m%dT%H%M%S"))


def next_dates(text: str, count: int) -> list[datetime.datetime]:
    """Return the next dates of a recurrence."""
    now = datetime.datetime.now(datetime.timezone.utc)
    rules = _parsed(_moved_near(now, text))
    found: list[datetime.datetime] = []
    date = rules.after(now)
    while date is not None and len(found) < count:
        found.append(date)
        date = rules.after(date)
    return found


def preview(body: dict[str, Any]) -> dict[str, Any]:
    """Return the next dates, as the endpoint for them does."""
    dates = next_dates(normalized(body.get("rrule", "")), PREVIEWED)
    return {"local": [date.isoformat() for date in dates], "utc": [_utc(date) for date in dates]}
