# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build VMs as hosts: your own roles and tasks run in their guests, and no half provisioned VM is sealed."""

from __future__ import annotations

import contextlib
import json

import pytest

from support.build import NAME, SOURCE_VM, VERSION, Build
from support.fixtures import nightly

MARK = "Mark the guest"


def guest_of(host, arch):
    return f"{NAME}-{VERSION}-{arch}@{host}"


ARM, INTEL = guest_of("arm", "arm64"), guest_of("intel", "x86_64")


@pytest.fixture
def macs(make_mac):
    macs = {"arm": make_mac(arch="arm64"), "intel": make_mac(arch="x86_64")}
    with contextlib.ExitStack() as guests:
        for mac in macs.values():
            guests.enter_context(mac.guests())
            mac.vm(SOURCE_VM, os="ubuntu", data="1M", disk="8G", own_root=True)
        yield macs


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
        return {"image_guest_tasks": str(path)}

    return write


def build_vm(macs, host, arch):
    return next((vm for vm in macs[host].show()["vms"] if vm["name"] == f"{NAME}-{VERSION}-{arch}"), None)


def marked(run):
    return sorted(task.host for task in run.tasks if task.name.endswith(MARK) and task.status == "ok")


def failures(run):
    """Return the tasks that ended the run of the Macs."""
    return sorted((task.host, task.name.rpartition(" : ")[2]) for task in run.failed if "@" not in task.host)


# What a test of the guests does without, to be quick.
QUICK = {"image_compact": False, "image_provenance": False, "image_page": "never", "image_link_proof": "headers"}


def test_a_guest_that_fails_keeps_its_mac_from_sealing_and_no_other(build, macs, tasks):
    run = build.run(**tasks(ARM), **QUICK).assert_failed(f"{ARM} failed. Fail: no package \\u202ein {ARM}")

    assert marked(run) == [ARM, INTEL]
    assert failures(run) == [("arm", "Check that the guest was provisioned")]
    assert build_vm(macs, "arm", "arm64")["state"] == "running"
    assert build.published("x86_64")


@pytest.mark.nightly
def test_the_next_run_resumes(build, macs, tasks):
    macs["intel"].fault("disk_full=1:pack")
    build.run(**tasks(ARM), **QUICK).assert_failed(f"{ARM} failed", "disk")
    assert build_vm(macs, "intel", "x86_64")["state"] == "stopped"

    second = build.run(**tasks(), **QUICK).assert_ok()

    assert marked(second) == [ARM]
    assert {build.published("arm64")["arch"], build.published("x86_64")["arch"]} == {"arm64", "x86_64"}


@pytest.mark.nightly
def test_guests_that_are_lost(build, macs, tasks):
    """One is lost between two tasks. The other one does not respond at all."""
    stop = {
        "name": "Lose the guest",
        "ansible.builtin.command": {"argv": ["{{ hostvars.arm.image_executable }}", "stop", "{{ ansible_prlctl_vm }}"]},
        "delegate_to": "localhost",
        "when": f"inventory_hostname == '{ARM}'",
    }
    after = {"name": "Ask the guest", "ansible.builtin.ping": {}}
    macs["intel"].fault("exec_not_ready=always")

    run = build.run(**tasks(more=(stop, after)), image_guest_timeout=2).assert_failed(f"{ARM} was lost")

    run.assert_failed(f"{INTEL} failed. Wait until the guest responds: ")
    assert [task.host for task in run.failed if task.status == "unreachable"] == [ARM]
    assert failures(run) == [(host, "Check that the guest was provisioned") for host in ("arm", "intel")]
    assert build.stored == {}


@pytest.mark.nightly
def test_the_macs_without_guests_hand_over_when_all_guests_fail(build, macs, tasks):
    build.run(arguments=("--limit", "intel"), **QUICK).assert_ok()

    run = build.run(**tasks(ARM), **QUICK).assert_failed(f"{ARM} failed")

    assert failures(run) == [("arm", "Check that the guest was provisioned")]
    assert marked(run) == [ARM]
    assert run.results_of("Show the golden images", "intel")
    build.run(tags=("seal_vm",), **tasks()).assert_failed("started to provision its guest, and did not finish")
    build.run(tags=("provision_guest",), **tasks()).assert_ok()
    assert build_vm(macs, "arm", "arm64")["state"] == "running"
    without = build.run(tags=("seal_vm", "package_image", "publish_image", "hand_over"), **QUICK).assert_ok()
    assert marked(without) == []
    build.published("arm64")
    assert marked(build.run(**tasks(), **QUICK).assert_ok().assert_unchanged()) == []


@pytest.mark.nightly
def test_two_of_two_guests_fail(build, macs, tasks):
    secret = {"name": "Fail with a secret", "ansible.builtin.fail": {"msg": "s3cr3t"}, "no_log": True}

    run = build.run(**tasks(INTEL, more=(secret,))).assert_failed(f"{INTEL} failed", "(hidden by no_log)")

    # Since 2.19, ansible-core itself prints what the module `fail` says, in spite of no_log.
    assert not [task for task in run.failed if "@" not in task.host and "s3cr3t" in json.dumps(task.result)]
    assert failures(run) == [(host, "Check that the guest was provisioned") for host in ("arm", "intel")]
    assert build.stored == {}


@pytest.mark.parametrize("limit", ["arm", nightly("build_macs"), nightly("all,!build_guests")])
def test_a_limit_that_leaves_the_guests_out(build, macs, tasks, limit):
    run = build.run(arguments=("--limit", limit), **tasks())
    run.assert_failed("leaves out the guest", f"--limit '{limit},build_guests'")
    assert build_vm(macs, "arm", "arm64") is None


@pytest.mark.nightly
def test_a_limit_with_the_guests(build, macs, tasks):
    run = build.run(arguments=("--limit", "arm,build_guests"), tags=("provision_guest",), **tasks())
    assert run.rc == 0, run.output
    assert marked(run) == [ARM]
    assert build_vm(macs, "intel", "x86_64") is None


@pytest.mark.nightly
def test_a_role_that_does_not_exist(build, macs, tasks):
    run = build.run(image_guest_roles=["nope", "macops.parallels.check_python", "no.such.role"], **tasks())
    run.assert_failed("roles that do not exist on the controller: nope, no.such.role")
    assert build_vm(macs, "arm", "arm64") is None


@pytest.mark.nightly
def test_check_mode_says_what_would_run(build, macs, tasks):
    run = build.run(check=True, image_guest_roles=["macops.parallels.check_python"], **tasks()).assert_ok()
    plan = "\n".join(run.results_of("Show the plan")[0]["msg"])
    assert "the role macops.parallels.check_python and " in plan
    assert "in the guest of the build VM" in plan
    assert marked(run) == []


def test_guests_of_the_inventory_over_ssh(play, ssh_mac, tmp_path):
    """The plugin asks a Mac, and the tasks reach its guest with variables that refer to those of the Mac."""
    config = tmp_path / "20-guests.yml"
    config.write_text("plugin: macops.parallels.guests\n")
    asked = {"name": "Ask the guest", "ansible.builtin.command": {"argv": ["id", "-u"]}, "changed_when": False}
    playbook = tmp_path / "ask.yml"
    playbook.write_text(json.dumps([{"hosts": "vm_running:&vm_linux", "gather_facts": False, "tasks": [asked]}]))
    hosts = {"mac": ssh_mac.host_vars, "asleep": {"ansible_host": "127.0.0.1", "ansible_port": 9}}
    ssh_mac.mac.vm("Windows 11", os="win-11", data="64K", disk="1G", state="running")

    with ssh_mac.mac.guests():
        ssh_mac.mac.vm("lin {{ 1 + 1 }}", os="ubuntu", own_root=True, state="running", data="64K", disk="1G")
        run = play(playbook, hosts, arguments=("--inventory", str(config)))

    assert run.rc == 0, run.output
    assert [result["stdout"] for result in run.results_of("Ask the guest", "lin-1-1@mac")] == ["0"]
    assert list(run.stats) == ["lin-1-1@mac"]
    (warning,) = run.warnings
    assert "asleep did not list its virtual machines" in warning
