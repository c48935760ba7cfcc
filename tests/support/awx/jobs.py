# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of job templates (AWX 24.6.1, recorded: launch)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import prompts, surveys
from .database import now
from .fields import variables_of
from .refusals import Refusal
from .updates import Updates
from .work import FROM_TEMPLATE, Outcome, Work, previous_failed
from .workflows import Workflows

if TYPE_CHECKING:
    from .database import Record
    from .server import Awx

__all__ = ["Jobs", "Outcome"]


class Jobs:
    """All that runs. C(run_job) does the work of a job of a job template; here it succeeds at once."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx
        self.work = Work(awx)
        self.updates = Updates(awx, self.work)
        self.workflows = Workflows(awx, self)
        self.work.ended_in = self.workflows.advance
        self.run_job: Callable[[Record], Outcome] = lambda job: Outcome()

    def cancel(self, job: Record) -> None:
        """End a job before its end; with a workflow, what runs in it."""
        job["canceled_on"] = now()
        self.work.finish(job, "canceled")
        if job.kind == "workflow_job":
            for inner in self.workflows.unfinished(job):
                self.cancel(inner)

    def launch(self, template: Record, user: Record, body: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
        """Begin a job; return it, and the fields of the launch that were ignored."""
        database = self._awx.database
        accepted = prompts.accept_launch(database, template, body)
        wrong: dict[str, Any] = dict(accepted.wrong)
        if database.get("project", template["project"]) is None:
            wrong["resources_needed_to_start"] = ["Job Template project is missing or undefined."]
            wrong["project"] = ["A project is required to run a job."]
        if not accepted.fields.get("inventory", template["inventory"]):
            wrong.setdefault("resources_needed_to_start", []).append("Job Template inventory is missing or undefined.")
            wrong["inventory"] = ["Job Template inventory is missing or undefined."]
        wrong |= _wrong_credentials(self._awx, template, body)
        needed = prompts.passwords_needed(template)
        if set(needed) - set(body.get("credential_passwords") or {}) and "credentials" not in wrong:
            wrong["passwords_needed_to_start"] = needed
        if wrong:
            raise Refusal(400, wrong)
        return self.new(template, user, accepted.variables, accepted.fields, "manual"), accepted.ignored

    def new(
        self,
        template: Record,
        user: Record,
        variables: dict[str, Any],
        fields: dict[str, Any],
        launch_type: str,
        **more: Any,
    ) -> Record:
        """Begin a job with what was accepted. A sliced one is a workflow."""
        merged = variables_of(template["extra_vars"] or "")
        merged |= surveys.defaults(prompts.survey_of(template)) | variables
        slices = fields.get("job_slice_count", template["job_slice_count"])
        fields = {name: value for name, value in fields.items() if name in FROM_TEMPLATE["job"]}
        if slices and slices > 1 and not more.get("job_slice_number"):
            return self.workflows.new_slices(template, user, merged, slices, **more)
        job = self.work.start(
            "job",
            template,
            user,
            launch_type,
            extra_vars=json.dumps(merged),
            artifacts={},
            scm_revision="",
            instance_group=None,
            passwords_needed_to_start=[],
            job_slice_number=more.pop("job_slice_number", 0),
            webhook_guid="",
            job_template=template.id,
            **more,
        )
        job.values |= fields
        job.links["credentials"] = list(template.linked("credentials"))
        job.links["labels"] = list(template.linked("labels"))
        self.work.run(job, self._job)
        return job

    def _job(self, job: Record) -> Outcome:
        awx = self._awx
        with awx.lock:
            missing = _missing_inputs(awx, job)
            if missing:
                return Outcome("error", explanation=missing)
            updates = self._updates_before(job)
        for update in updates:
            self.work.wait_for(update)
            if update["status"] != "successful":
                return Outcome("failed", explanation=previous_failed(update))
        return self.run_job(job)

    def _updates_before(self, job: Record) -> list[Record]:
        """Begin the updates that a project and the sources of an inventory ask for before each job."""
        database, user = self._awx.database, self.work.who(job)
        project = database.get("project", job["project"])
        updates = []
        if project is not None and project["scm_update_on_launch"]:
            updates.append(self.updates.project(project, user, "dependency"))
        sources = database.find("inventory_source", inventory=job["inventory"], update_on_launch=True)
        return updates + [self.updates.inventory(source, user, "dependency") for source in sources]


def _wrong_credentials(awx: Awx, template: Record, body: dict[str, Any]) -> dict[str, list[str]]:
    """Return what is wrong with the credentials of a launch: those of the template cannot be left out."""
    given = body.get("credentials")
    if given is None:
        return {}
    missing = [credential for credential in template.linked("credentials") if credential.id not in given]
    if not missing:
        return {}
    kinds = (awx.database.get("credential_type", credential["credential_type"]) for credential in missing)
    types = {kind["name"] for kind in kinds if kind is not None}
    names = ", ".join(credential["name"] for credential in missing)
    return {
        "credentials": [
            f"Removing {', '.join(sorted(types))} credential at launch time without replacement is not supported. "
            f"Provided list lacked credential(s): {names}."
        ]
    }


def _missing_inputs(awx: Awx, job: Record) -> str:
    """Return what AWX says of a job whose credential lacks what its type requires; empty where none does."""
    for credential in job.linked("credentials"):
        kind = awx.database.get("credential_type", credential["credential_type"])
        required = kind["inputs"].get("required", []) if kind is not None else []
        missing = [name for name in required if not credential["inputs"].get(name)]
        if missing:
            return (
                f"Job cannot start because Credential {credential['name']} does not provide one or more required "
                f"fields ({', '.join(sorted(missing))}). Task failed pre-start check."
            )
    return ""
