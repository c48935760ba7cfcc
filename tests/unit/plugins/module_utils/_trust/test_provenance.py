# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of provenance: its form, and the file beside the image."""

from __future__ import annotations

import contextlib
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
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import (
    PROVENANCE_KIND,
    RECORD_KIND,
    Signer,
    SshKeygen,
    Verifier,
    signatures_in,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.statements import provenance_verdict
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
    return {name: make_key(folder, name) for name in ("own", "other", "stranger")}


@pytest.fixture(name="file_of")
def fixture_file_of(store: Store, keys: dict[str, Path]) -> Callable[..., ProvenanceFile]:
    def file_of(key: str = "", verifier: Any = None, for_store: str = STORE) -> ProvenanceFile:
        signer = Signer(SSH_KEYGEN, str(keys[key]), IDENTITY) if key else None
        return ProvenanceFile(store, Retries(4), FILE, signer, verifier, for_store)

    return file_of


STORE = "https://images.example.com/golden"


def of_signer(content: Any, key: str = "own", for_store: str = STORE) -> Any:
    """Return a statement as it is signed: with its signer and its store."""
    if key:
        said = {"macops_signed_by": IDENTITY, "macops_signed_for": for_store}
        content["predicate"]["runDetails"]["metadata"].update(said)
    return content


LATER = dataclasses.replace(BUILD, invocation_id="later")


@pytest.mark.parametrize("key", ["", "own"])
def test_it_is_written_once(folder: Path, file_of: Any, key: str) -> None:
    assert file_of(key).publish(statement(SUBJECT, BUILD), check_mode=True).changed
    assert list(folder.iterdir()) == []
    first = file_of(key).publish(statement(SUBJECT, BUILD))
    content = of_signer(statement(SUBJECT, BUILD), key)
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
    folder: Path,
    file_of: Any,
    keys: dict[str, Path],
    first_key: str,
    then: str,
    key: str,
    subject: Subject,
    changed: bool,
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
    expected = of_signer(statement(subject, LATER if changed else BUILD), key if changed else first_key)
    assert json.loads(path.read_text()) == published.statement == expected
    if changed:
        signature = path.with_name(path.name + ".sig").read_text()
        assert signature.count("BEGIN") == 1
        key_of = Signer(SSH_KEYGEN, str(keys[key]), IDENTITY)
        assert key_of.has_signed(PROVENANCE_KIND, path.read_bytes(), signature)


@pytest.mark.parametrize(
    ("first_key", "for_store", "changed"),
    [
        ("own", STORE, False),
        ("other", STORE, False),
        ("stranger", STORE, True),
        ("own", "https://test.example.com", True),
    ],
)
def test_a_statement_of_an_allowed_signer_is_kept(
    folder: Path, file_of: Any, tmp_path: Path, keys: dict[str, Path], first_key: str, for_store: str, changed: bool
) -> None:
    allowed = allow(tmp_path / "signers", (IDENTITY, keys["own"]), (IDENTITY, keys["other"]))
    file_of(first_key, for_store=for_store).publish(statement(SUBJECT, BUILD))
    verifier = Verifier(SSH_KEYGEN, str(allowed))
    assert file_of("own", verifier).publish(statement(SUBJECT, LATER)).changed is changed


@pytest.mark.parametrize("first", ["", "other"])
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_run_that_is_killed_leaves_no_statement_without_a_signature(
    folder: Path, store: Store, file_of: Any, keys: dict[str, Path], first: str, writes: int, monkeypatch: Any
) -> None:
    if first:
        file_of(first).publish(statement(SUBJECT, BUILD))
    write, left = store.write, [writes]

    def count(*args: Any, **options: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(*args, **options)

    monkeypatch.setattr(store, "write", count)
    with contextlib.suppress(KeyboardInterrupt):
        file_of("own").publish(statement(SUBJECT, LATER))
    monkeypatch.undo()
    path = folder / f"{FILE}.provenance.json"
    if path.exists():
        found = signatures_in(path.with_name(path.name + ".sig").read_text())
        by = {key: Signer(SSH_KEYGEN, str(keys[key]), IDENTITY) for key in ("own", "other")}
        data = path.read_bytes()
        assert any(by[key].has_signed(PROVENANCE_KIND, data, text) for key in by for text in found)
    assert file_of("own").publish(statement(SUBJECT, LATER)).changed is (writes < 2)


def _statement(for_store: str = STORE, **metadata: Any) -> dict[str, Any]:
    content = of_signer(statement(SUBJECT, BUILD), for_store=for_store)
    content["predicate"]["runDetails"]["metadata"].update(metadata)
    return content


@pytest.mark.parametrize(
    ("content", "signed", "record", "word"),
    [
        (_statement(), {}, {}, "good"),
        (_statement(), {"key": "other"}, {}, "foreign"),
        (_statement(), {"kind": RECORD_KIND}, {}, "foreign"),
        (_statement(), {"kind": "macops.parallels"}, {}, "foreign"),
        (_statement(), {}, {"sha256": "b2" * 32}, "changed"),
        (_statement(), {}, {"file": "other.pvmp"}, "changed"),
        (_statement(for_store="https://test.example.com"), {}, {}, "foreign"),
        (_statement(macops_signed_by="jane@example.com"), {}, {}, "foreign"),
        (_statement(macops_signed_by=None), {}, {}, "unreadable"),
        (_statement(macops_signed_for=None), {}, {}, "unreadable"),
        (_statement(finishedOn="2019-01-01T00:00:00Z"), {}, {}, "expired"),
        (_statement(finishedOn="yesterday"), {}, {}, "unreadable"),
        ({"subject": []}, {}, {}, "unreadable"),
        ([], {}, {}, "unreadable"),
        ({**_statement(), "subject": [{"name": "x"}]}, {}, {}, "unreadable"),
        ({**_statement(), "subject": [{"name": FILE, "digest": {"sha256": "a1" * 32}}] * 2}, {}, {}, "changed"),
    ],
)
def test_verdicts(
    tmp_path: Path, keys: dict[str, Path], content: Any, signed: dict[str, str], record: dict[str, str], word: str
) -> None:
    allowed = allow(tmp_path / "signers", (f'{IDENTITY} valid-after="20200101"', keys["own"]))
    data = serialized(content)
    signer = Signer(SSH_KEYGEN, str(keys[signed.get("key", "own")]), IDENTITY)
    signature = signer.sign(signed.get("kind", PROVENANCE_KIND), data)
    verifier = Verifier(SSH_KEYGEN, str(allowed))
    meant = {"file": FILE, "sha256": "a1" * 32, **record}
    assert provenance_verdict(data, signature, meant, verifier, STORE).word == word
    if word == "good":
        assert provenance_verdict(data + b"\n", signature, meant, verifier, STORE).word == "changed"
