# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed catalogs and records, with the real ssh-keygen and real stores."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.upkeep import Upkeep
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.guard import AGE, ALL, Guard
from ansible_collections.macops.parallels.plugins.module_utils._trust.identity import store_identity
from ansible_collections.macops.parallels.plugins.module_utils._trust.seal import Seal
from ansible_collections.macops.parallels.plugins.module_utils._trust.seen import Seen
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import (
    AnyKey,
    Signer,
    SshKeygen,
    Verifier,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.statements import record_verdict, signed_bytes
from ansible_collections.macops.parallels.tests.support.https_store import HttpsStore
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, allow, make_key, run_command

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
OTHER = "second@example.com"
SSH_KEYGEN = SshKeygen(run_command)
ROUNDS = 6


def values(version: str = "1.0", **more: Any) -> dict[str, Any]:
    return {
        "name": "win11",
        "version": version,
        "arch": "arm64",
        "title": "Büro <Windows> \U0001f600",
        "url": f"https://images.example.com/win11-{version}-arm64.pvmp",
        "sha256": "a1" * 32,
        "size": 5,
        **more,
    }


def no_sleep(_seconds: float) -> None:
    pass


@pytest.fixture(name="keys", scope="module")
def fixture_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in (IDENTITY, OTHER, "stranger@example.com")}


@pytest.fixture(name="verifier")
def fixture_verifier(tmp_path: Path, keys: dict[str, Path]) -> Verifier:
    lines = [(identity, keys[identity]) for identity in (IDENTITY, OTHER)]
    return Verifier(SSH_KEYGEN, str(allow(tmp_path / "signers", *lines)))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root, ü"
    folder.mkdir()
    return folder


@pytest.fixture(name="store")
def fixture_store(folder: Path) -> Store:
    return open_store(folder.as_uri(), StoreOptions())


def guard_for(store: Store, verifier: Optional[Verifier], refuses: str = ALL, **options: Any) -> Guard:
    identity = store_identity(store, None, None)
    seen = Seen(identity) if verifier is not None else None
    given = {"now": lambda: NOW, **options}
    return Guard(store, Retries(4, no_sleep), verifier or AnyKey(SSH_KEYGEN), identity, seen, refuses=refuses, **given)


@pytest.fixture(name="seal_by")
def fixture_seal_by(keys: dict[str, Path]) -> Callable[..., Seal]:
    def seal_by(
        store: Store, identity: str = IDENTITY, verifier: Optional[Verifier] = None, refuses: str = ALL, **options: Any
    ) -> Seal:
        signer = Signer(SSH_KEYGEN, str(keys[options.pop("key", identity)]), identity)
        guard = guard_for(store, verifier, refuses, accepts_rollback=options.pop("accepts_rollback", False))
        now = {"now": lambda: NOW, **options}
        return Seal(store, Retries(4, no_sleep), signer, guard, sleep=no_sleep, **now)

    return seal_by


@pytest.fixture(name="catalog_by")
def fixture_catalog_by(seal_by: Callable[..., Seal]) -> Callable[..., CatalogFile]:
    """Return a function that opens the catalog as its signer does; without an identity, as one who has no key."""

    def catalog_by(store: Store, identity: Optional[str] = IDENTITY, **options: Any) -> CatalogFile:
        seal = seal_by(store, identity, **options) if identity is not None else None
        return CatalogFile(store, Retries(4, no_sleep), no_sleep, lambda: NOW, seal)

    return catalog_by


@pytest.fixture(name="inspect")
def fixture_inspect(verifier: Verifier) -> Callable[..., dict[str, Any]]:
    def inspect(store: Store, sleep: Callable[[float], None] = no_sleep, **options: Any) -> dict[str, Any]:
        guard = guard_for(store, verifier, **options)
        catalog = CatalogFile(store, Retries(4, no_sleep), sleep, lambda: NOW, guard=guard).inspected()
        return guard.report(catalog.verdict, catalog.document, catalog.records).result()

    return inspect


def words(report: dict[str, Any]) -> tuple[str, list[str]]:
    return report["catalog"]["verdict"], [record["verdict"] for record in report["records"]]


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "catalog.json").read_text(encoding="utf-8"))


def write(folder: Path, document: Any) -> None:
    (folder / "catalog.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def test_what_is_added_is_signed(folder: Path, store: Store, catalog_by: Any, inspect: Any) -> None:
    record = catalog_by(store).add(values()).after
    assert (record["signed_by"], record["signed_at"]) == (IDENTITY, "2026-11-23T12:00:00Z")
    assert sorted(path.name for path in folder.iterdir()) == ["catalog.json", "catalog.json.sig"]
    report = inspect(store)
    assert words(report) == ("good", ["good"])
    assert (report["verified"], report["problems"]) == (True, [])
    assert report["records"][0]["signed_by"] == report["catalog"]["signed_by"] == IDENTITY


def test_it_is_verified_by_hand_as_the_documentation_says(
    folder: Path, store: Store, catalog_by: Any, tmp_path: Path, verifier: Verifier
) -> None:
    record = catalog_by(store).add(values()).after
    (tmp_path / "record.sig").write_text(record["signature"])
    without = {key: value for key, value in record.items() if key != "signature"}
    canonical = json.dumps(without, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    for data, kind, signature in (
        (canonical, "record", tmp_path / "record.sig"),
        ((folder / "catalog.json").read_bytes(), "catalog", folder / "catalog.json.sig"),
    ):
        command = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", IDENTITY, "-n"]
        done = subprocess.run([*command, f"macops.parallels/{kind}", "-s", str(signature)], input=data, check=False)
        assert done.returncode == 0


def test_the_form_that_is_signed_is_one_only() -> None:
    record = {"b": 'ü<>&"\\\n\x7f', "a": {"d": 1, "c": True}, "signature": "x"}
    assert signed_bytes(record) == '{"a":{"c":true,"d":1},"b":"ü<>&\\"\\\\\\n\x7f"}'.encode()
    assert signed_bytes(dict(reversed(list(record.items())))) == signed_bytes(record)


def test_nothing_is_signed_twice(folder: Path, store: Store, catalog_by: Any) -> None:
    catalog_by(store).add(values())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not catalog_by(store).add(values()).changed
    assert not catalog_by(store, OTHER).add(values()).changed
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_check_mode_signs_nothing(folder: Path, store: Store, catalog_by: Any) -> None:
    assert catalog_by(store).add(values(), check_mode=True).changed
    assert list(folder.iterdir()) == []


def test_a_change_is_signed_anew(store: Store, catalog_by: Any, inspect: Any) -> None:
    first = catalog_by(store).add(values()).after
    catalog_by(store).add(values("2.0"))
    upkeep = Upkeep(catalog_by(store, OTHER), store, Retries(4), now=lambda: NOW)
    upkeep.withdraw(Choice("win11", "1.0"), "It is broken.")
    report = inspect(store)
    assert words(report) == ("good", ["good", "good"])
    assert [record["signed_by"] for record in report["records"]] == [OTHER, IDENTITY]
    assert catalog_by(store).read().records[0]["signature"] != first["signature"]


# What others do to it

Tamper = Callable[[Path, dict[str, Any]], None]


def _record(**changes: Any) -> Tamper:
    def tamper(folder: Path, document: dict[str, Any]) -> None:
        document["records"][0].update(changes)
        write(folder, document)

    return tamper


def _document(change: Callable[[dict[str, Any]], Any]) -> Tamper:
    def tamper(folder: Path, document: dict[str, Any]) -> None:
        change(document)
        write(folder, document)

    return tamper


def _swap(document: dict[str, Any]) -> None:
    one, two = document["records"]
    one["signature"], two["signature"] = two["signature"], one["signature"]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (_record(url="https://evil.example.com/win11.pvmp"), ("changed", ["changed", "good"])),
        (_record(sha256="b2" * 32), ("changed", ["changed", "good"])),
        (_record(state="withdrawn"), ("changed", ["changed", "good"])),
        (_record(signed_at="2026-11-23T11:00:00Z"), ("changed", ["changed", "good"])),
        (_record(signed_by=OTHER), ("changed", ["changed", "good"])),
        (_record(signed_at="2027-11-23T12:00:00Z"), ("changed", ["unreadable", "good"])),
        (_record(signature=""), ("changed", ["missing", "good"])),
        (_record(signature="nonsense"), ("changed", ["unreadable", "good"])),
        (_record(extra="of a newer release"), ("changed", ["changed", "good"])),
        (_document(lambda document: document["records"][0].pop("signed_by")), ("changed", ["unreadable", "good"])),
        (_document(lambda document: document["records"].pop(0)), ("changed", ["good"])),
        (_document(lambda document: document.update(signed_by="stranger@example.com")), ("changed", ["good", "good"])),
        (_document(lambda document: document.pop("signed_by")), ("missing", ["good", "good"])),
        (_document(_swap), ("changed", ["changed", "changed"])),
        (lambda folder, _document: (folder / "catalog.json.sig").unlink(), ("missing", ["good", "good"])),
        (lambda folder, _document: (folder / "catalog.json.sig").write_text("x"), ("unreadable", ["good", "good"])),
        (
            lambda folder, document: (folder / "catalog.json").write_text(json.dumps(document)),
            ("changed", ["good"] * 2),
        ),
        (_record(signed_for="https://test.example.com"), ("changed", ["foreign", "good"])),
        (_document(lambda document: document.update(signed_for="https://test.example.com")), ("foreign", ["good"] * 2)),
        (_document(lambda document: document.pop("signed_for")), ("unreadable", ["good", "good"])),
        (_document(lambda document: document.update(serial=9)), ("changed", ["good", "good"])),
        (_document(lambda document: document.update(serial=0)), ("changed", ["good", "good"])),
        (lambda folder, _document: (folder / "catalog.json").unlink(), ("missing", [])),
    ],
)
def test_what_was_tampered_with(
    folder: Path, store: Store, catalog_by: Any, inspect: Any, tamper: Tamper, expected: tuple[str, list[str]]
) -> None:
    for version in ("1.0", "2.0"):
        catalog_by(store).add(values(version))
    tamper(folder, read(folder))
    report = inspect(store)
    assert words(report) == expected
    assert not report["verified"]
    found = [expected[0], *expected[1]]
    assert len(report["unsigned"]) == found.count("missing")
    assert len(report["problems"]) == len(found) - found.count("missing") - found.count("good")
    assert all(problem.endswith(".") for problem in report["problems"] + report["unsigned"])


@pytest.mark.parametrize(("identity", "expected"), [("stranger@example.com", "foreign"), (IDENTITY, "foreign")])
def test_a_stranger_signs(store: Store, catalog_by: Any, inspect: Any, identity: str, expected: str) -> None:
    catalog_by(store).add(values())
    catalog_by(store, identity, key="stranger@example.com").add(values("2.0"))
    assert words(inspect(store)) == (expected, ["good", expected])


def test_a_host_without_a_key_keeps_the_proof_of_other_records(store: Store, catalog_by: Any, inspect: Any) -> None:
    catalog_by(store).add(values())
    catalog_by(store, None).add(values("2.0"))
    report = inspect(store)
    assert words(report) == ("missing", ["good", "missing"])
    assert "last written by a host that did not sign it" in report["catalog"]["reason"]
    Upkeep(catalog_by(store, None), store, Retries(4), now=lambda: NOW).protect(Choice("win11", "1.0"), True)
    assert words(inspect(store)) == ("missing", ["missing", "missing"])
    # Whoever has a key signs nothing over that: only a person may.
    with pytest.raises(TaskError, match="state: signed"):
        catalog_by(store).add(values("3.0"))
    assert words(inspect(store)) == ("missing", ["missing", "missing"])


def test_an_unsigned_store_without_keys_stays_as_it_was(folder: Path, store: Store, catalog_by: Any) -> None:
    catalog_by(store, None).add(values())
    assert set(read(folder)) == {"schema", "records"}
    assert "signature" not in read(folder)["records"][0]


@pytest.mark.parametrize("content", ["{", '{"records": [{}]}'])
def test_what_is_not_a_catalog_is_never_read(
    folder: Path, store: Store, catalog_by: Any, inspect: Any, content: str
) -> None:
    catalog_by(store).add(values())
    (folder / "catalog.json").write_text(content)
    with pytest.raises(TaskError, match=r"is not (valid JSON|a valid image catalog)"):
        inspect(store)


# Where a catalog and its signature come apart


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_a_publisher_never_mends_a_signature(
    folder: Path, store: Store, catalog_by: Any, verifier: Verifier, strict: bool, version: str
) -> None:
    catalog_by(store).add(values())
    old = (folder / "catalog.json.sig").read_bytes()
    catalog_by(store).add(values("2.0"))
    (folder / "catalog.json.sig").write_bytes(old)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for check_mode in (True, False):
        with pytest.raises(TaskError, match=r"changed after it was signed.*state: signed") as caught:
            catalog_by(store, verifier=verifier if strict else None).add(values(version), check_mode=check_mode)
        assert caught.value.details["verdict"] == "changed"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class Killed(BaseException):
    """Ends a run as a signal would."""


def killed_after(store: Store, writes: int) -> Store:
    """Let a run that writes to the store end after it has written so often."""
    write = store.write
    left = [writes]

    def count(*args: Any, **options: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(*args, **options)

    store.write = count  # type: ignore[method-assign]
    return store


@pytest.mark.parametrize("signer", [IDENTITY, OTHER])
@pytest.mark.parametrize(("first", "writes"), [(first, writes) for first in (False, True) for writes in (0, 1, 2)])
def test_a_run_that_is_killed_at_any_step_leaves_a_good_signature(
    folder: Path, store: Store, catalog_by: Any, inspect: Any, verifier: Verifier, first: bool, writes: int, signer: str
) -> None:
    if not first:
        catalog_by(store, verifier=verifier).add(values())
    with contextlib.suppress(Killed):
        catalog_by(killed_after(store, writes), verifier=verifier).add(values("2.0"))
    store = open_store(folder.as_uri(), StoreOptions())
    report = inspect(store)
    there = len(report["records"])
    assert there == (0 if first else 1) + (1 if writes == 2 else 0)
    if there:
        assert words(report) == ("good", ["good"] * there)
    # The next run goes on from there, by whichever host.
    assert catalog_by(store, signer, verifier=verifier).add(values("2.0")).changed is (writes < 2)
    assert words(inspect(store)) == ("good", ["good"] * (1 if first else 2))
    catalog_by(store, signer, verifier=verifier).add(values("3.0"))
    assert (folder / "catalog.json.sig").read_text().count("BEGIN") == 1
    assert words(inspect(store)) == ("good", ["good"] * (2 if first else 3))


def test_a_reader_between_the_two_looks_again(folder: Path, store: Store, catalog_by: Any, inspect: Any) -> None:
    catalog_by(store).add(values())
    old = (folder / "catalog.json.sig").read_bytes()
    catalog_by(store).add(values("2.0"))
    new = (folder / "catalog.json.sig").read_bytes()
    (folder / "catalog.json.sig").write_bytes(old)
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            (folder / "catalog.json.sig").write_bytes(new)

    assert words(inspect(store, sleep=sleep)) == ("good", ["good", "good"])
    assert len(pauses) == 2


def test_a_writer_who_is_late_does_not_write_over_a_newer_signature(
    folder: Path, store: Store, catalog_by: Any, inspect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_one, write_one = store.read, store.write
    written = []

    def read_then_others_write(name: str, *limits: int) -> Any:
        found = read_one(name, *limits)
        if (name, written[-1:]) == ("catalog.json", ["catalog.json"]):
            # After the look at the catalog, which is still ours, somebody else writes both files.
            written.append("others")
            catalog_by(open_store(folder.as_uri(), StoreOptions()), OTHER).add(values("2.0"))
        return found

    def write(name: str, *args: Any, **options: Any) -> None:
        write_one(name, *args, **options)
        written.append(name)

    monkeypatch.setattr(store, "write", write)
    monkeypatch.setattr(store, "read", read_then_others_write)
    catalog_by(store).add(values())
    report = inspect(open_store(folder.as_uri(), StoreOptions()))
    assert words(report) == ("good", ["good", "good"])
    assert report["catalog"]["signed_by"] == OTHER
    assert "others" in written


def test_a_signature_that_others_write_over_is_put_back(
    folder: Path, store: Store, catalog_by: Any, inspect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store that ignores conditions, the signature of one host may replace that of another."""
    catalog_by(store, OTHER).add(values())
    theirs = (folder / "catalog.json.sig").read_text()
    write = store.write
    names = []

    def write_then_others_write(name: str, data: bytes, *args: Any, **_conditions: Any) -> None:
        write(name, data, *args)
        names.append(name)
        if len(names) in (1, 3):
            (folder / "catalog.json.sig").write_text(theirs)

    monkeypatch.setattr(store, "write", write_then_others_write)
    monkeypatch.setattr(store, "exclusive", False)
    catalog_by(store).add(values("2.0"))
    assert words(inspect(open_store(folder.as_uri(), StoreOptions()))) == ("good", ["good", "good"])
    assert names == ["catalog.json.sig", "catalog.json.sig", "catalog.json", "catalog.json.sig"]


def race(open_one: Callable[[], Store], catalog_by: Callable[..., CatalogFile]) -> list[BaseException]:
    """Let two signers add a record each, at the same time, several times over; return what went wrong."""
    errors: list[BaseException] = []

    def add(version: str, identity: str, start: threading.Barrier) -> None:
        try:
            catalog = catalog_by(open_one(), identity)
            start.wait(30)
            assert catalog.add(values(version)).changed
        except BaseException as error:
            errors.append(error)

    for number in range(ROUNDS):
        start = threading.Barrier(2)
        names = [(f"1.{number}", IDENTITY), (f"2.{number}", OTHER)]
        writers = [threading.Thread(target=add, args=(*name, start)) for name in names]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    return errors


def test_two_signers_with_different_keys_in_a_folder(folder: Path, catalog_by: Any, inspect: Any) -> None:
    assert race(lambda: open_store(folder.as_uri(), StoreOptions()), catalog_by) == []
    report = inspect(open_store(folder.as_uri(), StoreOptions()))
    assert words(report) == ("good", ["good"] * 2 * ROUNDS)
    assert {record["signed_by"] for record in report["records"]} == {IDENTITY, OTHER}
    assert sorted(path.name for path in folder.iterdir()) == ["catalog.json", "catalog.json.sig"]


@pytest.mark.nightly
def test_two_signers_with_different_keys_on_webdav(tmp_path: Path, catalog_by: Any, inspect: Any) -> None:
    with HttpsStore(tmp_path / "served") as server:

        def opened() -> Store:
            options = StoreOptions(username=server.username, password=server.password, ca_path=str(server.ca_path))
            return open_store(server.url, options)

        assert race(opened, catalog_by) == []
        assert words(inspect(opened())) == ("good", ["good"] * 2 * ROUNDS)


# Signing what was there before


IMAGE = b"image"
SHA256 = hashlib.sha256(IMAGE).hexdigest()


@pytest.fixture(name="by_hand")
def fixture_by_hand(catalog_by: Any, seal_by: Any, folder: Path) -> Callable[..., bool]:
    """Return a function that signs what was published, as a person orders it."""

    def by_hand(
        store: Store, identity: str = IDENTITY, check_mode: bool = False, anew: bool = True, only: str = "", **more: Any
    ) -> bool:
        for version in ("1.0", "2.0", "3.0"):
            (folder / f"win11-{version}-arm64.pvmp").write_bytes(IMAGE)
        seal = seal_by(store, identity, refuses=AGE, **more)
        catalog = CatalogFile(store, Retries(4, no_sleep), no_sleep, lambda: NOW, seal)

        def edit(records: Any) -> Any:
            return seal.sign_all(records, lambda record: only in ("", record["version"]), anew, catalog.verdict)

        return catalog.change(edit, "the signatures", check_mode).changed

    return by_hand


def true(version: str = "1.0", **more: Any) -> dict[str, Any]:
    return values(version, sha256=SHA256, **more)


def test_what_was_published_before_is_signed(
    folder: Path, store: Store, catalog_by: Any, by_hand: Any, inspect: Any
) -> None:
    for version in ("1.0", "2.0"):
        catalog_by(store, None).add(true(version))
    before = read(folder)
    assert by_hand(store, check_mode=True)
    assert read(folder) == before
    assert by_hand(store)
    assert words(inspect(store)) == ("good", ["good", "good"])
    assert not by_hand(store)


@pytest.mark.parametrize("image", [None, b"imago", b"other size"])
@pytest.mark.parametrize("recorded", [True, False])
def test_an_image_that_is_not_as_its_record_says_is_not_signed(
    folder: Path, store: Store, catalog_by: Any, seal_by: Any, image: Any, recorded: bool
) -> None:
    catalog_by(store, None).add(true())
    path = folder / "win11-1.0-arm64.pvmp"
    if image is not None:
        path.write_bytes(image)
    if recorded:  # what anybody may write beside it says nothing
        path.with_name(path.name + ".sha256").write_text(f"{SHA256}  {path.name}\n")
    before = read(folder)
    seal = seal_by(store, refuses=AGE)
    catalog = CatalogFile(store, Retries(4, no_sleep), no_sleep, lambda: NOW, seal)
    with pytest.raises(TaskError, match=r"win11-1\.0-arm64 was not signed: its image .*Find out who"):
        catalog.change(lambda found: seal.sign_all(found, lambda _r: True, True, catalog.verdict), "x")
    assert read(folder) == before


def test_a_new_key_signs_all_anew(store: Store, catalog_by: Any, by_hand: Any, inspect: Any) -> None:
    catalog_by(store).add(true())
    catalog_by(store, IDENTITY, key="stranger@example.com").add(true("2.0"))
    assert by_hand(store)
    assert words(inspect(store)) == ("good", ["good", "good"])
    assert by_hand(store, OTHER)
    assert {record["signed_by"] for record in inspect(store)["records"]} == {OTHER}


def test_other_signatures_may_stay(
    folder: Path, store: Store, catalog_by: Any, by_hand: Any, inspect: Any, verifier: Verifier
) -> None:
    catalog_by(store, OTHER).add(true())
    catalog_by(store, None).add(true("2.0"))
    catalog_by(store, None).add(true("3.0"))
    before = read(folder)
    with pytest.raises(
        TaskError, match=r"would also vouch for the record of win11-3\.0-arm64: The record is not signed"
    ):
        by_hand(store, anew=False, only="2.0", verifier=verifier)
    assert read(folder) == before
    assert by_hand(store, anew=False, verifier=verifier)
    assert words(inspect(store)) == ("good", ["good", "good", "good"])
    assert [record["signed_by"] for record in inspect(store)["records"]] == [OTHER, IDENTITY, IDENTITY]
    assert not by_hand(store, anew=False, only="1.0", verifier=verifier)


def test_what_was_tampered_with_is_not_signed_again(folder: Path, store: Store, catalog_by: Any, by_hand: Any) -> None:
    catalog_by(store).add(true())
    _record(url="https://evil.example.com/x.pvmp")(folder, read(folder))
    with pytest.raises(TaskError, match=r"win11-1\.0-arm64 was changed after it was signed, so it was"):
        by_hand(store)


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_is_signed_over_a_catalog_that_is_not_proven(
    folder: Path, store: Store, catalog_by: Any, verifier: Verifier, inspect: Any, strict: bool
) -> None:
    mine = catalog_by(store, verifier=verifier if strict else None)
    mine.add(values())
    mine.add(values("2.0"))
    catalog_by(store, None).add(values("3.0"))
    before = (folder / "catalog.json").read_bytes()
    for version in ("3.0", "4.0"):
        with pytest.raises(TaskError, match=r"last written by a host that did not sign it.*state: signed") as caught:
            mine.add(values(version))
        assert caught.value.details["verdict"] == "missing"
    assert (folder / "catalog.json").read_bytes() == before


def test_a_record_brings_its_signature_along(tmp_path: Path, store: Store, catalog_by: Any, inspect: Any) -> None:
    record = catalog_by(store).add(values()).after
    (tmp_path / "second").mkdir()
    second = open_store((tmp_path / "second").as_uri(), StoreOptions())
    # Its signature is for the first store, so whoever adds it to the second signs it.
    assert catalog_by(second, OTHER).add(record).after["signed_by"] == OTHER
    tampered = {**record, "version": "1.1", "file": "win11-1.1-arm64.pvmp"}
    assert catalog_by(second, OTHER).add(tampered).after["signed_by"] == OTHER
    assert words(inspect(second)) == ("good", ["good", "good"])
    # In its own store it is kept, such as after a catalog was lost.
    (tmp_path / "web root, ü" / "catalog.json").unlink()
    assert catalog_by(store, OTHER).add(record).after == record


@pytest.mark.parametrize(("at", "word"), [("2026-11-23T12:05:00Z", "changed"), ("2026-11-23T12:15:00Z", "unreadable")])
def test_clocks_may_differ_a_little(store: Store, catalog_by: Any, verifier: Verifier, at: str, word: str) -> None:
    record = catalog_by(store).add(values()).after
    verdict = record_verdict({**record, "signed_at": at}, verifier, store_identity(store, None, None), NOW)
    assert verdict.word == word


def test_the_key_is_tried_beforehand(store: Store, seal_by: Any, tmp_path: Path) -> None:
    seal_by(store).prove()
    signer = Signer(SSH_KEYGEN, str(tmp_path / "nowhere"), IDENTITY)
    with pytest.raises(TaskError, match="There is no file"):
        Seal(store, Retries(4), signer, guard_for(store, None)).prove()
