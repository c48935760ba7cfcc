# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: updates of projects and inventories, jobs, workflows and approvals (AWX 24.6.1, recorded: launch).

Everything runs beside the requests, as in AWX: who starts something gets the answer "pending", and asks again.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import prompts, surveys
from .database import Record, now
from .fields import variables_of
from .inventories import import_inventory
from .projects import check_out
from .refusals import Refusal

if TYPE_CHECKING:
    from .server import Awx

FAILED = ("failed", "error", "canceled")
FINISHED = ("successful", *FAILED)
NO_ERROR_PATH = "No error handling paths found, marking workflow as failed"
# The links of a node, and the ends of a job after which each is followed.
FOLLOWED = {
    "success_nodes": ("successful",),
    "failure_nodes": FAILED,
    "always_nodes": FINISHED,
}
# The fields that a job takes over from its template.
FROM_TEMPLATE = {
    "job": [
        "job_type",
        "inventory",
        "project",
        "playbook",
        "scm_branch",
        "forks",
        "limit",
        "verbosity",
        "job_tags",
        "force_handlers",
        "skip_tags",
        "start_at_task",
        "timeout",
        "use_fact_cache",
        "organization",
        "execution_environment",
        "allow_simultaneous",
        "diff_mode",
        "job_slice_count",
        "webhook_service",
        "webhook_credential",
    ],
    "workflow_job": [
        "organization",
        "inventory",
        "limit",
        "scm_branch",
        "job_tags",
        "skip_tags",
        "allow_simultaneous",
        "webhook_service",
        "webhook_credential",
    ],
    "project_update": [
        "local_path",
        "scm_type",
        "scm_url",
        "scm_branch",
        "scm_refspec",
        "scm_clean",
        "scm_track_submodules",
        "scm_delete_on_update",
        "credential",
        "timeout",
        "organization",
    ],
    "inventory_update": [
        "source",
        "source_path",
        "source_vars",
        "scm_branch",
        "credential",
        "enabled_var",
        "enabled_value",
        "host_filter",
        "overwrite",
        "overwrite_vars",
        "timeout",
        "verbosity",
        "limit",
        "inventory",
        "organization",
    ],
    "workflow_approval": [],
}


@dataclasses.dataclass
class Outcome:
    """How a job ends: its status, and its statistics for the next nodes."""

    status: str = "successful"
    artifacts: dict[str, Any] = dataclasses.field(default_factory=dict)
    explanation: str = ""


class Jobs:
    """All that runs. C(run_job) does the work of a job of a job template; here it succeeds at once."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._listed: dict[tuple[str, str], dict[str, Any]] = {}
        self.run_job: Callable[[Record], Outcome] = lambda job: Outcome()

    def stop(self) -> None:
        """Run nothing more, and leave nothing running."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _start(self, kind: str, template: Record, user: Record, launch_type: str, **values: Any) -> Record:
        fields = {name: template[name] for name in FROM_TEMPLATE[kind]}
        fields |= {
            "name": template["name"],
            "description": template["description"] or "",
            "unified_job_template": template.id,
            template.kind: template.id,
            "launch_type": launch_type,
            "status": "pending",
            "failed": False,
            "started": None,
            "finished": None,
            "canceled_on": None,
            "elapsed": 0.0,
            "job_args": "",
            "job_cwd": "",
            "job_env": {},
            "job_explanation": "",
            "execution_node": "",
            "controller_node": "",
            "result_traceback": "",
            "event_processing_finished": False,
            "launched_by": {
                "id": user.id,
                "name": user["username"],
                "type": "user",
                "url": f"/api/v2/users/{user.id}/",
            },
            "work_unit_id": None,
            "created_by": user.id,
            "modified_by": user.id,
            **values,
        }
        job = self._awx.database.add(kind, **fields)
        template["status"] = "pending"
        template["current_job"] = template["current_update"] = job.id
        return job

    def _run(self, job: Record, work: Callable[[Record], Outcome]) -> None:
        def run() -> None:
            awx = self._awx
            with awx.lock:
                if job["status"] != "pending":
                    return
                job.values |= {"status": "running", "started": now(), "execution_node": "awx-1"}
                job["instance_group"] = awx.instance_group.id
                self._template(job)["status"] = "running"
            began = time.monotonic()
            try:
                outcome = work(job)
            except Exception as error:  # what went wrong is the job's
                outcome = Outcome("error", explanation=str(error))
            with awx.lock:
                if job["status"] not in FINISHED:
                    job["elapsed"] = round(time.monotonic() - began, 3)
                    job["artifacts"] = outcome.artifacts
                    self.finish(job, outcome.status, outcome.explanation)

        self._in_background(run)

    def _in_background(self, work: Callable[[], None]) -> None:
        # A thread each: jobs wait for updates, and these for others.
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _template(self, job: Record) -> Record:
        return self._awx.database.get("unified_job_template", job["unified_job_template"]) or job

    def finish(self, job: Record, status: str, explanation: str = "") -> None:
        """Let a job end."""
        failed = status in FAILED
        job.values |= {
            "status": status,
            "failed": failed,
            "finished": now(),
            "event_processing_finished": True,
            "job_explanation": explanation,
        }
        template = self._template(job)
        template.values |= {
            "status": status,
            "last_job": job.id,
            "last_update": job.id,
            "last_job_run": job["finished"],
            "last_updated": job["finished"],
            "last_job_failed": failed,
            "last_update_failed": failed,
            "current_job": None,
            "current_update": None,
        }
        workflow = self._awx.database.get("workflow_job", job["source_workflow_job"])
        if workflow is not None:
            self._advance(workflow)

    def cancel(self, job: Record) -> None:
        """End a job before its end."""
        job["canceled_on"] = now()
        self.finish(job, "canceled")

    # Updates

    def update_project(self, project: Record, user: Record, launch_type: str = "manual") -> Record:
        """Begin to update a project."""
        job = self._start("project_update", project, user, launch_type, job_type="check", job_tags="update_git")
        job["execution_environment"] = self._awx.control_plane.id
        self._run(job, self._project_update)
        return job

    def _project_update(self, job: Record) -> Outcome:
        fault = self._awx.faults.project_update
        if fault == "hangs":
            self._wait_for(job)
            return Outcome("canceled")
        if fault is not None:
            return Outcome(fault)
        with self._awx.lock:
            project = self._template(job)
            credential = self._awx.database.get("credential", project["signature_validation_credential"])
        if credential is not None:
            kind = self._awx.database.get("credential_type", credential["credential_type"])
            if kind is None or kind["kind"] != "cryptography":
                return Outcome("error", explanation="The credential cannot verify signatures.")
        try:
            revision = check_out(project["scm_url"], project["scm_branch"], self._awx.checkout(project))
        except subprocess.CalledProcessError as error:
            return Outcome("failed", explanation=f"{error.stderr or error}")
        with self._awx.lock:
            job["scm_revision"] = project["scm_revision"] = revision
        return Outcome()

    def update_inventory(self, source: Record, user: Record, launch_type: str = "manual") -> Record:
        """Begin to update an inventory from its source."""
        project = self._awx.database.get("project", source["source_project"])
        if project is not None and not project["scm_revision"]:
            raise Refusal(400, {"__all__": ["Missing a revision to run due to failed project update."]})
        job = self._start("inventory_update", source, user, launch_type, inventory_source=source.id)
        inventory = self._awx.database.get("inventory", source["inventory"])
        job["name"] = f"{inventory['name'] if inventory else ''} - {source['name']}"
        self._run(job, self._inventory_update)
        return job

    def _inventory_update(self, job: Record) -> Outcome:
        awx = self._awx
        if awx.faults.inventory_update is not None:
            return Outcome(awx.faults.inventory_update)
        with awx.lock:
            source = self._template(job)
            project = awx.database.get("project", source["source_project"])
        if project is None:
            return Outcome("failed", explanation="The stand-in has no such source.")
        # A source in a project updates the project first, each time.
        with awx.lock:
            update = self.update_project(project, self._who(job), "sync")
            job["source_project_update"] = update.id
        self._wait_for(update)
        if update["status"] != "successful":
            return Outcome("failed", explanation=_previous_failed(update))
        try:
            listed = self._list_inventory(project, source)
        except subprocess.CalledProcessError as error:
            return Outcome("failed", explanation=str(error.stderr))
        with awx.lock:
            job["scm_revision"] = project["scm_revision"]
            import_inventory(awx, source, listed)
        return Outcome()

    def _list_inventory(self, project: Record, source: Record) -> dict[str, Any]:
        """Return what ansible-inventory says; of the same file of the same revision, it is asked once."""
        known = (project["scm_revision"], source["source_path"])
        if known not in self._listed:
            folder = self._awx.checkout(project)
            path = folder / source["source_path"]
            if not path.exists():
                raise subprocess.CalledProcessError(
                    4, "ansible-inventory", stderr=f"{source['source_path']}: no such file"
                )
            command = [self._awx.ansible_inventory, "--list", "--export", "-i", str(path)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=folder, stdin=subprocess.DEVNULL
            )
            self._listed[known] = json.loads(done.stdout)
        return self._listed[known]

    # Job templates

    def launch_job(self, template: Record, user: Record, body: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
        """Begin a job; return it, and what of the launch was ignored."""
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
        return self._new_job(template, user, accepted.variables, accepted.fields, "manual"), accepted.ignored

    def _new_job(
        self,
        template: Record,
        user: Record,
        variables: dict[str, Any],
        fields: dict[str, Any],
        launch_type: str,
        **more: Any,
    ) -> Record:
        merged = variables_of(template["extra_vars"] or "")
        merged |= surveys.defaults(prompts.survey_of(template)) | variables
        slices = fields.get("job_slice_count", template["job_slice_count"])
        fields = {name: value for name, value in fields.items() if name in FROM_TEMPLATE["job"]}
        if slices and slices > 1 and not more.get("job_slice_number"):
            return self._new_slices(template, user, merged, slices, **more)
        job = self._start(
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
        self._run(job, self._job)
        return job

    def _new_slices(
        self, template: Record, user: Record, variables: dict[str, Any], slices: int, **more: Any
    ) -> Record:
        """Begin a workflow of one job for each part of the hosts. One host is one job, whatever was asked for."""
        hosts = len(self._awx.database.find("host", inventory=template["inventory"]))
        workflow = self._start(
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
        self._begin_workflow(workflow)
        return workflow

    def _job(self, job: Record) -> Outcome:
        awx = self._awx
        with awx.lock:
            missing = _missing_inputs(awx, job)
            if missing:
                return Outcome("error", explanation=missing)
            updates = self._updates_before(job)
        for update in updates:
            self._wait_for(update)
            if update["status"] != "successful":
                return Outcome("failed", explanation=_previous_failed(update))
        return self.run_job(job)

    def _updates_before(self, job: Record) -> list[Record]:
        """Begin the updates that a project and the sources of an inventory ask for before each job."""
        database, user = self._awx.database, self._who(job)
        project = database.get("project", job["project"])
        updates = []
        if project is not None and project["scm_update_on_launch"]:
            updates.append(self.update_project(project, user, "dependency"))
        sources = database.find("inventory_source", inventory=job["inventory"], update_on_launch=True)
        return updates + [self.update_inventory(source, user, "dependency") for source in sources]

    def _who(self, job: Record) -> Record:
        user = self._awx.database.get("user", job["created_by"])
        assert user is not None
        return user

    def _wait_for(self, job: Record) -> None:
        while not self._stopped.wait(0.01):
            with self._awx.lock:
                if job["status"] in FINISHED:
                    return

    # Workflows

    def launch_workflow(self, template: Record, user: Record, body: dict[str, Any]) -> tuple[Record, dict[str, Any]]:
        """Begin a workflow; return it, and what of the launch was ignored."""
        accepted = prompts.accept_launch(self._awx.database, template, body)
        if accepted.wrong:
            raise Refusal(400, accepted.wrong)
        return self._new_workflow(template, user, accepted.variables, accepted.fields), accepted.ignored

    def _new_workflow(
        self, template: Record, user: Record, variables: dict[str, Any], fields: dict[str, Any], **more: Any
    ) -> Record:
        merged = variables_of(template["extra_vars"] or "")
        merged |= surveys.defaults(prompts.survey_of(template)) | variables
        workflow = self._start(
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
        self._begin_workflow(workflow)
        return workflow

    def _begin_workflow(self, workflow: Record) -> None:
        def begin() -> None:
            with self._awx.lock:
                workflow.values |= {"status": "running", "started": now()}
                self._advance(workflow)

        self._in_background(begin)

    def nodes(self, workflow: Record) -> list[Record]:
        return self._awx.database.find("workflow_job_node", workflow_job=workflow.id)

    def _advance(self, workflow: Record) -> None:
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
        self._end_workflow(workflow, nodes)

    def _status(self, node: Record) -> str | None:
        job = self._awx.database.get("unified_job", node["job"])
        return job["status"] if job is not None else ("failed" if node["failed_to_start"] else None)

    def _turn(self, node: Record, nodes: list[Record]) -> bool | None:
        """Return whether a node is to start: True, never, or None for not yet."""
        verdicts = []
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
        awx = self._awx
        template = awx.database.get("unified_job_template", node["unified_job_template"])
        user = awx.database.get("user", workflow["created_by"])
        if template is None or user is None:
            node["failed_to_start"] = True
            return False
        more: dict[str, Any] = {"source_workflow_job": workflow.id}
        if template.kind == "workflow_approval_template":
            job = self._start("workflow_approval", template, user, "workflow", workflow_job=workflow.id, **more)
            job["workflow_job_template"] = workflow["workflow_job_template"]
            job.values |= {"started": now(), "event_processing_finished": True, "timed_out": False}
        elif template.kind == "job_template":
            # The workflow's variables come last, and reach every job, whatever the template asks for.
            variables = (node["extra_data"] or {}) | self._artifacts(node) | variables_of(workflow["extra_vars"] or "")
            fields = {name: node[name] for name in prompts.PROMPTS if node[name] is not None}
            required = [
                problem
                for question in prompts.survey_of(template).get("spec", [])
                for problem in surveys.wrong_answer(question, variables)
            ]
            if required:
                node["failed_to_start"] = True
                return False
            if node["slice_number"]:
                more["job_slice_number"] = node["slice_number"]
            job = self._new_job(template, user, variables, fields, "workflow", **more)
        elif template.kind == "workflow_job_template":
            job = self._new_workflow(template, user, node["extra_data"] or {}, {}, **more)
        elif template.kind == "project":
            job = self.update_project(template, user, "workflow")
            job["source_workflow_job"] = workflow.id
        else:
            job = self.update_inventory(template, user, "workflow")
            job["source_workflow_job"] = workflow.id
        node["job"] = job.id
        return True

    def _artifacts(self, node: Record) -> dict[str, Any]:
        """Return the statistics of all nodes before a node."""
        found: dict[str, Any] = {}
        for parent in self._awx.database.find("workflow_job_node", workflow_job=node["workflow_job"]):
            if any(node in parent.linked(link) for link in FOLLOWED):
                job = self._awx.database.get("unified_job", parent["job"])
                found |= self._artifacts(parent) | ((job["artifacts"] or {}) if job is not None else {})
        return found

    def _end_workflow(self, workflow: Record, nodes: list[Record]) -> None:
        unhandled = [
            node
            for node in nodes
            if self._status(node) in FAILED and not node.linked("failure_nodes") and not node.linked("always_nodes")
        ]
        workflow["artifacts"] = {}
        self.finish(workflow, "failed" if unhandled else "successful", NO_ERROR_PATH if unhandled else "")

    def decide(self, approval: Record, user: Record, approve: bool) -> None:
        """Approve or deny."""
        if approval["status"] != "pending":
            raise Refusal(400, {"error": "This workflow step has already been approved or denied."})
        approval["approved_or_denied_by"] = user.id
        self.finish(approval, "successful" if approve else "failed")


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


def _previous_failed(job: Record) -> str:
    name = json.dumps({"job_type": job.kind, "job_name": job["name"], "job_id": str(job.id)})
    return f"Previous Task Failed: {name}"


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
