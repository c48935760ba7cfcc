# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog, on real stores and on one that does what others would rather not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import ansible
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog import catalog as catalog_module
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import Catalog, CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.tests.support.https_store import Fault, HttpsStore

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)
ROUNDS = 20


def values(version: str = "1.0", arch: str = "arm64", **more: Any) -> dict[str, Any]:
    return {
        "name": "win11",
        "version": version,
        "arch": arch,
        "url": f"https://images.example.com/win11-{version}-{arch}.pvmp",
        "sha256": "a1" * 32,
        "size": 5,
        **more,
    }


def catalog_of(store: Store, pauses: list[float] | None = None) -> CatalogFile:
    """Return the catalog of a store. Pauses are not waited for."""
    noted = [] if pauses is None else pauses
    return CatalogFile(store, Retries(4, noted.append), noted.append, lambda: NOW)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root, ü"
    folder.mkdir()
    return folder


@pytest.fixture(name="catalog")
def fixture_catalog(folder: Path) -> CatalogFile:
    return catalog_of(open_store(folder.as_uri(), StoreOptions()))


@pytest.fixture(name="webdav")
def fixture_webdav(tmp_path: Path) -> Iterator[HttpsStore]:
    with HttpsStore(tmp_path / "served") as server:
        yield server


def opened(server: HttpsStore, **options: Any) -> Store:
    given = {"username": server.username, "password": server.password, "ca_path": server.ca_path, **options}
    return open_store(server.url, StoreOptions(**given))


def test_there_is_no_catalog_at_first(catalog: CatalogFile, folder: Path) -> None:
    assert catalog.read().records == []
    assert list(folder.iterdir()) == []


def test_a_record_is_added(catalog: CatalogFile, folder: Path) -> None:
    outcome = catalog.add(values(title="Büro"))
    record = new_record(values(title="Büro"), NOW)
    assert (outcome.changed, outcome.before, outcome.after, outcome.records) == (True, None, record, [record])
    assert json.loads((folder / "catalog.json").read_text(encoding="utf-8")) == {"schema": 1, "records": [record]}
    assert "Büro" in (folder / "catalog.json").read_text(encoding="utf-8")
    assert catalog.read().records == [record]


def test_records_are_sorted(catalog: CatalogFile) -> None:
    for version, arch in (("1.10", "x86_64"), ("1.9", "x86_64"), ("1.10", "arm64")):
        catalog.add(values(version, arch))
    found = [(record["version"], record["arch"]) for record in catalog.read().records]
    assert found == [("1.9", "x86_64"), ("1.10", "arm64"), ("1.10", "x86_64")]


def test_the_same_record_changes_nothing(catalog: CatalogFile, folder: Path) -> None:
    catalog.add(values(title="First"))
    before = (folder / "catalog.json").stat()
    outcome = catalog.add(values(title="Second", sha256="A1" * 32))
    assert (outcome.changed, outcome.after["title"]) == (False, "First")
    assert os.path.samestat(before, (folder / "catalog.json").stat())


@pytest.mark.parametrize("other", [{"sha256": "b2" * 32}, {"size": 6}])
def test_what_is_published_never_changes(catalog: CatalogFile, folder: Path, other: dict[str, Any]) -> None:
    catalog.add(values())
    before = (folder / "catalog.json").read_bytes()
    with pytest.raises(
        TaskError, match=r"win11-1.0-arm64 is already in the catalog with different content.* new version"
    ):
        catalog.add(values(**other))
    assert (folder / "catalog.json").read_bytes() == before


def test_the_same_bytes_may_move(catalog: CatalogFile) -> None:
    first = catalog.add(values(title="First")).after
    outcome = catalog.add(values(title="Second", url="https://new.example.com/a.pvmp"))
    assert (outcome.changed, outcome.before) == (True, first)
    assert outcome.after == {**first, "url": "https://new.example.com/a.pvmp"}
    assert catalog.read().records == [outcome.after]


def test_what_was_withdrawn_does_not_come_back(catalog: CatalogFile, folder: Path) -> None:
    record = {**new_record(values(), NOW), "state": "withdrawn"}
    (folder / "catalog.json").write_text(json.dumps({"schema": 1, "records": [record]}))
    with pytest.raises(TaskError, match=r"is now withdrawn. Publish the image as a new version"):
        catalog.add(values())
    assert catalog.read().records == [record]


def test_check_mode_writes_nothing(catalog: CatalogFile, folder: Path) -> None:
    outcome = catalog.add(values(), check_mode=True)
    assert (outcome.changed, len(outcome.records)) == (True, 1)
    assert list(folder.iterdir()) == []
    catalog.add(values())
    assert catalog.add(values(), check_mode=True).changed is False
    with pytest.raises(TaskError, match="different content"):
        catalog.add(values(size=6), check_mode=True)


def test_a_record_that_is_not_right_is_not_added(catalog: CatalogFile, folder: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot be added to the catalog: name must be made of .*; size must be"):
        catalog.add(values(name="Win 11", size=0))
    with pytest.raises(TaskError, match="state must be published"):
        catalog.add(values(state="withdrawn"))
    with pytest.raises(TaskError, match="colour is not a field"):
        catalog.add(values(colour="red"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_catalog_that_another_program_has_saved(
    catalog: CatalogFile, folder: Path, before: str, encoding: str
) -> None:
    record = new_record(values(version="7" * 5000, title="Büro \U0001f600", size=2**63 - 1), NOW)
    text = json.dumps({"schema": 1.0, "new": 1e308, "records": [record]}, ensure_ascii=True)
    (folder / "catalog.json").write_bytes((before if encoding == "utf-8" else "").join(("", text)).encode(encoding))
    catalog.add(values())
    assert catalog.read().records == [new_record(values(), NOW), record]


def test_what_no_reader_would_accept_is_not_written(
    catalog: CatalogFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add(values())
    written = (folder / "catalog.json").read_bytes()
    monkeypatch.setattr(catalog_module, "_LARGEST", len(written) + 100)
    with pytest.raises(TaskError, match=r"was not changed: it would be larger than \d+ bytes.* Remove old versions"):
        catalog.add(values("2.0"))
    assert (folder / "catalog.json").read_bytes() == written


def test_what_a_newer_release_has_written_is_kept(catalog: CatalogFile, folder: Path) -> None:
    old = {**new_record(values("0.9"), NOW), "sbom": "https://images.example.com/sbom"}
    (folder / "catalog.json").write_text(json.dumps({"schema": 1, "signature": "abc", "records": [old]}))
    catalog.add(values())
    document = json.loads((folder / "catalog.json").read_text())
    assert document["signature"] == "abc"
    assert document["records"][0] == old


RECORD = new_record(values(), NOW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not valid JSON"),
        ('{"schema": 1, "records": [', "is not valid JSON"),
        ("\x80", "is not valid JSON"),
        (" \n", "is not valid JSON .it is empty"),
        ("\xff\xfe", "is not valid JSON"),
        ('{"schema": 1, "records": [], "new": %s}' % ("[" * 50_000 + "]" * 50_000), "nested more than 100 levels deep"),
        ('{"schema": 1, "records": [], "new": %s}' % ("[" * 100 + "]" * 100), "nested more than 100 levels deep"),
        ('{"schema": 1, "records": [], "new": NaN}', "NaN is not a number"),
        ('{"schema": 1, "records": [], "new": 1e999}', "1e999 is too large"),
        ('{"schema": 1, "records": [], "new": %s}' % ("9" * 5000), "a number in it has 5000 digits"),
        ('{"schema": 1, "records": [], "new": "\\ud83d"}', "half of a surrogate pair"),
        (json.dumps({"schema": 1, "records": [RECORD]})[:-1] + ', "records": []}', "the key 'records' twice"),
        ('{"schema": [[%s]], "records": []}' % ('"long", ' * 50_000 + "1"), "its schema is .{60}, not 1"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "size": 10**50}]}), "record 1: size must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "size": 5.0}]}), "record 1: size must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "file": "a\x9b31mb.pvmp"}]}), "record 1: file must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "name": []}]}), "record 1: name must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "state": {}}]}), "record 1: state must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "published_at": 1}]}), "record 1: published_at must be"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "source": {"vm": None}}]}), "record 1: source must"),
        ("[]", "does not specify its schema"),
        ('{"records": []}', "does not specify its schema"),
        (
            '{"schema": 2, "records": []}',
            "newer release .*schema 2; this release supports 1.*Install the newer release",
        ),
        ('{"schema": 0, "records": []}', "its schema is 0"),
        ('{"schema": "1", "records": []}', "its schema is '1'"),
        ('{"schema": true, "records": []}', "its schema is True"),
        ('{"schema": 1}', "does not have a list of records"),
        ('{"schema": 1, "records": {}}', "does not have a list of records"),
        (json.dumps({"schema": 1, "records": [RECORD, "text"]}), "record 2: it is not a dictionary"),
        (json.dumps({"schema": 1, "records": [{**RECORD, "size": "5"}]}), "record 1: size must be"),
        (json.dumps({"schema": 1, "records": [RECORD, {**RECORD, "size": 6}]}), "two records of win11-1.0-arm64"),
        (json.dumps({"schema": 1, "records": [{}] * 100}), "record 1: schema is missing"),
    ],
)
def test_what_is_not_understood_is_never_written_over(
    catalog: CatalogFile, folder: Path, content: str, message: str
) -> None:
    path = folder / "catalog.json"
    path.write_bytes(content.encode("latin-1"))
    for attempt in (catalog.read, lambda: catalog.add(values("2.0"))):
        with pytest.raises(TaskError, match=message) as caught:
            attempt()
        assert path.as_uri() in caught.value.message
        assert "It was not changed" in caught.value.message
        assert len(caught.value.message) < 1000
    assert path.read_bytes() == content.encode("latin-1")


# Several writers


def race(open_one: Callable[[], Store]) -> list[BaseException]:
    """Let two writers add a record each, at the same time, many times over; return what went wrong."""
    errors: list[BaseException] = []

    def write(version: str, arch: str, start: threading.Barrier) -> None:
        try:
            catalog = CatalogFile(open_one(), Retries(4))
            start.wait(30)
            assert catalog.add(values(version, arch)).changed
        except BaseException as error:
            errors.append(error)

    for number in range(ROUNDS):
        start = threading.Barrier(2)
        writers = [threading.Thread(target=write, args=(f"1.{number}", arch, start)) for arch in ("arm64", "x86_64")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    return errors


def everything() -> list[tuple[str, str]]:
    return [(f"1.{number}", arch) for number in range(ROUNDS) for arch in ("arm64", "x86_64")]


def recorded(store: Store) -> list[tuple[str, str]]:
    return [(record["version"], record["arch"]) for record in catalog_of(store).read().records]


def test_two_writers_lose_nothing_in_a_folder(folder: Path) -> None:
    assert race(lambda: open_store(folder.as_uri(), StoreOptions())) == []
    assert recorded(open_store(folder.as_uri(), StoreOptions())) == everything()
    assert [path.name for path in folder.iterdir()] == ["catalog.json"]


def test_two_writers_lose_nothing_on_webdav(webdav: HttpsStore) -> None:
    assert race(lambda: opened(webdav)) == []
    assert recorded(opened(webdav)) == everything()
    assert [path.name for path in webdav.folder.iterdir()] == ["catalog.json"]


_WRITER = """
import sys
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

destination, arch, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
catalog = CatalogFile(open_store(destination, StoreOptions()), Retries(4))
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    catalog.add({"name": "win11", "version": f"1.{number}", "arch": arch, "url": "https://images.example.com/a.pvmp",
                 "sha256": "a1" * 32, "size": 5})
"""


def test_two_processes_lose_nothing_in_a_folder(folder: Path) -> None:
    collections, library = Path(catalog_module.__file__).parents[6], Path(ansible.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{collections}:{library}"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, folder.as_uri(), arch, str(ROUNDS)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arch in ("arm64", "x86_64")
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert recorded(open_store(folder.as_uri(), StoreOptions())) == everything()


# What stores do


def test_faults_that_pass(webdav: HttpsStore) -> None:
    webdav.faults += [Fault("GET", status=503, times=2), Fault("PUT", status=503, times=1)]
    pauses: list[float] = []
    assert catalog_of(opened(webdav), pauses).add(values()).changed is True
    assert len(recorded(opened(webdav))) == 1
    assert len(pauses) >= 3


def test_an_answer_that_is_lost(webdav: HttpsStore) -> None:
    webdav.faults.append(Fault("MOVE", lose_answer=True))
    outcome = catalog_of(opened(webdav)).add(values())
    assert (outcome.changed, outcome.before) == (True, None)
    assert len(recorded(opened(webdav))) == 1


def test_a_wrong_password(webdav: HttpsStore) -> None:
    with pytest.raises(TaskError, match="user name or the password is wrong") as caught:
        catalog_of(opened(webdav, password="hunter2")).add(values())
    assert "hunter2" not in str(caught.value.result())
    assert recorded(opened(webdav)) == []


def test_reading_needs_no_password(webdav: HttpsStore) -> None:
    catalog_of(opened(webdav)).add(values())
    assert len(recorded(opened(webdav, username=None, password=None))) == 1


def test_a_server_with_nothing_but_put(tmp_path: Path) -> None:
    with HttpsStore(tmp_path / "put", methods=("GET", "HEAD", "PUT", "DELETE")) as server:
        store = opened(server, https_method="put")
        pauses: list[float] = []
        assert catalog_of(store, pauses).add(values()).changed is True
        assert catalog_of(store).add(values("1.1")).changed is True
        assert [version for version, _arch in recorded(store)] == ["1.0", "1.1"]
        assert pauses == [2.0]


class FakeStore:
    """Keeps one file, and does before each write what it is told to."""

    atomic = True
    exclusive = True

    def __init__(self, *before_writes: Callable[[], None]) -> None:
        self.data: bytes | None = None
        self.reads: list[bytes] = []
        self.before_writes = list(before_writes)
        self.keeps = True

    def link(self, name: str) -> str:
        return f"https://store.example.com/{name}"

    def read(self, name: str, limit: int) -> tuple[bytes, str] | None:
        data = self.reads.pop(0) if self.reads else self.data
        return None if data is None else (data, f"v{hash(data)}")

    def write(self, name: str, data: bytes, content_type: str, if_version: str | None, if_absent: bool) -> None:
        assert (name, content_type, if_absent) == ("catalog.json", "application/json", if_version is None)
        if self.before_writes:
            self.before_writes.pop(0)()
        current = None if self.data is None else f"v{hash(self.data)}"
        if current != if_version:
            raise Conflict(name)
        if self.keeps:
            self.data = data


def other_writer(store: FakeStore, version: str) -> Callable[[], None]:
    def write() -> None:
        document = json.loads(store.data) if store.data else {"schema": 1, "records": []}
        store.data = Catalog(document).put(new_record(values(version), NOW)).data()

    return write


def test_what_others_write_meanwhile_is_merged() -> None:
    store = FakeStore()
    store.before_writes = [other_writer(store, "0.1"), other_writer(store, "0.2")]
    pauses: list[float] = []
    outcome = catalog_of(store, pauses).add(values())  # type: ignore[arg-type]
    assert [record["version"] for record in outcome.records] == ["0.1", "0.2", "1.0"]
    assert len(pauses) == 2


def test_the_same_record_by_another_writer_meanwhile_is_no_change() -> None:
    store = FakeStore()
    store.before_writes = [other_writer(store, "1.0")]
    assert catalog_of(store).add(values()).changed is False  # type: ignore[arg-type]


def test_other_bytes_by_another_writer_meanwhile_are_an_error() -> None:
    store = FakeStore()
    store.before_writes = [other_writer(store, "1.0")]
    with pytest.raises(TaskError, match="different content"):
        catalog_of(store).add(values(size=6))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("atomic", "exclusive", "waits"), [(True, True, []), (True, False, [2.0, 2.0]), (False, True, [2.0, 2.0])]
)
def test_a_record_that_others_write_over_is_written_again(atomic: bool, exclusive: bool, waits: list[float]) -> None:
    """A store without conditions lets those win who write last: so they are waited for before it is read again."""
    store = FakeStore()
    store.atomic, store.exclusive = atomic, exclusive
    lost = Catalog().put(new_record(values("0.1"), NOW)).data()
    store.reads = [Catalog().data()]
    store.data = Catalog().data()
    writes = []

    def write(*arguments: Any, **named: Any) -> None:
        writes.append(arguments)
        store.data = lost if len(writes) == 1 else arguments[1]

    store.write = write  # type: ignore[method-assign]
    pauses: list[float] = []
    outcome = catalog_of(store, pauses).add(values())  # type: ignore[arg-type]
    assert pauses == waits
    assert [record["version"] for record in outcome.records] == ["0.1", "1.0"]
    assert len(writes) == 2


def test_a_store_that_does_not_keep_what_is_written() -> None:
    store = FakeStore()
    store.keeps = False
    with pytest.raises(TaskError, match=r"30 attempts\). Run the same command again with fewer hosts"):
        catalog_of(store).add(values())  # type: ignore[arg-type]


def test_pauses_between_turns_stay_short() -> None:
    store = FakeStore()
    store.before_writes = [other_writer(store, f"0.{number}") for number in range(20)]
    pauses: list[float] = []
    assert catalog_of(store, pauses).add(values()).changed is True  # type: ignore[arg-type]
    assert len(pauses) == 20
    assert max(pauses) <= 5


def test_half_a_catalog_is_read_again() -> None:
    store = FakeStore()
    store.data = Catalog().put(new_record(values(), NOW)).data()
    store.reads = [store.data[:50], b""]
    pauses: list[float] = []
    assert len(catalog_of(store, pauses).read().records) == 1  # type: ignore[arg-type]
    assert pauses == [1.0, 1.0]


def test_failures_that_stay() -> None:
    store = FakeStore()

    def fail() -> None:
        raise RetryLater("store.example.com cannot be reached.")

    store.before_writes = [fail] * 10
    with pytest.raises(TaskError, match=r"cannot be reached. It was tried 5 times"):
        catalog_of(store).add(values())  # type: ignore[arg-type]
