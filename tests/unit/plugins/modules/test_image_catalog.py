# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules image_catalog and image_catalog_info, with a folder as their store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.modules import image_catalog, image_catalog_info

RECORD = {
    "name": "windows11",
    "version": "2026.11.0",
    "arch": "arm64",
    "title": "Contoso Windows 11 Pro",
    "url": "https://images.example.com/windows11-2026.11.0-arm64.pvmp",
    "sha256": "AB" * 32,
    "size": "21474836480",  # templates give texts
    "source": {"vm": "Windows 11 für alle"},
    "parallels": "26.1.0",
}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="keep")
def fixture_keep(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def keep(**arguments: Any) -> Any:
        return run_module_main(image_catalog.main, **{"destination": folder.as_uri(), **arguments})

    return keep


@pytest.fixture(name="read")
def fixture_read(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def read(**arguments: Any) -> Any:
        return run_module_main(image_catalog_info.main, **{"destination": folder.as_uri(), **arguments})

    return read


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_empty_store(read: Callable[..., Any], folder: Path, check_mode: bool) -> None:
    end = read(_ansible_check_mode=check_mode)
    assert not end.failed
    assert end.result == {"changed": False, "catalog": f"{folder.as_uri()}/catalog.json", "records": [], "total": 0}
    assert list(folder.iterdir()) == []


def test_a_record_is_added_once(keep: Callable[..., Any], read: Callable[..., Any], folder: Path) -> None:
    would = keep(record=RECORD, _ansible_check_mode=True).result
    assert (would["changed"], list(folder.iterdir())) == (True, [])
    first = keep(record=RECORD).result
    assert first["changed"]
    assert first["record"]["size"] == 21474836480
    assert first["record"]["sha256"] == "ab" * 32
    assert first["record"]["source"] == {"vm": "Windows 11 für alle", "os": "", "tools": ""}
    assert first["diff"] == {
        "before": {},
        "after": first["record"],
        "before_header": first["catalog"],
        "after_header": first["catalog"],
    }
    for check_mode in (False, True):
        second = keep(record=RECORD, _ansible_check_mode=check_mode).result
        assert (second["changed"], second["records"]) == (False, [first["record"]])
        assert "diff" not in second
    assert read().result["records"] == [first["record"]]
    assert {**would["record"], "published_at": ""} == {**first["record"], "published_at": ""}


def test_a_record_that_was_read_can_be_added_elsewhere(
    keep: Callable[..., Any], read: Callable[..., Any], tmp_path: Path
) -> None:
    keep(record=RECORD)
    (tmp_path / "second").mkdir()
    for record in read().result["records"]:
        end = keep(destination=(tmp_path / "second").as_uri(), record=record)
        assert (end.failed, end.result.get("record")) == (False, record)


def test_other_bytes_are_refused(keep: Callable[..., Any]) -> None:
    keep(record=RECORD)
    end = keep(record={**RECORD, "sha256": "00" * 32})
    assert end.failed
    assert "Publish the image as a new version" in end.result["msg"]


def test_a_foreign_file_is_left_alone(keep: Callable[..., Any], folder: Path) -> None:
    path = folder / "catalog.json"
    path.write_text(json.dumps({"schema": 7, "records": []}))
    end = keep(record=RECORD)
    assert end.failed
    assert path.as_uri() in end.result["msg"]
    assert json.loads(path.read_text()) == {"schema": 7, "records": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "state is present but all of the following are missing: record"),
        ({"record": {"name": "windows11"}}, "missing required arguments: arch, sha256, size, url, version"),
        ({"record": {**RECORD, "colour": "red"}}, "colour"),
        ({"record": {**RECORD, "state": "withdrawn"}}, "value of state must be one of: published"),
        ({"record": {**RECORD, "name": "Windows 11"}}, "name must be made of lowercase letters"),
        ({"record": RECORD, "state": "gone"}, "value of state must be one of: present, withdrawn, published"),
        ({"state": "withdrawn", "reason": "Bad."}, "state is withdrawn but all of the following are missing: name"),
        ({"state": "withdrawn", "name": "a", "version": "1"}, "all of the following are missing: reason"),
        ({"state": "protected", "name": "a"}, "all of the following are missing: version"),
        ({"state": "page", "version": "1"}, "missing parameter(s) required by 'version': name"),
        ({"state": "read"}, "value of state must be one of: present, withdrawn, published"),
        ({"state": "absent"}, "state: absent needs to know what to remove. Set keep, older_than, or name and version."),
        ({"state": "absent", "keep": 0}, "keep must be at least 1"),
        ({"state": "absent", "keep": -1, "older_than": "90d"}, "keep must be at least 1"),
        ({"state": "absent", "older_than": "90"}, "older_than cannot be '90'"),
        ({"state": "absent", "name": "a", "version": "1", "keep": 2}, "mutually exclusive: version|keep"),
        (
            {"state": "absent", "name": "a", "version": "1", "older_than": "1d"},
            "mutually exclusive: version|older_than",
        ),
        ({"state": "published", "name": "a", "version": "1"}, "The catalog has no record of a-1"),
        ({"record": RECORD, "page": "maybe"}, "value of page must be one of: auto, always, never"),
        ({"record": RECORD, "page": True}, "value of page must be one of: auto, always, never"),
        ({"record": RECORD, "destination": "ftp://host/folder"}, "'ftp://' is not a supported destination"),
        ({"record": RECORD, "destination": "https://jane:hunter2@host/folder"}, "must not contain a user name"),
    ],
)
def test_arguments_that_make_no_sense(
    keep: Callable[..., Any], folder: Path, arguments: dict[str, Any], message: str
) -> None:
    end = keep(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert "hunter2" not in str(end.result)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": "1"}, "missing parameter(s) required by 'version': name"),
        ({"state": "absent"}, "value of state must be one of: published, withdrawn"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"offset": -1}, "offset must not be negative"),
        ({"signatures": True}, "all of the following are missing: allowed_signers_path"),
        (
            {"signatures": False, "require_signature": True, "allowed_signers_path": "/nowhere"},
            "require_signature cannot be combined with signatures: false",
        ),
        ({"destination": "https://jane:hunter2@host/folder"}, "must not contain a user name"),
    ],
)
def test_questions_that_make_no_sense(
    read: Callable[..., Any], folder: Path, arguments: dict[str, Any], message: str
) -> None:
    end = read(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert "hunter2" not in str(end.result)
    assert list(folder.iterdir()) == []


def test_every_result_is_documented(keep: Callable[..., Any], read: Callable[..., Any]) -> None:
    documented = set(yaml.safe_load(image_catalog.RETURN))
    told = yaml.safe_load(image_catalog_info.RETURN)
    fields = set(told["records"]["contains"])
    added = keep(record=RECORD).result
    withdrawn = keep(**ONE, state="withdrawn", reason="Bad.", remove_file=True).result
    found = read(inventory=True).result
    removed = keep(**ONE, state="absent").result
    assert {*added, *withdrawn, *removed} == (documented - {"signed"}) | {"changed", "diff"}
    assert set(found) == (set(told) - {"signatures"}) | {"changed"}
    of_withdrawn = {"reason", "withdrawn_at", "file_removed"}
    of_proof = {"provenance", "sbom", "readiness", "signed_by", "signed_at", "signed_for", "signature"}
    assert set(withdrawn["records"][0]) == fields - of_proof
    assert set(added["record"]) == fields - of_proof - of_withdrawn
    assert set(found["inventory"]) == {"listed", "missing", "wrong_size", "strays", "wrong_sboms"}
    assert set(found["inventory"]) == set(told["inventory"]["contains"])


# The states that change what is there


ONE = {"name": "windows11", "version": "2026.11.0"}


@pytest.fixture(name="published")
def fixture_published(keep: Callable[..., Any], read: Callable[..., Any], folder: Path) -> list[dict[str, Any]]:
    """Publish three versions, with their files; the newest one for two architectures."""
    for number, (version, arch) in enumerate(
        [("2026.9.0", "arm64"), ("2026.10.0", "arm64"), ("2026.11.0", "arm64"), ("2026.11.0", "x86_64")]
    ):
        name = f"windows11-{version}-{arch}.pvmp"
        (folder / name).write_bytes(b"image")
        (folder / f"{name}.sha256").write_text(f"{'ab' * 32}  {name}\n")
        times = {"published_at": f"2026-0{number + 1}-01T00:00:00Z"}
        assert keep(record={**RECORD, **times, "version": version, "arch": arch, "size": 5}).result["changed"]
    return read().result["records"]


def page_of(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


CHANGES: dict[str, dict[str, Any]] = {
    "withdrawn": {**ONE, "state": "withdrawn", "reason": "No VPN."},
    "without its file": {**ONE, "state": "withdrawn", "reason": "No VPN.", "remove_file": True},
    "withdrawn for Intel": {**ONE, "state": "withdrawn", "reason": "No VPN.", "arch": "x86_64"},
    "protected": {**ONE, "state": "protected"},
    "retired": {"state": "absent", "keep": 1},
    "retired by age": {"state": "absent", "older_than": "30d"},
    "removed": {"state": "absent", "name": "windows11", "version": "2026.9.0"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_in_check_mode_and_in_earnest_each_twice(
    keep: Callable[..., Any], published: list[dict[str, Any]], folder: Path, change: str
) -> None:
    before = stored(folder)
    would = [keep(**CHANGES[change], _ansible_check_mode=True).result for _again in range(2)]
    assert stored(folder) == before
    did = keep(**CHANGES[change]).result
    for result in (*would, did):
        assert result["changed"] and result["page_changed"]
        assert result["diff"]["before"]

    def timeless(value: Any) -> str:
        return re.sub(r'("withdrawn_at": )"[^"]*"', r"\1", json.dumps(value))

    assert timeless(would) == timeless([did, did])
    after = stored(folder)
    assert set(before) - set(after) == set(did.get("removed_files", []))
    for check_mode in (True, False):
        again = keep(**CHANGES[change], _ansible_check_mode=check_mode).result
        assert (again["changed"], again.get("removed", []), again.get("removed_files", [])) == (False, [], [])
        assert "diff" not in again
    assert stored(folder) == after


def test_a_version_is_withdrawn_and_offered_again(
    keep: Callable[..., Any], read: Callable[..., Any], published: Any, folder: Path
) -> None:
    done = keep(**CHANGES["withdrawn"]).result
    assert [(record["arch"], record["state"]) for record in done["records"]] == [
        ("arm64", "withdrawn"),
        ("x86_64", "withdrawn"),
    ]
    assert done["removed_files"] == []
    assert done["diff"]["before"]["windows11-2026.11.0-arm64"]["state"] == "published"
    assert done["diff"]["after"]["windows11-2026.11.0-arm64"]["reason"] == "No VPN."
    assert page_of(folder).count("No VPN.") == 2
    assert [record["version"] for record in read(state="published").result["records"]] == [
        "2026.9.0",
        "2026.10.0",
    ]
    assert keep(**ONE, state="published").result["changed"]
    assert read().result["records"] == published
    assert "No VPN." not in page_of(folder)


def test_old_versions_are_removed(keep: Callable[..., Any], published: Any, folder: Path) -> None:
    keep(state="protected", name="windows11", version="2026.9.0")
    done = keep(state="absent", keep=1).result
    assert [record["version"] for record in done["removed"]] == ["2026.10.0"]
    assert done["removed_files"] == ["windows11-2026.10.0-arm64.pvmp", "windows11-2026.10.0-arm64.pvmp.sha256"]
    assert list(done["diff"]["before"]) == ["windows11-2026.10.0-arm64"]
    assert done["diff"]["after"] == {}
    assert done["records"] == []
    keep(state="unprotected", name="windows11", version="2026.9.0")
    assert [record["version"] for record in keep(state="absent", keep=1).result["removed"]] == ["2026.9.0"]
    images = {name for name in stored(folder) if name.endswith(".pvmp")}
    assert images == {"windows11-2026.11.0-arm64.pvmp", "windows11-2026.11.0-x86_64.pvmp"}
    assert "2026.10.0" not in page_of(folder)


@pytest.mark.parametrize(
    ("wanted", "versions"),
    [
        ({}, ["2026.9.0", "2026.10.0", "2026.11.0", "2026.11.0"]),
        ({"name": "windows11", "version": "2026.11.0"}, ["2026.11.0", "2026.11.0"]),
        ({"arch": "x86_64"}, ["2026.11.0"]),
        ({"name": "ubuntu"}, []),
        ({"state": "withdrawn"}, ["2026.10.0"]),
        ({"state": "published", "arch": "arm64"}, ["2026.9.0", "2026.11.0"]),
        ({"protected": True}, ["2026.9.0"]),
        ({"protected": False, "state": "published"}, ["2026.11.0", "2026.11.0"]),
    ],
)
def test_reading_only_some(
    keep: Callable[..., Any],
    read: Callable[..., Any],
    published: Any,
    wanted: dict[str, Any],
    versions: list[str],
) -> None:
    keep(state="withdrawn", name="windows11", version="2026.10.0", reason="Bad.")
    keep(state="protected", name="windows11", version="2026.9.0")
    result = read(**wanted).result
    assert [record["version"] for record in result["records"]] == versions
    assert result["total"] == len(versions)


@pytest.mark.parametrize(
    ("wanted", "places", "total"),
    [
        ({"limit": 3}, slice(0, 3), 4),
        ({"limit": 3, "offset": 3}, slice(3, 4), 4),
        ({"offset": 1}, slice(1, 4), 4),
        ({"offset": 4}, slice(4, 4), 4),
        ({"limit": 1, "offset": 1, "version": "2026.11.0", "name": "windows11"}, slice(3, 4), 2),
    ],
)
def test_records_come_a_page_at_a_time(
    read: Callable[..., Any], published: Any, wanted: dict[str, Any], places: slice, total: int
) -> None:
    result = read(**wanted).result
    assert (result["records"], result["total"]) == (published[places], total)


def test_a_hundred_records_come_back_at_most(keep: Any, read: Any, folder: Path) -> None:
    first = keep(record=RECORD).result["record"]
    path = folder / "catalog.json"
    records = [{**first, "version": f"1.{number}"} for number in range(150)]
    path.write_text(json.dumps({"schema": 1, "records": records}))
    result = read().result
    assert [record["version"] for record in result["records"]] == [f"1.{number}" for number in range(100)]
    assert result["total"] == 150
    assert keep(record={**RECORD, "version": "2"}).result["records"][0]["version"] == "2"
    assert len(keep(record={**RECORD, "version": "3"}).result["records"]) == 1
    assert keep(state="page").result["records"] == []


def test_an_inventory(read: Callable[..., Any], published: Any, folder: Path) -> None:
    (folder / "windows11-2026.9.0-arm64.pvmp").unlink()
    (folder / "left.pvmp").write_bytes(b"left")
    assert read(name="nothing", inventory=True).result["inventory"] == {
        "listed": True,
        "missing": ["windows11-2026.9.0-arm64.pvmp"],
        "wrong_size": [],
        "strays": ["left.pvmp"],
        "wrong_sboms": [],
    }


def test_the_page_is_made_when_it_is_wanted(keep: Callable[..., Any], folder: Path) -> None:
    assert "page" not in keep(record=RECORD, page="never").result
    assert not (folder / "index.html").exists()
    made = keep(state="page", page="always").result
    assert (made["changed"], made["page_changed"]) == (True, True)
    assert made["page"] == f"{folder.as_uri()}/index.html"
    assert "Contoso Windows 11 Pro" in page_of(folder)
    assert not keep(state="page").result["changed"]
    (folder / "index.html").write_text("<title>Ours</title>")
    assert not keep(state="page").result["changed"]
    before = stored(folder)
    ended = keep(record={**RECORD, "version": "2026.12.0"}, page="always")
    assert ended.failed
    assert "is a page that this module did not create" in ended.result["msg"]
    assert stored(folder) == before
