# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(azblob://): Azurite."""

from __future__ import annotations

import contextlib
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, ClassVar

from support.azurite import OTHER_KEY, Azurite, azurite
from support.gateway import Gateway
from support.https_store import Fault

from . import Backend, Broken, Folder

# Seconds that a credential lasts which is to end in the middle of an upload.
_SHORT = 4.0


class AzureBlob(Backend):
    """A container that everybody may read, behind a gateway."""

    name = "azblob: Azurite"
    part_size = 256 * 1024
    cannot: ClassVar = {"a full store: one sentence": "Azure has no quota: an account holds 5 PiB"}
    server: Azurite

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with azurite(self.root / "azurite") as self.server, Gateway(self.server.port, tls=True) as self.gateway:
            yield self

    def folder(self) -> Folder:
        name = self.folder_name()
        container = self.server.container(name)
        container.create_container(public_access="blob")
        options = {
            "account_key": self.server.key,
            "endpoint_url": f"{self.gateway.url}/{self.server.account}",
            "ca_path": self.gateway.ca_path,
            "part_size": self.part_size,
        }
        return Folder(
            f"azblob://{self.server.account}/{name}/Mac Images/win", options, lambda: self._published(container)
        )

    def _published(self, container: Any) -> dict[str, bytes]:
        context = ssl.create_default_context(cafile=self.server.ca_path)
        found = {}
        for blob in container.list_blobs():
            folder, _slash, name = blob.name.rpartition("/")
            assert folder == "Mac Images/win"
            with urllib.request.urlopen(container.get_blob_client(blob.name).url, context=context) as answer:
                found[name] = answer.read()
        return found

    def wrong_credentials(self, folder: Folder) -> Broken:
        return Broken({"account_key": OTHER_KEY}, words=("account_key is not a key of", "Check both"))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(
            destination=f"azblob://{self.server.account}/not-there/win",
            words=("404 ContainerNotFound", "container not-there does not exist", "correct destination"),
        )

    def forbidden_write(self, folder: Folder) -> Broken:
        sas = self.server.sas(folder.destination.split("/")[3], "rl")
        return Broken(
            {"account_key": None, "sas_token": sas}, words=("sas_token lacks the permission to write (sp=rl)", "sp=rw")
        )

    def expired(self, folder: Folder) -> Broken:
        """A signature that ends for Azure itself, while blocks are under way."""
        ends = time.time() + _SHORT
        sas = self.server.sas(folder.destination.split("/")[3], "rwl", _SHORT)

        def wait() -> None:
            time.sleep(max(0.0, ends + 1 - time.time()))

        @contextlib.contextmanager
        def slow() -> Iterator[None]:
            fault = Fault("PUT", times=9, where=self.is_upload, do=wait)
            self.gateway.faults.append(fault)
            yield
            self.gateway.faults.remove(fault)
            assert fault.struck

        return Broken(
            {"account_key": None, "sas_token": sas},
            words=("sas_token has expired on", "Set a new one", "it resumes the upload"),
            during=slow,
        )
