# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules of the collection without a playbook: each in a process of its own, forked from one that waits for it.

For tests that need many runs, of which the greatest part would be Ansible's own work. As a command it is the process
that is forked: it reads a call a line, and writes the result.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Callable

if __package__:
    from support.playbook import PlaybookRun, Task

PACKAGE = "ansible_collections.macops.parallels.plugins.modules."


class Modules(contextlib.AbstractContextManager):
    """Runs modules under a Python of a Mac, with the ansible-core of the Python that runs the tests."""

    def __init__(self, python: str, collections: pathlib.Path, environment: Mapping[str, str] | None = None) -> None:
        self._python = python
        self._collections = collections
        self._environment = dict(environment or {})

    def __enter__(self) -> Modules:
        import ansible

        self._folder = tempfile.TemporaryDirectory(prefix="modules-")
        # Of the controller's libraries, a Mac has none but Ansible's own.
        core = pathlib.Path(self._folder.name) / "ansible"
        core.symlink_to(pathlib.Path(ansible.__file__).parent)
        path = os.pathsep.join([self._folder.name, str(self._collections)])
        self._process = subprocess.Popen(
            [self._python, __file__],
            env={**os.environ, **self._environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_unused: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(self, name: str, /, **arguments: Any) -> tuple[int, str]:
        """Run a module, and return its exit code and its output."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        code, output = json.loads(self._process.stdout.readline())
        return code, output


# The name of a step, its module, and the arguments.
Step = tuple[str, str, dict[str, Any]]


def run_steps(
    collections: pathlib.Path, home: pathlib.Path | None, steps: Callable[[list[Task]], Iterator[Step]]
) -> PlaybookRun:
    """Run modules until one fails, and return it as the run of a playbook would be.

    C(steps) gets the list of what was done, which grows as its steps are done.
    """
    tasks: list[Task] = []
    with Modules(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable, collections, {"HOME": str(home)}) as modules:
        for name, module, arguments in steps(tasks):
            code, output = modules.run(module, **arguments)
            tasks.append(_task(name, module, code, output))
            if code:
                break
    rc = 0 if all(task.status == "ok" for task in tasks) else 2
    return PlaybookRun(rc, "\n".join(json.dumps(task.result) for task in tasks), 0.0, tasks, {"mac": {}}, {})


def _task(name: str, module: str, code: int, output: str) -> Task:
    result = json.loads(output) if output.lstrip().startswith("{") else {"msg": output}
    status = "failed" if code or result.get("failed") else "ok"
    return Task("mac", name, f"macops.parallels.{module}", status, bool(result.get("changed")), False, result)


def _serve() -> None:
    for library in ("ansible.module_utils.basic", "requests"):
        importlib.import_module(library)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        module = importlib.import_module(PACKAGE + name)
        print(json.dumps(_fork(name, module, arguments)), flush=True)


def _fork(name: str, module: Any, arguments: dict[str, Any]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _run(name, module, arguments, output.fileno())
        _pid, status = os.waitpid(child, 0)
        output.seek(0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return code, output.read().decode()


def _run(name: str, module: Any, arguments: dict[str, Any], output: int) -> None:
    """Be the module's process, to its end."""
    from ansible.module_utils import basic

    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_module_name": name}}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        module.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
