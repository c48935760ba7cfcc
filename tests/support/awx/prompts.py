# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch, a node of a workflow or a schedule may give to a template (AWX 24.6.1, recorded: launch, workflow).

What a template does not ask for is ignored at a launch, and refused in a node or a schedule.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from . import surveys
from .fields import Invalid, variables_of
from .refusals import Refusal, invalid

if TYPE_CHECKING:
    from .database import Database, Record

# The prompts, and the field of the template that says whether it asks for them.
PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "limit": "ask_limit_on_launch",
    "job_type": "ask_job_type_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "forks": "ask_forks_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch",
    "timeout": "ask_timeout_on_launch",
    "execution_environment": "ask_execution_environment_on_launch",
    "credentials": "ask_credential_on_launch",
    "labels": "ask_labels_on_launch",
    "instance_groups": "ask_instance_groups_on_launch",
}
NOT_ASKED = "Field is not configured to prompt on launch."
NOT_ALLOWED = "Field is not allowed on launch."
NO_PASSWORDS = "Saved launch configurations cannot provide passwords needed to start."
WITH_PROMPTS = {"job_template": "Job Template", "workflow_job_template": "Workflow Job Template"}
# The inputs of a machine credential that may wait for an answer, and the password that the launch asks for then.
ASKED_INPUTS = {"password": "ssh_password", "become_password": "become_password", "ssh_key_unlock": "ssh_key_unlock"}


@dataclasses.dataclass
class Accepted:
    """The variables and fields that a template takes, and those that it ignores."""

    variables: dict[str, Any] = dataclasses.field(default_factory=dict)
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    ignored: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrong: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def survey_of(template: Record) -> dict[str, Any]:
    """Return the survey that a launch asks, empty where there is none or it is switched off."""
    return (template["survey_spec"] or {}) if template["survey_enabled"] else {}


def passwords_needed(template: Record) -> list[str]:
    """Return the passwords that a launch must be given."""
    return [
        password
        for credential in template.linked("credentials")
        for name, password in ASKED_INPUTS.items()
        if credential["inputs"].get(name) == "ASK"
    ]


def accept_variables(template: Record, given: dict[str, Any], required: bool, key: str, strict: bool) -> Accepted:
    """Return which variables a template takes. C(key) is the field that they came in."""
    accepted, rest = Accepted(), dict(given)
    problems: list[str] = []
    for question in survey_of(template).get("spec", []):
        name = question["variable"]
        wrong = surveys.wrong_answer(question, given, required)
        problems += wrong
        if name in rest and not wrong:
            accepted.variables[name] = rest[name]
        rest.pop(name, None)
    if problems:
        accepted.wrong["variables_needed_to_start"] = problems
    if template["ask_variables_on_launch"]:
        accepted.variables.update(rest)
        rest = {}
    own = variables_of(template["extra_vars"] or "")
    rest = {name: value for name, value in rest.items() if name not in own or own[name] != value}
    if rest and strict:
        accepted.wrong[key] = [
            f"Variables {', '.join(rest)} are not allowed on launch. Check the Prompt on Launch setting on the "
            f"{WITH_PROMPTS[template.kind]} to include Extra Variables."
        ]
    elif rest:
        accepted.ignored["extra_vars"] = rest
    return accepted


def check_saved(database: Database, template_id: int | None, values: dict[str, Any], required: bool) -> None:
    """Refuse what a node or a schedule may not give to its template. A node need not answer what is required."""
    template = database.get("unified_job_template", template_id)
    if template is None:
        return
    data = values.get("extra_data")
    if not isinstance(data, dict):
        values["extra_data"] = data = {}
    if template.kind not in WITH_PROMPTS:
        given = [name for name in (*PROMPTS, "extra_data") if values.get(name) not in (None, {}, "")]
        if given:
            raise invalid(**dict.fromkeys(given, NOT_ALLOWED))
        return
    for question in survey_of(template).get("spec", []):
        name = question["variable"]
        if question["type"] == "password" and data.get(name) == surveys.ENCRYPTED and not values.get("id"):
            raise invalid(extra_data=f"Provided variable {name} has no database value to replace with.")
    accepted = accept_variables(template, data, required, "extra_data", strict=True)
    wrong = accepted.wrong
    for name, asks in PROMPTS.items():
        if values.get(name) in (None, "") or name in ("credentials", "labels", "instance_groups"):
            continue
        if not template[asks] and values[name] != template[name]:
            wrong[name] = [NOT_ASKED]
    if passwords_needed(template):
        wrong["passwords_needed_to_start"] = [NO_PASSWORDS]
    if wrong:
        raise Refusal(400, wrong)


def accept_launch(database: Database, template: Record, body: dict[str, Any]) -> Accepted:
    """Return what a launch gives to a template; refuse what is wrong."""
    given = body.get("extra_vars", {})
    if isinstance(given, str):
        try:
            given = variables_of(given)
        except Invalid as error:
            raise invalid(extra_vars=str(error)) from error
    accepted = accept_variables(template, given or {}, required=True, key="extra_vars", strict=False)
    for name, asks in PROMPTS.items():
        if name not in body:
            continue
        if template[asks]:
            accepted.fields[name] = body[name]
        else:
            accepted.ignored[name] = body[name]
    if accepted.fields.get("inventory") and not database.get("inventory", accepted.fields["inventory"]):
        raise invalid(inventory=f'Invalid pk "{accepted.fields["inventory"]}" - object does not exist.')
    return accepted
