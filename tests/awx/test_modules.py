# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of awx.awx with the stand-in: what they report of a second run and in check mode, as with AWX itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from support.awx import ADMIN, PASSWORD, Awx
from support.awx.example import FILES, SURVEY
from support.awx.recorded import recorded
from support.playbook import PlaybookRun

SECRET = "secret-of-the-tests"
WEBHOOK = {"url": "http://127.0.0.1:9/", "headers": {}, "http_method": "POST", "disable_ssl_verification": False}
ASKING = {**SURVEY, "spec": [SURVEY["spec"][1] | {"default": SECRET}]}
JOB = {"project": "Images", "organization": "Mac Ops", "inventory": "Macs", "playbook": "job.yml"}
NODE = {"workflow": "Nodes", "organization": "Mac Ops"}
APPROVAL = {"name": "Publish?", "description": "Look.", "timeout": 900}


@dataclasses.dataclass(frozen=True)
class Call:
    """A task: whether it changes something in the first run, and again in a second; and what it says in check mode."""

    module: str
    arguments: dict[str, Any]
    first: bool = True
    again: bool = False
    check: bool | None = None
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.module


# What AWX and awx.awx 24.6.1 do together (recorded: second run).
CALLS = (
    Call("organization", {"name": "Mac Ops", "galaxy_credentials": ["Ansible Galaxy"]}),
    Call(
        "credential_type",
        {
            "name": "Store",
            "kind": "cloud",
            "inputs": {"fields": [{"id": "token", "label": "T", "type": "string", "secret": True}]},
            "injectors": {"env": {"STORE_TOKEN": "{{ '{{ token }}' }}"}},
        },
    ),
    Call(
        "credential",
        {"name": "kept", "organization": "Mac Ops", "credential_type": "Store", "inputs": {"token": SECRET}}
        | {"update_secrets": False},
        name="credential whose secret is kept",
    ),
    Call(
        "credential",
        {"name": "sent", "organization": "Mac Ops", "credential_type": "Store", "inputs": {"token": SECRET}},
        again=True,
        name="credential with a secret",
    ),
    Call("execution_environment", {"name": "EE", "organization": "Mac Ops", "image": "quay.io/x/y:1.0"}),
    Call("project", {"name": "Images", "organization": "Mac Ops", "scm_type": "git", "scm_url": "{{ repository }}"}),
    Call(
        "project_update",
        {"name": "Images", "organization": "Mac Ops", "interval": 0.1, "timeout": 60},
        first=False,
        check=True,
    ),
    Call("inventory", {"name": "Macs", "organization": "Mac Ops", "kind": ""}),
    Call("inventory", {"name": "Others", "organization": "Mac Ops"}, check=True, name="inventory without a kind"),
    Call("host", {"name": "mac1", "inventory": "Macs", "variables": {"a": 1}}),
    Call("group", {"name": "build_macs", "inventory": "Macs", "hosts": ["mac1"]}),
    Call(
        "inventory_source",
        {"name": "Project", "inventory": "Macs", "source": "scm", "source_project": "Images"}
        | {"source_path": "inventory/hosts.yml", "overwrite": True},
    ),
    Call("label", {"name": "L", "organization": "Mac Ops"}),
    Call(
        "notification_template",
        {"name": "N", "organization": "Mac Ops", "notification_type": "webhook", "notification_configuration": WEBHOOK},
    ),
    Call(
        "notification_template",
        {"name": "Secret", "organization": "Mac Ops", "notification_type": "webhook"}
        | {"notification_configuration": WEBHOOK | {"password": SECRET}},
        again=True,
        name="notification with a secret",
    ),
    Call(
        "job_template",
        {"name": "Build", **JOB, "credentials": ["kept"], "labels": ["L"], "notification_templates_error": ["N"]}
        | {"survey_enabled": True, "survey_spec": SURVEY, "extra_vars": {"a": 1}},
    ),
    Call(
        "job_template",
        {"name": "Asking", **JOB, "survey_enabled": True, "survey_spec": ASKING},
        again=True,
        name="template with a password as a default",
    ),
    Call(
        "workflow_job_template",
        {"name": "In one", "organization": "Mac Ops"}
        | {
            "workflow_nodes": [
                {
                    "identifier": "approve",
                    "unified_job_template": {
                        "name": "A",
                        "type": "workflow_approval",
                        "timeout": 9,
                        "description": "d",
                    },
                }
            ]
        },
        again=True,
        name="workflow with its approval",
    ),
    Call(
        "workflow_job_template", {"name": "Nodes", "organization": "Mac Ops", "notification_templates_approvals": ["N"]}
    ),
    Call("workflow_job_template_node", {**NODE, "identifier": "build", "unified_job_template": "Build"}, name="node"),
    Call("workflow_job_template_node", {**NODE, "identifier": "approve", "approval_node": APPROVAL}, name="approval"),
    Call(
        "workflow_job_template_node",
        {**NODE, "identifier": "approve", "success_nodes": ["build"]},
        name="link of the approval",
    ),
    Call(
        "schedule",
        {"name": "Weekly", "unified_job_template": "Nodes"}
        | {"rrule": "DTSTART;TZID=Europe/Berlin:20270101T030000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=MO"},
    ),
    Call("team", {"name": "T", "organization": "Mac Ops"}),
    Call("user", {"username": "bob", "password": SECRET, "organization": "Mac Ops", "update_secrets": False}),
    Call("user", {"username": "eve", "password": SECRET}, again=True, name="user with a password"),
    Call("role", {"team": "T", "role": "execute", "job_templates": ["Build"]}),
    Call("role", {"users": ["bob"], "role": "approval", "workflows": ["Nodes"]}, name="role of a user"),
    Call("settings", {"settings": {"SESSION_COOKIE_AGE": 1801}}),
)


class Modules:
    """Runs tasks with modules of awx.awx."""

    def __init__(self, play: Any, awx: Awx, folder: Path, **variables: Any) -> None:
        self._play, self._awx, self._folder, self._variables = play, awx, folder, variables

    def run(self, calls: tuple[Call, ...], **options: Any) -> PlaybookRun:
        account = {"controller_host": self._awx.url, "controller_username": ADMIN, "controller_password": PASSWORD}
        tasks = [{"name": call.title, f"awx.awx.{call.module}": call.arguments} for call in calls]
        book = {"name": "Configure", "hosts": "all", "gather_facts": False, "tasks": tasks}
        book["module_defaults"] = {"group/awx.awx.controller": account}
        path = self._folder / "playbook.yml"
        path.write_text(json.dumps([book]), encoding="utf-8")
        hosts = {
            "localhost": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        }
        # awx.awx is in the package of all collections.
        found = {"ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "true"}
        return self._play(path, hosts, self._variables, environment=found, **options)


@pytest.mark.nightly
def test_second_runs_and_check_mode_report_what_they_do_with_awx(
    play: Any, awx: Awx, tmp_path: Path, make_repository: Any
) -> None:
    modules = Modules(play, awx, tmp_path, repository=str(make_repository(FILES)))
    first = modules.run(CALLS)
    assert first.rc == 0, first.messages
    assert {task.name for task in first.changed} == {call.title for call in CALLS if call.first}
    second = modules.run(CALLS)
    assert second.rc == 0, second.messages
    assert [task.name for task in second.changed] == [call.title for call in CALLS if call.again]
    checked = modules.run(CALLS, arguments=("--check",))
    wanted = [call.title for call in CALLS if (call.again if call.check is None else call.check)]
    assert [task.name for task in checked.changed] == wanted
    # What the modules asked is what they asked AWX.
    known = {(call["method"], call["path"], status) for call in recorded("calls") for status in call["status"]}
    assert sorted(set(awx.summary()) - known) == []


@pytest.mark.nightly
def test_what_fails_with_awx_fails_so(play: Any, awx: Awx, tmp_path: Path) -> None:
    modules = Modules(play, awx, tmp_path)
    before = (
        Call("organization", {"name": "Mac Ops"}),
        Call("workflow_job_template", {"name": "Nodes", "organization": "Mac Ops"}),
        Call("workflow_job_template_node", {**NODE, "identifier": "last", "success_nodes": []}),
    )
    both = {**NODE, "identifier": "approve", "approval_node": APPROVAL, "success_nodes": ["last"]}
    run = modules.run((*before, Call("workflow_job_template_node", both, name="approval with a link")))
    run.assert_failed("The requested object could not be found at /api/v2/workflow_approval_templates/")
    awx.faults.project_update = "failed"
    project = {"name": "Images", "organization": "Mac Ops", "scm_type": "git", "scm_url": "/nowhere"}
    modules.run((Call("project", project),)).assert_failed("Project update failed")
    # The second run does not see it.
    assert modules.run((Call("project", project),)).rc == 0
    wrong = {"controller_password": "wrong"}
    modules.run((Call("team", {"name": "T", "organization": "Mac Ops", **wrong}),)).assert_failed("Failed to get token")
