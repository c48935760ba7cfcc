# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which needs no module."""

from __future__ import annotations

DOCUMENTATION = r"""
module: show_lines
short_description: Print lines in the output of a run, as they are
version_added: 1.0.0
description:
  - Prints text line by line, so that a table or a page can be read and copied in a terminal and in AWX's job output.
    M(ansible.builtin.debug) shows text as JSON, with quotes and escapes.
  - What a terminal would obey instead of showing it is escaped, as P(macops.parallels.printable#filter) does.
  - Nothing is printed if the output is for a program, such as with a callback that prints JSON.
extends_documentation_fragment:
  - macops.parallels._attributes
attributes:
  check_mode:
    support: full
    details: The action changes nothing.
  diff_mode:
    support: N/A
    details: The action changes nothing.
  idempotent:
    support: full
  platform:
    details: It runs on the controller, without a connection.
    platforms: posix
    support: full
options:
  lines:
    description: The text, or a list of its lines.
    type: raw
    required: true
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show the golden image sheet
  macops.parallels.show_lines:
    lines: "{{ records | macops.parallels.golden_image_sheet }}"
"""

RETURN = r"""
msg:
  description: The lines.
  returned: success
  type: list
  elements: str
"""
