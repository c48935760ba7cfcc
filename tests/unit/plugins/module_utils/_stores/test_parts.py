# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies in parts that go out side by side."""

from __future__ import annotations

import hashlib
import io
import threading
import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.interrupt import (
    interrupt_main_thread,
    interruptible,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.module_utils._stores.parts import send_parts

MIB = 1024 * 1024


class Taken:
    """A store that keeps what it is sent."""

    def __init__(self):
        self.parts = {}
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def send(self, part):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        with part.open() as handle:
            data = handle.read()
        with self._lock:
            self._now -= 1
            self.parts[part.number] = data

    @property
    def whole(self):
        return b"".join(data for _number, data in sorted(self.parts.items()))


@pytest.fixture
def reports():
    return []


@pytest.fixture
def body(image, reports):
    with Body(image.path, image.sha256, report=lambda done, total: reports.append((done, total))) as opened:
        yield opened


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("size", [1, MIB, 1_000_001, 64 * MIB])
def test_a_body_arrives_whole(body, image, reports, size, concurrency):
    taken = Taken()
    size = max(size, image.size // 50)
    assert send_parts(body, size, concurrency, taken.send) == 0
    assert taken.whole == image.data
    assert taken.most <= concurrency
    assert body.sent == image.size
    assert body.sha256 == image.sha256
    assert max(reports) == (image.size, image.size)


def test_what_is_there_is_not_sent_again(body, image):
    taken = Taken()
    there = {1: hashlib.md5(image.data[:MIB]).digest(), 3: b"other bytes"}
    kept = send_parts(body, MIB, 2, taken.send, lambda part: there.get(part.number) == part.digests["md5"], ("md5",))
    assert kept == MIB
    assert sorted(taken.parts) == [2, 3, 4]
    assert body.sent == image.size - MIB
    assert body.sha256 == image.sha256


def test_parts_know_their_digests(body, image):
    seen = {}
    send_parts(body, MIB, 2, lambda part: seen.update({part.offset: part.digests}), digests=("sha256", "md5"))
    assert seen[2 * MIB]["sha256"] == hashlib.sha256(image.data[2 * MIB : 3 * MIB]).digest()
    assert set(seen[0]) == {"sha256", "md5"}


def test_an_error_ends_it(body):
    sent, before = [], threading.active_count()

    def send(part):
        sent.append(part.number)
        if part.number == 2:
            raise TaskError("It is forbidden.")
        part.open().read()

    with pytest.raises(TaskError, match="forbidden"):
        send_parts(body, 100_000, 2, send)
    assert len(sent) < 10
    assert threading.active_count() == before


def test_the_last_part_of_wrong_bytes_is_never_sent(image):
    taken = Taken()
    with Body(image.path, "0" * 64) as body, pytest.raises(TaskError, match="is not the expected file"):
        send_parts(body, MIB, 2, taken.send)
    assert image.data[-123:] not in taken.parts.values()


def test_a_file_that_changes_is_not_sent_to_its_end(body, image):
    taken = Taken()

    def send(part):
        if part.number == 1:
            with open(image.path, "r+b") as handle:
                handle.truncate(image.size - 10)
        taken.send(part)

    with pytest.raises(TaskError, match="changed during the upload"):
        send_parts(body, 500_000, 1, send)


def test_an_interruption_does_not_wait_for_a_silent_server(body):
    silent = threading.Event()

    def send(part):
        interrupt_main_thread()
        silent.wait(30)

    begun = time.monotonic()
    with pytest.raises(Interrupted), interruptible():
        send_parts(body, MIB, 2, send)
    assert time.monotonic() - begun < 20
    silent.set()


def test_all_parts_share_the_rate(image):
    waits = []
    with Body(image.path, image.sha256, rate_limit=MIB, clock=lambda: 0.0, sleep=waits.append) as body:
        send_parts(body, MIB, 3, Taken().send)
    assert max(waits) == pytest.approx(image.size / MIB)


def test_a_part_can_be_read_like_a_file(body, image):
    def send(part):
        handle = part.open()
        assert (len(handle), handle.tell()) == (part.size, 0)
        first = handle.read(10)
        assert handle.seek(0) == 0
        assert handle.read(10) == first
        assert handle.seek(0, io.SEEK_END) == part.size
        assert handle.read() == b""
        handle.seek(-5, io.SEEK_END)
        buffer = bytearray(10)
        assert handle.readinto(buffer) == 5
        assert bytes(buffer[:5]) == image.data[part.offset : part.offset + part.size][-5:]

    send_parts(body, MIB, 1, send)
