# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before sealing: a VM that is not ready stops the Mac, with all that is wrong in one message."""

from __future__ import annotations

import json

import pytest

from support.build import NAME, SOURCE_VM, VERSION, Build

BUILD_VM = f"{NAME}-{VERSION}-arm64"
FILE = f"{BUILD_VM}.pvmp"
# What is wrong, and the words that report it.
WRONG = {
    "shared_folders": "code (/Users/admin/code)",
    "secure_boot_key": "Its Secure Boot key is outdated.",
    "restart_pending": "A restart is pending: Windows Update.",
    "updates_in_progress": "TiWorker.exe",
    "domain_joined": "corp.example.com",
    "entra_joined": "It is not known. The guest reports: Access denied.",
    "automatic_sign_in": "Windows signs in admin by itself, and the password is saved in its registry.",
    "activation_channel": "is Retail, but kms is expected.",
}
SAYS = {
    "restart": [["Windows Update"], ["files", "rename"]],
    "updates": [["TiWorker.exe"]],
    "domain": [["corp.example.com"]],
    "entra": "Access denied",
    "sign_in": [["admin", "password"]],
    "profiles": [["admin", "C:\\Users\\admin"]],
}


@pytest.fixture
def build(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="1M", disk="8G", secure_boot="outdated")
    bundle = simulated_mac.folder / "Parallels" / f"{SOURCE_VM}.pvm"
    guest = json.loads((bundle / "guest.json").read_text(encoding="utf-8"))
    (bundle / "guest.json").write_text(json.dumps({**guest, "says": SAYS}), encoding="utf-8")
    simulated_mac.prlctl("set", SOURCE_VM, "--shf-host-add", "code", "--path", "/Users/admin/code")
    return Build.here(play, simulated_mac, https_store, tmp_path / "build")


@pytest.fixture
def wanted(tmp_path):
    tasks = tmp_path / "provision.yml"
    tasks.write_text("---\n- name: Do nothing to the VM\n  ansible.builtin.debug:\n    msg: nothing\n")
    return {"image_provision_tasks": str(tasks), "image_windows_activation": "kms"}


def state_of(mac, name):
    return next(vm["state"] for vm in mac.show()["vms"] if vm["name"] == name)


def test_a_vm_with_eight_things_wrong_is_not_sealed(build, simulated_mac, wanted):
    failed = build.run(**wanted).assert_failed(
        f"'{BUILD_VM}' is not ready to become an image. {len(WRONG)} of ",
        *(f"{id}: " for id in WRONG),
        *WRONG.values(),
        f"waive them (image_waive in the playbooks): {', '.join(WRONG)}.",
    )

    assert len(failed.failed) == 1
    assert build.stored == {}
    # Nothing was done to it: it still runs, and the admin can look.
    assert state_of(simulated_mac, BUILD_VM) == "running"


@pytest.mark.nightly
def test_what_was_waived_and_what_the_guest_said_outlive_an_interrupted_run(build, simulated_mac, wanted):
    waived = [*WRONG, "user_profiles"]
    stages = ("prepare_vm", "seal_vm", "package_image")
    build.run(tags=stages, image_waive=waived, **wanted).assert_ok()
    assert state_of(simulated_mac, BUILD_VM) == "stopped"
    assert build.stored == {}

    # The guest is in a packed image now, and cannot be asked.
    published = build.run(image_waive=waived, **wanted).assert_ok()

    record = build.published()
    readiness = record["readiness"]
    assert [check["id"] for check in readiness["waived"]] == list(WRONG)
    assert "user_profiles" in [check["id"] for check in readiness["warnings"]]
    assert (readiness["failed"], bool(readiness["guest_answered_at"])) == ([], True)
    assert {"tools", "software_list", "guest_architecture"} <= set(readiness["passed"])
    sbom = json.loads((build.store.folder / f"{FILE}.cdx.json").read_text(encoding="utf-8"))
    assert [component["name"] for component in sbom["components"]][:2] == [
        "Windows 11 25H2",
        "Microsoft.WindowsCalculator",
    ]
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == record["sha256"]
    page = (build.store.folder / "index.html").read_text(encoding="utf-8")
    assert f'href="{record["sbom"]["url"]}"' in page
    assert "waived: shared_folders" in page
    table = "\n".join(published.results_of("Show the golden images")[0]["msg"])
    assert f"arm64: {len(readiness['passed'])} readiness checks passed" in table
    assert "  waived  restart_pending\n    A restart is pending: Windows Update.\n" in table
    # The answers went with the build VM.
    assert list((build.home / ".ansible" / "macops.parallels" / "answers").iterdir()) == []

    build.run(playbook="verify_images").assert_ok()
    bad = {"image_retire_version": VERSION, "image_retire_reason": "Bad.", "image_retire_remove_file": True}
    build.run(playbook="retire_images", **bad).assert_ok()
    assert set(build.stored) == {"catalog.json", "index.html"}
