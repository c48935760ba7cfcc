# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Withdrawing versions and offering them again, protecting and removing them: with kills, and with others who write."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import ansible
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog import catalog as catalog_module
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.upkeep import RETIRED, Done, Upkeep
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._records.record import identity, new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice, Rule, by_name, by_rule
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Store, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.tests.support.https_store import HttpsStore

THEN = datetime(2026, 11, 1, 8, 0, 0, tzinfo=timezone.utc)
NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)
STAMP = "2026-11-22T10:00:00Z"
VERSIONS = ("1.0", "1.1", "1.2")
NEWEST = Rule(keep=1)
BESIDE = ("", ".sha256", ".sig", ".provenance.json")


def no_sleep(seconds: float) -> None:
    """Pauses are not waited for."""


class Images:
    """A folder with a catalog and images, and what is done to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()

    def publish(self, version: str, arch: str = "arm64", **values: Any) -> dict[str, Any]:
        name = f"win11-{version}-{arch}.pvmp"
        content = f"image {version} {arch}".encode()
        for suffix in BESIDE:
            (self.folder / f"{name}{suffix}").write_bytes(content)
        record = {
            "name": "win11",
            "version": version,
            "arch": arch,
            "url": f"https://images.example.com/{name}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            **values,
        }
        (self.folder / f"{name}.sha256").write_text(f"{record['sha256']}  {name}\n")
        return self.catalog().add(record).after

    def catalog(self, store: Store | None = None) -> CatalogFile:
        return CatalogFile(store or self.store(), Retries(4, no_sleep), no_sleep, lambda: THEN)

    def store(self) -> Store:
        return open_store(self.url, StoreOptions())

    def upkeep(self, store: Any = None, check_mode: bool = False) -> Upkeep:
        opened = store or self.store()
        return Upkeep(self.catalog(opened), opened, Retries(4, no_sleep), check_mode, lambda: NOW)

    def retire(self, rule: Rule = NEWEST, **options: Any) -> Done:
        return self.upkeep(**options).remove(by_rule(rule, Choice(), NOW), "the removal of old versions")

    def remove(self, version: str, **options: Any) -> Done:
        return self.upkeep(**options).remove(by_name(Choice("win11", version)), "the removal")

    def edit(self, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Change the records as somebody else does who may write to the store."""
        path = self.folder / "catalog.json"
        document = json.loads(path.read_text())
        change(document["records"])
        path.write_text(json.dumps(document))

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        return {f"{each['version']} {each['arch']}": each for each in self.catalog().read().records}

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def assert_true(self) -> None:
        """Hold that no record promises what is not there, and that nothing is there that no record knows."""
        for record in self.records.values():
            if not record.get("file_removed"):
                assert (self.folder / record["file"]).stat().st_size == record["size"], f"{record} promises too much"
            else:
                assert record["state"] == "withdrawn"
        known = {f"{record['file']}{suffix}" for record in self.records.values() for suffix in BESIDE}
        assert self.names <= known | {"catalog.json"}


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Return three versions for Apple silicon, the newest for Intel as well."""
    folder = tmp_path / "web root, ü"
    folder.mkdir()
    made = Images(folder)
    for version in VERSIONS:
        made.publish(version)
    made.publish("1.2", "x86_64")
    return made


ONE = Choice("win11", "1.1")
BOTH = Choice("win11", "1.2")


def test_a_version_is_withdrawn_and_offered_again(images: Images) -> None:
    before = images.records
    for check_mode in (True, False):
        done = images.upkeep(check_mode=check_mode).withdraw(ONE, "No VPN.")
        assert (done.changed, done.removed, done.removed_files) == (True, [], [])
        assert (images.records == before) is check_mode
    wanted = {**before["1.1 arm64"], "state": "withdrawn", "reason": "No VPN.", "withdrawn_at": STAMP}
    assert images.records == {**before, "1.1 arm64": wanted}
    assert not images.upkeep().withdraw(ONE, "No VPN.").changed
    images.assert_true()

    for check_mode in (True, False):
        assert images.upkeep(check_mode=check_mode).offer(ONE).changed
        assert (images.records == before) is not check_mode
    assert not images.upkeep().offer(ONE).changed


def test_all_architectures_of_a_version_are_withdrawn(images: Images) -> None:
    images.upkeep().withdraw(BOTH, "No VPN.")
    assert [each for each, record in images.records.items() if record["state"] == "withdrawn"] == [
        "1.2 arm64",
        "1.2 x86_64",
    ]
    images.upkeep().offer(Choice("win11", "1.2", "x86_64"))
    assert [each for each, record in images.records.items() if record["state"] == "withdrawn"] == ["1.2 arm64"]


def test_another_reason_is_taken_over_and_the_time_stays(images: Images) -> None:
    images.upkeep().withdraw(ONE, "No VPN.")
    later = Upkeep(images.catalog(), images.store(), Retries(0), now=lambda: datetime(2027, 1, 1, tzinfo=timezone.utc))
    assert later.withdraw(ONE, "No VPN, and no printer.").changed
    assert images.records["1.1 arm64"]["reason"] == "No VPN, and no printer."
    assert images.records["1.1 arm64"]["withdrawn_at"] == STAMP


def test_the_files_of_a_withdrawn_version_are_removed_when_that_is_asked(images: Images) -> None:
    files = [f"win11-1.1-arm64.pvmp{suffix}" for suffix in BESIDE]
    for check_mode in (True, False):
        done = images.upkeep(check_mode=check_mode).withdraw(ONE, "Secrets in it.", remove_file=True)
        assert (done.changed, done.removed_files) == (True, files)
        assert set(files) <= images.names if check_mode else not set(files) & images.names
    assert images.records["1.1 arm64"]["file_removed"] is True
    images.assert_true()
    again = images.upkeep().withdraw(ONE, "Secrets in it.", remove_file=True)
    assert (again.changed, again.removed_files) == (False, [])


def test_what_was_withdrawn_may_lose_its_file_later(images: Images) -> None:
    images.upkeep().withdraw(ONE, "No VPN.")
    done = images.upkeep().withdraw(ONE, "No VPN.", remove_file=True)
    assert (done.changed, len(done.removed_files)) == (True, 4)
    images.assert_true()


def spoil(images: Images, how: str) -> None:
    image = images.folder / "win11-1.1-arm64.pvmp"
    if how == "gone":
        image.unlink()
    elif how == "size":
        image.write_bytes(b"half")
    elif how == "bytes":
        (images.folder / f"{image.name}.sha256").write_text(f"{'b2' * 32}  {image.name}\n")
    elif how == "other bytes":
        image.write_bytes(image.read_bytes()[::-1])
        (images.folder / f"{image.name}.sha256").unlink()
    elif how == "removed":
        images.upkeep().withdraw(ONE, "No VPN.", remove_file=True)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gone", "no longer exists. Publish the image as a new version"),
        ("size", r"has changed\. It has 4 bytes with .* but its record says 15 bytes with"),
        ("bytes", f"has changed.*{'b2' * 32}"),
        ("other bytes", "has changed.*It has 15 bytes with SHA-256"),
        ("removed", "its file was removed when it was withdrawn"),
    ],
)
def test_what_is_not_whole_is_not_offered_again(images: Images, how: str, message: str) -> None:
    images.upkeep().withdraw(ONE, "No VPN.")
    spoil(images, how)
    before = images.records
    for check_mode in (True, False):
        with pytest.raises(TaskError, match=f"win11-1.1-arm64 cannot be published again.*{message}"):
            images.upkeep(check_mode=check_mode).offer(ONE)
    assert images.records == before


@pytest.mark.parametrize("sidecar", ["", "not a checksum\nat all\n", None])
def test_without_a_digest_the_bytes_are_read(images: Images, sidecar: str | None) -> None:
    """The digest in the record is not evidence for what the store has now."""
    images.upkeep().withdraw(ONE, "No VPN.")
    beside = images.folder / "win11-1.1-arm64.pvmp.sha256"
    beside.unlink()
    if sidecar is not None:
        beside.write_text(sidecar)
    assert images.upkeep().offer(ONE).changed
    assert images.records["1.1 arm64"]["state"] == "published"


def test_a_version_is_protected(images: Images) -> None:
    for protected in (True, False):
        assert images.upkeep(check_mode=True).protect(BOTH, protected).changed
        assert images.upkeep().protect(BOTH, protected).changed
        assert not images.upkeep().protect(BOTH, protected).changed
        assert [images.records[f"1.2 {arch}"]["protected"] for arch in ("arm64", "x86_64")] == [protected] * 2
        assert not images.records["1.1 arm64"]["protected"]


def test_a_protected_version_keeps_its_file(images: Images) -> None:
    images.upkeep().protect(ONE, True)
    before = images.names
    with pytest.raises(
        TaskError, match=r"win11-1.1-arm64 is protected, so its file was not removed.*state: unprotected"
    ):
        images.upkeep().withdraw(ONE, "No VPN.", remove_file=True)
    with pytest.raises(TaskError, match=r"win11-1.1-arm64 is protected, so it was not removed"):
        images.remove("1.1")
    assert (images.names, images.records["1.1 arm64"]["state"]) == (before, "published")
    assert [each["version"] for each in images.retire().removed] == ["1.0"]
    # It may be bad all the same.
    assert images.upkeep().withdraw(ONE, "No VPN.").changed


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice("win11", "9.9"), "It has these versions of win11: 1.0, 1.1, 1.2"),
        (Choice("ubuntu", "1.0"), "has no image ubuntu"),
        (Choice("win11", "1.0", "x86_64"), "no record of win11-1.0-x86_64"),
    ],
)
def test_what_is_not_there_cannot_be_changed(images: Images, choice: Choice, message: str) -> None:
    for attempt in (
        lambda: images.upkeep().withdraw(choice, "No VPN."),
        lambda: images.upkeep().offer(choice),
        lambda: images.upkeep().protect(choice, True),
    ):
        with pytest.raises(TaskError, match=message):
            attempt()


def test_old_versions_are_removed_with_their_files(images: Images) -> None:
    before = images.records
    files = [f"win11-{version}-arm64.pvmp{suffix}" for version in ("1.0", "1.1") for suffix in BESIDE]
    for check_mode in (True, False):
        assert images.records == before
        done = images.retire(check_mode=check_mode)
        assert done.changed
        assert done.removed == [before["1.0 arm64"], before["1.1 arm64"]]
        assert done.removed_files == files
        assert {identity(each)[1] for each in done.change.after} == {"1.2"}
    assert set(images.records) == {"1.2 arm64", "1.2 x86_64"}
    images.assert_true()
    again = images.retire()
    assert (again.changed, again.removed, again.removed_files) == (False, [], [])


def test_a_named_version_is_removed(images: Images) -> None:
    assert [each["version"] for each in images.remove("1.0").removed] == ["1.0"]
    assert set(images.records) == {"1.1 arm64", "1.2 arm64", "1.2 x86_64"}
    assert not images.remove("1.0").changed
    with pytest.raises(TaskError, match="is the newest published version"):
        images.remove("1.2")
    images.upkeep().withdraw(BOTH, "No VPN.")
    assert len(images.remove("1.2").removed) == 2
    assert set(images.records) == {"1.1 arm64"}
    images.assert_true()


def test_a_file_that_another_record_needs_stays(images: Images) -> None:
    images.publish("1.3")
    images.edit(lambda records: records.append({**images.records["1.0 arm64"], "version": "1.4"}))
    images.retire(Rule(keep=3))
    assert "win11-1.0-arm64.pvmp" in images.names
    assert set(images.records) == {"1.2 arm64", "1.2 x86_64", "1.3 arm64", "1.4 arm64"}
    images.assert_true()


FOREIGN_FILES = [
    "catalog.json",
    "catalog.json.sig",
    "index.html",
    "other-team.dmg",
    "other-team.pvmp",
    # Of another record, of this record but not its image, and of a version that no record has.
    "win11-1.2-arm64.pvmp",
    "win11-1.0-x86_64.pvmp",
    "win11-1.0-arm64.pvmp.sha256",
    "win11-0.9-arm64.pvmp",
    # Another file on some disks, the same on others.
    "Win11-1.0-ARM64.pvmp",
    "win11-1.0-arm64.PVMP",
    "win11-1.0-arm64.pvmp ",
    "win\u0131\u03081-1.0-arm64.pvmp",
]


class TestForeignFiles:
    """Whoever may write to the store may edit the catalog: what a record names is not proven to be its image."""

    @pytest.fixture
    def edited(self, images: Images) -> Callable[[str], None]:
        """Return a function that makes the record of 1.0 name another file, which exists."""

        def edit(file: str) -> None:
            if not (images.folder / file).exists():
                (images.folder / file).write_text("Somebody needs this.")
            images.edit(lambda records: records[0].update(file=file))
            assert images.records["1.0 arm64"]["file"] == file

        return edit

    @pytest.mark.parametrize("file", FOREIGN_FILES)
    @pytest.mark.parametrize(
        "remove",
        [
            lambda images, check_mode: images.retire(check_mode=check_mode),
            lambda images, check_mode: images.remove("1.0", check_mode=check_mode),
            lambda images, check_mode: images.upkeep(check_mode=check_mode).withdraw(
                Choice("win11", "1.0"), "No VPN.", remove_file=True
            ),
        ],
        ids=["retire", "remove", "withdraw"],
    )
    def test_nothing_is_removed(
        self, images: Images, edited: Callable[[str], None], file: str, remove: Callable[[Images, bool], Done]
    ) -> None:
        edited(file)
        before = {path.name: path.read_bytes() for path in images.folder.iterdir()}
        for check_mode in (True, False):
            with pytest.raises(
                TaskError, match=r"record of win11-1.0-arm64 names the file .* Nothing was removed"
            ) as e:
                remove(images, check_mode)
            assert e.value.message.isprintable()
        assert {path.name: path.read_bytes() for path in images.folder.iterdir()} == before

    @pytest.mark.parametrize(
        "file",
        [
            "a/win11-1.0-arm64.pvmp",
            "../win11-1.0-arm64.pvmp",
            "..\\a.pvmp",
            "..",
            ".win11.part",
            "a\nb",
            "\x7fwin11-1.0-arm64.pvmp",
        ],
    )
    def test_a_catalog_with_such_a_name_is_not_used_at_all(self, images: Images, file: str) -> None:
        images.edit(lambda records: records[0].update(file=file))
        with pytest.raises(TaskError, match="file must be a file name"):
            images.retire()

    @pytest.mark.parametrize("file", FOREIGN_FILES)
    def test_other_versions_are_still_withdrawn(self, images: Images, edited: Callable[[str], None], file: str) -> None:
        edited(file)
        assert images.upkeep().withdraw(ONE, "No VPN.", remove_file=True).removed_files
        assert (images.folder / file).exists()

    @pytest.mark.parametrize("file", FOREIGN_FILES)
    def test_a_new_record_may_not_name_one(self, images: Images, file: str) -> None:
        before = (images.folder / "catalog.json").read_bytes()
        with pytest.raises(TaskError, match=r"file must be win11-2.0-arm64.pvmp, not '") as caught:
            images.publish("2.0", file=file, sha256="b2" * 32)
        assert caught.value.message.isprintable()
        assert (images.folder / "catalog.json").read_bytes() == before

    @pytest.mark.parametrize("version", ["1.0-RC1", "1.0-rc1"])
    def test_two_images_whose_names_some_disks_do_not_tell_apart(self, images: Images, version: str) -> None:
        images.publish("1.0-Rc1")
        with pytest.raises(
            TaskError, match=f"its file win11-{version}-arm64.pvmp is also the file of win11-1.0-Rc1-arm"
        ):
            images.publish(version, sha256="b2" * 32)

    def test_one_of_two_such_images_is_not_removed(self, images: Images) -> None:
        """A newer or older release may have recorded both."""
        images.publish("1.0-rc1")
        found = images.records["1.0-rc1 arm64"]
        images.edit(lambda records: records.append({**found, "version": "1.0-RC1", "file": "win11-1.0-RC1-arm64.pvmp"}))
        done = images.remove("1.0-RC1")
        assert (len(done.removed), done.removed_files) == (1, [])
        assert "win11-1.0-rc1-arm64.pvmp" in images.names

    def test_two_names_that_make_the_same_file(self, images: Images) -> None:
        """win11 1.0 and win11-1.0 are told apart by their records only."""
        images.publish("2-1.0")
        record = {**images.records["2-1.0 arm64"], "name": "win11-2", "version": "1.0", "sha256": "b2" * 32}
        with pytest.raises(TaskError, match=r"is also the file of win11-2-1.0-arm64"):
            images.catalog().add(record)


def test_what_was_removed_may_be_published_again(images: Images) -> None:
    images.remove("1.0")
    images.publish("1.0")
    assert images.records["1.0 arm64"]["state"] == "published"


# Kills and failures


class Killed(BaseException):
    """The process is no more."""


class Fragile:
    """A store in which something happens at one of the steps that change it, before the step or after it."""

    def __init__(self, store: Store, at: int, after: bool, error: BaseException) -> None:
        self._store = store
        self._left = at
        self._after = after
        self._error = error
        self.atomic, self.exclusive = True, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, *args: Any, **options: Any) -> None:
        self._step(lambda: self._store.write(*args, **options))

    def delete(self, name: str) -> bool:
        return self._step(lambda: self._store.delete(name))

    def _step(self, do: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise self._error
        result = do()
        if self._left == 0:
            raise self._error
        return result


WORK: dict[str, Callable[[Images, Any], Any]] = {
    "retire": lambda images, store: images.retire(store=store),
    "remove": lambda images, store: images.remove("1.1", store=store),
    "withdraw": lambda images, store: images.upkeep(store).withdraw(ONE, "No VPN.", remove_file=True),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("work", WORK)
def test_a_kill_anywhere_leaves_a_true_catalog_and_the_same_command_goes_on(
    tmp_path: Path, work: str, after: bool
) -> None:
    do = WORK[work]
    ends = []
    for at in range(1, 100):
        folder = tmp_path / str(at)
        folder.mkdir()
        images = Images(folder)
        for version in VERSIONS:
            images.publish(version)
        try:
            do(images, Fragile(images.store(), at, after, Killed()))
        except Killed:
            images.assert_true()
            do(images, images.store())
            images.assert_true()
            ends.append((sorted(images.records), sorted(images.names)))
        else:
            # There is no such step any more: this is how it ends without a kill.
            images.assert_true()
            ends.append((sorted(images.records), sorted(images.names)))
            break
    assert at > 6
    assert all(end == ends[-1] for end in ends)


def test_a_store_that_lets_nothing_be_removed(images: Images) -> None:
    """The version is not offered any more, and the sentence says what to do."""
    fragile = Fragile(images.store(), 3, False, TaskError("images.example.com answered 403: forbidden."))
    with pytest.raises(
        TaskError, match=r"403: forbidden. win11-1.0-arm64 is withdrawn, but not all .* again"
    ) as caught:
        images.retire(store=fragile)
    assert caught.value.details["removed_files"] == ["win11-1.0-arm64.pvmp"]
    assert images.records["1.0 arm64"]["reason"] == RETIRED
    images.assert_true()


def test_failures_that_pass(images: Images) -> None:
    for at in range(1, 12):
        fragile = Fragile(images.store(), at, True, RetryLater("images.example.com hung up."))
        images.retire(store=fragile)
        images.assert_true()
        images.publish("1.0")
        images.publish("1.1")


# Several writers


def test_what_others_publish_meanwhile_counts(images: Images) -> None:
    """A newer version that comes between our reading and our writing: one more goes, and nothing of others is lost."""

    class Meanwhile(Fragile):
        def _step(self, do: Callable[[], Any]) -> Any:
            self._left -= 1
            if self._left == 0:
                images.publish("1.3")
            return do()

    for at in (1, 2, 6, 11):
        done = images.retire(store=Meanwhile(images.store(), at, False, Killed()))
        images.assert_true()
        assert images.records["1.3 arm64"]["state"] == "published"
        assert {each["version"] for each in done.removed} >= {"1.0", "1.1"}
        images.retire()
        assert set(images.records) == {"1.3 arm64", "1.2 x86_64"}
        images.upkeep().withdraw(Choice("win11", "1.3"), "Again.")
        images.remove("1.3")
        for version in VERSIONS:
            images.publish(version)


def test_a_version_that_is_being_removed_is_not_offered_again(images: Images) -> None:
    class Meanwhile(Fragile):
        def delete(self, name: str) -> bool:
            with pytest.raises(TaskError, match="its file was removed"):
                images.upkeep().offer(Choice("win11", "1.0"))
            with pytest.raises(
                TaskError, match=r"is now withdrawn \(Retired: replaced by newer .* Publish the image as a new"
            ):
                images.publish("1.0")
            return self._store.delete(name)

    images.retire(store=Meanwhile(images.store(), 0, False, Killed()))
    assert "1.0 arm64" not in images.records


_WRITER = """
import json
import sys
from datetime import datetime, timezone
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice, Rule, by_rule
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._catalog.upkeep import Upkeep

destination, work, rounds, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
store = open_store(destination, StoreOptions(**options))
catalog = CatalogFile(store, Retries(4))
upkeep = Upkeep(catalog, store, Retries(4))
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    if work == "publish":
        catalog.add({"name": "win11", "version": f"2.{number}", "arch": "arm64", "size": 5,
                     "url": "https://images.example.com/a.pvmp", "sha256": "a1" * 32})
    elif work == "retire":
        now = datetime.now(timezone.utc)
        upkeep.remove(by_rule(Rule(keep=3), Choice(), now), "old versions")
    elif work == "withdraw":
        upkeep.withdraw(Choice("kept", f"1.{number}"), f"Reason {number}.")
    elif work == "protect":
        upkeep.protect(Choice("kept", f"1.{number}"), True)
"""


@pytest.fixture(params=["file", "webdav"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Images, dict[str, Any]]]:
    """Return a store for several processes: its URL, what is in it, and the options to open it with."""
    if request.param == "file":
        yield tmp_path.as_uri(), Images(tmp_path), {}
        return
    with HttpsStore(tmp_path / "served") as server:
        credentials = {"username": server.username, "password": server.password, "ca_path": str(server.ca_path)}
        yield server.url, Images(server.folder), credentials


def test_processes_that_do_different_things_lose_nothing(shared: tuple[str, Images, dict[str, Any]]) -> None:
    url, images, options = shared
    # A change over HTTPS costs a hundred times as much.
    rounds = 4 if options else 15
    values = {"arch": "arm64", "url": "https://images.example.com/a.pvmp", "sha256": "a1" * 32, "size": 5}
    kept = [new_record({**values, "name": "kept", "version": f"1.{number}"}, THEN) for number in range(rounds)]
    (images.folder / "catalog.json").write_text(json.dumps({"schema": 1, "records": kept}))
    collections, library = Path(catalog_module.__file__).parents[6], Path(ansible.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{collections}:{library}"}

    def run(*works: str) -> None:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, url, work, str(rounds), json.dumps(options)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for work in works
        ]
        for writer in writers:
            assert writer.stdout and writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate(timeout=120)
        assert [writer.returncode for writer in writers] == [0] * len(works)

    # What is withdrawn and protected is of another image, so that the retention does not race for it.
    run("publish", "withdraw")
    run("protect", "withdraw")
    records = images.catalog().read().records
    kept = [record for record in records if record["name"] == "kept"]
    assert [record["reason"] for record in kept] == [f"Reason {number}." for number in range(rounds)]
    assert all(record["protected"] for record in kept)
    assert [record["version"] for record in records if record["name"] == "win11"] == [f"2.{n}" for n in range(rounds)]
    run("retire", "retire")
    left = [record for record in images.catalog().read().records if record["name"] == "win11"]
    # The last of them was published last, too; the three newest are kept.
    assert [record["version"] for record in left] == [f"2.{rounds - 3}", f"2.{rounds - 2}", f"2.{rounds - 1}"]
