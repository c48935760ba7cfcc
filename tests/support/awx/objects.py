# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How objects are made, changed and deleted, whatever their kind (AWX 24.6.1, recorded: protocol, deletes)."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from .database import Record
from .fields import Fields, referred_kind
from .kinds import KINDS, Change, Kind
from .recorded import options
from .refusals import Refusal, forbidden

if TYPE_CHECKING:
    from .endpoints import Asked
    from .server import Awx

# The kinds that go with an object that is deleted; all others that refer to it are set to null.
GO_WITH = {
    "organization": ("credential", "team", "execution_environment", "notification_template", "label"),
    "inventory": ("host", "group", "inventory_source"),
    "workflow_job_template": ("workflow_job_template_node", "schedule"),
    "job_template": ("schedule",),
    "project": ("schedule",),
    "inventory_source": ("schedule",),
    "user": ("token",),
    "role_definition": ("role_user_assignment", "role_team_assignment"),
}
# Jobs keep what they were made from.
KEPT_BY_JOBS = ("job", "project_update", "inventory_update", "workflow_job", "workflow_approval", "workflow_job_node")
# Kinds of which AWX does not say who made them.
WITHOUT_MAKER = ("user", "workflow_job_template_node")
# The kinds whose numbers are those of unified job templates.
TEMPLATES = (
    "project",
    "inventory_source",
    "job_template",
    "workflow_job_template",
    "workflow_approval_template",
)


class Objects:
    """Makes, changes and deletes objects."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx

    def add(self, kind: str, /, **values: Any) -> Record:
        """Keep an object, with the fields that are not given as AWX has them."""
        fields = self._fields(KINDS[kind], "POST").defaults()
        record = self._awx.database.add(kind, **{**fields, **values, "ansible_id": str(uuid.uuid4())})
        self._awx.rights.add_roles(record)
        return record

    def _fields(self, kind: Kind, method: str) -> Fields:
        made = options(kind.path).get("POST", {})
        known = made if method == "POST" else options(f"{kind.path}/N").get(method, made)
        return Fields(kind.path, known, self._awx.database)

    def create(self, kind_name: str, body: dict[str, Any], user: Record, allowed: bool = False) -> tuple[int, Any]:
        """Make an object, and return the answer to it."""
        kind = KINDS[kind_name]
        if not allowed:
            self._awx.rights.check_creation(user, kind_name, body)
        fields = self._fields(kind, "POST")
        given = fields.read(body)
        new = fields.defaults() | given
        change = Change(None, new, given, body, user)
        if kind_name == "token":
            return 201, self._new_token(user, given)
        rules = self._awx.rules[kind_name]
        rules.check(change)
        self._check_unique(kind, new, None)
        if kind_name not in WITHOUT_MAKER:
            new |= {"created_by": user.id, "modified_by": user.id}
        record = self._awx.database.add(kind_name, **{**new, "ansible_id": str(uuid.uuid4())})
        self._awx.rights.add_roles(record)
        if kind_name == "credential" and record["user"] is None and not user["is_superuser"]:
            record["roles"]["admin_role"].linked("users").append(user)
        rules.made(record, change)
        return 201, self._awx.show(record, user, detail=False)

    def _new_token(self, user: Record, given: dict[str, Any]) -> dict[str, Any]:
        value = secrets.token_urlsafe(22)[:30]
        record = self._awx.database.add(
            "token",
            description=given.get("description", ""),
            user=user.id,
            token=value,
            refresh_token=None,
            application=given.get("application"),
            expires="3026-03-30T22:30:20.015586Z",
            scope=given.get("scope", "write"),
        )
        # It is shown once.
        return {**self._awx.show(record, user), "token": value}

    def _check_unique(self, kind: Kind, new: dict[str, Any], record: Record | None) -> None:
        unique = kind.unique
        if unique is None or any(new.get(name) is None for name in unique.fields):
            return
        same = self._awx.database.find(kind.name, **{name: new[name] for name in unique.fields})
        if any(other is not record for other in same):
            raise Refusal(400, {unique.key: [unique.text]})

    def change(self, record: Record, asked: Asked) -> tuple[int, Any]:
        """Change an object, and return the answer to it."""
        kind = KINDS[record.kind]
        fields = self._fields(kind, "PUT")
        given = fields.read(asked.body, partial=asked.method == "PATCH")
        new = record.values | (fields.defaults() if asked.method == "PUT" else {}) | given
        change = Change(record, new, given, asked.body, asked.user)
        rules = self._awx.rules[record.kind]
        rules.check(change)
        self._check_unique(kind, new, record)
        change.before = dict(record.values)
        record.values.update(new)
        record["modified_by"] = asked.user.id
        rules.changed(record, change)
        return 200, self._awx.show(record, asked.user)

    def delete(self, record: Record) -> tuple[int, Any]:
        """Delete an object, and return the answer to it."""
        rules = self._awx.rules[record.kind]
        rules.check_removal(record)
        if record.kind in KEPT_BY_JOBS and record["status"] in ("pending", "running"):
            raise forbidden("Cannot delete running job resource.")
        self._forget(record)
        return (202, {}) if record.kind == "inventory" else (204, b"")

    def forget_unused_labels(self, records: list[Record]) -> None:
        """Delete the labels that nothing has any more: nobody else can."""
        for record in records:
            if record.kind == "label" and not self._awx.database.linking(record):
                self._awx.database.remove(record)

    def _forget(self, record: Record) -> None:
        rules = self._awx.rules[record.kind]
        rules.removed(record)
        self._awx.rights.remove_roles(record)
        labels = list(record.linked("labels"))
        self._awx.database.remove(record)
        record.links.clear()
        self.forget_unused_labels(labels)
        going = GO_WITH.get(record.kind, ())
        for kind in KINDS:
            if kind in ("unified_job", "unified_job_template") or kind in KEPT_BY_JOBS:
                continue
            for other in self._awx.database.all(kind):
                names = [name for name in other.values if self._refers(other, name, record)]
                if names and kind in going:
                    self._forget(other)
                    continue
                for name in names:
                    other[name] = None

    def _refers(self, other: Record, name: str, record: Record) -> bool:
        if isinstance(other[name], bool) or other[name] != record.id or name in ("created_by", "modified_by"):
            return False
        kind = referred_kind(name)
        return kind == record.kind or (
            kind == "unified_job_template"
            and self._awx.database.get(kind, other[name]) is None
            and record.kind in TEMPLATES
        )
