# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl register, unregister, delete, clone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import jobs, texts
from .bundle import SUFFIX, Bundle
from .config import VmConfig
from .disks import NONE, TOP, Disk, Image
from .errors import CommandError
from .guest_client import tell
from .hds import ExpandingImage
from .ids import new_mac_address, new_uuid
from .jobs import Job, Steps, working
from .package import SUFFIX as PACKED_SUFFIX
from .package import Package
from .prlctl_snapshot import LINKED_NAME, take_snapshot
from .session import Parsed, Session
from .sparse import MIB, Noise
from .vms import Vm, add, free_name

_YES_NO = ("yes", "no")


def run_register(session: Session) -> int:
    """Register a bundle or a packed VM that lies on the disk."""
    parsed = session.parse(
        {"--force": "force", "--regenerate-src-uuid": "regenerate", "--delay-applying-restrictions": "delay"},
        {"--preserve-uuid": "preserve", "--uuid": "uuid"},
    )
    path = Path(os.path.abspath(session.one_word(parsed)))
    if parsed.values.get("preserve", "yes") not in _YES_NO:
        raise session.usage("--preserve-uuid is yes or no.")
    session.begin()
    packed = path.name.endswith(PACKED_SUFFIX)
    content = Package(path) if packed else Bundle(path)
    try:
        config = content.config()
    except ValueError as error:
        raise session.fail(f'The path "{path}" is not a virtual machine.') from error
    with session.mac.locked() as state:
        present = next((record for record in state["vms"].values() if Path(record["home"]) == path), None)
        clash = state["vms"].get(config.uuid)
        if present or (clash and parsed.values.get("preserve") == "yes"):
            raise session.fail(texts.already_registered((present or clash)["name"]))
        if clash or parsed.values.get("preserve") == "no" or "regenerate" in parsed.flags:
            config.uuid = new_uuid()
        config.uuid = parsed.values.get("uuid", config.uuid).strip("{}")
        config.name = free_name(state, config.name)
        memory = not packed and any(name.suffix == ".sav" for name in content.files())
        add(session.mac, state, config, path, "suspended" if memory else "stopped")
        if not packed:
            config.save(path)
    session.done()
    return 0


def run_unregister(session: Session) -> int:
    """Forget a VM and leave its files."""
    name = session.one_word(session.parse({"--clean-src-uuid": "clean"}, {}))
    session.begin()
    with session.mac.locked() as state:
        vm = _removable(session, state, name)
        if session.mac.strike("unregister_fails"):
            raise session.fail(texts.CREDENTIALS)
        del state["vms"][vm.uuid]
    session.done()
    return 0


def run_delete(session: Session) -> int:
    """Forget a VM and delete its files."""
    name = session.one_word(session.parse({}, {}))
    session.begin()
    with session.mac.locked() as state:
        vm = _removable(session, state, name)
    _confirm(session, vm.name)
    with session.mac.locked() as state:
        vm = session.require(state, name)
        if session.mac.strike("delete_fails"):
            raise session.fail(texts.CREDENTIALS)
        if vm.packed:
            if vm.home.exists():
                vm.home.unlink()
        elif vm.home.exists():
            vm.bundle.remove()
        del state["vms"][vm.uuid]
    session.done()
    return 0


def _confirm(session: Session, name: str) -> None:
    prompts = session.mac.knob("delete_prompts")
    if prompts == "silent":
        return
    question = texts.CONFIRM_DELETE.format(name=name)
    if prompts == "hangs":
        session.console.raw(question)
        jobs.hang()
    if session.console.ask(question).lower() not in ("y", "yes"):
        raise session.fail(texts.CANCELED)


def _removable(session: Session, state: dict[str, Any], name: str) -> Vm:
    vm = session.require(state, name)
    power = session.require_free(vm)
    if power in ("running", "paused"):
        raise session.fail(texts.busy(power))
    return vm


# --- clone --------------------------------------------------------------------------------------------------------


def run_clone(session: Session) -> int:
    """Make a new VM from one that is there."""
    parsed = session.parse(
        {"--linked": "linked", "--template": "template", "--regenerate-src-uuid": "regenerate"},
        {"--name": "name", "--dst": "dst", "--id": "id"},
    )
    source_name = session.one_word(parsed)
    if not parsed.values.get("name"):
        raise session.usage("The name of the new virtual machine is not specified.")
    mac = session.mac
    with mac.locked() as state:
        vm = session.require(state, source_name)
        session.console.out(f"Clone the {vm.name} VM to VM {parsed.values['name']}...")
        power = session.require_free(vm)
        _require_clonable(session, vm, power)
        name, target = _target(session, state, parsed)
        if power in ("running", "paused"):
            tell(mac, vm.record, "save")
        job = Job(mac, vm.record, "being cloned")
    jobs.run(mac, lambda: _clone(session, vm, power, name, target, parsed, job))
    if mac.strike("kill_after_clone"):
        jobs.kill_self()
    session.done()
    return 0


def _require_clonable(session: Session, vm: Vm, power: str) -> None:
    if vm.packed:
        raise session.fail(texts.not_possible(vm.name, "is packed"))
    problem = vm.problem()
    if problem:
        raise session.fail(texts.not_possible(vm.name, f"is invalid: {problem}"))
    if power in ("running", "paused") and session.mac.knob("clone_running") == "fail":
        raise session.fail(texts.busy(power))


def _target(session: Session, state: dict[str, Any], parsed: Parsed) -> tuple[str, Path]:
    name = parsed.values["name"]
    folder = Path(os.path.abspath(parsed.values.get("dst") or session.mac.home))
    if any(record["name"] == name for record in state["vms"].values()):
        if session.mac.knob("clone_name_clash") == "fail":
            raise session.fail(texts.exists(name))
        name = free_name(state, name)
    target = folder / (name.replace("/", "-") + SUFFIX)
    if target.exists():
        raise session.fail(texts.exists(str(target)))
    return name, target


def _clone(session: Session, vm: Vm, power: str, name: str, target: Path, parsed: Parsed, job: Job) -> None:
    with working(job):
        mac = session.mac
        if mac.strike("clone_rc0_missing"):
            return
        config = vm.config()
        config.uuid, config.name, config.mac_address = new_uuid(), name, new_mac_address()
        config.template = "template" in parsed.flags
        if not mac.knob("clone_copies_description"):
            config.description = ""
        if mac.knob("killed_clone_registered"):
            with mac.locked() as state:
                add(mac, state, config, target)
        try:
            clone = _make_clone(session, vm, config, target, parsed)
        except (CommandError, OSError):
            with mac.locked() as state:
                state["vms"].pop(config.uuid, None)
            raise
        if power != "suspended" or not mac.knob("clone_keeps_suspended") or "linked" in parsed.flags:
            clone.drop_memory()
            power = "stopped"
        config.save(clone.path)
        with mac.locked() as state:
            add(mac, state, config, target, "suspended" if power == "suspended" else "stopped")


def _make_clone(session: Session, vm: Vm, config: VmConfig, target: Path, parsed: Parsed) -> Bundle:
    if "linked" not in parsed.flags:
        return _copy(session, vm, target)
    config.linked_vm, config.linked_snapshot = vm.uuid, _linked_snapshot(session, vm, parsed)
    return make_linked(vm.bundle, target, config.linked_snapshot)


def _copy(session: Session, vm: Vm, target: Path) -> Bundle:
    mac = session.mac
    steps = Steps(
        mac, session.console, "clone", vm.bundle.data_bytes(), mac.knob("clone_seconds"), "Copying hard disk..."
    )
    if mac.knob("clone_keeps_snapshots"):
        clone = vm.bundle.copy_to(target, steps)
    else:
        clone = vm.bundle.copy_merged_to(target, steps)
    steps.finish()
    return clone


def _linked_snapshot(session: Session, vm: Vm, parsed: Parsed) -> str:
    wanted = parsed.values.get("id")
    if not wanted:
        with session.mac.locked():
            return take_snapshot(vm.bundle, LINKED_NAME, "", "stopped")
    snapshot = vm.snapshots().find(wanted)
    if snapshot is None:
        raise CommandError(texts.failed("clone", texts.NO_SNAPSHOT_ID))
    return snapshot.guid


def make_linked(source: Bundle, target: Path, snapshot: str) -> Bundle:
    """Make a bundle whose disks are empty images over those of another VM, named by absolute paths."""
    target.mkdir(parents=True)
    for name in source.files(with_memory=False):
        if len(name.parts) == 1 and name.name != "Snapshots.xml":
            (target / name).write_bytes((source.path / name).read_bytes())
    for disk in source.disks():
        folder = target / disk.folder.name
        folder.mkdir()
        own = disk.image(TOP).file
        images = []
        guid = snapshot
        while guid != NONE:
            image = disk.image(guid)
            images.insert(0, Image(guid, image.parent, str(disk.path(guid))))
            guid = image.parent
        linked = Disk(folder, disk.virtual, disk.plain, [*images, Image(TOP, snapshot, own)], [])
        ExpandingImage.create(linked.path(TOP), disk.virtual)
        linked.write(0, MIB, Noise())
        linked.save()
    return Bundle(target)
