# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The steps of an upload: look up, check, send, verify, publish, look up again; then publish the checksum file."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import Callable

from .._common.checksum import SIDECAR, hash_file, line_for, open_image, parse_sidecar, recorded
from .._common.errors import TaskError, add_sentence
from .._common.notice import Notice, unheard
from .._common.progress import Report, unwatched
from .._common.retry import Attempts, Retries, RetryLater
from .base import Conflict, Sent, Store, Stored, check_name
from .body import Body

# Seconds that a server may take to notice a lost connection.
_SETTLE_PAUSES = (0.2, 0.3, 0.5, 1.0, 2.0)
_SIDECAR_TYPE = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Wanted:
    """What the store should contain."""

    src: str
    name: str
    # Without it: the one in the sidecar's record, else the one computed during the upload.
    sha256: str | None = None
    overwrite: bool = False
    sidecar: bool = True
    # Bytes per second.
    rate_limit: int | None = None


@dataclass(frozen=True)
class Uploaded:
    """What the store contains now, or would contain without check mode."""

    url: str
    sha256: str | None
    size: int
    bytes_sent: int
    # Bytes that the store had from an interrupted transfer of this or an earlier run. They were not sent again.
    resumed_from: int
    seconds: float
    image_changed: bool
    sidecar_changed: bool
    # The file before the upload, or None.
    before: Stored | None

    @property
    def changed(self) -> bool:
        return self.image_changed or self.sidecar_changed


class Upload:
    """Publishes one file in a store, and does nothing when it is published already."""

    def __init__(
        self,
        store: Store,
        wanted: Wanted,
        retries: Retries,
        check_mode: bool = False,
        report: Report = unwatched,
        notice: Notice = unheard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_name(wanted.name)
        self._store = store
        self._wanted = wanted
        self._retries = retries
        self._check_mode = check_mode
        self._report = report
        self._notice = notice
        self._clock = clock
        self._resumed_from = 0
        # True after a store had other bytes than it was sent: then everything is read back.
        self._suspicious = False
        self._told_of_restart = False
        self._sha256 = wanted.sha256
        # The old image that is being replaced, and its checksum file, which was removed.
        self._aside: tuple[Stored | None, bytes] | None = None
        self._address = store.link(wanted.name)

    def run(self) -> Uploaded:
        """Upload the file. After any TaskError there is nothing new under the final name."""
        begun = self._clock()
        with Body(self._wanted.src, rate_limit=self._wanted.rate_limit, report=self._report) as body:
            known = recorded(self._wanted.src)
            self._sha256 = self._wanted.sha256 or (known.sha256 if known else None)
            before = self._look()
            image_changed = before is None or not self._is_ours(before, body)
            if image_changed:
                if known is not None and known.sha256 != self._sha256:
                    raise self._other_source(known.sha256)
                image_changed = self._bring(body, before)
            uploaded_bytes = body.sent
        return Uploaded(
            url=self._link(),
            sha256=self._sha256,
            size=body.size,
            bytes_sent=uploaded_bytes,
            resumed_from=self._resumed_from,
            image_changed=image_changed,
            sidecar_changed=self._wanted.sidecar and self._publish_sidecar(),
            before=before,
            seconds=round(self._clock() - begun, 1),
        )

    def _link(self) -> str:
        if self._check_mode:  # the share link may not exist yet
            return self._address
        return self._retries.call(lambda: self._store.share(self._wanted.name))

    def _look(self) -> Stored | None:
        return self._retries.call(lambda: self._store.look(self._wanted.name))

    def _is_ours(self, found: Stored, body: Body) -> bool:
        """Return whether the store has exactly these bytes; reads them back only when nothing else shows it."""
        if found.size != body.size:
            return False
        self._sha256 = self._sha256 or body.sha256 or hash_file(self._wanted.src, self._report).sha256
        if found.sha256 is not None:
            return found.sha256 == self._sha256
        if self._published_digest() == self._sha256:
            return True
        return self._read_back(found.name, body) == (self._sha256, body.size)

    def _read_back(self, name: str, body: Body) -> tuple[str, int]:
        return self._store.digest(name, self._retries, lambda done, _unknown: self._report(done, body.size))

    def _bring(self, body: Body, before: Stored | None) -> bool:
        """Publish the file; return False when another writer has just published the same bytes."""
        overwrite = self._wanted.overwrite or (before is not None and self._is_half_sent(before, body))
        if before is not None and not overwrite:
            raise self._occupied(before, body)
        if self._sha256 is None and self._retries.call(lambda: self._store.digest_first):
            self._sha256 = hash_file(self._wanted.src, self._report).sha256
        body.expected = self._sha256
        self._retries.call(
            lambda: self._store.check(self._wanted.name, body.content, write=not self._check_mode, notice=self._notice)
        )
        if self._check_mode:
            return True
        try:
            changed = self._send_and_publish(body, before, overwrite)
        except BaseException:
            self._remove_half_sent(body, before)
            self._put_sidecar_back()
            raise
        self._sha256 = self._sha256 or body.sha256
        self._prove(body)
        return changed

    def _send_and_publish(self, body: Body, before: Stored | None, overwrite: bool) -> bool:
        """Send and publish; return False when another writer has just published the same bytes.

        After any failure, what the store can resume is left there for the next run.
        """
        if before is not None and not self._store.staged:
            if self._retries.call(lambda: self._store.atomic):
                body.before_end = self._set_sidecar_aside
            else:
                self._set_sidecar_aside()
        sending, publishing = self._retries.begin(), self._retries.begin()
        sent: Sent | None = None
        while True:
            kept = 0
            try:
                if sent is None:
                    after = self._store.resumable(self._wanted.name, body)
                    kept = after.size if after is not None else 0
                    sent = self._store.send(self._wanted.name, body, overwrite, after)
                    self._resumed_from = sent.resumed_from
                sent = self._proven(sent, body)
                if sent is None:
                    continue
                if before is not None and self._store.staged:
                    self._set_sidecar_aside()
                self._store.publish(self._wanted.name, sent, overwrite)
                return True
            except Conflict:
                if sent is not None:
                    self._discard(sent)
                found = self._look()
                if found is None or not self._is_ours(found, body):
                    raise self._occupied(found, body) from None
                return False
            except RetryLater as error:
                self._pause(sending if sent is None else publishing, error, kept, body)
            # The answer may have been lost after the work was done.
            if sent is not None:
                if self._is_published(sent, body):
                    return True
                if not self._is_waiting(sent):
                    sent = None
            elif not self._store.staged:
                found = self._look()
                if found is not None and found != before:
                    if self._is_ours(found, body):
                        return True
                    overwrite = overwrite or self._is_half_sent(found, body)
                    if not overwrite:
                        raise self._occupied(found, body)
            if sent is None:
                self._tell_of_restart(body)

    def _proven(self, sent: Sent, body: Body) -> Sent | None:
        """Return what was sent, read back if it is not verified yet; None when it must be sent again."""
        if sent.proven and not self._suspicious:
            return sent
        if self._read_back(sent.name, body) == (body.sha256, body.size):
            return replace(sent, proven=True)
        self._discard(sent)
        found_wrong = f"The bytes that {self._store.url} stored for {self._wanted.name} are not those that were sent"
        if self._suspicious:
            raise TaskError(
                f"{found_wrong}, for the second time. Nothing was published. Check whether another program writes "
                "there, and ask the server's administrators what changes files in transit.",
                url=self._address,
            )
        self._suspicious = True
        self._notice(f"{found_wrong}. They were removed, and the whole file is sent again.")
        return None

    def _pause(self, attempts: Attempts, error: RetryLater, kept: int, body: Body) -> None:
        try:
            attempts.pause(error, kept)
        except TaskError as final:
            if self._store.resumes and body.sent:
                add_sentence(final, "The store keeps the bytes that arrived. Run the same command again to resume.")
            raise

    def _tell_of_restart(self, body: Body) -> None:
        if body.sent and self._store.resumes is False and not self._told_of_restart:
            self._told_of_restart = True
            self._notice(
                f"{self._store.url} cannot resume uploads. After the interruption, the transfer of {self._wanted.name} "
                "restarted from the first byte."
            )

    def _is_waiting(self, sent: Sent) -> bool:
        return self._retries.call(lambda: self._store.is_waiting(sent))

    def _is_published(self, sent: Sent, body: Body) -> bool:
        """Return whether the rename was done although its answer was lost.

        No other run knows the temporary name: when it is gone, our rename has removed it.
        """
        if self._is_waiting(sent):
            return False
        found = self._look()
        return found is not None and found.size == sent.size and found.sha256 in (None, body.sha256)

    def _discard(self, sent: Sent) -> None:
        with contextlib.suppress(RetryLater, TaskError):
            self._store.discard(sent)

    def _prove(self, body: Body) -> None:
        found = self._look()
        if found is None or found.size != body.size or found.sha256 not in (None, self._sha256):
            there = f"{found.size} bytes" if found else "nothing"
            if found is not None and found.size == body.size:
                there = f"other bytes (SHA-256 {found.sha256})"
            raise TaskError(
                f"{self._address} was published, but the store now has {there} there "
                f"instead of {body.size} bytes. Check whether another program writes to that folder, then run the same "
                "command again.",
                url=self._address,
            )

    def _is_half_sent(self, found: Stored, body: Body) -> bool:
        """Return whether the stored file is the start of this file, left by an interrupted transfer."""
        if found.size >= body.size or self._retries.call(lambda: self._store.atomic):
            return False
        return self._retries.call(lambda: self._is_start_of_ours(found.name))

    def _is_start_of_ours(self, name: str) -> bool:
        with open_image(self._wanted.src) as ours:
            return all(ours.read(len(block)) == block for block in self._store.blocks(name))

    def _remove_half_sent(self, body: Body, before: Stored | None) -> None:
        """Remove an incomplete image from its final name, where the store let it get there.

        It may also be the transfer of another run with the same image: only what can have come from this run, and does
        not grow any more, is removed.
        """
        with contextlib.suppress(RetryLater, TaskError, OSError):
            if self._store.atomic or not body.sent:
                return
            # The server may notice the lost connection, and store what it has, only after us.
            seen = before
            for pause in _SETTLE_PAUSES:
                found = self._store.look(self._wanted.name)
                if found is not None and found != before:
                    if found.size > min(body.sent, body.size - 1):
                        return
                    if found == seen:
                        if self._is_start_of_ours(found.name):
                            self._store.delete(found.name)
                        return
                    seen = found
                time.sleep(pause)

    @property
    def _sidecar_name(self) -> str:
        return self._wanted.name + SIDECAR

    # The order when an image is replaced. The old checksum file must not lie beside the new bytes: the next run would
    # take them for the old ones, if they have the same size. The new one must not lie beside the old bytes, either. No
    # store replaces both at once, so there is a moment without a checksum file, which misleads nobody. To keep it
    # short, the new bytes are sent first, and the old pair stays whole meanwhile:
    # 1. send the image under a temporary name, and verify it
    # 2. remove the old checksum file
    # 3. publish the image
    # 4. write the new checksum file
    # If step 3 fails and the old image is still there, the old checksum file is put back. Only a kill between 2 and 3
    # leaves the old image without it.
    # Some servers have no temporary names: there, sending is publishing. If they replace the old image only after the
    # last byte has arrived, step 2 comes before the last block is sent. The others overwrite the old image from its
    # first byte on, so step 2 must come first.

    def _set_sidecar_aside(self) -> None:
        """Remove the old checksum file, and keep what is needed to put it back."""
        found = self._read_sidecar()
        if found is None:
            return
        if self._aside is None:
            self._aside = (self._look(), found[0])
        try:
            self._retries.call(lambda: self._store.delete(self._sidecar_name))
        except TaskError as error:
            # Some credentials may write, but not remove. A checksum file without a checksum misleads nobody, either.
            try:
                self._write_sidecar(f"# {self._wanted.name} is being replaced.\n".encode())
            except TaskError:
                raise error from None

    def _put_sidecar_back(self) -> None:
        """Write the old checksum file again, if the image that it describes is certainly still there."""
        if self._aside is None:
            return
        there, data = self._aside
        try:
            found = self._store.look(self._wanted.name)
            if found is None or found != there:
                return
            if found.version is not None or found.sha256 is not None:
                self._store.write(self._sidecar_name, data, _SIDECAR_TYPE)
                return
        except (RetryLater, TaskError, Conflict, OSError):
            pass
        self._notice(
            f"The upload was interrupted while it replaced {self._address}. The checksum file {self._sidecar_name} was "
            "removed before, and could not be put back. Run the same command again."
        )

    def _read_sidecar(self) -> tuple[bytes, str] | None:
        return self._retries.call(lambda: self._store.read(self._sidecar_name))

    def _write_sidecar(self, data: bytes) -> None:
        self._retries.call(lambda: self._store.write(self._sidecar_name, data, _SIDECAR_TYPE))

    def _published_digest(self) -> str | None:
        found = self._read_sidecar()
        if found is None:
            return None
        return parse_sidecar(found[0].decode("utf-8", errors="replace"), self._wanted.name).sha256

    def _publish_sidecar(self) -> bool:
        """Publish the checksum after the image; return whether that changed (or in check mode would change) it."""
        if self._sha256 is None:  # check mode, and nothing has read the file
            return True
        if self._published_digest() == self._sha256:
            return False
        if not self._check_mode:
            self._write_sidecar(line_for(self._sha256, self._wanted.name).encode())
        return True

    def _occupied(self, found: Stored | None, body: Body) -> TaskError:
        there = f"{found.size} bytes" if found is not None else "already removed again"
        return TaskError(
            f"{self._address} already exists with different content than {self._wanted.src} (store: {there}, local "
            f"file: {body.size} bytes). Users' Macs verify downloads by their SHA-256, so a published image must not "
            "change: choose another name or version. If nobody uses the published one yet, set overwrite to true.",
            url=self._address,
            size=found.size if found is not None else None,
        )

    def _other_source(self, recorded_digest: str) -> TaskError:
        return TaskError(
            f"{self._wanted.src} is not the expected file: its SHA-256 is {recorded_digest}, but {self._sha256} was "
            "expected. Nothing was sent. Pack the virtual machine again, or correct sha256.",
            path=self._wanted.src,
            sha256=recorded_digest,
            expected=self._sha256,
        )
