# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs stages side by side, with one pool of slots for the work in all of them; writes a log for each, and reports."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from support import slots

from . import packages
from .layout import CACHE, LOGS, ToolError, clean_environment, replace_link
from .results import Counts

COMMAND_TIMEOUT = 70 * 60
TAIL_LINES = 60
PAUSE = 0.1
SLOTS = "slots"


@dataclasses.dataclass(frozen=True)
class Options:
    """What the caller narrowed the run down to."""

    only: tuple[str, ...]
    # How many tests, and commands that are one piece of work, run at once in all stages together.
    jobs: int
    # Also what is for the night.
    everything: bool = False
    # What each stage is narrowed down to, where that is not the same for all.
    only_of: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of the tests, which can run alone."""

    name: str
    what: str
    work: Callable[[StageRun], Counts]
    programs: tuple[packages.Program, ...] = ()
    # Left to C(make test-all), unless it is named.
    nightly: bool = False


@dataclasses.dataclass
class Cost:
    """What a stage took: seconds from its beginning to its end, and seconds of a processor in the programs it ran.

    Of what outlives these programs, such as a job on a simulated Mac, the processor's time is not known.
    """

    wall: float = 0.0
    cpu: float = 0.0


class StageRun:
    """One run of a stage: its log, its scratch folder, the programs it starts."""

    def __init__(self, stage: Stage, options: Options, scratch: pathlib.Path, children: Children) -> None:
        self.stage = stage
        self.options = dataclasses.replace(options, only=options.only or options.only_of.get(stage.name, ()))
        self.scratch = scratch / stage.name
        # Of this run alone, because a run beside it may be in the same stage. C(shown_path) is where people look.
        self.log_path = scratch / f"{stage.name}.log"
        self.shown_path = LOGS / f"{stage.name}.log"
        self.cost = Cost()
        self._slots = scratch / SLOTS
        self._children = children
        self._log: IO[str] | None = None

    def execute(self) -> Counts:
        """Do the stage's work; a mistake in it, or something that is missing, is a failure with a sentence."""
        started = time.monotonic()
        self.scratch.mkdir(parents=True)
        LOGS.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("w", encoding="utf-8", errors="replace") as log:
            replace_link(self.shown_path, self.log_path)
            self._log = log
            try:
                counts = self.stage.work(self)
            except ToolError as error:
                counts = Counts()
                counts.fail(str(error))
                self.note(str(error))
        if not counts.passed + counts.failed + counts.skipped and not counts.only_listed:
            counts.fail(f"{self.stage.name} ran no test")
        self.cost.wall = time.monotonic() - started
        return counts

    def keep_log(self) -> None:
        """Put the log where people look for it."""
        self.log_path.replace(self.shown_path)

    def note(self, text: str) -> None:
        """Write a line into the log."""
        assert self._log is not None
        self._log.write(f"{text}\n")
        self._log.flush()

    def run(
        self,
        command: Sequence[object],
        cwd: pathlib.Path,
        path: tuple[pathlib.Path, ...] = (),
        variables: Mapping[str, object] | None = None,
        *,
        log: pathlib.Path | None = None,
    ) -> int:
        """Run a command in a slot of the pool, its output into the log, and return its exit code.

        One that is given a C(log) of its own may run beside another one of this stage.
        """
        with slots.slot(self._slots):
            return self._run(command, cwd, path, variables, log)

    def run_sharing(
        self,
        command: Sequence[object],
        cwd: pathlib.Path,
        path: tuple[pathlib.Path, ...] = (),
        variables: Mapping[str, object] | None = None,
    ) -> int:
        """Run a command that takes a slot for each of its tests by itself: pytest with tests/conftest.py."""
        return self._run(command, cwd, path, {**(variables or {}), slots.VARIABLE: self._slots}, None)

    def _run(
        self,
        command: Sequence[object],
        cwd: pathlib.Path,
        path: tuple[pathlib.Path, ...],
        variables: Mapping[str, object] | None,
        log: pathlib.Path | None,
    ) -> int:
        words = [str(word) for word in command]
        environment = {**clean_environment(path), **{k: str(v) for k, v in (variables or {}).items()}}
        with contextlib.nullcontext(self._log) if log is None else log.open("w", encoding="utf-8") as output:
            assert output is not None
            output.write(f"$ {' '.join(words)}\n")
            output.flush()
            code, seconds = self._children.run(words, cwd, environment, output)
            self.cost.cpu += seconds
            output.write(f"# exit code {code}, {seconds:.1f} s of a processor\n\n")
            output.flush()
        return code

    def output(self) -> str:
        """Return the log so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")


class Children:
    """The programs that run at the moment, so that an interrupted run leaves none behind."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(
        self, command: list[str], cwd: pathlib.Path, environment: dict[str, str], log: IO[str]
    ) -> tuple[int, float]:
        """Run a command in a process group of its own, within the time limit.

        Return its exit code, and the processor's seconds that it and all that it waited for took.
        """
        with self._lock:
            if self._ended:
                raise ToolError("The run was interrupted.")
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            return _wait(process)
        except subprocess.TimeoutExpired:
            minutes = COMMAND_TIMEOUT // 60
            raise ToolError(f"{command[0]} was still running after {minutes} minutes and was ended.") from None
        finally:
            _end_group(process)
            with self._lock:
                self._running.discard(process)

    def end_all(self) -> None:
        """End what still runs, and start nothing more."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            _end_group(process)


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for the end as C(Popen.wait) does, which would not say what the process has used."""
    end = time.monotonic() + COMMAND_TIMEOUT
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired(process.args, COMMAND_TIMEOUT)
        time.sleep(PAUSE)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it left behind in its group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except (ProcessLookupError, PermissionError):
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
    process.wait()


def run_stages(stages: Sequence[Stage], options: Options) -> Counts:
    """Run the stages, report each as it ends, and return the sum."""
    total = Counts()
    children = Children()
    (CACHE / "run").mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(dir=CACHE / "run"))
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _install(stages)
        slots.make_slots(scratch / SLOTS, options.jobs)
        # All at once: what each of them does waits for a slot.
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(stages)) as pool:
            try:
                runs = [StageRun(stage, options, scratch, children) for stage in stages]
                futures = {pool.submit(run.execute): run for run in runs}
                for future in concurrent.futures.as_completed(futures):
                    counts = future.result()
                    _report(futures[future], counts)
                    total.add(counts)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                children.end_all()
                raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        shutil.rmtree(scratch, ignore_errors=True)
    return total


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _install(stages: Sequence[Stage]) -> None:
    """Install missing programs once, before anything runs beside anything."""
    wanted = dict.fromkeys(program for stage in stages for program in stage.programs)
    installed = packages.install_missing(tuple(wanted))
    if installed:
        print(f"installed {' '.join(installed)}", flush=True)


def _report(run: StageRun, counts: Counts) -> None:
    output = run.output()
    run.keep_log()
    verdict = "FAILED" if counts.failed else "ok"
    cost = f"{run.cost.wall:6.0f} s  {verdict:<6}  {counts.closing_line()}"
    print(f"{run.stage.name:<12} {cost}  (CPU {run.cost.cpu:.0f} s)", flush=True)
    for note in counts.notes:
        print(f"    {note}", flush=True)
    for reason in counts.skips:
        print(f"    skipped: {reason}", flush=True)
    for name in counts.failures:
        print(f"    failed: {name}", flush=True)
    if counts.failed:
        tail = output.splitlines()[-TAIL_LINES:]
        print(f"    the end of {run.shown_path}:", *(f"    | {line}" for line in tail), sep="\n", flush=True)
