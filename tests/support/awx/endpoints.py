# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is below an object: its actions, and the lists of what belongs to it (AWX 24.6.1, recorded)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import prompts, surveys
from .associations import ASSOCIATIONS, matching
from .database import Record
from .fields import Fields, Invalid, variables_of
from .kinds import KINDS
from .people import check_grant
from .projects import inventories_in
from .recorded import options
from .refusals import REQUIRED, Refusal, forbidden, invalid, no_such_method

if TYPE_CHECKING:
    from .server import Awx

NO_CONTENT = (204, b"")


@dataclasses.dataclass
class Asked:
    """A request for what is below an object, and who asks."""

    method: str
    body: dict[str, Any]
    query: dict[str, str]
    path: str
    user: Record


Answer = tuple[int, Any]
Action = Callable[["Awx", Record, Asked], Answer]

# By the kind of the object and the name below it: which methods it knows, and what it does.
ACTIONS: dict[tuple[str, str], tuple[tuple[str, ...], Action]] = {}


def action(name: str, *kinds: str, methods: tuple[str, ...] = ("GET", "POST")) -> Callable[[Action], Action]:
    """Let a function answer at a name below objects of these kinds."""

    def keep(function: Action) -> Action:
        for kind in kinds:
            ACTIONS[kind, name] = (methods, function)
        return function

    return keep


# Lists of what belongs to an object: the kind that is listed, and its field with the object.
LISTS = {
    ("organization", "projects"): ("project", "organization"),
    ("organization", "inventories"): ("inventory", "organization"),
    ("organization", "job_templates"): ("job_template", "organization"),
    ("organization", "workflow_job_templates"): ("workflow_job_template", "organization"),
    ("organization", "teams"): ("team", "organization"),
    ("organization", "credentials"): ("credential", "organization"),
    ("organization", "execution_environments"): ("execution_environment", "organization"),
    ("organization", "notification_templates"): ("notification_template", "organization"),
    ("inventory", "hosts"): ("host", "inventory"),
    ("inventory", "groups"): ("group", "inventory"),
    ("inventory", "inventory_sources"): ("inventory_source", "inventory"),
    ("inventory", "job_templates"): ("job_template", "inventory"),
    ("project", "project_updates"): ("project_update", "project"),
    ("project", "scm_inventory_sources"): ("inventory_source", "source_project"),
    ("inventory_source", "inventory_updates"): ("inventory_update", "inventory_source"),
    ("credential_type", "credentials"): ("credential", "credential_type"),
    ("job_template", "jobs"): ("job", "job_template"),
    ("job_template", "schedules"): ("schedule", "unified_job_template"),
    ("project", "schedules"): ("schedule", "unified_job_template"),
    ("inventory_source", "schedules"): ("schedule", "unified_job_template"),
    ("workflow_job_template", "schedules"): ("schedule", "unified_job_template"),
    ("workflow_job_template", "workflow_jobs"): ("workflow_job", "workflow_job_template"),
    ("workflow_job_template", "workflow_nodes"): ("workflow_job_template_node", "workflow_job_template"),
    ("workflow_job", "workflow_nodes"): ("workflow_job_node", "workflow_job"),
    ("workflow_approval_template", "approvals"): ("workflow_approval", "workflow_approval_template"),
}
# What may be changed and launched by whoever has which role.
SURVEYED = ("job_template", "workflow_job_template")


def answer_below(awx: Awx, record: Record, name: str, asked: Asked) -> Answer | None:
    """Return the answer of what is below an object; None where nothing is."""
    found = ACTIONS.get((record.kind, name))
    if found is not None:
        methods, function = found
        if asked.method not in methods:
            raise no_such_method(asked.method)
        return function(awx, record, asked)
    if name in ASSOCIATIONS.get(record.kind, {}):
        return _association(awx, record, name, asked)
    if (record.kind, name) in LISTS:
        kind, field = LISTS[record.kind, name]
        if asked.method == "POST":
            return awx.objects.create(kind, {**asked.body, field: record.id}, asked.user)
        if asked.method != "GET":
            raise no_such_method(asked.method)
        return 200, awx.filters.answer(
            kind, awx.database.find(kind, **{field: record.id}), asked.query, asked.path, asked.user
        )
    return None


def _association(awx: Awx, record: Record, name: str, asked: Asked) -> Answer:
    association = ASSOCIATIONS[record.kind][name]
    linked = record.linked(name)
    if asked.method == "GET":
        return 200, awx.filters.answer(association.kind, linked, asked.query, asked.path, asked.user)
    if asked.method != "POST":
        raise no_such_method(asked.method)
    if not awx.rights.may_change(asked.user, record):
        raise forbidden()
    if "id" not in asked.body:
        if not association.makes:
            raise Refusal(400, {"msg": "'id' field is missing."})
        status, shown = awx.objects.create(association.kind, asked.body, asked.user)
        other = awx.database.get(association.kind, shown["id"])
        assert other is not None
        association.check(awx, record, other)
        linked.append(other)
        return status, shown
    other = awx.database.get(association.kind, _number(asked.body["id"]))
    if other is None:
        raise matching(association.kind)
    if asked.body.get("disassociate"):
        if other in linked:
            linked.remove(other)
            awx.objects.forget_unused_labels([other])
        return NO_CONTENT
    if other.kind == "credential" and not awx.rights.has(asked.user, other, "use_role"):
        raise forbidden()
    association.check(awx, record, other)
    if other not in linked:
        linked.append(other)
    return NO_CONTENT


def _number(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0


@action("playbooks", "project", methods=("GET",))
def _playbooks(awx: Awx, record: Record, asked: Asked) -> Answer:
    return 200, awx.playbooks(record)


@action("inventories", "project", methods=("GET",))
def _inventories(awx: Awx, record: Record, asked: Asked) -> Answer:
    return 200, inventories_in(awx.checkout(record))


@action("update", "project", "inventory_source")
def _update(awx: Awx, record: Record, asked: Asked) -> Answer:
    if asked.method == "GET":
        return 200, {"can_update": bool(record["scm_type"] or record["source"])}
    awx.rights.check(asked.user, record, "update_role")
    if record.kind == "project":
        job = awx.jobs.updates.project(record, asked.user)
    else:
        job = awx.jobs.updates.inventory(record, asked.user)
    return 202, {job.kind: job.id, **awx.show(job, asked.user)}


@action("survey_spec", *SURVEYED, methods=("GET", "POST", "DELETE"))
def _survey(awx: Awx, record: Record, asked: Asked) -> Answer:
    if asked.method == "GET":
        return 200, surveys.shown(record["survey_spec"] or {})
    if not awx.rights.may_change(asked.user, record):
        raise forbidden()
    record["survey_spec"] = {} if asked.method == "DELETE" else surveys.checked(asked.body, record["survey_spec"] or {})
    return 200, b""


@action("launch", "job_template")
def _launch(awx: Awx, record: Record, asked: Asked) -> Answer:
    if asked.method == "GET":
        return 200, _launch_question(record, _job_defaults(awx, record))
    awx.rights.check(asked.user, record, "execute_role")
    _check_launch(awx, "job_templates/N/launch", asked.body)
    job, ignored = awx.jobs.launch(record, asked.user, asked.body)
    # A sliced job is a workflow.
    return 201, {job.kind: job.id, "ignored_fields": ignored, **_started(awx, job, asked.user)}


@action("launch", "workflow_job_template")
def _launch_workflow(awx: Awx, record: Record, asked: Asked) -> Answer:
    if asked.method == "GET":
        return 200, _launch_question(record, _workflow_defaults(awx, record))
    awx.rights.check(asked.user, record, "execute_role")
    _check_launch(awx, "workflow_job_templates/N/launch", asked.body)
    job, ignored = awx.jobs.workflows.launch(record, asked.user, asked.body)
    return 201, {job.kind: job.id, "ignored_fields": ignored, **_started(awx, job, asked.user)}


# What is shown of a job only where it has an address of its own.
ONLY_IN_DETAIL = ("custom_virtualenv", "host_status_counts", "playbook_counts")


def _started(awx: Awx, job: Record, user: Record) -> dict[str, Any]:
    return {name: value for name, value in awx.show(job, user).items() if name not in ONLY_IN_DETAIL}


def _check_launch(awx: Awx, endpoint: str, body: dict[str, Any]) -> None:
    """Refuse fields of a launch that are wrong in themselves."""
    fields = options(endpoint).get("POST", {})
    known = {name: definition for name, definition in fields.items() if name != "extra_vars"}
    Fields(endpoint, known, awx.database).read({name: value for name, value in body.items() if value is not None}, True)
    given = body.get("extra_vars")
    if isinstance(given, str):
        try:
            variables_of(given)
        except Invalid as error:
            raise invalid(extra_vars=str(error)) from error


def _launch_question(record: Record, defaults: dict[str, Any]) -> dict[str, Any]:
    needed = [question["variable"] for question in prompts.survey_of(record).get("spec", []) if question["required"]]
    passwords = prompts.passwords_needed(record)
    asked = {name: record[name] for name in record.values if name.startswith("ask_")}
    name = f"{record.kind}_data"
    return {
        "can_start_without_user_input": not needed and not passwords and not any(asked.values()),
        **({"passwords_needed_to_start": passwords} if record.kind == "job_template" else {}),
        **asked,
        "survey_enabled": record["survey_enabled"],
        "variables_needed_to_start": needed,
        name: {"name": record["name"], "id": record.id, "description": record["description"]},
        **defaults,
    }


def _named(awx: Awx, kind: str, number: int | None) -> dict[str, Any]:
    found = awx.database.get(kind, number)
    return {"name": found["name"] if found else None, "id": found.id if found else None}


def _job_defaults(awx: Awx, record: Record) -> dict[str, Any]:
    defaults: dict[str, Any] = {"inventory": _named(awx, "inventory", record["inventory"])}
    defaults |= {
        name: record[name]
        for name in [
            "limit",
            "scm_branch",
            "job_tags",
            "skip_tags",
            "extra_vars",
            "diff_mode",
            "job_type",
            "verbosity",
            "forks",
            "job_slice_count",
            "timeout",
        ]
    }
    defaults["labels"] = [{"id": label.id, "name": label["name"]} for label in record.linked("labels")]
    defaults["credentials"] = [
        {"id": each.id, "name": each["name"], "credential_type": each["credential_type"], "passwords_needed": []}
        for each in record.linked("credentials")
    ]
    defaults["execution_environment"] = _named(awx, "execution_environment", record["execution_environment"])
    defaults["instance_groups"] = []
    return {
        "credential_needed_to_start": False,
        "inventory_needed_to_start": record["inventory"] is None,
        "defaults": defaults,
    }


def _workflow_defaults(awx: Awx, record: Record) -> dict[str, Any]:
    nodes = awx.database.find("workflow_job_template_node", workflow_job_template=record.id)
    defaults: dict[str, Any] = {"inventory": _named(awx, "inventory", record["inventory"])}
    defaults |= {name: record[name] for name in ["limit", "scm_branch", "job_tags", "skip_tags", "extra_vars"]}
    return {
        "defaults": defaults,
        "node_templates_missing": [node.id for node in nodes if node["unified_job_template"] is None],
        "node_prompts_rejected": [],
    }


@action("create_approval_template", "workflow_job_template_node", methods=("POST",))
def _approval_template(awx: Awx, record: Record, asked: Asked) -> Answer:
    if not awx.rights.may_change(asked.user, record):
        raise forbidden()
    fields = Fields("approval", options("workflow_job_template_nodes/N/create_approval_template")["POST"], awx.database)
    values = fields.defaults() | fields.read(asked.body)
    template = awx.database.add(
        "workflow_approval_template",
        **values,
        workflow_job_template=record["workflow_job_template"],
        status="never updated",
        last_job_failed=False,
        created_by=asked.user.id,
        modified_by=asked.user.id,
    )
    record["unified_job_template"] = template.id
    return 201, awx.show(template, asked.user)


@action("approve", "workflow_approval")
def _approve(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _decide(awx, record, asked, True)


@action("deny", "workflow_approval")
def _deny(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _decide(awx, record, asked, False)


def _decide(awx: Awx, record: Record, asked: Asked, approve: bool) -> Answer:
    if asked.method == "POST":
        awx.rights.check(asked.user, record, "approval_role")
        awx.jobs.workflows.decide(record, asked.user, approve)
        return NO_CONTENT
    return 200, {"can_approve_or_deny": record["status"] == "pending"}


@action("cancel", "job", "project_update", "inventory_update", "workflow_job", "workflow_approval")
def _cancel(awx: Awx, record: Record, asked: Asked) -> Answer:
    can = record["status"] in ("new", "pending", "waiting", "running")
    if asked.method == "GET":
        return 200, {"can_cancel": can}
    # Who may start a job may end it.
    awx.rights.check(asked.user, record, "execute_role")
    if not can:
        raise no_such_method("POST")
    awx.jobs.cancel(record)
    return 202, b""


@action("object_roles", *(name for name in KINDS), methods=("GET",))
def _object_roles(awx: Awx, record: Record, asked: Asked) -> Answer:
    roles = list((record["roles"] or {}).values())
    return 200, awx.filters.answer("role", roles, asked.query, asked.path, asked.user)


@action("users", "role")
def _role_users(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _members(awx, record, "user", asked)


@action("teams", "role")
def _role_teams(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _members(awx, record, "team", asked)


def _members(awx: Awx, role: Record, kind: str, asked: Asked) -> Answer:
    members = role.linked(f"{kind}s")
    if asked.method == "GET":
        return 200, awx.filters.answer(kind, members, asked.query, asked.path, asked.user)
    if "id" not in asked.body:
        raise Refusal(400, {"msg": f"{KINDS[kind].model} 'id' field is missing."})
    member = awx.database.get(kind, _number(asked.body["id"]))
    if member is None:
        raise matching(kind)
    if not awx.rights.may_change(asked.user, role["of"]):
        raise forbidden()
    if asked.body.get("disassociate"):
        if member in members:
            members.remove(member)
        return NO_CONTENT
    check_grant(awx, role, member)
    if member not in members:
        members.append(member)
    return NO_CONTENT


@action("users", "organization")
def _organization_users(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _users_below(awx, record, "member_role", asked)


@action("admins", "organization")
def _organization_admins(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _users_below(awx, record, "admin_role", asked)


@action("users", "team")
def _team_users(awx: Awx, record: Record, asked: Asked) -> Answer:
    return _users_below(awx, record, "member_role", asked)


def _users_below(awx: Awx, record: Record, field: str, asked: Asked) -> Answer:
    """Answer of the users with a role: a POST makes a user, or takes one by its number."""
    role = record["roles"][field]
    if asked.method == "POST" and "id" not in asked.body:
        if not awx.rights.may_change(asked.user, record):
            raise forbidden()
        status, shown = awx.objects.create("user", asked.body, asked.user, allowed=True)
        role.linked("users").append(awx.database.get("user", shown["id"]))
        return status, shown
    return _members(awx, role, "user", asked)


@action("roles", "user", "team", methods=("GET",))
def _roles_of(awx: Awx, record: Record, asked: Asked) -> Answer:
    roles = [role for role in awx.database.all("role") if record in role.linked(f"{record.kind}s")]
    return 200, awx.filters.answer("role", roles, asked.query, asked.path, asked.user)


@action("variable_data", "inventory", "host", "group", methods=("GET",))
def _variable_data(awx: Awx, record: Record, asked: Asked) -> Answer:
    return 200, variables_of(record["variables"] or "")


@action("stdout", "job", "project_update", "inventory_update", methods=("GET",))
def _stdout(awx: Awx, record: Record, asked: Asked) -> Answer:
    return 200, {"range": {"start": 0, "end": 0, "absolute_end": 0}, "content": record["stdout"] or ""}


@action("test", "notification_template", methods=("POST",))
def _test(awx: Awx, record: Record, asked: Asked) -> Answer:
    # What it would send reaches nobody.
    return 202, {"notification": record.id}


@action("copy", "credential", "project", "inventory", "job_template", "workflow_job_template", "notification_template")
def _copy(awx: Awx, record: Record, asked: Asked) -> Answer:
    if asked.method == "GET":
        return 200, {"can_copy": awx.rights.may_change(asked.user, record)}
    if not asked.body.get("name"):
        raise invalid(name=REQUIRED)
    raise Refusal(501, {"detail": "The stand-in copies nothing."})
