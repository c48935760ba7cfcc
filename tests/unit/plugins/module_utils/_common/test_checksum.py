# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums, and the files that say them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import tracemalloc
import unicodedata

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import checksum as checksum_module
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import (
    compare_with_others,
    first_digest,
    hash_file,
    line_for,
    normalized,
    parallels_sidecar_path,
    parse_sidecar,
    recorded,
    remove_sidecars,
    sidecar_path,
    write_sidecar,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import BLOCK, FileIdentity

NAME = "Büro Windows 11.pvmp"
A, B = "a" * 64, "b" * 64
RECORD = "# macops.parallels: size=5 mtime_ns=7 inode=9"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(os.urandom(2 * 1024 * 1024 + 5))
    return path


@pytest.fixture
def digest(image):
    return hashlib.sha256(image.read_bytes()).hexdigest()


def age(path, seconds):
    """Set the time of change so many seconds after that of now."""
    status = os.stat(path)
    os.utime(path, (status.st_atime + seconds, status.st_mtime + seconds))


def test_a_file_is_hashed(image, digest):
    checksum = hash_file(str(image))
    assert checksum.sha256 == digest
    assert checksum.identity == FileIdentity.of(str(image))
    assert checksum.was_read


def test_a_file_that_changes_is_not_hashed(image, monkeypatch):
    identities = iter([FileIdentity(1, 2, 3), FileIdentity(1, 2, 4)])
    monkeypatch.setattr(checksum_module.FileIdentity, "from_stat", lambda status: next(identities))
    with pytest.raises(TaskError, match="was changed while it was being read"):
        hash_file(str(image))


@pytest.mark.parametrize("other", [b"another", None], ids=["replaced", "removed"])
def test_a_file_in_whose_place_another_is_put_is_not_hashed(image, tmp_path, other):
    """The open file is the old one to its end."""

    def replace(_count, _size):
        if other is None:
            image.unlink(missing_ok=True)
        elif not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            (tmp_path / "new").write_bytes(other)
            (tmp_path / "new").replace(image)

    with pytest.raises(TaskError, match="was changed while it was being read"):
        hash_file(str(image), replace)


def test_hashing_costs_what_the_hash_costs(tmp_path):
    """In time what hashlib takes for it (other programs take several times as much), and no memory."""
    path = tmp_path / "sparse.pvmp"
    block, count = bytes(1024 * 1024), 128
    with open(path, "wb") as handle:
        handle.truncate(len(block) * count)

    def bare():
        hasher = hashlib.sha256()
        for _number in range(count):
            hasher.update(block)

    assert cpu_seconds(lambda: hash_file(str(path))) < 2 * cpu_seconds(bare)
    tracemalloc.start()
    hash_file(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(block)


def cpu_seconds(work):
    """Return the least of some runs, in the process's own time, which others on the machine do not lengthen."""
    took = []
    for _run in range(3):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def test_the_record_saves_the_reading(image, digest):
    assert recorded(str(image)) is None
    write_sidecar(str(image), hash_file(str(image)))
    found = recorded(str(image))
    assert (found.sha256, found.was_read) == (digest, False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: age(path, 1), id="time"),
        pytest.param(lambda path: path.write_bytes(b"shorter"), id="size"),
        pytest.param(lambda path: (shutil.copy2(path, f"{path}.new"), os.replace(f"{path}.new", path)), id="inode"),
        pytest.param(lambda path: sidecar(path).write_text(f"{A}  {NAME}\n"), id="someone else's sidecar"),
        pytest.param(lambda path: sidecar(path).unlink(), id="no sidecar"),
    ],
)
def test_the_record_holds_only_for_that_file(image, change):
    write_sidecar(str(image), hash_file(str(image)))
    change(image)
    assert recorded(str(image)) is None


def sidecar(path):
    return path.with_name(path.name + ".sha256")


@pytest.mark.parametrize("program", [["shasum", "-a", "256"], ["sha256sum"]])
@pytest.mark.parametrize("name", [NAME, "a b  c.pvmp", "-dash.pvmp", "*star.pvmp", "#hash.pvmp", "tick'\".pvmp"])
def test_the_usual_programs_accept_the_sidecar(tmp_path, program, name):
    """Run in the folder, without a word about the comment line."""
    assert shutil.which(program[0]), f"{program[0]} is needed for this test"
    path = tmp_path / name
    path.write_bytes(b"image")
    write_sidecar(str(path), hash_file(str(path)))
    check = [*program, "-c", f"./{name}.sha256"]
    good = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    path.write_bytes(b"Image")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("name", ["back\\slash.pvmp", "new\nline.pvmp", "bell\a.pvmp"])
def test_names_that_a_sidecar_cannot_say(name):
    with pytest.raises(TaskError, match="backslash or a control character"):
        line_for(A, name)


@pytest.mark.parametrize(
    ("text", "sha256", "has_record"),
    [
        (f"{A}  {NAME}\n", A, False),
        (f"{A} *{NAME}\n", A, False),
        (f"{A.upper()}  {NAME}\n", A, False),
        (f"{A}  {unicodedata.normalize('NFD', NAME)}\n", A, False),
        (f"{A}  ./{NAME}\r\n", A, False),
        (f"{RECORD}\n{A}  {NAME}\n", A, True),
        (f"{B}  other.pvmp\n{A}  {NAME}\n", A, False),
        (A, A, False),
        (f"{A}\n", A, False),
        (f"{B}  other.pvmp\n", None, False),
        (f"{A}\n{B}\n", None, False),
        (f"{A[:-1]}  {NAME}\n", None, False),
        ("", None, False),
        ("<html>not a checksum</html>", None, False),
        (f"# {A}  {NAME}\n", None, False),
    ],
)
def test_what_a_sidecar_says(text, sha256, has_record):
    found = parse_sidecar(text, NAME)
    assert found.sha256 == sha256
    assert found.identity == (FileIdentity(5, 7, 9) if has_record else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A, A),
        (f"SHA256: {A.upper()}\n", A),
        (f"  {A}  x.pvmp {B}", A),
        (f"{A}0", None),
        (A[:-1], None),
        ("", None),
    ],
)
def test_what_parallels_says(text, expected):
    assert first_digest(text) == expected


@pytest.mark.parametrize(
    ("image", "sidecar"),
    [("/a/b.pvmp", "/a/b.sha256.txt"), ("/a/b.c.pvmp", "/a/b.c.sha256.txt"), ("/a/b", "/a/b.sha256.txt")],
)
def test_where_parallels_says_it(image, sidecar):
    assert parallels_sidecar_path(image) == sidecar
    assert sidecar_path(image) == image + ".sha256"


class TestOthers:
    """Checksum files of others have to agree, unless they are older than the file."""

    def parallels(self, image, text, seconds=0):
        path = image.with_name(image.name.replace(".pvmp", ".sha256.txt"))
        path.write_text(text)
        age(path, seconds)
        return str(path)

    def test_none(self, image):
        assert compare_with_others(str(image), hash_file(str(image))) == []

    @pytest.mark.parametrize("seconds", [-60, 60])
    def test_parallels_agrees(self, image, digest, seconds):
        path = self.parallels(image, digest, seconds)
        assert compare_with_others(str(image), hash_file(str(image))) == [path]

    def test_parallels_disagrees(self, image, digest):
        path = self.parallels(image, A, 60)
        with pytest.raises(TaskError) as caught:
            compare_with_others(str(image), hash_file(str(image)))
        assert digest in caught.value.message
        assert f"{path} says {A}" in caught.value.message
        assert caught.value.details == {"path": str(image), "sha256": digest, "sidecar": path, "sidecar_sha256": A}

    def test_parallels_disagrees_from_the_same_moment(self, image):
        path = self.parallels(image, A)
        os.utime(path, ns=(0, os.stat(image).st_mtime_ns))
        with pytest.raises(TaskError, match="is not older than the file"):
            compare_with_others(str(image), hash_file(str(image)))

    @pytest.mark.parametrize("text", [A, "", "no checksum"])
    def test_parallels_is_older_or_says_nothing(self, image, text):
        self.parallels(image, text, -60 if text == A else 60)
        assert compare_with_others(str(image), hash_file(str(image))) == []

    def test_a_sidecar_of_another_program_disagrees(self, image):
        sidecar(image).write_text(f"{A}  {NAME}\n")
        age(sidecar(image), 60)
        with pytest.raises(TaskError, match="is not older than the file"):
            compare_with_others(str(image), hash_file(str(image)))

    def test_our_own_of_the_file_before_is_no_objection(self, image):
        write_sidecar(str(image), hash_file(str(image)))
        image.write_bytes(b"packed again")
        age(sidecar(image), 60)
        assert compare_with_others(str(image), hash_file(str(image))) == []

    def test_a_disk_that_forgets_bits_is_noticed(self, image):
        """The same size, time and inode, and other bytes: the one thing that only reading again finds."""
        write_sidecar(str(image), hash_file(str(image)))
        status = os.stat(image)
        with open(image, "r+b") as handle:
            handle.write(b"rotten")
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(TaskError, match="is damaged or was replaced"):
            compare_with_others(str(image), hash_file(str(image)))


@pytest.mark.parametrize(("given", "form"), [(A, A), (f" {A.upper()}\n", A)])
def test_an_expected_digest(given, form):
    assert normalized(given) == form


@pytest.mark.parametrize("given", ["", "abc", A + "0", "g" * 64, f"sha256:{A}"])
def test_what_is_no_digest(given):
    with pytest.raises(TaskError, match="64 hexadecimal digits"):
        normalized(given)


def test_hashing_tells_how_far_it_is(tmp_path):
    path = tmp_path / "x.pvmp"
    size = 2 * BLOCK + 17
    path.write_bytes(b"x" * size)
    reports = []
    hash_file(str(path), lambda *told: reports.append(told))
    assert reports == [(BLOCK, size), (2 * BLOCK, size), (size, size)]


@pytest.mark.parametrize("act", ["write", "remove"])
def test_what_a_killed_run_left_of_a_sidecar_goes_with_a_word(tmp_path, act):
    path = tmp_path / "x.pvmp"
    path.write_bytes(b"x")
    left = tmp_path / ".x.pvmp.sha256.abcdefgh.tmp"
    left.write_text("half")
    os.utime(left, (1, 1))
    notices = []
    if act == "write":
        write_sidecar(str(path), hash_file(str(path)), notices.append)
    else:
        remove_sidecars(str(path), notices.append)
    assert not left.exists()
    assert [str(left) in notice for notice in notices] == [True]
