# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Makes and removes snapshots; each change is verified with a new list."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import replace
from typing import Optional

from .._common.errors import TaskError
from .._common.given import refuse_unprintable
from .._common.space import Need
from .._common.text import same_name
from .cli import Prlctl
from .disks import disks_outside
from .vm import (
    Disk,
    Layer,
    Snapshot,
    Vm,
    bare_uuid,
    find_linked_clones,
    is_busy,
    known_bytes,
    layers_of,
    read_snapshots,
    state_of,
)

# Deleting merges delta files, and Parallels refuses the next deletion for as long as that takes.
_MERGE_PATIENCE = 900


def known_snapshots(vm: Vm) -> list[Snapshot]:
    """Return the snapshots of a VM; raise TaskError when Parallels cannot list them."""
    if vm.snapshots is None:
        why = (
            "it is packed. Unpack it first (macops.parallels.image_pack with state: unpacked)."
            if vm.packed
            else "its files are missing or unreadable. Connect the disk they are on, or restore them."
        )
        raise TaskError(f"Parallels cannot list the snapshots of '{vm.name}': {why}")
    return vm.snapshots


def find_snapshots(vm: Vm, name_or_id: str) -> list[Snapshot]:
    """Return the snapshots of a VM that have this id or name."""
    identity = bare_uuid(name_or_id)
    known = known_snapshots(vm)
    by_id = [snapshot for snapshot in known if identity and snapshot.id == identity]
    return by_id or [snapshot for snapshot in known if same_name(snapshot.name, name_or_id)]


def create_snapshot(prl: Prlctl, vm: Vm, name: str, description: str, timeout: float) -> list[Snapshot]:
    """Make a snapshot, and return the new list."""
    refuse_unprintable("The name of the snapshot", name)
    known = {snapshot.id for snapshot in known_snapshots(vm)}

    def made() -> bool:
        now = read_snapshots(prl, vm.uuid)
        return not is_busy(state_of(prl, vm.uuid)) and any(
            snapshot.id not in known and same_name(snapshot.name, name) for snapshot in now
        )

    args = ["snapshot", vm.uuid, "-n", name]
    if description:
        args += ["-d", description]
    prl.change(f"make the snapshot '{name}' of '{vm.name}'", args, made, limit=timeout, settle=timeout)
    return read_snapshots(prl, vm.uuid)


def chosen(vm: Vm, name_or_id: Optional[str], children: bool) -> list[Snapshot]:
    """Return the snapshots to remove, leaves first: all, or one, or one with its descendants."""
    if name_or_id is None:
        return list(reversed(known_snapshots(vm)))  # the list has each parent before its children
    found = find_snapshots(vm, name_or_id)
    if len(found) > 1:
        raise TaskError(
            f"'{vm.name}' has {len(found)} snapshots named '{name_or_id}': "
            f"{', '.join(snapshot.id for snapshot in found)}. Use the id of the one that you mean."
        )
    if not found or not children:
        return found
    family = {found[0].id}
    for snapshot in known_snapshots(vm):
        if snapshot.parent in family:
            family.add(snapshot.id)
    return [snapshot for snapshot in reversed(known_snapshots(vm)) if snapshot.id in family]


def refuse_needed(prl: Prlctl, vm: Vm, victims: Optional[list[Snapshot]] = None, older: Container[str] = ()) -> None:
    """Raise TaskError when linked clones may depend on these snapshots, by default all: their disks would be lost.

    This is the check of all that removes, merges or packs the disks of a VM. A VM that cannot be read may be a linked
    clone, unless it is one of the C(older) VMs, which were there before this one.
    """
    if vm.snapshots == [] or victims == []:  # a linked clone always depends on a snapshot
        return
    found = find_linked_clones(prl, vm)
    doomed = None if victims is None else {snapshot.id for snapshot in victims}
    clones = [clone for clone, snapshot in found.clones if not snapshot or doomed is None or snapshot in doomed]
    if clones:
        names = ", ".join(f"'{clone.name}'" for clone in clones)
        raise TaskError(
            f"Linked clones depend on snapshots of '{vm.name}' and would be lost with them: {names}. Remove those "
            "virtual machines first, or accept their loss with force: true.",
            linked_clones=[clone.uuid for clone in clones],
        )
    # The disks of a packed VM are in its image: a linked clone would have been lost when it was packed.
    unreadable = [] if vm.packed else [(entry, why) for entry, why in found.unreadable if entry.uuid not in older]
    if unreadable:
        reasons = " ".join(f"'{entry.name}': {why}" for entry, why in unreadable)
        raise TaskError(
            f"It is not known whether linked clones depend on snapshots of '{vm.name}' and would be lost with them, "
            f"because some virtual machines cannot be read. {reasons} Make them readable, or unregister those that do "
            "not exist any more (macops.parallels.vm with state: unregistered), or accept the loss of linked clones "
            "with force: true.",
            unreadable=[entry.uuid for entry, _why in unreadable],
        )


def remove_snapshots(prl: Prlctl, vm: Vm, victims: list[Snapshot], timeout: float) -> list[Snapshot]:
    """Remove snapshots one after the other, and return the new list."""
    for victim in victims:

        def gone(identity: str = victim.id) -> bool:
            return not is_busy(state_of(prl, vm.uuid)) and all(
                snapshot.id != identity for snapshot in read_snapshots(prl, vm.uuid)
            )

        needs = _needs(vm, victim)
        for need in needs:
            need.refuse_less()
        try:
            prl.change(
                f"delete the snapshot '{victim.name}' of '{vm.name}'",
                ["snapshot-delete", vm.uuid, "-i", f"{{{victim.id}}}"],
                gone,
                limit=timeout,
                settle=20,
                patience=_MERGE_PATIENCE,
            )
        except TaskError as error:
            for need in needs:
                need.explain(error)
            raise
    return read_snapshots(prl, vm.uuid)


def _needs(vm: Vm, victim: Snapshot) -> list[Need]:
    """Return how much the disks may grow while a snapshot is removed, on each volume that they are on."""
    grown = {vm.folder: 0}
    for disk in vm.disks:
        merged = _merged_bytes(disk, victim)
        if merged:
            folder = os.path.dirname(disk.path) if disks_outside(replace(vm, disks=[disk])) else vm.folder
            grown[folder] = grown.get(folder, 0) + merged
    what = f"Removing the snapshot '{victim.name}' of '{vm.name}'"
    return [Need(what, folder, needed) for folder, needed in grown.items()]


def _merged_bytes(disk: Disk, victim: Snapshot) -> int:
    """Return how much a disk may grow while a snapshot is removed; raise TaskError if that is not known.

    Its layer of the disk is merged with the layer above it, and the bigger one may absorb the whole smaller one before
    that is deleted. A layer with several layers above it stays; one with none above it is just removed.
    """
    if not disk.path:
        return 0
    layers = layers_of(disk)
    if not layers:  # which layers there are is not known, and a layer is not bigger than all of them
        return known_bytes(disk.path)
    above = {layer.id for layer in layers if layer.parent == victim.id}
    if len(above) != 1:
        return 0
    return min(_bytes_of(layers, identity) for identity in (victim.id, *above))


def _bytes_of(layers: list[Layer], identity: str) -> int:
    """Return the bytes of a layer: a split disk has several pieces of each."""
    return sum(known_bytes(layer.path) for layer in layers if layer.id == identity)
