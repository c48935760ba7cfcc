# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose unfinished upload may be aborted: the mark in its part size is not a proof, because hosts share marks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import machine
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.begun import forget, has_begun, note_begun
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.parts import MIB, Listed, mark_of
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.uploads import Unfinished, Uploads

KEY = "win11-1.0-arm64.pvmp"
ADDRESS = f"s3://images/{KEY}"
SIZE = 50 * MIB
OURS, OTHER_BYTES = mark_of("an image", "a host"), mark_of("another image", "a host")


@pytest.fixture(autouse=True)
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(machine, "hardware_id", lambda: "this Mac")


class Client:
    """A bucket whose uploads are aborted."""

    place = SimpleNamespace(address=lambda key: f"s3://images/{key}")

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def call(self, operation: str, accept: tuple[str, ...], Key: str, UploadId: str) -> None:
        assert operation == "abort_multipart_upload"
        self.aborted.append(UploadId)


def sort_out(*found: Unfinished) -> list[str]:
    client: Any = Client()
    uploads = Uploads(client)
    uploads.of = lambda _key: list(found)  # type: ignore[method-assign]
    uploads.sort_out(KEY, SIZE, OURS, lambda _sentence: None)
    return client.aborted


def unfinished(name: str, mark: int, parts: int = 2, age: float = 5.0) -> Unfinished:
    return Unfinished(name, tuple(Listed(number, 5 * MIB + mark, "", {}) for number in range(1, parts + 1)), age)


def test_what_this_machine_has_begun_is_aborted() -> None:
    note_begun(ADDRESS, "ours")
    assert sort_out(unfinished("ours", OTHER_BYTES)) == ["ours"]
    assert not has_begun(ADDRESS, "ours")


@pytest.mark.parametrize("hardware", ["another Mac", None])
def test_what_another_machine_with_the_same_mark_has_begun_is_not(
    monkeypatch: pytest.MonkeyPatch, hardware: str | None
) -> None:
    assert sort_out(unfinished("theirs", OTHER_BYTES)) == []
    # Nor where the note was copied.
    note_begun(ADDRESS, "theirs")
    monkeypatch.setattr(machine, "hardware_id", lambda: hardware)
    assert sort_out(unfinished("theirs", OTHER_BYTES)) == []


def test_of_several_of_the_same_image_only_ours_are_aborted() -> None:
    note_begun(ADDRESS, "ours")
    found = [unfinished("ours", OURS, 1), unfinished("theirs", OURS, 2), unfinished("best", OURS, 3)]
    assert sort_out(*found) == ["ours"]


def test_notes_are_of_one_address_and_one_upload() -> None:
    note_begun(ADDRESS, "ours")
    assert has_begun(ADDRESS, "ours")
    assert not has_begun(ADDRESS + "x", "ours")
    assert not has_begun(ADDRESS, "another")
    forget(ADDRESS, "ours")
    forget(ADDRESS, "ours")
    assert not has_begun(ADDRESS, "ours")


def test_old_notes_are_removed(tmp_path: Path) -> None:
    note_begun(ADDRESS, "old")
    (old,) = (tmp_path / ".ansible/macops.parallels/multipart").iterdir()
    long_ago = time.time() - 60 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    note_begun(ADDRESS, "new")
    assert not has_begun(ADDRESS, "old")
    assert has_begun(ADDRESS, "new")


def test_a_note_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    assert machine.known_machine()
    (tmp_path / ".ansible/macops.parallels/multipart").write_text("")
    note_begun(ADDRESS, "ours")
    assert sort_out(unfinished("ours", OTHER_BYTES)) == []
