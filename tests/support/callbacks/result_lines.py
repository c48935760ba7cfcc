# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what happens in a playbook run as lines of JSON, for the tests to read."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: result_lines
type: notification
short_description: Results of tasks as lines of JSON
description:
  - Appends one JSON object a result to the file that the environment variable RESULT_LINES_FILE names.
requirements:
  - enabled in the configuration
"""


class CallbackModule(CallbackBase):
    """Works with all releases of ansible-core from 2.16 on."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "result_lines"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, line: dict[str, Any]) -> None:
        with open(os.environ["RESULT_LINES_FILE"], "a", encoding="utf-8") as lines:
            lines.write(json.dumps(line, default=str) + "\n")

    def _write_result(self, status: str, result: Any, item: bool = False) -> None:
        task = _first(result, "task", "_task")
        values = dict(_first(result, "result", "_result"))
        self._write(
            {
                "event": "result",
                "status": status,
                "item": item,
                "host": _first(result, "host", "_host").get_name(),
                "task": task.get_name(),
                "action": task.action,
                "changed": bool(values.get("changed")),
                "result": values,
            }
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write_result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write_result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write_result("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write_result("unreachable", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._write_result("ok", result, item=True)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._write_result("failed", result, item=True)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {host: stats.summarize(host) for host in stats.processed}
        self._write({"event": "stats", "hosts": hosts, "custom": stats.custom})


def _first(thing: Any, *names: str) -> Any:
    """Return the first of these attributes: the names without underscore are those of ansible-core 2.19 and newer."""
    for name in names:
        if hasattr(thing, name):
            return getattr(thing, name)
    raise AttributeError(names)
