# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may pass is tried again; what is missing is named."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import retry
from ansible_collections.macops.parallels.plugins.module_utils._common.deps import load
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import LONGEST_PAUSE, Retries, RetryLater


class Work:
    """Fails as often as it is told to."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture
def pauses():
    return []


def test_what_works_is_done_once(pauses):
    work = Work()
    assert Retries(4, pauses.append).call(work) == "done"
    assert (work.calls, pauses) == (1, [])


def test_the_pauses_grow(pauses):
    work = Work(*(RetryLater("Busy.") for _number in range(4)))
    assert Retries(4, pauses.append).call(work) == "done"
    assert pauses == [2.0, 4.0, 8.0, 16.0]


def test_the_pauses_have_a_limit(pauses):
    Retries(10, pauses.append).call(Work(*(RetryLater("Busy.") for _number in range(10))))
    assert pauses[-1] == LONGEST_PAUSE


def test_the_server_knows_better(pauses):
    Retries(3, pauses.append).call(
        Work(RetryLater("Busy.", after=9), RetryLater("Busy.", after=0), RetryLater("Busy.", 9999))
    )
    assert pauses == [9, 0, LONGEST_PAUSE]


@pytest.mark.parametrize(("chance", "first", "asked"), [(0.0, 2.0, 8.0), (0.5, 2.25, 9.0), (1.0, 2.5, 10.0)])
def test_a_pause_is_never_shorter_than_the_server_asks_for(pauses, monkeypatch, chance, first, asked):
    monkeypatch.setattr(retry, "_chance", lambda: chance)
    Retries(2, pauses.append).call(Work(RetryLater("Busy."), RetryLater("Busy.", after=8)))
    assert pauses == [first, asked]


def test_clients_that_failed_together_do_not_come_back_together(monkeypatch):
    monkeypatch.undo()
    assert len({retry.spread(10.0) for _number in range(20)}) > 10


def test_there_is_an_end(pauses):
    work = Work(*(RetryLater("The server is busy.", status=503) for _number in range(9)))
    with pytest.raises(TaskError, match=r"^The server is busy\. It was tried 3 times\.$") as caught:
        Retries(2, pauses.append).call(work)
    assert caught.value.details == {"status": 503}
    assert work.calls == 3


def test_long_work_may_break_more_often_as_long_as_it_gets_on(pauses):
    mebi = 1024 * 1024
    attempts = Retries(2, pauses.append).begin()
    for done in (2 * mebi, 2 * mebi, 4 * mebi, 4 * mebi):
        attempts.pause(RetryLater("Busy."), done)
    assert pauses == [2.0, 4.0, 2.0, 4.0]
    with pytest.raises(TaskError, match="It was tried 3 times"):
        attempts.pause(RetryLater("Busy."), 5 * mebi)  # a MiB is not enough


def test_what_is_lost_again_is_no_progress(pauses):
    attempts = Retries(1, pauses.append).begin()
    attempts.pause(RetryLater("Busy."), 9_000_000)
    with pytest.raises(TaskError, match="It was tried 2 times"):
        attempts.pause(RetryLater("Busy."), 9_000_000)


def test_no_retries(pauses):
    with pytest.raises(TaskError, match=r"^Busy\.$"):
        Retries(0, pauses.append).call(Work(RetryLater("Busy.")))
    assert pauses == []


def test_what_is_final_is_not_tried_again(pauses):
    work = Work(TaskError("Wrong."))
    with pytest.raises(TaskError, match="Wrong"):
        Retries(4, pauses.append).call(work)
    assert work.calls == 1


def test_a_library_that_is_there():
    assert load("json").dumps([]) == "[]"


def test_a_library_that_is_missing():
    with pytest.raises(TaskError, match=r"Failed to import the required Python library \(no_such_library\)"):
        load("no_such_library.part")
