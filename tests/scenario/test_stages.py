# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each stage stands by itself: what it needs of those before it, and what it says when that is missing."""

from __future__ import annotations

import json
import os
import sys

import pytest

from support.build import NAME, SOURCE_VM, VERSION, Build
from support.fixtures import nightly

MAC_FIRST = "prepare_mac has to come first"
STORE_FIRST = "check_store has to come first"
# Whole sentences: nothing of how Ansible says it.
WRONG = ("is undefined", "has no attribute")


@pytest.fixture
def host(simulated_mac):
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    return {"ansible_connection": "local", "ansible_python_interpreter": python, **simulated_mac.host_vars}


@pytest.fixture
def variables(tmp_path):
    return {
        "image_name": NAME,
        "image_version": VERSION,
        "image_source_vm": SOURCE_VM,
        "image_destination": "https://127.0.0.1:9/images/",
        "image_output_dir": str(tmp_path / "build"),
    }


def assert_says(run, words):
    run.assert_failed(words)
    assert not any(wrong in run.messages for wrong in WRONG), run.messages
    assert len(run.failed) == 1


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("prepare_mac : Keep the facts of the source VM", MAC_FIRST),
        nightly("prepare_mac : Keep why no image can be made", MAC_FIRST),
        ("check_store : Read the records of the version", MAC_FIRST),
        nightly("check_store : Check that an image can be made", MAC_FIRST),
        ("prepare_vm : Clone the source VM", MAC_FIRST),
        nightly("seal_vm : Check that there is a build VM", MAC_FIRST),
        ("seal_vm : Remove the snapshots", MAC_FIRST),
        ("package_image : Pack the build VM", MAC_FIRST),
        nightly("publish_image : Hash the image", STORE_FIRST),
        nightly("publish_image : Check that there is an image to publish", STORE_FIRST),
        ("publish_image : Clean up the Mac", STORE_FIRST),
        ("hand_over : Write the record", STORE_FIRST),
    ],
)
def test_a_run_that_starts_in_the_middle(play, simulated_mac, host, variables, task, words):
    arguments = ["--start-at-task", f"macops.parallels.{task}"]
    run = play("macops.parallels.build_image", {"mac": host}, variables, arguments=arguments)
    assert_says(run, words)
    assert simulated_mac.show()["calls"] == []


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("check_store", MAC_FIRST),
        nightly("prepare_vm", MAC_FIRST),
        ("seal_vm", MAC_FIRST),
        nightly("package_image", MAC_FIRST),
        nightly("publish_image", STORE_FIRST),
        ("hand_over", STORE_FIRST),
    ],
)
def test_a_role_that_is_used_alone(play, simulated_mac, host, variables, tmp_path, role, words):
    task = {"name": "Run it", "ansible.builtin.include_role": {"name": f"macops.parallels.{role}"}}
    playbook = tmp_path / "alone.yml"
    playbook.write_text(json.dumps([{"hosts": "build_macs", "gather_facts": False, "tasks": [task]}]))
    run = play(playbook, {"mac": host}, variables)
    assert_says(run, words)
    assert simulated_mac.show()["calls"] == []


def test_prepare_mac_alone_needs_no_store(play, simulated_mac, host, variables, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="64K", disk="1G")
    tasks = [
        {"name": "Run it", "ansible.builtin.include_role": {"name": "macops.parallels.prepare_mac"}},
        {"name": "Seal", "ansible.builtin.include_role": {"name": "macops.parallels.seal_vm"}},
    ]
    playbook = tmp_path / "alone.yml"
    playbook.write_text(json.dumps([{"hosts": "build_macs", "gather_facts": False, "tasks": tasks}]))
    run = play(playbook, {"mac": host}, variables)
    assert_says(run, STORE_FIRST)
    assert run.results_of("Keep the facts of the source VM")[0]["ansible_facts"]["prepare_mac_source"]["uuid"]


POINTS = ("before_clone", "provision", "before_pack", "after_publish")
HOOK = """\
---
- name: {name}
  macops.parallels.vm_info:
"""


def states(run, task):
    """Return the VMs that a hook found, by what they are called."""
    (found,) = run.results_of(task)
    return {vm["name"]: "packed" if vm["packed"] else vm["state"] for vm in found["vms"]}


@pytest.fixture
def hooks(tmp_path):
    """Return the variables of all hooks, each of which looks at the VMs."""
    variables = {}
    for point in POINTS:
        (tmp_path / f"{point}.yml").write_text(HOOK.format(name=point))
        variables[f"image_{point}_tasks"] = str(tmp_path / f"{point}.yml")
    return variables


# No file system has as much space.
NO_SPACE = {"check_store_needed_bytes": 10**18}


def test_your_own_tasks_in_a_build_that_breaks_after_generalizing(play, simulated_mac, https_store, tmp_path, hooks):
    """Each hook sees the VMs as they are then; it gets C(executable) like every task of the roles.

    The rerun starts the generalized build VM no more. What is published then needs no hooks, no space and no source.
    """
    uuid = simulated_mac.vm(SOURCE_VM, data="1M", disk="8G")
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    build_vm = f"{NAME}-{VERSION}-arm64"

    checked = build.run(check=True, **hooks).assert_ok()
    assert not any(checked.results_of(point) for point in ("before_clone", "provision", "before_pack"))
    plan = "\n".join(checked.results_of("Show the plan")[0]["msg"])
    assert all(path in plan for path in hooks.values())

    simulated_mac.fault("disk_full=1:pack")
    first = build.run(image_generalize=True, **hooks).assert_failed("disk")
    assert states(first, "before_clone") == {SOURCE_VM: "stopped"}
    assert states(first, "provision") == {SOURCE_VM: "stopped", build_vm: "running"}
    assert states(first, "before_pack") == {SOURCE_VM: "stopped", build_vm: "stopped"}
    assert first.results_of("after_publish") == []

    (clone,) = (vm for vm in simulated_mac.show()["vms"] if vm["name"] == build_vm)
    assert clone["guest"]["image_state"] == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"

    second = build.run(image_generalize=True, **hooks).assert_ok()
    assert second.results_of("before_clone") == second.results_of("provision") == []
    calls = [call["argv"] for call in simulated_mac.show()["calls"] if call["argv"][1:2] == [clone["uuid"]]]
    assert [argv[0] for argv in calls].count("start") == 1
    assert sum("sysprep.exe" in each["line"] for each in simulated_mac.show()["dialogues"]) == 1
    assert states(second, "before_pack") == {SOURCE_VM: "stopped", build_vm: "stopped"}
    assert states(second, "after_publish") == {SOURCE_VM: "stopped", build_vm: "packed"}
    record = build.published()
    statement = json.loads((build.store.folder / f"{build_vm}.pvmp.provenance.json").read_text(encoding="utf-8"))
    definition = statement["predicate"]["buildDefinition"]
    assert [found["name"] for found in definition["resolvedDependencies"][1:]] == list(hooks.values())
    assert hooks.items() <= definition["externalParameters"].items()

    build.run(image_version="2026.12.0", **NO_SPACE).assert_failed("free", "image_work_dir")
    simulated_mac.prlctl("delete", uuid)
    third = build.run(image_arch="arm64", **hooks, **NO_SPACE).assert_ok().assert_unchanged()
    assert not any(third.results_of(point) for point in POINTS)
    assert build.published() == record


@pytest.mark.nightly
def test_what_a_published_version_needs(play, simulated_mac, https_store, tmp_path, hooks):
    """Neither its hooks, nor space, nor its source: another version needs them."""
    uuid = simulated_mac.vm(SOURCE_VM, data="1M", disk="8G")
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    build.run(**hooks).assert_ok()
    record = build.published()

    again = build.run(**hooks, **NO_SPACE).assert_ok().assert_unchanged()
    assert not any(again.results_of(point) for point in POINTS)
    build.run(image_version="2026.12.0", **NO_SPACE).assert_failed("free", "image_work_dir")

    simulated_mac.prlctl("delete", uuid)
    build.run(image_arch="arm64").assert_ok().assert_unchanged()
    assert build.published() == record
    gone = build.run(image_version="2026.12.0", image_arch="arm64")
    gone.assert_failed(f"no usable VM '{SOURCE_VM}'", "prlctl list", "There is no virtual machine")


@pytest.mark.parametrize("point", ["before_clone", nightly("provision"), nightly("before_pack"), "after_publish"])
def test_a_tasks_file_that_is_missing(play, simulated_mac, host, variables, point):
    variables[f"image_{point}_tasks"] = "nowhere.yml"
    run = play("macops.parallels.build_image", {"mac": host}, variables)
    run.assert_failed(f"image_{point}_tasks names 'nowhere.yml'", "no such file")
    assert simulated_mac.show()["calls"] == []


def test_what_is_known_before_the_clone_is_reported_before_it(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="1M", disk="8G", encrypted=True)
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    (tmp_path / "file").write_text("")
    tmp_path.chmod(0o777)

    refused = build.run(check=True, image_work_dir=str(tmp_path / "file" / "new"))
    refused.assert_failed("it is encrypted", "image_allow_encrypted", "file is not a folder")
    refused.assert_failed("other users of this Mac can put files into", "image_allow_shared_work_dir")
    assert {call["argv"][0] for call in simulated_mac.show()["calls"]} <= {"list", "snapshot-list", "info"}


@pytest.mark.nightly
def test_what_is_allowed_is_done(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="1M", disk="8G", encrypted=True)
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    tmp_path.chmod(0o777)
    folder = tmp_path / "new" / "folder"
    allowed = {"image_allow_encrypted": True, "image_allow_shared_work_dir": True}
    made = build.run(tags=("prepare_vm",), image_work_dir=str(folder), **allowed)
    assert made.rc == 0, made.output
    (warning,) = made.warnings
    assert "Other users of this Mac can put files into" in warning
    assert (folder / f"{NAME}-{VERSION}-arm64.pvm").is_dir()
