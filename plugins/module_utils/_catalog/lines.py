# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The form in which a catalog is written: a line for each record.

A comparison of two catalogs shows what was changed. And a catalog of very many records is read a piece at a time, so
that its bytes and its records are never in memory together.
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from .._common.json_reader import read_json

_BEFORE = b'"records": [\n'
_AFTER = b"\n]}\n"
_BLANKS = b" \t\r\n"
_PIECE = 1024 * 1024

# Fields that many records have in common.
_SHARED = {
    "name",
    "version",
    "arch",
    "title",
    "description",
    "state",
    "parallels",
    "signed_by",
    "signed_at",
    "signed_for",
}
_SHORT = 200


def write_lines(document: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the JSON of a catalog: the document with these records in place of its own."""
    others = {key: value for key, value in document.items() if key != "records"}
    head = json.dumps({**others, "records": []}, ensure_ascii=False)
    # In one buffer: there may be so many records that a second copy would be too much.
    buffer = io.BytesIO()
    buffer.write(head[: -len("]}")].encode())
    for number, record in enumerate(records):
        buffer.write((",\n" if number else "\n").encode() + json.dumps(record, ensure_ascii=False).encode())
    buffer.write(_AFTER)
    return buffer.getvalue()


class NotJson(ValueError):
    """What was read is not valid JSON. The message is the reason."""


class Lines:
    """The records of a catalog that is read: its lines, in pieces of memory that are given back one by one."""

    def __init__(self, data: bytes, start: int) -> None:
        self._pieces: list[mmap.mmap] = []
        end = len(data) - len(_AFTER)
        while start < end:
            cut = data.find(b"\n", min(start + _PIECE, end), end)
            cut = end if cut < 0 else cut
            # Not a bytes object: what is freed of those stays with the process, if it lies between others.
            piece = mmap.mmap(-1, cut - start)
            piece.write(data[start:cut])
            self._pieces.append(piece)
            start = cut + 1
        self._pieces.reverse()

    def records(self) -> list[Any]:
        """Return the records, once. Raises NotJson."""
        found: list[Any] = []
        known: dict[Any, Any] = {}
        while self._pieces:
            lines = self._next()
            try:
                part = _array(self._whole(lines))
            except NotJson:
                # A record may have line breaks, if somebody has edited it, so a piece may end in its middle.
                lines = b"\n".join([lines, *(self._next() for _piece in list(self._pieces))])
                try:
                    part = _array(lines)
                except NotJson as error:
                    raise NotJson(f"after record {len(found)}: {error}" if found else str(error)) from None
            found.extend(_compact(record, known) for record in part)
        return found

    def _whole(self, lines: bytes) -> bytes:
        """Return the records in a piece. Raises NotJson if another one follows and it does not end with a record."""
        if not self._pieces:
            return lines
        lines = lines.rstrip(_BLANKS)
        if not lines.endswith(b","):
            raise NotJson("a comma is missing")
        return lines[:-1]

    def _next(self) -> bytes:
        with self._pieces.pop() as piece:
            return piece[:]


def read_lines(data: bytes) -> tuple[Any, Optional[Lines]]:
    """Return the document without its records, and its lines. Without lines, the document is whole.

    The records that the lines give are those of the whole document. Raises NotJson.
    """
    begin = data.find(_BEFORE)
    start = begin + len(_BEFORE)
    if begin < 0 or data.find(b"\n", 0, begin) >= 0 or not data.endswith(_AFTER) or start > len(data) - len(_AFTER):
        return _value(data), None
    try:
        document = _value(data[:begin] + b'"records": []}')
    except NotJson:
        return _value(data), None
    return document, Lines(data, start)


def _array(lines: bytes) -> Sequence[Any]:
    part: list[Any] = _value(b"[" + lines + b"]")
    if not part:
        raise NotJson("a record is missing")
    return part


def _value(data: bytes) -> Any:
    try:
        return read_json(data)
    except ValueError as error:
        raise NotJson(str(error)) from error


class _Fields:
    """Has no attributes of its own, so that every key of a record can be one.

    The dictionaries of its instances share one table of keys (PEP 412), which makes them less than half as large.
    """


def _compact(record: Any, known: dict[Any, Any]) -> Any:
    """Return the record in less memory. What many records have in common is kept once."""
    # Python gives a meaning to names that begin with an underscore. No field of a record has such a name.
    if not isinstance(record, dict) or any(key.startswith("_") for key in record):
        return record
    fields = _Fields()
    for key, value in record.items():
        if key in _SHARED and isinstance(value, str) and len(value) < _SHORT:
            value = known.setdefault(value, value)
        elif key == "source" and isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
            value = known.setdefault(tuple(value.items()), value)
        setattr(fields, key, value)
    return vars(fields)
