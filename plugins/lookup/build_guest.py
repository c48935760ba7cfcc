# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup C(build_guest)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: build_guest
short_description: Describe a virtual machine of the current host as a host of its own
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Returns what Ansible needs to run tasks in the guest of a virtual machine of the current host, which is a build Mac.
    The role C(prepare_vm) adds the build VM to the inventory with it.
  - It only reads variables and the folders of roles on the controller. It connects to nothing.
options:
  _terms:
    description: The name of the virtual machine.
    type: list
    elements: str
    required: true
  vm:
    description: The virtual machine, as an element of RV(macops.parallels.vm_info#module:vms).
    type: dict
  roles:
    description: Names of roles that are to run in the guest.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Find out how the build VM is reached
  ansible.builtin.set_fact:
    guest: "{{ lookup('macops.parallels.build_guest', 'win11-2026.11.0-arm64', vm=found.vms[0]) }}"
  no_log: true # the variables may have the password of the Mac
"""

RETURN = r"""
_raw:
  description: A dictionary for each name.
  type: list
  elements: dict
  contains:
    name:
      description: The name as a host, made of the names of the virtual machine and the Mac.
      type: str
      sample: win11-2026.11.0-arm64@mac-arm64
    within_limit:
      description: Whether C(--limit) leaves the host in, once it is in the group C(build_guests).
      type: bool
    roles:
      description:
        - The roles as M(ansible.builtin.include_role) finds them, those without a collection by their path.
      type: list
      elements: str
    missing_roles:
      description: Those that do not exist.
      type: list
      elements: str
    variables:
      description:
        - The variables of the host, with those that say how the Mac is reached. The latter may have a password.
        - Empty without O(vm).
      type: dict
"""

import os
from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.collection_loader import AnsibleCollectionRef
from ansible.utils.collection_loader._collection_finder import _get_collection_role_path
from ansible_collections.macops.parallels.plugins.plugin_utils._guest_host import (
    guest_variables,
    host_name,
    variables_of_the_mac,
)
from ansible_collections.macops.parallels.plugins.plugin_utils._patterns import hosts_in

GROUP = "build_guests"


class LookupModule(LookupBase):
    """The lookup in this file."""

    def run(self, terms: list[Any], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        """Return a dictionary for each name."""
        if variables is None:
            raise AnsibleError("build_guest works on the variables of a host, and there are none.")
        self.set_options(var_options=variables, direct=kwargs)
        return [self._describe(str(term), variables) for term in terms]

    def _describe(self, vm: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        mac = variables["inventory_hostname"]
        name = host_name(vm, mac)
        roles = {role: self._find_role(role, variables["playbook_dir"]) for role in self.get_option("roles") or []}
        facts = self.get_option("vm")
        values = _of_the_mac(variables["hostvars"][mac]) if facts else {}
        return {
            "name": name,
            "within_limit": self._is_within_limit(name, variables),
            "roles": [found for found in roles.values() if found],
            "missing_roles": [role for role, found in roles.items() if not found],
            "variables": guest_variables(facts, mac, values, values.__getitem__) if facts else {},
        }

    def _is_within_limit(self, name: str, variables: Mapping[str, Any]) -> bool:
        limit = variables.get("ansible_limit")
        if not limit:
            return True
        groups = {**variables["groups"], GROUP: [name]}
        return name in hosts_in(self._loader, groups, GROUP, limit)

    def _find_role(self, role: str, playbook_dir: str) -> str:
        """Return a name or a path by which Ansible finds a role; empty when there is none."""
        if AnsibleCollectionRef.is_valid_fqcr(role):
            return role if _get_collection_role_path(role) else ""
        for folder in ("roles", os.path.join(playbook_dir, "roles"), *(constants.DEFAULT_ROLES_PATH or ())):
            path = os.path.abspath(os.path.join(os.path.expanduser(folder), role))
            if os.path.isdir(path):
                return path
        return ""


def _of_the_mac(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the variables that are set, of those that the guests depend on."""
    return {name: given[name] for name in variables_of_the_mac() if name in given and given[name] not in (None, "")}
