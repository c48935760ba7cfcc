# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of prl_disk_tool: compact."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

from . import jobs, texts
from .bundle import Bundle
from .console import Console
from .disks import Disk
from .errors import CommandError
from .hds import BLOCK
from .jobs import Job, working
from .mac import Mac
from .vms import Vm, all_vms

_USAGE = "Usage: prl_disk_tool compact --hdd <disk_path> [--buildmap] [--exclude-pagefile] [--force] [-i | --info]"
_FLAGS = ("--buildmap", "--exclude-pagefile", "--force", "-i", "--info")
_SECTOR = 512


def run(mac: Mac, console: Console, argv: list) -> int:
    """Do what the arguments say; return the exit code."""
    if argv[:1] != ["compact"]:
        raise CommandError(_USAGE, rc=1)
    flags, path = _read(argv[1:])
    try:
        disk = Disk.open(path)
    except (OSError, ElementTree.ParseError) as error:
        raise CommandError(f'Failed to open the disk image "{path}": {error}') from error
    with mac.locked() as state:
        vm = next((vm for vm in all_vms(mac, state) if not vm.packed and vm.home == path.parent), None)
        _require_compactable(disk, vm, "--force" in flags)
        only_estimate = bool(flags & {"-i", "--info"})
        job = Job(mac, vm.record, "compacting its disk") if vm and not only_estimate else None
    if only_estimate:
        _print_estimate(console, disk)
        return 0
    with working(job) if job else contextlib.nullcontext():
        if mac.strike("hang", "compact"):
            jobs.hang()
        console.progress("Operation progress ...", 0, 1)
        disk.compact("--buildmap" in flags)
        console.progress("Operation progress ...", 1, 1)
    if mac.strike("rc255_after_success", "compact"):
        raise CommandError(texts.JOB_ERROR)
    return 0


def _read(arguments: list) -> tuple[set, Path]:
    flags, path, queue = set(), None, list(arguments)
    while queue:
        word = queue.pop(0)
        if word == "--hdd" and queue:
            path = Path(os.path.abspath(queue.pop(0)))
        elif word in _FLAGS:
            flags.add(word)
        else:
            raise CommandError(f"Unrecognized option: {word}\n{_USAGE}", rc=1)
    if path is None:
        raise CommandError(_USAGE, rc=1)
    return flags, path


def _require_compactable(disk: Disk, vm: Optional[Vm], force: bool) -> None:
    if disk.plain:
        raise CommandError("The disk cannot be compressed because it is either plain, or dynamic, or contains no data.")
    name = vm.name if vm else disk.folder.parent.name
    if len(disk.images) > 1 or Bundle(disk.folder.parent).snapshots():
        raise CommandError(
            f'The disk cannot be compressed because it is used by the "{name}" virtual machine '
            "that is in Rollback mode, or has snapshots."
        )
    if vm is None:
        return
    power = vm.require_free("compact")
    if power in ("running", "paused"):
        raise CommandError(texts.busy(power))
    if power == "suspended":
        if not force:
            raise CommandError(texts.wrong_state(name, power))
        vm.bundle.drop_memory()
        vm.record["state"] = "stopped"


def _print_estimate(console: Console, disk: Disk) -> None:
    allocated = disk.allocated_blocks()
    unused = set(disk.free) | set(disk.zero_blocks())
    console.out(f"Block size:              {BLOCK // _SECTOR}")
    console.out(f"Total blocks:            {disk.virtual // BLOCK}")
    console.out(f"Allocated blocks:        {allocated}")
    console.out(f"Used blocks:             {allocated - len(unused)}")
