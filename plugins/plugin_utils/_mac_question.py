# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Asks a Mac a question outside of a task: runs a program of the collection there, over SSH or on this machine."""

from __future__ import annotations

import json
import shlex
import subprocess  # nosec B404 # a program of this collection
from collections.abc import Mapping
from typing import Any

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, shell_loader
from ansible_collections.macops.parallels.plugins.module_utils._parallels.on_mac import MARK
from ansible_collections.macops.parallels.plugins.plugin_utils._guest_host import INNER, LOCAL
from ansible_collections.macops.parallels.plugins.plugin_utils._mac_program import command_line, opening, program_of


class NoAnswer(Exception):
    """A Mac that gave no answer; the message says why."""


class Mac:
    """A Mac as its variables describe it."""

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        self.name = name
        self._connection = None
        if variables.get("ansible_connection") not in LOCAL:
            context = PlayContext()
            context.remote_addr = name
            shell = shell_loader.get("sh")
            self._connection = connection_loader.get(INNER, context, None, shell=shell)  # nosec B604 # a plugin
            self._connection.set_options(var_options={"inventory_hostname": name, **variables})

    def ask(self, program: str, order: Mapping[str, Any], *, python: str, run_as: str) -> dict[str, Any]:
        """Return the answer to an order; raise NoAnswer if there is none."""
        command = command_line(python, run_as)
        text = opening(program_of(program), json.dumps(order).encode())
        if self._connection is None:
            done = subprocess.run(  # nosec B603 # a list, and no shell
                shlex.split(command), input=text, capture_output=True, check=False
            )
            code, stdout, stderr = done.returncode, done.stdout, done.stderr
        else:
            code, stdout, stderr = self._connection.exec_command(command, in_data=text, sudoable=False)
        start = stdout.find(MARK.encode())
        try:
            answer = json.loads(stdout[start + len(MARK) :].partition(b"\n")[0]) if start >= 0 else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            said = (stderr or stdout).decode("utf-8", "replace").strip()[-1000:]
            raise NoAnswer(f"It did not carry out the order (exit code {code}). {said}")
        return answer

    def close(self) -> None:
        """End what is kept open on this machine."""
        if self._connection is not None:
            self._connection.close()
