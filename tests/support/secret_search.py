# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets in whatever a run has printed, written, and started, in every form in which they may be there.

Not called secrets: programs in this folder find the library of that name.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from urllib.parse import quote, quote_plus

# Seconds between two looks at the processes. A Python program lives longer.
_BLINK = 0.02


def forms_of(secret: str) -> set[bytes]:
    """Return a secret in all its forms: as it is, in JSON, in an address, for a shell, in HTML, in base64, in hex."""
    texts = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        shlex.quote(secret),
        escape(secret),
    }
    data = secret.encode()
    return {*(text.encode() for text in texts), data.hex().encode(), *_in_base64(data)}


def _in_base64(data: bytes) -> Iterator[bytes]:
    """Yield what stands for all of it in the base64 of a longer text, such as C(user:password), wherever it begins."""
    for offset in range(3):
        padded = b"\0" * offset + data
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(padded)
            # Characters at both ends are made of bits of what is before and behind it.
            start = (offset * 8 + 5) // 6
            end = len(padded) * 8 // 6
            yield whole[start:end]


class Secrets:
    """Secrets by name, and where they were found."""

    def __init__(self, named: Mapping[str, str]) -> None:
        assert len(set(named.values())) == len(named), "they have to be told apart"
        self._forms: dict[str, set[bytes]] = {}
        self.found: list[str] = []
        # How many bytes of what was looked through.
        self.seen: dict[str, int] = {}
        for name, secret in named.items():
            self.add(name, secret)

    def add(self, name: str, secret: str) -> None:
        """Look for one more."""
        assert len(secret) >= 12, "short ones are anywhere"
        self._forms[name] = forms_of(secret)

    def look_in(self, data: bytes | str, where: str, kind: str) -> None:
        """Note which of them are in this; C(kind) says of what sort it is."""
        content = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        self.seen[kind] = self.seen.get(kind, 0) + len(content)
        for name, forms in self._forms.items():
            if any(form in content for form in forms):
                self.found.append(f"{name} in {where} ({kind})")

    def look_in_file(self, path: str, kind: str) -> None:
        """Look through a file and its name, unless it has just gone away."""
        self.look_in(path, path, kind)
        with contextlib.suppress(FileNotFoundError):
            self.look_in(pathlib.Path(path).read_bytes(), path, kind)

    def look_in_files(self, folder: pathlib.Path, kind: str, but: Iterable[pathlib.Path] = ()) -> None:
        """Look through all files below a folder and their names, except for some."""
        left_out = {str(path) for path in but}
        for root, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if os.path.join(root, name) not in left_out]
            for path in (os.path.join(root, name) for name in files):
                if path not in left_out and os.path.isfile(path):
                    self.look_in_file(path, kind)

    def assert_nowhere(self, *kinds: str) -> None:
        """Hold that none was found, and that there was something of each of these kinds to look in."""
        for kind in kinds:
            assert self.seen.get(kind), f"there was nothing to look in: {kind}. There was: {self.seen}"
        assert not self.found, "\n".join(sorted(set(self.found)))


class Watch:
    """Looks at the command line of every process, and at some folders, as long as it lasts."""

    def __init__(self, secrets: Secrets, *folders: pathlib.Path) -> None:
        self._secrets = secrets
        self._folders = folders
        self._over = threading.Event()
        self._known: dict[str, bytes] = {}
        self.processes = 0
        self._thread = threading.Thread(target=self._watch, name="watch for secrets", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        blinks = 0
        while not self._over.wait(_BLINK):
            self._look_at_processes()
            if blinks % 10 == 0:
                for folder in self._folders:
                    with contextlib.suppress(OSError):  # what is written and removed just now
                        self._secrets.look_in_files(folder, "files while it runs")
            blinks += 1

    def _look_at_processes(self) -> None:
        now = {name for name in os.listdir("/proc") if name.isdigit()}
        for pid in now:
            # A process may become another program after its first moment: a young one is looked at twice.
            if self._known.get(pid, b"").endswith(b"\n"):
                continue
            with contextlib.suppress(OSError):
                line = pathlib.Path("/proc", pid, "cmdline").read_bytes()
                self._secrets.look_in(line, f"the command line of process {pid}", "command lines")
                self.processes += pid not in self._known
                self._known[pid] = line + (b"\n" if self._known.get(pid) == line else b"")
        for pid in set(self._known) - now:
            del self._known[pid]
