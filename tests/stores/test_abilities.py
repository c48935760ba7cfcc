# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of store says that it can do, with and without writing to it."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Abilities, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

from .backends import Backend

NAME = "catalog.json"

# kind, writable, resume, list, conditional_writes
EXPECTED = {
    "?": Abilities("?", True, True, True, True),
}
# What is not known when nothing is written.
UNTRIED = {"writable": None}


@pytest.mark.promise("it is known what it can do")
@pytest.mark.parametrize("write", [True, False])
def test_it_is_known_what_it_can_do(backend: Backend, write: bool) -> None:
    folder = backend.folder()
    store = open_store(folder.destination, StoreOptions(**{"timeout": 20.0, **folder.options}))
    print("ABILITY", backend.name, write, store.abilities(NAME, write=write), folder.published())
