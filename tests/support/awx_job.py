# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook as a job of AWX: with ansible-runner, and the folders, files and variables that AWX gives it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from support.awx.injectors import unsafe_yaml
from support.playbook import CALLBACKS

# The newest releases of ansible-core that differ in what they make of a survey's answers.
CORES = ("2.16", "2.19", "2.21")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
JOB = "7"

INVENTORY = """#!{python}
import json

print(json.dumps({inventory!r}))
"""


def programs_of(core: str) -> pathlib.Path:
    """Return the folder with the programs of a release of ansible-core, as MACOPS_CORE_2_16 and the like name it."""
    return pathlib.Path(os.environ[f"MACOPS_CORE_{core.replace('.', '_')}"])


@dataclasses.dataclass(frozen=True)
class Credential:
    """What a credential's injectors make: environment, and variables in a file of their own."""

    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra_vars: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that ended."""

    rc: int
    events: list[dict[str, Any]]

    @property
    def output(self) -> str:
        """Return what the job's page shows, without colors."""
        shown = [event["stdout"] for event in self.events if event["stdout"] or event["event"] == "verbose"]
        return COLOR.sub("", "\n".join(shown)).replace("\r", "")

    @property
    def artifacts(self) -> dict[str, Any]:
        """Return the statistics, which the next node of a workflow gets as variables."""
        stats = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return stats[-1]["event_data"].get("artifact_data", {}) if stats else {}

    @property
    def failures(self) -> list[str]:
        """Return the messages of the failed tasks."""
        failed = (event["event_data"] for event in self.events if event["event"] == "runner_on_failed")
        return [str(data["res"].get("msg")) for data in failed if not data.get("ignore_errors")]

    def assert_ok(self) -> Job:
        """Hold that it was successful, and that a host did something."""
        assert self.rc == 0, self.output[-6000:]
        assert any(event["event"] == "runner_on_ok" for event in self.events), self.output
        return self

    def assert_refused(self, *words: str) -> Job:
        """Hold that it failed with one message of one line that has these words."""
        assert self.rc != 0, self.output[-6000:]
        (message,) = set(self.failures)
        assert "\n" not in message, message
        for word in words:
            assert word in message, message
        return self


@dataclasses.dataclass(frozen=True)
class Awx:
    """Runs jobs in private data directories below a folder.

    C(modules): a folder that keeps the modules as Ansible packed them, for other jobs with the same collections.
    """

    folder: pathlib.Path
    collections: pathlib.Path
    core: str
    modules: pathlib.Path

    def run(self, playbook: str, inventory: Mapping[str, Any], **options: Any) -> Job:
        """Run one to its end; for the options see C(start)."""
        with self.start(playbook, inventory, **options) as job:
            return job.finish()

    @contextlib.contextmanager
    def start(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        *,
        survey: Mapping[str, Any] | None = None,
        template: Mapping[str, Any] | None = None,
        credential: Credential | None = None,
        limit: str = "",
        check: bool = False,
        project: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[RunningJob]:
        """Start a job.

        C(playbook): the name of one of the collection, or of a file in C(project). C(survey): the answers, and what
        earlier nodes hand on. C(template): the variables of the job template, in which templates are evaluated.
        """
        data = self.folder / f"awx_{JOB}_{time.monotonic_ns()}"
        for name in ("project", "inventory", "env", "cp", "artifacts", "requirements_roles"):
            (data / name).mkdir(parents=True, mode=0o700)
        (data / "requirements_collections").symlink_to(self.collections)
        files = {
            f"{playbook}.yml": f"- ansible.builtin.import_playbook: macops.parallels.{playbook}\n",
            **(project or {}),
        }
        for name, content in files.items():
            path = data / "project" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        hosts = data / "inventory" / "hosts"
        hosts.write_text(INVENTORY.format(python=sys.executable, inventory=_as_awx_prints(inventory)), encoding="utf-8")
        hosts.chmod(0o700)
        arguments = ["-u", "root", *(["--check"] if check else []), *(["-l", limit] if limit else [])]
        if credential:
            passed = data / "env" / "tmp0credential"
            passed.write_text(unsafe_yaml(credential.extra_vars) or "{}\n", encoding="utf-8")
            passed.chmod(0o400)
            arguments += ["-e", f"@{passed}"]
        (data / "env" / "cmdline").write_text(" ".join(arguments), encoding="utf-8")
        given = {**(template or {}), **(survey or {}), **_of_the_job(playbook)}
        (data / "env" / "extravars").write_text(unsafe_yaml(given, trusted=template), encoding="utf-8")
        settings = {**self._environment(data), **(credential.env if credential else {}), **(environment or {})}
        (data / "env" / "envvars").write_text(json.dumps(settings), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "ansible_runner",
            "run",
            str(data),
            "-p",
            f"{playbook}.yml",
            "--ident",
            JOB,
            "-q",
        ]
        process = subprocess.Popen(
            command,
            env={**_own_environment(), "PATH": f"{programs_of(self.core)}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running = RunningJob(process, data)
        try:
            yield running
        finally:
            running.cancel()

    def _environment(self, data: pathlib.Path) -> dict[str, str]:
        """Return what AWX sets, and settings for a machine on which other tests run."""
        collections = f"{data / 'requirements_collections'}:{data / 'home'}/.ansible/collections"
        # Each ansible-core packs its own files with a module.
        modules = self.modules / self.core
        modules.mkdir(exist_ok=True)
        return {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_FORCE_COLOR": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(data / "cp"),
            "ANSIBLE_COLLECTIONS_PATHS" if self.core == "2.16" else "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_ROLES_PATH": f"{data / 'requirements_roles'}:{data / 'home'}/.ansible/roles",
            "AWX_PRIVATE_DATA_DIR": str(data),
            "AWX_ISOLATED_DATA_DIR": str(data / "artifacts" / JOB),
            "AWX_HOST": "https://awx.example.com",
            "JOB_ID": JOB,
            "INVENTORY_ID": "1",
            "PROJECT_REVISION": "0123456789abcdef",
            "MAX_EVENT_RES": "700000",
            "PACKED_MODULES": str(modules),
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
            "ANSIBLE_HOME": str(data / "home" / ".ansible"),
            "HOME": str(data / "home"),
        }


@dataclasses.dataclass
class RunningJob:
    """A job that has begun."""

    process: subprocess.Popen[str]
    data: pathlib.Path

    def finish(self, timeout: float = 900) -> Job:
        """Wait for its end."""
        said, _nothing = self.process.communicate(timeout=timeout)
        events = self.events()
        assert events, said
        return Job(self.process.returncode, events)

    def events(self) -> list[dict[str, Any]]:
        """Return its events by now, as AWX gets them."""
        found = [
            path
            for path in (self.data / "artifacts" / JOB / "job_events").glob("*-*.json")
            if "partial" not in path.name
        ]
        return [
            json.loads(path.read_text("utf-8")) for path in sorted(found, key=lambda path: int(path.name.split("-")[0]))
        ]

    def cancel(self) -> None:
        """End it as AWX cancels a job: the whole group of processes, at once, so that nothing can clean up."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        # Its playbook is in a group of its own.
        for status in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"AWX_PRIVATE_DATA_DIR={self.data}\0".encode() in status.read_bytes() and _is_ansible(status.parent):
                    os.kill(int(status.parent.name), signal.SIGKILL)
        self.process.wait()


def _is_ansible(process: pathlib.Path) -> bool:
    """Return whether it is part of the playbook: the work on a Mac goes on without it."""
    words = (process / "cmdline").read_bytes().split(b"\0")
    return any(word.endswith((b"/ansible-playbook", b"ansible_runner")) for word in words[:4])


def _as_awx_prints(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the inventory script of a job prints: group by group, the hosts' variables in C(_meta)."""
    printed: dict[str, Any] = {"all": {"hosts": [], "children": [], "vars": {}}, "_meta": {"hostvars": {}}}
    for group, content in inventory.items():
        hosts = content.get("hosts", {})
        printed[group] = {"hosts": list(hosts), "children": [], "vars": content.get("vars", {})}
        printed["all"]["children"].append(group)
        for number, (host, variables) in enumerate(hosts.items(), start=1):
            added = {"remote_host_enabled": "true", "remote_host_id": number}
            added.update({f"remote_tower_{name[12:]}": value for name, value in added.items()})
            printed["_meta"]["hostvars"][host] = {**variables, **added}
    return printed


def _of_the_job(playbook: str) -> dict[str, Any]:
    """Return the variables that AWX adds."""
    own = {
        "job_id": int(JOB),
        "job_launch_type": "manual",
        "user_id": 1,
        "user_name": "admin",
        "user_email": "",
        "user_first_name": "",
        "user_last_name": "",
        "inventory_id": 1,
        "inventory_name": "Build Macs",
        "project_revision": "0123456789abcdef",
        "project_scm_branch": "",
        "job_template_id": 9,
        "job_template_name": playbook,
        "execution_node": "localhost",
    }
    return {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in own.items()}


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
