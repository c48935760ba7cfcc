# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(https://): nginx and Apache."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any, ClassVar

from support.apache import apache_store
from support.gateway import Gateway
from support.https_store import Fault
from support.nginx import nginx_store

from . import Backend, Broken, Folder
from .folders import files_in

_NO_PARTS = "nginx refuses a PUT of a part of a file: what broke begins again, as a notice says"


class _WebServer(Backend):
    """A web server whose folders are on this disk."""

    server: Any

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with self._start() as self.server, Gateway(self.server.port, tls=True) as self.gateway:
            yield self

    def _start(self) -> Any:
        raise NotImplementedError

    def folder(self) -> Folder:
        name = self.folder_name()
        path = self.server.folder / name
        path.mkdir()
        if os.geteuid() == 0:
            status = self.server.folder.stat()
            shutil.chown(path, status.st_uid, status.st_gid)
        options = {
            "username": self.server.username,
            "password": self.server.password,
            "ca_path": self.gateway.ca_path,
            "part_size": self.part_size,
        }
        return Folder(f"{self.gateway.url}/{self.server.folder.name}/{name}", options, lambda: files_in(path))

    def wrong_credentials(self, folder: Folder) -> Broken:
        return Broken({"password": "wrong-and-secret"}, words=("401", "Check username and password"))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(destination=f"{folder.destination}/none", words=("does not exist", "correct destination"))

    def forbidden_write(self, folder: Folder) -> Broken:
        return Broken(words=("403", "forbidden"), during=lambda: self._always(Fault("PUT", status=403, times=9)))

    def full(self, folder: Folder) -> Broken:
        return Broken(words=("507", "full"), during=lambda: self._always(Fault("PUT", status=507, times=9)))

    def expired(self, folder: Folder) -> Broken:
        fault = Fault("PUT", status=401, times=9, where=self.is_upload)
        return Broken(words=("401", "Check username and password"), during=lambda: self._always(fault))

    @contextlib.contextmanager
    def _always(self, fault: Fault) -> Iterator[None]:
        self.gateway.faults.append(fault)
        yield
        self.gateway.faults.remove(fault)


class Nginx(_WebServer):
    """nginx with WebDAV, which cannot go on within a file."""

    name = "https: nginx WebDAV"
    mode = "webdav"

    cannot: ClassVar = {"goes on after a kill": _NO_PARTS}

    def _start(self) -> Any:
        return nginx_store(self.root / "nginx", mode=self.mode)


class PlainPut(Nginx):
    """nginx with PUT and DELETE alone."""

    name = "https: nginx PUT"
    nightly = frozenset({"memory is bounded"})
    mode = "put"
    cannot: ClassVar = {
        "goes on after a kill": _NO_PARTS,
        "tells what is there": "a server without WebDAV gives no lists",
    }


class Apache(_WebServer):
    """Apache with WebDAV, which goes on within a file."""

    name = "https: Apache WebDAV"
    nightly = frozenset({"memory is bounded"})
    part_size = 1024 * 1024

    def _start(self) -> Any:
        return apache_store()
