# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of long work spoil no callback: people see them in its text, programs do not find them in their data."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import ansible_runner
import pytest

from support.fixtures import nightly

CALLBACKS = pathlib.Path(__file__).resolve().parents[1] / "support" / "stdout_callbacks"
LINE = "  [mac] Packing win11: 40%"
# An action that shows a line as the actions of long work do, without any.
ACTION = f"""
from ansible_collections.macops.parallels.plugins.plugin_utils._long_work import LongWork

class ActionModule(LongWork):
    def run(self, tmp=None, task_vars=None):
        self._show({LINE!r})
        return {{"changed": False}}
"""
PLAY = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"name": "Pack it", "pack": {}}]}]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "action_plugins").mkdir()
    (tmp_path / "action_plugins" / "pack.py").write_text(ACTION, encoding="utf-8")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "pack.py").touch()
    (tmp_path / "pack.yml").write_text(json.dumps(PLAY), encoding="utf-8")
    return tmp_path


@pytest.fixture
def environment(collections, project):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_ACTION_PLUGINS": str(project / "action_plugins"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(project / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def run(project, environment, program, *arguments):
    """Return the standard output and the standard error."""
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name(program), *arguments],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("callback", ["default", nightly("prose")])
def test_text_for_people_has_the_lines_in_it(project, environment, callback):
    out, err = run(project, {**environment, "ANSIBLE_STDOUT_CALLBACK": callback}, "ansible-playbook", "pack.yml")
    lines = out.splitlines()
    assert LINE in lines
    assert lines.index(LINE) > next(number for number, line in enumerate(lines) if line.startswith("TASK [Pack it]"))
    assert LINE not in err


def test_data_for_programs_stays_whole(project, environment):
    out, err = run(project, {**environment, "ANSIBLE_STDOUT_CALLBACK": "document"}, "ansible-playbook", "pack.yml")
    assert json.loads(out) == {"tasks": ["Pack it"], "hosts": ["localhost"]}
    assert LINE in err.splitlines()


@pytest.mark.nightly
@pytest.mark.parametrize("callback", ["minimal", "oneline"])
def test_one_line_for_each_result_stays_so(project, environment, callback):
    out, err = run(project, {**environment, "ANSIBLE_STDOUT_CALLBACK": callback}, "ansible-playbook", "pack.yml")
    assert "Packing" not in out
    assert LINE in err.splitlines()


@pytest.mark.nightly
def test_a_single_command(project, environment):
    """C(ansible) has a callback of its own, whatever the configuration says of playbooks."""
    out, err = run(project, environment, "ansible", "localhost", "-m", "pack", "-M", "library")
    assert out.startswith("localhost | SUCCESS")
    assert "Packing" not in out
    assert LINE in err.splitlines()


@pytest.mark.parametrize("callback", [nightly(""), "document"])
def test_events_of_ansible_runner(project, environment, callback):
    """Which AWX shows: each line is an event, whatever callback was asked for."""
    chosen = {"ANSIBLE_STDOUT_CALLBACK": callback} if callback else {}
    (project / "inventory").write_text("localhost ansible_connection=local\n", encoding="utf-8")
    ended = ansible_runner.run(
        private_data_dir=str(project),
        project_dir=str(project),
        playbook="pack.yml",
        inventory=str(project / "inventory"),
        envvars={**environment, **chosen, "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin"},
        quiet=True,
    )
    assert ended.status == "successful", ended.stdout.read()
    events = list(ended.events)
    assert [event["stdout"] for event in events if event["event"] == "verbose"] == [LINE]
    assert [event["event_data"]["task"] for event in events if event["event"] == "runner_on_ok"] == ["Pack it"]
