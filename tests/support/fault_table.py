# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is common to all faults: a row of the table, the runs that meet it, and what became of them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, Protocol

from support.playbook import PlaybookRun

LONGEST_MESSAGE = 240
_HEAD = "| hits | fault | stage | first run | the run after it | outcome |"


class Scene(Protocol):
    """Something to make an image of, and all that the runs touch."""

    def run(self, **variables: Any) -> PlaybookRun:
        """Run the playbook, and hold that it shows no secret."""

    def assert_struck(self) -> None:
        """Hold that each fault has struck, and end those that would strike for ever."""

    def assert_nothing_lost(self) -> None:
        """Hold that the source is what it was, and that all that has a final name in the store is whole."""

    def assert_done(self) -> None:
        """Hold that everything is published, and nothing left over."""


@dataclasses.dataclass(frozen=True)
class FaultRow:
    """A fault, or several that strike the same run, and what is expected of the run that meets them."""

    # What is hit: the Mac, the server, the connection, the disk, or the work itself, when it is killed.
    hits: str
    fault: str
    # The fixture with the scene.
    scene: str
    # One for each time that it is injected.
    stages: tuple[str, ...]
    inject: Callable[[Any], None]
    # Words of the error; none where the run gets over it by itself.
    words: tuple[str, ...] = ()
    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Words of the second run's error, where a person has to decide.
    then: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The stages in words, each once."""
        return ", ".join(dict.fromkeys(self.stages))

    def __str__(self) -> str:
        return f"{self.hits}: {self.fault}: {self.stage}"


def meet(row: FaultRow, scene: Scene, record_property: Callable[[str, object], None]) -> None:
    """Run into the faults of a row, then run again, and hold after each that nothing is lost."""
    met = outcome(row.hits, row.fault, row.stage, [], injected=len(row.stages), survived=False)
    try:
        row.inject(scene)
        for words in (row.words, row.then):
            run = scene.run(**row.variables)
            met["runs"].append(told(run))
            if not met["runs"][1:]:
                scene.assert_struck()
            scene.assert_nothing_lost()
            _judge(run, words)
        if not row.then:
            scene.assert_done()
        met["survived"] = True
    finally:
        record_property("fault", met)


@contextlib.contextmanager
def recorded(record_property: Callable[[str, object], None], *faults: tuple[str, str, str]) -> Iterator[list[str]]:
    """Record what a test makes of these faults (what they hit, the fault, the stage), which all strike in its body.

    The body adds what became of the run that met them, and of the one after it: see C(told).
    """
    runs: list[str] = []
    survived = False
    try:
        yield runs
        survived = True
    finally:
        for hits, fault, stage in faults:
            record_property("fault", outcome(hits, fault, stage, runs, survived=survived))


def outcome(hits: str, fault: str, stage: str, runs: list[str], *, injected: int = 1, survived: bool) -> dict[str, Any]:
    """Return a row of the summary; C(runs) says of the first run, and of the one after it, what they did."""
    return {
        "hits": hits,
        "fault": fault,
        "stage": stage,
        "injected": injected,
        "runs": runs,
        "survived": survived,
    }


def _judge(run: PlaybookRun, words: tuple[str, ...]) -> None:
    """Hold that a run failed with these words, or ended well when there are none; what it cleans up it may tell."""
    if words:
        run.assert_failed(*words)
        return
    assert run.rc == 0, f"exit code {run.rc}: {run.messages}\n{run.output[-6000:]}"
    assert run.stats, f"no host ran\n{run.output}"
    assert "Traceback" not in run.output, run.output
    assert "DEPRECATION" not in run.output, run.output


def told(run: PlaybookRun) -> str:
    """Return what a run did, as a cell of a table."""
    if run.rc:
        task = run.failed[0] if run.failed else None
        if task is None:
            return f"ended with exit code {run.rc}"
        # Where the test keeps the simulated Mac does not matter.
        message = re.sub(r"/\S+/(?=mac \d)", "", " ".join(str(task.result.get("msg", "")).split()))
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}..."
        return f"fails in '{task.name.rpartition(' : ')[2]}': {message}"
    return f"ends well, {len(run.changed)} tasks changed something" if run.changed else "nothing is left to do"


def summary(outcomes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each row, as a Markdown table, and the totals."""
    ordered = sorted(outcomes, key=lambda outcome: (outcome["hits"], outcome["fault"], outcome["stage"]))
    injected: collections.Counter[str] = collections.Counter()
    lines = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    for outcome in ordered:
        verdict = "survived" if outcome["survived"] else "LOST"
        injected[verdict] += outcome["injected"]
        runs = [*outcome["runs"], "", ""][:2]
        cells = [outcome["hits"], outcome["fault"], outcome["stage"], *runs, verdict]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    total, survived, lost = sum(injected.values()), injected["survived"], injected["LOST"]
    return [*lines, f"faults injected {total}, survived {survived}, lost {lost}"]
