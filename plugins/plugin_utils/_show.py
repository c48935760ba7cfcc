# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Shows a line to people while a task runs."""

from __future__ import annotations

from ansible import constants, context
from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible.plugins.loader import callback_loader
from ansible.utils.display import Display

from ..module_utils._common.text import printable_line

display = Display()

# Characters of a line.
_LONGEST_LINE = 500


def show_line(line: str) -> None:
    """Show a line beside what the callback prints. The name of a VM may be in it."""
    display.display(printable_line(line, _LONGEST_LINE), stderr=not prints_for_people())


def prints_for_people() -> bool:
    """Return whether standard output is for people to read, so that more lines in it do no harm.

    This is true of Ansible's default callback and those made from it, such as that of ansible-runner and AWX. Others
    may print something that a program reads, such as JSON. C(ansible) and C(ansible-console) use their own callbacks.
    """
    if "start_at_task" not in context.CLIARGS:
        return False
    try:
        found = callback_loader.get(constants.DEFAULT_STDOUT_CALLBACK, class_only=True)
    except Exception:  # a callback that Ansible itself could load, but we cannot
        return False
    return isinstance(found, type) and issubclass(found, DefaultCallback)
