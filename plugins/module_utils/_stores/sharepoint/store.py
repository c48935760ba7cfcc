# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A folder in a document library of SharePoint Online, through Microsoft Graph.

An image goes into an upload session, in ranges that follow each other, and the session is told to make the file only
when it is whole: C(deferCommit). So there is nothing under the final name before, and nothing but the session to clean
up. See C(_upload_session) for how a session outlives a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Callable
from urllib.parse import quote, unquote

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._common.space import in_words
from ..._link.share_link import sharepoint_link
from ..base import (
    Conflict,
    Notice,
    Partial,
    Sent,
    Store,
    Stored,
    StoreFull,
    StoreOptions,
    is_worth_keeping,
    part_name,
    removed,
    unheard,
)
from ..body import Body, Chunk, Content
from ..https.folder import GONE
from .address import parse_address
from .graph import Graph, error_code, json_of
from .upload_session import Session, SessionNotes, remove_expired

# Every range but the last has to be a multiple of this, and less than 60 MiB.
UNIT = 320 * 1024
LARGEST_RANGE = 60 * 1024 * 1024 - UNIT
LARGEST_FILE = 250 * 1024**3
# What goes in one request without a session.
_LARGEST_SMALL = 4 * 1024 * 1024
# A link that an organisation's policy ends sooner than this is of no use for an image.
_SHORTEST_LINK = timedelta(days=90)
# SharePoint has all bytes, and puts them together.
_SLOWEST_COMMIT = 10 * 1024 * 1024
_FACTS = "$select=id,name,size,eTag,file,folder"


class SharePointStore(Store):
    """C(sharepoint://tenant/site/drive/path)."""

    kind = "sharepoint"
    # C(If-Match) with a file's content is not in Graph's documentation, although it is obeyed.
    exclusive = False

    def __init__(self, destination: str, options: StoreOptions, clock: Callable[[], float] = time.monotonic) -> None:
        if options.username is not None:
            raise TaskError(
                "A sharepoint:// destination takes no username and password. Give tenant_id, client_id and "
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
        self._graph.judge(response, "question for the site")
        site = json_of(response).get("id", "")
        found = []
        for drive in self._graph.pages(
            f"/sites/{quote(site, safe=',')}/drives?$select=id,name,webUrl", "list of libraries"
        ):
            # Users see one name, addresses hold the other: "Documents" is at ".../Shared%20Documents".
            names = (drive.get("name", ""), unquote(drive.get("webUrl", "").rpartition("/")[2]))
            if self._address.drive.casefold() in (name.casefold() for name in names):
                return str(drive["id"])
            found.append(str(names[0]))
        known = ", ".join(sorted(found)) or "none that the application may see"
        raise TaskError(
            f"The site '{self._address.site or 'root'}' has no document library '{self._address.drive}'; it has: "
            f"{known}. Correct destination."
        )

    def _item(self, name: str, more: str = "") -> str:
        """Return the path of an item in Graph, C(more) being what is asked of it."""
        path = self._address.path_of(name)
        root = f"{self._drive}/root"
        if not path:
            return f"{root}{more}"
        return f"{root}:/{path}:{more}" if more.startswith("/") else f"{root}:/{path}{more}"

    def _facts(self, name: str) -> dict[str, Any] | None:
        response = self._graph.request("GET", self._item(name, f"?{_FACTS}"))
        if response.status_code in GONE:
            return None
        self._graph.judge(response, "look at a file")
        return json_of(response)

    def look(self, name: str) -> Stored | None:
        facts = self._facts(name)
        if facts is None:
            return None
        if "file" not in facts:
            raise TaskError(f"{self.link(name)} is a folder, where a file is wanted. Choose another name.")
        return Stored(name, int(facts.get("size", 0)), None, facts.get("eTag"))

    def list(self) -> list[Stored]:
        path = self._item("", f"/children?{_FACTS}&$top=200")
        try:
            items = list(self._graph.pages(path, "list of the folder"))
        except TaskError as error:
            if error.details.get("status") in GONE:
                raise self._missing() from None
            raise
        files = [item for item in items if "file" in item and not str(item["name"]).startswith(".")]
        stored = (Stored(item["name"], int(item.get("size", 0)), None, item.get("eTag")) for item in files)
        return sorted(stored, key=lambda each: each.name)

    def delete(self, name: str) -> bool:
        response = self._graph.request("DELETE", self._item(name))
        if response.status_code in GONE:
            return False
        self._graph.judge(response, "removal")
        return True

    def _missing(self) -> TaskError:
        return TaskError(
            f"There is no folder '{'/'.join(self._address.folder)}' in the document library "
            f"'{self._address.drive}'. Make it, or correct destination.",
            status=404,
        )

    # Before an upload

    def check(self, name: str, content: Content, write: bool = True, notice: Notice = unheard) -> None:
        self._address.check(name)
        if content.size > LARGEST_FILE:
            raise TaskError(
                f"SharePoint takes files of up to {in_words(LARGEST_FILE)}, and the image has "
                f"{in_words(content.size)}. Publish it to another store."
            )
        folder = self._facts("")
        if folder is None or "folder" not in folder:
            raise self._missing()
        self._check_space(content.size)
        if write:
            self._look_for_session(name, content, notice)
            if self._session is None:
                self._try_session(name, content)

    def can_compare(self) -> bool | None:
        return None  # see exclusive

    def _check_space(self, size: int) -> None:
        quota = self._graph.get(f"{self._drive}?$select=quota", "question for the free space").get("quota") or {}
        free = quota.get("remaining")
        if isinstance(free, int) and quota.get("total") and free < size:
            raise StoreFull(
                f"{self._address.host} has {in_words(free)} left for {self.url}, and the image needs "
                f"{in_words(size)}. Free some space there (the site's recycle bin counts, too), or ask its "
                "administrators for more.",
                free_bytes=free,
                needed_bytes=size,
            )

    def _try_session(self, name: str, content: Content) -> None:
        """Make a session and cancel it: that proves the right to write, and the room, and leaves nothing."""
        session = self._new_session(part_name(name, content), content.size, overwrite=False)
        self._cancel(session)

    def _look_for_session(self, name: str, content: Content, notice: Notice) -> None:
        """Take over the session that a killed run has left for these bytes; remove one for others."""
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
        """Return how many bytes a session has; None when there is no such session any more."""
        response = self._graph.open("GET", session.url)
        if response.status_code in (401, 403, *GONE):
            return None
        self._graph.judge(response, "question for the upload session")
        content = json_of(response)
        session.expires = str(content.get("expirationDateTime") or session.expires)
        return _next_offset(content, size)

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
        self._graph.judge(response, "begin of an upload")
        content = json_of(response)
        if not content.get("uploadUrl"):
            raise TaskError(f"{self._graph.host} gave no address for an upload. Check endpoint_url and the proxy.")
        return Session(str(content["uploadUrl"]), overwrite, str(content.get("expirationDateTime", "")))

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
            session.published = True
            return
        if status == 416:  # it has these bytes, or lacks some before them: it is asked
            raise RetryLater(f"{self._address.host} expects other bytes of {name} than those it was sent.", after=0)
        self._refuse_conflict(response, name, session.overwrite)
        if status in (401, 403, *GONE):
            self._forget()
            raise RetryLater(f"The upload session for {name} has ended before its time.", after=0, status=status)
        self._graph.judge(response, "upload")
        content = json_of(response)
        session.expires = str(content.get("expirationDateTime") or session.expires)
        if _next_offset(content, body.size) != last + 1:
            raise RetryLater(f"{self._address.host} did not keep all that it was sent of {name}.", after=0)

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
            raise RetryLater(f"The upload session for {name} has ended before its time.")
        if not session.published:
            response = self._graph.open("POST", session.url, data=b"", answer_timeout=self._patience(sent.size))
            self._refuse_conflict(response, name, session.overwrite)
            if response.status_code in (202, *GONE):
                raise RetryLater(f"{self._address.host} did not say that it has put {name} together.")
            self._graph.judge(response, "publishing")
        self._forget()

    def discard(self, sent: Sent) -> None:
        if self._session is not None and self._session.id == sent.name:
            self._give_up()

    def _patience(self, size: int) -> float:
        return self._timeout + size / _SLOWEST_COMMIT

    def _keep(self, session: Session, body: Body) -> None:
        if self._notes is not None:
            self._notes.keep(session, body.content.marks)

    def _give_up(self) -> None:
        """Cancel the session: nothing will go on with it."""
        if self._session is not None:
            self._cancel(self._session)
            self._forget()

    def _forget(self) -> None:
        self._session = None
        if self._notes is not None:
            self._notes.forget()
            self._notes.release()

    def _cancel(self, session: Session) -> bool:
        """Remove what a session has, as well as it goes: without that, it ends by itself."""
        try:
            return self._graph.open("DELETE", session.url).status_code == 204
        except (RetryLater, TaskError):
            return False

    # Reading and small files

    def blocks(self, name: str, start: int = 0) -> Iterator[bytes]:
        response = self._graph.download(self._item(name, "/content"), {"Range": f"bytes={start}-"} if start else {})
        if response.status_code in GONE:
            response.close()
            raise RetryLater(f"{self.link(name)} is not there any more.")
        self._graph.judge(response, "download")
        # Whoever does not know ranges sends all of it.
        unwanted = start if response.status_code == 200 else 0
        for block in self._graph.blocks(response):
            wanted = block[unwanted:]
            unwanted -= len(block) - len(wanted)
            if wanted:
                yield wanted

    def read(self, name: str, limit: int = _LARGEST_SMALL) -> tuple[bytes, str] | None:
        # The version first: should the file change before it is read, the version is too old, and writing is refused.
        facts = self._facts(name)
        if facts is None:
            return None
        data = b""
        for block in self.blocks(name):
            data += block
            if len(data) > limit:
                raise TaskError(f"{self.link(name)} is larger than {limit} bytes: it is not what it should be.")
        return data, str(facts.get("eTag", ""))

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
                f"{self.link(name)} would have {len(data)} bytes, and SharePoint takes {_LARGEST_SMALL} at once. "
                "Remove old records from the catalog (retire_images.yml)."
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

    # The link for users' Macs

    def share(self, name: str) -> str:
        """Make a link for anyone, and return its direct form."""
        facts = self._facts(name)
        if facts is None:
            raise TaskError(f"{self.link(name)} is not there, so there is no link to it. Publish the image first.")
        response = self._graph.request(
            "POST",
            f"{self._drive}/items/{quote(str(facts.get('id', '')), safe='!')}/createLink",
            {"Content-Type": "application/json"},
            json.dumps({"type": "view", "scope": "anonymous"}).encode(),
        )
        if response.status_code in (400, 403):
            raise self._no_link(f"{response.status_code} {error_code(response)}".strip(), name)
        self._graph.judge(response, "making of a link")
        permission = json_of(response)
        link = permission.get("link") or {}
        if link.get("scope", "anonymous") != "anonymous" or not link.get("webUrl"):
            raise self._no_link(f"it gave one for '{link.get('scope', 'nobody')}'", name)
        self._refuse_short_link(str(permission.get("expirationDateTime") or ""), name)
        url = str(link["webUrl"])
        return sharepoint_link(url).direct or url

    def _no_link(self, why: str, name: str) -> TaskError:
        return TaskError(
            f"{self._address.host} makes no link to {name} that works for anyone ({why}). Ask its administrators to "
            "allow 'Anyone' links in the SharePoint admin center, under Policies > Sharing and for this site under "
            "Active sites > Sharing. If they are allowed there, the application needs the permission "
            "Files.ReadWrite.All, or the role fullcontrol for this site. Else publish the image to another store."
        )

    def _refuse_short_link(self, ends: str, name: str) -> None:
        if not ends:
            return
        end = datetime.fromisoformat(ends[:19]).replace(tzinfo=timezone.utc)
        if end - datetime.now(timezone.utc) < _SHORTEST_LINK:
            raise TaskError(
                f"A policy of {self._address.host} lets links for anyone end, that to {name} at {ends}. Ask its "
                "administrators to let the links of this site last, or publish the image to another store."
            )


class _Range(Chunk):
    """The next bytes of a body. Before the last of them goes out, it is noted what the session will have then."""

    def __init__(self, body: Body, size: int, note: Callable[[], None]) -> None:
        super().__init__(body, size)
        self._note = note

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        if block and not self._left:
            self._note()
        return block


def _next_offset(content: dict[str, Any], size: int) -> int:
    """Return where a session goes on; C(size) for one that expects nothing more."""
    starts = []
    for each in content.get("nextExpectedRanges") or []:
        first = str(each).partition("-")[0]
        if first.isdigit():
            starts.append(int(first))
    return min(starts) if starts else size
