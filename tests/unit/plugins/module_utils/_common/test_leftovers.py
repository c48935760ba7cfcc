# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs that did not end have left: ours is removed and named, what is not stays."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import files
from ansible_collections.macops.parallels.plugins.module_utils._common.files import atomic_write
from ansible_collections.macops.parallels.plugins.module_utils._common.leftovers import (
    own_outputs,
    remove_leftover,
    remove_temporaries,
)

NAME = "Büro 11.pvmp.sha256"


def abandon(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a writer of a small file be killed in the middle, and return what it leaves."""
    before = set(path.parent.iterdir())

    def killed(*_paths: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", killed)
        patch.setattr(files.os, "unlink", lambda _path: None)
        with pytest.raises(KeyboardInterrupt):
            atomic_write(str(path), b"half")
    (left,) = set(path.parent.iterdir()) - before
    return left


def test_what_a_killed_writer_left_is_removed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, foreign = (abandon(tmp_path / name, monkeypatch) for name in (NAME, NAME, "else"))
    for path in (old, foreign):
        os.utime(path, (1, 1))
    others = [f".{NAME}.tmp", f".{NAME}.ABCDEFGH.tmp", f".{NAME}.abcdefgh.part", ".abcdefgh.tmp"]
    for name in others:
        (tmp_path / name).write_text("precious")
        os.utime(tmp_path / name, (1, 1))
    folder = tmp_path / f".{NAME}.abcdefgh.tmp"
    folder.mkdir()
    os.utime(folder, (1, 1))
    notices: list[str] = []
    remove_temporaries(str(tmp_path / NAME), notices.append)
    assert not old.exists()
    assert new.exists(), "it may be written right now"
    assert foreign.exists()
    assert folder.exists()
    assert all((tmp_path / name).exists() for name in others)
    assert len(notices) == 1
    assert notices[0].startswith(f"{old} (4.1 kB (4096 bytes)) was left")


@pytest.mark.parametrize(("listed", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_what_is_listed_in_another_form_is_removed_too(tmp_path: Path, listed: str, written: str) -> None:
    left = tmp_path / unicodedata.normalize(listed, f".{NAME}.abcdefgh.tmp")
    left.write_text("half")
    os.utime(left, (1, 1))
    notices: list[str] = []
    remove_temporaries(str(tmp_path / unicodedata.normalize(written, NAME)), notices.append)
    assert not left.exists()
    assert len(notices) == 1


def test_a_long_name_has_a_temporary_file_too(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    atomic_write(str(path), b"x")
    assert path.read_bytes() == b"x"


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_temporaries(str(tmp_path / "none" / "x"), pytest.fail)


def test_only_what_a_claim_proves_is_ours(tmp_path: Path) -> None:
    target, temporary = str(tmp_path / "x.pvmp"), str(tmp_path / "x.pvmp.tmp")
    assert own_outputs(target, {"strangers": []}) == []
    for path in (target, temporary):
        Path(path).write_text("x")
    assert own_outputs(target, {"strangers": []}) == [target, temporary]
    assert own_outputs(target, {"strangers": [temporary]}) == [target]
    assert own_outputs(target, {}) == [target]


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    bundle = tmp_path / "x.pvm"
    bundle.mkdir()
    (bundle / "disk").write_bytes(b"x" * 5000)
    notices: list[str] = []
    remove_leftover(str(bundle), notices.append)
    assert not bundle.exists()
    assert str(bundle) in notices[0]


def test_what_was_there_before_stays_by_whatever_path_it_was_noted(tmp_path: Path) -> None:
    folder = tmp_path / "Bilder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    image, part = folder / "x.pvmp", folder / "x.pvmp.tmp"
    image.write_text("of somebody else")
    part.write_text("ours")
    for noted in (image, tmp_path / "link" / "x.pvmp", f"{folder}/./x.pvmp"):
        assert own_outputs(str(image), {"strangers": [str(noted)]}) == [str(part)]
        assert own_outputs(str(tmp_path / "link" / "x.pvmp"), {"strangers": [str(noted)]}) == [
            str(tmp_path / "link" / "x.pvmp.tmp")
        ]
