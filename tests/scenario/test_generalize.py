# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of generalized guests: nothing starts a build VM again once it is generalized."""

from __future__ import annotations

import json

import pytest

from support.build import NAME, SOURCE_VM, VERSION

BUILD_VM = f"{NAME}-{VERSION}-arm64"
SYSPREP = "C:\\Windows\\System32\\Sysprep\\sysprep.exe"
GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
MARK = "Mark the guest"
PREPARE = ("prepare_vm", "seal_vm")


@pytest.fixture
def mac(ssh_mac):
    """A Mac with a running source VM."""
    ssh_mac.mac.vm(SOURCE_VM, state="running", data="1M", disk="8G", snapshots="base")
    return ssh_mac


@pytest.fixture
def build(make_build, mac):
    return make_build({"mac": mac})


@pytest.fixture
def provisioning(tmp_path):
    """The admin's tasks, which bring the answer file into the guest."""
    tasks = tmp_path / "provision.yml"
    tasks.write_text(
        "---\n"
        f"- name: {MARK}\n"
        "  macops.parallels.vm_exec:\n"
        "    executable: '{{ image_executable }}'\n"
        "    name: '{{ image_build_vm }}'\n"
        "    argv: [cmd, /c, echo, answers, '>', 'C:\\answers.xml']\n"
    )
    return {
        "image_generalize": True,
        "image_generalize_unattend": "C:\\answers.xml",
        "image_provision_tasks": str(tasks),
    }


def vm_named(mac, name):
    return next(vm for vm in mac.mac.show()["vms"] if vm["name"] == name)


def is_ready(vm):
    return vm["state"] == "stopped" and vm["guest"]["image_state"] == GENERALIZED


def pauses(mac, name):
    (info,) = json.loads(mac.mac.prlctl("list", "-i", "-j", name))
    return info["Startup and Shutdown"]["Pause idle"] == "on"


def calls_of(mac, *, verb, uuid):
    """Return the calls of prlctl for one VM, by its verb."""
    return [call["argv"] for call in mac.mac.show()["calls"] if call["argv"][:2] == [verb, uuid]]


def commands_of(mac, word):
    """Return the command lines with this word that were run in guests."""
    return [each["line"] for each in mac.mac.show()["dialogues"] if word in each["line"]]


@pytest.mark.nightly
def test_the_build_vm_is_provisioned_generalized_and_never_started_again(build, mac, provisioning):
    before = mac.mac.fingerprint(SOURCE_VM)
    mac.mac.fault("disk_full=1:pack")

    first = build.run(**provisioning).assert_failed("disk")

    assert len(first.results_of(MARK)) == 1
    clone = vm_named(mac, BUILD_VM)
    assert is_ready(clone)

    second = build.run(**provisioning).assert_ok()

    assert second.results_of(MARK) == []
    build.published()
    assert len(calls_of(mac, verb="start", uuid=clone["uuid"])) == 1
    (sysprep,) = commands_of(mac, SYSPREP)
    assert sysprep.endswith(" /unattend:C:\\answers.xml")
    assert mac.mac.fingerprint(SOURCE_VM) == before
    assert vm_named(mac, SOURCE_VM)["state"] == "running"
    build.run(**provisioning).assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_a_run_that_broke_between_sysprep_and_shutdown_goes_on(build, mac, provisioning):
    build.run(tags=PREPARE).assert_ok()
    mac.mac.knob(graceful_stop="ignored")
    build.run(image_stop_timeout=3, tags=PREPARE, **provisioning).assert_failed("generalized, but did not shut down")
    mac.mac.knob(graceful_stop="works")

    run = build.run(tags=PREPARE, **provisioning).assert_ok()

    assert run.results_of(MARK) == []
    assert is_ready(vm_named(mac, BUILD_VM))
    build.run(tags=PREPARE, **provisioning).assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_a_sysprep_that_fails_says_why_and_can_be_mended(build, mac, provisioning):
    mac.mac.knob(sysprep="fails")
    build.run(**provisioning).assert_failed("not provisioned for all users", "Remove-AppxPackage")
    assert vm_named(mac, BUILD_VM)["state"] == "running"
    assert build.stored == {}
    mac.mac.knob(sysprep="works")

    build.run(tags=PREPARE, **provisioning).assert_ok()

    assert is_ready(vm_named(mac, BUILD_VM))


@pytest.mark.nightly
def test_check_mode_generalizes_nothing(build, mac, provisioning):
    build.run(tags=PREPARE).assert_ok()
    uuid = vm_named(mac, BUILD_VM)["uuid"]

    run = build.run(check=True, **provisioning).assert_ok()

    assert "Generalize the build VM." in run.results_of("Show the plan")[0]["msg"]
    assert "Generalize the build VM" in [task.name.rpartition(" : ")[2] for task in run.changed]
    assert calls_of(mac, verb="start", uuid=uuid) == []
    assert vm_named(mac, BUILD_VM)["guest"]["image_state"] == "IMAGE_STATE_COMPLETE"


@pytest.mark.nightly
def test_without_a_clone_the_vm_itself_is_generalized_once(build, mac):
    uuid = vm_named(mac, SOURCE_VM)["uuid"]
    variables = {"image_clone": False, "image_generalize": True}
    mac.mac.fault("disk_full=1:pack")
    build.run(**variables).assert_failed("disk")

    build.run(**variables).assert_ok()

    build.published()
    assert len(commands_of(mac, SYSPREP)) == 1
    assert calls_of(mac, verb="start", uuid=uuid) == []


@pytest.mark.nightly
def test_a_linux_image(make_build, ssh_mac):
    ssh_mac.mac.vm(SOURCE_VM, os="ubuntu", data="1M", disk="8G")
    ssh_mac.mac.prlctl("set", SOURCE_VM, "--pause-idle", "on")
    ssh_mac.mac.knob(pause_idle_after=1)  # a VM with that setting on pauses at once
    source = vm_named(ssh_mac, SOURCE_VM)["guest"]
    build = make_build({"mac": ssh_mac})
    build.run(image_generalize=True, tags=PREPARE).assert_ok()

    clone = vm_named(ssh_mac, BUILD_VM)

    assert (clone["state"], clone["guest"]["machine_id"], clone["guest"]["host_keys"]) == ("stopped", "", False)
    assert vm_named(ssh_mac, SOURCE_VM)["guest"] == source
    assert pauses(ssh_mac, BUILD_VM)
    build.run(image_generalize=True, tags=PREPARE).assert_ok().assert_unchanged()
    assert len(calls_of(ssh_mac, verb="start", uuid=clone["uuid"])) == 1
