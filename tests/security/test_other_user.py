# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another user of the build Mac: what that user puts where the collection works is not taken for the victim's own.

The attacker acts with the rights of a second account, the modules run with the victim's.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.account import Account
from support.modules import Modules
from support.simulated_mac import SimulatedMac

SOURCE = "source"
NAME = "win11-1-arm64"
# Seconds that a module gets which would wait for the other end of a pipe for ever.
LIMIT = 60

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(victim_modules: Modules, victim_mac: SimulatedMac) -> Run:
    """Return a function that runs a module as the victim, and returns its result."""

    def run_module(name: str, /, fails: bool = False, **arguments: Any) -> dict[str, Any]:
        if name.startswith(("vm", "image_pack", "mac")):
            arguments["executable"] = victim_mac.prlctl_path
        started = time.monotonic()
        code, output = victim_modules.run(name, **arguments)
        assert time.monotonic() - started < LIMIT
        result = json.loads(output)
        assert bool(code) is fails, result
        return result

    return run_module


@pytest.fixture
def source(victim_mac: SimulatedMac) -> str:
    """Make the VM of which images are made, and return its UUID."""
    return victim_mac.vm(SOURCE, data="1M", disk="8G").strip("{}")


@pytest.fixture
def build(run: Run, shared_folder: pathlib.Path) -> Run:
    """Return a function that asks for the clone of the source in the shared folder."""
    return lambda **more: run("vm", name=NAME, clone_of=SOURCE, dest=str(shared_folder), **more)


def write_claim(attacker: Account, target: pathlib.Path, **notes: Any) -> pathlib.Path:
    """Write, as the attacker, what a run of the collection writes."""
    path = target.with_name(f".{target.name}.claim.json")
    with attacker.acting():
        path.write_text(json.dumps({"schema": 1, **notes}) + "\n")
        path.chmod(0o644)
    return path


def warnings_of(result: dict[str, Any]) -> str:
    """Return the warnings of a module, which each version of ansible-core has in another form."""
    return json.dumps(result["warnings"])


def names(mac: SimulatedMac) -> list[str]:
    return sorted(vm["name"] for vm in mac.show()["vms"])


def test_the_two_accounts_are_real(victim, attacker, shared_folder, run, source):
    """What the other tests stand on: each user has rights of their own, and modules run with the victim's."""
    with attacker.acting():
        (shared_folder / "planted").write_text("x")
    assert os.stat(shared_folder / "planted").st_uid == attacker.uid != victim.uid
    made = run("vm", name=NAME, clone_of=SOURCE, dest=str(shared_folder / "new"))
    assert os.stat(made["vm"]["home"]).st_uid == victim.uid
    with attacker.acting(), pytest.raises(PermissionError):
        os.rename(made["vm"]["home"], shared_folder / "taken")


def test_a_planted_bundle_with_a_forged_claim_is_not_built(attacker, shared_folder, victim_mac, run, build, source):
    """The note says that it is our finished clone, which Parallels has only forgotten."""
    evil = "0f0f0f0f-0000-4000-8000-00000000beef"
    bundle = shared_folder / f"{NAME}.pvm"
    configuration = pathlib.Path(run("vm_info", name=SOURCE)["vms"][0]["home"], "config.pvs").read_text()
    with attacker.acting():
        bundle.mkdir()
        (bundle / "config.pvs").write_text(configuration.replace(source, evil))
        (bundle / "evil.hdd").mkdir()
    claim = write_claim(attacker, bundle, operation="clone", source=source, source_name=SOURCE, clone=evil)
    refused = build(fails=True)
    assert f"{bundle} (it belongs to the user {attacker.name}) is in the way" in refused["msg"]
    assert f"The note {claim} was ignored: it belongs to the user {attacker.name}" in refused["msg"]
    assert names(victim_mac) == [SOURCE]
    assert (bundle / "evil.hdd").is_dir()
    assert claim.exists()


def test_a_forged_claim_does_not_delete_a_vm(attacker, shared_folder, victim_mac, run, source):
    """The victim's own VM has the name of a build VM. The note says that this collection has cloned it."""
    bundle = shared_folder / f"{NAME}.pvm"
    victim_mac.prlctl("clone", SOURCE, "--name", NAME, "--dst", shared_folder)
    (made,) = run("vm_info", name=NAME)["vms"]
    assert made["home"] == str(bundle)
    uuid = made["uuid"]
    write_claim(attacker, bundle, operation="clone", source=source, source_name=SOURCE, clone=uuid)
    before = victim_mac.fingerprint(NAME)
    absent = {"name": NAME, "clone_of": SOURCE, "dest": str(shared_folder), "state": "absent"}
    refused = run("vm", fails=True, **absent)
    assert "Nothing shows that this collection made" in refused["msg"]
    assert f"it belongs to the user {attacker.name}" in refused["msg"]
    assert "already exists" in run("vm", fails=True, name=NAME, clone_of=SOURCE, dest=str(shared_folder))["msg"]
    assert victim_mac.fingerprint(NAME) == before


def test_a_foreign_claim_blocks_nobody(attacker, shared_folder, victim_mac, build, run, source):
    """It is held, too. The build gets a claim of its own, by which a rerun knows its clone and removes it."""
    bundle = shared_folder / f"{NAME}.pvm"
    claim = write_claim(attacker, bundle, operation="pack")
    before = claim.read_bytes()
    made = build()
    assert made["changed"]
    assert not build()["changed"]
    gone = run("vm", name=NAME, clone_of=SOURCE, dest=str(shared_folder), state="absent")
    assert gone["changed"]
    assert names(victim_mac) == [SOURCE]
    assert claim.read_bytes() == before


def test_a_foreign_image_is_in_the_way(attacker, shared_folder, victim_mac, run, build, source):
    uuid = build()["vm"]["uuid"]
    image = shared_folder / f"{NAME}.pvmp"
    with attacker.acting():
        image.write_bytes(b"evil")
    write_claim(attacker, image, operation="pack", vm=uuid, name=NAME, strangers=[])
    refused = run("image_pack", fails=True, name=NAME)
    assert f"{image} is not a file of this user: it belongs to the user {attacker.name}" in refused["msg"]
    assert image.read_bytes() == b"evil"
    for module, options in (("image_checksum", {"path": str(image)}), ("image_upload", {"src": str(image)})):
        if module == "image_upload":
            options["destination"] = f"file://{victim_mac.folder}"
        assert f"it belongs to the user {attacker.name}" in run(module, fails=True, **options)["msg"]
    with attacker.acting():
        image.unlink()
    packed = run("image_pack", name=NAME)
    assert packed["path"] == str(image)


def test_a_foreign_sidecar_never_stands_for_reading_the_image(attacker, victim, shared_folder, run):
    image = shared_folder / "a.pvmp"
    with victim.acting():
        image.write_bytes(b"image")
    seen = image.stat()
    sidecar = shared_folder / "a.pvmp.sha256"
    forged = f"# macops.parallels: size=5 mtime_ns={seen.st_mtime_ns} inode={seen.st_ino}\n{'0' * 64}  a.pvmp\n"
    with attacker.acting():
        for path in (sidecar, shared_folder / "a.sha256.txt"):
            path.write_text(forged)
    result = run("image_checksum", path=str(image))
    assert result["sha256"] == hashlib.sha256(b"image").hexdigest()
    assert result["was_read"]
    assert not result["changed"]
    assert f"it belongs to the user {attacker.name}" in warnings_of(result)
    assert sidecar.read_text() == forged


@pytest.fixture
def pipes(attacker: Account, shared_folder: pathlib.Path) -> list[pathlib.Path]:
    """Plant a pipe at every path that a build in the shared folder and its store use.

    But for the checksum file of Parallels: who writes that, and whether a pipe keeps it from packing, is not known.
    """
    bundle, image = f"{NAME}.pvm", f"{NAME}.pvmp"
    paths = [f".{bundle}.claim.json", f".{image}.claim.json", f"{image}.sha256", f".{image}.sha256.abcd1234.tmp"]
    paths += ["store/.catalog.json.lock", f"store/.{image}.{'0' * 16}-00000000-1-00000000.part"]
    store = shared_folder / "store"
    store.mkdir()
    store.chmod(0o1777)
    with attacker.acting():
        for name in paths:
            os.mkfifo(shared_folder / name, 0o666)
    return [shared_folder / name for name in paths]


def test_a_pipe_at_every_path_neither_hangs_nor_stops_a_build(pipes, shared_folder, run, build, source):
    assert build()["changed"]
    image = run("image_pack", name=NAME)["path"]
    sha256 = run("image_checksum", path=image)["sha256"]
    uploaded = run("image_upload", src=image, sha256=sha256, destination=f"file://{shared_folder}/store/")
    assert uploaded["sha256"] == sha256
    assert run("vm", name=NAME, clone_of=SOURCE, dest=str(shared_folder), state="absent")["changed"]
    assert all(path.is_fifo() for path in pipes)


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_an_image_that_is_none_is_refused_at_once(attacker, victim, shared_folder, run, kind):
    image = shared_folder / "a.pvmp"
    secret = victim.work / "secret"
    with victim.acting():
        secret.write_text("s3cret")
        secret.chmod(0o600)
    with attacker.acting():
        os.mkfifo(image) if kind == "pipe" else image.symlink_to(secret)
    store = f"file://{victim.work}/"
    assert "is not a file" in run("image_checksum", fails=True, path=str(image))["msg"]
    for more in ({}, {"sha256": hashlib.sha256(b"s3cret").hexdigest()}):
        refused = run("image_upload", fails=True, src=str(image), destination=store, **more)
        assert "is not" in refused["msg"]
        assert refused["msg"].count(str(image))
    assert not (victim.work / "a.pvmp").exists()


@pytest.fixture
def planted_home(victim: Account, attacker: Account, shared_folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return a home in a temporary folder of all users, in which the attacker was first."""
    home = shared_folder / "home"
    with attacker.acting():
        (home / ".ansible" / "macops.parallels" / "jobs").mkdir(parents=True)
        for folder in (home, *home.rglob("*")):
            folder.chmod(0o777)
    yield home
    shutil.rmtree(home)


def test_a_job_that_was_planted_gives_no_answer(attacker, victim, shared_folder, planted_home, collections, victim_mac):
    """The folder of the job has the right name: it is computed from the module and its options."""
    image = shared_folder / "a.pvmp"
    with victim.acting():
        image.write_bytes(b"image")
    options = {"path": str(image)}
    order = {"token": "t", "wait": 30, "unattended": 900, "if_running": "join"}
    environment = {"MACOPS_PARALLELS_JOB": json.dumps(order)}
    honest = {"HOME": str(victim.home), **environment}
    jobs = pathlib.Path(".ansible/macops.parallels/jobs")
    with Modules(str(victim.python), collections, honest, victim) as modules:
        real = json.loads(modules.run("image_checksum", **options)[1])
    key = job_key("image_checksum", options)
    folder = planted_home / jobs / key
    with attacker.acting():
        folder.mkdir()
        (folder / "answer").write_text(json.dumps({"changed": False, "sha256": "0" * 64}))
        (folder / "ended.json").write_text(json.dumps({"code": 0, "at": time.time()}))
        (folder.with_name(f".{key}.claim.json")).write_text('{"schema": 1, "id": "t", "started": 1}\n')
    with Modules(str(victim.python), collections, {"HOME": str(planted_home), **environment}, victim) as modules:
        found = json.loads(modules.run("image_checksum", **options)[1])
    assert found["sha256"] == real["sha256"] == hashlib.sha256(b"image").hexdigest()
    assert "runs without a job" in warnings_of(found)
    assert f"belongs to the user {attacker.name}" in warnings_of(found)
    assert (folder / "answer").exists()


def job_key(module: str, options: dict[str, Any]) -> str:
    """Return what the module calls the folder of its job; an attacker can compute it as well."""
    every = {"path": options["path"], "sidecar": True, "force": False}
    text = json.dumps([module, every], sort_keys=True)
    return f"{module}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def test_a_shared_work_folder_is_reported(shared_folder, victim_mac, run, victim):
    shared = run("mac_info", path=str(shared_folder))
    assert shared["path_shared"] == f"{shared_folder} is writable for everybody"
    assert "Other users of this Mac can put files into" in warnings_of(shared)
    own = run("mac_info", path=str(victim.work / "new"))
    assert own["path_shared"] == ""
    assert "warnings" not in own
