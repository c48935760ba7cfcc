# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Folder listings of WebDAV: the answers to C(PROPFIND)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree  # nosec B405 # the type alone

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._common.xml import HostileXml, parse_xml
from ..._http.headers import http_date, whole_number
from ..._http.limits import LIST_ANSWER
from ..._http.session import GONE
from .folder import HttpFolder

_LARGEST_LIST = LIST_ANSWER
_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/>'
    b"<D:quota-available-bytes/></D:prop></D:propfind>"
)


@dataclass(frozen=True)
class Entry:
    """One file or folder of a list."""

    name: str
    # As sent by the server, decoded, with a trailing slash.
    path: str
    is_folder: bool
    size: int | None
    # Seconds since 1970, by the server's clock.
    modified: float | None
    # Free space in bytes.
    available: int | None


def propfind(folder: HttpFolder, name: str, depth: int) -> tuple[Any, list[Entry]]:
    """Return the server's answer, and the entries if it is a list."""
    headers = {"Depth": str(depth), "Content-Type": "application/xml"}
    response = folder.request("PROPFIND", name, headers, _WANTED, stream=True, largest=_LARGEST_LIST + 1)
    if response.status_code != 207:
        response.close()
        return response, []
    document = b""
    for block in folder.blocks(response):
        document += block
        if len(document) > _LARGEST_LIST:
            response.close()
            raise TaskError(f"The listing of {folder.url} is larger than 16 MiB. Use a folder with fewer files.")
    return response, parse_entries(document)


def parse_entries(document: bytes) -> list[Entry]:
    """Return the entries of a C(207 Multi-Status). Raises RetryLater when it is not one, or not the whole list."""
    try:
        root = parse_xml(document)
    except HostileXml as error:
        raise RetryLater(f"The server's folder listing was not read: {error}, which no WebDAV server sends.") from error
    except ValueError as error:
        raise RetryLater(f"The server's folder listing cannot be parsed: {error}.") from error
    responses = root.findall("{DAV:}response") if root.tag == "{DAV:}multistatus" else []
    if not responses:  # the folder itself is in every list
        raise RetryLater("The server's folder listing is not one, or does not even contain the folder.")
    entries = []
    for response in responses:
        status = _status(response)
        if status == 507:  # RFC 5323, 3.3
            raise RetryLater("The server reports that its folder listing is not complete.")
        if status not in GONE:
            entries.append(_entry(response))
    return entries


def _status(element: ElementTree.Element) -> int:
    """Return the status in a response or in a group of properties, 200 where there is none."""
    words = element.findtext("{DAV:}status", "").split()
    return whole_number(words[1]) or 0 if len(words) > 1 else 0 if words else 200


def _entry(response: ElementTree.Element) -> Entry:
    try:
        path = unquote(urlsplit(response.findtext("{DAV:}href", "").strip()).path).rstrip("/")
    except ValueError as error:
        raise RetryLater("The server's folder listing has an entry whose address is not valid.") from error
    if not path and not response.findtext("{DAV:}href", "").strip():
        raise RetryLater("The server's folder listing has an entry without an address.")
    return Entry(
        name=path.rpartition("/")[2],
        path=path + "/",
        is_folder=any(found.find("{DAV:}collection") is not None for found in _values(response, "resourcetype")),
        size=whole_number(_text(response, "getcontentlength")),
        modified=http_date(_text(response, "getlastmodified")),
        available=whole_number(_text(response, "quota-available-bytes")),
    )


def _text(response: ElementTree.Element, name: str) -> str:
    return next(((found.text or "").strip() for found in _values(response, name)), "")


def _values(response: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return the values of a property that the server has: what it refuses is in a group with another status."""
    groups = [group for group in response.findall("{DAV:}propstat") if 200 <= _status(group) < 300]
    return [found for group in groups for found in group.findall(f"{{DAV:}}prop/{{DAV:}}{name}")]
