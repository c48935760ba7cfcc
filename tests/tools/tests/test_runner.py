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
