# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workflows that run, and their approvals (AWX 24.6.1, recorded: workflow)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import prompts, surveys
from .database import Record, now
from .fields import variables_of
from .refusals import Refusal
from .work import FAILED, FINISHED, FROM_TEMPLATE

if TYPE_CHECKING:
    from .jobs import Jobs
    from .server import Awx

NO_ERROR_PATH = "No error handling paths found, marking workflow as failed"
# The links of a node, and the ends of a job after which each is followed.
FOLLOWED = {
    "success_nodes": ("successful",),
    "failure_nodes": FAILED,
    "always_nodes": FINISHED,
}


class Workflows:
    """Launches workflows, and starts their nodes one after the other."""

    def __init__(self, awx: Awx, jobs: Jobs) -> None:
        self._awx = awx
        self._jobs = jobs
        self._work = jobs.work

    def launch(self, template: Record, user: Record, body: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
        """Begin a workflow; return it, and the fields of the launch that were ignored."""
        accepted = prompts.accept_launch(self._awx.database, template, body)
        if accepted.wrong:
            raise Refusal(400, accepted.wrong)
        return self.new(template, user, accepted.variables, accepted.fields), accepted.ignored

    def new(
        self, template: Record, user: Record, variables: dict[str, Any], fields: dict[str, Any], **more: Any
    ) -> Record:
        """Begin a workflow with what was accepted."""
        merged = variables_of(template["extra_vars"] or "")
        merged |= surveys.defaults(prompts.survey_of(template)) | variables
        workflow = self._work.start(
            "workflow_job",
            template,
            user,
            "manual",
            extra_vars=json.dumps(merged),
            is_sliced_job=False,
            job_template=None,
            webhook_guid="",
            **more,
        )
        workflow.values |= {name: value for name, value in fields.items() if name in FROM_TEMPLATE["workflow_job"]}
        twins = {}
        for node in self._awx.database.find("workflow_job_template_node", workflow_job_template=template.id):
            kept = ("unified_job_template", "identifier", "extra_data", "all_parents_must_converge", *prompts.PROMPTS)
            values = {name: node[name] for name in kept}
            twins[node] = self._awx.database.add(
                "workflow_job_node", workflow_job=workflow.id, job=None, do_not_run=False, **values
            )
        for node, twin in twins.items():
            twin.links |= {name: [twins[child] for child in node.linked(name) if child in twins] for name in FOLLOWED}
            twin.links["credentials"] = list(node.linked("credentials"))
        self._begin(workflow)
        return workflow

    def new_slices(self, template: Record, user: Record, variables: dict[str, Any], slices: int, **more: Any) -> Record:
        """Begin a workflow of one job for each part of the hosts. One host is one job, whatever was asked for."""
        hosts = len(self._awx.database.find("host", inventory=template["inventory"]))
        workflow = self._work.start(
            "workflow_job",
            template,
            user,
            "manual",
            extra_vars=json.dumps(variables),
            is_sliced_job=True,
            webhook_guid="",
            workflow_job_template=None,
            **more,
        )
        for number in range(1, min(slices, max(hosts, 1)) + 1):
            self._awx.database.add(
                "workflow_job_node",
                workflow_job=workflow.id,
                unified_job_template=template.id,
                identifier="",
                extra_data={},
                job=None,
                do_not_run=False,
                all_parents_must_converge=False,
                slice_number=number,
                **dict.fromkeys(prompts.PROMPTS),
            ).links |= {name: [] for name in FOLLOWED}
        self._begin(workflow)
        return workflow

    def _begin(self, workflow: Record) -> None:
        def begin() -> None:
            with self._awx.lock:
                workflow.values |= {"status": "running", "started": now()}
                self.advance(workflow)

        self._work.in_background(begin)

    def unfinished(self, workflow: Record) -> list[Record]:
        """Return the jobs of a workflow that have not ended."""
        jobs = (self._awx.database.get("unified_job", node["job"]) for node in self.nodes(workflow))
        return [job for job in jobs if job is not None and job["status"] not in FINISHED]

    def nodes(self, workflow: Record) -> list[Record]:
        """Return the nodes of a workflow that was launched."""
        return self._awx.database.find("workflow_job_node", workflow_job=workflow.id)

    def advance(self, workflow: Record) -> None:
        """Start the nodes of a workflow whose turn it is, and end it after the last."""
        if workflow["status"] in FINISHED:
            return
        nodes = self.nodes(workflow)
        changed = True
        while changed:
            changed = False
            for node in nodes:
                if node["job"] is None and not node["do_not_run"]:
                    verdict = self._turn(node, nodes)
                    if verdict is not None:
                        changed = True
                        if not (verdict and self._start_node(workflow, node)):
                            node["do_not_run"] = True
        if any(self._status(node) not in (None, *FINISHED) for node in nodes):
            return
        self._end(workflow, nodes)

    def _status(self, node: Record) -> str | None:
        job = self._awx.database.get("unified_job", node["job"])
        return job["status"] if job is not None else ("failed" if node["failed_to_start"] else None)

    def _turn(self, node: Record, nodes: list[Record]) -> bool | None:
        """Return whether a node is to start: True, never, or None for not yet."""
        verdicts: list[bool | None] = []
        for parent in nodes:
            for link, ends in FOLLOWED.items():
                if node in parent.linked(link):
                    status = self._status(parent)
                    if parent["do_not_run"] and not parent["failed_to_start"]:
                        verdicts.append(False)
                    elif status in FINISHED:
                        verdicts.append(status in ends)
                    else:
                        verdicts.append(None)
        if not verdicts:
            return True
        if node["all_parents_must_converge"]:
            return False if False in verdicts else (None if None in verdicts else True)
        return None if None in verdicts else any(verdicts)

    def _start_node(self, workflow: Record, node: Record) -> bool:
        """Start the job of a node; return False where it has nothing that can start."""
        template = self._awx.database.get("unified_job_template", node["unified_job_template"])
        job = _STARTERS[template.kind](self, workflow, node, template) if template is not None else None
        if job is None:
            node["failed_to_start"] = True
            return False
        job["source_workflow_job"] = workflow.id
        node["job"] = job.id
        return True

    def _start_approval(self, workflow: Record, _node: Record, template: Record) -> Record:
        user = self._work.who(workflow)
        job = self._work.start("workflow_approval", template, user, "workflow", workflow_job=workflow.id)
        job.values |= {"started": now(), "event_processing_finished": True, "timed_out": False}
        job["workflow_job_template"] = workflow["workflow_job_template"]
        return job

    def _start_job(self, workflow: Record, node: Record, template: Record) -> Record | None:
        # The workflow's variables come last, and reach every job, whatever the template asks for.
        variables = (node["extra_data"] or {}) | self._artifacts(node) | variables_of(workflow["extra_vars"] or "")
        questions = prompts.survey_of(template).get("spec", [])
        if any(surveys.wrong_answer(question, variables) for question in questions):
            return None
        fields = {name: node[name] for name in prompts.PROMPTS if node[name] is not None}
        more = {"job_slice_number": node["slice_number"]} if node["slice_number"] else {}
        more["source_workflow_job"] = workflow.id
        return self._jobs.new(template, self._work.who(workflow), variables, fields, "workflow", **more)

    def _start_workflow(self, workflow: Record, node: Record, template: Record) -> Record:
        variables = (node["extra_data"] or {}) | variables_of(workflow["extra_vars"] or "")
        return self.new(template, self._work.who(workflow), variables, {}, source_workflow_job=workflow.id)

    def _start_project(self, workflow: Record, _node: Record, template: Record) -> Record:
        return self._jobs.updates.project(template, self._work.who(workflow), "workflow")

    def _start_source(self, workflow: Record, _node: Record, template: Record) -> Record | None:
        try:
            return self._jobs.updates.inventory(template, self._work.who(workflow), "workflow")
        except Refusal:
            return None

    def _artifacts(self, node: Record) -> dict[str, Any]:
        """Return the statistics of all nodes before a node."""
        found: dict[str, Any] = {}
        for parent in self._awx.database.find("workflow_job_node", workflow_job=node["workflow_job"]):
            if any(node in parent.linked(link) for link in FOLLOWED):
                job = self._awx.database.get("unified_job", parent["job"])
                found |= self._artifacts(parent) | ((job["artifacts"] or {}) if job is not None else {})
        return found

    def _end(self, workflow: Record, nodes: list[Record]) -> None:
        unhandled = [
            node
            for node in nodes
            if self._status(node) in FAILED and not node.linked("failure_nodes") and not node.linked("always_nodes")
        ]
        workflow["artifacts"] = {}
        self._work.finish(workflow, "failed" if unhandled else "successful", NO_ERROR_PATH if unhandled else "")

    def decide(self, approval: Record, user: Record, approve: bool) -> None:
        """Approve or deny."""
        if approval["status"] != "pending":
            raise Refusal(400, {"error": "This workflow step has already been approved or denied."})
        approval["approved_or_denied_by"] = user.id
        self._work.finish(approval, "successful" if approve else "failed")


_STARTERS = {
    "workflow_approval_template": Workflows._start_approval,
    "job_template": Workflows._start_job,
    "workflow_job_template": Workflows._start_workflow,
    "project": Workflows._start_project,
    "inventory_source": Workflows._start_source,
}
