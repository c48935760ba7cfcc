# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The files in a store that belong to each record, and how they differ from the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.checksum import SIDECAR
from .._common.files import IMAGE_SUFFIX
from .._common.retry import Retries
from .._common.text import folded, same_name
from .._records.sbom import SBOM
from .._stores.base import CannotList, Store, Stored
from .sbom_file import wrong_sboms

# The suffixes of the files that may accompany an image.
_BESIDE = (SIDECAR, ".sig", f"{SIDECAR}.sig", ".provenance.json", ".provenance.json.sig", SBOM)


def files_of(record: Mapping[str, Any]) -> list[str]:
    """Return the names that the files of a record may have: the image, then its companion files."""
    image = record["file"]
    return [image, *(image + suffix for suffix in _BESIDE)]


def needed_files(records: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names that the files of records may have, except for records marked C(file_removed).

    They are in the form of C(folded).
    """
    return {folded(name) for record in records if not record.get("file_removed") for name in files_of(record)}


@dataclass
class Inventory:
    """The files of a store, compared with the catalog."""

    # False if the store cannot be listed, so that strays are unknown.
    listed: bool
    missing: list[str] = field(default_factory=list)
    wrong_size: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    wrong_sboms: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        return {
            "listed": self.listed,
            "missing": self.missing,
            "wrong_size": self.wrong_size,
            "strays": self.strays if self.listed else None,
            "wrong_sboms": self.wrong_sboms,
        }


def take_inventory(store: Store, records: Iterable[Mapping[str, Any]], retries: Retries) -> Inventory:
    """Compare the images in a store with all records of its catalog.

    Of the files without a record, only images and their companion files are strays: others may not belong to us.
    """
    kept = [record for record in records if not record.get("file_removed")]
    found = _listed(store, retries)
    inventory = Inventory(listed=found is not None)
    for record in kept:
        name = record["file"]
        stored = retries.call(lambda name=name: store.look(name)) if found is None else _of_name(found, name)
        if stored is None:
            inventory.missing.append(name)
        elif stored.size != record["size"]:
            inventory.wrong_size.append(name)
    inventory.wrong_sboms = wrong_sboms(store, retries, kept)
    known = needed_files(kept)
    inventory.strays = [name for name in sorted(found or ()) if _is_of_an_image(name) and folded(name) not in known]
    return inventory


def _of_name(found: Mapping[str, Stored], name: str) -> Stored | None:
    """Return the file of a name: that of exactly this name, or one that the store lists in another form."""
    if name in found:
        return found[name]
    return next((stored for each, stored in found.items() if same_name(each, name)), None)


def _listed(store: Store, retries: Retries) -> dict[str, Stored] | None:
    try:
        return {stored.name: stored for stored in retries.call(store.list)}
    except CannotList:  # a server that supports only PUT, or a user who may read but not list
        return None


def _is_of_an_image(name: str) -> bool:
    return name.endswith(IMAGE_SUFFIX) or any(name.endswith(IMAGE_SUFFIX + suffix) for suffix in _BESIDE)
