# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job templates, workflow templates and their nodes (AWX 24.6.1, recorded: job template, workflow)."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from . import prompts, surveys
from .kinds import Change, Rules
from .refusals import forbidden, invalid

if TYPE_CHECKING:
    from .database import Record

NO_OVERRIDE = "Project does not allow overriding branch."
LINKS = ("success_nodes", "failure_nodes", "always_nodes")


class JobTemplates(Rules):
    """What AWX checks of job templates. Their organization is the project's."""

    def check(self, change: Change) -> None:
        new = change.new
        project = self.awx.database.get("project", new["project"])
        if project is None:
            raise invalid(project="Job Templates must have a project assigned.")
        if not new["playbook"]:
            raise invalid(playbook="Must select playbook for project.")
        if not project["allow_override"]:
            for name in ("scm_branch", "ask_scm_branch_on_launch"):
                if new[name]:
                    raise invalid(**{name: NO_OVERRIDE})
            if new["playbook"] not in self.awx.playbooks(project):
                raise invalid(playbook="Playbook not found for project.")
        if not new["inventory"] and not new["ask_inventory_on_launch"]:
            raise invalid(inventory="You must either set a default value or ask to prompt on launch.")
        new["organization"] = project["organization"]
        if change.old is None:
            new |= {"status": "never updated", "last_job_failed": False, "survey_spec": {}, "custom_virtualenv": None}


class WorkflowJobTemplates(Rules):
    """What AWX checks of workflow templates."""

    def check(self, change: Change) -> None:
        if change.old is None:
            change.new |= {"status": "never updated", "last_job_failed": False, "survey_spec": {}}


class Nodes(Rules):
    """What AWX checks of the nodes of workflows."""

    def check(self, change: Change) -> None:
        new = change.new
        if change.old is None and "identifier" not in change.given:
            new["identifier"] = str(uuid.uuid4())
        if change.old is not None and "workflow_job_template" in change.body:
            # OPTIONS does not name it, but a node can be moved.
            new["workflow_job_template"] = change.body["workflow_job_template"]
        prompts.check_saved(self.awx.database, new["unified_job_template"], new, required=False)

    def made(self, record: Record, change: Change) -> None:
        record.links |= {name: [] for name in LINKS}

    def show(self, record: Record, body: dict[str, Any]) -> None:
        template = self.awx.database.get("unified_job_template", record["unified_job_template"])
        secret = [
            question["variable"]
            for question in (prompts.survey_of(template) if template else {}).get("spec", [])
            if question["type"] == "password"
        ]
        body["extra_data"] = {
            name: surveys.ENCRYPTED if name in secret and value else value
            for name, value in (record["extra_data"] or {}).items()
        }

    def removed(self, record: Record) -> None:
        template = self.awx.database.get("workflow_approval_template", record["unified_job_template"])
        if template is not None:
            self.awx.database.remove(template)


_IMAGE = re.compile(
    r"^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?))*(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$"
)


class ExecutionEnvironments(Rules):
    """What AWX checks of execution environments."""

    def check(self, change: Change) -> None:
        new = change.new
        if "image" in change.given and not _IMAGE.match(new["image"]):
            raise invalid(image=f"The container image name {new['image']} is not valid")
        credential = self.awx.database.get("credential", new["credential"])
        if credential is not None:
            kind = self.awx.database.get("credential_type", credential["credential_type"])
            if kind is None or kind["kind"] != "registry":
                raise invalid(
                    credential="Only Container Registry credentials can be associated with an Execution Environment"
                )
        if change.old is None:
            new["managed"] = False

    def check_removal(self, record: Record) -> None:
        if record["managed"]:
            raise forbidden()
