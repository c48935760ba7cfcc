# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of AWX: the form of its answers, what runs in it, who may do what, and its faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support.awx import ADMIN, PASSWORD, Awx, Client
from support.awx.example import FILES, Example
from support.awx.jobs import Outcome
from support.awx.projects import inventories_in, playbooks_in
from support.awx.recorded import recorded
from support.waiting import wait_until


@pytest.fixture(scope="session")
def repository(make_repository: Any) -> Path:
    return make_repository(FILES)


@pytest.fixture
def example(awx: Awx, repository: Path) -> Example:
    return Example(awx.admin, repository)


# What an answer has beside the fields only when something has run, or was set.
AT_TIMES = {
    "next_schedule",
    "last_job",
    "last_job_host_summary",
    "last_update",
    "current_job",
    "current_update",
    "organization",
    "inventory",
    "execution_environment",
    "default_environment",
    "survey",
    "webhook_receiver",
    "recent_jobs",
    "created_by",
    "modified_by",
    # Not of slices.
    "notifications",
}


def shown(example: Example) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of recorded examples, and the same of the stand-in."""
    admin = example.admin
    organization = example.organization["id"]
    host = admin.post("hosts", name="host", inventory=example.inventory["id"])
    admin.post(f"job_templates/{example.template['id']}/schedules", name="S", rrule=RULE, extra_data={"vm_name": "x"})
    label = admin.post("labels", name="L", organization=organization)
    admin.post(f"job_templates/{example.template['id']}/labels", id=label["id"])
    yield "label", label
    yield "host", host
    yield "group", admin.post("groups", name="group", inventory=example.inventory["id"])
    yield "team", admin.post("teams", name="T", organization=organization)
    user = admin.post("users", username="user", password="password-of-user")
    yield "user", user
    yield "me", admin.get("me")["results"][0]
    configuration = {"url": "http://127.0.0.1:9/", "headers": {}}
    notification = {"notification_type": "webhook", "notification_configuration": configuration}
    yield (
        "notification_template",
        admin.post("notification_templates", name="N", organization=organization, **notification),
    )
    yield "schedule", admin.one("schedules", name="S")
    yield "list_organization", admin.one("organizations", name=example.organization["name"])
    for name, made in (
        ("credential_type", example.credential_type),
        ("credential", example.credential),
        ("execution_environment", example.environment),
        ("inventory", example.inventory),
        ("inventory_source", example.source),
        ("project", example.project),
        ("job_template", example.template),
        ("workflow_job_template", example.workflow),
    ):
        yield name, admin.one(made["url"].split("/")[3], id=made["id"])
    node = admin.get(example.nodes["approve"]["url"])
    yield "workflow_node", node
    yield "workflow_approval_template", admin.get(node["related"]["unified_job_template"])
    roles = admin.get(example.template["url"])["summary_fields"]["object_roles"]
    yield "role", admin.get(f"roles/{roles['admin_role']['id']}")
    yield "object_roles", admin.all(f"job_templates/{example.template['id']}/object_roles")[0]
    definition = admin.one("role_definitions", name="JobTemplate Execute")
    yield "role_definition", definition
    assignment = {"role_definition": definition["id"], "object_id": str(example.template["id"]), "user": user["id"]}
    yield "role_user_assignment", admin.post("role_user_assignments", **assignment)
    yield "token_201", admin.post("tokens", description="", scope="write")
    yield "ping", admin.get("ping")
    yield "survey_spec", admin.get(f"job_templates/{example.template['id']}/survey_spec")
    yield "schedule_preview", admin.post("schedules/preview", rrule=RULE)
    yield "launch_GET_job_template", admin.get(f"job_templates/{example.template['id']}/launch")
    yield "launch_GET_workflow", admin.get(f"workflow_job_templates/{example.workflow['id']}/launch")
    launched = admin.post(f"job_templates/{example.template['id']}/launch", extra_vars={"vm_name": "x"})
    yield "launch_response", launched
    yield "job", example.wait("jobs", launched["job"])
    launched = admin.post(f"workflow_job_templates/{example.workflow['id']}/launch")
    yield "workflow_launch_response", launched
    pending = wait_until(lambda: admin.all("workflow_approvals", status="pending"))
    yield "workflow_approval_pending", admin.get(pending[0]["url"])
    yield "workflow_node_a", admin.one("workflow_job_nodes", workflow_job=launched["id"], identifier="build")
    yield "workflow_job", admin.get(f"workflow_jobs/{launched['id']}")
    sliced = example.new_template("Sliced", job_slice_count=2)
    yield "launch_sliced", admin.post(f"job_templates/{sliced['id']}/launch")
    yield "project_update", admin.all("project_updates")[0]


RULE = "DTSTART:20270101T030000Z RRULE:FREQ=DAILY;INTERVAL=1"


def test_answers_have_the_form_of_those_of_awx(example: Example) -> None:
    wrong = []
    for name, answer in shown(example):
        wanted = recorded("shapes")[name]
        pairs = [("", wanted["keys"], answer)]
        pairs += [(f".{part}", wanted[part], answer[part]) for part in ("related", "summary_fields") if part in wanted]
        for part, keys, found in pairs:
            missing, more = set(keys) - set(found), set(found) - set(keys)
            if part:
                missing, more = missing - AT_TIMES, more - AT_TIMES
            if missing or more:
                wrong.append(f"{name}{part}: lacks {sorted(missing)}, has {sorted(more)}")
    assert not wrong, "\n".join(wrong)


def test_the_queries_of_the_modules_are_answered(example: Example) -> None:
    """Each list that awx.awx asked, with the fields that it asked by."""
    numbers = ("id", "or__id", "page_size", "object_id")
    fields = {"organization", "inventory", "credential_type", "role_definition", "user"}
    fields |= {"workflow_job_template", "unified_job_template"}
    wrong = []
    for call in recorded("calls"):
        if call["method"] != "GET" or "N" in call["path"].split("/") or call["status"] != [200]:
            continue
        query = {name: 1 if name in numbers or name in fields else "x" for name in call["query"]}
        status, answer = example.admin.request("GET", f"{call['path']}?{urlencode(query)}")
        if status != 200:
            wrong.append(f"{call['path']} {query}: {status} {answer}")
    assert not wrong, "\n".join(wrong)


def test_lists_are_filtered_as_asked(example: Example) -> None:
    admin, template = example.admin, example.template["id"]
    label = admin.post("labels", name="nightly", organization=example.organization["id"])["id"]
    admin.post(f"job_templates/{template}/labels", id=label)
    other = str(example.verify["id"])

    def names(**query: Any) -> list[str]:
        return [found["name"] for found in admin.all("job_templates", **query)]

    assert names() == ["Build", "Verify"]
    assert names(order_by="-name") == ["Verify", "Build"]
    assert names(labels__name="nightly") == names(labels=label) == names(credentials__name="store") == ["Build"]
    assert names(project__name="Images", name__icontains="VER") == ["Verify"]
    assert names(id__in=f"{template},{other}", not__name="Build") == ["Verify"]
    assert names(or__name="Build", or__id=other) == ["Build", "Verify"]
    assert names(survey_enabled="true") == ["Build"]
    first = admin.get("job_templates", page_size=1)
    assert first["count"] == 2
    assert [each["name"] for each in admin.get(first["next"])["results"]] == ["Verify"]
    status, answer = admin.request("GET", "/api/v2/job_templates/?project__nonsense=1")
    assert (status, answer) == (400, {"detail": "Project has no field named 'nonsense'"})


# The files of a project, from the rules of what AWX offers: by what is in them, and by their folders.
PLAY = "- hosts: all\n"
OFFERED = {
    ".dot.yml": PLAY,
    "_under.yml": PLAY,
    "broken.yml": "- hosts: all\n  tasks: [\n",
    "collections/cc.yml": PLAY,
    "fq.yml": "- ansible.builtin.import_playbook: job.yml\n",
    "imp.yml": "- import_playbook: job.yml\n",
    "indent.yml": "x:\n    - hosts: all\n",
    "inventory/static.yml": "all:\n  children:\n    macs:\n      hosts:\n        mac1:\n",
    "meta/m.yml": PLAY,
    "playbooks/b.yaml": "- name: Play\n  hosts: all\n",
    "playbooks/sub/c.yml": PLAY,
    "tests/t.yml": PLAY,
    "vaulted.yml": "$ANSIBLE_VAULT;1.1;AES256\n6130\n",
    "vars/vv.yml": "hosts: all\n",
}
NOT_OFFERED = {
    ".hidden/h.yml": PLAY,
    "group_vars/all.yml": PLAY,
    "host_vars/mac1.yml": PLAY,
    "job.txt": PLAY,
    "quoted.yml": '- "hosts": all\n',
    "roles/r/tests/test.yml": PLAY,
    "tasks/main.yml": PLAY,
    "vars/plain.yml": "a: 1\n",
}
INVENTORIES = {"inventory/hosts.ini": "mac1\n", "other/hosts": "mac1\n", "macs": "[macs]\nmac1\n"}


def test_a_project_offers_the_playbooks_and_inventories_that_awx_would(tmp_path: Path) -> None:
    for name, content in {**OFFERED, **NOT_OFFERED, **INVENTORIES}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "link.yml").symlink_to("imp.yml")
    assert playbooks_in(tmp_path) == sorted(OFFERED)
    assert inventories_in(tmp_path) == sorted(INVENTORIES)


def test_a_template_has_a_playbook_of_the_project_only_after_an_update(awx: Awx, repository: Path) -> None:
    awx.faults.project_update = "failed"
    admin = awx.admin
    organization = admin.post("organizations", name="Mac Ops")["id"]
    project = {"name": "Images", "organization": organization, "scm_type": "git", "scm_url": str(repository)}
    made = admin.post("projects", **project)
    assert made["status"] == "pending"
    url = f"projects/{made['id']}"
    wait_until(lambda: admin.get(url)["status"] == "failed")
    inventory = admin.post("inventories", name="Macs", organization=organization)["id"]
    template = {"name": "Build", "project": made["id"], "playbook": "job.yml", "inventory": inventory}
    status, answer = admin.request("POST", "/api/v2/job_templates/", template)
    assert (status, answer) == (400, {"playbook": ["Playbook not found for project."]})
    source = {"name": "S", "inventory": inventory, "source": "scm", "source_project": made["id"], "source_path": "x"}
    source = admin.post("inventory_sources", **source)
    status, answer = admin.request("POST", f"{source['url']}update/", {})
    assert (status, answer) == (400, {"__all__": ["Missing a revision to run due to failed project update."]})
    awx.faults.project_update = None
    update = admin.post(f"{url}/update")
    wait_until(lambda: admin.get(f"project_updates/{update['project_update']}")["finished"])
    assert len(admin.get(url)["scm_revision"]) == 40
    assert admin.get(f"{url}/playbooks") == ["inventory/hosts.yml", "job.yml"]
    assert admin.post("job_templates", **template)["organization"] == organization


def test_an_update_that_hangs_can_be_canceled(awx: Awx, repository: Path) -> None:
    awx.faults.project_update = "hangs"
    admin = awx.admin
    project = admin.post("projects", name="Images", organization=1, scm_type="git", scm_url=str(repository))
    wait_until(lambda: admin.get(f"projects/{project['id']}")["status"] == "running")
    (update,) = admin.all("project_updates")
    assert admin.get(f"project_updates/{update['id']}")["finished"] is None
    assert admin.get(f"project_updates/{update['id']}/cancel") == {"can_cancel": True}
    status, answer = admin.request("DELETE", update["url"])
    assert (status, answer) == (403, {"detail": "Cannot delete running job resource."})
    admin.post(f"project_updates/{update['id']}/cancel")
    assert admin.get(f"projects/{project['id']}")["status"] == "canceled"
    assert admin.request("POST", f"{update['url']}cancel/", {})[0] == 405


def test_a_repository_that_is_not_there_fails(awx: Awx, tmp_path: Path) -> None:
    admin = awx.admin
    missing = str(tmp_path / "missing")
    project = admin.post("projects", name="Images", organization=1, scm_type="git", scm_url=missing)
    wait_until(lambda: admin.get(f"projects/{project['id']}")["status"] == "failed")


def test_an_inventory_comes_from_the_files_of_the_project(
    example: Example, make_repository: Any, repository: Path
) -> None:
    admin = example.admin
    update = admin.post(f"inventory_sources/{example.source['id']}/update")
    example.wait("inventory_updates", update["inventory_update"])
    hosts = {host["name"]: host["variables"] for host in admin.all("hosts", inventory=example.inventory["id"])}
    assert hosts == {"mac1": '{"a": "text"}', "mac2": "{}"}
    group = admin.one("groups", name="build_macs", inventory=example.inventory["id"])
    assert [host["name"] for host in admin.all(f"groups/{group['id']}/hosts")] == ["mac1", "mac2"]
    revision = admin.get(example.project["url"])["scm_revision"]
    assert admin.get(f"inventory_updates/{update['inventory_update']}")["scm_revision"] == revision
    # A file that is not there fails only now.
    admin.patch(f"inventory_sources/{example.source['id']}", source_path="inventory/missing.yml")
    update = admin.post(f"inventory_sources/{example.source['id']}/update")
    example.wait("inventory_updates", update["inventory_update"], "failed")


def test_a_job_has_the_variables_in_the_order_of_awx(awx: Awx, example: Example) -> None:
    admin = example.admin
    admin.patch(f"job_templates/{example.template['id']}", extra_vars="vm_name: template\nfixed: template")
    answers = {"vm_name": "survey", "other": "launch"}
    launched = admin.post(f"job_templates/{example.template['id']}/launch", extra_vars=answers, limit="mac1")
    assert launched["ignored_fields"] == {"extra_vars": {"other": "launch"}, "limit": "mac1"}
    job = example.wait("jobs", launched["job"])
    assert job["extra_vars"] == '{"vm_name": "survey", "fixed": "template", "pw": ""}'
    assert job["limit"] == ""


def test_a_job_whose_credential_lacks_something_is_not_started(awx: Awx, example: Example) -> None:
    admin = example.admin
    inputs = example.credential_type["inputs"] | {"required": ["token", "url"]}
    kind = admin.post("credential_types", name="Strict", kind="cloud", inputs=inputs)
    owner = {"organization": example.organization["id"], "credential_type": kind["id"]}
    credential = admin.post("credentials", name="lacking", **owner, inputs={"url": "x"})
    admin.post(f"job_templates/{example.verify['id']}/credentials", id=credential["id"])
    launched = admin.post(f"job_templates/{example.verify['id']}/launch")
    job = example.wait("jobs", launched["job"], "error")
    assert "Credential lacking does not provide one or more required fields (token)" in job["job_explanation"]


class Run:
    """A workflow of build, approval, verify that has been launched."""

    def __init__(self, awx: Awx, example: Example, **variables: Any) -> None:
        self.admin, self.example = example.admin, example
        launched = self.admin.post(f"workflow_job_templates/{example.workflow['id']}/launch", extra_vars=variables)
        self.id = launched["workflow_job"]
        assert launched["status"] == "pending"

    def approval(self) -> str:
        """Return the endpoint of the approval, once it is asked for."""
        (pending,) = wait_until(lambda: self.admin.all("workflow_approvals", status="pending"))
        return f"workflow_approvals/{pending['id']}"

    def ended(self, status: str) -> dict[str, Any]:
        return self.example.wait("workflow_jobs", self.id, status)

    def node(self, identifier: str) -> dict[str, Any]:
        return self.admin.one(f"workflow_jobs/{self.id}/workflow_nodes", identifier=identifier)


def test_a_workflow_waits_for_its_approval_and_hands_statistics_on(awx: Awx, example: Example) -> None:
    awx.jobs.run_job = lambda job: Outcome(artifacts={"image_records": ["one"]} if job["name"] == "Build" else {})
    run = Run(awx, example, from_launch=1)
    approval = run.approval()
    assert run.node("verify")["job"] is None
    run.admin.post(f"{approval}/approve")
    status, answer = run.admin.request("POST", f"/api/v2/{approval}/approve/", {})
    assert (status, answer) == (400, {"error": "This workflow step has already been approved or denied."})
    run.ended("successful")
    job = run.admin.get(f"jobs/{run.node('verify')['job']}")
    # The workflow's own variables reach each job, though the template does not ask for any.
    assert job["extra_vars"] == '{"image_records": ["one"], "from_launch": 1}'


def test_what_is_denied_does_not_go_on(awx: Awx, example: Example) -> None:
    run = Run(awx, example)
    run.admin.post(f"{run.approval()}/deny")
    ended = run.ended("failed")
    assert ended["job_explanation"] == "No error handling paths found, marking workflow as failed"
    assert run.node("verify")["do_not_run"] is True


def test_what_runs_in_a_canceled_workflow_is_canceled(awx: Awx, example: Example) -> None:
    run = Run(awx, example)
    approval = run.approval()
    run.admin.post(f"workflow_jobs/{run.id}/cancel")
    assert run.admin.get(approval)["status"] == "canceled"
    assert run.ended("canceled")["failed"] is True


def test_a_failed_job_asks_for_no_approval(awx: Awx, example: Example) -> None:
    awx.jobs.run_job = lambda job: Outcome("failed")
    run = Run(awx, example)
    run.ended("failed")
    assert run.node("approve")["do_not_run"] is True
    assert run.admin.all("workflow_approvals") == []


def test_a_failure_that_is_handled_is_none_of_the_workflow(awx: Awx, example: Example) -> None:
    awx.jobs.run_job = lambda job: Outcome("failed" if job["name"] == "Build" else "successful")
    node = {"workflow_job_template": example.workflow["id"], "unified_job_template": example.verify["id"]}
    clean = example.admin.post("workflow_job_template_nodes", **node, identifier="clean")
    example.admin.post(f"workflow_job_template_nodes/{example.nodes['build']['id']}/failure_nodes", id=clean["id"])
    run = Run(awx, example)
    run.ended("successful")
    assert run.node("clean")["job"] is not None


def test_a_workflow_whose_template_is_gone_fails(awx: Awx, example: Example) -> None:
    example.admin.delete(f"job_templates/{example.template['id']}")
    assert example.admin.get(example.nodes["build"]["url"])["unified_job_template"] is None
    Run(awx, example).ended("failed")


def test_a_sliced_job_is_a_workflow_with_a_part_of_the_hosts_each(awx: Awx, example: Example) -> None:
    admin = example.admin
    for name in ("mac1", "mac2", "mac3"):
        admin.post("hosts", name=name, inventory=example.inventory["id"])
    sliced = example.new_template("Sliced", job_slice_count=2)
    launched = admin.post(f"job_templates/{sliced['id']}/launch")
    example.wait("workflow_jobs", launched["workflow_job"])
    nodes = admin.all(f"workflow_jobs/{launched['workflow_job']}/workflow_nodes")
    jobs = [admin.get(f"jobs/{node['job']}") for node in nodes]
    assert [(node["identifier"], job["job_slice_number"]) for node, job in zip(nodes, jobs, strict=True)] == [
        ("", 1),
        ("", 2),
    ]


# Rights

PASSWORD_OF_ALL = "password-of-somebody"


class People:
    """Users of the example's organization, each with one role."""

    def __init__(self, awx: Awx, example: Example) -> None:
        self._awx, self._example = awx, example

    def with_role(self, username: str, of: dict[str, Any] | None, role: str = "", team: bool = False) -> Client:
        """Return a client of a new user, with a role of an object; or who only belongs to the organization."""
        admin, organization = self._example.admin, self._example.organization["id"]
        user = admin.post(f"organizations/{organization}/users", username=username, password=PASSWORD_OF_ALL)
        if of is not None:
            roles = admin.get(of["url"])["summary_fields"]["object_roles"]
            member = ("users", user["id"])
            if team:
                made = admin.post("teams", name=f"team of {username}", organization=organization)
                admin.post(f"teams/{made['id']}/users", id=user["id"])
                member = ("teams", made["id"])
            admin.post(f"roles/{roles[f'{role}_role']['id']}/{member[0]}", id=member[1])
        return self._awx.client(username, PASSWORD_OF_ALL)


@pytest.fixture
def people(awx: Awx, example: Example) -> People:
    return People(awx, example)


@pytest.mark.parametrize("team", [False, True], ids=["user", "team"])
def test_who_may_only_execute_can_launch_and_nothing_else(
    awx: Awx, example: Example, people: People, team: bool
) -> None:
    worker = people.with_role("worker", example.template, "execute", team=team)
    own = example.template["url"]
    answers = {"vm_name": "x"}
    wanted = {
        ("GET", own): 200,
        ("POST", f"{own}launch/"): 201,
        ("PATCH", own): 403,
        ("DELETE", own): 403,
        ("POST", f"{own}survey_spec/"): 403,
        ("POST", f"{own}credentials/"): 403,
        ("GET", example.credential["url"]): 403,
        ("GET", example.verify["url"]): 403,
        ("POST", f"{example.verify['url']}launch/"): 403,
        ("POST", f"{example.workflow['url']}launch/"): 403,
        ("POST", f"{example.project['url']}update/"): 403,
        ("GET", "/api/v2/settings/all/"): 403,
    }
    body = {"name": "mine", "extra_vars": answers, "id": example.credential["id"]}
    got = {asked: worker.request(*asked, body if asked[0] != "GET" else None)[0] for asked in wanted}
    assert got == wanted
    assert [found["name"] for found in worker.all("job_templates")] == ["Build"]


CREATED = {
    "organizations": {"name": "x"},
    "credential_types": {"name": "x", "kind": "cloud"},
    "projects": {"name": "x", "organization": 2},
    "inventories": {"name": "x", "organization": 2},
    "credentials": {"name": "x", "organization": 2, "credential_type": 1, "inputs": {}},
    "execution_environments": {"name": "x", "organization": 2, "image": "a/b"},
    "workflow_job_templates": {"name": "x", "organization": 2},
    "teams": {"name": "x", "organization": 2},
    "notification_templates": {
        "name": "x",
        "organization": 2,
        "notification_type": "webhook",
        "notification_configuration": {"url": "http://127.0.0.1:9/", "headers": {}},
    },
}
# By the role of the organization, what may be made with it.
MAY_MAKE = {
    "member": set(),
    "admin": set(CREATED) - {"organizations", "credential_types"},
    "project_admin": {"projects"},
    "inventory_admin": {"inventories"},
    "credential_admin": {"credentials"},
    "workflow_admin": {"workflow_job_templates"},
    "notification_admin": {"notification_templates"},
    "execution_environment_admin": {"execution_environments"},
}


def test_the_roles_of_an_organization_allow_to_make_what_they_say(awx: Awx, example: Example, people: People) -> None:
    for role, allowed in MAY_MAKE.items():
        user = people.with_role(f"user-{role}", example.organization, role)
        made = set()
        for endpoint, body in CREATED.items():
            status, _answer = user.request("POST", f"/api/v2/{endpoint}/", body | {"name": f"{role} {endpoint}"})
            assert status in (201, 403), f"{role} {endpoint}: {status} {_answer}"
            if status == 201:
                made.add(endpoint)
        assert made == allowed, role


def test_only_who_may_approve_does(awx: Awx, example: Example, people: People) -> None:
    worker = people.with_role("worker", example.workflow, "execute")
    approver = people.with_role("approver", example.workflow, "approval", team=True)
    run = Run(awx, example)
    approval = f"/api/v2/{run.approval()}/approve/"
    assert worker.request("POST", approval, {})[0] == 403
    assert approver.request("POST", f"{example.workflow['url']}launch/", {})[0] == 403
    assert approver.request("POST", approval, {})[0] == 204
    run.ended("successful")


def test_who_asks_with_what(awx: Awx) -> None:
    admin = awx.admin
    token = admin.post("tokens", description="", scope="write")
    assert admin.get(token["url"])["token"] != token["token"]
    bearer = Client(awx.url, token=token["token"])
    assert bearer.get("me")["results"][0]["username"] == ADMIN
    admin.delete(token["url"])
    assert bearer.request("GET", "/api/v2/me/")[0] == 401
    assert awx.client(ADMIN, PASSWORD + "x").request("POST", "/api/v2/tokens/", {})[0] == 401
    assert Client(awx.url).request("GET", "/api/v2/ping/")[0] == 200


# Faults


def test_faults_are_what_they_say(awx: Awx) -> None:
    admin = awx.admin
    admin.get("organizations")
    assert admin.headers["X-API-Product-Version"] == "24.6.2.dev0"
    awx.faults.version = "25.0.0"
    admin.get("organizations")
    assert admin.headers["X-API-Product-Version"] == "25.0.0"
    awx.faults.version = None
    awx.faults.statuses = [("POST", "/projects/", 502)]
    assert admin.request("POST", "/api/v2/projects/", {})[0] == 502
    assert admin.request("GET", "/api/v2/projects/")[0] == 200
    assert "X-API-Product-Version" not in admin.headers


def test_the_name_of_a_deleted_inventory_is_free_after_a_while(awx: Awx) -> None:
    awx.faults.deletion_seconds = 3600.0
    admin = awx.admin
    made = admin.post("inventories", name="Macs", organization=1)
    assert admin.request("DELETE", made["url"])[0] == 202
    assert admin.request("GET", made["url"])[0] == 404
    status, answer = admin.request("POST", "/api/v2/inventories/", {"name": "Macs", "organization": 1})
    assert (status, answer) == (400, {"__all__": ["Inventory with this Name and Organization already exists."]})
    awx.faults.deletion_seconds = 0.0
    admin.post("inventories", name="Macs", organization=1)


def test_what_goes_with_an_organization_and_what_stays(awx: Awx, example: Example) -> None:
    admin = example.admin
    admin.delete(example.organization["url"])
    assert admin.request("GET", example.credential["url"])[0] == 404
    assert admin.request("GET", example.environment["url"])[0] == 404
    for stays in (example.project, example.inventory, example.workflow, example.template):
        assert admin.get(stays["url"])["organization"] is None
    assert admin.all(f"job_templates/{example.template['id']}/credentials") == []


def test_a_label_goes_with_the_last_that_has_it(awx: Awx, example: Example) -> None:
    admin, labels = example.admin, {}
    for name in ("taken off", "deleted with its template"):
        labels[name] = admin.post("labels", name=name, organization=example.organization["id"])["url"]
        admin.post(f"job_templates/{example.verify['id']}/labels", id=admin.get(labels[name])["id"])
    admin.post(
        f"job_templates/{example.verify['id']}/labels", id=admin.get(labels["taken off"])["id"], disassociate=True
    )
    assert [admin.request("GET", url)[0] for url in labels.values()] == [404, 200]
    admin.delete(example.verify["url"])
    assert [admin.request("GET", url)[0] for url in labels.values()] == [404, 404]


def test_a_job_gets_what_the_injectors_of_its_credentials_make(awx: Awx, example: Example, tmp_path: Path) -> None:
    launched = example.admin.post(f"job_templates/{example.template['id']}/launch", extra_vars={"vm_name": "x"})
    job = awx.database.get("job", launched["job"])
    assert job is not None
    (injected,) = awx.injected(job, tmp_path)
    assert injected.env == {"STORE_TOKEN": "secret-of-the-store", "STORE_URL": "https://store.example.com"}
    assert injected.shown_env["STORE_TOKEN"] == "**********"


def test_the_requests_are_summed_up(awx: Awx) -> None:
    awx.admin.get("organizations/1")
    awx.admin.get("organizations/1")
    awx.admin.request("GET", "/api/v2/nonsense/")
    wait_until(lambda: len(awx.seen) == 3)
    assert awx.summary() == {("GET", "/api/v2/organizations/N/", 200): 2, ("GET", "/api/v2/nonsense/", 404): 1}
    assert awx.printed_summary().splitlines() == [
        "    1 GET     /api/v2/nonsense/ 404",
        "    2 GET     /api/v2/organizations/N/ 200",
    ]
