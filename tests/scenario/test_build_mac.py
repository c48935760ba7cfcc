# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build Macs of the scenarios are what a real one is to Ansible; and one without Apple's Command Line Tools."""

from __future__ import annotations

import pytest

from support.build import NAME, SOURCE_VM, VERSION
from support.fixtures import nightly

PLAYBOOK = """\
---
- name: Look at a build Mac
  hosts: all
  gather_facts: false
  tasks:
    - name: Tell the environment
      ansible.builtin.command: /usr/bin/env
      changed_when: false
    - name: Tell the Python
      ansible.builtin.setup:
        gather_subset: [python, user]
    - name: Tell the virtual machines
      macops.parallels.vm_info:
        executable: "{{ image_executable }}"
"""


@pytest.fixture
def look(tmp_path):
    path = tmp_path / "look.yml"
    path.write_text(PLAYBOOK)
    return path


def test_ansible_reaches_a_mac_over_ssh(play, ssh_mac, look):
    ssh_mac.mac.vm("Büro Windows 11", data="64K", disk="1G")
    run = play(look, {"mac": ssh_mac.host_vars}).assert_ok().assert_unchanged()

    environment = dict(
        line.partition("=")[::2] for line in run.results_of("Tell the environment")[0]["stdout"].splitlines()
    )
    assert environment["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"
    facts = run.results_of("Tell the Python")[0]["ansible_facts"]
    assert facts["ansible_python_version"].startswith("3.9.")
    assert facts["ansible_user_id"] == ssh_mac.host_vars["ansible_user"]
    assert facts["ansible_user_uid"] != 0
    machines = run.results_of("macops.parallels.vm_info")[0]["vms"]
    assert [machine["name"] for machine in machines] == ["Büro Windows 11"]


def test_two_macs_at_once(play, make_ssh_mac, look):
    macs = {"arm": make_ssh_mac(arch="arm64"), "intel": make_ssh_mac(arch="x86_64", version="20")}
    for name, mac in macs.items():
        mac.mac.vm(f"VM on {name}", data="64K", disk="1G")
    run = play(look, {name: mac.host_vars for name, mac in macs.items()}).assert_ok()
    for name in macs:
        (result,) = run.results_of("macops.parallels.vm_info", host=name)
        assert [machine["name"] for machine in result["vms"]] == [f"VM on {name}"]


STUB = """\
#!/bin/sh
echo "xcode-select: note: No developer tools were found, requesting install." >&2
echo "If developer tools are located at a non-default location on disk, use `sudo xcode-select --switch`." >&2
exit 1
"""


@pytest.mark.parametrize("playbook", ["build_image", "publish_image", "retire_images", "verify_images"])
@pytest.mark.parametrize("check", [False, nightly(True)])
def test_a_mac_without_apples_command_line_tools(play, ssh_mac, playbook, check):
    """Its Python is a stub: said in a sentence, before a module is run."""
    stub = ssh_mac.mac.folder / "python3"
    stub.write_text(STUB)
    stub.chmod(0o755)
    host = {**ssh_mac.host_vars, "ansible_python_interpreter": str(stub)}
    variables = {
        "image_name": NAME,
        "image_version": VERSION,
        "image_source_vm": SOURCE_VM,
        "image_destination": "https://127.0.0.1:9/images/",
    }
    run = play(f"macops.parallels.{playbook}", {"mac": host}, variables, check=check)
    run.assert_failed("only a stub", "Command Line Tools", "xcode-select --install", "softwareupdate")
    assert str(stub) in run.messages
    assert [task.action for task in run.failed] == ["ansible.builtin.assert"]
    run.assert_no_warnings()
