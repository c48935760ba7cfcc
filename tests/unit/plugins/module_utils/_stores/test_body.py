# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of an upload: constant memory, and never the last block of wrong bytes."""

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import BLOCK
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Chunk, WrongFile


def blocks_of(body, size=-1):
    return list(iter(lambda: body.read(size), b""))


@pytest.mark.parametrize("asked", [-1, None, 1000, BLOCK, 16 * BLOCK])
def test_it_hands_out_the_whole_file_in_blocks(image, asked):
    with Body(image.path, image.sha256) as body:
        blocks = blocks_of(body, asked)
        assert b"".join(blocks) == image.data
        assert max(map(len, blocks)) <= BLOCK
        assert (len(body), body.size, body.sent, body.sha256) == (image.size, image.size, image.size, image.sha256)


def test_the_digest_is_known_only_at_the_end(image):
    with Body(image.path) as body:
        body.read()
        assert body.sha256 is None
        blocks_of(body)
        assert body.sha256 == image.sha256


def test_it_can_be_sent_again(image):
    with Body(image.path, image.sha256) as body:
        body.read()
        body.rewind()
        assert b"".join(blocks_of(body)) == image.data
        assert body.sent == image.size + BLOCK


@pytest.mark.parametrize("offset", [0, 1, BLOCK, 2 * BLOCK + 7])
@pytest.mark.parametrize("remembered", [None, BLOCK, 3 * BLOCK])
def test_it_goes_on_from_anywhere(image, offset, remembered):
    """What is not sent is part of the digest all the same; what was hashed before need not be read again."""
    reports = []
    with Body(image.path, image.sha256, report=lambda done, total: reports.append((done, total))) as body:
        if remembered:
            body.rewind(remembered)
            body.remember()
        body.rewind(offset)
        assert (body.offset, body.sent) == (offset, 0)
        assert b"".join(blocks_of(body)) == image.data[offset:]
        assert (body.sent, body.sha256) == (image.size - offset, image.sha256)
    assert reports[-1] == (image.size, image.size)


def test_what_was_hashed_before_is_not_read_again(image):
    reports = []
    with Body(image.path, image.sha256, report=lambda done, total: reports.append(done)) as body:
        body.rewind(2 * BLOCK)
        body.remember()
        reports.clear()
        body.rewind(3 * BLOCK)
        assert reports == [3 * BLOCK]
        assert b"".join(blocks_of(body)) == image.data[3 * BLOCK :]
        assert body.sha256 == image.sha256


def test_wrong_bytes_are_found_when_none_is_sent(image):
    with Body(image.path, hashlib.sha256(b"other").hexdigest()) as body:
        with pytest.raises(WrongFile):
            body.rewind(image.size)
        assert body.sent == 0


def test_a_chunk_is_a_body_of_its_own(image):
    with Body(image.path) as body:
        body.rewind(5)
        chunk = Chunk(body, BLOCK + 3)
        assert len(chunk) == BLOCK + 3
        assert b"".join(iter(lambda: chunk.read(BLOCK), b"")) == image.data[5 : BLOCK + 8]
        assert chunk.read() == b""
        assert body.offset == BLOCK + 8


def test_the_marks_tell_the_content(image):
    """By the digest where it is known, so that it is found again after the file was made anew; else by the file."""
    with Body(image.path) as unknown, Body(image.path, image.sha256) as known:
        assert len(set(known.content.marks)) == 2
        assert unknown.content.marks == known.content.marks[1:]
    os.utime(image.path, ns=(1, 1))
    with Body(image.path, image.sha256) as touched:
        same = [ours == theirs for ours, theirs in zip(touched.content.marks, known.content.marks)]
    assert same == [True, False]


def test_wrong_bytes_are_never_complete(image):
    with Body(image.path, hashlib.sha256(b"other").hexdigest()) as body:
        handed_out = b""
        with pytest.raises(TaskError, match="is not the expected file") as caught:
            for block in iter(body.read, b""):
                handed_out += block
    assert len(handed_out) < image.size
    assert image.sha256 in caught.value.message
    assert caught.value.details["sha256"] == image.sha256


def _rewrite(path):
    with open(path, "r+b") as handle:
        handle.write(b"changed")


def _grow(path):
    with open(path, "ab") as handle:
        handle.write(b"more")


def _shrink(path):
    os.truncate(path, BLOCK + 1)


def _replace(path):
    with open(path + ".new", "wb") as handle:
        handle.write(b"x" * os.path.getsize(path))
    os.replace(path + ".new", path)


@pytest.mark.parametrize("change", [_rewrite, _grow, _shrink, _replace, os.remove])
@pytest.mark.parametrize("expect", [True, False])
def test_a_file_that_changes_is_never_complete(image, change, expect):
    with Body(image.path, image.sha256 if expect else None) as body:
        handed_out = body.read()
        change(image.path)
        with pytest.raises(TaskError, match="changed during the upload"):
            for block in iter(body.read, b""):
                handed_out += block
    assert len(handed_out) < image.size


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.pvmp"
    path.touch()
    with pytest.raises(TaskError, match="is empty"):
        Body(str(path))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(TaskError, match="is not a file"):
        Body(str(tmp_path))


@pytest.mark.parametrize(("rate", "largest"), [(1_000_000, 250_000), (8 * BLOCK, BLOCK), (4096, 4096)])
def test_the_rate_is_kept(image, rate, largest):
    """With a clock that only the pauses move: sending itself takes no time here."""
    now = [100.0]

    def sleep(seconds):
        assert seconds > 0
        now[0] += seconds

    with Body(image.path, rate_limit=rate, clock=lambda: now[0], sleep=sleep) as body:
        blocks = blocks_of(body)
    assert b"".join(blocks) == image.data
    assert max(map(len, blocks)) == largest
    assert now[0] - 100.0 == pytest.approx(image.size / rate)


def test_a_slow_wire_is_not_slowed_down_more(image):
    now = [0.0]

    def clock():
        now[0] += 10.0
        return now[0]

    with Body(image.path, rate_limit=BLOCK, clock=clock, sleep=lambda seconds: pytest.fail("slept")) as body:
        body._paced_from = (0.0, 0)
        blocks_of(body)
