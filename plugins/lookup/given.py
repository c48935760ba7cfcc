# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup C(given)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: given
short_description: Return a variable, or a default if it is blank
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Returns the value of a variable. If it is not defined, V(''), only spaces, or null, returns the default. AWX passes
    such values for questions of a survey that were not answered, and for unused fields of a credential.
  - Text that a template makes stays text. Before ansible-core 2.19, Ansible makes a number of an environment variable
    such as C(2026.10) if C(jinja2_native) is on. End a template with the filter C(string) to keep what this returns.
options:
  _terms:
    description: The names of the variables.
    type: list
    elements: str
    required: true
  default:
    description: What to return for a variable that is not given.
    type: raw
    default: ""
seealso:
  - plugin: ansible.builtin.vars
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show whether a clone is made
  ansible.builtin.debug:
    msg: "{{ lookup('macops.parallels.given', 'image_clone', default=true) | bool }}"
"""

RETURN = r"""
_raw:
  description: The values of the variables, or the default.
  type: list
  elements: raw
"""

from typing import Any, Optional

from ansible.plugins.lookup import LookupBase

from ..plugin_utils._variables import is_blank, value_of


class LookupModule(LookupBase):
    """The lookup of this plugin."""

    def run(self, terms: list[str], variables: Optional[dict[str, Any]] = None, **kwargs: Any) -> list[Any]:
        """Return the values."""
        self.set_options(var_options=variables, direct=kwargs)
        default = self.get_option("default")
        values = (value_of((variables or {}).get(name), self._templar) for name in terms)
        return [default if is_blank(value) else value for value in values]
