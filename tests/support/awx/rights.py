# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, and what they allow (AWX 24.6.1, recorded: users, teams, roles).

Each object of a kind with roles has its own; each role has users and teams. An organization's roles reach into what
belongs to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .database import Record
from .recorded import recorded
from .refusals import forbidden

if TYPE_CHECKING:
    from .database import Database

ADMIN = "admin_role"
READ = "read_role"

# What the roles of an organization are for the kinds in it, beside admin_role, which is that for all.
ORGANIZATION_ROLES = {
    "project_admin_role": (("project", ADMIN),),
    "inventory_admin_role": (("inventory", ADMIN),),
    "credential_admin_role": (("credential", ADMIN),),
    "workflow_admin_role": (("workflow_job_template", ADMIN),),
    "job_template_admin_role": (("job_template", ADMIN),),
    "execute_role": (("job_template", "execute_role"), ("workflow_job_template", "execute_role")),
    "approval_role": (("workflow_job_template", "approval_role"),),
}
# The role of its organization that a new object of a kind needs, or a change of one without roles of its own.
ORGANIZATION_ADMINS = {
    "project": "project_admin_role",
    "inventory": "inventory_admin_role",
    "credential": "credential_admin_role",
    "workflow_job_template": "workflow_admin_role",
    "notification_template": "notification_admin_role",
    "execution_environment": "execution_environment_admin_role",
    "team": ADMIN,
    "user": ADMIN,
    "label": "member_role",
}
# The roles that a new object needs of what it refers to.
NEEDED_OF_OTHERS = {
    "job_template": (("project", "use_role"), ("inventory", "use_role")),
    "host": (("inventory", ADMIN),),
    "group": (("inventory", ADMIN),),
    "inventory_source": (("inventory", ADMIN), ("source_project", "use_role")),
    "workflow_job_template_node": (("workflow_job_template", ADMIN), ("unified_job_template", "execute_role")),
    "schedule": (("unified_job_template", "execute_role"),),
}
# Roles that only start things, by the kinds that are not started but updated.
UPDATED = ("project", "inventory")
# Kinds that everybody may read.
PUBLIC = ("credential_type", "role_definition", "execution_environment", "label")
# Kinds without roles of their own, and the field with the object whose roles count.
BY_PARENT = {
    "host": "inventory",
    "group": "inventory",
    "inventory_source": "inventory",
    "workflow_job_template_node": "workflow_job_template",
    "workflow_approval_template": "workflow_job_template",
    "schedule": "unified_job_template",
    "job": "job_template",
    "project_update": "project",
    "inventory_update": "inventory_source",
    "workflow_job": "workflow_job_template",
    "workflow_job_node": "workflow_job",
    "workflow_approval": "workflow_approval_template",
}


def role_fields(kind: str) -> dict[str, dict[str, str]]:
    """Return the roles of a kind, with their names and descriptions."""
    return recorded("object_roles").get(kind, {})


class Rights:
    """Who may do what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_roles(self, record: Record) -> None:
        """Make the roles of a new object."""
        record["roles"] = {
            field: self._database.add("role", field=field, of=record, **texts)
            for field, texts in role_fields(record.kind).items()
        }

    def remove_roles(self, record: Record) -> None:
        """Forget the roles of an object."""
        for role in (record["roles"] or {}).values():
            self._database.remove(role)

    def has(self, user: Record, record: Record, field: str) -> bool:
        """Return whether a user has a role of an object, by whatever way."""
        if user["is_superuser"] or (user["is_system_auditor"] and field == READ):
            return True
        if record.kind in BY_PARENT:
            parent = self._parent(record)
            return parent is not None and self.has(user, parent, field)
        if record.kind == "credential" and record["user"] == user.id:
            return True
        if record.kind == "user":
            return record is user if field == READ else self._administers(user, record)
        own = record["roles"] or {}
        field = "update_role" if field == "execute_role" and record.kind in UPDATED else field
        # Whoever has any role of an object may read it.
        enough = list(own) if field == READ else [ADMIN, field]
        if any(self._in_role(user, own[each]) for each in enough if each in own):
            return True
        return record.kind != "organization" and self._by_organization(user, record, field)

    def _by_organization(self, user: Record, record: Record, field: str) -> bool:
        """Return whether a role of its organization reaches to an object."""
        organization = self._database.get("organization", record["organization"])
        if organization is None:
            return False
        if self.has(user, organization, ADMIN):
            return True
        if field == READ and self._in_role(user, organization["roles"]["auditor_role"]):
            return True
        if not record["roles"]:
            return self.has(user, organization, READ if field == READ else ORGANIZATION_ADMINS.get(record.kind, ADMIN))
        reaching = (
            role
            for role, reach in ORGANIZATION_ROLES.items()
            for kind, given in reach
            if kind == record.kind and (field == READ or given in (ADMIN, field))
        )
        return any(self._in_role(user, organization["roles"][role]) for role in reaching)

    def _in_role(self, user: Record, role: Record) -> bool:
        if user in role.linked("users"):
            return True
        return any(self._in_role(user, team["roles"]["member_role"]) for team in role.linked("teams"))

    def _administers(self, user: Record, other: Record) -> bool:
        organizations = self._database.all("organization")
        return any(
            self.has(user, organization, ADMIN) and self._in_role(other, organization["roles"]["member_role"])
            for organization in organizations
        )

    def _parent(self, record: Record) -> Record | None:
        field = BY_PARENT[record.kind]
        return self._database.get(field, record[field])

    def in_organization(self, user: Record, organization: int | None) -> bool:
        """Return whether a user belongs to an organization."""
        found = self._database.get("organization", organization)
        return found is not None and self.has(user, found, READ)

    def may_read(self, user: Record, record: Record) -> bool:
        if record.kind in PUBLIC or record.kind in ("role", "instance_group"):
            return True
        if record.kind == "token":
            return record["user"] == user.id or bool(user["is_superuser"])
        return self.has(user, record, READ)

    def may_change(self, user: Record, record: Record) -> bool:
        if record.kind == "token":
            return self.may_read(user, record)
        if record["managed"] and not user["is_superuser"]:
            return False
        return self.has(user, record, ADMIN)

    def check_creation(self, user: Record, kind: str, values: dict[str, Any]) -> None:
        """Refuse an object that a user may not make."""
        if user["is_superuser"] or kind == "token":
            return
        needed = [(field, role) for field, role in NEEDED_OF_OTHERS.get(kind, ()) if values.get(field)]
        if kind in ORGANIZATION_ADMINS:
            if kind == "credential" and values.get("user") == user.id:
                return
            needed = [("organization", ORGANIZATION_ADMINS[kind])]
        if not needed:
            raise forbidden()
        for field, role in needed:
            other = self._database.get("project" if field == "source_project" else field, values.get(field))
            if other is None or not self.has(user, other, role):
                raise forbidden()

    def check(self, user: Record, record: Record, field: str) -> None:
        """Refuse a user without a role."""
        if not self.has(user, record, field):
            raise forbidden()
