# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of the workflow that makes the whole sheet: a missing architecture is an error."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.fixtures import collections, nightly, packed_modules
from support.playbook import run_playbook

__all__ = ["collections", "packed_modules"]

PLAY = [
    {
        "name": "Make the sheet",
        "hosts": "build_macs",
        "gather_facts": False,
        "roles": [{"role": "macops.parallels.hand_over"}],
    }
]


def record(arch: str, state: str = "published") -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "win11",
        "version": "2026.11.0",
        "arch": arch,
        "state": state,
        "title": "Windows 11",
        "description": "",
        "file": f"win11-2026.11.0-{arch}.pvmp",
        "url": f"https://images.example.com/windows/win11-2026.11.0-{arch}.pvmp",
        "sha256": "ab" * 32,
        "size": 4096,
        "published_at": "2026-11-22T10:00:00Z",
        "protected": False,
        "source": {"vm": "Windows 11", "os": "win-11", "tools": ""},
        "parallels": "26.1.0",
    }


@pytest.mark.parametrize(
    ("records", "missing"),
    [
        ([record("arm64"), record("x86_64", "withdrawn")], "x86_64"),
        nightly([], "arm64 and x86_64"),
        nightly([record("arm64"), record("x86_64")], ""),
    ],
)
def test_the_sheet_has_all_architectures(records, missing, collections, packed_modules, tmp_path) -> None:
    playbook = tmp_path / "sheet.yml"
    playbook.write_text(yaml.safe_dump(PLAY), encoding="utf-8")
    ended = run_playbook(
        playbook,
        {"mac1": {"ansible_connection": "local"}},
        {
            "image_name": "win11",
            "image_version": "2026.11.0",
            "image_source_vm": "Windows 11",
            "image_destination": "https://images.example.com/windows/",
            "image_output_dir": str(tmp_path / "build"),
            "image_required_arches": ["arm64", "x86_64"],
            "check_store_versions": records,
        },
        collections=collections,
        modules=packed_modules,
    )
    if missing:
        ended.assert_failed(f"win11 2026.11.0 is not published for {missing}.")
        assert not (tmp_path / "build").exists()
    else:
        ended.assert_ok()
        assert [one["arch"] for one in ended.custom_stats["image_records"]] == ["arm64", "x86_64"]
