# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small configuration of AWX, made with its API: what tests need that are not about making it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..waiting import wait_until
from .client import Client

ORGANIZATION = "Mac Ops"
FILES = {
    "job.yml": "- hosts: all\n  tasks: []\n",
    "inventory/hosts.yml": "all:\n  children:\n    build_macs:\n      hosts:\n        mac1: {a: text}\n        mac2:\n",
}
SURVEY = {
    "name": "",
    "description": "",
    "spec": [
        {"type": "text", "question_name": "Name", "variable": "vm_name", "required": True, "default": "", "min": 1},
        {"type": "password", "question_name": "Password", "variable": "pw", "required": False, "default": ""},
    ],
}


class Example:
    """An organization with a project of a repository, an inventory from it, a job template, and a workflow.

    The workflow is build, approval, verify. Each object is what AWX answered when it was made.
    """

    def __init__(self, admin: Client, repository: Path) -> None:
        self.admin = admin
        post = admin.post
        self.organization = post("organizations", name=ORGANIZATION)
        organization = self.organization["id"]
        inputs = {"fields": [{"id": "token", "label": "Token", "secret": True}, {"id": "url", "label": "URL"}]}
        injectors = {"env": {"STORE_TOKEN": "{{ token }}", "STORE_URL": "{{ url }}"}}
        self.credential_type = post("credential_types", name="Store", kind="cloud", inputs=inputs, injectors=injectors)
        self.credential = post(
            "credentials",
            name="store",
            organization=organization,
            credential_type=self.credential_type["id"],
            inputs={"token": "secret-of-the-store", "url": "https://store.example.com"},
        )
        self.environment = post("execution_environments", name="EE", organization=organization, image="quay.io/x/y:1.0")
        self.project = post(
            "projects",
            name="Images",
            organization=organization,
            scm_type="git",
            scm_url=str(repository),
            scm_branch="main",
            default_environment=self.environment["id"],
        )
        self.wait("projects", self.project["id"])
        self.inventory = post("inventories", name="Macs", organization=organization)
        self.source = post(
            "inventory_sources",
            name="Project",
            inventory=self.inventory["id"],
            source="scm",
            source_project=self.project["id"],
            source_path="inventory/hosts.yml",
            overwrite=True,
        )
        self.template = self.new_template("Build")
        post(f"job_templates/{self.template['id']}/credentials", id=self.credential["id"])
        post(f"job_templates/{self.template['id']}/survey_spec", **SURVEY)
        admin.patch(f"job_templates/{self.template['id']}", survey_enabled=True)
        self.verify = self.new_template("Verify")
        self.workflow = post(
            "workflow_job_templates", name="Images", organization=organization, ask_variables_on_launch=True
        )
        self.nodes = self._nodes()

    def new_template(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make a job template."""
        common = {"project": self.project["id"], "inventory": self.inventory["id"], "playbook": "job.yml"}
        return self.admin.post("job_templates", name=name, **common, **fields)

    def _nodes(self) -> dict[str, dict[str, Any]]:
        def node(identifier: str, template: int | None, **fields: Any) -> dict[str, Any]:
            common = {"workflow_job_template": self.workflow["id"], "unified_job_template": template}
            return self.admin.post("workflow_job_template_nodes", identifier=identifier, **common, **fields)

        nodes = {
            "build": node("build", self.template["id"], extra_data={"vm_name": "one"}),
            "approve": node("approve", None),
            "verify": node("verify", self.verify["id"]),
        }
        approval = f"workflow_job_template_nodes/{nodes['approve']['id']}/create_approval_template"
        self.admin.post(approval, name="Publish?", description="Look at the sheet.", timeout=900)
        for parent, child in (("build", "approve"), ("approve", "verify")):
            self.admin.post(f"workflow_job_template_nodes/{nodes[parent]['id']}/success_nodes", id=nodes[child]["id"])
        return nodes

    def wait(self, endpoint: str, number: int, *statuses: str) -> dict[str, Any]:
        """Wait until something has one of these statuses; without any, until it has succeeded."""

        def found() -> dict[str, Any] | None:
            shown = self.admin.get(f"{endpoint}/{number}")
            return shown if shown["status"] in (statuses or ("successful",)) else None

        return wait_until(found, explain=lambda: str(self.admin.get(f"{endpoint}/{number}")))
