# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(file://): a folder."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote

from . import Backend, Broken, Folder

_NO_NETWORK = "nothing goes over a network"
_NO_CREDENTIALS = "the permissions of the folder are all there is"


def files_in(folder: pathlib.Path) -> dict[str, bytes]:
    """Return what is in a folder under final names."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    }


class LocalFolder(Backend):
    """A folder on a disk of this machine."""

    name = "file"
    cannot: ClassVar = {
        "goes on after a break": _NO_NETWORK,
        "a lost answer is looked into": _NO_NETWORK,
        "waits as long as a busy server asks": _NO_NETWORK,
        "what is final is not tried again": _NO_NETWORK,
        "a silent server is given up": _NO_NETWORK,
        "goes through a proxy": _NO_NETWORK,
        "wrong credentials: one sentence": _NO_CREDENTIALS,
        "credentials that end are named or renewed": _NO_CREDENTIALS,
    }

    def folder(self) -> Folder:
        folder = self.root / self.folder_name()
        folder.mkdir()
        return Folder(f"file://{quote(str(folder))}", {}, lambda: files_in(folder))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(destination=f"{folder.destination}/none", words=("does not exist", "Mount the share"))

    def forbidden_write(self, folder: Folder) -> Broken:
        path = pathlib.Path(folder.destination.removeprefix("file://"))

        @contextlib.contextmanager
        def read_only() -> Iterator[None]:
            # Permissions do not stop root, who may run the tests; a mount that is read-only does.
            subprocess.run(["mount", "--bind", path, path], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
            try:
                yield
            finally:
                subprocess.run(["umount", path], check=True)

        return Broken(words=("does not have write permission for",), during=read_only)

    def full(self, folder: Folder) -> Broken:
        path = pathlib.Path(folder.destination.removeprefix("file://"))

        @contextlib.contextmanager
        def small() -> Iterator[None]:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
            try:
                yield
            finally:
                subprocess.run(["umount", path], check=True)

        return Broken(words=("free", "needs"), during=small)
