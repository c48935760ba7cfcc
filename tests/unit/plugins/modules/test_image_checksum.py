# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_checksum."""

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.macops.parallels.plugins.modules import image_checksum

A = "a" * 64


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "Büro Windows 11.pvmp"
    path.write_bytes(b"an image")
    return path


@pytest.fixture
def digest(image):
    return hashlib.sha256(image.read_bytes()).hexdigest()


@pytest.fixture
def run(run_module_main, image):
    def call(**arguments):
        return run_module_main(image_checksum.main, **{"path": str(image), **arguments})

    return call


def sidecar(image):
    return image.with_name(image.name + ".sha256")


def test_it_writes_the_sidecar_once(run, image, digest):
    first = run().result
    identity = os.stat(image)
    text = (
        f"# macops.parallels: size=8 mtime_ns={identity.st_mtime_ns} inode={identity.st_ino}\n"
        f"{digest}  Büro Windows 11.pvmp\n"
    )
    assert sidecar(image).read_text(encoding="utf-8") == text
    assert first == {
        "changed": True,
        "sha256": digest,
        "size": 8,
        "sidecar": str(sidecar(image)),
        "was_read": True,
        "agreed": [],
        "diff": {
            "before_header": str(sidecar(image)),
            "after_header": str(sidecar(image)),
            "before": "",
            "after": text,
        },
    }
    second = run().result
    assert (second["changed"], second["was_read"], second["sha256"]) == (False, False, digest)
    assert second["agreed"] == [str(sidecar(image))]


def test_it_is_read_again_when_asked_for(run):
    run()
    forced = run(force=True).result
    assert (forced["changed"], forced["was_read"]) == (False, True)


def test_it_is_read_again_when_it_is_another_file(run, image):
    run()
    image.write_bytes(b"packed again")
    again = run().result
    assert (again["changed"], again["was_read"]) == (True, True)
    assert again["sha256"] == hashlib.sha256(b"packed again").hexdigest()
    assert again["sha256"] in sidecar(image).read_text(encoding="utf-8")


def test_check_mode_writes_nothing(run, image, digest):
    told = run(_ansible_check_mode=True).result
    assert (told["changed"], told["sha256"]) == (True, digest)
    assert not sidecar(image).exists()


@pytest.mark.parametrize("there", [False, True])
def test_without_a_sidecar(run, image, digest, there):
    if there:
        run()
        before = sidecar(image).read_bytes()
    told = run(sidecar=False, force=True).result
    assert (told["changed"], told["sha256"]) == (False, digest)
    assert told["sidecar"] == (str(sidecar(image)) if there else "")
    if there:
        assert sidecar(image).read_bytes() == before


def test_the_expected_digest(run, digest):
    assert not run(sha256=digest.upper()).failed


def test_another_digest(run, image, digest):
    ended = run(sha256=A)
    assert ended.failed
    assert f"has the SHA-256 {digest}, but {A} was expected" in ended.result["msg"]
    assert not sidecar(image).exists()


def test_what_is_no_digest(run):
    assert "64 hexadecimal digits" in run(sha256="abc").result["msg"]


def test_parallels_agrees(run, image, digest):
    path = image.with_name("Büro Windows 11.sha256.txt")
    path.write_text(digest)
    assert run().result["agreed"] == [str(path)]


def test_parallels_disagrees(run, image):
    path = image.with_name("Büro Windows 11.sha256.txt")
    path.write_text(A)
    os.utime(path, (os.stat(image).st_mtime + 10,) * 2)
    ended = run()
    assert ended.failed
    assert f"{path} says {A}" in ended.result["msg"]
    assert not sidecar(image).exists()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist. Pack the virtual machine first"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.mkdir(), "is not a file"),
    ],
)
def test_what_is_no_image(run, tmp_path, make, sentence):
    path = tmp_path / "other.pvmp"
    make(path)
    ended = run(path=str(path))
    assert ended.failed
    assert sentence in ended.result["msg"]
