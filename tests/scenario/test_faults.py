# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, crossed with the stages that they can hit: what a run makes of each, and that the same command then goes on.

Whatever happens, what the image is made from stays what it was, and the store never holds half an image. The rows are
the table; a row is met by the runs of the scene that bears the name of what it hits.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import pytest

from support.build import NAME, VERSION, Build
from support.fault_table import FaultRow, meet
from support.https_store import ANY, Fault
from support.mac_faults import OTHERWISE, MacModulesScene, MacScene
from support.server_faults import STAGES, ModulesScene, ServerScene
from support.simulated_mac import SimulatedMac

IMAGE = f"{NAME}-{VERSION}-arm64.pvmp"


# The Mac: faults of the simulator, in runs of build_image's modules alone, because a run of the playbook costs many
# seconds of a processor. Rows in runs of a playbook are left to 'make test-all'.


def mac(scene, faults, stage, words=(), then=(), **variables):
    """A row of faults of the simulated Mac, which are separated by blanks."""
    names = faults.split()
    stages = (stage,) * len(names)
    return FaultRow("mac", faults, scene, stages, lambda scene: scene.fault(*names), words, variables, then)


playbook = functools.partial(mac, "mac_scene")
modules = functools.partial(mac, "mac_modules_scene")

VERBS = ("stop", "clone", "start", "snapshot-delete", "pack", "delete")
LOST_SESSIONS = " ".join(f"rc255_after_success=1:{verb}" for verb in VERBS)

MAC_ROWS = (
    playbook(LOST_SESSIONS, "all"),
    modules(LOST_SESSIONS, "all"),
    modules("kill_in_clone=1", "clone", ("killed by another process",)),
    modules("disk_full=1:pack", "pack", ("disk is full", "incomplete")),
    modules("delete_fails=1", "clean", ("administrator",)),
    modules("service_down=3 vm_frozen=1:list list_empty_once=1 invalid_state=1", "all"),
    modules("busy=2:clone busy=2:snapshot-delete busy=2:pack busy=2:delete sync_race=2 vm_frozen=1:clone", "all"),
    modules("json_garbage=2 kill_after_clone=1 kill_after_pack=1 start_fails=1", "all"),
    modules("stop_ignored=1", "clone", ("did not shut down",), image_stop_timeout=3),
    modules("snapshot_remains=1", "snapshots", ("snapshot",)),
    modules("kill_in_snapshot_delete=1", "snapshots", ("killed by another process",)),
    modules("disk_full=1:clone", "clone", ("disk is full",)),
    modules("kill_in_pack=1", "pack", ("killed by another process", "incomplete")),
    modules("pack_empty=1", "pack", ("did not",)),
    modules("pack_empty=1:moved", "pack", ("empty file",)),
    modules("pack_missing=1", "pack", ("did not",)),
    modules("pack_missing=1:moved", "pack", ("no such file",)),
    modules("pack_rc0_unchanged=1", "pack", ("did not",)),
    modules("hang=1:pack", "pack", ("within 5 seconds",), image_pack_timeout=5),
    modules("wrong_checksum_file=1", "hash", ("sha256.txt",), then=("sha256.txt",)),
    modules("clone_rc0_missing=1", "clone", ("did not",)),
)

# Left to 'make test-all': the unit tests of clone, pack, snapshots and power meet them every day, and so does a target
# what is like them.
SPARED_ON_THE_MAC = {
    "clone_rc0_missing=1",
    "delete_fails=1",
    "disk_full=1:clone",
    "disk_full=1:pack",
    "hang=1:pack",
    "kill_in_clone=1",
    "kill_in_pack=1",
    "pack_empty=1",
    "pack_empty=1:moved",
    "pack_missing=1",
    "pack_missing=1:moved",
    "pack_rc0_unchanged=1",
    "snapshot_remains=1",
    "stop_ignored=1",
    "wrong_checksum_file=1",
}

# Faults of what this playbook does not do: it runs nothing in the guest, unregisters and unpacks nothing.
ELSEWHERE = {
    *("exec_not_ready", "exec_dies_at_shutdown", "exec_false_success", "exec_handle_fault", "exec_ends_early"),
    *("unregister_fails", "kill_in_unpack"),
}


@pytest.fixture
def mac_build(play, simulated_mac, https_store, tmp_path):
    return Build.here(play, simulated_mac, https_store, tmp_path / "build")


@pytest.fixture
def mac_scene(mac_build, simulated_mac):
    return MacScene.create(mac_build, simulated_mac)


@pytest.fixture
def mac_modules_scene(mac_build, simulated_mac, collections):
    return MacModulesScene.create(mac_build, simulated_mac, collections=collections)


# The server: faults of the store, in runs of publish_image; or of its modules alone, where every fault is crossed with
# every stage, because a run of the playbook costs several seconds of a processor.

FOR_EVER = 10**6


def server(scene, fault, *strikes, words=(), **variables):
    """A row of faults of the store: each with the stages at which it strikes."""

    def inject(scene):
        for make, *stages in strikes:
            scene.strike(functools.partial(make, scene), *stages)

    stages = tuple(stage for _make, *stages in strikes for stage in stages)
    return FaultRow("server", fault, scene, stages, inject, words, variables)


def fault(method=ANY, **what):
    return lambda scene, where: Fault(method, where=where, **what)


def expiring(scene, where):
    """The server is restarted with a certificate that is no longer good, while a request is under way."""
    return Fault(ANY, where=where, lose_answer=True, do=functools.partial(scene.store.use_certificate, expired=True))


BUSY = {"Retry-After": "0"}
CUT_BODY = fault("PUT", cut_after=50)
LOST_ANSWER = fault("MOVE", lose_answer=True)
RESET_ANSWER = fault("GET", reset_answer_after=50)
SHORT_ANSWER = fault("GET", end_answer_after=50)

PLAYBOOK_ROWS = (
    server(
        "server_scene",
        "503, with Retry-After and without",
        (fault(status=503, headers=BUSY), *STAGES),
        (fault(status=503), *STAGES),
    ),
    server(
        "server_scene",
        "requests cut off, answers lost",
        (CUT_BODY, "upload", "sidecar", "record"),
        (LOST_ANSWER, "proof", "publish", "sidecar", "record"),
    ),
    server(
        "server_scene",
        "answers reset, answers cut short",
        (RESET_ANSWER, "catalog", "link", "record"),
        (SHORT_ANSWER, "catalog", "link", "record"),
    ),
    server("server_scene", "401 in the middle", (fault(status=401, times=FOR_EVER), "publish"), words=("password",)),
)

# What a run gets over by itself.
TRANSIENT = {
    "503, with Retry-After and without",
    "requests cut off, answers lost",
    "answers reset, answers cut short",
}

# What never ends: the words of the error at each stage, none where a run gets over it.
FINAL = {
    "503 for ever": (
        fault(status=503, times=FOR_EVER, headers=BUSY),
        dict.fromkeys(STAGES, ("503",)),
    ),
    "507": (
        fault(status=507, times=FOR_EVER),
        dict.fromkeys(("proof", "upload", "publish", "sidecar", "record"), ("full",)),
    ),
    "401 in the middle": (
        fault(status=401, times=FOR_EVER),
        {**dict.fromkeys(STAGES, ("user name or the password is wrong",)), "link": ("login",)},
    ),
    "certificate expires": (expiring, dict.fromkeys(STAGES, ("certificate", "expired"))),
    "request cut off for ever": (
        fault("PUT", cut_after=50, times=FOR_EVER),
        dict.fromkeys(("upload", "sidecar", "record"), ("connection was lost",)),
    ),
    "answer lost for ever": (
        fault("MOVE", lose_answer=True, times=FOR_EVER),
        {
            "proof": ("closed the connection without a response",),
            "publish": (),
            "sidecar": ("closed the connection without a response",),
            "record": (),
        },
    ),
    "answer reset for ever": (
        fault("GET", reset_answer_after=50, times=FOR_EVER),
        dict.fromkeys(("catalog", "link", "record"), ("broke off",)),
    ),
    "answer cut short for ever": (
        fault("GET", end_answer_after=50, times=FOR_EVER),
        dict.fromkeys(("catalog", "link", "record"), ("broke off",)),
    ),
    "crawls for ever": (
        fault(slow=100, times=FOR_EVER),
        {**dict.fromkeys(("catalog", "link", "record"), ("too slow",)), "upload": ("no data was transferred",)},
    ),
    "crawls for a while": (
        fault(slow=10_000, slow_for=1, times=FOR_EVER),
        dict.fromkeys(("catalog", "upload", "link", "record"), ()),
    ),
    "GET lies about the size": (
        fault("GET", lie=1, times=FOR_EVER),
        {"catalog": ("ended too early",), "link": ("the last ones are missing",), "record": ("ended too early",)},
    ),
    "HEAD lies about the size": (
        fault("HEAD", lie=1, times=FOR_EVER),
        {"upload": ("stored",), "publish": ("was published, but",)},
    ),
}
# Seconds, and tries after the first: so that a run gives up soon.
SOON = {"timeout": 3, "retries": 1}

# These are what most runs of the playbook meet, so the modules alone meet them every day.
TRANSIENT_ROWS = tuple(
    dataclasses.replace(row, scene="modules_scene") for row in PLAYBOOK_ROWS if row.fault in TRANSIENT
)

MODULE_ROWS = tuple(
    server("modules_scene", name, (make, stage), words=words, **SOON)
    for name, (make, stages) in FINAL.items()
    for stage, words in stages.items()
)


@pytest.fixture(scope="session")
def packed_image(tmp_path_factory):
    """Return the path of an image that was packed once for all tests, to be copied."""
    mac = SimulatedMac.create(tmp_path_factory.mktemp("packed") / "mac")
    mac.vm("packed", data="4M", disk="8G")
    mac.prlctl("pack", "packed")
    return mac.folder / "Parallels" / "packed.pvmp"


@pytest.fixture
def server_image(packed_image, tmp_path):
    return shutil.copy(packed_image, tmp_path / "by hand.pvmp")


@pytest.fixture
def server_scene(play, https_store, server_image, tmp_path):
    return ServerScene.create(play, https_store, server_image, tmp_path)


@pytest.fixture
def modules_scene(play, collections, https_store, server_image, tmp_path):
    scene = ModulesScene.create(play, https_store, server_image, tmp_path)
    scene.collections = collections
    return scene


ROWS = (*MAC_ROWS, *PLAYBOOK_ROWS, *TRANSIENT_ROWS, *MODULE_ROWS)


PLAYBOOK_SCENES = ("mac_scene", "server_scene")
MARKS = {True: pytest.mark.nightly, False: ()}


def case(row):
    in_playbook = row.scene in PLAYBOOK_SCENES
    spared = in_playbook or row.fault in SPARED_ON_THE_MAC
    return pytest.param(row, id=f"{row} (playbook)" if in_playbook else str(row), marks=MARKS[spared])


@pytest.mark.parametrize("row", [case(row) for row in ROWS])
def test_fault(row, request, record_property):
    meet(row, request.getfixturevalue(row.scene), record_property)


def test_parallels_may_be_other_than_we_think(mac_modules_scene, simulated_mac):
    simulated_mac.knob(**OTHERWISE)
    mac_modules_scene.run().assert_ok()
    mac_modules_scene.assert_done()
    mac_modules_scene.assert_nothing_lost()
    mac_modules_scene.run().assert_ok().assert_unchanged()


def test_every_fault_of_the_simulator_has_a_row(simulated_mac):
    faults = json.loads(simulated_mac.simulate("fault", simulated_mac.folder, "--list", "--json"))
    known = {fault["name"] for fault in faults}
    assert known == {fault.partition("=")[0] for row in MAC_ROWS for fault in row.fault.split()} | ELSEWHERE
