# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool that all tests of a run share: never more at once, nobody is passed over, no slot is lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from support import slots
from support.waiting import wait_until

TESTS = pathlib.Path(__file__).resolve().parents[2]
HOLD = """
import pathlib, sys, time
from support import slots
with slots.slot(pathlib.Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def pool(tmp_path):
    slots.make_slots(tmp_path / "slots", 2)
    return tmp_path / "slots"


def test_no_more_work_at_once_than_there_are_slots(pool):
    working, most = set(), []
    lock = threading.Lock()

    def work(number):
        with slots.slot(pool):
            with lock:
                working.add(number)
                most.append(len(working))
            wait_until(lambda: len(most) > 1, 10)
            with lock:
                working.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 6
    assert max(most) == 2


def test_a_slot_that_is_given_back_goes_to_who_waits(pool):
    order = []
    first, second = slots.slot(pool), slots.slot(pool)
    first.__enter__()
    second.__enter__()

    def wait():
        with slots.slot(pool):
            order.append("who waited")

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: _has_a_line(pool), 10)
    first.__exit__(None, None, None)
    with slots.slot(pool):
        order.append("who had one")
    waiting.join()
    second.__exit__(None, None, None)
    assert order[0] == "who waited"


def _has_a_line(pool):
    return str((pool / slots.LINE).stat().st_ino) in pathlib.Path("/proc/locks").read_text()


def test_the_slot_of_a_process_that_is_killed_is_free_again(pool):
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD, pool], env=environment, stdout=subprocess.PIPE, text=True)
        for _number in range(2)
    ]
    for holder in holders:
        assert holder.stdout.readline() == "holds\n"
    holders[0].kill()
    with slots.slot(pool):
        pass
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_what_a_holder_forked_does_not_keep_the_slot(pool):
    with slots.slot(pool):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)  # until the parent is done
            os._exit(0)
    os.close(reader)
    with slots.slot(pool), slots.slot(pool):
        os.close(writer)
    os.waitpid(child, 0)


def test_short_tests_keep_a_slot_but_not_after_the_last(pool):
    turn = slots.Turn(pool, 600)
    for last, held in ((False, 1), (False, 1), (True, 0), (False, 1), (True, 0)):
        with turn.test(last=last):
            assert _held(pool) == 1
        assert _held(pool) == held


def test_a_slot_is_given_back_when_the_turn_is_over_in_a_test(pool):
    turn = slots.Turn(pool, 0.05)
    end = time.monotonic() + 0.05
    with pytest.raises(ZeroDivisionError), turn.test(last=False):
        wait_until(lambda: time.monotonic() > end, 10)
        assert _held(pool) == 1
        raise ZeroDivisionError
    assert _held(pool) == 0


def test_a_slot_is_given_back_when_the_next_test_does_not_come(pool):
    turn = slots.Turn(pool, 0.2)
    for _again in range(2):
        with turn.test(last=False):
            pass
        wait_until(lambda: not _held(pool), 10)
    with turn.test(last=True):
        assert _held(pool) == 1


def _held(pool):
    """Return the number of slots that are held."""
    free = 0
    with contextlib.ExitStack() as opened:
        for path in pool.iterdir():
            if path.name != slots.LINE:
                handle = opened.enter_context(path.open(encoding="utf-8"))
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    free += 1
    return 2 - free


def test_without_a_pool_nobody_waits(monkeypatch):
    monkeypatch.delenv(slots.VARIABLE, raising=False)
    with slots.slot(slots.slots_of_this_run()):
        pass
