# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Writing to a repository of JFrog Artifactory.

Artifactory shows a file only after all of it has arrived and its checksum was compared. It can copy bytes that it
already has under any name: so each image is first deployed by its checksum alone.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any, Callable
from urllib.parse import quote, urlsplit

from ..._common.errors import TaskError
from ..._common.json_reader import read_json
from ..._common.retry import RetryLater
from ..._http.headers import whole_number
from ..._http.session import GONE
from ..base import Conflict, Sent, Stored, StoreFull, is_internal, part_name, sha256_of
from ..body import Body
from .folder import HttpFolder
from .plain_put import PlainPutWriter

# Any of these headers identifies Artifactory. A proxy in front of it may remove some.
_HEADERS = ("X-JFrog-Version", "X-Artifactory-Id", "X-Artifactory-Node-Id")
# The repositories and the API are below this part of an address; without it, they are below the host itself.
_CONTEXT = "artifactory"


def is_artifactory(response: Any) -> bool:
    """Return whether an answer comes from Artifactory."""
    return any(name in response.headers for name in _HEADERS) or response.headers.get("Server", "").startswith(
        "Artifactory"
    )


class ArtifactoryWriter(PlainPutWriter):
    """Writes to a repository of Artifactory."""

    kind = "artifactory"
    atomic = True
    # Artifactory has no conditional writes.
    exclusive = False
    compares = False
    digest_first = True

    def __init__(
        self,
        folder: HttpFolder,
        look: Callable[[str], Stored | None],
        version: Callable[[str], str | None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(folder, look, version, sleep)
        folder.explain = _explain

    def send(self, name: str, body: Body, overwrite: bool, after: Any) -> Sent:
        if not overwrite and self._look(name) is not None:
            raise Conflict(name)
        if self._deploy_by_checksum(name, body, overwrite):
            deployed = body.expected
        else:
            response = self._put(name, body, overwrite, {"X-Checksum-Sha256": body.expected or ""})
            self._judge(response, name, overwrite)
            deployed = _digest(response)
        kept = self._look(name)
        if kept is not None and kept.size == body.size and kept.sha256 in (None, body.sha256):
            return Sent(name, body.size)
        if kept is not None:
            # A repository may be configured to accept files without comparing their checksum.
            if deployed is None or kept.sha256 != deployed:  # another writer has the name now, or nothing shows whose
                raise Conflict(name)
            self._folder.request("DELETE", name).close()
        raise RetryLater(f"{self._folder.host} stored other bytes for {name} than those that were sent.")

    def _deploy_by_checksum(self, name: str, body: Body, overwrite: bool) -> bool:
        """Return whether Artifactory already had these bytes; then they now exist under the name, too.

        The local file is compared before they get the name: afterwards, nobody could tell them from those of another
        writer with the same image, and so they could not be removed again.
        """
        if body.expected is None or not self._has_bytes(name, body):
            return False
        self._compare(body)
        response = self._put_checksum(name, body)
        if response.status_code in GONE:  # they were removed since
            return False
        self._judge(response, name, overwrite)
        return True

    def _has_bytes(self, name: str, body: Body) -> bool:
        """Return whether Artifactory has these bytes under any name, by deploying them under a temporary one."""
        if not self.removes:  # neither could the temporary name
            return True
        probe = part_name(name)
        try:
            response = self._put_checksum(probe, body)
            if response.status_code in GONE:
                return False
            self._folder.judge(response, "upload")
        finally:
            with contextlib.suppress(RetryLater, TaskError):
                self._folder.request("DELETE", probe).close()
        return True

    def _put_checksum(self, name: str, body: Body) -> Any:
        headers = {"X-Checksum-Deploy": "true", "X-Checksum-Sha256": body.expected or ""}
        return self._folder.request("PUT", name, headers, b"", answer_timeout=self._folder.patience(body.size))

    @staticmethod
    def _compare(body: Body) -> None:
        """Verify that the local file, too, has the checksum that was published."""
        body.rewind()
        while body.offset < body.size:
            body.pass_over(body.size - body.offset)

    def _judge(self, response: Any, name: str, overwrite: bool) -> None:
        # Without permission to delete, overwriting is forbidden, too: so 403 may mean that the file exists.
        if response.status_code == 403 and not overwrite and self._look(name) is not None:
            raise Conflict(name)
        self._folder.judge(response, "upload")

    def list(self) -> list[Stored]:
        base, path = _api_and_path(self._folder.url)
        address = f"{base}/api/storage/{path}"
        response = self._folder.ask("GET", f"{address}?list&deep=0&listFolders=0")
        if response.status_code == 200:
            found = [self._listed(each) for each in _entries(response, "files")]
        else:  # the list is a paid feature
            response = self._folder.ask("GET", address)
            if response.status_code in GONE:
                # An empty folder does not exist.
                self.require_folder()
                return []
            self._folder.judge_listing(response)
            names = [_name(each) for each in _entries(response, "children") if not each.get("folder")]
            found = [self._look(name) for name in names]
        shown = [stored for stored in found if stored is not None and not is_internal(stored.name)]
        return sorted(shown, key=lambda stored: stored.name)

    def require_folder(self) -> None:
        """Raise TaskError if Artifactory reports that the repository does not exist."""
        base, path = _api_and_path(self._folder.url)
        if not base.endswith(f"/{_CONTEXT}"):  # the API may be elsewhere
            return
        response = self._folder.ask("GET", f"{base}/api/storage/{path.partition('/')[0]}")
        if response.status_code in GONE and is_artifactory(response):
            raise self._folder.missing()

    def _listed(self, entry: dict[str, Any]) -> Stored | None:
        size = whole_number(str(entry.get("size")))
        return self._look(_name(entry)) if size is None else Stored(_name(entry), size, sha256_of(entry.get("sha2")))


def _explain(response: Any) -> Exception | None:
    """Return what an error of Artifactory means, where its text says more than its status."""
    status, host = response.status_code, urlsplit(response.url).netloc
    if status not in (403, 409, 413):
        return None
    words = _words(response)
    said = f"{host} answered {status}"
    if status == 413 and "disk usage" in words:
        return StoreFull(f"{said}: the store is full. Ask its administrators for more space.", status=status)
    if status == 403 and ("overwrite" in words or "delete" in words):
        return TaskError(
            f"{said}: these credentials may not overwrite or remove files. Use credentials with the permission "
            "Delete/Overwrite for this repository.",
            status=status,
        )
    if status == 409 and "checksum" in words:
        return RetryLater(f"{said}: the bytes that arrived are not those that were sent.", status=status)
    if status == 409:
        return TaskError(
            f"{said}: the rules of the repository do not allow this file. Ask its administrators to check its include "
            "and exclude patterns.",
            status=status,
        )
    return None


def _words(response: Any) -> str:
    """Return Artifactory's error text, to search it for words. It is not shown."""
    errors = _object(response).get("errors")
    messages = [each.get("message") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return " ".join(str(message) for message in messages).lower()


def _object(response: Any) -> dict[str, Any]:
    try:
        content = read_json(response.content)
    except (ValueError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(response: Any) -> str | None:
    """Return the SHA-256 of what Artifactory has received, from its answer."""
    checksums = _object(response).get("checksums")
    digest = checksums.get("sha256") if isinstance(checksums, dict) else None
    return sha256_of(digest)


def _entries(response: Any, key: str) -> list[dict[str, Any]]:
    """Return the files or folders in a list. Raises RetryLater, because a list that cannot be read is not empty."""
    entries = _object(response).get(key)
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise RetryLater(f"{urlsplit(response.url).netloc} did not send a list of the folder that can be read.")
    return entries


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("uri")
    if not isinstance(name, str) or not name.strip("/"):
        raise RetryLater("Artifactory did not send a list of the folder that can be read.")
    return name.lstrip("/")


def _api_and_path(url: str) -> tuple[str, str]:
    """Return where the API is, and the folder's path below the repositories."""
    parts = urlsplit(url)
    words = re.sub("/+", "/", parts.path).strip("/").split("/")
    below = words.index(_CONTEXT) + 1 if _CONTEXT in words[:-1] else 0
    base = "/".join(quote(word, safe="%") for word in words[:below])
    return f"{parts.scheme}://{parts.netloc}{'/' + base if base else ''}", "/".join(words[below:])
