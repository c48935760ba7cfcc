# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, and what gives them roles (AWX 24.6.1, recorded: users, teams, roles)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kinds import Change, Rules
from .refusals import Refusal, bad_id, forbidden, invalid
from .show import name_of, url_of

if TYPE_CHECKING:
    from .database import Record

ENCRYPTED = "$encrypted$"
ONE_OF = "Provide exactly one of {0} or {0}_ansible_id"

# The managed role definitions that tests use, by the number that AWX gave them where it was recorded: the name, the
# kind, and the role of the old model that is the same.
ROLE_DEFINITIONS = {
    25: ("JobTemplate Execute", "job_template", "execute_role"),
    24: ("JobTemplate Admin", "job_template", "admin_role"),
    26: ("WorkflowJobTemplate Admin", "workflow_job_template", "admin_role"),
    27: ("WorkflowJobTemplate Execute", "workflow_job_template", "execute_role"),
    28: ("WorkflowJobTemplate Approve", "workflow_job_template", "approval_role"),
    29: ("Project Admin", "project", "admin_role"),
    30: ("Project Use", "project", "use_role"),
    31: ("Project Update", "project", "update_role"),
    32: ("Inventory Admin", "inventory", "admin_role"),
    33: ("Inventory Use", "inventory", "use_role"),
    34: ("Credential Admin", "credential", "admin_role"),
    35: ("Credential Use", "credential", "use_role"),
}


class Users(Rules):
    """What AWX checks of users."""

    def check(self, change: Change) -> None:
        new = change.new
        if change.old is None and not new["password"]:
            raise invalid(password="Password required for new User.")
        if new["password"] == ENCRYPTED and change.old is not None:
            new["password"] = change.old["password"]
        for name in ("is_superuser", "is_system_auditor"):
            if change.given.get(name) and not change.user["is_superuser"]:
                raise forbidden()

    def show(self, record: Record, body: dict[str, Any]) -> None:
        body["password"] = ENCRYPTED
        body["modified"] = None


class Tokens(Rules):
    """What AWX shows of tokens: not what they are, but when they are made."""

    def show(self, record: Record, body: dict[str, Any]) -> None:
        body["token"] = "*" * 12


class Roles(Rules):
    """What AWX shows of roles."""

    def show(self, record: Record, body: dict[str, Any]) -> None:
        of = record["of"]
        body["related"][of.kind] = url_of(of)
        body["summary_fields"] = {
            "resource_name": name_of(of),
            "resource_type": of.kind,
            "resource_type_display_name": of.kind.replace("_", " ").title(),
            "resource_id": of.id,
        }


def check_grant(awx: Any, role: Record, member: Record) -> None:
    """Refuse a role that AWX does not let a user or a team have."""
    of, field = role["of"], role["field"]
    owned = of.kind == "credential" and member.kind == "user" and of["organization"] and not member["is_superuser"]
    if owned and not awx.rights.in_organization(member, of["organization"]):
        raise Refusal(400, {"msg": "You cannot grant credential access to a user not in the credentials' organization"})
    if of.kind == "organization" and member.kind == "team" and field in ("admin_role", "member_role"):
        raise Refusal(400, {"msg": "You cannot assign an Organization participation role as a child role for a Team."})


class Assignments(Rules):
    """Assignments of role definitions, the newer way to give a role."""

    def __init__(self, awx: Any, member: str) -> None:
        super().__init__(awx)
        self._member = member

    def check(self, change: Change) -> None:
        new = change.new
        if not change.given.get(self._member):
            text = ONE_OF.format(self._member)
            raise Refusal(400, {self._member: text, f"{self._member}_ansible_id": text})
        definition = self.awx.database.get("role_definition", new["role_definition"])
        assert definition is not None
        of = self.awx.database.get(definition["of_kind"], int(new["object_id"] or 0))
        if of is None:
            raise invalid(object_id=bad_id(new["object_id"]))
        new["object_id"] = str(new["object_id"])
        new["content_type"] = definition["content_type"]
        new["content_object"] = of

    def made(self, record: Record, change: Change) -> None:
        self._links(record).append(self._of(record))

    def removed(self, record: Record) -> None:
        if self._of(record) in self._links(record):
            self._links(record).remove(self._of(record))

    def _of(self, record: Record) -> Record:
        member = self.awx.database.get(self._member, record[self._member])
        assert member is not None
        return member

    def _links(self, record: Record) -> list[Record]:
        definition = self.awx.database.get("role_definition", record["role_definition"])
        assert definition is not None
        role = record["content_object"]["roles"][definition["field"]]
        return role.linked(f"{self._member}s")

    def show(self, record: Record, body: dict[str, Any]) -> None:
        of = record["content_object"]
        body["related"]["content_object"] = url_of(of)
        body["summary_fields"]["content_object"] = self.awx.show.summary(of)
