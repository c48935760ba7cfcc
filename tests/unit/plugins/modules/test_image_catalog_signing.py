# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which catalogs are signed and verified, with the real ssh-keygen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._catalog import catalog
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import (
    CATALOG_KIND,
    Signer,
    SshKeygen,
)
from ansible_collections.macops.parallels.plugins.modules import (
    image_catalog,
    image_catalog_info,
    image_provenance,
    image_store_check,
)
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, allow, make_key, run_command

FILE = "windows11-2026.11.0-arm64.pvmp"
RECORD = {
    "name": "windows11",
    "version": "2026.11.0",
    "arch": "arm64",
    "url": f"https://images.example.com/{FILE}",
    "sha256": hashlib.sha256(b"image").hexdigest(),
    "size": 5,
}
ONE = {"name": "windows11", "version": "2026.11.0"}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="keep")
def fixture_keep(folder: Path, run_module_main: Callable[..., Any], monkeypatch: Any) -> Callable[..., Any]:
    monkeypatch.setattr(catalog, "_VERIFY_PAUSES", (0.0,))

    def keep(**arguments: Any) -> Any:
        return run_module_main(image_catalog.main, **{"destination": folder.as_uri(), **arguments})

    return keep


@pytest.fixture(name="read")
def fixture_read(folder: Path, run_module_main: Callable[..., Any], monkeypatch: Any) -> Callable[..., Any]:
    monkeypatch.setattr(catalog, "_VERIFY_PAUSES", (0.0,))

    def read(**arguments: Any) -> Any:
        return run_module_main(image_catalog_info.main, **{"destination": folder.as_uri(), **arguments})

    return read


@pytest.fixture(name="check")
def fixture_check(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def check(**arguments: Any) -> Any:
        return run_module_main(image_store_check.main, **{"destination": folder.as_uri(), **arguments})

    return check


@pytest.fixture(name="key")
def fixture_key(tmp_path: Path) -> dict[str, str]:
    return {"signing_key_path": str(make_key(tmp_path, "key")), "signing_identity": IDENTITY}


@pytest.fixture(name="strict")
def fixture_strict(tmp_path: Path, key: dict[str, str]) -> dict[str, Any]:
    signers = allow(tmp_path / "signers", (IDENTITY, Path(key["signing_key_path"])))
    return {"allowed_signers_path": str(signers), "require_signature": True}


def test_what_is_signed_is_verified(keep: Any, read: Any, key: Any, strict: Any) -> None:
    for check_mode in (True, False):
        assert keep(record=RECORD, **key, _ansible_check_mode=check_mode).result["changed"]
    record = keep(record=RECORD, **key).result["record"]
    assert record["signed_by"] == IDENTITY
    for check_mode in (True, False):
        result = read(**strict, _ansible_check_mode=check_mode).result
        assert (result["changed"], result["records"]) == (False, [record])
        assert result["signatures"]["verified"] is True
    assert "signatures" not in read().result
    assert not keep(record=record, **key).result["changed"]


def test_every_result_is_documented(keep: Any, read: Any, key: Any, strict: Any) -> None:
    documented = yaml.safe_load(image_catalog_info.RETURN)
    record = keep(record={**RECORD, "provenance": "https://images.example.com/p.json"}, **key).result["record"]
    assert set(record) <= set(documented["records"]["contains"])
    signatures = read(allowed_signers_path=strict["allowed_signers_path"]).result["signatures"]
    assert set(signatures) == {"verified", "problems", "unsigned", "catalog", "records"}
    assert set(signatures) == set(documented["signatures"]["contains"])


@pytest.mark.parametrize("state", [{"state": "protected", **ONE}, {"state": "withdrawn", **ONE, "reason": "Bad."}])
def test_changes_are_signed(keep: Any, read: Any, key: Any, strict: Any, state: dict[str, Any]) -> None:
    keep(record=RECORD, **key)
    assert keep(**state, **key, **strict).result["changed"]
    assert not read(**strict).failed
    by_one_without_a_key = (
        {**state, "state": "unprotected"} if state["state"] == "protected" else {**state, "reason": "X"}
    )
    assert keep(**by_one_without_a_key).result["changed"]
    end = read(**strict)
    assert end.failed
    assert end.result["signatures"]["catalog"]["verdict"] == "missing"
    assert [record["verdict"] for record in end.result["signatures"]["records"]] == ["missing"]


def test_one_that_is_not_proven_is_an_error_only_where_that_is_wanted(
    keep: Any, read: Any, key: Any, strict: Any
) -> None:
    keep(record=RECORD)
    told = read(allowed_signers_path=strict["allowed_signers_path"])
    assert not told.failed
    assert told.result["signatures"]["verified"] is False
    end = read(**strict)
    assert end.failed
    assert "2 of the signatures" in end.result["msg"]
    assert "windows11-2026.11.0-arm64: The record is not signed." in end.result["msg"]
    assert not read(**strict, state="withdrawn").result.get("signatures", {}).get("records")


def spoil_first(folder: Path, key: dict[str, str], strict: dict[str, Any]) -> None:
    """Give the first record a bad signature in a catalog that is signed well, as no host of ours would."""
    document = json.loads((folder / "catalog.json").read_text())
    document["records"][0]["title"] = "changed"
    data = json.dumps(document).encode()
    (folder / "catalog.json").write_bytes(data)
    signer = Signer(SshKeygen(run_command), key["signing_key_path"], IDENTITY)
    (folder / "catalog.json.sig").write_text(signer.sign(CATALOG_KIND, data))


def test_only_what_is_asked_for_is_verified(keep: Any, read: Any, key: Any, strict: Any, folder: Path) -> None:
    for version in ("1.0", "2026.11.0"):
        keep(record={**RECORD, "version": version}, **key)
    spoil_first(folder, key, strict)
    assert not read(**ONE, **strict).failed
    assert read(**strict).failed
    assert not keep(state="page", **ONE, **key, **strict).failed
    end = keep(state="page", name="windows11", version="1.0", **key, **strict)
    assert end.failed
    assert "windows11-1.0-arm64: It was changed after it was signed" in end.result["msg"]
    for state in ("protected", "withdrawn"):
        end = keep(state=state, name="windows11", version="1.0", reason="x", **key, **strict)
        assert end.failed
        assert "windows11-1.0-arm64: It was changed after it was signed" in end.result["msg"]


def test_the_statement_of_provenance_is_verified(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path, run_module_main: Any
) -> None:
    told = run_module_main(
        image_provenance.main,
        destination=folder.as_uri(),
        file=FILE,
        sha256=RECORD["sha256"],
        builder_id="urn:x",
        invocation_id="1",
        started_at="2026-11-22T10:00:00Z",
        **key,
    ).result
    keep(record={**RECORD, "provenance": told["url"]}, **key)
    (found,) = read(**strict).result["signatures"]["records"]
    assert found["provenance"]["verdict"] == "good"
    statement = folder / f"{FILE}.provenance.json"
    for spoil, verdict in (
        (lambda: statement.write_text(statement.read_text().replace("urn:x", "urn:y")), "changed"),
        (lambda: statement.with_name(statement.name + ".sig").unlink(), "missing"),
        (statement.unlink, "missing"),
    ):
        spoil()
        end = read(**strict)
        assert end.failed
        assert end.result["signatures"]["records"][0]["provenance"]["verdict"] == verdict
        assert "windows11-2026.11.0-arm64, provenance: " in end.result["msg"]


def test_what_was_published_before_is_signed_when_it_is_asked_for(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path
) -> None:
    keep(record=RECORD)
    end = keep(record={**RECORD, "version": "2.0"}, **key, **strict)
    assert end.failed
    assert "state: signed" in end.result["msg"]
    (folder / FILE).write_bytes(b"image")
    for check_mode, changed in ((True, True), (False, True), (True, False), (False, False)):
        assert keep(state="signed", **key, **strict, _ansible_check_mode=check_mode).result["changed"] is changed
    assert not read(**strict).failed
    assert keep(record={**RECORD, "version": "2.0"}, **key, **strict).result["changed"]


def test_a_refusal_is_foreseen(keep: Any, check: Any, key: Any, strict: Any) -> None:
    assert not check(**key, **strict).failed
    keep(record=RECORD)
    end = check(**key, **strict)
    assert end.failed
    assert "catalog.json was last written by a host that did not sign it" in end.result["msg"]
    end = check(**key)
    assert end.failed
    assert "catalog.json was last written by a host that did not sign it" in end.result["msg"]


def test_an_empty_catalog_needs_no_signature(keep: Any, key: Any, folder: Path) -> None:
    assert not keep(state="signed", **key, page="never").result["changed"]
    assert list(folder.iterdir()) == []


def test_the_key_is_tried_before_hours_of_work(keep: Any, check: Any, key: Any, folder: Path) -> None:
    assert not check(**key).failed
    end = check(signing_key_path="/nowhere/key", signing_identity=IDENTITY)
    assert end.failed
    assert "There is no file /nowhere/key" in end.result["msg"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": "signed"}, "state is signed but all of the following are missing: signing_key_path"),
        ({"record": RECORD, "signing_key_path": "/k"}, "required by 'signing_key_path': signing_identity"),
        ({"record": RECORD, "require_signature": True}, "all of the following are missing: allowed_signers_path"),
        (
            {"record": RECORD, "signing_key_path": "/k", "signing_identity": "two words"},
            "signing_identity cannot be 'two words'",
        ),
        ({"record": {**RECORD, "signed_at": "now"}}, "signed_at must be a UTC time"),
        ({"record": {**RECORD, "provenance": "here"}}, "provenance must be an https:// URL"),
    ],
)
def test_arguments_that_make_no_sense(keep: Any, folder: Path, arguments: dict[str, Any], message: str) -> None:
    end = keep(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"require_signature": True}, "all of the following are missing: allowed_signers_path"),
        ({"allowed_signers_path": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_questions_that_make_no_sense(read: Any, folder: Path, arguments: dict[str, Any], message: str) -> None:
    end = read(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert list(folder.iterdir()) == []


def test_signatures_are_verified_only_where_that_is_wanted(keep: Any, read: Any, key: Any, strict: Any) -> None:
    keep(record=RECORD, **key)
    signers = {"allowed_signers_path": strict["allowed_signers_path"]}
    assert read(signatures=True, **signers).result["signatures"]["verified"] is True
    assert "signatures" not in read(signatures=False, **signers).result


def test_the_signatures_are_those_of_the_page(keep: Any, read: Any, key: Any, strict: Any, folder: Path) -> None:
    for version in ("1.0", "2026.11.0"):
        keep(record={**RECORD, "version": version}, **key)
    spoil_first(folder, key, strict)
    assert not read(offset=1, **strict).failed
    assert [found["version"] for found in read(offset=1, **strict).result["signatures"]["records"]] == ["2026.11.0"]
    assert read(limit=1, **strict).failed


def test_how_many_were_signed(keep: Any, key: Any, folder: Path) -> None:
    for version in ("1.0", "2.0"):
        keep(record={**RECORD, "version": version})
        (folder / f"windows11-{version}-arm64.pvmp").write_bytes(b"image")
    for check_mode, signed in ((True, 2), (False, 2), (True, 0), (False, 0)):
        result = keep(state="signed", **key, _ansible_check_mode=check_mode).result
        assert (result["signed"], result["records"]) == (signed, [])


def test_who_requires_signatures_signs(keep: Any, check: Any, strict: Any, folder: Path) -> None:
    end = keep(record=RECORD, **strict)
    assert end.failed
    assert "Set signing_key_path and signing_identity" in end.result["msg"]
    end = check(**strict)
    assert end.failed
    assert "Set signing_key_path and signing_identity" in end.result["msg"]
    assert list(folder.iterdir()) == []


def test_no_key_is_ever_shown(keep: Any, check: Any, key: Any, folder: Path) -> None:
    secret = Path(key["signing_key_path"]).read_text().splitlines()[2]
    shown = [keep(record=RECORD, **key).result, check(**key).result]
    assert secret not in json.dumps(shown)
    assert all(secret not in path.read_text(errors="replace") for path in folder.iterdir())
