# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of store says that it can do, after it was written to and without."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Abilities, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

from .backends import Backend

# By the words of the backends: kind, resume, list, conditional writes.
EXPECTED = {
    "file": ("file", True, True, True),
    "https: nginx WebDAV": ("webdav", False, True, True),
    "https: nginx PUT": ("put", False, False, None),
    "https: Apache WebDAV": ("webdav", True, True, True),
    "https: Artifactory stand-in": ("artifactory", False, True, False),
    "https: Nexus stand-in": ("nexus", False, True, False),
    "sftp: OpenSSH": ("sftp", True, True, True),
    "s3: SeaweedFS": ("s3", True, True, True),
    "s3: rclone": ("s3", True, True, False),
    "azblob: Azurite": ("azblob", True, True, True),
    "sharepoint: stand-in": ("sharepoint", True, True, None),
}
# What only writing tells.
TRIED_OUT = {"webdav": ("resume",), "s3": ("conditional_writes",)}


@pytest.mark.promise("it is known what it can do")
@pytest.mark.parametrize("write", [True, False])
def test_it_is_known_what_it_can_do(backend: Backend, write: bool) -> None:
    folder = backend.folder()
    store = open_store(folder.destination, StoreOptions(**{"timeout": 20.0, **folder.options}))
    kind, resume, listed, conditional = EXPECTED[backend.name]
    expected = Abilities(kind, write or None, resume, listed, conditional)
    unknown = {} if write else dict.fromkeys(TRIED_OUT.get(kind, ()))
    found = store.abilities("catalog.json", write=write)
    assert found == Abilities(**{**vars(expected), **unknown})
    assert folder.published() == {}
