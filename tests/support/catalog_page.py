# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog as a company may have one, and its page: for the tests of the page and for its pictures."""

from __future__ import annotations

import hashlib
import importlib
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
_MODULE_UTILS = "ansible_collections.macops.parallels.plugins.module_utils"


def load_page(collections: pathlib.Path) -> Any:
    """Return the module that makes the page, from a collections path."""
    sys.path.insert(0, str(collections))
    try:
        return importlib.import_module(f"{_MODULE_UTILS}._records.page")
    finally:
        sys.path.remove(str(collections))


def record(name: str, version: str, arch: str = "arm64", day: int = 1, **more: Any) -> dict[str, Any]:
    """Return the record of an image that was published on a day of November."""
    file = f"{name}-{version}-{arch}.pvmp"
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "arch": arch,
        "title": name,
        "description": "",
        "file": file,
        "url": f"https://images.example.com/golden/{file}",
        "sha256": hashlib.sha256(file.encode()).hexdigest(),
        "size": 21_474_836_480 + len(version) * 123_456_789 + day * 7_654_321,
        "published_at": f"2026-11-{day:02}T09:30:00Z",
        "state": "published",
        "protected": False,
        "source": {"vm": "", "os": "", "tools": ""},
        "parallels": "",
        **more,
    }


def example() -> list[dict[str, Any]]:
    """Return the records of a store in daily use."""
    windows = {
        "title": "Contoso Windows 11 Pro",
        "description": "Windows 11 with Office and the VPN client.\nFor everyone in sales and support.",
    }
    withdrawn = {
        "state": "withdrawn",
        "withdrawn_at": "2026-11-12T15:10:00Z",
        "reason": "The VPN client does not start. Use 2026.11.0.",
    }
    return [
        record("windows11", "2026.11.0", day=20, **windows),
        record("windows11", "2026.11.0", "x86_64", day=20, **windows),
        record("windows11", "2026.10.1", day=9, **windows, **withdrawn),
        record("windows11", "2026.9.0", day=2, protected=True, **windows),
        record("windows11-dev", "2026.11.2", day=16, title="Windows 11 for developers"),
    ]
