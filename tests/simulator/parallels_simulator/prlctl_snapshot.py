# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl snapshot, snapshot-list, snapshot-delete, snapshot-switch."""

from __future__ import annotations

import time
from typing import Any

from . import jobs, texts
from .bundle import Bundle
from .ids import new_guid
from .jsontext import print_json, to_json
from .session import Session
from .snapshots import Snapshot, SnapshotTree
from .sparse import Noise
from .vms import Vm

LINKED_NAME = "Snapshot for linked clone"
_STATES = {"running": "poweron", "paused": "poweron", "suspended": "suspend"}
_HEADER = f"{'PARENT_SNAPSHOT_ID':<40}SNAPSHOT_ID"


def take_snapshot(bundle: Bundle, name: str, description: str, power: str) -> str:
    """Take a snapshot, and return its id."""
    tree = bundle.snapshots()
    guid = new_guid()
    state = _STATES.get(power, "poweroff")
    tree.add(Snapshot(guid, name, description, time.strftime("%Y-%m-%d %H:%M:%S"), state, ""))
    for disk in bundle.disks():
        disk.take_snapshot(guid)
    if state != "poweroff":
        folder = bundle.path / "Snapshots"
        folder.mkdir(exist_ok=True)
        with open(folder / f"{guid}.mem", "wb") as file:
            for block in Noise().blocks(64 * 1024):
                file.write(block)
    tree.save(bundle.path)
    return guid


def switch_snapshot(bundle: Bundle, snapshot: Snapshot) -> None:
    """Go back to a snapshot."""
    tree = bundle.snapshots()
    tree.make_current(tree.find(snapshot.guid))
    for disk in bundle.disks():
        disk.switch_snapshot(snapshot.guid)
    tree.save(bundle.path)


def run_snapshot(session: Session) -> int:
    """Take a snapshot."""
    parsed = session.parse({}, {"-n": "name", "--name": "name", "-d": "description", "--description": "description"})
    name = session.one_word(parsed)
    session.begin()
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_bundle(session, vm)
        title = parsed.values.get("name") or f"Snapshot {len(vm.snapshots().items) + 1}"
        guid = take_snapshot(vm.bundle, title, parsed.values.get("description", ""), power)
        vm.begin(("snapshooting", session.mac.knob("snapshot_polls"), power))
    session.console.out(f"The snapshot with id {guid} has been successfully created.")
    return 0


def _require_bundle(session: Session, vm: Vm) -> None:
    if vm.packed:
        raise session.fail(texts.not_possible(vm.name, "is packed"))
    problem = vm.problem()
    if problem:
        raise session.fail(texts.not_possible(vm.name, f"is invalid: {problem}"))


def run_snapshot_list(session: Session) -> int:
    """List snapshots as a table, as JSON, or one in full."""
    parsed = session.parse({"-j": "json", "--json": "json", "-t": "tree", "--tree": "tree"}, {"-i": "id", "--id": "id"})
    name = session.one_word(parsed)
    mac, console = session.mac, session.console
    with mac.locked() as state:
        vm = session.require(state, name)
        vm.look()
        if vm.problem():
            raise session.fail(texts.not_possible(vm.name, "is invalid"))
        tree = vm.snapshots()
    if "id" in parsed.values:
        snapshot = tree.find(parsed.values["id"])
        if snapshot is None:
            raise session.fail(texts.NO_SNAPSHOT_ID)
        console.raw(_in_full(snapshot))
    elif "json" in parsed.flags:
        empty = "{}" if mac.knob("no_snapshots_json") == "braces" else ""
        print_json(mac, console, to_json(_as_json(tree)) if tree else empty)
    elif tree:
        console.out(_HEADER)
        for item in tree.items:
            console.out(f"{item.parent:>38} {'*' if item.current else ' '}{item.guid:>38}")
    return 0


def _as_json(tree: SnapshotTree) -> dict[str, Any]:
    newest_first = reversed(tree.items)  # the order of the keys says nothing about the tree
    return {
        item.guid: {
            "name": item.name,
            "date": item.date,
            "state": item.state,
            "current": item.current,
            "parent": item.parent,
        }
        for item in newest_first
    }


def _in_full(item: Snapshot) -> str:
    return (
        f"ID: {item.guid}\nName: {item.name}\nDate: {item.date}\nCurrent: {'yes' if item.current else 'no'}\n"
        f"State: {item.state}\nDescription: {item.description}\n"
    )


def run_snapshot_delete(session: Session) -> int:
    """Delete a snapshot, with those above it when asked to."""
    parsed = session.parse({"-c": "children", "--children": "children"}, {"-i": "id", "--id": "id"})
    name = session.one_word(parsed)
    mac = session.mac
    if "id" not in parsed.values:
        raise session.fail(texts.NO_SNAPSHOT_ID)
    session.begin()
    with mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_bundle(session, vm)
        if mac.strike("sync_race"):
            raise session.fail(texts.DATA_SYNC)
        tree = vm.snapshots()
        snapshot = tree.find(parsed.values["id"])
        if snapshot is None:
            raise session.fail("The snapshot could not be found.")
        if mac.strike("kill_in_snapshot_delete"):
            vm.begin(("del_snapshot", mac.knob("snapshot_delete_polls"), power))
            killed = True
        else:
            killed = False
            if not mac.strike("snapshot_remains"):
                with_children = "children" in parsed.flags or mac.knob("snapshot_delete_children") == "cascade"
                delete_snapshots(vm.bundle, tree, tree.with_descendants(snapshot) if with_children else [snapshot])
            vm.begin(("del_snapshot", mac.knob("snapshot_delete_polls"), power))
    if killed:
        jobs.kill_self()
    session.console.progress("Operation progress ...", 1, 1)
    session.done()
    return 0


def delete_snapshots(bundle: Bundle, tree: SnapshotTree, doomed: list[Snapshot]) -> None:
    """Delete snapshots, leaves first, and what their images hold as far as nobody sees it any more."""
    for item in reversed(doomed):
        tree.remove(item)
        memory = bundle.path / "Snapshots" / f"{item.guid}.mem"
        if memory.exists():
            memory.unlink()
    kept = {item.guid for item in tree.items}
    for disk in bundle.disks():
        disk.forget_snapshots(kept)
    tree.save(bundle.path)


def run_snapshot_switch(session: Session) -> int:
    """Go back to a snapshot."""
    parsed = session.parse({"--skip-resume": "skip-resume"}, {"-i": "id", "--id": "id"})
    name = session.one_word(parsed)
    if "id" not in parsed.values:
        raise session.fail(texts.NO_SNAPSHOT_ID)
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_bundle(session, vm)
        snapshot = vm.snapshots().find(parsed.values["id"])
        if snapshot is None:
            raise session.fail("The snapshot could not be found.")
        session.console.out(f"Switch to the snapshot {snapshot.guid}")
        if power in ("running", "paused"):
            raise session.fail(texts.busy(power))
        switch_snapshot(vm.bundle, snapshot)
        vm.bundle.drop_memory()
        vm.record["state"] = "stopped"
    session.done()
    return 0
