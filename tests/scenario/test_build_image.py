# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole playbook, over SSH, from a running VM with snapshots to a proven link on a real server."""

from __future__ import annotations

import pytest

from support.build import NAME, SOURCE_VM, VERSION
from support.fixtures import nightly
from support.mac_faults import OTHERWISE

LINK = "Verify the link"
UPLOAD = "macops.parallels.image_upload"
BUILD_VM = f"{NAME}-{VERSION}-arm64"
# The words of prlctl that only look.
LOOKS = ("list", "snapshot-list", "status", "info", "--version")


@pytest.fixture
def mac(ssh_mac):
    """A Mac with a running source VM that has three snapshots."""
    ssh_mac.mac.vm(SOURCE_VM, state="running", data="4M", disk="32G", snapshots="base(updates(office))")
    return ssh_mac


@pytest.fixture
def build(make_build, mac):
    return make_build({"mac": mac})


def names_of(mac):
    return sorted(vm["name"] for vm in mac.mac.show()["vms"])


def state_of(mac, name=SOURCE_VM):
    return next(vm["state"] for vm in mac.mac.show()["vms"] if vm["name"] == name)


def files_of(mac):
    return {path.name for path in (mac.mac.folder / "Parallels").iterdir()}


def changing_calls(mac):
    return [call["argv"] for call in mac.mac.show()["calls"] if not set(LOOKS) & set(call["argv"][:2])]


def test_from_a_running_vm_to_a_proven_link(build, mac):
    before = mac.mac.fingerprint(SOURCE_VM)

    first = build.run().assert_ok()

    record = build.published()
    build.assert_only("arm64")
    assert record["source"]["vm"] == SOURCE_VM
    assert first.results_of(LINK)[0]["verdict"] == "direct"
    assert first.results_of(LINK)[0]["sha256"] == record["sha256"]
    assert first.custom_stats["image_records"] == [record]
    assert mac.mac.fingerprint(SOURCE_VM) == before
    assert state_of(mac) == "running"
    assert names_of(mac) == [SOURCE_VM]
    assert files_of(mac) == {f"{SOURCE_VM}.pvm"}

    second = build.run().assert_ok().assert_unchanged()
    assert second.results_of(LINK)[0]["verdict"] == "direct"
    assert build.published() == record


def test_check_mode_tells_and_touches_nothing(build, mac):
    before = mac.mac.fingerprint(SOURCE_VM)

    run = build.run(check=True).assert_ok()

    assert run.changed
    plan = "\n".join(run.results_of("Show the plan")[0]["msg"])
    assert BUILD_VM in plan
    assert "shut down" in plan
    assert build.store.url in plan
    assert changing_calls(mac) == []
    assert build.stored == {}
    assert not build.output.exists()
    assert mac.mac.fingerprint(SOURCE_VM) == before
    assert state_of(mac) == "running"


@pytest.mark.nightly
def test_check_mode_of_a_build_that_waits_for_its_upload(build, mac):
    build.run(tags=("prepare_vm", "seal_vm", "package_image")).assert_ok()
    calls = changing_calls(mac)

    run = build.run(check=True).assert_ok()

    others = [f"macops.parallels.{module}" for module in ("image_provenance", "image_catalog")]
    assert [task.action for task in run.changed] == [UPLOAD, *others]
    assert changing_calls(mac) == calls
    assert build.stored == {}


@pytest.mark.parametrize("again", [False, nightly(True)])
def test_two_macs_of_different_architectures_get_one_sheet(make_build, make_ssh_mac, again):
    """They have older releases of Parallels Desktop, too."""
    macs = {"arm": make_ssh_mac(arch="arm64", version="20"), "intel": make_ssh_mac(arch="x86_64", version="16")}
    for ssh in macs.values():
        ssh.mac.vm(SOURCE_VM, state="running", data="1M", disk="8G", snapshots="base")
    build = make_build(macs)

    run = build.run().assert_ok()

    build.assert_only("arm64", "x86_64")
    records = [build.published("arm64"), build.published("x86_64")]
    assert run.custom_stats["image_records"] == records
    if again:
        build.run().assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_macs_of_different_runs_get_one_sheet(make_build, make_ssh_mac):
    intel = make_ssh_mac(arch="x86_64")
    intel.mac.vm(SOURCE_VM, data="1M", disk="8G")
    arm = make_ssh_mac(arch="arm64")
    arm.mac.vm(SOURCE_VM, data="1M", disk="8G")
    build = make_build({"intel": intel})
    build.run().assert_ok()
    later = make_build({"arm": arm}, store=build.store)

    later.run().assert_ok()

    assert later.published("arm64")
    assert later.published("x86_64")


@pytest.mark.nightly
def test_each_stage_alone_goes_on_with_what_is_there(build, mac):
    for stage in ("prepare_vm", "seal_vm", "package_image", "publish_image"):
        build.run(tags=(stage,)).assert_ok()
    build.run(tags=("hand_over",)).assert_ok()
    build.published()
    build.run().assert_ok().assert_unchanged()


@pytest.mark.parametrize("stage", [nightly("seal_vm"), nightly("package_image"), "publish_image"])
def test_a_stage_before_its_time_says_which_comes_first(build, mac, stage):
    build.run(tags=(stage,)).assert_failed("first")
    assert changing_calls(mac) == []


@pytest.mark.nightly
def test_without_a_clone_the_vm_itself_is_packed_and_unpacked_again(build, mac):
    mac.mac.prlctl("stop", SOURCE_VM)

    build.run(image_clone=False, image_snapshots="keep", image_compact=False).assert_ok()

    record = build.published()
    vm = next(vm for vm in mac.mac.show()["vms"] if vm["name"] == SOURCE_VM)
    assert vm["home"].endswith(".pvm")
    assert files_of(mac) == {f"{SOURCE_VM}.pvm"}
    assert record["file"] in build.stored
    build.run(image_clone=False, image_snapshots="keep").assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_the_packed_image_may_stay_and_its_link_be_proven_from_the_controller(build, mac):
    wishes = {
        "image_keep_local": True,
        "image_link_from": "controller",
        "image_link_ca_path": str(build.store.ca_path),
    }
    run = build.run(**wishes).assert_ok()

    assert run.results_of(LINK)[0]["verdict"] == "direct"
    record = build.published()
    local = mac.mac.folder / "Parallels" / record["file"]
    assert local.stat().st_size == record["size"]
    assert names_of(mac) == sorted([SOURCE_VM, BUILD_VM])
    build.run(**wishes).assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_the_admins_tasks_run_against_the_running_build_vm(build, mac, tmp_path):
    tasks = tmp_path / "provision.yml"
    tasks.write_text(
        "---\n"
        "- name: Ask how the VM is\n"
        "  macops.parallels.vm_info:\n"
        "    executable: '{{ image_executable }}'\n"
        "    name: '{{ image_build_vm }}'\n"
    )

    run = build.run(tags=("prepare_vm",), image_provision_tasks=str(tasks)).assert_ok()

    assert run.results_of("Ask how the VM is")[0]["vms"][0]["state"] == "running"


def test_a_source_vm_that_may_not_be_stopped_is_an_error(build, mac):
    build.run(image_source_stop=False).assert_failed("running")
    assert changing_calls(mac) == []


@pytest.mark.parametrize("state", ["suspended", nightly("paused")])
def test_a_source_vm_that_is_neither_running_nor_stopped_is_an_error(make_build, ssh_mac, state):
    ssh_mac.mac.vm(SOURCE_VM, state=state, data="1M", disk="8G")
    make_build({"mac": ssh_mac}).run().assert_failed(state)
    assert changing_calls(ssh_mac) == []
    assert state_of(ssh_mac) == state


@pytest.mark.parametrize("check", [True, nightly(False)])
def test_snapshots_can_be_an_error_before_the_clone(build, mac, check):
    build.run(image_snapshots="fail", check=check).assert_failed("it has 3 snapshots, and image_snapshots is")
    assert build.stored == {}
    assert changing_calls(mac) == []


@pytest.mark.nightly
def test_snapshots_of_a_build_vm_can_be_an_error(build, mac):
    build.run(tags=("prepare_vm",)).assert_ok()
    build.run(image_snapshots="fail").assert_failed("it has 3 snapshots, and image_snapshots is")
    assert build.stored == {}
    build.run(tags=("prepare_vm", "seal_vm")).assert_ok()


@pytest.mark.parametrize(
    "variables, words",
    [
        nightly({"image_name": "Win 11"}, ["image_name"]),
        nightly({"image_version": "2026/11"}, ["image_version"]),
        ({"image_source_vm": "no such VM"}, ["no such VM", "prlctl list"]),
        ({"image_store_password": "wrong"}, ["password"]),
        nightly({"image_destination": "http://127.0.0.1/images"}, ["https"]),
        ({"image_destination": "file:///images"}, ["image_public_url"]),
        nightly({"image_provision_tasks": "nowhere.yml"}, ["nowhere.yml"]),
        nightly({"image_work_dir": "/dev/null/images"}, ["/dev/null"]),
        nightly({"image_snapshots": "maybe"}, ["image_snapshots"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_wrong_variable_ends_the_run_before_anything_is_touched(build, mac, variables, words):
    build.run(**variables).assert_failed(*words)
    assert changing_calls(mac) == []
    assert build.stored == {}


@pytest.mark.nightly
def test_the_folder_of_the_store_is_missing(build, mac):
    missing = f"{build.store.url}/missing"
    build.run(image_destination=f"{missing}/").assert_failed("missing")
    assert changing_calls(mac) == []


@pytest.mark.nightly
def test_parallels_may_be_other_than_we_think(build, mac):
    before = mac.mac.fingerprint(SOURCE_VM)
    mac.mac.knob(**OTHERWISE)

    build.run().assert_ok()

    build.published()
    assert mac.mac.fingerprint(SOURCE_VM) == before
    assert files_of(mac) == {f"{SOURCE_VM}.pvm"}
    build.run().assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_a_published_version_never_changes(build, mac):
    build.run().assert_ok()
    record = build.published()
    build.run(image_store_username=None, image_store_password=None).assert_ok().assert_unchanged()

    mac.mac.vm("other", data="1M", disk="8G")
    mac.mac.prlctl("pack", "other")
    other = mac.mac.folder / "Parallels" / "other.pvmp"
    build.run(playbook="publish_image", image_path=str(other), image_arch="arm64").assert_failed("already", "version")
    assert build.published() == record

    (build.store.folder / record["file"]).unlink()
    build.run().assert_failed("not_found")


@pytest.mark.nightly
def test_an_image_that_was_made_by_hand_is_published(build, mac):
    mac.mac.vm("by hand", data="1M", disk="8G")
    mac.mac.prlctl("pack", "by hand")
    path = mac.mac.folder / "Parallels" / "by hand.pvmp"

    build.run(playbook="publish_image", image_path=str(path), image_arch="arm64").assert_ok()

    assert build.published()["size"] == path.stat().st_size
    build.run(playbook="publish_image", image_path=str(path), image_arch="arm64").assert_ok().assert_unchanged()
