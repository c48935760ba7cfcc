# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are staged, and where."""

from __future__ import annotations

import subprocess

import pytest

from harness import staging


@pytest.fixture
def source(tmp_path, monkeypatch):
    folder = tmp_path / "source tree"
    folder.mkdir()
    monkeypatch.setattr(staging, "ROOT", folder)
    (folder / ".gitignore").write_text("/.cache/\n*.pyc\n")
    (folder / "galaxy.yml").write_text("---\n")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "ä b.py").write_text("new\n")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "big").write_text("generated\n")
    return folder


def names(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)
    )


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_tracked_and_new_files_are_staged_and_ignored_ones_are_not(source, tmp_path):
    git(source, "init", "-q")
    git(source, "add", "galaxy.yml")
    (source / "deleted.py").write_text("gone\n")
    git(source, "add", "deleted.py")
    (source / "deleted.py").unlink()

    target = staging.stage(tmp_path / "stage")

    assert target == tmp_path / "stage" / "ansible_collections" / "macops" / "parallels"
    assert names(target) == [".gitignore", "galaxy.yml", "plugins/ä b.py"]


def test_a_tree_without_git_is_staged_without_what_is_generated(source, tmp_path):
    assert names(staging.stage(tmp_path / "stage")) == [".gitignore", "galaxy.yml", "plugins/ä b.py"]


def test_a_stage_is_made_anew(source, tmp_path):
    (staging.stage(tmp_path / "stage") / "left over").write_text("old\n")
    assert "left over" not in names(staging.stage(tmp_path / "stage"))


def test_ansible_test_gets_a_work_tree_of_its_own(source, tmp_path):
    target = staging.stage_for_ansible_test(tmp_path / "stage")
    listed = subprocess.run(
        ["git", "-C", str(target), "ls-files", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(filter(None, listed.split("\0"))) == [".gitignore", "galaxy.yml", "plugins/ä b.py"]
