# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build VMs as hosts: your own roles and tasks run in their guests, and no half provisioned VM is sealed."""

from __future__ import annotations

import json
import os
import sys

import pytest

from support.build import NAME, SOURCE_VM, VERSION, Build

MARK = "Mark the guest"
PYTHON = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable


def guest_of(host, arch):
    return f"{NAME}-{VERSION}-{arch}@{host}"


ARM, INTEL = guest_of("arm", "arm64"), guest_of("intel", "x86_64")


@pytest.fixture
def macs(make_mac):
    macs = {"arm": make_mac(arch="arm64"), "intel": make_mac(arch="x86_64")}
    for mac in macs.values():
        mac.vm(SOURCE_VM, os="ubuntu", data="1M", disk="8G")
    return macs


@pytest.fixture
def build(play, macs, https_store, tmp_path):
    builds = {name: Build.here(play, mac, https_store, tmp_path / "build") for name, mac in macs.items()}
    hosts = {name: build.hosts["mac"] for name, build in builds.items()}
    return Build(play, hosts, https_store, tmp_path / "build", builds["arm"].home)


@pytest.fixture
def tasks(tmp_path):
    """Write the admin's tasks file, in which some guests fail."""

    def write(*failing, more=()):
        path = tmp_path / "guest.yml"
        tasks = [
            {"name": MARK, "ansible.builtin.set_fact": {"guest_mark": "{{ inventory_hostname }}"}},
            {
                "name": "Fail",
                "ansible.builtin.fail": {"msg": "no package \u202ein {{ inventory_hostname }}"},
                "when": f"inventory_hostname in {list(failing)}",
            },
            *more,
        ]
        path.write_text(json.dumps(tasks))
        return {"image_guest_tasks": str(path), "ansible_connection": "local", "ansible_python_interpreter": PYTHON}

    return write


def build_vm(macs, host, arch):
    return next((vm for vm in macs[host].show()["vms"] if vm["name"] == f"{NAME}-{VERSION}-{arch}"), None)


def marked(run):
    return sorted(task.host for task in run.tasks if task.name.endswith(MARK) and task.status == "ok")


def test_a_guest_that_fails_keeps_its_mac_from_sealing_and_no_other(build, macs, tasks):
    macs["intel"].fault("disk_full=1:pack")

    first = build.run(**tasks(ARM)).assert_failed(f"{ARM} failed. Fail: no package \\u202ein {ARM}", "disk")

    assert marked(first) == [ARM, INTEL]
    assert [(task.host, task.name.rpartition(" : ")[2]) for task in first.failed if "@" not in task.host] == [
        ("arm", "Check that the guest was provisioned"),
        ("intel", "Pack the build VM"),
    ]
    assert build_vm(macs, "arm", "arm64")["state"] == "running"
    assert build_vm(macs, "intel", "x86_64")["state"] == "stopped"

    build.run(tags=("seal_vm",), **tasks()).assert_failed("started to provision its guest, and did not finish")

    second = build.run(**tasks()).assert_ok()

    assert marked(second) == [ARM]
    build.assert_only("arm64", "x86_64")
    assert {build.published("arm64")["arch"], build.published("x86_64")["arch"]} == {"arm64", "x86_64"}
    third = build.run(**tasks()).assert_ok().assert_unchanged()
    assert marked(third) == []
