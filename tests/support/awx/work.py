# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How anything runs: a job waits, runs beside the requests, and ends (AWX 24.6.1, recorded: launch).

As in AWX, who starts something gets the answer "pending", and asks again.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .database import Record, now

if TYPE_CHECKING:
    from .server import Awx

FAILED = ("failed", "error", "canceled")
FINISHED = ("successful", *FAILED)

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


class Work:
    """Begins and ends jobs of all kinds. C(ended_in) is called when one ends in a workflow."""

    def __init__(self, awx: Awx) -> None:
        self._awx = awx
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.ended_in: Callable[[Record], None] = lambda workflow: None

    def stop(self) -> None:
        """Run nothing more, and leave nothing running."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def start(self, kind: str, template: Record, user: Record, launch_type: str, **values: Any) -> Record:
        """Make a job of a template, which waits for its turn."""
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

    def run(self, job: Record, work: Callable[[Record], Outcome]) -> None:
        """Do the work of a job beside the requests."""

        def run() -> None:
            awx = self._awx
            with awx.lock:
                if job["status"] != "pending":
                    return
                job.values |= {"status": "running", "started": now(), "execution_node": "awx-1"}
                job["instance_group"] = awx.instance_group.id
                self.template(job)["status"] = "running"
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

        self.in_background(run)

    def in_background(self, work: Callable[[], None]) -> None:
        """Run something beside the requests."""
        # A thread each: jobs wait for updates, and these for others.
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def template(self, job: Record) -> Record:
        """Return what a job is a job of."""
        return self._awx.database.get("unified_job_template", job["unified_job_template"]) or job

    def who(self, job: Record) -> Record:
        """Return who started a job."""
        user = self._awx.database.get("user", job["created_by"])
        assert user is not None
        return user

    def wait_for(self, job: Record) -> None:
        """Wait until a job has ended."""
        while not self._stopped.wait(0.01):
            with self._awx.lock:
                if job["status"] in FINISHED:
                    return

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
        template = self.template(job)
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
            self.ended_in(workflow)


def previous_failed(job: Record) -> str:
    """Return what AWX says of a job that waited for one that failed."""
    name = json.dumps({"job_type": job.kind, "job_name": job["name"], "job_id": str(job.id)})
    return f"Previous Task Failed: {name}"
