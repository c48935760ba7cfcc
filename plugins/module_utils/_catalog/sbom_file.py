# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The SBOM of an image in a store. The record of the image has its SHA-256, so a changed one is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.retry import Retries
from .._records.sbom import SBOM
from .._stores.base import Store, check_name

LARGEST = 64 * 1024 * 1024
_CONTENT_TYPE = "application/vnd.cyclonedx+json; version=1.6"


@dataclass(frozen=True)
class Published:
    """The result of publishing an SBOM. In check mode, the expected result."""

    changed: bool
    name: str
    sha256: str
    size: int


def publish(store: Store, retries: Retries, file: str, data: bytes, *, check_mode: bool) -> Published:
    """Write the SBOM beside the image, unless it is there. The record that names it is written later."""
    check_name(file)
    name = file + SBOM
    found = retries.call(lambda: store.read(name, LARGEST))
    changed = found is None or found[0] != data
    if changed and not check_mode:
        retries.call(lambda: store.write(name, data, _CONTENT_TYPE))
    return Published(changed, name, hashlib.sha256(data).hexdigest(), len(data))


def wrong_sboms(store: Store, retries: Retries, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of SBOMs that are missing, or have other bytes than their records say."""
    wrong = []
    for record in records:
        wanted = record.get("sbom")
        if not wanted or record.get("file_removed"):
            continue
        # Its name is made from that of the image: a record could name any file.
        name = record["file"] + SBOM
        found = retries.call(lambda name=name: store.read(name, LARGEST))
        if wanted["name"] != name or found is None or hashlib.sha256(found[0]).hexdigest() != wanted["sha256"]:
            wrong.append(name)
    return wrong
