# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Reads XML of servers and of bundles. None has a document type definition (DTD), except to attack the parser.

The parser itself reports the DTD, whatever the encoding of the document is. A few lines of a DTD may expand to
gigabytes, and older parsers do not limit that.
"""

from __future__ import annotations

from xml.etree import ElementTree  # nosec B405 # behind require_harmless
from xml.parsers import expat  # nosec B407 # behind require_harmless

# Bytes. The first element begins in them: a DTD can only be before it.
_LONGEST_PROLOG = 8 * 1024
# More than any list in one answer has. Empty elements fill memory with more than a hundred times their bytes.
_MOST_ELEMENTS = 400_000
_PIECE = 64 * 1024


class HostileXml(ValueError):
    """The document has what no store sends."""


def require_harmless(document: bytes, encoding: str | None = None, most: int = _MOST_ELEMENTS) -> int:
    """Return the number of elements of a document. Raises HostileXml for a DTD, and for too many elements.

    C(encoding) is for readers that do not use the one that the document declares. Other errors are left to the reader,
    who gets no further than this function.
    """
    parser = expat.ParserCreate(encoding)
    count = 0

    def doctype(*_unused: object) -> None:
        raise HostileXml("it contains a DOCTYPE")

    def element(*_unused: object) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise HostileXml(f"it has more than {most} elements")

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = element
    if hasattr(parser, "SetReparseDeferralEnabled"):  # new releases wait for more bytes
        parser.SetReparseDeferralEnabled(False)
    at = 0
    try:
        # One by one: the parser continues to the end of what it got before the exception arrives here.
        while not count and at < min(len(document), _LONGEST_PROLOG):
            parser.Parse(document[at : at + 1])
            at += 1
        if not count and at < len(document):
            raise HostileXml(f"it has no element in its first {_LONGEST_PROLOG} bytes")
        for start in range(at, len(document), _PIECE):
            parser.Parse(document[start : start + _PIECE])
    except HostileXml:
        raise
    except (expat.ExpatError, ValueError, LookupError):
        pass
    return count


def parse_xml(document: bytes) -> ElementTree.Element:
    """Return the root of a document. Raises ValueError, with the reason, for everything that is not valid."""
    require_harmless(document)
    try:
        return ElementTree.fromstring(document)  # nosec B314 # behind require_harmless
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error
