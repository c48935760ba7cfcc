# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""A VM as a host of the inventory: what it is named, and how its guest is reached by way of its Mac."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Callable

import yaml
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.connection import ssh

CONNECTION = "macops.parallels.prlctl"
INNER = "ansible.builtin.ssh"
LOCAL = ("local", "ansible.builtin.local")

# In patterns of hosts, blanks and commas are between two hosts, and a colon and brackets have a meaning of their own.
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def host_name(vm: str, mac: str) -> str:
    """Return the name of a VM as a host. Two Macs may have VMs of the same name."""
    return f"{_NOT_IN_NAMES.sub('-', vm).strip('-') or 'vm'}@{mac}"


def shell_of(family: str) -> str:
    """Return the shell type of a guest, from the family of its system as C(vm_info) returns it."""
    return "powershell" if family == "windows" else "sh"


@functools.cache
def way_variables() -> list[str]:
    """Return the variables that say how a Mac is reached: those that the ssh plugin of this ansible-core reads."""
    options = yaml.safe_load(ssh.DOCUMENTATION)["options"]
    names = {entry["name"] for option in options.values() for entry in option.get("vars", ())}
    # Pipelining is an option of the guest's connection, too, which has its own default.
    return sorted(name for name in names if name.startswith("ansible_") and "pipelining" not in name)


def variables_of_the_mac() -> list[str]:
    """Return the variables of a Mac that its guests depend on."""
    return [*way_variables(), *_MORE]


def python_of(values: Mapping[str, Any]) -> str:
    """Return the Python of a Mac, from the values of its variables; empty if it is to be looked for."""
    python = str(values.get("ansible_python_interpreter") or "auto")
    return "" if python.startswith("auto") else python


def become_user(values: Mapping[str, Any]) -> str:
    """Return the user that tasks on a Mac become, from the values of its variables; empty if they become none."""
    if not boolean(values.get("ansible_become", False), strict=False):
        return ""
    return str(values.get("ansible_become_user") or "root")


def guest_variables(
    vm: Mapping[str, Any],
    mac: str,
    values: Mapping[str, Any],
    passed: Callable[[str], Any],
) -> dict[str, Any]:
    """Return the variables of a VM as a host.

    C(vm) has its UUID and family. C(values) has the variables of the Mac that are set, of variables_of_the_mac.
    C(passed) returns what the guest gets of such a variable: its value, or a reference to it.
    """
    variables = {"ansible_host": mac}
    variables.update({name: passed(name) for name in way_variables() if name in values})
    if python_of(values):
        variables["ansible_prlctl_python"] = passed("ansible_python_interpreter")
    if values.get("image_executable"):
        variables["ansible_prlctl_executable"] = passed("image_executable")
    if become_user(values):
        variables["ansible_prlctl_become_user"] = become_user(values)
    if values.get("ansible_connection") in LOCAL:
        variables["ansible_prlctl_transport"] = "local"
    if vm["family"] != "windows":
        # Without the warning that another Python may be found later.
        variables["ansible_python_interpreter"] = "auto_silent"
    return {
        **variables,
        "ansible_connection": CONNECTION,
        "ansible_prlctl_vm": vm["uuid"],
        "ansible_shell_type": shell_of(str(vm["family"])),
    }


# Those of tasks on the Mac. The guest's own variables of these names are about the guest.
_MORE = (
    "ansible_become",
    "ansible_become_user",
    "ansible_connection",
    "ansible_python_interpreter",
    "image_executable",
)
