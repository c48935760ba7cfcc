# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of projects, and of inventories from their sources (AWX 24.6.1, recorded: project, inventory)."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from .inventories import import_inventory
from .projects import check_out
from .refusals import Refusal
from .work import Outcome, Work, previous_failed

if TYPE_CHECKING:
    from .database import Record
    from .server import Awx


class Updates:
    """Updates projects with git, and inventories with ansible-inventory."""

    def __init__(self, awx: Awx, work: Work) -> None:
        self._awx = awx
        self._work = work
        self._listed: dict[tuple[str, str], dict[str, Any]] = {}

    def project(self, project: Record, user: Record, launch_type: str = "manual") -> Record:
        """Begin to update a project."""
        job = self._work.start("project_update", project, user, launch_type, job_type="check", job_tags="update_git")
        job["execution_environment"] = self._awx.control_plane.id
        self._work.run(job, self._project_update)
        return job

    def _project_update(self, job: Record) -> Outcome:
        fault = self._awx.faults.project_update
        if fault == "hangs":
            self._work.wait_for(job)
            return Outcome("canceled")
        if fault is not None:
            return Outcome(fault)
        with self._awx.lock:
            project = self._work.template(job)
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

    def inventory(self, source: Record, user: Record, launch_type: str = "manual") -> Record:
        """Begin to update an inventory from its source."""
        project = self._awx.database.get("project", source["source_project"])
        if project is not None and not project["scm_revision"]:
            raise Refusal(400, {"__all__": ["Missing a revision to run due to failed project update."]})
        job = self._work.start("inventory_update", source, user, launch_type, inventory_source=source.id)
        inventory = self._awx.database.get("inventory", source["inventory"])
        job["name"] = f"{inventory['name'] if inventory else ''} - {source['name']}"
        self._work.run(job, self._inventory_update)
        return job

    def _inventory_update(self, job: Record) -> Outcome:
        awx = self._awx
        if awx.faults.inventory_update is not None:
            return Outcome(awx.faults.inventory_update)
        with awx.lock:
            source = self._work.template(job)
            project = awx.database.get("project", source["source_project"])
        if project is None:
            return Outcome("failed", explanation="The stand-in has no such source.")
        # A source in a project updates the project first, each time.
        with awx.lock:
            update = self.project(project, self._work.who(job), "sync")
            job["source_project_update"] = update.id
        self._work.wait_for(update)
        if update["status"] != "successful":
            return Outcome("failed", explanation=previous_failed(update))
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
