# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback that prints one JSON document at the end, for programs, as some of other collections do."""

from __future__ import annotations

import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: document
type: stdout
short_description: One JSON document for programs
description: One JSON document for programs.
extends_documentation_fragment:
  - default_callback
"""


class CallbackModule(CallbackBase):
    """Prints the names of the tasks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "document"

    def __init__(self):
        super().__init__()
        self.tasks = []

    def v2_runner_on_ok(self, result, **_options):
        self.tasks.append(result._task.get_name())

    def v2_playbook_on_stats(self, stats):
        self._display.display(json.dumps({"tasks": self.tasks, "hosts": sorted(stats.processed)}, indent=4))
