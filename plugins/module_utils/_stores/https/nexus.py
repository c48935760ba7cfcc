# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Writing to a raw repository of Sonatype Nexus, which shows a file only after all of it has arrived."""

from __future__ import annotations

import re
import time
from typing import Any, Callable
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..._common.errors import TaskError
from ..._common.json_reader import read_json
from ..._common.retry import RetryLater
from ..._http.headers import whole_number
from ..._http.limits import Pages
from ..._http.session import GONE
from ..base import CannotList, Conflict, Sent, Stored, is_internal
from ..body import Body
from .folder import HttpFolder
from .plain_put import PlainPutWriter

# The part of the address that precedes the name of the repository.
_REPOSITORY = "repository"


def is_nexus(response: Any) -> bool:
    """Return whether an answer comes from Nexus."""
    return response.headers.get("Server", "").startswith("Nexus")


class NexusWriter(PlainPutWriter):
    """Writes to a raw repository of Nexus."""

    kind = "nexus"
    atomic = True
    # Nexus has no conditional writes.
    exclusive = False
    compares = False

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
        try:
            return super().send(name, body, overwrite, after)
        except _NoRedeploy:
            if overwrite:
                raise
            raise Conflict(name) from None

    def list(self) -> list[Stored]:
        base, repository, folder = _api_and_folder(self._folder.url)
        found = []
        for asset in self._assets(base, repository):
            path = asset.get("path")
            if not isinstance(path, str) or not path.strip("/"):
                raise _unreadable(self._folder.host)
            path = path.lstrip("/")
            above, _slash, name = path.rpartition("/")
            if above == folder and not is_internal(name):
                found.append(self._stored(name, asset))
        return sorted((stored for stored in found if stored is not None), key=lambda stored: stored.name)

    def _stored(self, name: str, asset: dict[str, Any]) -> Stored | None:
        # Older releases do not report the size.
        size = whole_number(str(asset.get("fileSize")))
        return self._look(name) if size is None else Stored(name, size)

    def _assets(self, base: str, repository: str) -> Any:
        """Yield all files of the repository, from all pages of its list."""
        token: Any = None
        seen: set[str] = set()
        pages = Pages(f"The list of {self._folder.host} for the repository {repository}")
        while True:
            response = self._ask_for_assets(base, repository, token)
            if response.status_code == 403:
                raise CannotList(
                    f"{self._folder.host} does not allow these credentials to list the repository. Ask its "
                    f"administrators for the privilege nx-repository-view-raw-{repository}-browse.",
                    status=403,
                )
            self._folder.judge_listing(response)
            page = _page(response)
            yield from page["items"]
            token = page.get("continuationToken")
            if token in (None, ""):
                return
            if not isinstance(token, str) or token in seen:  # the list would never end, or be a part of the whole
                raise _unreadable(self._folder.host)
            seen.add(token)
            pages.turn(token, len(response.content))

    def _ask_for_assets(self, base: str, repository: str, token: str | None = None) -> Any:
        query = {"repository": repository, **({"continuationToken": token} if token else {})}
        return self._folder.ask("GET", f"{base}/service/rest/v1/assets?{urlencode(query)}")

    def require_folder(self) -> None:
        """Raise TaskError if Nexus reports that the repository does not exist. A folder exists with its files."""
        try:
            base, repository, _folder = _api_and_folder(self._folder.url)
        except TaskError:  # behind a proxy that changes addresses
            return
        response = self._ask_for_assets(base, repository)
        if response.status_code in GONE and is_nexus(response):
            raise self._folder.missing()


class _NoRedeploy(TaskError):
    """The repository does not allow replacing files."""


def _page(response: Any) -> dict[str, Any]:
    """Return a page of a list. Raises RetryLater, because a list that cannot be read is not empty."""
    try:
        page = read_json(response.content)
        if isinstance(page["items"], list) and all(isinstance(item, dict) for item in page["items"]):
            return page
    except (ValueError, OSError, KeyError, TypeError):
        pass
    raise _unreadable(urlsplit(response.url).netloc)


def _unreadable(host: str) -> RetryLater:
    return RetryLater(f"{host} did not send a list of the repository that can be read.")


def _explain(response: Any) -> Exception | None:
    """Return what an error of Nexus means: its status line contains the reason."""
    if response.status_code != 400:
        return None
    host, words = urlsplit(response.url).netloc, (response.reason or "").lower()
    if "does not allow updating" in words:
        return _NoRedeploy(
            f"{host} answered 400: the repository does not allow replacing files, which catalog.json requires. Ask its "
            "administrators to set its deployment policy to 'Allow redeploy'.",
            status=400,
        )
    if "detected content type" in words:
        return TaskError(
            f"{host} answered 400: the repository detected another file type than the file name suggests. Ask its "
            "administrators to turn off 'Strict Content Type Validation' for it.",
            status=400,
        )
    return None


def _api_and_folder(url: str) -> tuple[str, str, str]:
    """Return the address of Nexus, the name of the repository, and the folder's path in it."""
    parts = urlsplit(url)
    words = re.sub("/+", "/", unquote(parts.path)).strip("/").split("/")
    if _REPOSITORY not in words[:-1]:
        raise TaskError(
            "The destination is not in a Nexus repository. Use a URL such as "
            "https://nexus.example.com/repository/images/golden."
        )
    at = words.index(_REPOSITORY)
    base = "".join(f"/{quote(word)}" for word in words[:at])
    return f"{parts.scheme}://{parts.netloc}{base}", words[at + 1], "/".join(words[at + 2 :])
