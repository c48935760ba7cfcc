# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Folder listings of WebDAV: the answers to C(PROPFIND)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree  # nosec B405 # see parse_entries

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._http.headers import http_date, whole_number
from .folder import HttpFolder

_LARGEST_LIST = 16 * 1024 * 1024
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
    response = folder.request("PROPFIND", name, headers, _WANTED, stream=True)
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
    """Return the entries of a C(207 Multi-Status). Raises RetryLater when it is not one."""
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:  # no server sends them, except to attack the parser
        raise RetryLater("The server's folder listing contains a DOCTYPE or ENTITY, which no WebDAV server sends.")
    try:
        root = ElementTree.fromstring(document)  # nosec B314 # without a DTD
    except ElementTree.ParseError as error:
        raise RetryLater(f"The server's folder listing cannot be parsed: {error}.") from error
    return [_entry(response) for response in root.iter("{DAV:}response")]


def _entry(response: ElementTree.Element) -> Entry:
    path = unquote(urlsplit(response.findtext("{DAV:}href", "").strip()).path).rstrip("/")
    return Entry(
        name=path.rpartition("/")[2],
        path=path + "/",
        is_folder=response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None,
        size=whole_number(_text(response, "getcontentlength")),
        modified=http_date(_text(response, "getlastmodified")),
        available=whole_number(_text(response, "quota-available-bytes")),
    )


def _text(response: ElementTree.Element, name: str) -> str:
    found = response.find(f".//{{DAV:}}{name}")
    return (found.text or "").strip() if found is not None else ""
