# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The record of a published image: its fields, and what is wrong with one that is not as it should be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from .._common.files import IMAGE_SUFFIX

SCHEMA = 1
ARCHITECTURES = ("arm64", "x86_64")
STATES = ("published", "withdrawn")
SOURCE_FIELDS = ("vm", "os", "tools")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# What makes a record the record of one image: two records with the same values are one.
IDENTITY = ("name", "version", "arch")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def _text(value: Any) -> Optional[str]:
    return None if isinstance(value, str) else "has to be a text"


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[Any], Optional[str]]:
    return lambda value: None if isinstance(value, str) and pattern.fullmatch(value) else f"has to be {wanted}"


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], Optional[str]]:
    return lambda value: None if value in choices else f"has to be one of {', '.join(choices)}"


def _file_name(value: Any) -> Optional[str]:
    good = isinstance(value, str) and re.fullmatch(r"[^\x00-\x1f/.-][^\x00-\x1f/]*", value)
    return None if good else "has to be a file name, without a folder, that does not start with '.' or '-'"


def _url(value: Any) -> Optional[str]:
    wanted = "has to be an https:// address (or file:// for a store that is a folder), without user name and password"
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        return wanted
    try:
        parts = urlsplit(value)
    except ValueError:
        return wanted
    if "@" in parts.netloc:
        return wanted
    good = parts.scheme == "file" or (parts.scheme == "https" and parts.hostname)
    return None if good else wanted


def _size(value: Any) -> Optional[str]:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return None if good else "has to be a number of bytes above 0"


def _flag(value: Any) -> Optional[str]:
    return None if isinstance(value, bool) else "has to be true or false"


def _time(value: Any) -> Optional[str]:
    try:
        datetime.strptime(value, TIME_FORMAT)
    except (TypeError, ValueError):
        return "has to be a time in UTC such as 2026-11-22T10:00:00Z"
    return None


def _source(value: Any) -> Optional[str]:
    if not isinstance(value, Mapping):
        return "has to be a dictionary"
    bad = sorted(str(key) for key, entry in value.items() if not isinstance(entry, str))
    return f"has to hold texts, unlike {', '.join(bad)}" if bad else None


_FIELDS: dict[str, Callable[[Any], Optional[str]]] = {
    "schema": lambda value: None if value == SCHEMA and not isinstance(value, bool) else f"has to be {SCHEMA}",
    "name": _matching(_NAME, "made of lower-case letters, digits, '.' and '-'"),
    "version": _matching(_VERSION, "made of letters, digits, '.', '-', '_' and '+'"),
    "arch": _one_of(ARCHITECTURES),
    "title": _text,
    "description": _text,
    "file": _file_name,
    "url": _url,
    "sha256": _matching(_SHA256, "64 hexadecimal digits, in lower case"),
    "size": _size,
    "published_at": _time,
    "state": _one_of(STATES),
    "protected": _flag,
    "source": _source,
    "parallels": _text,
}

# What only some records have: withdrawn ones say why and since when, and whether their bytes are gone, too.
_OPTIONAL_FIELDS: dict[str, Callable[[Any], Optional[str]]] = {
    "reason": _text,
    "withdrawn_at": _time,
    "file_removed": _flag,
}
OF_WITHDRAWN = tuple(_OPTIONAL_FIELDS)

# What a record has that is signed, and that of an image with a statement of provenance: of what only some have, all
# that may be there when it is added.
_FIELDS_OF_PROOF: dict[str, Callable[[Any], Optional[str]]] = {
    "signed_by": _text,
    "signed_at": _time,
    "signature": _text,
    "provenance": _url,
}


def new_record(values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the whole record of an image that is published at C(now), from what the caller knows of it."""
    given = {key: value for key, value in values.items() if value is not None}
    source = given.get("source") or {}
    if isinstance(source, Mapping):
        source = {key: value for key, value in source.items() if value is not None}
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "title": given.get("name"),
        "file": ("{name}-{version}-{arch}" + IMAGE_SUFFIX).format_map({**dict.fromkeys(IDENTITY), **given}),
        "description": "",
        "published_at": now.astimezone(timezone.utc).strftime(TIME_FORMAT),
        "state": "published",
        "protected": False,
        "parallels": "",
        **given,
        "source": {**dict.fromkeys(SOURCE_FIELDS, ""), **source} if isinstance(source, Mapping) else source,
    }
    if isinstance(record.get("sha256"), str):
        record["sha256"] = record["sha256"].strip().lower()
    return record


def record_problems(record: Any, strict: bool = False) -> list[str]:
    """Return what is wrong with a record, a part of a sentence each.

    Fields that are not known are kept as they are, because a newer release may have written them; C(strict) is for a
    record that is about to be added, where such a field is a slip of the pen.
    """
    if not isinstance(record, Mapping):
        return ["it is not a dictionary"]
    problems = [f"{field} is missing" for field in _FIELDS if field not in record]
    for field, check in {**_FIELDS, **_OPTIONAL_FIELDS, **_FIELDS_OF_PROOF}.items():
        problem = check(record[field]) if field in record else None
        if problem:
            problems.append(f"{field} {problem}")
    if strict:
        known = {**_FIELDS, **_FIELDS_OF_PROOF}
        problems += [f"{field} is not a field of a record" for field in record if field not in known]
        source = record.get("source")
        if isinstance(source, Mapping):
            problems += [f"source.{field} is not a field" for field in source if field not in SOURCE_FIELDS]
    return problems


def identity(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what tells a record from all others: name, version, architecture."""
    return (record["name"], record["version"], record["arch"])


def label(record: Mapping[str, Any]) -> str:
    """Return how a record is named in a sentence."""
    return "-".join(identity(record))


def sort_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return records by name, version and architecture, with 2026.9.0 before 2026.11.0."""
    return sorted(
        (dict(record) for record in records),
        key=lambda record: (record["name"], natural_order(record["version"]), record["arch"]),
    )


# Where a version ends, and what follows there: 1.0-rc1, 1.0, 1.0-2, 1.0.1 is the order.
_PRE_RELEASE, _END, _REBUILD, _TEXT, _NUMBER = range(5)


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts versions as people read them: numbers by their value, the rest as text.

    After a dash, a word is a pre-release (C(1.0-rc1)), which comes before its release, as in semantic versioning; a
    number is one more build of the release (C(1.0-2)), which comes after it.
    """
    release, _dash, suffix = version.partition("-")
    if not suffix:
        return (*_marks(release), (_END, 0, ""))
    kind = _REBUILD if suffix[0].isdigit() else _PRE_RELEASE
    return (*_marks(release), (kind, 0, ""), *_marks(suffix), (_END, 0, ""))


def _marks(text: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(_NUMBER, int(part), "") if part.isdigit() else (_TEXT, 0, part) for part in parts]
