# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of provenance: its form, and the file beside the image."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._common.version import VERSION
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.provenance import (
    Build,
    ProvenanceFile,
    Subject,
    serialized,
    statement,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.seal import provenance_verdict
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import Signer, SshKeygen, Verifier
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, allow, make_key, run_command

SSH_KEYGEN = SshKeygen(run_command)
FILE = "Büro 11.pvmp"
SUBJECT = Subject(FILE, "a1" * 32)
UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
COMMAND = {"cmd": ["/usr/local/bin/prlctl", "pack", "x"], "rc": 0, "started_at": "2026-11-22T10:01:00Z", "seconds": 4.5}
BUILD = Build(
    builder_id="https://builds.example.com/macs/mini-7",
    invocation_id="awx-job-4711",
    started_at=datetime(2026, 11, 22, 10, tzinfo=timezone.utc),
    finished_at=datetime(2026, 11, 22, 11, 30, 5, tzinfo=timezone.utc),
    parameters={"image_name": "büro", "image_generalize": False, "image_title": ""},
    environment={"system": "macOS", "model": None},
    source={"name": "Büro Windows 11", "uuid": UUID, "os": "win-11", "tools": ""},
    materials=[
        {"name": "provision.yml", "sha256": "b2" * 32, "uri": None},
        {"name": "x", "uri": "https://example.com/x"},
    ],
    commands=[COMMAND],
    versions={"ansible-core": "2.21.5"},
)


def test_the_statement_has_the_form_of_in_toto_and_slsa() -> None:
    content = statement(SUBJECT, BUILD)
    build_type = content["predicate"]["buildDefinition"].pop("buildType")
    assert build_type == "urn:macops-parallels:build-type:build-image:v1"
    assert content == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": FILE, "digest": {"sha256": "a1" * 32}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "externalParameters": {"image_name": "büro", "image_generalize": False},
                "internalParameters": {"system": "macOS"},
                "resolvedDependencies": [
                    {
                        "name": "source VM",
                        "uri": f"urn:uuid:{UUID}",
                        "annotations": {"name": "Büro Windows 11", "uuid": UUID, "os": "win-11"},
                    },
                    {"name": "provision.yml", "digest": {"sha256": "b2" * 32}},
                    {"name": "x", "uri": "https://example.com/x"},
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "https://builds.example.com/macs/mini-7",
                    "version": {"macops.parallels": VERSION, "ansible-core": "2.21.5"},
                },
                "metadata": {
                    "invocationId": "awx-job-4711",
                    "startedOn": "2026-11-22T10:00:00Z",
                    "finishedOn": "2026-11-22T11:30:05Z",
                    "macops_commands": [
                        {
                            "cmd": ["/usr/local/bin/prlctl", "pack", "x"],
                            "rc": 0,
                            "startedOn": "2026-11-22T10:01:00Z",
                            "seconds": 4.5,
                        }
                    ],
                },
            },
        },
    }


def test_an_image_that_was_made_by_hand_names_no_source() -> None:
    content = statement(SUBJECT, dataclasses.replace(BUILD, source={}, materials=[], commands=[]))
    assert content["predicate"]["buildDefinition"]["resolvedDependencies"] == []
    assert content["predicate"]["runDetails"]["metadata"]["macops_commands"] == []


@pytest.mark.parametrize("material", [{"name": "x"}, {"uri": "https://example.com"}, {"name": "x", "sha256": ""}])
def test_a_material_is_known_by_something(material: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="entry of materials is incomplete"):
        statement(SUBJECT, dataclasses.replace(BUILD, materials=[material]))


def test_the_version_is_that_of_the_collection() -> None:
    galaxy = Path(__file__).parents[5] / "galaxy.yml"
    manifest = galaxy.with_name("MANIFEST.json")
    if galaxy.exists():
        assert f"\nversion: {VERSION}\n" in galaxy.read_text()
    else:
        assert json.loads(manifest.read_text())["collection_info"]["version"] == VERSION


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="store")
def fixture_store(folder: Path) -> Store:
    return open_store(folder.as_uri(), StoreOptions())


@pytest.fixture(name="keys", scope="module")
def fixture_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in ("own", "other")}


@pytest.fixture(name="file_of")
def fixture_file_of(store: Store, keys: dict[str, Path]) -> Callable[..., ProvenanceFile]:
    def file_of(key: str = "") -> ProvenanceFile:
        signer = Signer(SSH_KEYGEN, str(keys[key]), IDENTITY) if key else None
        return ProvenanceFile(store, Retries(4), FILE, signer)

    return file_of


LATER = dataclasses.replace(BUILD, invocation_id="later")


@pytest.mark.parametrize("key", ["", "own"])
def test_it_is_written_once(folder: Path, file_of: Any, key: str) -> None:
    content = statement(SUBJECT, BUILD)
    assert file_of(key).publish(content, check_mode=True).changed
    assert list(folder.iterdir()) == []
    first = file_of(key).publish(content)
    assert (first.changed, first.before, first.statement) == (True, {}, content)
    names = [f"{FILE}.provenance.json", *([f"{FILE}.provenance.json.sig"] if key else [])]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / names[0]).read_bytes() == serialized(content)
    for check_mode in (True, False):
        second = file_of(key).publish(statement(SUBJECT, LATER), check_mode)
        assert (second.changed, second.statement) == (False, content)


@pytest.mark.parametrize(
    ("first_key", "then", "key", "subject", "changed"),
    [
        ("own", "nothing", "", SUBJECT, False),
        ("", "nothing", "own", SUBJECT, True),
        ("other", "nothing", "own", SUBJECT, True),
        ("own", "removed", "own", SUBJECT, True),
        ("own", "tampered", "own", SUBJECT, True),
        ("own", "nothing", "own", Subject(FILE, "c3" * 32), True),
        ("own", "broken", "own", SUBJECT, True),
    ],
)
def test_it_is_written_again_only_when_it_is_not_ours(
    folder: Path, file_of: Any, first_key: str, then: str, key: str, subject: Subject, changed: bool
) -> None:
    file_of(first_key).publish(statement(SUBJECT, BUILD))
    path = folder / f"{FILE}.provenance.json"
    if then == "removed":
        path.with_name(path.name + ".sig").unlink()
    elif then == "tampered":
        path.write_text(path.read_text().replace("mini-7", "mini-8"))
    elif then == "broken":
        path.write_text("{")
    published = file_of(key).publish(statement(subject, LATER))
    assert published.changed is changed
    assert json.loads(path.read_text()) == published.statement == statement(subject, LATER if changed else BUILD)


def _statement(**metadata: Any) -> dict[str, Any]:
    content = statement(SUBJECT, BUILD)
    content["predicate"]["runDetails"]["metadata"].update(metadata)
    return content


@pytest.mark.parametrize(
    ("content", "key", "sha256", "word"),
    [
        (_statement(), "own", "a1" * 32, "good"),
        (_statement(), "other", "a1" * 32, "foreign"),
        (_statement(), "own", "b2" * 32, "changed"),
        (_statement(finishedOn="2019-01-01T00:00:00Z"), "own", "a1" * 32, "foreign"),
        (_statement(finishedOn="yesterday"), "own", "a1" * 32, "unreadable"),
        ({"subject": []}, "own", "a1" * 32, "unreadable"),
        ([], "own", "a1" * 32, "unreadable"),
        ({**_statement(), "subject": [{"name": "x"}]}, "own", "a1" * 32, "unreadable"),
    ],
)
def test_verdicts(tmp_path: Path, keys: dict[str, Path], content: Any, key: str, sha256: str, word: str) -> None:
    allowed = allow(tmp_path / "signers", (f'{IDENTITY} valid-after="20200101"', keys["own"]))
    data = serialized(content)
    signature = Signer(SSH_KEYGEN, str(keys[key]), IDENTITY).sign(data)
    verifier = Verifier(SSH_KEYGEN, str(allowed))
    assert provenance_verdict(data, signature, sha256, verifier).word == word
    if word == "good":
        assert provenance_verdict(data + b"\n", signature, sha256, verifier).word == "changed"
