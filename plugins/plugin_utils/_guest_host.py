# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A VM as a host of the inventory: what it is named, and how its guest is reached by way of its Mac."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import connection_loader

CONNECTION = "macops.parallels.prlctl"
INNER = "ansible.builtin.ssh"
LOCAL = ("local", "ansible.builtin.local")

# The guest's own variables of these names are about the guest.
_OF_THE_MAC = {"ansible_prlctl_python": "ansible_python_interpreter", "ansible_prlctl_executable": "image_executable"}
_BECOME = ("ansible_become", "ansible_become_user")

# In patterns of hosts, blanks and commas are between two hosts, and a colon and brackets have a meaning of their own.
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def host_name(vm: str, mac: str) -> str:
    """Return the name of a VM as a host. Two Macs may have VMs of the same name."""
    return f"{_NOT_IN_NAMES.sub('-', vm).strip('-') or 'vm'}@{mac}"


def shell_of(family: str) -> str:
    """Return the shell type of a guest, from the family of its system as C(vm_info) returns it."""
    return "powershell" if family == "windows" else "sh"


def way_variables() -> list[str]:
    """Return the variables that say how a Mac is reached: those that the ssh plugin of this ansible-core reads."""
    plugin = connection_loader.get(INNER, class_only=True)
    options = constants.config.get_configuration_definitions("connection", plugin._load_name)
    names = {entry["name"] for option in options.values() for entry in option.get("vars", ())}
    # Pipelining is an option of the guest's connection, too, which has its own default.
    return sorted(name for name in names if name.startswith("ansible_") and "pipelining" not in name)


def variables_of_the_mac() -> list[str]:
    """Return the variables of a Mac that its guests depend on."""
    return [*way_variables(), "ansible_connection", *_BECOME, *_OF_THE_MAC.values()]


def guest_variables(vm: Mapping[str, Any], mac: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a VM as a host.

    C(vm) has its UUID and family. C(given) has the variables of the Mac that are set, of variables_of_the_mac. Their
    values, or references to them, are passed on as they are.
    """
    way = {name: given[name] for name in way_variables() if name in given}
    of_the_mac = {name: given[source] for name, source in _OF_THE_MAC.items() if source in given}
    if str(given.get("ansible_python_interpreter", "")).startswith("auto"):
        del of_the_mac["ansible_prlctl_python"]  # the connection looks for one itself
    if given.get("ansible_connection") in LOCAL:
        of_the_mac["ansible_prlctl_transport"] = "local"
    if boolean(given.get("ansible_become", False), strict=False):
        of_the_mac["ansible_prlctl_become_user"] = given.get("ansible_become_user", "root")
    return {
        "ansible_host": mac,
        **way,
        **of_the_mac,
        "ansible_connection": CONNECTION,
        "ansible_prlctl_vm": vm["uuid"],
        "ansible_shell_type": shell_of(str(vm["family"])),
        # A build VM does not live long enough for the warning about a discovered Python to matter.
        **({} if vm["family"] == "windows" else {"ansible_python_interpreter": "auto_silent"}),
    }
