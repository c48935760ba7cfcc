# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the variables of the roles of a play. All of it happens on the controller."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..plugin_utils._variables import COLLECTION, is_blank, options_of, problem_of, value_of


class ActionModule(ActionBase):
    """Fails with one sentence for each mistake."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset()
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the result of the task."""
        self._supports_check_mode = True
        result = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        # The roles of the play, and those that lead to this one, such as one that is included.
        around = [role.get_name() for role in self._task.get_dep_chain() or ()]
        # The roles of the plays that follow.
        given = value_of(variables.get("check_variables_roles"), self._templar)
        later = [] if is_blank(given) else [f"{COLLECTION}{name}" for name in given]
        options = options_of([*variables.get("ansible_play_role_names", ()), *around, *later])
        found = [problem_of(name, option, variables, self._templar) for name, option in options.items()]
        problems = [problem for problem in found if problem]
        result["changed"] = False
        if problems:
            result.update(failed=True, msg=" ".join(problems))
        return result
