# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The disks of a VM: where their files are, and the compacting of those that expand."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Callable, Optional

from .._common.errors import TaskError
from .._common.files import bytes_on_disk, same_file
from .._common.progress import Report, unwatched
from .._common.space import explain_free
from .cli import PRL_DISK_TOOL, Prlctl, Result, failure, is_transient
from .vm import INVALID, STOPPED, Disk, Vm, get_vm_at_rest, known_bytes, layers_of, refuse_intermediate

_DESCRIPTOR = "DiskDescriptor.xml"


def files_of(disk: Disk) -> list[str]:
    """Return the files of a disk: of a split disk or one with snapshots, all its pieces and layers."""
    return [disk.path, *(layer.path for layer in layers_of(disk))]


def missing_files(vm: Vm) -> list[str]:
    """Return the files of its disks that are not there, by the disks' own lists. A packed VM has none of its own."""
    return [path for disk in vm.disks if disk.path for path in files_of(disk) if not os.path.exists(path)]


def unreadable_disks(vm: Vm) -> list[str]:
    """Return the disks whose list of files cannot be read, so that it is not known where they are."""
    return [
        disk.path
        for disk in vm.disks
        if disk.path and os.path.lexists(os.path.join(disk.path, _DESCRIPTOR)) and not layers_of(disk)
    ]


def disks_outside(vm: Vm) -> list[str]:
    """Return the files of its disks that are not in its bundle, and so not in an image that is made of it.

    Among them are disks of the Mac (Boot Camp), and those of another VM that a linked clone needs.
    """
    found = (path for disk in vm.disks if disk.path for path in files_of(disk) if not _is_inside(path, vm.home))
    return list(dict.fromkeys(found))


def bytes_outside(vm: Vm) -> int:
    """Return the bytes that the files of its disks take outside of its bundle; raise TaskError if it is not known."""
    outside = {os.path.realpath(path) for path in disks_outside(vm)}
    return sum(known_bytes(path) for path in outside if not any(_is_inside(path, other) for other in outside))


def _is_inside(path: str, folder: str) -> bool:
    """Return whether a file, which may be gone, is in a folder or deeper. Names alone differ in case and accents."""
    folder = os.path.realpath(folder)
    path = os.path.realpath(path)
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        if path == folder or same_file(path, folder):
            return True
    return False


@dataclass(frozen=True)
class Compacted:
    """The size of one disk before and after compacting, in bytes on the Mac's disk."""

    path: str
    bytes_before: int
    bytes_after: int


# The first pass frees the blocks that the guest's file system does not use, the second those full of zeros.
_PASSES: tuple[tuple[str, ...], ...] = ((), ("--buildmap",))


def compact(
    prl: Prlctl, vm: Vm, timeout: float, *, dry: bool, report: Report = unwatched
) -> tuple[list[Compacted], bool]:
    """Compact the expanding disks that hold unused blocks; return them all, and whether any was changed.

    Progress is reported after each pass over a disk: the program reports nothing while it works on one.
    """
    refuse_intermediate(vm)
    disks = [disk for disk in vm.disks if disk.format == "expanding"]
    if not disks or vm.packed:
        return [], False
    _refuse(vm)
    worth = {disk.path for disk in disks if _is_worth_it(prl, disk, timeout)}
    total = sum(disk.bytes_on_disk or 0 for disk in disks if disk.path in worth)
    through = 0
    done = []
    for disk in disks:
        size = after = disk.bytes_on_disk or 0  # known, see _refuse
        if disk.path in worth and not dry:
            before = through

            def report_pass(number: int, size: int = size, before: int = before) -> None:
                report(before + size * number // len(_PASSES), total)

            _compact_disk(prl, vm, disk, timeout, report_pass)
            through += size
            after = bytes_on_disk(disk.path) or after  # 0 when it has been packed into an image since
        done.append(Compacted(disk.path, size, after))
    return done, bool(worth) if dry else any(disk.bytes_before != disk.bytes_after for disk in done)


def _refuse(vm: Vm) -> None:
    if vm.state == INVALID:
        raise TaskError(
            f"The files of '{vm.name}' are missing or unreadable. Connect the disk they are on, or restore them."
        )
    if vm.state != STOPPED:
        raise TaskError(
            f"'{vm.name}' is {vm.state}, and only the disks of a VM that is shut down can be compacted. Shut it down "
            "first (macops.parallels.vm_power with state: stopped).",
            state=vm.state,
        )
    if vm.snapshots is None or any(disk.bytes_on_disk is None for disk in vm.disks):
        raise TaskError(f"'{vm.name}' cannot be read. {' '.join(vm.why_unreadable())} Then run again.")
    if vm.snapshots:
        raise TaskError(
            f"'{vm.name}' has {len(vm.snapshots)} snapshots, and disks with snapshots cannot be compacted. Remove "
            "them first (macops.parallels.vm_snapshot with state: absent, all: true)."
        )


def _is_worth_it(prl: Prlctl, disk: Disk, timeout: float) -> bool:
    """Return whether a disk has, or may have, unused blocks: when the program does not report them, it may."""
    result = prl.run(PRL_DISK_TOOL, "compact", "--info", "--hdd", disk.path, limit=timeout)
    allocated, used = _count(result.stdout, "Allocated"), _count(result.stdout, "Used")
    return result.rc != 0 or allocated is None or used is None or allocated > used


def _count(text: str, what: str) -> Optional[int]:
    found = re.search(rf"{what} blocks\s*:?\s*(\d+)", text, re.IGNORECASE)
    return int(found.group(1)) if found else None


def _compact_disk(prl: Prlctl, vm: Vm, disk: Disk, timeout: float, report_pass: Callable[[int], None]) -> None:
    results = []
    for number, options in enumerate(_PASSES):
        report_pass(number)
        results.append(_run_pass(prl, disk, options, timeout))
    report_pass(len(_PASSES))
    failed = next((result for result in results if result.rc != 0), None)
    # A packing that an earlier, killed run began may have finished since, and put the disk into the image.
    if failed is not None and _is_worth_it(prl, disk, timeout) and not get_vm_at_rest(prl, vm.uuid).packed:
        error = failure(f"Parallels could not compact {disk.path}", failed)
        explain_free(error, vm.folder)
        raise error


def _run_pass(prl: Prlctl, disk: Disk, options: tuple[str, ...], timeout: float) -> Result:
    """Return the result of a pass, repeated while the disk is still in use."""
    for pause in prl.pauses():
        result = prl.run(PRL_DISK_TOOL, "compact", *options, "--hdd", disk.path, limit=timeout)
        if result.rc == 0 or result.timed_out or not is_transient(result):
            return result
        prl.sleep(pause)
    return result
