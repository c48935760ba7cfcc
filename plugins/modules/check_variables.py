# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which needs no module."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Check the variables of the roles of this collection
version_added: 1.0.0
description:
  - Checks the variables of the roles of the play that are part of this collection, of the role that this task belongs
    to, and of those that the variable C(check_variables_roles) names, before they do anything. All mistakes are
    reported in one message, with one sentence for each.
  - A required variable must be set. A variable that is V('') or null counts as not set, because AWX passes such values
    for questions of a survey that were not answered.
  - A variable that is text must be text. YAML reads C(2026.10) as the number 2026.1, and C(0123456) as 42798. What
    was written cannot be known from that, so it is refused. Secrets are not shown.
  - The roles depend on the role C(check_variables), which runs this.
extends_documentation_fragment:
  - macops.parallels._attributes
attributes:
  check_mode:
    support: full
    details: The action only reads.
  diff_mode:
    support: N/A
    details: The action only reads.
  idempotent:
    support: full
  platform:
    details: It runs on the controller, without a connection.
    platforms: posix
    support: full
options: {}
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check the variables
  macops.parallels.check_variables:
"""

RETURN = r"""#"""
