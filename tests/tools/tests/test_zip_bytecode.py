# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytecode of what is imported from zip files: used again, and never in the way."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import zipfile

import pytest

HARNESS = pathlib.Path(__file__).resolve().parents[1] / "harness"
PROGRAM = """
import sys
sys.prefix, archive = sys.argv[1:]
sys.path.insert(0, {harness!r})
import zip_bytecode
compiled = []
compile_ = zip_bytecode._compile
zip_bytecode._compile = lambda path, source: compiled.append(path) or compile_(path, source)
sys.path.insert(0, archive)
import sent
print(sent.ANSWER, len(compiled))
"""


@pytest.fixture
def run(tmp_path):
    """Import the module C(sent) from a zip; return its answer and how often something was compiled."""

    def import_sent(source):
        archive = tmp_path / "module.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("sent.py", source)
        command = [sys.executable, "-c", PROGRAM.format(harness=str(HARNESS)), tmp_path, archive]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        answer, compiled = done.stdout.split()
        return answer, int(compiled)

    return import_sent


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "zip-bytecode"
    folder.mkdir()
    return folder


def test_a_source_is_compiled_once(run, kept):
    assert run("ANSWER = 'first'") == ("first", 1)
    assert run("ANSWER = 'first'") == ("first", 0)
    assert len(list(kept.iterdir())) == 1


def test_another_source_is_compiled(run, kept):
    run("ANSWER = 'first'")
    assert run("ANSWER = 'second'") == ("second", 1)


@pytest.mark.parametrize("broken", [b"", b"\xe3", b"no bytecode"])
def test_broken_bytecode_is_made_again(run, kept, broken):
    run("ANSWER = 'first'")
    (file,) = kept.iterdir()
    file.write_bytes(broken)
    assert run("ANSWER = 'first'") == ("first", 1)
    assert run("ANSWER = 'first'") == ("first", 0)


def test_without_the_folder_it_is_compiled_at_each_start(run):
    for _start in range(2):
        answer, compiled = run("ANSWER = 'first'")
        assert answer == "first"
        assert compiled  # Python does it twice: to find the module, and to load it.
