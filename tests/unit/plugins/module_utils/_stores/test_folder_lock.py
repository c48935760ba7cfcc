# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of stores without conditional writes: several writers, interleaved between any two of their requests."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores.folder_lock import FolderLock

STALE = 600.0


class Server:
    """A server with one lock folder, and the marks in it, with the times when they were made."""

    def __init__(self, *, recursive: bool) -> None:
        # Whether it removes a folder with all that is in it, as WebDAV servers do.
        self.recursive = recursive
        self.now = 0.0
        self.marks: dict[str, float] | None = None
        self.modified = 0.0

    def request(self, what: str, mark: str = "") -> Any:
        self.now += 0.01
        return getattr(self, what)(mark)

    def make(self, _mark: str) -> bool:
        if self.marks is not None:
            return False
        self.marks, self.modified = {}, self.now
        return True

    def remove(self, _mark: str) -> None:
        if self.recursive or not self.marks:
            self.marks = None

    def age(self, _mark: str) -> float | None:
        return None if self.marks is None else self.now - self.modified

    def list(self, _mark: str) -> dict[str, float]:
        return {mark: self.now - made for mark, made in (self.marks or {}).items()}

    def make_mark(self, mark: str) -> bool:
        if self.marks is None or mark in self.marks:
            return False
        self.marks[mark] = self.modified = self.now
        return True

    def remove_mark(self, mark: str) -> bool:
        if self.marks is None or mark not in self.marks:
            return False
        del self.marks[mark]
        self.modified = self.now
        return True


class Lock(FolderLock):
    """A lock whose requests are made in turn with those of other writers: C(turn) waits until it may go on."""

    address = "memory://lock"

    def __init__(self, server: Server, turn: Callable[[], None], pause: Callable[[float], None]) -> None:
        super().__init__(pause)
        self._server, self._turn = server, turn
        self.recursive = server.recursive
        self.lists = True

    def _ask(self, what: str, mark: str = "") -> Any:
        self._turn()
        return self._server.request(what, mark)

    def age(self) -> float | None:
        return self._ask("age")

    def _make(self) -> bool:
        return self._ask("make")

    def _remove(self) -> None:
        self._ask("remove")

    def _marks(self) -> dict[str, float] | None:
        return self._ask("list") if self.lists else None

    def _make_mark(self, mark: str) -> bool:
        return self._ask("make_mark", mark)

    def _remove_mark(self, mark: str) -> bool:
        return self._ask("remove_mark", mark)

    def _rename_away(self, mark: str) -> bool:
        return self._ask("remove_mark", mark)


class Writers:
    """Writers as threads of which one runs at a time, until its next request; C(choose) says which one is next."""

    def __init__(self, server: Server, number: int, choose: Callable[[list[int]], int]) -> None:
        self.server, self.choose = server, choose
        self.inside: list[int] = []
        self.worked: list[int] = []
        self.gave_up: list[int] = []
        self.together = False
        self._turns = [threading.Semaphore(0) for _number in range(number)]
        self._back = threading.Semaphore(0)
        self._alive = list(range(number))
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in range(number)]

    def _turn(self, who: int) -> None:
        self._back.release()
        assert self._turns[who].acquire(timeout=30)

    def _run(self, who: int) -> None:
        assert self._turns[who].acquire(timeout=30)

        def pause(seconds: float) -> None:
            self.server.now += seconds
            self._turn(who)

        lock = Lock(self.server, lambda: self._turn(who), pause)
        try:
            with lock.held():
                self.inside.append(who)
                self.together = self.together or len(self.inside) > 1
                for _request in range(3):
                    self._turn(who)
                assert not lock.is_lost()
                self.inside.remove(who)
                self.worked.append(who)
        except RetryLater:
            self.gave_up.append(who)
        finally:
            self._alive.remove(who)
            self._back.release()

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        while self._alive:
            self._turns[self.choose(self._alive)].release()
            assert self._back.acquire(timeout=30)


def stale(server: Server, what: str) -> None:
    """Leave what a killed writer leaves."""
    if what == "nothing":
        return
    server.marks = {}
    for mark in {"mark": ["dead"], "two marks": ["dead", "dead too"], "takeover": ["takeover"]}.get(what, []):
        server.marks[mark] = -STALE
    server.modified = -STALE


def by_chance(chance: random.Random) -> Callable[[list[int]], int]:
    """Choose with long runs of one writer as well as quick changes."""
    stay, last = chance.random(), [0]

    def choose(alive: list[int]) -> int:
        if last[0] not in alive or chance.random() > stay:
            last[0] = chance.choice(alive)
        return last[0]

    return choose


def in_order(order: list[int]) -> Callable[[list[int]], int]:
    """Choose in this order, then whoever is left."""
    left = list(order)

    def choose(alive: list[int]) -> int:
        wanted = left.pop(0) if left else alive[0]
        return wanted if wanted in alive else alive[0]

    return choose


STEPS = 10
SEEDS = 20
LEFT = ["nothing", "folder", "mark", "two marks", "takeover"]


@pytest.mark.parametrize("recursive", [False, True], ids=["SFTP", "WebDAV"])
@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("number", [2, 3])
def test_writers_in_any_order(left: str, recursive: bool, number: int) -> None:
    for seed in range(SEEDS):
        chance = random.Random(f"{left} {recursive} {number} {seed}")
        server = Server(recursive=recursive)
        stale(server, left)
        writers = Writers(server, number, by_chance(chance))
        writers.run()
        assert not writers.together, seed
        assert sorted(writers.worked + writers.gave_up) == list(range(number)), seed
        assert writers.worked, seed
        assert server.marks in (None, {}), seed


@pytest.mark.parametrize("recursive", [False, True], ids=["SFTP", "WebDAV"])
@pytest.mark.parametrize("left", LEFT)
def test_two_writers_interleaved_at_every_step(left: str, recursive: bool) -> None:
    """The first makes some requests, then the second some, and then the first ends before the second goes on."""
    for first, second in itertools.product(range(1, STEPS), range(1, STEPS)):
        server = Server(recursive=recursive)
        stale(server, left)
        writers = Writers(server, 2, in_order([0] * first + [1] * second))
        writers.run()
        assert not writers.together, (first, second)
        assert writers.worked, (first, second)


def alone(server: Server) -> Lock:
    return Lock(server, lambda: None, lambda seconds: setattr(server, "now", server.now + seconds))


def test_a_live_lock_is_never_taken(recursive: bool = True) -> None:
    server = Server(recursive=recursive)
    with alone(server).held():
        mark = dict(server.marks or {})
        with pytest.raises(RetryLater, match="lock folder memory://lock exists"), alone(server).held():
            pytest.fail("entered")
        assert server.marks == mark
    assert server.marks is None


@pytest.mark.parametrize("recursive", [False, True])
def test_a_holder_that_was_silent_for_too_long_leaves_the_lock_to_the_next(recursive: bool) -> None:
    server = Server(recursive=recursive)
    slow, quick = alone(server), alone(server)
    with slow.held():
        assert not slow.is_lost()
        server.now += STALE
        with quick.held():
            assert slow.is_lost()
            assert not quick.is_lost()
            slow._let_go()
            assert not quick.is_lost()
    assert server.marks is None


def test_without_a_list_nobody_takes_over() -> None:
    server = Server(recursive=True)
    lock, other = alone(server), alone(server)
    lock.lists = other.lists = False
    with lock.held():
        assert not lock.is_lost()
        server.now += STALE
        with pytest.raises(RetryLater), other.held():
            pytest.fail("entered")
    assert server.marks is None
