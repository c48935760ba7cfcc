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
from ansible_collections.macops.parallels.plugins.module_utils._stores.file import FileStore
from ansible_collections.macops.parallels.plugins.module_utils._trust.seen import Seen
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


# Old catalogs, and those of other stores


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def put_back(folder: Path, files: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture(name="rolled_back")
def fixture_rolled_back(keep: Any, read: Any, key: Any, strict: Any, folder: Path) -> dict[str, Any]:
    """Put an old catalog with its signature back, in which a bad version was not withdrawn yet; return its record."""
    keep(record={**RECORD, "version": "1.0"}, **key, **strict)
    old = saved(folder)
    keep(state="withdrawn", name="windows11", version="1.0", reason="Bad.", **key, **strict)
    assert not read(**strict).failed
    put_back(folder, old)
    return json.loads(old["catalog.json"])["records"][0]


def test_an_old_catalog_is_noticed_on_every_path(
    keep: Any, read: Any, check: Any, key: Any, strict: Any, folder: Path, rolled_back: Any
) -> None:
    before = saved(folder)
    known = {"name": "windows11", "version": "1.0"}
    for end in (
        read(**strict),
        check(**key, **strict),
        keep(record=RECORD, **key, **strict),
        keep(record={**RECORD, "version": "1.0"}, **key, **strict),
        keep(state="page", **strict),
        keep(state="protected", **known, **key, **strict),
        keep(state="absent", keep=1, **key, **strict),
        keep(state="signed", **key, **strict),
    ):
        assert end.failed
        assert "but this host has verified a newer one: number 2, signed by build@example.com" in end.result["msg"]
        assert "accept_rollback" in end.result["msg"]
        assert "records" not in end.result
    assert saved(folder) == before
    told = read(allowed_signers_path=strict["allowed_signers_path"]).result["signatures"]
    assert (told["verified"], told["catalog"]["verdict"]) == (False, "rolled_back")


def test_a_catalog_that_was_removed_is_noticed(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path, rolled_back: Any
) -> None:
    put_back(folder, {})
    for end in (read(**strict), keep(record=RECORD, **key, **strict)):
        assert end.failed
        assert "The store has no catalog.json, but this host has verified" in end.result["msg"]
    assert keep(record=RECORD, accept_rollback=True, **key, **strict).result["changed"]
    assert read(**strict).result["signatures"]["catalog"]["serial"] == 3


def test_a_restored_backup_is_accepted_once(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path, rolled_back: Any
) -> None:
    would = read(accept_rollback=True, **strict, _ansible_check_mode=True)
    assert would.result["signatures"]["catalog"]["verdict"] == "good"
    assert read(**strict).failed
    assert read(accept_rollback=True, **strict).result["records"] == [rolled_back]
    found = read(**strict).result
    assert (found["records"], found["signatures"]["catalog"]["serial"]) == ([rolled_back], 1)
    # What is written from then on is newer than all that any host has seen.
    keep(state="protected", name="windows11", version="1.0", **key, **strict)
    assert read(**strict).result["signatures"]["catalog"]["serial"] == 3


def test_one_command_signs_a_restored_backup_for_all_hosts(
    keep: Any, read: Any, key: Any, strict: Any, rolled_back: Any
) -> None:
    assert keep(state="signed", accept_rollback=True, **key, **strict).result["changed"]
    found = read(**strict).result
    assert (found["records"], found["signatures"]["catalog"]["serial"]) == ([rolled_back], 3)
    assert not keep(state="signed", accept_rollback=True, **key, **strict).result["changed"]


def test_the_first_sight_is_reported(keep: Any, read: Any, key: Any, strict: Any, folder: Path) -> None:
    keep(record=RECORD, **key)
    for first in (True, False):
        assert read(**strict).result["signatures"]["catalog"]["first_sight"] is first


def test_a_broken_note_is_unknown(keep: Any, read: Any, key: Any, strict: Any, folder: Path) -> None:
    keep(record=RECORD, **key, **strict)
    Path(Seen(folder.as_uri()).path).write_text("{")
    for end in (read(**strict), keep(state="signed", **key, **strict), keep(state="page", **strict)):
        assert end.failed
        assert "is not known: the note" in end.result["msg"]
    told = read(allowed_signers_path=strict["allowed_signers_path"]).result["signatures"]
    assert (told["verified"], told["catalog"]["verdict"]) == (False, "unknown")


def test_a_catalog_of_another_store_is_not_valid_here(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path, tmp_path: Path
) -> None:
    production = {"public_url": "https://images.example.com/golden"}
    keep(record=RECORD, **key, public_url="https://test.example.com/golden")
    for end in (
        read(**strict, **production),
        keep(record=RECORD, **key, **strict, **production),
        keep(record=RECORD, **key, **production),
        keep(state="page", **strict, **production),
    ):
        assert end.failed
        assert (
            "It was signed for another store, https://test.example.com/golden, not for "
            "https://images.example.com/golden." in end.result["msg"]
        )
    # A store that has moved is signed by a person, who has its images verified.
    (folder / FILE).write_bytes(b"image")
    assert keep(state="signed", **key, **strict, **production).result["signed"] == 1
    assert read(**strict, public_url="HTTPS://images.example.com:443/golden/").result["signatures"]["verified"]


def test_a_statement_of_one_kind_is_not_valid_as_another(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path
) -> None:
    record = keep(record=RECORD, **key).result["record"]
    catalog_file = folder / "catalog.json"
    signature = record.pop("signature")
    # The bytes of a record, with its signature, in the place of a catalog.
    catalog_file.write_bytes(json.dumps({**record, "records": []}, sort_keys=True, separators=(",", ":")).encode())
    (folder / "catalog.json.sig").write_text(signature)
    assert read(**strict).failed


@pytest.mark.parametrize("second", ["url", "dropped"])
def test_the_verified_bytes_are_those_that_are_returned(
    keep: Any, read: Any, key: Any, strict: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """A server that answers differently the second time: whatever is returned was verified."""
    keep(record=RECORD, **key, **strict)
    good = (folder / "catalog.json").read_bytes()
    document = json.loads(good)
    if second == "url":
        document["records"][0]["url"] = "https://evil.example.com/x.pvmp"
    else:
        document["records"] = []
    forged = json.dumps(document).encode()
    read_file = FileStore.read
    for first, then in ((good, forged), (forged, good)):
        answers = iter([first, then] * 20)

        def answer(self: Any, name: str, *limits: int, answers: Any = answers) -> Any:
            found = read_file(self, name, *limits)
            return (next(answers), found[1]) if name == "catalog.json" else found

        monkeypatch.setattr(FileStore, "read", answer)
        for ask in (lambda: read(**strict), lambda: keep(state="page", page="never", **ONE, **strict)):
            end = ask()
            assert end.failed or "evil" not in json.dumps(end.result)
            assert end.failed or end.result.get("total", 1) == 1
        monkeypatch.setattr(FileStore, "read", read_file)


def test_programs_are_run_for_what_a_task_is_about(
    keep: Any, read: Any, key: Any, strict: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each record: the signature of the catalog vouches for all of them."""
    for version in range(12):
        keep(record={**RECORD, "version": f"1.{version}"}, **key, **strict, page="never")
    runs = []
    run = SshKeygen.run
    monkeypatch.setattr(SshKeygen, "run", lambda *args, **options: runs.append(args[1:]) or run(*args, **options))

    def count(ask: Callable[[], Any]) -> int:
        runs.clear()
        assert not ask().failed
        return len(runs)

    assert count(lambda: read(**strict, limit=3)) == 1 + 3
    assert count(lambda: keep(state="page", **strict)) == 1
    # The catalog; the new record; the new catalog.
    assert count(lambda: keep(record=RECORD, **key, **strict)) == 3
    # The catalog and the record before; both after.
    assert count(lambda: keep(state="protected", **ONE, **key, **strict)) == 4


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
