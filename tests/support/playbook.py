# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook with the real ansible-playbook, and tells what each task did."""

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
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CALLBACKS = pathlib.Path(__file__).with_name("callbacks")
SETTINGS = pathlib.Path(__file__).with_name("ansible.cfg")
WARNING = re.compile(r"^.*\[(?:DEPRECATION )?WARNING\].*$", re.MULTILINE)

Hosts = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What one task did on one host."""

    host: str
    name: str
    action: str
    status: str
    changed: bool
    item: bool
    result: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class PlaybookRun:
    """A run that ended."""

    rc: int
    output: str
    seconds: float
    tasks: list[Task]
    stats: dict[str, dict[str, int]]
    # What set_stats handed on.
    custom_stats: dict[str, Any]

    @property
    def changed(self) -> list[Task]:
        """Return the tasks that changed something."""
        return [task for task in self.tasks if task.changed and not task.item]

    @property
    def failed(self) -> list[Task]:
        """Return the tasks that ended the run of a host."""
        return [task for task in self.tasks if task.status in ("failed", "unreachable") and not task.item]

    @property
    def messages(self) -> str:
        """Return the messages of the failed tasks."""
        return "\n".join(str(task.result.get("msg", "")) for task in self.failed)

    @property
    def warnings(self) -> list[str]:
        """Return Ansible's warnings, each once."""
        return list(dict.fromkeys(match.group(0).strip() for match in WARNING.finditer(self.output)))

    def results_of(self, name: str, host: str | None = None) -> list[dict[str, Any]]:
        """Return the results of the tasks with this name (without the role's), or with this action."""
        return [
            task.result
            for task in self.tasks
            if (task.name.rpartition(" : ")[2] == name or task.action == name)
            and host in (None, task.host)
            and not task.item
            and task.status != "skipped"
        ]

    def assert_ok(self) -> PlaybookRun:
        """Hold that the run ended well, with no warning, and every host was in it."""
        assert self.rc == 0, f"exit code {self.rc}: {self.messages}\n{self.output[-6000:]}"
        assert self.stats, f"no host ran\n{self.output}"
        self.assert_no_warnings()
        return self

    def assert_failed(self, *words: str) -> PlaybookRun:
        """Hold that the run failed, for a reason in which these words are, and without a traceback."""
        assert self.rc != 0, f"the run did not fail\n{self.output[-6000:]}"
        assert self.failed, f"no task failed\n{self.output[-6000:]}"
        for word in words:
            assert word.lower() in self.messages.lower(), f"{word!r} is not in: {self.messages}"
        assert "Traceback" not in self.output, self.output
        return self

    def assert_unchanged(self) -> PlaybookRun:
        """Hold that nothing was changed."""
        assert not self.changed, f"changed: {[(task.host, task.name) for task in self.changed]}"
        return self

    def assert_changed(self, count: int) -> PlaybookRun:
        """Hold that so many tasks changed something."""
        assert len(self.changed) == count, f"changed: {[(task.host, task.name) for task in self.changed]}"
        return self

    def assert_no_warnings(self) -> PlaybookRun:
        """Hold that Ansible warned of nothing."""
        assert not self.warnings, "\n".join(self.warnings)
        return self

    def assert_no_secret(self, *secrets: str) -> PlaybookRun:
        """Hold that none of these is in the output, nor in any task's result."""
        seen = self.output + json.dumps([task.result for task in self.tasks], default=str)
        for number, secret in enumerate(secrets):
            assert secret, "an empty secret is in everything"
            assert secret not in seen, f"secret number {number} was shown"
        return self


def run_playbook(
    playbook: str | pathlib.Path,
    hosts: Hosts,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    timeout: float = 900,
    **options: Any,
) -> PlaybookRun:
    """Run a playbook to its end; for the options see C(start_playbook)."""
    with start_playbook(playbook, hosts, extra_vars, **options) as running:
        return running.finish(timeout)


@dataclasses.dataclass
class RunningPlaybook:
    """A run that has begun."""

    process: subprocess.Popen[str]
    started: float
    _lines: pathlib.Path
    _output: pathlib.Path

    @property
    def output(self) -> str:
        """Return what it has printed by now."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def finish(self, timeout: float = 900) -> PlaybookRun:
        """Wait for its end."""
        rc = self.process.wait(timeout)
        seconds = time.monotonic() - self.started
        events = [json.loads(line) for line in self._lines.read_text(encoding="utf-8").splitlines()]
        return _read(rc, self.output, seconds, events)

    def interrupt(self) -> None:
        """Press Ctrl-C: everything of the terminal's foreground gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill it as AWX does when a job is canceled, so that it cannot say good-bye."""
        os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def start_playbook(
    playbook: str | pathlib.Path,
    hosts: Hosts,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    collections: pathlib.Path,
    group: str = "build_macs",
    check: bool = False,
    diff: bool = False,
    tags: Sequence[str] = (),
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    modules: pathlib.Path | None = None,
) -> Iterator[RunningPlaybook]:
    """Start a playbook: a path, or a name such as C(macops.parallels.build_image). One that still runs then is killed.

    C(hosts): the variables of each host of the group. C(collections): the folder that holds C(ansible_collections).
    C(modules): a folder that keeps the modules as Ansible packed them, for other runs with the same collections.
    The ansible-core is that of the Python which runs the tests.
    """
    with tempfile.TemporaryDirectory(prefix="play-") as name:
        folder = pathlib.Path(name)
        lines = folder / "results.jsonl"
        lines.touch()
        (folder / "inventory.json").write_text(json.dumps({group: {"hosts": hosts}}), encoding="utf-8")
        (folder / "variables.json").write_text(json.dumps(extra_vars or {}), encoding="utf-8")
        command = [
            str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
            str(playbook),
            f"--inventory={folder / 'inventory.json'}",
            f"--extra-vars=@{folder / 'variables.json'}",
            *(["--check"] if check else []),
            *(["--diff"] if diff else []),
            *([f"--tags={','.join(tags)}"] if tags else []),
            *arguments,
        ]
        variables = {**_environment(folder, collections, lines), **(environment or {})}
        if modules is not None:
            variables["PACKED_MODULES"] = str(modules)
        output = folder / "output"
        with output.open("wb") as handle:
            process = subprocess.Popen(
                command,
                cwd=cwd or folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            yield RunningPlaybook(process, time.monotonic(), lines, output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _close_connections(folder / "cp")


def _close_connections(sockets: pathlib.Path) -> None:
    """End the connections that Ansible keeps open for its next run: no run of ours has one with the same sockets."""
    for socket in sockets.glob("*"):
        command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", "127.0.0.1"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _environment(folder: pathlib.Path, collections: pathlib.Path, lines: pathlib.Path) -> dict[str, str]:
    """Return an environment in which nothing of the developer's own Ansible has a part."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    # The name of a socket in it must not be longer than about 100 characters.
    sockets = folder / "cp"
    return {
        **kept,
        "ANSIBLE_CALLBACKS_ENABLED": "result_lines",
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
        "ANSIBLE_CONFIG": str(SETTINGS),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "LC_ALL": "C.UTF-8",
        "RESULT_LINES_FILE": str(lines),
    }


def _read(rc: int, output: str, seconds: float, events: list[dict[str, Any]]) -> PlaybookRun:
    tasks = [
        Task(e["host"], e["task"], e["action"], e["status"], e["changed"], e["item"], e["result"])
        for e in events
        if e["event"] == "result"
    ]
    stats = next((event for event in events if event["event"] == "stats"), {"hosts": {}, "custom": {}})
    custom = stats["custom"].get("_run", {})
    return PlaybookRun(rc, output, seconds, tasks, stats["hosts"], custom)
