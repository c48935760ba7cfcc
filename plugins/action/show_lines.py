# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints lines as they are. All of it happens on the controller."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.text import printable, printable_line
from ..plugin_utils._show import prints_for_people

display = Display()

# Characters of a line. AWX cuts what is longer than 1024 bytes.
LONGEST_LINE = 1000


class ActionModule(ActionBase):
    """Prints them, unless a program reads the output."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("lines",))
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the result of the task."""
        self._supports_check_mode = True
        result = super().run(tmp, task_vars)
        del tmp
        given = self._task.args.get("lines") or []
        lines = printable("\n".join(map(str, given)) if isinstance(given, list) else str(given)).splitlines()
        if prints_for_people() and not self._task.no_log:
            for line in lines:
                display.display(printable_line(line, LONGEST_LINE))
        result.update(changed=False, msg=lines)
        return result
