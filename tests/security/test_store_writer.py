# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who can write to the store, but has no key that is allowed: whatever is put there is noticed, and not used.

The attacks run modules, without playbooks. What the server answers differently the second time is held by
tests/unit/plugins/modules/test_image_catalog_signing.py, and a whole rerun by tests/scenario/test_trust.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.modules import Modules
from support.ssh_keys import IDENTITY, allow, make_key

PUBLIC = "https://images.example.com/golden"
IMAGE = b"a golden image"
EVIL = b"an evil image"


def values(version: str, image: bytes = IMAGE) -> dict[str, Any]:
    return {
        "name": "win11",
        "version": version,
        "arch": "arm64",
        "url": f"{PUBLIC}/win11-{version}-arm64.pvmp",
        "sha256": hashlib.sha256(image).hexdigest(),
        "size": len(image),
    }


@dataclasses.dataclass(frozen=True)
class Target:
    """A store with two signed versions, of which the first was withdrawn, and what its publisher runs."""

    modules: Modules
    folder: pathlib.Path
    options: dict[str, Any]
    stranger: pathlib.Path
    # The files of the store before the first version was withdrawn.
    before: dict[str, bytes]

    def run(self, module: str, /, **arguments: Any) -> tuple[bool, dict[str, Any]]:
        """Run a module, and return whether it failed and its result."""
        options = {
            key: value for key, value in self.options.items() if module != "image_catalog_info" or "sign" not in key
        }
        options.update({key: self.options[key] for key in ("allowed_signers_path", "require_signature")})
        code, output = self.modules.run(module, destination=self.folder.as_uri(), **options, **arguments)
        return code != 0, json.loads(output)

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def document(self) -> dict[str, Any]:
        return json.loads((self.folder / "catalog.json").read_text(encoding="utf-8"))

    def write(self, document: Any) -> None:
        (self.folder / "catalog.json").write_text(json.dumps(document), encoding="utf-8")

    def record(self, version: str, document: dict[str, Any]) -> dict[str, Any]:
        return next(record for record in document["records"] if record["version"] == version)


@pytest.fixture(scope="module")
def modules(collections: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modules]:
    home = tmp_path_factory.mktemp("home")
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    with Modules(python, collections, {"HOME": str(home)}) as running:
        yield running


@pytest.fixture
def target(modules: Modules, tmp_path: pathlib.Path) -> Target:
    folder = tmp_path / "store"
    folder.mkdir()
    key, stranger = make_key(tmp_path, "key"), make_key(tmp_path, "stranger")
    options = {
        "signing_key_path": str(key),
        "signing_identity": IDENTITY,
        "allowed_signers_path": str(allow(tmp_path / "signers", (IDENTITY, key))),
        "require_signature": True,
        # Each test has a store of its own, so that no note of another test is in its way.
        "public_url": f"{PUBLIC}/{tmp_path.name}",
    }
    started = Target(modules, folder, options, stranger, {})
    for version in ("1.0", "2.0"):
        (folder / f"win11-{version}-arm64.pvmp").write_bytes(IMAGE)
        assert not started.run("image_catalog", record=values(version))[0]
    before = started.files
    withdrawn = {"state": "withdrawn", "name": "win11", "version": "1.0", "reason": "It has a hole."}
    assert not started.run("image_catalog", **withdrawn)[0]
    return dataclasses.replace(started, before=before)


def replace_record(target: Target) -> None:
    """Offer another image under the published version, in a record without a signature."""
    document = target.document()
    record = target.record("2.0", document)
    record.update(values("2.0", EVIL), url="https://evil.example.com/win11.pvmp")
    for field in ("signed_by", "signed_at", "signed_for", "signature"):
        del record[field]
    (target.folder / record["file"]).write_bytes(EVIL)
    target.write(document)


def strip_all(target: Target) -> None:
    """Make it look like a store in which nothing was ever signed."""
    replace_record(target)
    document = target.document()
    target.write({"schema": 1, "records": document["records"]})
    (target.folder / "catalog.json.sig").unlink()


def sign_with_another_key(target: Target) -> None:
    replace_record(target)
    document = target.document()
    document["serial"] += 1
    target.write(document)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "macops.parallels/catalog", "-f", str(target.stranger)]
    data = (target.folder / "catalog.json").read_bytes()
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    (target.folder / "catalog.json.sig").write_bytes(done.stdout)


def drop_record(target: Target) -> None:
    document = target.document()
    document["records"] = [record for record in document["records"] if record["version"] != "1.0"]
    target.write(document)


def take_back_withdrawal(target: Target) -> None:
    """Put the record as it was before, with its own good signature, into the catalog of today."""
    document = target.document()
    old = target.record("1.0", json.loads(target.before["catalog.json"]))
    document["records"] = [old, *(record for record in document["records"] if record["version"] != "1.0")]
    target.write(document)


def restore_old_catalog(target: Target) -> None:
    for name in ("catalog.json", "catalog.json.sig"):
        (target.folder / name).write_bytes(target.before[name])


def remove_catalog(target: Target) -> None:
    for name in ("catalog.json", "catalog.json.sig"):
        (target.folder / name).unlink()


def swap_stores(target: Target) -> None:
    """Put the catalog of the publisher's own test store here, which the same key has signed."""
    test = target.folder.with_name("test store")
    test.mkdir()
    (test / "win11-2.0-arm64.pvmp").write_bytes(EVIL)
    other = dataclasses.replace(
        target, folder=test, options={**target.options, "public_url": "https://test.example.com/golden"}
    )
    for version in ("1.0", "2.0", "3.0", "4.0"):
        assert not other.run("image_catalog", record=values(version, EVIL))[0]
    for name in ("catalog.json", "catalog.json.sig"):
        (target.folder / name).write_bytes((test / name).read_bytes())


def pass_off_record(target: Target) -> None:
    """Use the signature of a record for the catalog."""
    record = target.record("2.0", target.document())
    signature = record.pop("signature")
    data = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    target.write({**json.loads(data), "records": [], "serial": 9})
    (target.folder / "catalog.json.sig").write_text(signature)


ATTACKS: dict[Callable[[Target], None], str] = {
    replace_record: "It was changed after it was signed",
    strip_all: "was last written by a host that did not sign it",
    sign_with_another_key: "does not allow for build@example.com",
    drop_record: "It was changed after it was signed",
    take_back_withdrawal: "It was changed after it was signed",
    restore_old_catalog: "but this host has verified a newer one",
    remove_catalog: "The store has no catalog.json, but this host has verified a newer one",
    swap_stores: "It was signed for another store, https://test.example.com/golden",
    pass_off_record: "signed for another purpose",
}
# What a publisher runs: the same version again, another one, the page, retention; and what a reader runs.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("image_catalog_info", {}),
    "publish again": ("image_catalog", {"record": values("2.0")}),
    "publish another": ("image_catalog", {"record": values("5.0")}),
    "page": ("image_catalog", {"state": "page", "page": "always"}),
    "retire": ("image_catalog", {"state": "absent", "keep": 1}),
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_of_a_writer_without_a_key_is_used(
    target: Target, attack: Callable[[Target], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack(target)
    planted = target.files
    runs = RUNS if attack is replace_record else {name: RUNS[name] for name in ("read", "publish another")}
    for name, (module, arguments) in runs.items():
        failed, result = target.run(module, **arguments)
        assert failed, name
        assert ATTACKS[attack] in result["msg"], (name, result["msg"])
        assert not result.get("records"), name
        assert target.files == planted, name


def test_a_person_who_signs_is_shown_what_is_wrong(target: Target) -> None:
    """Also state: signed does not sign an image that is not as its record says."""
    replace_record(target)
    document = target.document()
    (target.folder / target.record("2.0", document)["file"]).write_bytes(IMAGE)
    planted = target.files
    failed, result = target.run("image_catalog", state="signed")
    assert failed
    assert "win11-2.0-arm64 was not signed: its image" in result["msg"]
    assert target.files == planted
