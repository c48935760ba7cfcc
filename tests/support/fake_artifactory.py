# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins of JFrog Artifactory and of Sonatype Nexus, as strict as their vendors' documentation says that they are.

They are neither: what they do is written from these sources, as each rule says.

- [deploy]: docs.jfrog.com, "Deploy Artifact": checksum headers are compared, 409 when they differ
- [checksum]: docs.jfrog.com, "Deploy Artifact by Checksum": 201 without a body, 404 where the bytes are not there
- [storage]: docs.jfrog.com, "Folder Info"; and "File List", for those who pay
- [quota]: docs.jfrog.com, "Storage quota": 413 when the datastore is too full, for files of any size
- [overwrite]: an error that users show: 403, "needs DELETE permission"
- [raw]: help.sonatype.com, "Raw Repositories", "Hosted Repository", deployment policy; the words of errors are users'
- [assets]: help.sonatype.com, "Assets API", with its pages
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .stand_in import Exchange, StandIn


@dataclass(frozen=True)
class Artifact:
    """A file of a repository."""

    path: Path
    size: int
    sha1: str
    sha256: str


class Refused(Exception):
    """An answer that is no success, with words for people."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Repository(StandIn):
    """Repositories whose files anybody may read, and one user may write; what is under way is never shown."""

    # Below it are the repositories.
    context = ""

    def __init__(self, username: str = "publisher", password: str = "correct horse", token: str = "jf-token") -> None:
        super().__init__()
        self.username, self.password, self.token = username, password, token
        self.repositories = {"images"}
        self.files: dict[str, Artifact] = {}
        self.may_write = True
        self.may_delete = True
        self.is_full = False
        self.largest: int | None = None
        self._numbers = itertools.count(1)

    def published(self, folder: str) -> dict[str, bytes]:
        """Return what a folder holds."""
        below = f"{folder}/"
        with self.lock:
            found = {path[len(below) :]: each for path, each in self.files.items() if path.startswith(below)}
            return {name: each.path.read_bytes() for name, each in found.items() if "/" not in name}

    def empty(self) -> None:
        """Remove all files, and allow everything again."""
        with self.lock:
            self.files.clear()
            self.may_write = self.may_delete = True
            self.is_full, self.largest = False, None

    def is_writer(self, exchange: Exchange) -> bool:
        given = exchange.headers.get("Authorization", "")
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return given in (f"Basic {login}", f"Bearer {self.token}")

    def check_writer(self, exchange: Exchange) -> None:
        if not self.is_writer(exchange):
            raise Refused(401, "Unauthorized")
        if not self.may_write:
            raise Refused(403, "Not enough permissions to deploy")

    def receive(self, exchange: Exchange) -> Artifact:
        """Return what was sent, kept where nobody sees it."""
        path = self.root / f"content-{next(self._numbers)}"
        sha1, sha256, size = hashlib.sha1(), hashlib.sha256(), 0
        try:
            with path.open("wb") as handle:
                for block in exchange.blocks():
                    handle.write(block)
                    sha1.update(block)
                    sha256.update(block)
                    size += len(block)
        except OSError:
            path.unlink()
            raise
        return Artifact(path, size, sha1.hexdigest(), sha256.hexdigest())

    def answer(self, exchange: Exchange) -> None:
        """Answer a request: subclasses say how."""
        raise NotImplementedError

    def _delete(self, exchange: Exchange, path: str) -> None:
        if not self.is_writer(exchange):
            raise Refused(401, "Unauthorized")
        with self.lock:
            if path not in self.files:
                raise Refused(404, "Could not locate artifact")
            if not self.may_delete:
                raise Refused(403, "Not enough permissions to delete")
            del self.files[path]
        exchange.send(204)


class FakeArtifactory(Repository):
    """Artifactory, with the generic repository C(images)."""

    context = "/artifactory/"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_pro = True
        # "Trust server generated checksums", one of the two checksum policies of a repository.
        self.trusts_server = False
        # What a proxy before it takes away.
        self.shows_headers = True

    def _headers(self) -> dict[str, str]:
        known = {"X-JFrog-Version": "Artifactory/7.98.9 79809900", "X-Artifactory-Id": "8a1f", "Server": "Artifactory"}
        return known if self.shows_headers else {}

    def answer(self, exchange: Exchange) -> None:
        try:
            self._route(exchange)
        except Refused as refused:
            errors = {"errors": [{"status": refused.status, "message": refused.words}]}
            exchange.json(refused.status, errors, self._headers())

    def _route(self, exchange: Exchange) -> None:
        if not exchange.path.startswith(self.context):
            raise Refused(404, "File not found.")
        path = exchange.path[len(self.context) :].strip("/")
        if path.startswith("api/storage/"):
            self._storage(exchange, path[len("api/storage/") :])
        elif exchange.method == "OPTIONS":
            allowed = {"Allow": "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, PROPFIND, MOVE", "DAV": "1,2"}
            exchange.send(200, {**self._headers(), **allowed})
        elif exchange.method in ("GET", "HEAD"):
            self._get(exchange, path)
        elif exchange.method == "PUT":
            self._put(exchange, path)
        elif exchange.method == "DELETE":
            self._delete(exchange, path)
        else:
            raise Refused(405, "Method not allowed")

    def _get(self, exchange: Exchange, path: str) -> None:
        with self.lock:
            found = self.files.get(path)
        if found is not None:
            checksums = {"X-Checksum-Sha1": found.sha1, "X-Checksum-Sha256": found.sha256, "ETag": f'"{found.sha1}"'}
            exchange.file(found.path, {**self._headers(), **checksums, "Content-Type": "application/octet-stream"})
        elif path.partition("/")[0] in self.repositories and (
            "/" not in path or any(each.startswith(f"{path}/") for each in self.files)
        ):
            exchange.send(200, {**self._headers(), "Content-Type": "text/html"}, b"<html>Index of</html>")
        else:
            raise Refused(404, "File not found.")

    def _put(self, exchange: Exchange, path: str) -> None:
        self.check_writer(exchange)
        if path.partition("/")[0] not in self.repositories:
            raise Refused(404, "Could not find a local repository")
        if self.is_full:  # [quota]
            raise Refused(413, "Datastore disk usage is too high. Contact your Artifactory administrator.")
        if self.largest is not None and exchange.length > self.largest:
            raise Refused(413, "The file is larger than the maximum upload size")
        if path in self.files and not self.may_delete:  # [overwrite]
            raise Refused(403, "Not enough permissions to overwrite artifact (user needs DELETE permission).")
        wanted = exchange.headers.get("X-Checksum-Sha256", "")
        if exchange.headers.get("X-Checksum-Deploy") == "true":  # [checksum]
            with self.lock:
                same = next((each for each in self.files.values() if each.sha256 == wanted), None)
                if same is None:
                    raise Refused(404, "No artifact with this checksum")
                self.files[path] = same
            self._created(exchange, path, same)
            return
        received = self.receive(exchange)
        if wanted and wanted != received.sha256 and not self.trusts_server:  # [deploy]
            raise Refused(409, f"Checksum error for '{path}': received '{wanted}' but actual is '{received.sha256}'")
        with self.lock:
            self.files[path] = received
        self._created(exchange, path, received)

    def _created(self, exchange: Exchange, path: str, artifact: Artifact) -> None:
        content = {
            "repo": path.partition("/")[0],
            "path": "/" + path.partition("/")[2],
            "size": str(artifact.size),
            "checksums": {"sha1": artifact.sha1, "sha256": artifact.sha256},
            "downloadUri": f"{self.public_url}{self.context}{path}",
        }
        exchange.json(201, content, self._headers())

    def _storage(self, exchange: Exchange, folder: str) -> None:
        """[storage]."""
        below = f"{folder}/"
        with self.lock:
            inside = {path[len(below) :]: each for path, each in self.files.items() if path.startswith(below)}
        if not inside and folder not in self.repositories:
            raise Refused(404, "Unable to find item")
        if "list" in exchange.query:
            if not self.is_pro:
                raise Refused(400, "This REST API is available only in Artifactory Pro.")
            if not self.is_writer(exchange):
                raise Refused(403, "This request is blocked for anonymous users.")
            files = [
                {"uri": f"/{name}", "size": each.size, "folder": False, "sha1": each.sha1, "sha2": each.sha256}
                for name, each in sorted(inside.items())
                if "/" not in name
            ]
            exchange.json(200, {"uri": exchange.path, "files": files}, self._headers())
            return
        names = {name.partition("/")[0]: "/" in name for name in inside}
        children = [{"uri": f"/{name}", "folder": is_folder} for name, is_folder in sorted(names.items())]
        exchange.json(200, {"repo": folder.partition("/")[0], "children": children}, self._headers())


class FakeNexus(Repository):
    """Nexus, with the raw hosted repository C(images)."""

    context = "/repository/"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.allows_redeploy = True
        self.validates_types = False
        self.page_size = 2
        # Older releases do not tell it.
        self.tells_size = True

    def empty(self) -> None:
        super().empty()
        self.allows_redeploy, self.validates_types = True, False

    def _headers(self) -> dict[str, str]:
        return {"Server": "Nexus/3.76.0-03 (COMMUNITY)"}

    def answer(self, exchange: Exchange) -> None:
        try:
            self._route(exchange)
        except Refused as refused:  # [raw]: what is wrong stands in the line of the status
            exchange.send(refused.status, self._headers(), b"", refused.words)

    def _route(self, exchange: Exchange) -> None:
        if exchange.path == "/service/rest/v1/assets":
            self._assets(exchange)
            return
        if not exchange.path.startswith(self.context):
            raise Refused(404, "Not Found")
        path = exchange.path[len(self.context) :].strip("/")
        if path.partition("/")[0] not in self.repositories:
            raise Refused(404, "Repository not found")
        if exchange.method == "OPTIONS":
            exchange.send(200, {**self._headers(), "Allow": "GET, HEAD, PUT, DELETE, OPTIONS"})
        elif exchange.method in ("GET", "HEAD"):
            with self.lock:
                found = self.files.get(path)
            if found is None:
                raise Refused(404, "Not Found")
            sent = {"Content-Type": "application/octet-stream", "ETag": f'"{{SHA1{{{found.sha1}}}}}"'}
            exchange.file(found.path, {**self._headers(), **sent})
        elif exchange.method == "PUT":
            self._put(exchange, path)
        elif exchange.method == "DELETE":
            self._delete(exchange, path)
        else:
            raise Refused(405, "Method Not Allowed")

    def _put(self, exchange: Exchange, path: str) -> None:
        """[raw]."""
        self.check_writer(exchange)
        if path in self.files and not self.allows_redeploy:
            raise Refused(400, "Repository does not allow updating assets: images")
        if self.is_full:
            raise Refused(507, "Insufficient Storage")
        received = self.receive(exchange)
        if self.validates_types and path.endswith(".pvmp"):
            raise Refused(400, "Detected content type [application/octet-stream], but expected [application/x-pvmp]")
        with self.lock:
            if path in self.files and not self.allows_redeploy:
                raise Refused(400, "Repository does not allow updating assets: images")
            self.files[path] = received
        exchange.send(201, self._headers())

    def _assets(self, exchange: Exchange) -> None:
        """[assets]."""
        if not self.is_writer(exchange):
            raise Refused(403, "Forbidden")
        repository = exchange.query.get("repository", "")
        if repository not in self.repositories:
            raise Refused(404, "Not Found")
        start = int(exchange.query.get("continuationToken", 0))
        with self.lock:
            found = sorted((path, each) for path, each in self.files.items() if path.startswith(f"{repository}/"))
        items = []
        for path, each in found[start : start + self.page_size]:
            name = path.partition("/")[2]
            item = {"path": name, "repository": repository, "format": "raw", "checksum": {"sha1": each.sha1}}
            item["downloadUrl"] = f"{self.public_url}{self.context}{path}"
            items.append({**item, "fileSize": each.size} if self.tells_size else item)
        following = start + self.page_size
        token = str(following) if following < len(found) else None
        exchange.json(200, {"items": items, "continuationToken": token}, self._headers())
