# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's bundle: the .pvm folder with its configuration, disks, snapshots, and what the guest has become."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional
from xml.etree import ElementTree

from .config import CONFIG, VmConfig
from .disks import Disk, write_xml
from .guest import new_memory
from .snapshots import SnapshotTree
from .sparse import MIB, Noise, Step, copy_file, data_bytes, no_step

GUEST = "guest.json"  # what is different inside of the guest since it was installed
GUEST_ROOT = "guest-root.tar"  # the same for a guest with a root of its own
INFO = "VmInfo.pvi"
SUFFIX = ".pvm"
_MEMORY_SUFFIXES = (".mem", ".sav")  # a suspended guest's memory

PLATFORM_KEYS = {
    "outdated": "7ec69a1bd679fb7aa7b22ce6b3d0204113b19591db1f1d52014022d8c74f0d53",
    "current": "3cb7f11d0f1a9d6e52b5f3b9e0b4a7b6a6d0c7d7d5a2e0c5a1a3a7f9e8b6c4d2",
}


class Bundle:
    """A .pvm folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def config(self) -> VmConfig:
        """Read config.pvs; raises ValueError when it cannot be read."""
        return VmConfig.load(self.path)

    def snapshots(self) -> SnapshotTree:
        """Read the tree of snapshots."""
        return SnapshotTree.load(self.path)

    def disks(self, config: Optional[VmConfig] = None) -> list[Disk]:
        """Open the VM's disks."""
        return [Disk.open(self.path / name) for name in (config or self.config()).disks]

    def guest(self) -> dict[str, Any]:
        """Read what the guest has become."""
        try:
            return json.loads((self.path / GUEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def save_guest(self, guest: dict[str, Any]) -> None:
        """Write what the guest has become."""
        (self.path / GUEST).write_text(json.dumps(guest, indent=1, sort_keys=True), encoding="utf-8")

    def problem(self) -> Optional[str]:
        """Return why Parallels would call this VM invalid."""
        try:
            config = self.config()
            for disk in self.disks(config):
                missing = disk.missing()
                if missing:
                    return f"{missing} is missing"
        except (OSError, ValueError, ElementTree.ParseError) as error:
            return str(error)
        return None

    def files(self, with_memory: bool = True) -> list[Path]:
        """Return the relative paths of all files, in a fixed order; the guest's memory counts as power state."""
        found = []
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            found.extend(Path(folder, name).relative_to(self.path) for name in sorted(names))
        return [name for name in found if with_memory or name.suffix not in _MEMORY_SUFFIXES or len(name.parts) > 1]

    def write_memory(self, guid: str) -> None:
        """Save the guest's memory, as a suspend does."""
        with open(self.path / f"{{{guid}}}.mem", "wb") as file:
            for block in Noise().blocks(64 * 1024):
                file.write(block)
        (self.path / f"{{{guid}}}.sav").write_text("saved state\n", encoding="utf-8")

    def drop_memory(self) -> None:
        """Forget the guest's memory."""
        for name in self.files():
            if len(name.parts) == 1 and name.suffix in _MEMORY_SUFFIXES:
                (self.path / name).unlink()

    def data_bytes(self) -> int:
        """Return how many bytes a copy has to move."""
        return sum(data_bytes(self.path / name) for name in self.files())

    def remove(self) -> None:
        """Delete the folder."""
        import shutil  # slow to load, and most calls delete nothing

        shutil.rmtree(self.path)

    # --- copying --------------------------------------------------------------------------------------------------

    def copy_to(self, target: Path, step: Step = no_step, with_memory: bool = True) -> Bundle:
        """Copy the bundle; config.pvs comes last, so that a copy broken off is no VM."""
        names = self.files(with_memory)
        names.sort(key=lambda name: name == Path(CONFIG))
        target.mkdir(parents=True)
        done = 0
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            done = copy_file(self.path / name, target / name, step, done)
        return Bundle(target)

    def copy_merged_to(self, target: Path, step: Step = no_step, with_memory: bool = True) -> Bundle:
        """Copy the bundle without its snapshots: of each disk only what the guest sees now."""
        config = self.config()
        inside_disks = set(config.disks)
        target.mkdir(parents=True)
        done = 0
        for name in self.files(with_memory):
            if name.parts[0] not in inside_disks and name.parts[0] not in ("Snapshots", "Snapshots.xml", CONFIG):
                done = copy_file(self.path / name, target / name, step, done)
        for disk in self.disks(config):
            step(done)
            disk.flatten_into(target / disk.folder.name)
            done += disk.allocated_blocks() * MIB
        step(done)
        copy_file(self.path / CONFIG, target / CONFIG)
        return Bundle(target)


def create_bundle(
    path: Path,
    config: VmConfig,
    data: int,
    virtual: int,
    disks: int,
    plain: bool,
    waste: int,
    platform_key: str,
) -> Bundle:
    """Make the bundle of a VM that has just been installed."""
    path.mkdir(parents=True)
    noise = Noise()
    config.disks = [f"harddisk{number}.hdd" for number in range(1, disks + 1)]
    for name in config.disks:
        disk = Disk.create(path / name, max(virtual, data + waste + 4 * MIB), plain)
        disk.write(0, data, noise)
        if waste:
            disk.waste(-(-data // MIB), waste, noise)
    (path / "NVRAM.dat").write_bytes(os.urandom(64 * 1024))
    info = ElementTree.Element("VmInfo")
    if config.family == "windows":
        ElementTree.SubElement(info, "UefiPlatformKeySha256").text = PLATFORM_KEYS[platform_key]
    write_xml(info, path / INFO)
    bundle = Bundle(path)
    bundle.save_guest(new_memory(config.family))
    config.save(path)
    return bundle
