# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the output of the tools that write no report of their own."""

from __future__ import annotations

import pytest
import run_tests

from harness import environments, stages
from harness.layout import ROOT, TARGET_PYTHONS
from harness.runner import Options
from harness.stages import chosen_tests, count_targets, integration_targets

OUTPUT = """\
Running vm_info integration test role
ok: [testhost]
Running vm_power integration test role
fatal: [testhost]: FAILED!
Running vm integration test role
WARNING: Excluding tests marked "needs/root" which require --allow-root or running as root: owner
FATAL: The 1 integration test(s) listed below (out of 3) failed. See error output above for details.
vm_power
# exit code 1
"""


def test_integration_targets_are_counted():
    counts = count_targets(OUTPUT)
    assert (counts.passed, counts.failed, counts.skipped) == (2, 1, 1)
    assert counts.failures == ["vm_power"]
    assert "needs/root" in counts.skips[0]


def test_a_warning_is_a_failure():
    counts = count_targets("Running vm integration test role\n[WARNING]: Something is old\n")
    assert (counts.passed, counts.failed) == (1, 1)
    assert "Something is old" in counts.failures[0]


def names(*words):
    return [stage.name for stage in run_tests.choose_stages(run_tests.parse_arguments(list(words)))]


def test_every_day_runs_all_stages_but_those_for_the_night():
    left_out = {stage.name for stage in stages.STAGES} - set(names())
    assert left_out == {"units-3.10", "units-3.11", "units-3.12", "smoke-2.18", "importer"}
    assert names("--everything") == [stage.name for stage in stages.STAGES]


def test_a_stage_that_is_named_is_run_even_if_it_is_for_the_night():
    assert names("units-3.11") == ["units-3.11"]
    assert names("units") == [f"units-{version}" for version in TARGET_PYTHONS]


@pytest.mark.parametrize(
    "words", [["--only", "x"], ["--only", "x", "lint", "page"], ["no such stage"], ["--only", "x", "--changed", "lint"]]
)
def test_what_cannot_be_meant_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        run_tests.parse_arguments(words)


@pytest.mark.parametrize(
    ("only", "everything", "expected"),
    [
        ((), False, ["tests/page", "-m", "not nightly"]),
        ((), True, ["tests/page"]),
        (("tests/page/test_page.py::test_x",), False, ["tests/page/test_page.py::test_x"]),
        (("--collect-only", "-q"), False, ["tests/page", "--collect-only", "-q"]),
        (("tests/page/test_page.py", "-k", "wide"), False, ["tests/page/test_page.py", "-k", "wide"]),
    ],
)
def test_what_pytest_is_told_to_run(only, everything, expected):
    assert chosen_tests(Options(only=only, jobs=1, everything=everything), ("tests/page",), ROOT) == expected


def test_parts_of_targets_are_no_targets():
    targets = integration_targets(ROOT)
    assert {"vm", "image_upload"} <= set(targets)
    assert not [name for name in targets if name.startswith("setup_")]


def test_tests_that_stages_name_are_there():
    assert stages.SPARED_IN_SMOKE.keys() == environments.CORES.keys()
    for name in (*stages.MAIN_SCENARIOS, stages.SMOKE_BUILD, stages.SMOKE_CANCEL):
        path, _colons, test = name.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
    for word in stages.WITH_SERVERS[1::2]:
        assert (ROOT / word).is_dir()


def test_sanity_compiles_on_every_python_and_imports_on_the_oldest_and_the_newest():
    first, pylint, *by_python = stages.sanity_parts(everything=False)
    assert first == ["--skip-test", "compile", "--skip-test", "import", "--skip-test", "pylint"]
    assert pylint == ["--test", "pylint", "plugins/"]
    assert [part[:4] for part in by_python] == [["--python", v, "--test", "compile"] for v in TARGET_PYTHONS]
    assert [part[1] for part in by_python if part[4:] == ["--test", "import"]] == ["3.9", "3.13"]


def test_sanity_is_whole_in_the_night():
    first, *by_python = stages.sanity_parts(everything=True)
    assert first == ["--skip-test", "compile", "--skip-test", "import"]
    assert by_python == [["--python", v, "--test", "compile", "--test", "import"] for v in TARGET_PYTHONS]
