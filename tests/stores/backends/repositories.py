# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(https://): stand-ins of Artifactory and Nexus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

from support.fake_artifactory import FakeArtifactory, FakeNexus, Repository
from support.gateway import Gateway
from support.https_store import Fault

from . import Backend, Broken, Folder


class _Repository(Backend):
    """A repository that is written to with PUT."""

    server: Repository

    nightly = frozenset({"memory is bounded"})
    cannot: ClassVar = {
        "goes on after a kill": "the repository takes a file in one request: what broke begins again, as a notice says",
    }

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with self._start() as self.server, Gateway(self.server.port, tls=True) as self.gateway:
            self.server.public_url = self.gateway.url
            yield self

    def _start(self) -> Repository:
        raise NotImplementedError

    def begin(self) -> None:
        super().begin()
        self.server.empty()

    def folder(self) -> Folder:
        name = f"images/{self.folder_name()}"
        options = {
            "username": self.server.username,
            "password": self.server.password,
            "ca_path": self.gateway.ca_path,
        }
        destination = f"{self.gateway.url}{self.server.context}{name}"
        return Folder(destination, options, lambda: self.server.published(name))

    def wrong_credentials(self, folder: Folder) -> Broken:
        return Broken({"password": "wrong-and-secret"}, words=("401", "Check username and password"))

    def missing_folder(self, folder: Folder) -> Broken:
        destination = folder.destination.replace("/images/", "/none/")
        return Broken(destination=destination, words=("does not exist", "correct destination"))

    def forbidden_write(self, folder: Folder) -> Broken:
        return Broken(words=("403", "forbidden"), during=lambda: self._set("may_write", False))

    def full(self, folder: Folder) -> Broken:
        return Broken(words=("the store is full",), during=lambda: self._set("is_full", True))

    def expired(self, folder: Folder) -> Broken:
        fault = Fault("PUT", status=401, times=9, where=self.is_upload)
        return Broken(words=("401", "Check username and password"), during=lambda: self._always(fault))

    @contextlib.contextmanager
    def _set(self, name: str, value: Any) -> Iterator[None]:
        before = getattr(self.server, name)
        setattr(self.server, name, value)
        yield
        setattr(self.server, name, before)

    @contextlib.contextmanager
    def _always(self, fault: Fault) -> Iterator[None]:
        self.gateway.faults.append(fault)
        yield
        self.gateway.faults.remove(fault)


class Artifactory(_Repository):
    """Artifactory, as its documentation says that it is."""

    name = "https: Artifactory stand-in"

    def _start(self) -> Repository:
        return FakeArtifactory()


class Nexus(_Repository):
    """A raw repository of Nexus, as its documentation says that it is."""

    name = "https: Nexus stand-in"

    def _start(self) -> Repository:
        return FakeNexus()
