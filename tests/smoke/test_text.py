# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version is the very text that was written, with native Jinja too, which makes numbers of text in old releases."""

from __future__ import annotations

import json

import pytest
from ansible.release import __version__

from support.build import Build
from support.fixtures import nightly

# Each would be another one as a number.
NAME, GOOD, BAD = "1e3", "2026.1", "2026.10"


# Newer releases have no such setting, and keep text as it is: there, a night is often enough.
NATIVE_BY_CHOICE = tuple(map(int, __version__.split(".")[:2])) < (2, 19)
if not NATIVE_BY_CHOICE:
    pytestmark = pytest.mark.nightly


@pytest.fixture
def build(play, simulated_mac, https_store, tmp_path):
    native = {"ANSIBLE_JINJA2_NATIVE": "true"} if NATIVE_BY_CHOICE else {}
    return Build.here(play, simulated_mac, https_store, tmp_path / "build", **native)


def records(build):
    catalog = json.loads((build.store.folder / "catalog.json").read_text(encoding="utf-8"))
    return {record["version"]: record for record in catalog["records"]}


@pytest.mark.parametrize("good", [[], nightly([GOOD])], ids=["alone", "beside the other"])
def test_a_version_is_published_and_withdrawn_as_it_was_written(build, tmp_path, good):
    for version in (*good, BAD):
        image = tmp_path / "1e10.pvmp"
        image.write_bytes(version.encode() * 1000)
        given = {"image_arch": "arm64", "image_path": str(image), "image_description": "1_000"}
        build.run(playbook="publish_image", image_name=NAME, image_version=version, **given).assert_ok()
        handed_over = json.loads((build.output / f"{NAME}-{version}.json").read_text(encoding="utf-8"))
        assert [handed_over["name"], handed_over["version"]] == [NAME, version]
        (record,) = handed_over["records"]
        assert [record["name"], record["version"], record["title"], record["description"]] == [
            NAME,
            version,
            NAME,
            "1_000",
        ]
        assert record["file"] == f"{NAME}-{version}-arm64.pvmp"
        assert (build.output / f"{NAME}-{version}.md").exists()
    assert set(records(build)) == {*good, BAD}

    build.run(
        playbook="retire_images",
        image_name=NAME,
        image_retire_version=BAD,
        image_retire_reason="1.50",
        image_retire_remove_file=True,
    ).assert_ok()
    found = records(build)
    assert {version: record["state"] for version, record in found.items()} == {
        **dict.fromkeys(good, "published"),
        BAD: "withdrawn",
    }
    assert found[BAD]["reason"] == "1.50"
    images = {name for name in build.stored if name.endswith(".pvmp")}
    assert images == {f"{NAME}-{version}-arm64.pvmp" for version in good}

    if not good:
        return
    build.run(playbook="verify_images", image_name=NAME).assert_ok()
    report = json.loads((build.output / "verify_images.json").read_text(encoding="utf-8"))
    assert [(image["name"], image["version"]) for image in report["images"]] == [(NAME, GOOD)]


@pytest.mark.parametrize(
    ("playbook", "given"),
    [
        ("build_image", {"image_version": 2026.10}),
        nightly("publish_image", {"image_version": True}),
        nightly("retire_images", {"image_name": NAME, "image_retire_version": 2026.10, "image_retire_reason": "bad"}),
        nightly("verify_images", {"image_name": 1}),
    ],
)
def test_a_number_is_refused_before_anything_is_done(build, playbook, given):
    run = build.run(playbook=playbook, **given)
    name = next(name for name, value in given.items() if not isinstance(value, str))
    run.assert_failed(f"{name} is not text", f"({given[name]})", "Put it in quotes in YAML", "2026.10.0")
    assert list(build.stored) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image_destination": " https://store.example/images"}, "image_destination begins or ends with a blank"),
        nightly({"image_public_url": "https://images.example\n"}, "image_public_url begins or ends with a blank"),
        nightly({"image_name": f"{NAME}\n"}, "image_name and image_version become part of the file name"),
        nightly({"image_version": "1\n"}, "image_name and image_version become part of the file name"),
    ],
)
def test_what_nobody_sees_is_refused_before_anything_is_done(build, given, sentence):
    build.run(**{"image_version": BAD, **given}).assert_failed(sentence)
    assert list(build.stored) == []


@pytest.mark.nightly
def test_a_whole_build(play, build, simulated_mac):
    """With a VM that has a number for a name."""
    simulated_mac.vm("2026.10", data="2M", disk="8G")
    build.run(image_name=NAME, image_version=BAD, image_source_vm="2026.10").assert_ok()
    assert [(record["name"], record["version"]) for record in records(build).values()] == [(NAME, BAD)]
    assert (build.output / f"{NAME}-{BAD}.md").exists()
    build.run(image_name=NAME, image_version=BAD, image_source_vm="2026.10").assert_ok().assert_unchanged()
