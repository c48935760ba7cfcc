# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What all modules have in common whose work may take long."""

from __future__ import annotations


class ModuleDocFragment:
    """The variables that say how long work is watched."""

    DOCUMENTATION = r"""
options: {}
notes:
  - The work is a job on the host. When the connection is lost, it goes on; the task finds it again and waits on. When
    the controller is gone, the next run with the same options joins it.
  - Work of more than five seconds shows lines of progress, at most one every five seconds and one a percent, unless
    the variable C(image_progress) is V(false).
  - A job that no playbook asks for goes on for the seconds of the variable C(image_unattended_timeout), 900 by default.
    For so long, too, a task tries to reach a host whose connection was lost.
  - When the playbook is cancelled (Ctrl-C), the job is ended and what it had begun is put right, unless the variable
    C(image_on_cancel) is V(continue); V(stop) is the default.
  - When another run watches the same work, the task joins it and takes its result, unless the variable
    C(image_if_running) is V(fail); V(join) is the default.
  - With C(async), and in check mode, none of this applies, and the module runs like any other.
"""
