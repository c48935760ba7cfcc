# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change is said to break: never too little."""

from __future__ import annotations

import subprocess

import pytest

from harness import changes
from harness.layout import ROOT, ToolError
from harness.stages import STAGES

HTTP = "plugins/module_utils/_http/session.py"
FILES = {
    HTTP: "import json\n",
    "plugins/module_utils/_stores/base.py": "from .._http.session import Http\n",
    "plugins/module_utils/_jobs/job.py": "from ansible_collections.macops.parallels.plugins.module_utils import x\n",
    "plugins/modules/image_upload.py": (
        "from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Store\n"
    ),
    "plugins/modules/mac_jobs.py": "from ansible_collections.macops.parallels.plugins.module_utils._jobs import job\n",
    "tests/support/https_store.py": "",
    "tests/unit/conftest.py": "",
    "tests/unit/plugins/conftest.py": "from ansible_collections.macops.parallels.tests.support import https_store\n",
    "tests/unit/plugins/modules/test_image_upload.py": (
        "from ansible_collections.macops.parallels.plugins.modules import image_upload\n"
    ),
    "tests/unit/plugins/modules/test_mac_jobs.py": (
        "from ansible_collections.macops.parallels.plugins.modules import mac_jobs\n"
    ),
    "tests/unit/test_files.py": "ROOT = Path(__file__).parents[2]\n",
    "tests/integration/targets/setup_mac/tasks/main.yml": "macops.parallels.mac_info:\n",
    "tests/integration/targets/upload/tasks/main.yml": "macops.parallels.image_upload:\n",
    "tests/integration/targets/jobs/tasks/main.yml": "macops.parallels.mac_jobs:\n",
    "tests/integration/targets/jobs/aliases": "needs/target/setup_mac\n",
}
UPLOAD, JOBS, BY_PATH = (
    "tests/unit/plugins/modules/test_image_upload.py",
    "tests/unit/plugins/modules/test_mac_jobs.py",
    "tests/unit/test_files.py",
)


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("changed", "units", "targets"),
    [
        (HTTP, (UPLOAD, BY_PATH), ("upload",)),
        ("plugins/module_utils/_jobs/job.py", (JOBS, BY_PATH), ("jobs",)),
        ("plugins/modules/mac_jobs.py", (JOBS, BY_PATH), ("jobs",)),
        ("tests/unit/conftest.py", (UPLOAD, JOBS, BY_PATH), ()),
        ("tests/unit/plugins/conftest.py", (UPLOAD, JOBS, BY_PATH), ()),
        (UPLOAD, (UPLOAD, BY_PATH), ()),
        ("tests/integration/targets/setup_mac/tasks/main.yml", (BY_PATH,), ("jobs",)),
        ("roles/image/defaults/main.yml", (BY_PATH,), ()),
    ],
)
def test_imports_say_which_unit_tests_and_targets_a_change_reaches(tree, changed, units, targets):
    chosen = changes.choose([changed], tree)
    assert chosen.only_of("units-3.9") == units
    assert chosen.only_of("integration") == targets
    assert chosen.wants("integration") is bool(targets)


@pytest.mark.parametrize(
    ("changed", "wanted", "unwanted"),
    [
        ("docs/testing.md", {"lint", "sanity", "tools", "importer"}, {"scenario", "units-3.9", "integration"}),
        ("roles/image/tasks/main.yml", {"scenario", "smoke-2.16", "units-3.13", "lint"}, {"stores", "page"}),
        (HTTP, {"scenario", "security", "stores", "smoke-2.21", "importer"}, {"page", "simulator"}),
        ("plugins/module_utils/_records/page_style.py", {"page", "scenario"}, {"simulator"}),
        ("tests/support/awx/server.py", {"awx", "lint"}, {"scenario", "stores", "units-3.13"}),
        ("tests/stores/test_s3.py", {"stores", "lint"}, {"scenario", "security"}),
        ("tests/security/test_other_user.py", {"security", "lint"}, {"scenario", "units-3.9"}),
    ],
)
def test_stages_that_a_folder_matters_to(tree, changed, wanted, unwanted):
    chosen = changes.choose([changed], tree)
    assert [stage for stage in sorted(wanted) if not chosen.wants(stage)] == []
    assert [stage for stage in sorted(unwanted) if chosen.wants(stage)] == []


@pytest.mark.parametrize("changed", ["Makefile", "galaxy.yml", "tests/tools/run_tests.py", "tests/support/x.py", "new"])
def test_what_may_matter_anywhere_means_everything(tree, changed):
    chosen = changes.choose(["docs/testing.md", changed], tree)
    assert all(chosen.wants(stage.name) and not chosen.only_of(stage.name) for stage in STAGES)
    assert changed in chosen.why


def test_scenarios_that_changed_run_alone(tree):
    (tree / "tests" / "scenario").mkdir()
    (tree / "tests" / "scenario" / "test_a.py").touch()
    gone = "tests/scenario/test_gone.py"
    chosen = changes.choose(["tests/scenario/test_a.py", gone], tree)
    assert chosen.only_of("scenario") == ("tests/scenario/test_a.py",)
    assert changes.choose(["tests/scenario/test_a.py", "tests/scenario/conftest.py"], tree).only_of("scenario") == ()


def test_without_a_change_there_is_nothing_to_run(tree):
    chosen = changes.choose([], tree)
    assert not any(chosen.wants(stage.name) for stage in STAGES)


def test_every_stage_that_a_rule_names_is_one():
    names = {stage.name for stage in STAGES}
    named = {*changes.ALWAYS, *(stage for _pattern, stages in changes.RULES for stage in stages)}
    assert [name for name in named if name not in names and not any(n.startswith(f"{name}-") for n in names)] == []


def test_in_this_tree_the_lowest_code_reaches_nearly_all():
    graph = changes.Imports.of(ROOT)
    reached = graph.units_reached_by(["plugins/module_utils/_common/errors.py"])
    assert len(reached) > 40
    assert {"image_upload", "vm", "mac_info"} <= set(graph.targets_reached_by(["plugins/module_utils/_module.py"]))


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_changed_are_commits_since_main_what_is_not_committed_and_new_files(tmp_path):
    (tmp_path / "same").touch()
    (tmp_path / "edited").touch()
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "checkout", "-b", "work")
    (tmp_path / "committed").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "second")
    (tmp_path / "edited").write_text("x")
    (tmp_path / "ä new").touch()
    assert changes.changed_files(tmp_path) == ["committed", "edited", "ä new"]


def test_without_a_main_it_says_what_to_do(tmp_path):
    git(tmp_path, "init", "-b", "other")
    with pytest.raises(ToolError, match="without CHANGED"):
        changes.changed_files(tmp_path)
