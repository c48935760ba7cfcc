# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of faults notices what is lost, and says so."""

from __future__ import annotations

import json

import pytest

from support.fault_table import FaultRow, meet, summary
from support.https_store import Request, https_store
from support.playbook import PlaybookRun, Task
from support.server_faults import CATALOG, IMAGE, OLDER, SIDECAR, ServerScene


def ended(message=None):
    """A run that ended well, or with a message."""
    status = "failed" if message else "ok"
    task = Task("mac", "role : Do it", "macops.parallels.vm", status, True, False, {"msg": message})
    return PlaybookRun(2 if message else 0, "output", 1.0, [task], {"mac": {}}, {})


class Scene:
    """Runs that end as they are told, and one look at the store that finds a loss."""

    def __init__(self, *runs, lost_after=None, struck=True, done=True):
        self.runs = list(runs)
        self.looks = 0
        self.lost_after = lost_after
        self.struck = struck
        self.done = done
        self.variables = []

    def run(self, **variables):
        self.variables.append(variables)
        return self.runs.pop(0)

    def assert_struck(self):
        assert self.struck

    def assert_nothing_lost(self):
        self.looks += 1
        assert self.looks != self.lost_after, "half an image"

    def assert_done(self):
        assert self.done


def outcome_of(scene, words=(), then=()):
    """Return what is reported of a row, and whether its test passed."""
    injected = []
    row = FaultRow("server", "503", "scene", ("upload", "link"), injected.append, words, {"image_x": 1}, then)
    told = {}
    try:
        meet(row, scene, told.__setitem__)
        passed = True
    except AssertionError:
        passed = False
    assert injected == [scene]
    return told["fault"], passed


def test_a_fault_that_a_run_gets_over():
    scene = Scene(ended(), ended())
    outcome, passed = outcome_of(scene)
    assert passed
    assert outcome["survived"]
    assert outcome["injected"] == 2
    assert scene.variables == [{"image_x": 1}] * 2


def test_a_fault_that_ends_the_first_run():
    outcome, passed = outcome_of(Scene(ended("The store is full."), ended()), words=("full",))
    assert passed
    assert outcome["runs"] == ["fails in 'Do it': The store is full.", "ends well, 1 tasks changed something"]


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        pytest.param(Scene(ended("no"), ended()), (), id="the first run fails unexpectedly"),
        pytest.param(Scene(ended(), ended()), ("full",), id="the first run ends well unexpectedly"),
        pytest.param(Scene(ended("no"), ended()), ("full",), id="the first run fails with other words"),
        pytest.param(Scene(ended("full"), ended("full")), ("full",), id="the second run fails"),
        pytest.param(Scene(ended("full"), ended(), lost_after=1), ("full",), id="the first run loses something"),
        pytest.param(Scene(ended("full"), ended(), lost_after=2), ("full",), id="the second run loses something"),
        pytest.param(Scene(ended("full"), ended(), done=False), ("full",), id="something is not there in the end"),
        pytest.param(Scene(ended("full"), ended(), struck=False), ("full",), id="the fault did not strike"),
    ],
)
def test_what_goes_wrong_is_a_loss(scene, words):
    outcome, passed = outcome_of(scene, words)
    assert not passed
    assert not outcome["survived"]
    assert summary([outcome])[-1] == "faults injected 2, survived 0, lost 2"


def test_the_totals_are_those_of_all_rows():
    good, _passed = outcome_of(Scene(ended(), ended()))
    bad, _passed = outcome_of(Scene(ended("a | b")))
    lines = summary([good, bad, good])
    assert len(lines) == 2 + 3 + 1
    assert {line.count("|") for line in lines[:-1]} == {7}
    assert lines[-1] == "faults injected 6, survived 4, lost 2"


@pytest.fixture
def server_scene(tmp_path):
    image = tmp_path / "image.pvmp"
    image.write_bytes(b"the new image" * 1000)
    with https_store(tmp_path / "store") as store:
        yield ServerScene.create(None, store, image, tmp_path)


def test_an_untouched_store_has_lost_nothing(server_scene):
    server_scene.assert_nothing_lost()


def half_an_image(folder, image):
    (folder / IMAGE).write_bytes(image.read_bytes()[:-1])


def a_checksum_without_its_image(folder, image):
    (folder / f"{IMAGE}{SIDECAR}").write_text(f"{'0' * 64}  {IMAGE}\n")


def a_record_without_its_image(folder, image):
    records = json.loads((folder / CATALOG).read_text())["records"]
    lost = {**records[0], "version": "2026.11.0", "file": IMAGE}
    (folder / CATALOG).write_text(json.dumps({"schema": 1, "records": [*records, lost]}))


def a_catalog_without_the_older_version(folder, image):
    (folder / CATALOG).write_text('{"schema": 1, "records": []}')


def no_older_version(folder, image):
    (folder / OLDER).unlink()


def half_a_catalog(folder, image):
    (folder / CATALOG).write_text((folder / CATALOG).read_text()[:-5])


def another_image_on_the_mac(folder, image):
    image.write_bytes(b"other")


@pytest.mark.parametrize(
    "lose",
    [
        half_an_image,
        a_checksum_without_its_image,
        a_record_without_its_image,
        a_catalog_without_the_older_version,
        no_older_version,
        half_a_catalog,
        another_image_on_the_mac,
    ],
)
def test_a_loss_in_the_store_is_noticed(server_scene, lose):
    lose(server_scene.store.folder, server_scene.image)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        server_scene.assert_nothing_lost()


@pytest.mark.parametrize(
    ("method", "name", "destination", "length", "stage"),
    [
        ("GET", CATALOG, "", 0, "catalog"),
        ("OPTIONS", "", "", 0, "proof"),
        ("PUT", f".{CATALOG}.small-1-2-3.part", "", 0, "proof"),
        ("PUT", f".{IMAGE}.small-1-2-3.part", "", 2, "proof"),
        ("HEAD", IMAGE, "", 0, "proof"),
        ("PUT", f".{IMAGE}.1-2-3.part", "", 13000, "upload"),
        ("HEAD", f".{IMAGE}.small-1-2-3.part", "", 0, "proof"),
        ("PUT", f"{IMAGE}.1-2-3.part.pvmp", "", 13000, "upload"),
        ("MOVE", f".{IMAGE}.1-2-3.part", IMAGE, 0, "publish"),
        ("GET", f"{IMAGE}{SIDECAR}", "", 0, "sidecar"),
        ("MOVE", f".{IMAGE}{SIDECAR}.1-2-3.part", f"{IMAGE}{SIDECAR}", 0, "sidecar"),
        ("GET", IMAGE, "", 0, "link"),
        ("DELETE", f".{IMAGE}.1-2-3.part", "", 0, ""),
    ],
)
def test_the_stage_of_a_request(server_scene, method, name, destination, length, stage):
    headers = {"Content-Length": str(length), "Destination": f"https://x/images/{destination}" if destination else ""}
    assert server_scene.stage_of(Request(method, f"/images/{name}", headers)) == stage


@pytest.mark.parametrize("name", [f".{IMAGE}.1-2-3.part", f"{IMAGE}.1-2-3.part.pvmp"])
def test_a_look_at_what_was_sent_is_of_the_upload(server_scene, name):
    (server_scene.store.folder / name).write_bytes(server_scene.content)
    assert server_scene.stage_of(Request("HEAD", f"/images/{name}", {})) == "upload"


def test_behind_the_publishing_the_catalog_is_that_of_the_record(server_scene):
    (server_scene.store.folder / IMAGE).write_bytes(server_scene.content)
    assert server_scene.stage_of(Request("GET", f"/images/{CATALOG}", {})) == "record"
    assert server_scene.stage_of(Request("HEAD", f"/images/{IMAGE}", {})) == "publish"
