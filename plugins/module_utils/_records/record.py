# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The record of a published image: its fields and their validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from .._common.files import IMAGE_SUFFIX
from .._common.text import is_printable

SCHEMA = 1
ARCHITECTURES = ("arm64", "x86_64")
STATES = ("published", "withdrawn")
SOURCE_FIELDS = ("vm", "os", "tools")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# The fields that identify an image: two records with the same values describe the same image.
IDENTITY = ("name", "version", "arch")
_IMAGE_FILE = "{name}-{version}-{arch}" + IMAGE_SUFFIX

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The largest file that any system knows.
_LARGEST = 2**63 - 1
_MOST_KEYS = 5


def _text(value: Any) -> Optional[str]:
    return None if _is_text(value) else "must be a string"


def _is_text(value: Any) -> bool:
    """Return whether it is a string that can be encoded: half of a surrogate pair is not a character."""
    return isinstance(value, str) and _SURROGATE.search(value) is None


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[Any], Optional[str]]:
    return lambda value: None if isinstance(value, str) and pattern.fullmatch(value) else f"must be {wanted}"


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], Optional[str]]:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


def _file_name(value: Any) -> Optional[str]:
    good = isinstance(value, str) and re.fullmatch(r"[^/.-][^/]*", value) and is_printable(value)
    return (
        None
        if good
        else "must be a file name without a folder and without control characters, and must not start with '.' or '-'"
    )


def _url(value: Any) -> Optional[str]:
    wanted = "must be an https:// URL (or file:// for a store that is a folder) without a user name or password"
    if not isinstance(value, str) or re.search(r"\s", value) or not is_printable(value):
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
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
    return None if good else "must be a number of bytes greater than 0"


def _flag(value: Any) -> Optional[str]:
    return None if isinstance(value, bool) else "must be true or false"


def _time(value: Any) -> Optional[str]:
    try:
        datetime.strptime(value, TIME_FORMAT)
    except (TypeError, ValueError):
        return "must be a UTC time such as 2026-11-22T10:00:00Z"
    return None


def _source(value: Any) -> Optional[str]:
    if not isinstance(value, Mapping):
        return "must be a dictionary"
    bad = sorted(str(key) for key, entry in value.items() if not _is_text(entry))
    return f"must have only string values (not strings: {', '.join(bad[:_MOST_KEYS])})" if bad else None


def _sbom(value: Any) -> Optional[str]:
    fields = {"name": _file_name, "url": _url, "sha256": _FIELDS["sha256"]}
    if not isinstance(value, Mapping) or not set(fields) <= set(value):
        return f"must be a dictionary with {', '.join(fields)}"
    problems = ((key, check(value[key])) for key, check in fields.items())
    wrong = [f"{key} {problem}" for key, problem in problems if problem]
    return f"must be correct: {'; '.join(wrong)}" if wrong else None


def _readiness(value: Any) -> Optional[str]:
    wanted = "must be the report of vm_readiness_info"
    if not isinstance(value, Mapping) or not _is_text(value.get("guest_answered_at")):
        return wanted
    passed, others = value.get("passed"), [value.get(key) for key in ("warnings", "waived", "failed")]
    if not isinstance(passed, list) or not all(_is_text(each) for each in passed):
        return wanted
    if not all(isinstance(entries, list) and all(_is_check(entry) for entry in entries) for entries in others):
        return wanted
    return None


def _is_check(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_text(value.get("id")) and _is_text(value.get("message"))


_FIELDS: dict[str, Callable[[Any], Optional[str]]] = {
    "schema": lambda value: None if value == SCHEMA and not isinstance(value, bool) else f"must be {SCHEMA}",
    "name": _matching(_NAME, "made of lowercase letters, digits, '.' and '-'"),
    "version": _matching(_VERSION, "made of letters, digits, '.', '-', '_' and '+'"),
    "arch": _one_of(ARCHITECTURES),
    "title": _text,
    "description": _text,
    "file": _file_name,
    "url": _url,
    "sha256": _matching(_SHA256, "64 hexadecimal digits in lowercase"),
    "size": _size,
    "published_at": _time,
    "state": _one_of(STATES),
    "protected": _flag,
    "source": _source,
    "parallels": _text,
}

# Only in withdrawn records: why and when they were withdrawn, and whether the file was removed too.
_OPTIONAL_FIELDS: dict[str, Callable[[Any], Optional[str]]] = {
    "reason": _text,
    "withdrawn_at": _time,
    "file_removed": _flag,
}
OF_WITHDRAWN = tuple(_OPTIONAL_FIELDS)

# Only in signed records, and in records of images with a provenance statement, an SBOM or a readiness report. Of all
# optional fields, a new record may have only these.
_FIELDS_OF_PROOF: dict[str, Callable[[Any], Optional[str]]] = {
    "signed_by": _text,
    "signed_at": _time,
    "signed_for": _text,
    "signature": _text,
    "provenance": _url,
    "sbom": _sbom,
    "readiness": _readiness,
}


def new_record(values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the complete record of an image that is published at C(now), from the values that the caller has."""
    given = {key: value for key, value in values.items() if value is not None}
    source = given.get("source") or {}
    if isinstance(source, Mapping):
        source = {key: value for key, value in source.items() if value is not None}
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "title": given.get("name"),
        "file": _IMAGE_FILE.format_map({**dict.fromkeys(IDENTITY), **given}),
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
    """Return the problems of a record, each as part of a sentence.

    Unknown fields are allowed, because a newer release may have written them. C(strict) is for a new record, where an
    unknown field is a mistake.
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


def readiness_in_words(readiness: Mapping[str, Any]) -> str:
    """Return the readiness report of a record in one line, with the names of the checks that did not simply pass."""
    parts = [f"{len(readiness['passed'])} checks passed"]
    for key in ("failed", "waived", "warnings"):
        names = [entry["id"] for entry in readiness[key]]
        if names:
            parts.append(f"{key}: {', '.join(names)}")
    return f"Readiness: {'; '.join(parts)}."


def image_file(record: Mapping[str, Any]) -> str:
    """Return the name of the image that a record describes."""
    return _IMAGE_FILE.format_map(record)


def names_own_file(record: Mapping[str, Any]) -> bool:
    """Return whether the file that a record names is its image.

    Anybody who may write to the store can edit the catalog. Without this check, the removal of a record would remove
    whatever file it names.
    """
    return bool(record["file"] == image_file(record))


def identity(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what identifies a record: name, version, architecture."""
    return (record["name"], record["version"], record["arch"])


def label(record: Mapping[str, Any]) -> str:
    """Return the name of a record for messages."""
    return "-".join(identity(record))


def sort_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records sorted by name, version and architecture, with 2026.9.0 before 2026.11.0."""
    found = [record if isinstance(record, dict) else dict(record) for record in records]
    # A catalog is written sorted, and there may be so many records that their keys take more memory than they do.
    if all(_order(one) <= _order(next_one) for one, next_one in zip(found, found[1:])):
        return found
    return sorted(found, key=_order)


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (record["name"], natural_order(record["version"]), record["arch"])


# What follows a version number, in sort order: 1.0-rc1, 1.0, 1.0-2, 1.0.1.
_PRE_RELEASE, _END, _REBUILD, _TEXT, _NUMBER = range(5)


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key for versions: numbers by value, the rest as text.

    After a dash, a word marks a pre-release (C(1.0-rc1)), which sorts before its release, as in semantic versioning. A
    number marks a rebuild of the release (C(1.0-2)), which sorts after it.
    """
    release, _dash, suffix = version.partition("-")
    if not suffix:
        return (*_marks(release), (_END, 0, ""))
    kind = _REBUILD if suffix[0].isdigit() else _PRE_RELEASE
    return (*_marks(release), (kind, 0, ""), *_marks(suffix), (_END, 0, ""))


def _marks(text: str) -> list[tuple[int, int, str]]:
    return [_mark(part) for part in re.findall(r"[0-9]+|[^0-9]+", text)]


def _mark(part: str) -> tuple[int, int, str]:
    """Of two numbers, the one with more digits is larger. Python does not convert numbers of any length."""
    if not part[0].isdigit():
        return _TEXT, 0, part
    digits = part.lstrip("0")
    return _NUMBER, len(digits), digits
