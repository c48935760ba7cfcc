# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why no image can be made of a VM."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim
from ansible_collections.macops.parallels.plugins.module_utils._parallels.obstacles import obstacles
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.fixture
def vm(mac: Any, tmp_path: Path) -> Vm:
    """Return a VM of which an image can be made."""
    mac.list((UUID, "x", "stopped")).look(UUID, Name="x", **mac.bundle(tmp_path / "Übung.pvm"))
    return get_vm(mac.prl, UUID)


def ids(vm: Vm, **changes: Any) -> list[str]:
    return [found.id for found in obstacles(dataclasses.replace(vm, **changes))]


def on(vm: Vm, *paths: str) -> dict[str, Any]:
    disk = vm.disks[0]
    return {"disks": [disk, *(dataclasses.replace(disk, device="hdd1", path=path) for path in paths)]}


def test_a_plain_vm_has_none(vm: Vm) -> None:
    assert obstacles(vm) == []


def test_a_packed_vm_has_none(vm: Vm) -> None:
    assert ids(vm, packed=True, home="/p/x.pvmp", encrypted=True, template=None, disks=[]) == []
    assert "bundle" in ids(vm, packed=True, home="/p/x.pvmz")


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"encrypted": True}, "encrypted"),
        ({"encrypted": None}, "encrypted"),
        ({"template": True}, "template"),
        ({"template": None}, "template"),
        ({"linked_clone": True}, "linked_clone"),
        ({"linked_clone": None}, "linked_clone"),
        ({"disks": []}, "disks"),
    ],
)
def test_a_fact_that_is_an_obstacle_or_not_known(vm: Vm, changes: dict[str, Any], id: str) -> None:
    assert ids(vm, **changes) == [id]
    (found,) = obstacles(dataclasses.replace(vm, **changes))
    assert ("not known" in found.reason) == (not any(changes.values()))
    assert found.advice.endswith(".")


@pytest.mark.parametrize(
    ("home", "id"),
    [("/p/x.macvm", "macos"), ("/p/x.pvmz", "bundle"), ("", "bundle"), ("/p/x.pvmi", "intermediate")],
)
def test_something_else_than_a_bundle(vm: Vm, home: str, id: str) -> None:
    assert ids(vm, home=home)[0] == id


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("{home}/deeper/second.hdd", None),
        ("{link}/harddisk1.hdd", None),
        ("/Volumes/data/second.hdd", "disk_outside"),
        ("{home}-2/second.hdd", "disk_outside"),
        ("{home}/../second.hdd", "disk_outside"),
        ("/dev/disk0s3", "physical_disk"),
        ("", "physical_disk"),
    ],
)
def test_a_disk_that_is_not_in_the_bundle(vm: Vm, tmp_path: Path, path: str, id: Optional[str]) -> None:
    (tmp_path / "link.pvm").symlink_to(vm.home)
    path = path.format(home=vm.home, link=tmp_path / "link.pvm")
    if not id:
        Path(path).mkdir(parents=True, exist_ok=True)
    assert ids(vm, **on(vm, path)) == ([id] if id else [])
    if id == "disk_outside":
        assert path in obstacles(dataclasses.replace(vm, **on(vm, path)))[0].text


def test_a_disk_that_a_link_in_the_bundle_leads_away_to(vm: Vm, tmp_path: Path) -> None:
    (tmp_path / "far.hdd").mkdir()
    (Path(vm.home) / "near.hdd").symlink_to(tmp_path / "far.hdd")
    assert ids(vm, **on(vm, f"{vm.home}/near.hdd")) == ["disk_outside"]


def test_what_an_unfinished_packing_left_beside(vm: Vm, tmp_path: Path) -> None:
    (tmp_path / "Übung.pvmi").mkdir()
    (found,) = obstacles(vm)
    assert (found.id, "Übung.pvmi" in found.reason, 'prlctl unpack "x"' in found.advice) == ("intermediate", True, True)
    # It may be that of a run of ours, which cleans it up.
    with Claim.take(str(tmp_path / "Übung.pvmp")):
        assert obstacles(vm) == []


def test_all_are_reported_at_once(vm: Vm) -> None:
    assert ids(vm, home="/p/x.macvm", encrypted=True, template=True) == [
        "macos",
        "template",
        "encrypted",
        "disk_outside",
    ]
