# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter C(printable)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.macops.parallels.plugins.module_utils._common.text import printable_data

DOCUMENTATION = r"""
name: printable
short_description: Escape what a terminal would obey instead of showing it
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Returns text from outside, such as the name of a virtual machine or the output of a guest, in a form that is safe to
    show. Control characters, terminal commands, characters that turn the direction of the text, characters that nobody
    sees, and half characters (lone surrogates) are escaped. An escape character becomes C(\x1b).
  - Line breaks and tabs stay. C(CRLF) becomes one line break.
  - The modules of this collection do this themselves in error messages, warnings, progress lines and diffs, and in all
    that a failed task returns. The other results of a module are data, and keep such characters, because playbooks
    compare them and use them again. Ansible shows such data with C(-v) and with M(ansible.builtin.debug), and escapes
    only a part of these characters.
positional: _input
options:
  _input:
    description: The text, or a list or dictionary with texts in it.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show what a command in a guest has printed
  ansible.builtin.debug:
    msg: "{{ result.stdout | macops.parallels.printable }}"
"""

RETURN = r"""
_value:
  description: The same with escaped texts. Numbers and the like, and the keys of a dictionary, are unchanged.
  type: raw
"""


class FilterModule:
    """The filter in this file."""

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"printable": printable_data}
