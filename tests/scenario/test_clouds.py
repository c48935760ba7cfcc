# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way into stores that make links themselves: no public address is named, and the link is proven."""

from __future__ import annotations

import hashlib
import json
import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
from stores.backends.azurite import AzureBlob
from stores.backends.seaweedfs import SeaweedFSBackend
from stores.backends.sharepoint import SharePoint

from support.build import NAME, SOURCE_VM, VERSION, Build

# The contract of the stores holds for each of them every day.
CASES = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.nightly) for kind in (SeaweedFSBackend, AzureBlob, SharePoint)
]
IMAGE = f"{NAME}-{VERSION}-arm64.pvmp"


@pytest.mark.parametrize("kind", CASES)
def test_an_image_is_built_published_and_proven(
    kind: Any, play: Any, simulated_mac: Any, tmp_path: pathlib.Path
) -> None:
    simulated_mac.vm(SOURCE_VM, state="stopped", data="2M", disk="8G")
    with kind(tmp_path / "server").running() as backend:
        folder = backend.folder()
        store = SimpleNamespace(
            url=folder.destination, ca_path=folder.options["ca_path"], username=None, password="not used here"
        )
        build = Build.here(play, simulated_mac, store, tmp_path / "build")
        options = {f"image_store_{name}": value for name, value in folder.options.items() if name != "part_size"}
        options["image_store_password"] = None
        secrets = [options.get(f"image_store_{name}") for name in ("secret_key", "account_key", "client_secret")]

        first = build.run(**options).assert_ok()
        second = build.run(**options).assert_ok().assert_unchanged()

        for run in (first, second):
            run.assert_no_secret(*(secret for secret in secrets if secret))
        handed_over = json.loads((build.output / f"{NAME}-{VERSION}.json").read_text(encoding="utf-8"))
        (record,) = handed_over["records"]
        published = folder.published()
        assert set(published) == {
            *(IMAGE, f"{IMAGE}.sha256", f"{IMAGE}.provenance.json"),
            *("catalog.json", "index.html"),
        }
        assert record["sha256"] == hashlib.sha256(published[IMAGE]).hexdigest()
        assert record in json.loads(published["catalog.json"])["records"]
        # The link of the store itself.
        assert record["url"].startswith(backend.gateway.url)
        proof = first.results_of("macops.parallels.image_link_info")[0]
        assert (proof["verdict"], proof["sha256"]) == ("direct", record["sha256"])
