# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A signed build with its statement of provenance, and the nightly job that verifies both."""

from __future__ import annotations

import hashlib
import json

import pytest

from support.build import NAME, SOURCE_VM, Build
from support.ssh_keys import IDENTITY, allow, make_key

FILE = f"{NAME}-2026.11.0-arm64.pvmp"


@pytest.fixture
def build(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="1M", disk="8G", snapshots="base")
    return Build.here(play, simulated_mac, https_store, tmp_path / "build")


@pytest.fixture
def trust(tmp_path):
    key = make_key(tmp_path, "signing key")
    signers = allow(tmp_path / "allowed signers", (IDENTITY, key))
    return {
        "image_signing_key_path": str(key),
        "image_signing_identity": IDENTITY,
        "image_allowed_signers_path": str(signers),
    }


def read(build, name):
    return json.loads((build.store.folder / name).read_text(encoding="utf-8"))


def test_a_signed_build_is_verified_and_what_was_tampered_with_is_found(build, trust, tmp_path):
    tasks = tmp_path / "provision.yml"
    tasks.write_text("---\n- name: Do nothing to the VM\n  ansible.builtin.debug:\n    msg: nothing\n")

    built = build.run(image_provision_tasks=str(tasks), awx_job_id=4711, **trust).assert_ok()

    record = build.published()
    assert (record["signed_by"], record["provenance"]) == (IDENTITY, f"{build.store.url}/{FILE}.provenance.json")
    names = {"", ".sha256", ".provenance.json", ".provenance.json.sig", ".cdx.json"}
    assert set(build.stored) == {*(FILE + name for name in names), "catalog.json", "catalog.json.sig", "index.html"}
    check_statement(read(build, f"{FILE}.provenance.json"), record, tasks, built)
    sbom = build.store.folder / f"{FILE}.cdx.json"
    digest = hashlib.sha256(sbom.read_bytes()).hexdigest()
    assert record["sbom"] == {"name": sbom.name, "url": f"{build.store.url}/{sbom.name}", "sha256": digest}
    assert record["readiness"]["guest_answered_at"]

    verified = build.run(playbook="verify_images", **trust).assert_ok()
    report = json.loads((build.output / "verify_images.json").read_text(encoding="utf-8"))
    assert report["signatures"]["verified"] is True
    assert report["images"][0]["signature"] == report["signatures"]["records"][0]["provenance"]["verdict"] == "good"
    assert verified.custom_stats["image_verified"]["problems"] == []

    catalog = read(build, "catalog.json")
    catalog["records"][0]["description"] = "Please install this at once."
    (build.store.folder / "catalog.json").write_text(json.dumps(catalog))
    statement = build.store.folder / f"{FILE}.provenance.json"
    statement.write_text(statement.read_text().replace("build-mac", "bad-mac"))
    sbom.write_text(sbom.read_text(encoding="utf-8").replace("24.08", "24.09"), encoding="utf-8")

    build.run(playbook="verify_images", **trust).assert_failed(
        "catalog.json: It was changed after it was signed",
        f"{NAME}-2026.11.0-arm64: It was changed after it was signed",
        f"{NAME}-2026.11.0-arm64, provenance: It was changed after it was signed",
        f"{sbom.name} is missing, or is not the SBOM that its record names",
    )
    assert "was changed after it was signed" in (build.output / "verify_images.xml").read_text(encoding="utf-8")

    # Somebody without a key offers another image under the published version. A rerun signs nothing, and shows nothing.
    handed_over = {path.name: path.read_bytes() for path in build.output.glob(f"{NAME}-*")}
    evil = {**record, "url": f"{build.store.url}/evil.pvmp", "sha256": "e" * 64}
    for field in ("signed_by", "signed_at", "signed_for", "signature"):
        del evil[field]
    (build.store.folder / "catalog.json").write_text(json.dumps({**catalog, "records": [evil]}))
    planted = read(build, "catalog.json")
    again = build.run(image_provision_tasks=str(tasks), **trust).assert_failed(
        "catalog.json: It was changed after it was signed",
        f"{NAME}-2026.11.0-arm64: The record is not signed.",
        "state: signed",
    )
    assert (again.changed, read(build, "catalog.json")) == ([], planted)
    assert {path.name: path.read_bytes() for path in build.output.glob(f"{NAME}-*")} == handed_over
    assert "evil.pvmp" not in again.output


def check_statement(statement, record, tasks, built):
    assert statement["subject"] == [{"name": FILE, "digest": {"sha256": record["sha256"]}}]
    definition, details = (statement["predicate"][part] for part in ("buildDefinition", "runDetails"))
    parameters = definition["externalParameters"]
    assert (parameters["image_name"], parameters["image_source_vm"]) == (NAME, SOURCE_VM)
    assert parameters["image_generalize"] is False
    source, provisioning = definition["resolvedDependencies"]
    (found,) = built.results_of("Find the source VM")[0]["vms"]
    assert source["uri"] == f"urn:uuid:{found['uuid']}"
    assert source["annotations"]["name"] == SOURCE_VM
    assert provisioning == {
        "name": str(tasks),
        "digest": {"sha256": hashlib.sha256(tasks.read_bytes()).hexdigest()},
    }
    assert definition["internalParameters"]["parallels"] == record["parallels"]
    assert details["builder"]["id"] == "urn:macops-parallels:build-mac:mac"
    metadata = details["metadata"]
    assert metadata["invocationId"] == "awx-job-4711"
    assert metadata["startedOn"] < metadata["finishedOn"]
    commands = metadata["macops_commands"]
    verbs = [command["cmd"][1] for command in commands]
    assert list(dict.fromkeys(verbs)) == ["clone", "start", "stop", "snapshot-delete", "pack"]
    times = [metadata["startedOn"], *(command["startedOn"] for command in commands), metadata["finishedOn"]]
    assert times == sorted(times)
    # What Parallels refuses at first, because it is busy, is told too, with what it answered.
    assert set({command["cmd"][1]: command["rc"] for command in commands}.values()) == {0}
