# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(sharepoint://): a stand-in of Microsoft Graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from support.fake_graph import CLIENT_ID, CLIENT_SECRET, TENANT_ID, FakeGraph
from support.gateway import Gateway
from support.https_store import Fault, Request

from . import Backend, Broken, Folder


class SharePoint(Backend):
    """Microsoft Graph, as its documentation says that it is."""

    name = "sharepoint: stand-in"
    # A multiple of the unit of Graph, and not too many ranges.
    part_size = 3 * 320 * 1024

    cannot: ClassVar = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with pytest.MonkeyPatch.context() as environment, FakeGraph() as self.graph:
            environment.setenv("HOME", str(self.root))  # upload sessions are kept there
            with Gateway(self.graph.port, tls=True) as self.gateway:
                self.graph.public_url = self.gateway.url
                yield self

    def begin(self) -> None:
        super().begin()
        self.graph.may_write, self.graph.room = True, 10 * 1024**4

    def folder(self) -> Folder:
        name = f"golden images/{self.folder_name()}"
        library = self.graph.library("mac", "Documents", name)
        options = {
            "tenant_id": TENANT_ID,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "endpoint_url": self.gateway.url,
            "ca_path": self.gateway.ca_path,
            "part_size": self.part_size,
        }
        destination = f"sharepoint://contoso/mac/Documents/{name.replace(' ', '%20')}"
        return Folder(destination, options, lambda: self.graph.files(library, name))

    def is_upload(self, request: Request) -> bool:
        return request.method == "PUT" and "/_api/upload/" in request.path

    def wrong_credentials(self, folder: Folder) -> Broken:
        return Broken({"client_secret": "wrong-and-secret"}, words=("AADSTS7000215", "client_secret is wrong"))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(
            destination=f"{folder.destination}/none",
            words=("does not exist in the document library", "correct destination"),
        )

    def forbidden_write(self, folder: Folder) -> Broken:
        return Broken(words=("403", "Sites.Selected"), during=lambda: self._set("may_write", False))

    def full(self, folder: Folder) -> Broken:
        return Broken(words=("free for", "Free up space"), during=lambda: self._set("room", 1000))

    def expired(self, folder: Folder) -> Broken:
        # The tokens of an application are renewed; one that was given ends for good.
        given = {"tenant_id": None, "client_id": None, "client_secret": None, "token": self.graph.new_token()}
        fault = Fault("POST", times=9, path="/createUploadSession", do=self.graph.end_tokens)
        return Broken(
            given, words=("401", "the token is not accepted or has expired"), during=lambda: self._always(fault)
        )

    @contextlib.contextmanager
    def _set(self, name: str, value: Any) -> Iterator[None]:
        before = getattr(self.graph, name)
        setattr(self.graph, name, value)
        yield
        setattr(self.graph, name, before)

    @contextlib.contextmanager
    def _always(self, fault: Fault) -> Iterator[None]:
        self.gateway.faults.append(fault)
        yield
        self.gateway.faults.remove(fault)
