# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual disk: the .hdd folder with its descriptor and one image file a snapshot, each over the one before.

The image with C(TOP) is the one the guest writes to. A snapshot freezes it under the snapshot's id, and a new one is
laid over it. When a snapshot goes, its image is merged with the one above, so that what the guest sees stays the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional
from xml.etree import ElementTree

from .hds import BLOCK, ExpandingImage, create_plain, is_expanding, merge, read_disk
from .sparse import Noise, data_bytes

TOP = "{5fbaabe3-6958-40ff-92a7-860e329aab41}"
NONE = "{00000000-0000-0000-0000-000000000000}"
DESCRIPTOR = "DiskDescriptor.xml"
_SECTOR = 512


class Image(NamedTuple):
    """One image file: its id, the id of the one below it, its path (absolute when it is another VM's)."""

    guid: str
    parent: str
    file: str


class Disk:
    """A .hdd folder."""

    def __init__(self, folder: Path, virtual: int, plain: bool, images: list[Image], free: list[int]) -> None:
        self.folder = folder
        self.virtual = virtual
        self.plain = plain
        self.images = images
        self.free = free  # blocks the guest no longer uses, which a compaction gives back

    # --- making, reading, writing ---------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, virtual: int, plain: bool) -> Disk:
        """Make an empty disk."""
        virtual = max(BLOCK, -(-virtual // BLOCK) * BLOCK)
        folder.mkdir()
        disk = cls(folder, virtual, plain, [Image(TOP, NONE, image_name(folder.name, TOP))], [])
        if plain:
            create_plain(disk.path(TOP), virtual)
        else:
            ExpandingImage.create(disk.path(TOP), virtual)
        disk.save()
        return disk

    @classmethod
    def open(cls, folder: Path) -> Disk:
        """Read a disk's descriptor."""
        root = ElementTree.parse(folder / DESCRIPTOR).getroot()
        parents = {shot.findtext("GUID"): shot.findtext("ParentGUID") for shot in root.iter("Shot")}
        images = []
        for element in root.iter("Image"):
            guid = element.findtext("GUID") or ""
            images.append(Image(guid, parents.get(guid) or NONE, element.findtext("File") or ""))
        plain = root.findtext("Simulation/Format") == "plain"
        free = [int(word) for word in (root.findtext("Simulation/FreeBlocks") or "").split()]
        return cls(folder, int(root.findtext("Disk_Parameters/Disk_size") or 0) * _SECTOR, plain, images, free)

    def save(self) -> None:
        """Write the descriptor."""
        root = ElementTree.Element("Parallels_disk_image", Version="1.0")
        parameters = ElementTree.SubElement(root, "Disk_Parameters")
        _text(parameters, "Disk_size", self.virtual // _SECTOR)
        _text(parameters, "Heads", 16)
        _text(parameters, "Sectors", 63)
        _text(parameters, "Padding", 0)
        _text(parameters, "Name", self.folder.name)
        storage = ElementTree.SubElement(ElementTree.SubElement(root, "StorageData"), "Storage")
        _text(storage, "Start", 0)
        _text(storage, "End", self.virtual // _SECTOR)
        _text(storage, "Blocksize", BLOCK // _SECTOR)
        for image in self.images:
            element = ElementTree.SubElement(storage, "Image")
            _text(element, "GUID", image.guid)
            _text(element, "Type", "Plain" if self.plain and image.parent == NONE else "Compressed")
            _text(element, "File", image.file)
        snapshots = ElementTree.SubElement(root, "Snapshots")
        _text(snapshots, "TopGUID", TOP)
        for image in self.images:
            shot = ElementTree.SubElement(snapshots, "Shot")
            _text(shot, "GUID", image.guid)
            _text(shot, "ParentGUID", image.parent)
        simulation = ElementTree.SubElement(root, "Simulation")
        _text(simulation, "Format", "plain" if self.plain else "expanding")
        _text(simulation, "FreeBlocks", " ".join(str(block) for block in self.free))
        write_xml(root, self.folder / DESCRIPTOR)

    # --- images ---------------------------------------------------------------------------------------------------

    def image(self, guid: str) -> Image:
        """Return the image with this id."""
        return next(image for image in self.images if image.guid == guid)

    def path(self, guid: str) -> Path:
        """Return the path of an image file."""
        return self.folder / self.image(guid).file  # an absolute file wins over the folder

    def chain(self, guid: str = TOP) -> list[Path]:
        """Return the image files that make what a guest sees at C(guid), the lowest first."""
        paths = []
        while guid != NONE:
            paths.append(self.path(guid))
            guid = self.image(guid).parent
        return paths[::-1]

    def missing(self) -> Optional[Path]:
        """Return an image file that is not there."""
        return next((path for path in (self.path(image.guid) for image in self.images) if not path.is_file()), None)

    def write(self, first: int, length: int, noise: Noise) -> None:
        """Let the guest write C(length) incompressible bytes from block C(first) on."""
        top = self.path(TOP)
        if is_expanding(top):
            ExpandingImage.open(top).append(_numbered(noise, first, length))
            return
        with open(top, "r+b") as file:
            file.seek(first * BLOCK)
            for block in noise.blocks(length):
                file.write(block)

    def waste(self, first: int, length: int, noise: Noise) -> None:
        """Let the guest delete what it wrote: one half is known to be free, the other is full of zeros."""
        blocks = max(2, length // BLOCK)
        known = range(first, first + blocks // 2)
        zeros = range(known.stop, first + blocks)
        self.write(known.start, len(known) * BLOCK, noise)
        ExpandingImage.open(self.path(TOP)).append((block, bytes(BLOCK)) for block in zeros)
        self.free = list(known)
        self.save()

    # --- snapshots ------------------------------------------------------------------------------------------------

    def take_snapshot(self, guid: str) -> None:
        """Freeze what there is as the image of a snapshot, and lay an empty image over it."""
        top = self.image(TOP)
        frozen = Image(guid, top.parent, image_name(self.folder.name, guid))
        os.rename(self.path(TOP), self.folder / frozen.file)
        self.images = [image for image in self.images if image.guid != TOP] + [frozen, Image(TOP, guid, top.file)]
        ExpandingImage.create(self.path(TOP), self.virtual)
        self.free = []
        self.save()

    def switch_snapshot(self, guid: str) -> None:
        """Throw away what was written since, and go on from a snapshot."""
        top = self.image(TOP)
        self.images = [image for image in self.images if image.guid != TOP] + [Image(TOP, guid, top.file)]
        ExpandingImage.create(self.path(TOP), self.virtual)
        self.save()

    def forget_snapshots(self, kept: set[str]) -> None:
        """Drop or merge each image that no remaining snapshot needs."""
        while True:
            image = next((image for image in self.images if self._superfluous(image, kept)), None)
            if image is None:
                break
            above = self._above(image)
            if above:
                self._merge_into(image, above[0])
            else:
                self.path(image.guid).unlink()
                self.images.remove(image)
        self.save()

    def _superfluous(self, image: Image, kept: set[str]) -> bool:
        if image.guid == TOP or image.guid in kept or os.path.isabs(image.file):
            return False
        return len(self._above(image)) < 2

    def _above(self, image: Image) -> list[Image]:
        return [other for other in self.images if other.parent == image.guid]

    def _merge_into(self, lower: Image, upper: Image) -> None:
        merge(self.path(upper.guid), self.path(lower.guid))
        os.replace(self.path(lower.guid), self.path(upper.guid))
        self.images[self.images.index(upper)] = Image(upper.guid, lower.parent, upper.file)
        self.images.remove(lower)

    def flatten_into(self, folder: Path) -> Disk:
        """Write what the guest sees now into a new disk without snapshots."""
        flat = Disk.create(folder, self.virtual, self.plain)
        blocks = read_disk(self.chain(), self.virtual)
        if self.plain:
            with open(flat.path(TOP), "r+b") as file:
                for block, data in blocks:
                    file.seek(block * BLOCK)
                    file.write(data[: self.virtual - block * BLOCK])
        else:
            ExpandingImage.open(flat.path(TOP)).append(blocks)
        return flat

    # --- numbers --------------------------------------------------------------------------------------------------

    def allocated_blocks(self) -> int:
        """Return how many blocks the image files hold."""
        return sum(
            len(ExpandingImage.open(path).used()) if is_expanding(path) else -(-data_bytes(path) // BLOCK)
            for path in (self.path(image.guid) for image in self.images)
        )

    def zero_blocks(self) -> list[int]:
        """Return the blocks that hold nothing but zeros."""
        path = self.path(TOP)
        image = ExpandingImage.open(path)
        with open(path, "rb") as file:
            return [block for block in image.used() if _is_zero(image.read_block(file, block))]

    def compact(self, build_map: bool) -> None:
        """Give back the blocks that are known to be free; with a new map, also those that are full of zeros."""
        blocks = list(self.free) + (self.zero_blocks() if build_map else [])
        ExpandingImage.open(self.path(TOP)).release(blocks)
        self.free = []
        self.save()


def image_name(folder: str, guid: str) -> str:
    """Return the file name of an image."""
    return f"{folder}.0.{guid}.hds"


def _is_zero(data: bytes) -> bool:
    return data.count(0) == len(data)


def _numbered(noise: Noise, first: int, length: int) -> Iterator[tuple[int, bytes]]:
    block = first
    for chunk in noise.blocks(length):
        for start in range(0, len(chunk), BLOCK):
            yield block, chunk[start : start + BLOCK]
            block += 1


def _text(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)


def write_xml(root: ElementTree.Element, path: Path) -> None:
    """Write an XML file, indented, atomically."""
    indent(root)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    ElementTree.ElementTree(root).write(temporary, encoding="UTF-8", xml_declaration=True)
    os.replace(temporary, path)


def indent(element: ElementTree.Element, level: int = 0) -> None:
    """Indent an XML tree as Parallels does, with three spaces."""
    children = list(element)
    if not children:
        return
    inner = "\n" + "   " * (level + 1)
    element.text = inner
    for child in children:
        indent(child, level + 1)
        child.tail = inner
    children[-1].tail = "\n" + "   " * level
