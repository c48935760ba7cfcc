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
load = zip_bytecode._load
zip_bytecode._load = lambda importer, name: compiled.append(name) or load(importer, name)
sys.path.insert(0, archive)
import sent
print(sent.ANSWER, len(compiled))
"""


def _import(prefix, archive):
    """Import the module C(sent) from a zip; return its answer and how often something was compiled.

    Without the packages of this Python, among which there may be the file that is tested.
    """
    command = [sys.executable, "-S", "-c", PROGRAM.format(harness=str(HARNESS)), prefix, archive]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    answer, compiled = done.stdout.split()
    return answer, int(compiled)


@pytest.fixture
def run(tmp_path):
    """Return a function that imports a source from a zip."""

    def import_sent(source):
        archive = tmp_path / "module.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("sent.py", source)
        return _import(tmp_path, archive)

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
    assert run("ANSWER = 'third!'") == ("third!", 1)


def test_a_package_is_one(tmp_path, kept):
    archive = tmp_path / "module.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("sent/__init__.py", "from .inner import ANSWER")
        file.writestr("sent/inner.py", "ANSWER = __name__")
    for compiled in (2, 0):
        assert _import(tmp_path, archive) == ("sent.inner", compiled)


def test_what_is_missing_is_missing(tmp_path, kept):
    archive = tmp_path / "module.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("other.py", "")
    with pytest.raises(subprocess.CalledProcessError) as error:
        _import(tmp_path, archive)
    assert "No module named 'sent'" in error.value.stderr


@pytest.mark.parametrize("broken", [b"", b"\xe3", b"no bytecode"])
def test_broken_bytecode_is_made_again(run, kept, broken):
    run("ANSWER = 'first'")
    (file,) = kept.iterdir()
    file.write_bytes(broken)
    assert run("ANSWER = 'first'") == ("first", 1)
    assert run("ANSWER = 'first'") == ("first", 0)


def test_without_the_folder_it_is_compiled_at_each_start(run):
    for _start in range(2):
        assert run("ANSWER = 'first'") == ("first", 1)
