# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is named as a host, and which variables of its Mac it gets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.plugin_utils._guest_host import (
    become_user,
    guest_variables,
    host_name,
    python_of,
    variables_of_the_mac,
    way_variables,
)

LINUX = {"uuid": "de22df32-80e2-4e92-ba4b-efb3a66cf092", "family": "linux"}
PLAIN = {
    "ansible_connection": "macops.parallels.prlctl",
    "ansible_host": "mac1",
    "ansible_prlctl_vm": LINUX["uuid"],
    "ansible_python_interpreter": "auto_silent",
    "ansible_shell_type": "sh",
}


@pytest.mark.parametrize(
    ("vm", "name"),
    [
        ("win11-2026.11.0-arm64", "win11-2026.11.0-arm64@mac1"),
        ("Windows 11", "Windows-11@mac1"),
        ("Büro, [alt]: 1", "Büro-alt-1@mac1"),
        ("a_b", "a_b@mac1"),
        ("{{ x }}", "x@mac1"),
        ("\x1b]0;x\x07", "0-x@mac1"),
        ("!", "vm@mac1"),
    ],
)
def test_the_name_of_a_host_is_no_pattern(vm: str, name: str) -> None:
    assert host_name(vm, "mac1") == name


def test_the_variables_of_the_ssh_plugin_are_read_from_it() -> None:
    names = way_variables()
    assert {"ansible_host", "ansible_user", "ansible_password", "ansible_ssh_common_args", "ansible_port"} <= set(names)
    assert not [name for name in names if "pipelining" in name or not name.startswith("ansible_")]
    assert set(names) < set(variables_of_the_mac())


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({}, {}),
        ({"ansible_host": "10.0.0.7", "ansible_ssh_port": 2222}, {"ansible_host": "<", "ansible_ssh_port": "<"}),
        ({"ansible_connection": "local"}, {"ansible_prlctl_transport": "local"}),
        ({"ansible_connection": "ansible.builtin.ssh"}, {}),
        ({"ansible_python_interpreter": "/usr/bin/python3"}, {"ansible_prlctl_python": "<"}),
        ({"ansible_python_interpreter": "auto_silent"}, {}),
        ({"image_executable": "/opt/prlctl"}, {"ansible_prlctl_executable": "<"}),
        ({"ansible_become": "no", "ansible_become_user": "builder"}, {}),
        ({"ansible_become": "yes", "ansible_become_user": "builder"}, {"ansible_prlctl_become_user": "builder"}),
    ],
)
def test_what_a_guest_gets_of_its_mac(values: dict[str, Any], more: dict[str, Any]) -> None:
    found = guest_variables(LINUX, "mac1", values, lambda _name: "<")
    assert found == {**PLAIN, **more}


def test_a_windows_guest_has_another_shell() -> None:
    found = guest_variables({**LINUX, "family": "windows"}, "mac1", {}, str)
    assert found["ansible_shell_type"] == "powershell"
    assert "ansible_python_interpreter" not in found


def test_who_runs_what_on_the_mac() -> None:
    assert (python_of({}), python_of({"ansible_python_interpreter": "/p"})) == ("", "/p")
    assert (become_user({}), become_user({"ansible_become": True})) == ("", "root")
