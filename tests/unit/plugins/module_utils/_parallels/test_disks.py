# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compacting disks."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.disks import (
    bytes_outside,
    compact,
    disks_outside,
    missing_files,
    unreadable_disks,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
FULL = "Block size:    2048\nTotal blocks:    76800\nAllocated blocks:    76540\nUsed blocks:    76437\n"
COMPACT = "Block size:    2048\nTotal blocks:    76800\nAllocated blocks:    76437\nUsed blocks:    76437\n"


def a_vm(mac: Any, path: Path, state: str = "stopped", **facts: Any) -> Vm:
    found = mac.bundle(path, disk=b"x" * 100_000)
    mac.list((UUID, "x", state)).look(UUID, **{"Name": "x", "State": state, **found, **facts})
    return get_vm(mac.prl, "x")


def estimate(mac: Any, vm: Vm, text: str, rc: int = 0) -> None:
    mac.expect("prl_disk_tool", "compact", "--info", "--hdd", vm.disks[0].path, out=text, rc=rc)


def passes(mac: Any, vm: Vm, path: Path, rc: int = 0, err: str = "") -> None:
    mac.expect("prl_disk_tool", "compact", "--hdd", vm.disks[0].path)
    data = path / "harddisk1.hdd" / "harddisk1.hds"
    mac.expect(
        "prl_disk_tool",
        "compact",
        "--buildmap",
        "--hdd",
        vm.disks[0].path,
        rc=rc,
        err=err,
        then=lambda: data.write_bytes(b"x" * 10_000),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Übung 1.pvm"


@pytest.mark.parametrize("text", [FULL, "an answer that nobody knows", ""])
def test_a_disk_with_unused_blocks_is_compacted(mac: Any, path: Path, text: str) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, text)
    passes(mac, vm, path)
    (disk,), changed = compact(mac.prl, vm, 60, dry=False)
    assert changed
    assert disk.path == vm.disks[0].path
    assert disk.bytes_after < disk.bytes_before


def test_a_compact_disk_is_left_alone(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, COMPACT)
    (disk,), changed = compact(mac.prl, vm, 60, dry=False)
    assert not changed
    assert disk.bytes_after == disk.bytes_before


@pytest.mark.parametrize(("text", "changes"), [(FULL, True), (COMPACT, False)])
def test_a_dry_run_only_estimates(mac: Any, path: Path, text: str, changes: bool) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, text)
    (disk,), changed = compact(mac.prl, vm, 60, dry=True)
    assert changed is changes
    assert disk.bytes_after == disk.bytes_before


def test_the_disk_counts_and_not_the_exit_code(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, FULL)
    passes(mac, vm, path, rc=255, err="PrlJob_GetRetCode")
    estimate(mac, vm, COMPACT)
    _disks, changed = compact(mac.prl, vm, 60, dry=False)
    assert changed


def test_a_failed_compaction_is_an_error(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, FULL)
    passes(mac, vm, path, rc=255, err="Out of disk space.")
    estimate(mac, vm, FULL)
    mac.list((UUID, "x", "stopped")).list((UUID, "x", "stopped")).look(UUID, **mac.home(path))
    with pytest.raises(
        TaskError, match=r"could not compact .*harddisk1.hdd: Out of disk space. The disk is full"
    ) as caught:
        compact(mac.prl, vm, 60, dry=False)
    assert f" {path.parent} has " in caught.value.message
    assert caught.value.details["free_bytes"] > 0


def test_a_vm_that_was_packed_meanwhile_is_compact(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, FULL)
    passes(mac, vm, path, rc=255, err="Failed to open the disk image")
    mac.calls[-1].then = lambda: shutil.rmtree(path)
    estimate(mac, vm, "", rc=255)
    mac.list((UUID, "x", "stopped")).list((UUID, "x", "stopped")).look(UUID, Home="/p/x.pvmp")
    _disks, changed = compact(mac.prl, vm, 60, dry=False)
    assert not changed


def test_a_disk_that_is_still_in_use_is_tried_again(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    estimate(mac, vm, FULL)
    mac.expect(
        "prl_disk_tool", "compact", "--hdd", vm.disks[0].path, rc=255, err="Failed: the virtual machine is busy."
    )
    passes(mac, vm, path)
    _disks, changed = compact(mac.prl, vm, 60, dry=False)
    assert changed
    assert mac.slept == [1]


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("running", "is running, and only the disks of a VM that is shut down can be compacted"),
        ("suspended", "is suspended, and only"),
        ("invalid", "files of 'x' are missing"),
    ],
)
def test_only_a_stopped_vm_is_compacted(mac: Any, path: Path, dry: bool, state: str, sentence: str) -> None:
    vm = a_vm(mac, path, state)
    with pytest.raises(TaskError, match=sentence):
        compact(mac.prl, vm, 60, dry=dry)


def test_a_vm_with_snapshots_is_not_compacted(mac: Any, path: Path) -> None:
    facts = mac.bundle(path)
    mac.list((UUID, "x", "stopped"))
    mac.look(UUID, {"{64d481bb-ce04-45b1-8328-49e4e4c43ddf}": {"name": "base", "parent": ""}}, Name="x", **facts)
    vm = get_vm(mac.prl, "x")
    with pytest.raises(TaskError, match=r"'x' has 1 snapshots, and disks with snapshots cannot be compacted"):
        compact(mac.prl, vm, 60, dry=False)


def test_plain_disks_and_packed_vms_are_left_alone(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path, "running", Hardware={"hdd0": {"image": "x.hdd", "type": "plain", "size": "64Mb"}})
    assert compact(mac.prl, vm, 60, dry=False) == ([], False)
    mac.list((UUID, "x", "stopped")).look(UUID, Home="/p/x.pvmp")
    assert compact(mac.prl, get_vm(mac.prl, "x"), 60, dry=False) == ([], False)


def test_compacting_tells_which_disks_are_through(mac: Any, path: Path) -> None:
    vm = a_vm(mac, path)
    size = vm.disks[0].bytes_on_disk
    vm = replace(vm, disks=[vm.disks[0], replace(vm.disks[0], device="hdd1")])
    reports: list[tuple[int, int]] = []
    for _disk in vm.disks:
        estimate(mac, vm, FULL)
    for _disk in vm.disks:
        passes(mac, vm, path)
    compact(mac.prl, vm, 60, dry=False, report=lambda *told: reports.append(told))
    assert reports == [
        (0, 2 * size),
        (size // 2, 2 * size),
        (size, 2 * size),
        (size, 2 * size),
        (size + size // 2, 2 * size),
        (2 * size, 2 * size),
    ]


def with_disks(mac: Any, path: Path, *images: str, descriptor: str = "") -> Vm:
    facts = mac.bundle(path)
    if descriptor:
        (path / "harddisk1.hdd" / "DiskDescriptor.xml").write_text(descriptor)
    for number, image in enumerate(images, 1):
        facts["Hardware"][f"hdd{number}"] = {**facts["Hardware"]["hdd0"], "image": image}
    mac.list((UUID, "x", "stopped")).look(UUID, Name="x", State="stopped", **facts)
    return get_vm(mac.prl, "x")


def descriptor(*files: str) -> str:
    images = "".join(f"<Storage><Image><GUID>{{{UUID}}}</GUID><File>{file}</File></Image></Storage>" for file in files)
    return f"<Parallels_disk_image><StorageData>{images}</StorageData></Parallels_disk_image>"


def test_a_vm_whose_disks_are_all_in_its_bundle(mac: Any, path: Path) -> None:
    vm = with_disks(mac, path, "harddisk1.hdd", descriptor=descriptor("harddisk1.hds", "harddisk1.hds"))
    assert (disks_outside(vm), bytes_outside(vm), missing_files(vm), unreadable_disks(vm)) == ([], 0, [], [])


def test_disks_outside_and_pieces_outside_are_found_and_counted_once(mac: Any, path: Path, tmp_path: Path) -> None:
    big = tmp_path / "elsewhere" / "big.hdd"
    big.mkdir(parents=True)
    (big / "big.hds").write_bytes(b"x" * 100_000)
    (big / "DiskDescriptor.xml").write_text(descriptor("big.hds"))
    piece = tmp_path / "piece.hds"
    piece.write_bytes(b"x" * 50_000)
    vm = with_disks(
        mac,
        path,
        str(big),
        "/dev/disk0s4",
        str(tmp_path / "gone.hdd"),
        descriptor=descriptor("harddisk1.hds", str(piece)),
    )
    assert disks_outside(vm) == [
        str(piece),
        str(big),
        str(big / "big.hds"),
        "/dev/disk0s4",
        str(tmp_path / "gone.hdd"),
    ]
    assert 150_000 < bytes_outside(replace(vm, disks=vm.disks[:2])) < 180_000
    assert str(tmp_path / "gone.hdd") in missing_files(vm)
    with pytest.raises(TaskError, match=r"The size of /dev/disk0s4 is not known. /dev/disk0s4 does not exist"):
        bytes_outside(replace(vm, disks=vm.disks[:3]))
    with pytest.raises(TaskError, match=r"The size of .*/gone.hdd is not known. .*/gone.hdd does not exist. Connect"):
        bytes_outside(replace(vm, disks=[*vm.disks[:2], vm.disks[3]]))


@pytest.mark.parametrize("text", ["", "<Parallels_disk", "<Parallels_disk_image/>", "\xff"])
def test_a_disk_whose_descriptor_says_nothing_is_unreadable(mac: Any, path: Path, text: str) -> None:
    vm = with_disks(mac, path, descriptor=text or " ")
    assert unreadable_disks(vm) == [str(path / "harddisk1.hdd")]


def test_what_differs_only_in_the_name_of_its_folder_is_inside(mac: Any, path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    vm = with_disks(mac, path, str(tmp_path / "link" / path.name / "harddisk1.hdd"))
    assert disks_outside(vm) == []


def test_disks_in_an_intermediate_state_are_not_compacted(mac: Any, path: Path) -> None:
    vm = with_disks(mac, path)
    os.rename(path, path.with_suffix(".pvmi"))
    with pytest.raises(TaskError, match=r"is in an intermediate state .*prlctl unpack 'x'.*state: unpacked"):
        compact(mac.prl, replace(vm, home=str(path.with_suffix(".pvmi"))), 60, dry=True)
