# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Clones a VM so that the next run can recover from a kill at any moment, and removes such clones.

A claim stays beside the clone for as long as the clone exists. Its notes: C(operation) "clone", C(source) and
C(source_name), C(clone) the clone's UUID once it is verified, C(strangers) until then the UUIDs of all VMs that were
there before, C(restart_source) whether the source was running and has to be started again, C(removing) once the removal
has begun, C(image) whether the image beside it is removed with it.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Optional

from .._common.checksum import remove_sidecars
from .._common.claim import Claim, claim_path, foreign_claim, has_claim, read_claim, remove_claim
from .._common.errors import TaskError, add_sentence
from .._common.files import (
    IMAGE_SUFFIX,
    bytes_on_disk,
    folder_obstacle,
    intermediate_of,
    remove_path,
    same_file,
    same_place,
    wait_until_quiet,
)
from .._common.given import refuse_unprintable
from .._common.leftovers import own_outputs, with_size
from .._common.ownership import owner_clause, refuse_foreign, why_unsafe
from .._common.progress import Report, unwatched, watched
from .._common.space import Need
from .._common.text import composed, same_name
from .._common.unreadable import why_unreadable
from .cli import Prlctl, was_answered
from .disks import bytes_outside, disks_outside
from .lifecycle import (
    delete,
    entry_at,
    refuse_removal,
    refuse_running,
    refuse_template,
    register,
    rename,
    unregister,
)
from .source import HeldSource, start_again
from .vm import (
    BUNDLE_SUFFIX,
    BUSY_TIME,
    INVALID,
    PAUSED,
    RUNNING,
    STOPPED,
    SUSPENDED,
    Entry,
    Vm,
    bare_uuid,
    find_entry,
    find_vm,
    get_vm,
    home_of,
    is_busy,
    list_entries,
    no_such_vm,
    read_vm,
    refuse_intermediate,
    uuid_in,
    wait_while_busy,
)

_OPERATION = "clone"
_CANCEL_TIME = 120
_QUIET_TIME = 20  # a bundle that has not changed for this long is not being written
_CONFIGURATION = "config.pvs"  # without this file, a folder is not a bundle


@dataclass(frozen=True)
class CloneOrder:
    """The wanted clone: a full clone of C(source) named C(name) in the folder C(dest)."""

    name: str
    source: str
    dest: str
    stop_source: bool = False
    stop_timeout: float = 300
    timeout: float = 14400


def ensure_clone(prl: Prlctl, order: CloneOrder, *, dry: bool, report: Report = unwatched) -> tuple[Optional[Vm], bool]:
    """Return the clone and whether something was changed; in a dry run None for a clone that would be made."""
    _check_order(order)
    source = find_vm(prl, order.source)
    existing = find_vm(prl, order.name)
    if existing is None and source is None:
        raise no_such_vm(order.source)
    target = _target(order, source, existing)
    notes = read_claim(target)
    if existing is not None:
        _refuse_foreign(order, existing, notes, source)
        _check_folder(order, existing)
        refuse_foreign(existing.home, f"'{order.name}' was not used as the clone.")
        if _is_finished(existing, notes) and not notes.get("restart_source"):
            return existing, False
    if source is None:
        raise no_such_vm(order.source)
    if dry:
        return _foresee(order, target, notes, source, existing), True
    os.makedirs(order.dest, exist_ok=True)
    with Claim.take(target, wait=order.timeout, sleep=prl.sleep, clock=prl.clock) as claim:
        # The previous holder of the claim may have finished: check again, now that no other run works here.
        existing = _find_when_packed(prl, order, target)
        if existing is not None:
            _refuse_foreign(order, existing, _notes_about(existing, target, claim), source)
        lost = _lost_files(target, claim.notes) if existing is None else ""
        if lost:
            existing = _register_lost(prl, order, claim, lost)
        if existing is None or not _is_finished(existing, claim.notes):
            _clear_the_way(prl, order, target, claim, existing)
            return _Making(prl, order, target, claim, get_vm(prl, source.uuid), report).run(), True
        changed = bool(lost or claim.notes.get("restart_source"))
        _start_source_again(prl, claim, source, order.timeout)
        return existing, changed


def _find_when_packed(prl: Prlctl, order: CloneOrder, target: str) -> Optional[Vm]:
    """Return the VM of that name, after any run that packs or unpacks it has finished."""
    vm = find_vm(prl, order.name)
    if vm is None or not vm.intermediate:
        return vm
    with Claim.take(_image_of(target), wait=order.timeout, sleep=prl.sleep, clock=prl.clock):
        return find_vm(prl, order.name)


def _notes_about(vm: Vm, target: str, claim: Claim) -> dict[str, Any]:
    """Return the claim's notes about a VM: none, when it has appeared elsewhere since."""
    return claim.notes if same_place(vm.bundle, target) else {}


def _foresee(order: CloneOrder, target: str, notes: dict[str, Any], source: Vm, existing: Optional[Vm]) -> Optional[Vm]:
    """Return the clone that would be there, or raise what a real run would raise."""
    if _is_finished(existing, notes):
        return existing
    if existing is None and _lost_files(target, notes):
        return None
    _refuse_in_the_way(order, target, notes, existing)
    _check_source(source, source.state, order)
    _need(source, order).refuse_less()
    return None


def _start_source_again(prl: Prlctl, claim: Claim, source: Vm, wait: float) -> None:
    """Start the source if an interrupted run noted that it was running, and clear that note in the claim."""
    if claim.notes.get("restart_source"):
        start_again(prl, source, wait)
        claim.note(restart_source=False)


def _check_order(order: CloneOrder) -> None:
    refuse_unprintable("The name of the clone", order.name)
    if "/" in order.name or order.name.startswith(".") or not order.name.strip():
        raise TaskError(
            f"'{order.name}' is not a valid name for a clone. Choose a name that is not empty, does not begin with '.' "
            "and does not contain '/'."
        )
    obstacle = folder_obstacle(order.dest)
    if obstacle and not os.path.isdir(order.dest):
        raise TaskError(f"There is no folder {order.dest} for the clone. {obstacle}", path=order.dest)


def _target(order: CloneOrder, source: Optional[Vm], existing: Optional[Vm]) -> str:
    """Return where the clone's bundle is, or would be if it were not packed."""
    if existing is not None:
        return existing.bundle
    suffix = os.path.splitext(source.bundle)[1] if source is not None else ""
    return os.path.join(order.dest, order.name + (suffix or BUNDLE_SUFFIX))


def _is_clone_claim(notes: dict[str, Any], order_source: str, source: Optional[Vm]) -> bool:
    """Return whether notes are of a clone of that source, which may be gone by now."""
    if notes.get("operation") != _OPERATION:
        return False
    if source is not None:
        return notes.get("source") == source.uuid
    return notes.get("source") == bare_uuid(order_source) or same_name(str(notes.get("source_name")), order_source)


def _is_finished(vm: Optional[Vm], notes: dict[str, Any]) -> bool:
    """Return whether a VM is a clone that was verified, and whose files are still there."""
    return vm is not None and notes.get("clone") == vm.uuid and not notes.get("removing") and not _is_ruined(vm)


def _is_ruined(vm: Vm) -> bool:
    """Return whether a VM has no usable files any more, such as after a failed packing."""
    if vm.intermediate:
        return True
    if vm.state != INVALID:
        return False
    return not _is_whole(vm.home)


def _is_whole(home: str) -> bool:
    """Return whether a bundle or image has the files that a VM needs; raise TaskError when that cannot be seen."""
    main_file = home if home.endswith(IMAGE_SUFFIX) else os.path.join(home, _CONFIGURATION)
    try:
        status = os.stat(main_file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # it must not be taken for ruined and removed
        raise TaskError(f"{why_unreadable(main_file, error)} Then run again.", path=main_file) from error
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _lost_files(target: str, notes: dict[str, Any]) -> str:
    """Return the bundle or image of a finished clone that is not on Parallels' list; empty when there is none."""
    if notes.get("operation") != _OPERATION or not notes.get("clone") or notes.get("removing"):
        return ""
    image = _image_of(target)
    # A bundle beside an image is incomplete while that is being unpacked; else the image is incomplete, or older.
    first = image if read_claim(image).get("operation") == "unpack" else target
    found = [path for path in (first, target, image) if _is_whole(path)]
    if not found or uuid_in(found[0]) not in ("", notes["clone"]):
        return ""
    return found[0]


def _register_lost(prl: Prlctl, order: CloneOrder, claim: Claim, path: str) -> Vm:
    """Register a finished clone again that is no longer on Parallels' list, if its files belong to this user."""
    why = why_unsafe(path, _CONFIGURATION)
    if why:
        raise TaskError(
            f"{path} has the name of the clone '{order.name}', but another user may have put it there: {why}. It was "
            "not registered. Move it away, or make it yours alone (chown, chmod -R go-w), then run again.",
            path=path,
        )
    vm = register(prl, order.name, path, new_uuid=False, dry=False)[0]
    if vm is None or vm.uuid != claim.notes["clone"]:
        if vm is not None:
            unregister(prl, vm)
        raise _not_known(order.name, path)
    prl.notice(
        f"The clone '{order.name}', which an earlier run made in {path}, was no longer on Parallels' list. It was "
        "registered again."
    )
    return vm


def _not_known(name: str, path: str) -> TaskError:
    return TaskError(
        f"{path}{owner_clause(path)} is in the place of the clone '{name}' that was made before, but it is no longer "
        "on Parallels' list, so it was left unchanged. Register it again (macops.parallels.vm with path), or remove it "
        "by hand.",
        path=path,
    )


def _image_of(target: str) -> str:
    return os.path.splitext(target)[0] + IMAGE_SUFFIX


def _refuse_foreign(order: CloneOrder, existing: Vm, notes: dict[str, Any], source: Optional[Vm]) -> None:
    ours = _is_clone_claim(notes, order.source, source) and _is_described(existing, notes)
    if not ours or (source is not None and existing.uuid == source.uuid):
        raise TaskError(
            f"The virtual machine '{order.name}' already exists ({existing.home}), and nothing shows that this "
            f"collection made it as a clone of '{order.source}', so it was left unchanged. Choose another name, or "
            f"remove it by hand.{foreign_claim(existing.bundle)}",
            path=existing.home,
        )


def _is_described(vm: Vm, notes: dict[str, Any]) -> bool:
    """Return whether notes of a clone can be about this VM: it was not there before the cloning began."""
    return notes.get("clone", "") in ("", vm.uuid) and vm.uuid not in notes.get("strangers", ())


def _check_folder(order: CloneOrder, existing: Vm) -> None:
    if os.path.exists(existing.folder) and not same_file(existing.folder, order.dest):
        raise TaskError(
            f"The clone '{order.name}' already exists, but in {existing.folder}, not in {order.dest}. Use that folder, "
            "or remove the clone first.",
            path=existing.home,
        )


def _refuse_in_the_way(order: CloneOrder, target: str, notes: dict[str, Any], existing: Optional[Vm]) -> None:
    """Raise for files that no claim shows to be the leftovers of an unfinished clone, or of an unfinished removal."""
    if existing is not None or notes.get("removing"):
        return
    for path in (target, _image_of(target), intermediate_of(target)):
        if not os.path.lexists(path):
            continue
        if notes.get("clone"):
            raise _not_known(order.name, path)
        if notes.get("operation") != _OPERATION or path != target:
            raise TaskError(
                f"{path}{owner_clause(path)} is in the way of the clone '{order.name}', and nothing shows that this "
                f"collection made it. Move it away, or choose another name.{foreign_claim(target)}",
                path=path,
            )
        refuse_foreign(path, f"It is in the way of the clone '{order.name}'.")


def _clear_the_way(prl: Prlctl, order: CloneOrder, target: str, claim: Claim, existing: Optional[Vm]) -> None:
    """Remove what an earlier, killed run left of the clone."""
    _refuse_in_the_way(order, target, claim.notes, existing)
    if claim.notes.get("operation") != _OPERATION:
        return
    ruined = existing is not None and not claim.notes.get("removing") and claim.notes.get("clone")
    if ruined:
        own_image = _is_own_image(target, claim.notes) or same_place(existing.home, _image_of(target))
        claim.note(removing=True, image=own_image)
    if claim.notes.get("clone") and not claim.notes.get("removing"):
        return  # somebody removed it, with all its files
    refuse_foreign(target, f"It is in the way of the clone '{order.name}'.")  # its owner may change it for ever
    if not _is_quiet(prl, target, order.timeout):
        raise TaskError(f"Parallels is still writing {target}. Wait until it has finished, then run again.")
    seen = [with_size(path) for path in _own_files(target, claim.notes, existing) if os.path.lexists(path)]
    remove_leftovers(prl, target, claim.notes, existing)
    _remove_files(prl, target, claim.notes)
    if ruined:
        state = "in an intermediate state" if existing.intermediate else "missing"
        prl.notice(f"The files of the clone '{order.name}' were {state}. The clone is made again.")
    elif seen:
        prl.notice(f"{' and '.join(seen)}: leftovers of an earlier run that was interrupted. They were removed.")
    else:
        prl.notice(f"{with_size(claim.path)} was left by an earlier run that was interrupted. It is used again.")


def _own_files(target: str, notes: dict[str, Any], vm: Optional[Vm]) -> list[str]:
    """Return the paths of a clone's files that the claims show to be ours."""
    image = _image_of(target)
    is_image = vm is not None and same_place(vm.home, image)
    return [target, image] if is_image or _is_own_image(target, notes) else [target]


def _is_own_image(target: str, notes: dict[str, Any]) -> bool:
    """Return whether the image beside a clone was made of it: its own claim or that of a begun removal shows it."""
    if notes.get("removing") and notes.get("image"):
        return True
    clone = notes.get("clone")
    return bool(clone) and read_claim(_image_of(target)).get("vm") == clone


def _remove_files(prl: Prlctl, target: str, notes: dict[str, Any]) -> None:
    """Remove the files of a clone, and the image that was made of it, but not its claim."""
    _remove_ours(target)
    if _is_own_image(target, notes):
        image = _image_of(target)
        for path in own_outputs(image, read_claim(image)):
            remove_path(path)
        remove_sidecars(image, prl.notice)
        remove_claim(image)


def _remove_ours(path: str) -> None:
    """Remove a bundle or image that notes show to be ours, unless another user has put something in its place."""
    refuse_foreign(path, "It was not removed.")
    remove_path(path)


def remove_leftovers(prl: Prlctl, target: str, notes: dict[str, Any], vm: Optional[Vm] = None) -> None:
    """Remove a bundle that notes show to be ours, and the VM that is registered from it: C(vm) if that is known."""
    vm = vm or _registered_from(prl, target, notes)
    if vm is not None:
        _remove_vm(prl, vm, refuse_running(prl, vm, "removed"))
    _remove_ours(target)


def _registered_from(prl: Prlctl, target: str, notes: dict[str, Any]) -> Optional[Vm]:
    """Return the VM that is registered from the bundle of a clone, or from its image, whatever its name is by now.

    Raises TaskError for one that is not the clone. A name shows nothing: anybody may have given it to another VM.
    """
    places = [target, _image_of(target)] if _is_own_image(target, notes) else [target]
    inside = uuid_in(target)
    strangers = {*notes.get("strangers", ()), notes.get("source")}
    entry = entry_at(prl, places, strangers - {inside})
    if entry is None:
        return None
    if entry.uuid in strangers or notes.get("clone", "") not in ("", entry.uuid):
        raise TaskError(
            f"Another virtual machine, '{entry.name}' ({entry.uuid}), is registered from {target}, so it was left "
            "unchanged. Move it to another folder, then run again.",
            path=target,
        )
    return read_vm(prl, entry)


def _remove_vm(prl: Prlctl, vm: Vm, state: str) -> None:
    """Remove a VM with its bundle, and nothing else.

    Parallels would also delete disks outside of the bundle. And it deletes none that is in an intermediate state.
    """
    refuse_foreign(vm.home, f"'{vm.name}' was not removed.")
    if disks_outside(vm) or vm.intermediate:
        unregister(prl, vm)
    else:
        delete(prl, vm, state)
    _remove_ours(vm.home)


def _check_source(source: Vm, state: str, order: CloneOrder) -> None:
    refuse_template(source, "cloned")
    refuse_intermediate(source)
    if source.packed:
        raise TaskError(
            f"'{source.name}' is packed and cannot be cloned. Unpack it first (macops.parallels.image_pack with state: "
            "unpacked)."
        )
    if state == INVALID:
        raise TaskError(
            f"The files of '{source.name}' are missing or unreadable ({source.home}). Connect the disk they are on, or "
            "restore them."
        )
    if state in (SUSPENDED, PAUSED):
        raise TaskError(
            f"'{source.name}' is {state}, and a clone would contain its memory. Resume it and shut it down. If its "
            "memory may be lost, use macops.parallels.vm_power with state: stopped and suspended: discard."
        )
    if state == RUNNING and not order.stop_source:
        raise TaskError(
            f"'{source.name}' is running, and only a VM that is shut down can be cloned. Shut it down, or set "
            "stop_source: true: then it is shut down gracefully and started again after the cloning."
        )


def _need(source: Vm, order: CloneOrder) -> Need:
    return Need(f"A clone of '{source.name}'", order.dest, _whole_size(source))


def _whole_size(source: Vm) -> int:
    """Return the bytes that a clone copies: it gets what the source has outside of its bundle, too."""
    return source.measured() + bytes_outside(source)


@dataclass
class _Making:
    """One attempt to make a clone, under its claim. The source returns to its previous state, whatever happens."""

    prl: Prlctl
    order: CloneOrder
    target: str
    claim: Claim
    source: Vm
    report: Report
    # Whether nothing is left of an unfinished clone.
    clean: bool = True

    def run(self) -> Vm:
        """Make the clone and verify it."""
        held = HeldSource.take(self.prl, self.source, self.order.timeout)
        need = _need(self.source, self.order)
        try:
            if self.claim.notes.get("restart_source"):
                held.note_running()
            with held.turn(self.order.timeout) as turn:
                self._begin(held, need)
                vm = self._clone(held, turn)
        except BaseException as error:
            self._return_source(held, error)
            need.explain(error)
            raise
        if held.let_go() and self.claim.notes.get("restart_source"):
            self.claim.note(restart_source=False)
        return vm

    def _begin(self, held: HeldSource, need: Need) -> None:
        """Shut the source down, once everything is noted that a later run has to know."""
        there = list_entries(self.prl)
        state = next((entry.state for entry in there if entry.uuid == self.source.uuid), "")
        if is_busy(state):
            state = wait_while_busy(self.prl, self.source.uuid, BUSY_TIME)
        _check_source(self.source, state, self.order)
        need.refuse_less()
        self.claim.write(
            operation=_OPERATION,
            source=self.source.uuid,
            source_name=self.source.name,
            clone="",
            restart_source=held.was_running or state == RUNNING,
            strangers=[entry.uuid for entry in there],
        )
        if state == RUNNING:
            held.shut_down(self.order.stop_timeout)

    def _clone(self, held: HeldSource, turn: Claim) -> Vm:
        """Return the clone when it is complete; else remove it and raise."""
        self.clean = False
        try:
            with watched(lambda: bytes_on_disk(self.target), _whole_size(self.source), self.report):
                vm = self._prove(self._copy(held, turn))
            notes = {key: value for key, value in self.claim.notes.items() if key != "strangers"}
            self.claim.write(**{**notes, "clone": vm.uuid})
            if not same_name(vm.name, self.order.name):
                vm = rename(self.prl, vm, self.order.name)
        except BaseException as error:
            self._clean_up(error)
            raise
        return vm

    def _copy(self, held: HeldSource, turn: Claim) -> Entry:
        prl, order, source = self.prl, self.order, self.source
        found: list[Entry] = []

        def made() -> bool:
            found[:] = self._new_clones()
            return len(found) == 1 and not found[0].busy

        def check_again() -> None:
            """Shut the source down again if somebody has started it since the last attempt."""
            state = wait_while_busy(prl, source.uuid, BUSY_TIME)
            _check_source(source, state, order)
            if state == RUNNING:
                self.claim.note(restart_source=True)
                held.shut_down(order.stop_timeout)

        prl.change(
            f"clone '{source.name}' to '{order.name}'",
            ["clone", source.uuid, "--name", order.name, "--dst", order.dest],
            made,
            limit=order.timeout,
            settle=20,
            keep_open=[self.claim.descriptor, held.descriptor, turn.descriptor],
            before_retry=check_again,
        )
        return found[0]

    def _new_clones(self) -> list[Entry]:
        """Return the new VMs of that name; without one, those of another name that are in the place of the clone.

        Parallels numbers a name that is taken, as in "NAME (1)".
        """
        new = [entry for entry in list_entries(self.prl) if entry.uuid not in self.claim.notes["strangers"]]
        named = [entry for entry in new if same_name(entry.name, self.order.name)]
        return [entry for entry in new if self._is_in_place(entry)] if new and not named else named

    def _is_in_place(self, entry: Entry) -> bool:
        try:
            home = home_of(self.prl, entry)
            return bool(home) and same_place(home, self.target)
        except (TaskError, OSError):  # it is not known, so it is not taken for the clone
            return False

    def _prove(self, made: Entry) -> Vm:
        vm = get_vm(self.prl, made.uuid)
        doubts = _doubts(vm, self.source, self.target)
        if not same_name(vm.name, self.order.name):
            other = find_entry(self.prl, self.order.name)
            if other is not None:
                doubts.append(f"it is named '{vm.name}', because another virtual machine ({other.uuid}) has that name")
        if doubts:
            raise TaskError(
                f"Parallels cloned '{self.source.name}', but the clone '{self.order.name}' did not pass the check: "
                f"{'; '.join(doubts)}. It was removed. Check the source VM (does it start?) and the disk, then run "
                "again.",
                doubts=doubts,
            )
        return vm

    def _clean_up(self, error: BaseException) -> None:
        """Remove the unfinished clone. What cannot be removed is added to the error."""
        try:
            if was_answered(error, "clone") or _is_quiet(self.prl, self.target, _CANCEL_TIME):
                remove_leftovers(self.prl, self.target, self.claim.notes)
                self.clean = True
                self._name_numbered(error)
            else:
                add_sentence(error, f"Parallels is still working on it, so {self.target} was left for the next run.")
        except (TaskError, OSError) as problem:
            add_sentence(
                error, f"The leftovers in {self.target} could not be removed ({problem}). The next run tries again."
            )

    def _name_numbered(self, error: BaseException) -> None:
        """Add to the error a new VM elsewhere that may be the clone: nothing shows it, so it is not removed."""
        if not isinstance(error, TaskError) or error.details.get("rc") != 0:
            return
        for entry in list_entries(self.prl):
            if entry.uuid not in self.claim.notes["strangers"] and _is_numbered(entry.name, self.order.name):
                add_sentence(
                    error,
                    f"'{entry.name}' ({entry.uuid}) is new. It may be the clone, if the name '{self.order.name}' was "
                    "taken while it was made. It was left unchanged. Remove it by its UUID if you do not need it, and "
                    "choose another name.",
                )

    def _return_source(self, held: HeldSource, error: BaseException) -> None:
        """Start the source again if it was running. If it cannot be started, that is added to the error."""
        try:
            if held.let_go():
                if self.clean:
                    self.claim.remove()
                elif self.claim.notes.get("restart_source"):
                    self.claim.note(restart_source=False)
        except (TaskError, OSError) as problem:
            add_sentence(error, str(problem))


def _is_quiet(prl: Prlctl, target: str, timeout: float) -> bool:
    """Return whether no process is writing the target any more."""
    return not os.path.lexists(target) or wait_until_quiet(target, _QUIET_TIME, timeout, prl.sleep, prl.clock)


def _doubts(vm: Vm, source: Vm, target: str) -> list[str]:
    doubts = []
    if vm.state != STOPPED:
        doubts.append(f"it is {vm.state}")
    if vm.uuid == source.uuid:
        doubts.append("it has the UUID of its source")
    if not same_file(vm.home, target):
        doubts.append(f"it is in {vm.home}, not in {target}")
    if len(vm.disks) != len(source.disks):
        doubts.append(f"it has {len(vm.disks)} disks, its source has {len(source.disks)}")
    for disk in vm.disks:
        if not disk.bytes_on_disk:
            doubts.append(f"its disk {disk.path} is missing or cannot be read")
        elif any(same_place(disk.path, other.path) for other in source.disks):
            doubts.append(f"its disk {disk.path} is the disk of its source")
    return doubts


def ensure_no_clone(
    prl: Prlctl, name: str, source_name: str, dest: str, *, dry: bool, force: bool = False
) -> tuple[Optional[Vm], bool]:
    """Remove a clone, with everything that was made for it; raise TaskError when no claim shows it to be ours.

    With C(force), even if linked clones are lost with it. Of the source, nothing need be readable but its entry.
    """
    source = find_vm(prl, source_name, partly=True)
    vm = find_vm(prl, name)
    if vm is None:
        vm = _numbered(prl, name, os.path.join(dest, name + BUNDLE_SUFFIX))
    target = vm.bundle if vm is not None else os.path.join(dest, name + BUNDLE_SUFFIX)
    notes = read_claim(target)
    if not _is_to_be_removed(name, source_name, source, vm, target, notes):
        return None, False
    if dry:
        if vm is not None:
            refuse_removal(prl, vm, force=force, older=_older(notes))
        return vm, True
    with Claim.take(target, wait=BUSY_TIME, sleep=prl.sleep, clock=prl.clock) as claim:
        # The previous holder of the claim may have removed or made it: check again, now that no other run works here.
        vm = find_vm(prl, name if vm is None or same_name(vm.name, name) else vm.uuid)
        notes = claim.notes if vm is None else _notes_about(vm, target, claim)
        if not _is_to_be_removed(name, source_name, source, vm, target, notes):
            return None, False
        state = refuse_removal(prl, vm, force=force, older=_older(notes)) if vm is not None else ""
        if source is not None:
            try:
                _start_source_again(prl, claim, source, BUSY_TIME)
            except TaskError as problem:
                # Its own claim keeps the note that it was running.
                prl.notice(f"{problem} '{name}' was removed nevertheless.")
        is_elsewhere = vm is not None and not same_place(vm.home, target)  # it is packed, or in an intermediate state
        claim.note(removing=True, image=_is_own_image(target, notes) or is_elsewhere)
        if vm is not None:
            _remove_vm(prl, vm, state)
        else:
            remove_leftovers(prl, target, claim.notes)
        _remove_files(prl, target, claim.notes)
        claim.remove()
    return vm, True


def _older(notes: dict[str, Any]) -> set[str]:
    """Return the VMs that were there before a clone was made."""
    return {*notes.get("strangers", ()), str(notes.get("source", ""))}


def _numbered(prl: Prlctl, name: str, target: str) -> Optional[Vm]:
    """Return our clone if Parallels has numbered its name, as in "NAME (1)", because the name was taken.

    That happens where it is registered. It is known by its UUID and its bundle.
    """
    notes = read_claim(target)
    uuid = "" if notes.get("removing") else notes.get("clone", "")
    entry = find_entry(prl, uuid) if uuid else None
    if entry is None or not _is_numbered(entry.name, name):
        return None
    vm = read_vm(prl, entry)
    return vm if same_place(vm.bundle, target) else None


def _is_numbered(found: str, name: str) -> bool:
    return re.fullmatch(re.escape(composed(name)) + r" \(\d+\)", composed(found)) is not None


def _is_to_be_removed(
    name: str, source_name: str, source: Optional[Vm], vm: Optional[Vm], target: str, notes: dict[str, Any]
) -> bool:
    """Return whether there is something to remove; raise for what no claim shows to be ours."""
    if not _is_clone_claim(notes, source_name, source):
        if vm is None:
            return False
        raise TaskError(
            f"Nothing shows that this collection made '{vm.name}' ({vm.home}) as a clone of '{source_name}', so it was "
            "not removed. Remove it by hand, or leave out clone_of to remove any virtual machine of that name."
            f"{foreign_claim(target)}",
            path=vm.home,
        )
    if vm is not None and not _is_described(vm, notes):
        raise TaskError(
            f"The note {claim_path(target)} describes another virtual machine than '{vm.name}' ({vm.uuid}), so "
            f"'{vm.name}' was not removed. Remove it by hand.",
            path=vm.home,
        )
    if vm is None and notes.get("clone") and not notes.get("removing"):
        _refuse_unregistered(name, target)
    return True


def _refuse_unregistered(name: str, target: str) -> None:
    for path in (target, _image_of(target), intermediate_of(target)):
        if os.path.lexists(path):
            raise _not_known(name, path)


def forget_clone(vm: Vm) -> None:
    """Remove the claim of a clone that was removed by its name alone."""
    target = vm.bundle
    if has_claim(target):
        with Claim.take(target) as claim:
            if claim.notes.get("clone") == vm.uuid:
                claim.remove()
