# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of objects: where they are, what makes them unique, and what the rules of a kind can add."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .refusals import ALL

if TYPE_CHECKING:
    from .database import Record
    from .server import Awx


@dataclasses.dataclass(frozen=True)
class Unique:
    """Fields of which no two objects may have the same values, and what AWX says when they have."""

    fields: tuple[str, ...]
    text: str
    key: str = ALL


def _unique(text: str, *fields: str) -> Unique:
    return Unique(fields, f"{text} already exists.")


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of object. C(parent) is the field with what it belongs to."""

    name: str
    path: str
    model: str
    unique: Unique | None = None
    parent: str | None = None


# AWX 24.6.1, recorded: the paths, the models as the 404s name them, and the words of what must be unique.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "organization",
            "organizations",
            "Organization",
            Unique(("name",), "Organization with this Name already exists.", "name"),
        ),
        Kind("user", "users", "User", Unique(("username",), "A user with that username already exists.", "username")),
        Kind(
            "team",
            "teams",
            "Team",
            _unique("Team with this Organization and Name", "organization", "name"),
            "organization",
        ),
        Kind("role", "roles", "Role"),
        Kind("role_definition", "role_definitions", "RoleDefinition"),
        Kind("role_user_assignment", "role_user_assignments", "RoleUserAssignment"),
        Kind("role_team_assignment", "role_team_assignments", "RoleTeamAssignment"),
        Kind("token", "tokens", "OAuth2AccessToken"),
        Kind(
            "credential_type",
            "credential_types",
            "CredentialType",
            _unique("Credential type with this Name and Kind", "name", "kind"),
        ),
        Kind(
            "credential",
            "credentials",
            "Credential",
            _unique(
                "Credential with this Organization, Name and Credential type", "organization", "name", "credential_type"
            ),
            "organization",
        ),
        Kind(
            "execution_environment",
            "execution_environments",
            "ExecutionEnvironment",
            Unique(("name",), "Execution environment with this Name already exists.", "name"),
            "organization",
        ),
        Kind("instance_group", "instance_groups", "InstanceGroup"),
        Kind(
            "project",
            "projects",
            "Project",
            _unique("Project with this (organization, name) combination", "organization", "name"),
            "organization",
        ),
        Kind(
            "inventory",
            "inventories",
            "Inventory",
            _unique("Inventory with this Name and Organization", "name", "organization"),
            "organization",
        ),
        Kind("host", "hosts", "Host", _unique("Host with this Name and Inventory", "name", "inventory"), "inventory"),
        Kind(
            "group", "groups", "Group", _unique("Group with this Name and Inventory", "name", "inventory"), "inventory"
        ),
        Kind(
            "inventory_source",
            "inventory_sources",
            "InventorySource",
            _unique("InventorySource with this (name, inventory) combination", "name", "inventory"),
            "inventory",
        ),
        Kind(
            "job_template",
            "job_templates",
            "JobTemplate",
            _unique("JobTemplate with this (organization, name) combination", "organization", "name"),
            "organization",
        ),
        Kind(
            "workflow_job_template",
            "workflow_job_templates",
            "WorkflowJobTemplate",
            _unique("WorkflowJobTemplate with this (organization, name) combination", "organization", "name"),
            "organization",
        ),
        Kind(
            "workflow_job_template_node",
            "workflow_job_template_nodes",
            "WorkflowJobTemplateNode",
            _unique(
                "Workflow job template node with this Identifier and Workflow job template",
                "identifier",
                "workflow_job_template",
            ),
            "workflow_job_template",
        ),
        Kind("workflow_approval_template", "workflow_approval_templates", "WorkflowApprovalTemplate"),
        Kind(
            "schedule",
            "schedules",
            "Schedule",
            _unique("Schedule with this Unified job template and Name", "unified_job_template", "name"),
            "unified_job_template",
        ),
        Kind(
            "notification_template",
            "notification_templates",
            "NotificationTemplate",
            _unique("Notification template with this Organization and Name", "organization", "name"),
            "organization",
        ),
        Kind(
            "label",
            "labels",
            "Label",
            _unique("Label with this Name and Organization", "name", "organization"),
            "organization",
        ),
        Kind("job", "jobs", "Job", parent="job_template"),
        Kind("project_update", "project_updates", "ProjectUpdate", parent="project"),
        Kind("inventory_update", "inventory_updates", "InventoryUpdate", parent="inventory_source"),
        Kind("workflow_job", "workflow_jobs", "WorkflowJob", parent="workflow_job_template"),
        Kind("workflow_job_node", "workflow_job_nodes", "WorkflowJobNode", parent="workflow_job"),
        Kind("workflow_approval", "workflow_approvals", "WorkflowApproval", parent="workflow_approval_template"),
        Kind("unified_job_template", "unified_job_templates", "UnifiedJobTemplate"),
        Kind("unified_job", "unified_jobs", "UnifiedJob"),
        Kind("system_job_template", "system_job_templates", "SystemJobTemplate"),
    )
}
BY_PATH = {kind.path: kind for kind in KINDS.values()}

# AWX has no list of these (AWX 24.6.1, recorded: workflow).
WITHOUT_LIST = ("workflow_approval_template",)


@dataclasses.dataclass
class Change:
    """An object that is to be made or changed: as it is, as it would be, what was given, and by whom.

    C(before) are its fields as they were, once it has changed.
    """

    old: Record | None
    new: dict[str, Any]
    given: dict[str, Any]
    body: dict[str, Any]
    user: Record
    before: dict[str, Any] = dataclasses.field(default_factory=dict)


class Rules:
    """What AWX checks of one kind beyond the fields, and what it does. Here: nothing."""

    def __init__(self, awx: Awx) -> None:
        self.awx = awx

    def check(self, change: Change) -> None:
        """Refuse what is wrong with an object, or set what AWX sets."""

    def made(self, record: Record, change: Change) -> None:
        """Do what comes with a new object."""

    def changed(self, record: Record, change: Change) -> None:
        """Do what comes with a change."""

    def check_removal(self, record: Record) -> None:
        """Refuse what may not be deleted."""

    def removed(self, record: Record) -> None:
        """Do what comes with a deletion."""

    def show(self, record: Record, body: dict[str, Any]) -> None:
        """Change what is shown of an object: hide secrets, or add what is not a field."""
