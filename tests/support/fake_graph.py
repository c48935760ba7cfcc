# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of Microsoft Graph and SharePoint Online, as strict as Microsoft's documentation says that these are.

It is no SharePoint: what it does is written from these pages of learn.microsoft.com/graph, as each rule says:

- [session]: api/driveitem-createuploadsession    - [content]: api/driveitem-put-content, resources/driveitem
- [link]: api/driveitem-createlink                - [token]: entra/identity-platform/v2-oauth2-client-creds-grant-flow
- [drives]: api/drive-list, paging                - [errors]: errors
- [cookie]: as users of anonymous links tell: a cookie has to come back on the second hop, else the login page follows

    with FakeGraph() as graph:
        graph.library("mac", "Documents", "golden")
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from .stand_in import Exchange, StandIn

TENANT_ID = "5c1c1f0e-0000-4000-8000-00000000c0de"
CLIENT_ID = "9a1b1f0e-0000-4000-8000-00000000c0de"
CLIENT_SECRET = "graph-client~secret"
SHAREPOINT = "contoso.sharepoint.com"
# [session]: ranges are multiples of this, but for the last one, and smaller than 60 MiB.
UNIT = 327_680
TOO_LARGE = 60 * 1024 * 1024
# [content]: what goes in one request.
LARGEST_SMALL = 4 * 1024 * 1024
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in to your account</title></head><body></body></html>\n"
_VIEWER = b"<!DOCTYPE html>\n<html><head><title>image.pvmp - SharePoint</title></head><body></body></html>\n"


@dataclass
class Item:
    """A file."""

    id: str
    name: str
    path: Path
    changes: int = 1
    # The opaque parts of its links, by their scope.
    links: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{{{self.id}}},{self.changes}"'


@dataclass
class Library:
    """A document library: files by their folder and name."""

    id: str
    name: str
    site: str
    folders: set[str] = field(default_factory=lambda: {""})
    files: dict[tuple[str, str], Item] = field(default_factory=dict)


@dataclass
class Upload:
    """An upload session."""

    library: Library
    folder: str
    name: str
    size: int | None
    behavior: str
    deferred: bool
    path: Path
    ends: float
    received: int = 0
    total: int | None = None


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers or {}


class FakeGraph(StandIn):
    """Login, Graph, the upload and download hosts, and the pages of SharePoint, all at one address."""

    def __init__(self) -> None:
        super().__init__()
        self.libraries: list[Library] = []
        self.uploads: dict[str, Upload] = {}
        self._tokens: dict[str, float] = {}
        self._downloads: dict[str, Item] = {}
        self._numbers = itertools.count(1)
        # Settings of the tenant.
        self.token_lasts = 3600.0
        self.session_lasts = 3600.0
        self.login_error = 0
        self.anonymous_links = True
        self.link_ends = ""
        self.needs_cookie = False
        self.may_write = True
        self.may_read = True
        self.room = 10 * 1024**4
        self.page_size = 3
        # [session]: only OneDrive for Business and SharePoint know it.
        self.knows_defer_commit = True

    # What tests ask

    def library(self, site: str, name: str, *folders: str) -> Library:
        """Make a document library, with folders in it."""
        for known in self.libraries:
            if (known.site, known.name) == (site, name):
                break
        else:
            known = Library(f"b!{secrets.token_hex(8)}", name, site)
            self.libraries.append(known)
        for folder in folders:
            parts = folder.split("/")
            known.folders.update("/".join(parts[: end + 1]) for end in range(len(parts)))
        return known

    def files(self, library: Library, folder: str) -> dict[str, bytes]:
        """Return what a folder holds."""
        with self.lock:
            return {name: item.path.read_bytes() for (each, name), item in library.files.items() if each == folder}

    def new_token(self) -> str:
        """Return a token that is good for a while."""
        token = f"token-{secrets.token_hex(12)}"
        with self.lock:
            self._tokens[token] = time.monotonic() + self.token_lasts
        return token

    def end_tokens(self) -> None:
        """Let all tokens end now."""
        with self.lock:
            self._tokens.clear()

    def end_sessions(self) -> None:
        """Let all upload sessions end now."""
        with self.lock:
            self.uploads.clear()

    # Answers

    def answer(self, exchange: Exchange) -> None:
        try:
            self._route(exchange)
        except Refused as refused:
            # [errors]: every error has this form.
            content = {"error": {"code": refused.code, "message": "Said for people.", "innerError": {}}}
            exchange.json(refused.status, content, refused.headers)

    def _route(self, exchange: Exchange) -> None:
        if exchange.path.endswith("/oauth2/v2.0/token"):
            self._give_token(exchange)
        elif exchange.path.startswith("/v1.0/"):
            self._check_token(exchange)
            self._graph(exchange, exchange.path[len("/v1.0") :])
        elif exchange.path.startswith("/_api/upload/"):
            self._session(exchange)
        elif exchange.path.startswith("/_layouts/15/download/"):
            self._download(exchange)
        elif exchange.path.startswith("/:u:/"):
            self._shared(exchange)
        else:
            raise Refused(404, "itemNotFound")

    # [token]

    def _give_token(self, exchange: Exchange) -> None:
        form = dict(parse_qsl(exchange.body().decode()))
        error = self.login_error
        if exchange.path.split("/")[1] not in (TENANT_ID, "contoso.onmicrosoft.com"):
            error = 90002
        elif form.get("client_id") != CLIENT_ID:
            error = 700016
        elif form.get("client_secret") != CLIENT_SECRET:
            error = 7000215
        elif form.get("grant_type") != "client_credentials" or not form.get("scope", "").endswith("/.default"):
            error = 70011
        if error:
            content = {
                "error": "invalid_client",
                "error_description": f"AADSTS{error}: Said for people. Trace ID: 1 Timestamp: now",
                "error_codes": [error],
            }
            exchange.json(401 if error >= 7000000 else 400, content)
            return
        content = {"token_type": "Bearer", "expires_in": int(self.token_lasts), "access_token": self.new_token()}
        exchange.json(200, content)

    def _check_token(self, exchange: Exchange) -> None:
        kind, _space, token = exchange.headers.get("Authorization", "").partition(" ")
        with self.lock:
            if kind != "Bearer" or self._tokens.get(token, 0) < time.monotonic():
                raise Refused(401, "InvalidAuthenticationToken")

    # Graph

    def _graph(self, exchange: Exchange, path: str) -> None:
        for pattern, method in (
            (r"/sites/(?P<host>[^:/,]+)(?::/(?P<site>[^:]+))?", self._site),
            (r"/sites/(?P<site>[^/:]+,[^/:]*)/drives", self._drives),
            (r"/drives/(?P<drive>[^/]+)", self._drive),
            (r"/drives/(?P<drive>[^/]+)/root(?P<rest>/children)?", self._root),
            (r"/drives/(?P<drive>[^/]+)/root:/(?P<path>[^:]+?):?(?P<rest>(?<=:)/\w+)?", self._item),
            (r"/drives/(?P<drive>[^/]+)/items/(?P<item>[^/]+)/createLink", self._create_link),
        ):
            found = re.fullmatch(pattern, path)
            if found:
                with self.lock:
                    method(exchange, **found.groupdict())
                return
        raise Refused(400, "BadRequest")

    def _site(self, exchange: Exchange, host: str, site: str | None) -> None:
        if host != SHAREPOINT:
            raise Refused(400, "invalidRequest")  # "Invalid hostname for this tenancy"
        if not self.may_read:
            raise Refused(403, "accessDenied")
        name = (site or "").removeprefix("sites/")
        if not any(library.site == name for library in self.libraries):
            raise Refused(404, "itemNotFound")
        exchange.json(200, {"id": f"{SHAREPOINT},{name}"})

    def _drives(self, exchange: Exchange, site: str) -> None:
        found = [library for library in self.libraries if library.site == site.partition(",")[2]]
        entries = [
            {
                "id": each.id,
                "name": each.name,
                "webUrl": f"https://{SHAREPOINT}/sites/{each.site}/{_address(each.name)}",
            }
            for each in found
        ]
        self._page(exchange, entries)

    def _page(self, exchange: Exchange, entries: list[dict[str, Any]]) -> None:
        """[drives]: a list comes in pages, each with the address of the next."""
        start = int(exchange.query.get("$skiptoken", 0))
        content: dict[str, Any] = {"value": entries[start : start + self.page_size]}
        if start + self.page_size < len(entries):
            next_page = f"{self.public_url}{exchange.raw_path}?$skiptoken={start + self.page_size}"
            content["@odata.nextLink"] = next_page
        exchange.json(200, content)

    def _library(self, drive: str) -> Library:
        for library in self.libraries:
            if library.id == drive:
                return library
        raise Refused(404, "itemNotFound")

    def _drive(self, exchange: Exchange, drive: str) -> None:
        library = self._library(drive)
        quota = {"remaining": self.room, "total": 25 * 1024**4, "state": "normal"}
        exchange.json(200, {"id": library.id, "name": library.name, "quota": quota})

    def _root(self, exchange: Exchange, drive: str, rest: str | None) -> None:
        library = self._library(drive)
        if rest:
            self._children(exchange, library, "")
        else:
            exchange.json(200, {"id": "root", "name": "root", "folder": {"childCount": 0}})

    def _children(self, exchange: Exchange, library: Library, folder: str) -> None:
        if folder not in library.folders:
            raise Refused(404, "itemNotFound")
        below = f"{folder}/" if folder else ""
        inside = {each[len(below) :] for each in library.folders if each.startswith(below) and each != folder}
        entries = [{"id": name, "name": name, "size": 0, "folder": {}} for name in sorted(inside) if "/" not in name]
        entries += [_facts(item) for (each, _name), item in sorted(library.files.items()) if each == folder]
        self._page(exchange, entries)

    def _item(self, exchange: Exchange, drive: str, path: str, rest: str | None) -> None:
        library = self._library(drive)
        path = path.rstrip(":")
        folder, _slash, name = path.rpartition("/")
        item = library.files.get((folder, name))
        if rest == "/children":
            self._children(exchange, library, path)
        elif rest == "/createUploadSession" and exchange.method == "POST":
            self._create_session(exchange, library, folder, name)
        elif rest == "/content" and exchange.method == "PUT":
            self._put_content(exchange, library, folder, name)
        elif exchange.method == "GET" and not rest and path in library.folders:
            exchange.json(200, {"id": path, "name": name, "size": 0, "folder": {"childCount": 0}})
        elif item is None:
            raise Refused(404, "itemNotFound")
        elif rest == "/content":
            # [content]: a short-lived address that opens without a token.
            ticket = secrets.token_hex(16)
            self._downloads[ticket] = item
            address = f"{self.public_url}/_layouts/15/download/{quote(name)}?tempauth={ticket}"
            exchange.send(302, {"Location": address})
        elif exchange.method == "DELETE":
            self._check_write()
            del library.files[folder, name]
            exchange.send(204)
        else:
            exchange.json(200, _facts(item))

    def _check_write(self) -> None:
        if not self.may_write:
            raise Refused(403, "accessDenied")

    def _check_condition(self, exchange: Exchange, item: Item | None) -> None:
        wanted = exchange.headers.get("If-Match")
        if wanted is not None and (item is None or wanted != item.etag):
            raise Refused(412, "resourceModified")

    def _put_content(self, exchange: Exchange, library: Library, folder: str, name: str) -> None:
        """[content]."""
        self._check_write()
        if exchange.length > LARGEST_SMALL:
            raise Refused(413, "invalidRequest")
        self._check_condition(exchange, library.files.get((folder, name)))
        behavior = exchange.query.get("@microsoft.graph.conflictBehavior", "replace")
        path = self._new_path()
        path.write_bytes(exchange.body())
        self._commit(exchange, library, folder, name, path, behavior)

    def _new_path(self) -> Path:
        return self.root / f"content-{next(self._numbers)}"

    def _commit(self, exchange: Exchange, library: Library, folder: str, name: str, path: Path, behavior: str) -> None:
        """Make a file, or a new version of it. Folders that are not there are made."""
        existing = library.files.get((folder, name))
        if existing is not None and behavior == "fail":
            raise Refused(409, "nameAlreadyExists")
        library.folders.update(folder.rsplit("/", count)[0] for count in range(folder.count("/") + 1))
        if existing is None:
            item = Item(f"01{secrets.token_hex(8).upper()}", name, path)
        else:
            existing.path.unlink()
            item = Item(existing.id, name, path, existing.changes + 1, existing.links)
        library.files[folder, name] = item
        self.room -= path.stat().st_size
        exchange.json(201 if existing is None else 200, _facts(item))

    # [session]

    def _create_session(self, exchange: Exchange, library: Library, folder: str, name: str) -> None:
        self._check_write()
        asked = json.loads(exchange.body() or b"{}")
        item = asked.get("item", {})
        if item.get("name", name) != name:
            raise Refused(400, "invalidRequest")  # "The {item-path} must contain the name of the item"
        existing = library.files.get((folder, name))
        self._check_condition(exchange, existing)
        behavior = item.get("@microsoft.graph.conflictBehavior", "fail")
        if existing is not None and behavior == "fail":
            raise Refused(409, "nameAlreadyExists")
        if item.get("fileSize", 0) > self.room:
            raise Refused(507, "quotaLimitReached")
        key = secrets.token_hex(16)
        path = self._new_path()
        path.touch()
        self.uploads[key] = Upload(
            library,
            folder,
            name,
            item.get("fileSize"),
            behavior,
            bool(asked.get("deferCommit")) and self.knows_defer_commit,
            path,
            time.monotonic() + self.session_lasts,
        )
        exchange.json(
            200,
            {
                "uploadUrl": f"{self.public_url}/_api/upload/{name}?tempauth={key}".replace(" ", "%20"),
                **self._told(key),
            },
        )

    def _told(self, key: str) -> dict[str, Any]:
        upload = self.uploads[key]
        left = upload.ends - time.monotonic()
        ends = datetime.now(timezone.utc) + timedelta(seconds=left)
        complete = upload.total is not None and upload.received == upload.total
        return {
            "expirationDateTime": ends.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            "nextExpectedRanges": [] if complete else [f"{upload.received}-"],
        }

    def _session(self, exchange: Exchange) -> None:
        if "Authorization" in exchange.headers:
            raise Refused(401, "unauthenticated")  # "may result in an HTTP 401 Unauthorized response"
        key = exchange.query.get("tempauth", "")
        with self.lock:
            upload = self.uploads.get(key)
            if upload is None or upload.ends < time.monotonic():
                self.uploads.pop(key, None)
                raise Refused(404, "itemNotFound")
        if exchange.method == "PUT":
            self._put_range(exchange, key, upload)
        elif exchange.method == "GET":
            exchange.json(200, self._told(key))
        elif exchange.method == "DELETE":
            with self.lock:
                self.uploads.pop(key, None)
            exchange.send(204)
        elif exchange.method == "POST" and exchange.length == 0:
            with self.lock:
                if upload.received != upload.total:
                    raise Refused(400, "invalidRequest")
                self._complete(exchange, key, upload)
        else:
            raise Refused(400, "invalidRequest")

    def _put_range(self, exchange: Exchange, key: str, upload: Upload) -> None:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", exchange.headers.get("Content-Range", ""))
        if found is None:
            raise Refused(400, "invalidRequest")
        first, last, total = (int(each) for each in found.groups())
        # "the total file size specified in the Content-Range header is the same for all requests"
        if upload.total not in (None, total) or upload.size not in (None, total) or last >= total:
            raise Refused(400, "invalidRequest")
        if exchange.length != last + 1 - first or exchange.length >= TOO_LARGE:
            raise Refused(400, "invalidRequest")
        if last + 1 < total and exchange.length % UNIT:
            raise Refused(400, "invalidRange")
        if first != upload.received:
            raise Refused(416, "invalidRange")
        try:
            with upload.path.open("r+b") as handle:
                handle.seek(first)
                for block in exchange.blocks():
                    handle.write(block)
        except OSError:
            # "If an upload request is disconnected [...], all bytes in that request are ignored."
            with upload.path.open("r+b") as handle:
                handle.truncate(first)
            raise
        with self.lock:
            if key not in self.uploads:
                raise Refused(404, "itemNotFound")
            upload.received, upload.total = last + 1, total
            # "each fragment extends the expiry"
            upload.ends = time.monotonic() + self.session_lasts
            if upload.received == total and not upload.deferred:
                self._complete(exchange, key, upload)
            else:
                exchange.json(202, self._told(key))

    def _complete(self, exchange: Exchange, key: str, upload: Upload) -> None:
        # "The upload session is preserved until the expiration time" after a conflict.
        self._commit(exchange, upload.library, upload.folder, upload.name, upload.path, upload.behavior)
        del self.uploads[key]

    # [link], and what its address gives

    def _create_link(self, exchange: Exchange, drive: str, item: str) -> None:
        self._check_write()
        asked = json.loads(exchange.body())
        for each in self._library(drive).files.values():
            if each.id == item:
                break
        else:
            raise Refused(404, "itemNotFound")
        if asked.get("scope") == "anonymous" and not self.anonymous_links:
            raise Refused(403, "accessDenied")  # "Anonymous link support may be disabled by an administrator."
        scope = asked.get("scope", "organization")
        is_new = scope not in each.links
        opaque = each.links.setdefault(scope, f"E{secrets.token_urlsafe(32)}")
        link = {"type": asked["type"], "scope": scope, "webUrl": f"{self.public_url}/:u:/s/mac/{opaque}"}
        content = {"id": opaque, "roles": ["read"], "link": link}
        if self.link_ends:
            content["expirationDateTime"] = self.link_ends
        exchange.json(201 if is_new else 200, content)

    def _shared(self, exchange: Exchange) -> None:
        opaque = exchange.path.rpartition("/")[2]
        items = [item for library in self.libraries for item in library.files.values()]
        item = next((each for each in items if each.links.get("anonymous") == opaque), None)
        if item is None:
            exchange.send(404, {"Content-Type": "text/html"}, _PAGE)
        elif exchange.query.get("download") != "1":
            exchange.send(200, {"Content-Type": "text/html; charset=utf-8"}, _VIEWER)
        elif self.needs_cookie and "FedAuth=anonymous" not in exchange.headers.get("Cookie", ""):
            # [cookie]
            cookie = {"Set-Cookie": "FedAuth=anonymous; path=/; secure; HttpOnly"}
            if "x" in exchange.query:
                exchange.send(302, {"Location": "https://login.microsoftonline.com/contoso/oauth2/authorize"})
            else:
                exchange.send(302, {"Location": f"{self.public_url}{exchange.raw_path}?download=1&x=1", **cookie})
        else:
            disposition = f"attachment; filename*=UTF-8''{quote(item.name)}"
            exchange.file(
                item.path,
                {"Content-Type": "application/octet-stream", "Content-Disposition": disposition, "ETag": item.etag},
            )

    def _download(self, exchange: Exchange) -> None:
        if "Authorization" in exchange.headers:
            raise Refused(401, "unauthenticated")
        item = self._downloads.get(exchange.query.get("tempauth", ""))
        if item is None or not item.path.exists():
            raise Refused(404, "itemNotFound")
        exchange.file(item.path, {"Content-Type": "application/octet-stream", "ETag": item.etag})


def _address(name: str) -> str:
    """Return a library's name in addresses, which is another one for the library that every site has."""
    return quote("Shared Documents" if name == "Documents" else name)


def _facts(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "name": item.name,
        "size": item.path.stat().st_size,
        "eTag": item.etag,
        "file": {"mimeType": "application/octet-stream", "hashes": {"quickXorHash": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
    }
