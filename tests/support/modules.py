# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules of the collection without a playbook: each in a process of its own, forked from one that waits for it.

For tests that need many runs, of which the greatest part would be Ansible's own work. As a command it is the process
that is forked: it reads a call a line, and writes the result.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Callable

if __package__:
    from support.account import Account
    from support.playbook import PlaybookRun, Task

PACKAGE = "ansible_collections.macops.parallels.plugins.modules."


class Modules(contextlib.AbstractContextManager):
    """Runs modules under a Python of a Mac, with the ansible-core of the Python that runs the tests."""

    def __init__(
        self,
        python: str,
        collections: pathlib.Path,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        self._python = python
        # None: this process's own user.
        self._account = account
        self._collections = collections
        self._environment = dict(environment or {})

    def __enter__(self) -> Modules:
        import ansible

        self._folder = tempfile.TemporaryDirectory(prefix="modules-", dir=self._account and self._account.base)
        folder = pathlib.Path(self._folder.name)
        # Of the controller's libraries, a Mac has none but Ansible's own.
        core = pathlib.Path(ansible.__file__).parent
        collections, program = self._collections, pathlib.Path(__file__)
        options: dict[str, Any] = {}
        if self._account is None:
            (folder / "ansible").symlink_to(core)
        else:
            # The tests may be where the account cannot read.
            folder.chmod(0o755)
            (folder / "ansible").mkdir()
            for name in ("__init__.py", "release.py"):
                shutil.copy(core / name, folder / "ansible" / name)
            for name in ("_vendor", "module_utils"):
                _copy_code(core / name, folder / "ansible" / name)
            package = "ansible_collections/macops/parallels/plugins"
            _copy_code(collections / package, folder / package)
            collections, program = folder, pathlib.Path(shutil.copy(program, folder))
            options = {"user": self._account.uid, "group": self._account.gid, "extra_groups": [], "umask": 0o022}
            options["cwd"] = self._account.work
            self._environment.setdefault("HOME", str(self._account.home))
        path = os.pathsep.join([self._folder.name, str(collections)])
        self._process = subprocess.Popen(
            [self._python, str(program)],
            env={**os.environ, **self._environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        return self

    def __exit__(self, *_unused: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()  # not read to its end: what a module has started may still have it open
        self._folder.cleanup()

    def run(self, name: str, /, **arguments: Any) -> tuple[int, str]:
        """Run a module, and return its exit code and its output."""
        return self.run_with({}, name, **arguments)

    def run_with(self, environment: Mapping[str, str], name: str, /, **arguments: Any) -> tuple[int, str]:
        """Run a module with some more variables of the environment."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments, dict(environment)]) + "\n")
        self._process.stdin.flush()
        code, output = json.loads(self._process.stdout.readline())
        return code, output


def _copy_code(source: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.ps1", "powershell"))


# The name of a step, its module, and the arguments.
Step = tuple[str, str, dict[str, Any]]


@functools.cache
def _modules_of_this_process(collections: pathlib.Path) -> Modules:
    """Return what runs modules until the tests end: its start takes longer than most modules."""
    modules = Modules(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable, collections)
    atexit.register(modules.__exit__)
    return modules.__enter__()


def run_steps(
    collections: pathlib.Path, home: pathlib.Path | None, steps: Callable[[list[Task]], Iterator[Step]]
) -> PlaybookRun:
    """Run modules until one fails, and return it as the run of a playbook would be.

    C(steps) gets the list of what was done, which grows as its steps are done.
    """
    tasks: list[Task] = []
    modules = _modules_of_this_process(collections)
    for name, module, arguments in steps(tasks):
        code, output = modules.run_with({"HOME": str(home)}, module, **arguments)
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
        name, arguments, environment = json.loads(line)
        module = importlib.import_module(PACKAGE + name)
        print(json.dumps(_fork(name, module, arguments, environment)), flush=True)


def _fork(name: str, module: Any, arguments: dict[str, Any], environment: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.environ.update(environment)
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
