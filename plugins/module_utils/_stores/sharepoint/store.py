# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A folder in a document library of SharePoint Online, through Microsoft Graph.

An image is sent to an upload session in consecutive ranges. With C(deferCommit), the session creates the file only when
it is complete and this run requests it. So nothing has the final name before, and only the session needs cleanup. See
C(upload_session) for how a session outlives a run.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Callable
from urllib.parse import quote, unquote, urlsplit

from ..._common.errors import TaskError
from ..._common.notice import Notice, unheard
from ..._common.retry import RetryLater
from ..._common.space import in_words
from ..._http.headers import content_range
from ..._http.session import GONE
from ..._link.share_link import sharepoint_link
from ..base import (
    CannotList,
    Conflict,
    Partial,
    Sent,
    Store,
    Stored,
    StoreFull,
    StoreOptions,
    is_worth_keeping,
    part_name,
    removed,
)
from ..body import Body, Chunk, Content
from .address import parse_address
from .graph import Graph, error_code
from .upload_session import Session, SessionNotes, remove_expired

# Every range except the last must be a multiple of this, and less than 60 MiB.
UNIT = 320 * 1024
LARGEST_RANGE = 60 * 1024 * 1024 - UNIT
LARGEST_FILE = 250 * 1024**3
# The maximum size of a request without a session.
_LARGEST_SMALL = 4 * 1024 * 1024
# A link that expires sooner than this by an organization's policy is not suitable for an image.
_SHORTEST_LINK = timedelta(days=90)
# Bytes per second, while SharePoint assembles the file.
_SLOWEST_COMMIT = 10 * 1024 * 1024
# What an item is: exactly one of these is in its description.
_KINDS = ("file", "folder", "package", "bundle", "remoteItem")
_FACTS = f"$select=id,name,size,eTag,{','.join(_KINDS)}"
_FIRST_BYTE = re.compile(r"([0-9]{1,18})(?:-[0-9]*)?")


class SharePointStore(Store):
    """C(sharepoint://tenant/site/drive/path)."""

    kind = "sharepoint"
    # C(If-Match) with a file's content works, but is not in Graph's documentation.
    exclusive = False

    def __init__(self, destination: str, options: StoreOptions, clock: Callable[[], float] = time.monotonic) -> None:
        if options.username is not None:
            raise TaskError(
                "A sharepoint:// destination does not support username and password. Set tenant_id, client_id and "
                "client_secret of an application, or a token."
            )
        self._address = parse_address(destination)
        self.url = self._address.url
        self._graph = Graph(self._address.host, options, clock)
        self._timeout = options.timeout
        self._range = max(UNIT, min(options.part_size or LARGEST_RANGE, LARGEST_RANGE) // UNIT * UNIT)
        self._drive_id: str | None = None
        self._session: Session | None = None
        self._notes: SessionNotes | None = None
        self._has_folder = False

    # The library and what is in it

    @property
    def _drive(self) -> str:
        """The path of the document library in Graph."""
        if self._drive_id is None:
            self._drive_id = self._find_drive()
        return f"/drives/{quote(self._drive_id, safe='!')}"

    def _find_drive(self) -> str:
        response = self._graph.request("GET", f"{self._address.site_path}?$select=id")
        if response.status_code in (400, *GONE):
            raise TaskError(
                f"{self._address.host} has no site '{self._address.site or 'root'}'. Correct destination.", status=404
            )
        self._graph.judge(response, "site lookup")
        site = self._graph.content(response, "site lookup").get("id")
        if not _is_text(site):
            raise self._graph.odd("site lookup", "it does not contain the site's ID")
        found = []
        for drive in self._graph.pages(
            f"/sites/{quote(site, safe=',')}/drives?$select=id,name,webUrl", "library listing"
        ):
            # Users see one name, addresses contain the other: "Documents" is at ".../Shared%20Documents".
            name, address = drive.get("name"), drive.get("webUrl")
            if not _is_text(name) or not _is_text(drive.get("id")):
                raise self._graph.odd("library listing", "it has a library without a name or an ID")
            names = (name, unquote(address.rpartition("/")[2]) if _is_text(address) else "")
            if self._address.drive.casefold() in (each.casefold() for each in names):
                return str(drive["id"])
            found.append(name)
        known = ", ".join(sorted(found)) or "none that the application can see"
        raise TaskError(
            f"The site '{self._address.site or 'root'}' has no document library '{self._address.drive}'. It has: "
            f"{known}. Correct destination."
        )

    def _item(self, name: str, more: str = "") -> str:
        """Return the path of an item in Graph, with C(more) as the sub-resource or query."""
        path = self._address.path_of(name)
        root = f"{self._drive}/root"
        if not path:
            return f"{root}{more}"
        return f"{root}:/{path}:{more}" if more.startswith("/") else f"{root}:/{path}{more}"

    def _facts(self, name: str) -> dict[str, Any] | None:
        response = self._graph.request("GET", self._item(name, f"?{_FACTS}"))
        if response.status_code in GONE:
            return None
        self._graph.judge(response, "file lookup")
        facts = self._graph.content(response, "file lookup")
        if not _is_text(facts.get("id")) or not any(kind in facts for kind in _KINDS):
            raise self._graph.odd("file lookup", "it does not describe a file or a folder")
        return facts

    def _require_folder(self) -> None:
        """Raise TaskError if the folder does not exist: whether a file of it exists is unknown then."""
        if not self._has_folder:
            folder = self._facts("")
            if folder is None or "folder" not in folder:
                raise self._missing()
            self._has_folder = True

    def _stored(self, item: dict[str, Any], name: Any, doing: str) -> Stored:
        size, version = item.get("size"), item.get("eTag")
        if not _is_text(name) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise self._graph.odd(doing, "it has a file without a name or a size")
        return Stored(name, size, None, version if _is_text(version) else None)

    def look(self, name: str) -> Stored | None:
        facts = self._facts(name)
        if facts is None:
            self._require_folder()
            return None
        if "file" not in facts:
            raise TaskError(f"{self.link(name)} is a folder, not a file. Choose another name.")
        return self._stored(facts, name, "file lookup")

    def list(self) -> list[Stored]:
        path = self._item("", f"/children?{_FACTS}&$top=200")
        try:
            items = list(self._graph.pages(path, "folder listing"))
        except TaskError as error:
            if error.details.get("status") in GONE:
                raise self._missing() from None
            if error.details.get("status") == 403:
                raise CannotList(error.message, **error.details) from error
            raise
        if not all(any(kind in item for kind in _KINDS) for item in items):
            raise self._graph.odd("folder listing", "it has an entry that is neither a file nor a folder")
        files = [self._stored(item, item.get("name"), "folder listing") for item in items if "file" in item]
        return sorted((each for each in files if not each.name.startswith(".")), key=lambda each: each.name)

    def delete(self, name: str) -> bool:
        response = self._graph.request("DELETE", self._item(name))
        if response.status_code in GONE:
            self._require_folder()
            return False
        self._graph.judge(response, "removal")
        return True

    def _missing(self) -> TaskError:
        return TaskError(
            f"The folder '{'/'.join(self._address.folder)}' does not exist in the document library "
            f"'{self._address.drive}'. Create it, or correct destination.",
            status=404,
        )

    # Before an upload

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        self._address.check(name)
        if content.size > LARGEST_FILE:
            raise TaskError(
                f"The image is too large for SharePoint: it has {in_words(content.size)}, and the maximum is "
                f"{in_words(LARGEST_FILE)}. Publish it to another store."
            )
        self._require_folder()
        self._check_space(content.size)
        if write:
            self._look_for_session(name, content, notice)
            if self._session is None:
                self._try_session(name, content)

    def can_compare(self) -> bool | None:
        return None  # see exclusive

    def _check_space(self, size: int) -> None:
        quota = self._graph.get(f"{self._drive}?$select=quota", "free space query").get("quota")
        if not isinstance(quota, dict):
            return
        free = quota.get("remaining")
        if isinstance(free, int) and quota.get("total") and free < size:
            raise StoreFull(
                f"{self._address.host} has {in_words(free)} free for {self.url}, but the image needs "
                f"{in_words(size)}. Free up space there (the site's recycle bin counts, too), or ask its "
                "administrators for more.",
                free_bytes=free,
                needed_bytes=size,
            )

    def _try_session(self, name: str, content: Content) -> None:
        """Create a session and cancel it: this verifies write permission and free space, and leaves nothing behind."""
        session = self._new_session(part_name(name, content), content.size, overwrite=False)
        self._cancel(session)

    def _look_for_session(self, name: str, content: Content, notice: Notice) -> None:
        """Take over the session that a killed run has left for these bytes; cancel one for other bytes."""
        remove_expired()
        self._notes = SessionNotes(f"{self._address} {name}")
        if not self._notes.take():
            return
        left = self._notes.session()
        if left is None:
            return
        if self._notes.is_of(content.marks):
            self._session = left
            return
        if self._cancel(left):
            notice(removed(f"an upload session for {self.link(name)}"))
        self._notes.forget()

    # The upload

    def resumable(self, name: str, body: Body) -> Partial | None:
        notes = self._notes
        if self._session is None or notes is None:
            return None
        if not notes.take() and self._session.noted:  # another run has taken it over in the meantime
            self._session, self._notes = None, None
            return None
        reached = self._reached(self._session, body.size)
        if not reached or reached not in self._session.digests:
            self._give_up()
            return None
        return Partial(self._session.id, reached)

    def _reached(self, session: Session, size: int) -> int | None:
        """Return how many bytes a session has; None when the session no longer exists."""
        response = self._graph.open("GET", session.url)
        if response.status_code in (401, 403, *GONE):
            return None
        self._graph.judge(response, "upload session query")
        return self._next_offset(session, response, size)

    def _next_offset(self, session: Session, response: Any, size: int) -> int:
        """Return the offset at which a session continues; C(size) for one that expects nothing more."""
        content = self._graph.content(response, "upload")
        ends, expected = content.get("expirationDateTime"), content.get("nextExpectedRanges")
        session.expires = ends if _is_text(ends) else session.expires
        starts = [_FIRST_BYTE.fullmatch(str(each)) for each in expected] if isinstance(expected, list) else [None]
        if not all(starts):
            raise RetryLater(f"{self._address.host} does not report how many bytes of the file it has.")
        return min((int(start[1]) for start in starts if start), default=size)

    def send(self, name: str, body: Body, overwrite: bool = False, after: Partial | None = None) -> Sent:
        if self._notes is None:
            self._notes = SessionNotes(f"{self._address} {name}")
            self._notes.take()
        try:
            session, resumed_from = self._begin_or_go_on(name, body, overwrite, after)
            while body.offset < body.size:
                self._send_range(name, session, body)
        except BaseException as error:
            if isinstance(error, Conflict) or not is_worth_keeping(error):
                self._give_up()
            self._notes.release()
            raise
        return Sent(session.id, body.size, resumed_from)

    def _begin_or_go_on(self, name: str, body: Body, overwrite: bool, after: Partial | None) -> tuple[Session, int]:
        session = self._session
        if session is not None and after is not None and after.name == session.id and session.overwrite == overwrite:
            body.rewind(after.size)
            if body.so_far == session.digests.get(after.size):
                return session, after.size
        self._give_up()
        body.rewind()
        self._session = session = self._new_session(name, body.size, overwrite)
        self._keep(session, body)
        return session, 0

    def _new_session(self, name: str, size: int, overwrite: bool) -> Session:
        asked = {
            "item": {
                "@microsoft.graph.conflictBehavior": "replace" if overwrite else "fail",
                "name": name,
                "fileSize": size,
            },
            "deferCommit": True,
        }
        response = self._graph.request(
            "POST",
            self._item(name, "/createUploadSession"),
            {"Content-Type": "application/json"},
            json.dumps(asked).encode(),
        )
        self._refuse_conflict(response, name, overwrite)
        if response.status_code in GONE:
            raise self._missing()
        self._graph.judge(response, "upload start")
        content = self._graph.content(response, "upload start")
        url, ends = content.get("uploadUrl"), content.get("expirationDateTime")
        if not _is_text(url):
            raise TaskError(f"{self._graph.host} returned no upload address. Check endpoint_url and the proxy.")
        return Session(url, overwrite, ends if _is_text(ends) else "")

    def _refuse_conflict(self, response: Any, name: str, overwrite: bool = False) -> None:
        if response.status_code == 409 and not overwrite and error_code(response) == "nameAlreadyExists":
            raise Conflict(name)

    def _send_range(self, name: str, session: Session, body: Body) -> None:
        first, size = body.offset, min(self._range, body.size - body.offset)
        last = first + size - 1
        body.remember()

        def note() -> None:
            session.will_have(body.offset, body.so_far)
            self._keep(session, body)

        response = self._graph.open(
            "PUT",
            session.url,
            {"Content-Range": f"bytes {first}-{last}/{body.size}", "Content-Type": "application/octet-stream"},
            _Range(body, size, note),
            answer_timeout=self._patience(size),
        )
        status = response.status_code
        if status in (200, 201):
            self._require_item(response, "upload")
            session.published = True
            return
        if status == 416:  # it has these bytes already, or lacks earlier ones: it is queried again
            raise RetryLater(f"{self._address.host} expects other bytes of {name} than those that were sent.", after=0)
        self._refuse_conflict(response, name, session.overwrite)
        if status in (401, 403, *GONE):
            self._forget()
            raise RetryLater(f"The upload session for {name} ended early.", after=0, status=status)
        self._graph.judge(response, "upload")
        if self._next_offset(session, response, body.size) != last + 1:
            raise RetryLater(f"{self._address.host} did not store all bytes of {name} that were sent.", after=0)

    def is_waiting(self, sent: Sent) -> bool:
        session = self._session
        if session is None or session.id != sent.name or session.published:
            return False
        if self._reached(session, sent.size) == sent.size:
            return True
        self._forget()
        return False

    def publish(self, name: str, sent: Sent, overwrite: bool) -> None:
        session = self._session
        if session is None or session.id != sent.name:
            raise RetryLater(f"The upload session for {name} ended early.")
        if not session.published:
            response = self._graph.open("POST", session.url, data=b"", answer_timeout=self._patience(sent.size))
            self._refuse_conflict(response, name, session.overwrite)
            if response.status_code in (202, *GONE):
                raise RetryLater(f"{self._address.host} did not confirm that {name} is complete.")
            self._graph.judge(response, "publishing")
            self._require_item(response, "publishing")
        self._forget()

    def _require_item(self, response: Any, doing: str) -> None:
        """Raise RetryLater if a success does not contain the file: it may come from a gateway."""
        if not _is_text(self._graph.content(response, doing).get("id")):
            raise RetryLater(f"{urlsplit(response.url).netloc} did not confirm the {doing} of the file.")

    def discard(self, sent: Sent) -> None:
        if self._session is not None and self._session.id == sent.name:
            self._give_up()

    def _patience(self, size: int) -> float:
        return self._timeout + size / _SLOWEST_COMMIT

    def _keep(self, session: Session, body: Body) -> None:
        if self._notes is not None:
            self._notes.keep(session, body.content.marks)

    def _give_up(self) -> None:
        """Cancel the session, which will not be resumed."""
        if self._session is not None:
            self._cancel(self._session)
            self._forget()

    def _forget(self) -> None:
        self._session = None
        if self._notes is not None:
            self._notes.forget()
            self._notes.release()

    def _cancel(self, session: Session) -> bool:
        """Try to remove a session. If that fails, it expires on its own."""
        try:
            return self._graph.open("DELETE", session.url).status_code == 204
        except (RetryLater, TaskError):
            return False

    # Reading and small files

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        response = self._graph.download(self._item(name, "/content"), {"Range": f"bytes={start}-"} if start else {})
        if response.status_code in GONE:
            response.close()
            raise RetryLater(f"{self.link(name)} no longer exists.")
        self._graph.judge(response, "download")
        ranged = content_range(response.headers)
        if response.status_code == 206 and ranged is not None and ranged.start != start:
            response.close()
            raise RetryLater(f"{urlsplit(response.url).netloc} sent other bytes of {name} than it was asked for.")
        # A server without range support sends the whole file.
        unwanted = start if response.status_code == 200 else 0
        for block in self._graph.blocks(response):
            wanted = block[unwanted:]
            unwanted -= len(block) - len(wanted)
            if wanted:
                yield wanted

    def read(self, name: str, limit: int = _LARGEST_SMALL) -> tuple[bytes, str] | None:
        # The version first: if the file changes before it is read, the version is too old, and the write is refused.
        facts = self._facts(name)
        if facts is None:
            self._require_folder()
            return None
        version = facts.get("eTag")
        if not _is_text(version):
            raise self._graph.odd("file lookup", "it has a file without a version")
        data = b""
        for block in self.blocks(name):
            data += block
            if len(data) > limit:
                raise TaskError(
                    f"{self.link(name)} is larger than {limit} bytes, so it is not the expected file. Check what was "
                    "stored under that name."
                )
        return data, version

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_version: str | None = None,
        if_absent: bool = False,
    ) -> None:
        if len(data) > _LARGEST_SMALL:
            raise TaskError(
                f"{self.link(name)} would have {len(data)} bytes, but SharePoint accepts at most {_LARGEST_SMALL} in "
                "one request. Remove old records from the catalog (retire_images.yml)."
            )
        behavior = quote("@microsoft.graph.conflictBehavior", safe="@.")
        path = self._item(name, f"/content?{behavior}={'fail' if if_absent else 'replace'}")
        headers = {"Content-Type": content_type, **({"If-Match": if_version} if if_version is not None else {})}
        response = self._graph.request("PUT", path, headers, data)
        conditional = if_absent or if_version is not None
        if conditional and response.status_code in (409, 412):
            raise Conflict(name)
        if if_version is not None and response.status_code in GONE:
            raise Conflict(name)
        if response.status_code in GONE:
            raise self._missing()
        self._graph.judge(response, "upload")
        self._require_item(response, "upload")

    # The link for users' Macs

    def share(self, name: str) -> str:
        """Create a link for anyone, and return its direct form."""
        facts = self._facts(name)
        if facts is None:
            raise TaskError(f"{self.link(name)} does not exist, so it cannot have a link. Publish the image first.")
        response = self._graph.request(
            "POST",
            f"{self._drive}/items/{quote(facts['id'], safe='!')}/createLink",
            {"Content-Type": "application/json"},
            json.dumps({"type": "view", "scope": "anonymous"}).encode(),
        )
        if response.status_code in (400, 403):
            raise self._no_link(f"{response.status_code} {error_code(response)}".strip(), name)
        self._graph.judge(response, "link creation")
        permission = self._graph.content(response, "link creation")
        link, ends = permission.get("link"), permission.get("expirationDateTime")
        url, scope = (link.get("webUrl"), link.get("scope")) if isinstance(link, dict) else (None, None)
        if scope != "anonymous" or not _is_text(url):
            raise self._no_link(f"it created one for {_shown(scope)}", name)
        self._refuse_short_link(ends, name)
        return sharepoint_link(url).direct or url

    def _no_link(self, why: str, name: str) -> TaskError:
        return TaskError(
            f"{self._address.host} created no link to {name} that works for anyone ({why}). Ask its administrators to "
            "allow 'Anyone' links in the SharePoint admin center, under Policies > Sharing and for this site under "
            "Active sites > Sharing. If they are allowed there, the application needs the permission "
            "Files.ReadWrite.All, or the role fullcontrol for this site. Otherwise, publish the image to another store."
        )

    def _refuse_short_link(self, ends: Any, name: str) -> None:
        if ends in (None, ""):
            return
        try:
            end = datetime.fromisoformat(ends[:19]).replace(tzinfo=timezone.utc)
        except (TypeError, ValueError):
            raise self._graph.odd("link creation", "it does not show when the link expires") from None
        if end - datetime.now(timezone.utc) < _SHORTEST_LINK:
            raise TaskError(
                f"A policy of {self._address.host} makes links for anyone expire, that to {name} at {ends}. "
                "Ask its administrators to allow permanent links for this site, or publish the image to another store."
            )


class _Range(Chunk):
    """The next bytes of a body. Before the last of them is sent, the resulting state of the session is recorded."""

    def __init__(self, body: Body, size: int, note: Callable[[], None]) -> None:
        super().__init__(body, size)
        self._note = note

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        if block and not self._left:
            self._note()
        return block


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _shown(scope: Any) -> str:
    return f"'{scope}'" if isinstance(scope, str) and scope.isalnum() else "nobody"
