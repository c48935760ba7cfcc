# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others plant at the paths of this collection: it neither counts nor hangs, and is neither followed nor removed.

A table of things, each of which is put at each of the paths.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import machine, ownership
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import (
    SIDECAR,
    Checksum,
    compare_with_others,
    hash_file,
    may_have_sidecar,
    parallels_sidecar_path,
    recorded,
    refuse_foreign_image,
    remove_sidecars,
    sidecar_text,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import (
    Claim,
    claim_path,
    foreign_claim,
    has_claim,
    is_claimed,
    read_claim,
    remove_claim,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import FileIdentity, remove_path
from ansible_collections.macops.parallels.plugins.module_utils._common.leftovers import own_outputs, remove_temporaries
from ansible_collections.macops.parallels.plugins.module_utils._common.ownership import (
    Foreign,
    is_own,
    own_folder,
    why_foreign,
    why_shared,
    why_unsafe,
)
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import (
    JobFolder,
    all_jobs,
    cancel_path,
    remove_stale,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.unlisted import (
    find_unlisted,
    forget_unlisted,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import uuid_in
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions, part_name
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body, Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.file import FileStore
from ansible_collections.macops.parallels.plugins.module_utils._stores.s3.begun import has_begun, note_begun

IS_ROOT = os.geteuid() == 0
OTHER = 12345
NAME = "win 11.pvmp"
A = "a" * 64
LIMIT = 10  # seconds for what must not hang


@dataclass
class Planted:
    """What was put at a path, and the file of the victim that it may lead to."""

    path: str
    precious: Path
    before: Any = None

    def see(self) -> Any:
        status = os.lstat(self.path)
        there = self.precious.read_bytes() if self.precious.exists() else None
        mode = stat.S_IMODE(self.precious.stat().st_mode) if self.precious.exists() else None
        return (status.st_ino, status.st_mode, status.st_uid, status.st_size, there, mode)


# Each gets the path, the content that would be valid there, and another file of the victim.


def plant_link(path: str, content: bytes, precious: Path) -> None:
    precious.write_bytes(content)
    os.symlink(precious, path)


def plant_dangling(path: str, content: bytes, precious: Path) -> None:
    os.symlink(precious, path)


def plant_pipe(path: str, content: bytes, precious: Path) -> None:
    os.mkfifo(path)


def plant_socket(path: str, content: bytes, precious: Path) -> None:
    folder, name = os.path.split(path)
    back = os.open(".", os.O_RDONLY)
    os.chdir(folder)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
        os.rename("s", name)
    finally:
        os.fchdir(back)
        os.close(back)


def plant_hard_link(path: str, content: bytes, precious: Path) -> None:
    precious.write_bytes(content)
    os.link(precious, path)


def plant_folder(path: str, content: bytes, precious: Path) -> None:
    os.mkdir(path)
    Path(path, "inside").write_bytes(content)


def plant_device(path: str, content: bytes, precious: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(5, 0))  # the terminal, which waits for a key
    except OSError as error:
        pytest.skip(f"this system lets nobody make devices: {error.strerror}")


def plant_foreign(path: str, content: bytes, precious: Path) -> None:
    Path(path).write_bytes(content)
    os.chown(path, OTHER, OTHER)


def plant_writable(path: str, content: bytes, precious: Path) -> None:
    Path(path).write_bytes(content)
    os.chown(path, -1, OTHER if IS_ROOT else -1)
    os.chmod(path, 0o666)


NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can make devices and give files away")
KINDS = {
    "link": plant_link,
    "dangling link": plant_dangling,
    "pipe": plant_pipe,
    "socket": plant_socket,
    "hard link": plant_hard_link,
    "folder": plant_folder,
    "device": plant_device,
    "foreign": plant_foreign,
    "writable": plant_writable,
}
ROOTS = ("device", "foreign")


class Scene:
    """The folders of a Mac's user, and where the collection puts what."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.work = folder / "work"
        self.share = folder / "share"
        self.home = home
        for each in (self.work, self.share):
            each.mkdir()
        self.target = str(self.work / "win 11.pvm")
        self.image = self.work / NAME
        self.image.write_bytes(b"image")
        self.store = FileStore(f"file://{self.share}", StoreOptions(), sleep=lambda _seconds: None)
        self.job = JobFolder.of("image_pack-0123")
        self.notices: list[str] = []

    def in_home(self, *names: str) -> str:
        return str(self.home.joinpath(".ansible", "macops.parallels", *names))

    def forged_sidecar(self) -> bytes:
        return sidecar_text(Checksum(A, FileIdentity.of(str(self.image)), was_read=True), NAME).encode()


def note(**notes: Any) -> bytes:
    return json.dumps({"schema": 1, **notes}).encode()


FORGED = note(operation="clone", source="x", clone="y")


def claim_does_not_count(scene: Scene, planted: Planted) -> None:
    assert read_claim(scene.target) == {}
    assert not is_claimed(scene.target)
    assert not has_claim(scene.target)
    with Claim.take(scene.target) as claim:
        assert claim.notes == {}
        claim.write(operation="pack")
        assert is_claimed(scene.target)
    assert read_claim(scene.target) == {"operation": "pack"}
    with Claim.take(scene.target) as claim:
        assert claim.notes == {"operation": "pack"}
        claim.remove()
    assert not has_claim(scene.target)
    remove_claim(scene.target)


def claim_beside(scene: Scene, planted: Planted) -> None:
    claim_does_not_count(scene, planted)
    assert f"The note {planted.path} was ignored: " in foreign_claim(scene.target)


def sidecar(scene: Scene, planted: Planted) -> None:
    assert recorded(str(scene.image)) is None
    digest = hash_file(str(scene.image))
    assert digest.was_read
    assert compare_with_others(str(scene.image), digest) == []
    may_be_replaced = may_have_sidecar(str(scene.image), scene.notices.append)
    assert may_be_replaced is (planted.path.endswith(".txt") or not why_foreign(planted.path))
    if why_foreign(planted.path):
        remove_sidecars(str(scene.image))


def image(scene: Scene, planted: Planted) -> None:
    for use in (hash_file, lambda path: Body(path).__enter__()):
        with pytest.raises(TaskError, match="is not a file that can be used as an image"):
            use(planted.path)


def temporary_file(scene: Scene, planted: Planted) -> None:
    long_ago = time.time() - 3600
    os.utime(planted.path, (long_ago, long_ago), follow_symlinks=False)
    remove_temporaries(str(scene.image) + SIDECAR, scene.notices.append)
    assert scene.notices == []


def job_folder(scene: Scene, planted: Planted) -> None:
    assert not scene.job.exists()
    assert all_jobs() == []
    assert scene.job.ended() == {}
    assert remove_stale() == []


def job_file(scene: Scene, planted: Planted) -> None:
    job = scene.job
    assert job.attendance() == ("", 0)
    assert (job.told(), job.ended(), job.answered()) == ({}, {}, {})
    assert not job.is_canceled()
    assert not job.is_fetched()
    job.is_stale()


def cancel_request(scene: Scene, planted: Planted) -> None:
    assert not is_own(planted.path)
    long_ago = time.time() - 3600
    os.utime(planted.path, (long_ago, long_ago), follow_symlinks=False)
    assert remove_stale() == []


def machine_identity(scene: Scene, planted: Planted) -> None:
    assert machine.known_machine() is None


def begun(scene: Scene, planted: Planted) -> None:
    assert not has_begun("https://s3.example/bucket", "upload")
    note_begun("https://s3.example/bucket", "upload")


def unlisted(scene: Scene, planted: Planted) -> None:
    assert find_unlisted(lambda vm: True) is None
    forget_unlisted("de22df32-80e2-4e92-ba4b-efb3a66cf092")


def part(scene: Scene, planted: Planted) -> None:
    with Body(str(scene.image), hashlib.sha256(b"image").hexdigest()) as body:
        scene.store.check(NAME, body.content, notice=scene.notices.append)
        assert scene.store.resumable(NAME, body) is None
        scene.store.publish(NAME, scene.store.send(NAME, body), overwrite=False)
    assert (scene.share / NAME).read_bytes() == b"image"
    assert scene.notices == []


def lock(scene: Scene, planted: Planted) -> None:
    scene.store.write("catalog.json", b"[]", if_absent=True)
    assert scene.store.read("catalog.json") is not None


def published(scene: Scene, planted: Planted) -> None:
    for use in (lambda: scene.store.read(NAME), lambda: list(scene.store.blocks(NAME))):
        with pytest.raises(TaskError, match="not a file, so it was not used"):
            use()
    with pytest.raises(TaskError, match="not a file, so it was not used"):
        scene.store.look(NAME)
    assert scene.store.list() == []


def configuration(scene: Scene, planted: Planted) -> None:
    assert uuid_in(scene.target) == ""


def dead_part(content: Optional[Content]) -> str:
    """Return the name of a part of a process that is no more."""
    real = os.getpid
    os.getpid = lambda: 2**22 + 7
    try:
        return part_name(NAME, content)
    finally:
        os.getpid = real


@dataclass(frozen=True)
class Place:
    """A path, what would count there, and the use of it."""

    path: Callable[[Scene], str]
    content: Callable[[Scene], bytes]
    use: Callable[[Scene, Planted], None]
    # What may lie there, for good reasons.
    but: tuple[str, ...] = ()


def of_job(name: str, content: bytes) -> Place:
    return Place(lambda scene: os.path.join(scene.job.path, name), lambda scene: content, job_file)


CONTENT = Content(5, (hashlib.sha256(hashlib.sha256(b"image").hexdigest().encode()).hexdigest()[:16],))
PLACES = {
    "claim": Place(lambda scene: claim_path(scene.target), lambda scene: FORGED, claim_beside),
    "claim in the home": Place(
        lambda scene: os.path.join(own_folder("~/.ansible/macops.parallels/claims"), home_claim(scene.target)),
        lambda scene: FORGED,
        claim_does_not_count,
    ),
    "sidecar": Place(lambda scene: str(scene.image) + SIDECAR, Scene.forged_sidecar, sidecar),
    "sidecar of Parallels": Place(
        lambda scene: parallels_sidecar_path(str(scene.image)), lambda scene: A.encode(), sidecar
    ),
    "temporary file": Place(
        lambda scene: str(scene.work / f".{NAME}{SIDECAR}.abcd1234.tmp"), lambda scene: b"x", temporary_file
    ),
    # Whose it is matters only where nobody says which SHA-256 it has to have.
    "image": Place(lambda scene: str(scene.work / "other.pvmp"), lambda scene: b"x", image, ("foreign", "writable")),
    "folder of a job": Place(lambda scene: scene.job.path, lambda scene: b"x", job_folder, ("folder",)),
    "lease": of_job("lease", b"token"),
    "progress": of_job("progress.json", b'{"subject": "x"}'),
    "answer": of_job("answer", b'{"changed": false, "sha256": "0"}'),
    "end of a job": of_job("ended.json", b'{"code": 0, "at": 99999999999}'),
    "cancel mark": of_job("canceled", b""),
    "fetched mark": of_job("fetched", b""),
    "cancel request": Place(lambda scene: cancel_path("token"), lambda scene: b"", cancel_request, ("folder",)),
    # It has two names while it is made, in a folder where nobody else can make one.
    "machine": Place(
        lambda scene: scene.in_home(f"machine-{machine_name()}"),
        lambda scene: b"01234567\n",
        machine_identity,
        ("hard link",),
    ),
    "multipart upload": Place(lambda scene: begun_note(scene.home), lambda scene: b"", begun),
    "unregistered VM": Place(
        lambda scene: os.path.join(
            own_folder("~/.ansible/macops.parallels/unregistered"),
            ".de22df32-80e2-4e92-ba4b-efb3a66cf092.claim.json",
        ),
        lambda scene: note(operation="unregistered for a moment", name="x", path="/x.pvm"),
        unlisted,
    ),
    # A second name of our own part is taken away: it has been published. And what others write is compared.
    "part": Place(
        lambda scene: str(scene.share / dead_part(CONTENT)), lambda scene: b"image", part, ("hard link", "writable")
    ),
    "lock of a store": Place(
        lambda scene: str(scene.share / ".catalog.json.lock"), lambda scene: b"", lock, ("writable",)
    ),
    # Images of other publishers are what a store is for, and copies of it may share their bytes.
    "published file": Place(
        lambda scene: str(scene.share / NAME), lambda scene: b"x", published, ("foreign", "writable", "hard link")
    ),
    "configuration of a bundle": Place(
        lambda scene: os.path.join(scene.target, "config.pvs"), lambda scene: b"", configuration
    ),
}


def home_claim(target: str) -> str:
    return f"{hashlib.sha256(target.encode()).hexdigest()[:32]}.claim.json"


def machine_name() -> str:
    return hashlib.sha256(str(machine.hardware_id()).encode()).hexdigest()[:16]


def begun_note(home: Path) -> str:
    note_begun("https://s3.example/bucket", "upload")
    (found,) = (home / ".ansible" / "macops.parallels" / "multipart").iterdir()
    found.unlink()
    return str(found)


@contextmanager
def in_time() -> Iterator[None]:
    """Fail when the body hangs."""

    def late(*_arguments: Any) -> None:
        raise AssertionError(f"it hung for {LIMIT} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setattr(machine, "hardware_id", lambda: "4c4c4544004d3510")
    return path


@pytest.fixture
def scene(tmp_path: Path, home: Path) -> Scene:
    return Scene(tmp_path, home)


def rows() -> list[Any]:
    return [
        pytest.param(place, kind, marks=NEEDS_ROOT if kind in ROOTS else (), id=f"{place}-{kind}")
        for place in PLACES
        for kind in KINDS
        if kind not in PLACES[place].but
    ]


@pytest.mark.parametrize(("place", "kind"), rows())
def test_what_is_planted_does_not_count(scene: Scene, tmp_path: Path, place: str, kind: str) -> None:
    path = PLACES[place].path(scene)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = PLACES[place].content(scene)
    planted = Planted(path, tmp_path / "precious")
    KINDS[kind](path, content, planted.precious)
    before = planted.see()
    with in_time():
        PLACES[place].use(scene, planted)
    assert planted.see() == before, "it was followed, changed or removed"


@pytest.mark.parametrize("place", [name for name in PLACES if name not in ("image", "configuration of a bundle")])
def test_the_same_counts_if_it_is_ours(scene: Scene, tmp_path: Path, place: str) -> None:
    """The table would say nothing if its contents did not count in any case."""
    row = PLACES[place]
    path = row.path(scene)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = row.content(scene)
    if place == "folder of a job":
        os.mkdir(path)
    elif place != "lock of a store":
        Path(path).write_bytes(content)
    if place == "lock of a store":
        row.use(scene, Planted(path, tmp_path / "none"))
        assert not os.path.lexists(path)
        return
    with pytest.raises((AssertionError, TaskError, pytest.fail.Exception)):
        row.use(scene, Planted(path, tmp_path / "none"))


@NEEDS_ROOT
class TestForeignOutput:
    """Bundles and images under a final name."""

    def give_away(self, path: Path) -> Path:
        os.chown(path, OTHER, OTHER)
        return path

    def test_it_is_named_with_its_owner(self, scene: Scene) -> None:
        assert why_foreign(str(scene.image)) == ""
        self.give_away(scene.image)
        with pytest.raises(TaskError, match=rf"{NAME} is not an image of this user: it belongs to the user {OTHER}"):
            refuse_foreign_image(str(scene.image))
        assert scene.image.exists()

    def test_it_is_none_of_our_outputs(self, scene: Scene) -> None:
        assert own_outputs(str(scene.image), {"strangers": []}) == [str(scene.image)]
        self.give_away(scene.image)
        assert own_outputs(str(scene.image), {"strangers": []}) == []

    def test_one_of_root_is_from_the_service_of_parallels(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER)
        assert why_foreign(str(scene.image)) == ""

    def test_a_bundle_is_foreign_if_its_configuration_is(self, scene: Scene) -> None:
        bundle = Path(scene.target)
        bundle.mkdir()
        (bundle / "config.pvs").write_text("")
        assert why_unsafe(str(bundle), "config.pvs") == ""
        self.give_away(bundle / "config.pvs")
        assert why_unsafe(str(bundle), "config.pvs") == f"of config.pvs in it: it belongs to the user {OTHER}"


class TestBundleThatOthersCanChange:
    @pytest.mark.parametrize("inner", [False, True])
    def test_it_is_not_adopted(self, scene: Scene, inner: bool) -> None:
        bundle = Path(scene.target)
        bundle.mkdir()
        (bundle / "config.pvs").write_text("")
        (bundle / "config.pvs" if inner else bundle).chmod(0o777)
        # All of a file's write bits are named.
        assert "writable for" in why_unsafe(str(bundle), "config.pvs")
        assert "everybody" in why_unsafe(str(bundle), "config.pvs")
        assert why_foreign(str(bundle)) == ""


class TestFolderThatOthersCanWriteTo:
    def test_the_claim_is_in_the_home(self, scene: Scene) -> None:
        """What is in a folder without the sticky bit can be exchanged by others."""
        with Claim.take(scene.target) as claim:
            claim.write(operation="pack")
        scene.work.chmod(0o777)
        assert read_claim(scene.target) == {}
        with Claim.take(scene.target) as claim:
            assert os.path.dirname(claim.path) == scene.in_home("claims")
            assert is_claimed(scene.target)
            assert Claim.take_if_free(scene.target) is None
            claim.write(operation="clone")
        assert read_claim(scene.target) == {"operation": "clone"}

    def test_a_sticky_one_keeps_our_files(self, scene: Scene) -> None:
        scene.work.chmod(0o1777)
        with Claim.take(scene.target) as claim:
            assert claim.path == claim_path(scene.target)

    def test_a_claim_stays_where_it_is_when_the_name_gets_free(self, scene: Scene) -> None:
        """Otherwise two runs would hold a claim each."""
        beside = claim_path(scene.target)
        os.mkfifo(beside)
        with Claim.take(scene.target) as claim:
            os.unlink(beside)
            assert Claim.take_if_free(scene.target) is None
            claim.write(operation="clone")
        with Claim.take(scene.target) as claim:
            assert claim.notes == {"operation": "clone"}
            claim.remove()
        with Claim.take(scene.target) as claim:
            assert claim.path == beside

    @pytest.mark.parametrize("first", ["beside", "elsewhere"])
    def test_two_runs_that_make_one_each_agree(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
        """The name gets free just when one of them has found it taken."""
        beside = claim_path(scene.target)
        os.mkfifo(beside)
        other: list[Claim] = []
        real = ownership.own_folder

        def found_taken(path: str) -> str:
            if not other:
                os.unlink(beside)
                other.append(Claim.take(scene.target))
            return real(path)

        monkeypatch.setattr(
            "ansible_collections.macops.parallels.plugins.module_utils._common.claim.own_folder", found_taken
        )
        assert Claim.take_if_free(scene.target) is None
        assert other[0].path == beside
        other[0].remove()
        Claim.take(scene.target).remove()


class TestOwnFolder:
    def test_write_access_of_others_is_taken_away(self, home: Path) -> None:
        path = home / ".ansible" / "x"
        path.mkdir(parents=True)
        path.chmod(0o777)
        assert own_folder("~/.ansible/x/y") == str(path / "y")
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert stat.S_IMODE((path / "y").stat().st_mode) == 0o700

    @pytest.mark.parametrize("outside", ["shared/x", "~/../shared/x", "~"])
    def test_what_is_not_in_the_home_keeps_its_mode(self, home: Path, outside: str) -> None:
        shared = home.parent / "shared"
        shared.mkdir()
        home.mkdir()
        for folder in (shared, home):
            folder.chmod(0o777)
        path = outside if outside.startswith("~") else str(home.parent / outside)
        with pytest.raises(ValueError, match="is not in"):
            own_folder(path)
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (shared, home)} == {0o777}
        assert list(shared.iterdir()) == []

    @NEEDS_ROOT
    @pytest.mark.parametrize("where", [".ansible", ".ansible/x", ".ansible/x/y"])
    def test_one_of_another_user_is_an_error(self, home: Path, where: str) -> None:
        (home / ".ansible/x/y").mkdir(parents=True)
        os.chown(home / where, OTHER, OTHER)
        with pytest.raises(Foreign, match=f"it belongs to the user {OTHER}"):
            own_folder("~/.ansible/x/y")
        with pytest.raises(OSError):
            JobFolder.of("x") if where == ".ansible" else own_folder("~/.ansible/x/y")


class TestWhyShared:
    """Who else can write to the folder in which the image is made."""

    def test_one_of_this_user_is_not(self, tmp_path: Path) -> None:
        assert why_shared(str(tmp_path)) == ""
        assert why_shared(str(tmp_path / "not" / "yet")) == ""

    @pytest.mark.parametrize(
        ("mode", "words"), [(0o777, "everybody"), (0o1777, "everybody"), (0o702, "everybody"), (0o755, "")]
    )
    def test_by_its_mode(self, tmp_path: Path, mode: int, words: str) -> None:
        folder = tmp_path / "work"
        folder.mkdir()
        folder.chmod(mode)
        said = why_shared(str(folder))
        assert words in said
        assert bool(said) is bool(words)

    def test_the_one_above_may_be_sticky(self, tmp_path: Path) -> None:
        shared, work = tmp_path / "Shared", tmp_path / "Shared" / "work"
        work.mkdir(parents=True)
        shared.chmod(0o1777)
        assert why_shared(str(work)) == ""
        assert why_shared(str(shared / "new")) == ""
        shared.chmod(0o777)
        assert why_shared(str(work)) == f"{shared} is writable for its group and everybody".replace(
            "its group and " if ownership._is_trusted(shared.stat().st_gid) else "\0", ""
        )

    @NEEDS_ROOT
    def test_by_its_owner(self, tmp_path: Path) -> None:
        work = tmp_path / "a" / "b"
        work.mkdir(parents=True)
        os.chown(tmp_path / "a", OTHER, OTHER)
        assert why_shared(str(work)) == f"{tmp_path / 'a'} belongs to the user {OTHER}"

    @NEEDS_ROOT
    @pytest.mark.parametrize(
        ("platform", "gid", "is_shared"), [("darwin", 80, False), ("darwin", 20, True), ("linux", 80, True)]
    )
    def test_the_group_of_administrators_may(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, gid: int, is_shared: bool
    ) -> None:
        monkeypatch.setattr(ownership, "sys", SimpleNamespace(platform=platform, byteorder="little"))
        monkeypatch.setattr(ownership, "_mac_flags", lambda path: 0)
        os.chown(tmp_path, 0, gid)
        tmp_path.chmod(0o775)
        assert bool(why_shared(str(tmp_path))) is is_shared

    def test_a_disk_that_ignores_owners_is(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        """Owners and modes say nothing there, so files count by their kind alone, as all did before."""
        monkeypatch.setattr(ownership, "sys", SimpleNamespace(platform="darwin", byteorder="little"))
        monkeypatch.setattr(ownership, "_mac_flags", lambda path: 0x00200000)
        assert why_shared(str(scene.work)) == f"the disk of {scene.work} ignores owners"
        Path(claim_path(scene.target)).write_bytes(FORGED)
        os.chmod(claim_path(scene.target), 0o777)
        assert read_claim(scene.target)["operation"] == "clone"


def test_the_removal_of_a_folder_follows_no_link_that_is_put_in_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.rmtree.avoids_symlink_attacks
    precious, doomed = tmp_path / "precious", tmp_path / "doomed"
    for folder in (precious, doomed / "inner"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    real = os.open

    def exchange(path: Any, *arguments: Any, **options: Any) -> int:
        if path == "inner" and not (doomed / "inner").is_symlink():
            (doomed / "inner").rename(tmp_path / "aside")
            (doomed / "inner").symlink_to(precious)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(OSError):
        remove_path(str(doomed))
    assert (precious / "file").exists()


def test_a_notice_names_what_was_left(scene: Scene) -> None:
    os.symlink("/nowhere", str(scene.image) + SIDECAR)
    assert not may_have_sidecar(str(scene.image), scene.notices.append)
    assert "so the next run reads the image again" in scene.notices[0]
