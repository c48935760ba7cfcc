# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How stages are run: what fails is never lost, and nothing is left behind."""

from __future__ import annotations

import fcntl
import pathlib
import sys

import pytest

from harness import layout, runner
from harness.results import Counts
from support.waiting import wait_until

OPTIONS = runner.Options(only=(), jobs=2)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(runner, "LOGS", tmp_path / "logs")


def run(capsys, **works):
    stages = [runner.Stage(name, "a test", work) for name, work in works.items()]
    counts = runner.run_stages(stages, OPTIONS)
    return counts, capsys.readouterr().out


def python(code):
    return [sys.executable, "-c", code]


def test_stages_add_up_and_are_reported(capsys, tmp_path):
    def good(stage_run):
        assert stage_run.run(python("print('hello from good')"), tmp_path) == 0
        return Counts(passed=2)

    counts, out = run(capsys, good=good, skipping=lambda stage_run: Counts(passed=1, skipped=1, skips=["no Mac"]))
    assert counts.closing_line() == "3 passed, 0 failed, 1 skipped"
    assert "skipped: no Mac" in out
    assert "hello from good" in (tmp_path / "logs" / "good.log").read_text()
    assert list((tmp_path / "cache" / "run").iterdir()) == []


def test_the_end_of_a_failed_log_is_shown(capsys, tmp_path):
    def bad(stage_run):
        counts = Counts()
        counts.check(
            "the program", stage_run.run(python("print('because of this'); raise SystemExit(3)"), tmp_path) == 0
        )
        return counts

    counts, out = run(capsys, bad=bad)
    assert counts.failed == 1
    assert "because of this" in out
    assert "# exit code 3" in out


def test_a_stage_that_cannot_run_is_a_failure_with_its_sentence(capsys):
    def broken(stage_run):
        raise layout.ToolError("Install Python 3.9, then run it again.")

    counts, out = run(capsys, broken=broken)
    assert counts.failed == 1
    assert "failed: Install Python 3.9" in out


def test_a_stage_without_a_test_is_a_failure(capsys):
    counts, out = run(capsys, empty=lambda stage_run: Counts())
    assert counts.failed == 1
    assert "empty ran no test" in out


def test_stages_share_one_pool(capsys, tmp_path):
    """Each command holds the only slot: none begins before the one before it has ended."""
    log = tmp_path / "log"
    code = f"import time; log = open({str(log)!r}, 'a', 1); log.write('begin '); time.sleep(0.2); log.write('end ')"

    def work(stage_run):
        return Counts(passed=int(stage_run.run(python(code), tmp_path) == 0))

    stages = [runner.Stage(f"stage {number}", "a test", work) for number in range(3)]
    counts = runner.run_stages(stages, runner.Options(only=(), jobs=1))
    assert counts.passed == 3
    assert log.read_text().split() == ["begin", "end"] * 3


def test_what_takes_slots_by_itself_is_given_the_pool(capsys, tmp_path):
    code = "import os, pathlib; pathlib.Path('slots').write_text(os.environ['MACOPS_SLOTS'])"

    def work(stage_run):
        return Counts(passed=int(stage_run.run_sharing(python(code), tmp_path) == 0))

    counts, _out = run(capsys, sharing=work)
    assert counts.passed == 1
    assert pathlib.Path((tmp_path / "slots").read_text()).name == runner.SLOTS


def test_a_command_may_have_a_log_of_its_own(capsys, tmp_path):
    def work(stage_run):
        log = stage_run.scratch / "own.log"
        assert stage_run.run(python("print('apart')"), tmp_path, log=log) == 0
        assert "apart" in log.read_text()
        assert "apart" not in stage_run.output()
        return Counts(passed=1)

    counts, _out = run(capsys, logging=work)
    assert counts.failed == 0


def test_the_report_says_how_much_of_a_processor_a_stage_took(capsys, tmp_path):
    busy = "import time\nwhile time.process_time() < 1: pass"

    def work(stage_run):
        return Counts(passed=int(stage_run.run(python(busy), tmp_path) == 0))

    _counts, out = run(capsys, busy=work)
    assert "ok      1 passed, 0 failed, 0 skipped  (CPU 1 s)" in out


def test_a_stage_is_narrowed_down_by_itself(capsys):
    seen = {}

    def work(stage_run):
        seen[stage_run.stage.name] = stage_run.options.only
        return Counts(passed=1)

    stages = [runner.Stage(name, "a test", work) for name in ("one", "other")]
    runner.run_stages(stages, runner.Options(only=(), jobs=2, only_of={"one": ("this",)}))
    assert seen == {"one": ("this",), "other": ()}


def test_tests_that_are_only_listed_are_no_failure(capsys):
    counts, out = run(capsys, listing=lambda stage_run: Counts(only_listed=True, notes=["tests/a.py: 3"]))
    assert counts.good
    assert "tests/a.py: 3" in out


def test_a_command_that_hangs_is_ended_with_all_that_it_started(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "COMMAND_TIMEOUT", 2)
    lock = tmp_path / "lock"
    lock.touch()
    # A child that holds a lock for as long as it lives.
    child = (
        f"import fcntl, time; lock = open({str(lock)!r}); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('locked'); time.sleep(600)"
    )
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-uc', {child!r}]); time.sleep(600)"

    def hangs(stage_run):
        stage_run.run(python(parent), tmp_path)
        raise AssertionError("not reached")

    counts, out = run(capsys, hangs=hangs)
    assert counts.failed == 1
    assert "was ended" in out
    assert "locked" in out
    wait_until_free(lock)


def wait_until_free(lock):
    """A killed process ends soon after the signal, not with it."""
    with lock.open() as handle:

        def is_free():
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_until(is_free, 10, explain=lambda: "the child still runs")


def test_commands_get_neither_the_callers_ansible_nor_its_python(monkeypatch):
    monkeypatch.setenv("ANSIBLE_CONFIG", "/elsewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PATH", "/usr/bin")
    environment = layout.clean_environment((pathlib.Path("/first"),))
    assert "ANSIBLE_CONFIG" not in environment
    assert "VIRTUAL_ENV" not in environment
    assert environment["PATH"] == "/first:/usr/bin:/usr/local/sbin:/usr/sbin:/sbin"
