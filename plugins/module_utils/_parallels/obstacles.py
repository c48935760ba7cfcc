# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Why no image can be made of a VM, whatever its power state is: the one list for all who check that.

It is read from the VM's facts alone, before hours of work are done. What is not known is an obstacle, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._common.claim import has_claim
from .._common.files import IMAGE_SUFFIX, INTERMEDIATE_SUFFIX
from .disks import disks_outside, missing_files, unreadable_disks
from .vm import BUNDLE_SUFFIX, MACOS_BUNDLE_SUFFIX, Vm

ENCRYPTED = "encrypted"
LINKED_CLONE = "linked_clone"


@dataclass(frozen=True)
class Obstacle:
    """One reason, which completes "'NAME' cannot become an image:", and what to do about it."""

    id: str
    reason: str
    advice: str

    @property
    def text(self) -> str:
        """Return the reason with the advice."""
        return f"{self.reason} {self.advice}"


def obstacles(vm: Vm) -> list[Obstacle]:
    """Return all obstacles of a VM; none for one that is an image already."""
    return [] if vm.packed and vm.home.endswith(IMAGE_SUFFIX) else list(_obstacles(vm))


def _obstacles(vm: Vm) -> Iterator[Obstacle]:
    unfinished = _unfinished(vm)
    if unfinished:
        yield Obstacle(
            "intermediate",
            f"{unfinished} shows that packing or unpacking it was begun and not finished.",
            f'Finish it on the Mac (`prlctl unpack "{vm.name}"`), then run again.',
        )
    elif vm.home.endswith(MACOS_BUNDLE_SUFFIX):
        yield Obstacle(
            "macos",
            f"{vm.home} is not a .pvm bundle but a macOS virtual machine of Apple silicon. It is bound to its Mac and "
            "cannot be packed.",
            "Choose another virtual machine.",
        )
    elif not vm.home.endswith(BUNDLE_SUFFIX):
        yield Obstacle(
            "bundle",
            f"{vm.home} is not a .pvm bundle, and only those can be packed."
            if vm.home
            else "Parallels does not report where its files are.",
            "Choose another virtual machine.",
        )
    yield from _template(vm)
    yield from _linked_clone(vm)
    yield from _encrypted(vm)
    yield from _disks(vm)


def _unfinished(vm: Vm) -> str:
    """Return the path that shows an unfinished packing or unpacking. One under a claim is a matter of its holder."""
    if vm.intermediate:
        return vm.home
    stem = os.path.join(vm.folder, vm.stem)
    beside = stem + INTERMEDIATE_SUFFIX
    is_claimed = has_claim(stem + IMAGE_SUFFIX)
    return beside if vm.home and not is_claimed and os.path.lexists(beside) else ""


def _template(vm: Vm) -> Iterator[Obstacle]:
    if vm.template:
        yield Obstacle(
            "template",
            "it is a template.",
            f'Convert it to a virtual machine (`prlctl set "{vm.name}" --template off`), then run again.',
        )
    elif vm.template is None:
        yield _unknown("template", vm, "whether it is a template")


def _linked_clone(vm: Vm) -> Iterator[Obstacle]:
    if vm.linked_clone:
        yield Obstacle(
            LINKED_CLONE,
            "it is a linked clone: its disks depend on those of another virtual machine and would be incomplete on "
            "another Mac.",
            "Make a full clone of it and pack that.",
        )
    elif vm.linked_clone is None:
        yield _unknown(LINKED_CLONE, vm, "whether it is a linked clone")


def _encrypted(vm: Vm) -> Iterator[Obstacle]:
    allow = "allow it (allow_encrypted: true of image_pack, image_allow_encrypted: true of the playbooks)."
    if vm.encrypted:
        yield Obstacle(
            ENCRYPTED,
            "it is encrypted, so the image could only be used with its password.",
            f"Decrypt it, or {allow}",
        )
    elif vm.encrypted is None:
        unknown = _unknown(ENCRYPTED, vm, "whether it is encrypted")
        yield Obstacle(unknown.id, unknown.reason, f"{unknown.advice} Or {allow}")


def _disks(vm: Vm) -> Iterator[Obstacle]:
    if not (vm.disks and vm.disks_known):
        yield _unknown("disks", vm, "which disks it has")
    for disk in vm.disks:
        if _is_physical(disk.path):
            yield Obstacle(
                "physical_disk",
                f"its disk {disk.device} is not a file but a disk or partition of the Mac"
                f"{f' ({disk.path})' if disk.path else ''}, such as Boot Camp.",
                "Import it into a virtual machine with a disk of its own, or choose another virtual machine.",
            )
    outside = [path for path in disks_outside(vm) if not _is_physical(path)]
    if outside:
        yield Obstacle(
            "disk_outside",
            "its disks are not all in its bundle, and the image would be incomplete without them: "
            f"{', '.join(outside)}.",
            f"Move them into {vm.home}, or remove them from its configuration.",
        )
    missing = [path for path in missing_files(vm) if path not in outside and not _is_physical(path)]
    if missing:
        yield Obstacle(
            "disk_missing",
            f"files of its disks are missing: {', '.join(missing)}.",
            "Connect the disk they are on, or restore them.",
        )
    unreadable = unreadable_disks(vm)
    if unreadable:
        yield Obstacle(
            "disks_unreadable",
            f"the list of files of its disks cannot be read ({', '.join(unreadable)}), so it is not known whether the "
            "image would be complete.",
            "Check the owner and the permissions of its files, and whether it starts.",
        )


def _is_physical(path: str) -> bool:
    return not path or path.startswith("/dev/")


def _unknown(id: str, vm: Vm, what: str) -> Obstacle:
    if vm.unreadable:
        return Obstacle(id, f"it is not known {what}.", f"{' '.join(vm.unreadable)} Then run again.")
    return Obstacle(
        id,
        f"it is not known {what}, because Parallels does not report it or its files cannot be read.",
        f"Check `prlctl list -i -j {vm.uuid}` and the rights of {vm.home or 'its files'}, then run again.",
    )
