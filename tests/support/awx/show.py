# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as AWX shows them: the keys that OPTIONS names, what is related, and the summaries (AWX 24.6.1, recorded)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .database import Record
from .fields import referred_kind
from .kinds import KINDS
from .recorded import options
from .rights import role_fields

if TYPE_CHECKING:
    from .server import Awx

# How each kind of template calls its jobs.
UNIFIED_JOB_TYPES = {
    "project": "project_update",
    "inventory_source": "inventory_update",
    "job_template": "job",
    "workflow_job_template": "workflow_job",
    "workflow_approval_template": "workflow_approval",
    "system_job_template": "system_job",
}
# What a summary of an object shows beside its number, name and description.
IN_SUMMARIES: dict[str, tuple[str, ...]] = {
    "execution_environment": ("image",),
    "project": ("status", "scm_type", "allow_override"),
    "inventory_source": ("source", "last_updated", "status"),
    "workflow_approval_template": ("timeout",),
    "job": ("status", "failed", "elapsed"),
    "workflow_job": ("status", "failed", "elapsed"),
    "project_update": ("status", "failed"),
    "inventory_update": ("status", "failed"),
    "workflow_approval": ("status", "failed"),
}
ONLY_IN_SUMMARIES = ("instance_group",)
CAPABILITIES = {
    "credential": ("edit", "delete", "copy", "use"),
    "execution_environment": ("edit", "delete", "copy"),
    "project": ("edit", "delete", "start", "schedule", "copy"),
    "inventory": ("edit", "delete", "copy", "adhoc"),
    "inventory_source": ("edit", "delete", "start", "schedule"),
    "job_template": ("edit", "delete", "start", "schedule", "copy"),
    "workflow_job_template": ("edit", "delete", "start", "schedule", "copy"),
    "group": ("edit", "delete", "copy"),
    "notification_template": ("edit", "delete", "copy"),
}
STARTED = ("job", "project_update", "inventory_update", "workflow_job", "workflow_approval")
# Related objects that are not fields of the object, by the kind that their number is of.
RELATED_RECORDS = {
    "last_job": "unified_job",
    "current_job": "unified_job",
    "last_update": "unified_job",
    "current_update": "unified_job",
    "created_by": "user",
    "modified_by": "user",
    "source_workflow_job": "workflow_job",
}


def url_of(record: Record) -> str:
    return f"/api/v2/{KINDS[record.kind].path}/{record.id}/"


def name_of(record: Record) -> Any:
    return record["username"] if record.kind == "user" else record["name"]


class Show:
    """Shows objects to a user."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx

    def __call__(self, record: Record, user: Record, detail: bool = True) -> dict[str, Any]:
        """Return what AWX answers of an object; in a list, some things are not shown."""
        path = KINDS[record.kind].path
        places = (f"{path}/N", path) if detail else (path, f"{path}/N")
        known = next((options(place) for place in places if "GET" in options(place)), {})
        body: dict[str, Any] = {name: record.values.get(name) for name in known.get("GET", ("id", "url"))}
        always = {
            "id": record.id,
            "type": record.kind,
            "url": url_of(record),
            "created": record.created,
            "modified": record.modified,
        }
        body |= {name: value for name, value in always.items() if name in body}
        body["related"] = self._related(record, known)
        body["summary_fields"] = self._summaries(record, known, user)
        for name in list(body):
            if name in record.links and name.endswith("_nodes"):
                body[name] = [other.id for other in record.linked(name)]
        self._awx.rules[record.kind].show(record, body)
        return body

    def _refers_to(self, record: Record, name: str) -> Record | None:
        """Return the object that a field refers to."""
        value = record.values.get(name)
        if value is None or isinstance(value, (str, bool, list, dict)):
            return None
        kind = RELATED_RECORDS.get(name) or referred_kind(name)
        return self._awx.database.get(kind, value) if kind in KINDS else None

    def _related(self, record: Record, known: dict[str, Any]) -> dict[str, str]:
        found = {}
        own = re.compile(rf"^/api/v2/{KINDS[record.kind].path}/\d+/")
        for name, example in known.get("related", {}).items():
            if own.match(example) or example == "":
                found[name] = own.sub(url_of(record), example)
        for name in (*known.get("GET", ()), *RELATED_RECORDS, "source_workflow_job", "workflow_approval_template"):
            other = self._refers_to(record, name)
            if other is not None and name not in ONLY_IN_SUMMARIES:
                found[name] = url_of(other)
        return found

    def summary(self, record: Record) -> dict[str, Any]:
        """Return what others show of an object."""
        if record.kind == "user":
            return {"id": record.id, "username": record["username"], "first_name": "", "last_name": ""}
        found = {"id": record.id, "name": record["name"], "description": record["description"] or ""}
        if record.kind == "inventory":
            rules = self._awx.rules["inventory"]
            counts: dict[str, Any] = {}
            rules.show(record, counts)
            found |= counts | {"organization_id": record["organization"], "kind": record["kind"]}
        return found | {name: record[name] for name in IN_SUMMARIES.get(record.kind, ())}

    def _summaries(self, record: Record, known: dict[str, Any], user: Record) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in (*known.get("GET", ()), *RELATED_RECORDS, *known.get("summary_fields", ())):
            other = self._refers_to(record, name)
            if other is not None:
                found[name] = self.summary(other)
                if name == "unified_job_template":
                    found[name]["unified_job_type"] = UNIFIED_JOB_TYPES[other.kind]
        for name in known.get("summary_fields", ()):
            made = _MADE.get(name)
            if made:
                value = made(self, record, user)
                if value is not None:
                    found[name] = value
        return found

    def _ancestor(self, record: Record, _user: Record) -> dict[str, Any] | None:
        workflow = self._refers_to(record, "source_workflow_job")
        if workflow is None:
            return None
        above = self._ancestor(workflow, _user)
        return above or {"id": workflow.id, "name": workflow["name"], "type": workflow.kind, "url": url_of(workflow)}

    def _groups(self, record: Record, _user: Record) -> dict[str, Any]:
        groups = self._awx.database.find("group", inventory=record["inventory"])
        found = [{"id": group.id, "name": group["name"]} for group in groups if record in group.linked("hosts")]
        return {"count": len(found), "results": found}

    def _roles(self, record: Record, _user: Record) -> dict[str, Any]:
        return {field: {**texts, "id": record["roles"][field].id} for field, texts in role_fields(record.kind).items()}

    def _capabilities(self, record: Record, user: Record) -> dict[str, bool]:
        rights = self._awx.rights
        if record.kind in STARTED:
            may = rights.has(user, record, "execute_role")
            return {"delete": rights.may_change(user, record), "start": may}
        changes = rights.may_change(user, record)
        may_start = rights.has(user, record, "execute_role") if record.kind not in ("instance_group",) else False
        named = CAPABILITIES.get(record.kind, ("edit", "delete"))
        return {name: may_start if name in ("start", "schedule", "use", "adhoc") else changes for name in named}

    def _labels(self, record: Record, _user: Record) -> dict[str, Any]:
        labels = [{"id": label.id, "name": label["name"]} for label in record.linked("labels")]
        return {"count": len(labels), "results": labels}

    def _credentials(self, record: Record, _user: Record) -> list[dict[str, Any]]:
        found = []
        for credential in record.linked("credentials"):
            shown: dict[str, Any] = {"inputs": None}
            self._awx.rules["credential"].show(credential, shown)
            found.append(self.summary(credential) | {"kind": shown["kind"], "cloud": shown["cloud"]})
        return found

    def _survey(self, record: Record, _user: Record) -> dict[str, str] | None:
        survey = record["survey_spec"]
        return {"title": survey["name"], "description": survey["description"]} if survey else None

    def _recent_jobs(self, record: Record, _user: Record) -> list[dict[str, Any]]:
        jobs = [job for job in self._awx.database.all("unified_job") if job["unified_job_template"] == record.id]
        return [
            {name: job[name] for name in ("status", "finished", "canceled_on")} | {"id": job.id, "type": job.kind}
            for job in reversed(jobs)
        ]

    def _owners(self, record: Record, _user: Record) -> list[dict[str, Any]]:
        found = []
        for kind in ("user", "team", "organization"):
            owner = self._awx.database.get(kind, record[kind])
            if owner is not None:
                found.append(
                    {
                        "id": owner.id,
                        "type": kind,
                        "name": name_of(owner),
                        "description": owner["description"] or "",
                        "url": url_of(owner),
                    }
                )
        return found

    def _resource(self, record: Record, _user: Record) -> dict[str, str]:
        return {"ansible_id": record["ansible_id"], "resource_type": f"shared.{record.kind}"}

    def _counts(self, record: Record, _user: Record) -> dict[str, int]:
        database = self._awx.database
        kinds = {"inventories": "inventory", "teams": "team", "job_templates": "job_template", "projects": "project"}
        found = {name: len(database.find(kind, organization=record.id)) for name, kind in kinds.items()}
        for name, role in (("users", "member_role"), ("admins", "admin_role")):
            found[name] = len(record["roles"][role].linked("users"))
        return found

    def _resolved_environment(self, _record: Record, _user: Record) -> dict[str, Any]:
        return self.summary(self._awx.database.all("execution_environment")[0])


_MADE = {
    "object_roles": Show._roles,
    "user_capabilities": Show._capabilities,
    "labels": Show._labels,
    "groups": Show._groups,
    "ancestor_job": Show._ancestor,
    "credentials": Show._credentials,
    "survey": Show._survey,
    "recent_jobs": Show._recent_jobs,
    "owners": Show._owners,
    "resource": Show._resource,
    "related_field_counts": Show._counts,
    "resolved_environment": Show._resolved_environment,
    "recent_notifications": lambda _show, _record, _user: [],
}
