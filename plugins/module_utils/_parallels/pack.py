# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Packs a VM into an image (.pvmp) and unpacks it, so that the next run can recover from a kill at any moment."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any, Callable

from .._common.checksum import remove_sidecars
from .._common.claim import Claim, foreign_claim, read_claim
from .._common.errors import TaskError, add_sentence
from .._common.files import IMAGE_SUFFIX, bytes_on_disk, remove_path, same_file, wait_until_quiet
from .._common.leftovers import outputs_of, own_outputs, remove_leftover, with_size
from .._common.ownership import owner_clause, refuse_foreign, why_foreign, why_unsafe
from .._common.progress import Report, unwatched, watched
from .._common.space import Need
from .cli import Prlctl, was_answered
from .disks import missing_files
from .lifecycle import entry_at, refuse_template, register_again
from .obstacles import ENCRYPTED, obstacles
from .snapshots import refuse_needed
from .vm import (
    BUNDLE_SUFFIX,
    INVALID,
    PAUSED,
    RUNNING,
    STOPPED,
    SUSPENDED,
    Vm,
    find_entry,
    get_vm,
    get_vm_at_rest,
    home_of,
    is_busy,
    uuid_in,
    wait_for_state,
)

PACK = "pack"
UNPACK = "unpack"
_LEFT = "packed, with the bundle left"  # of a claim that stays, see _finish
_TAKING_BACK = "bundle taken back"  # the VM is registered from the bundle that was left; its image is removed last

# Seconds that Parallels gets to stop working on a VM after its program was ended.
_CANCEL_TIME = 120
# A file that has not changed for this long is not being written: Parallels packs some hundred MB per second.
_QUIET_TIME = 20


@dataclass(frozen=True)
class PackOrder:
    """The limits of a packing: what may be packed, and how long it may take."""

    timeout: float = 14400
    allow_snapshots: bool = False
    allow_encrypted: bool = False
    force: bool = False  # whether linked clones may be lost


@dataclass(frozen=True)
class _Work:
    """One direction: from the file or folder C(source) to C(target), under the claim for C(image)."""

    verb: str
    source: str
    target: str
    image: str

    @property
    def remains(self) -> tuple[str, ...]:
        """The operations that leave the target behind when they are killed, see _is_ours."""
        return (PACK, _TAKING_BACK) if self.verb == PACK else (UNPACK,)


def _work(verb: str, vm: Vm) -> _Work:
    if not vm.home:
        raise TaskError(
            f"'{vm.name}' cannot be {verb}ed: Parallels does not report where its files are. Check it in Control "
            "Center, then run again."
        )
    stem = os.path.join(vm.folder, vm.stem)
    bundle, image = stem + BUNDLE_SUFFIX, stem + IMAGE_SUFFIX
    if verb == PACK:
        return _Work(PACK, bundle, image, image)
    return _Work(UNPACK, image, bundle, image)


def pack(prl: Prlctl, vm: Vm, order: PackOrder, *, dry: bool, report: Report = unwatched) -> bool:
    """Pack a VM; return whether it was not packed before."""
    work = _work(PACK, vm)
    if _is_done(vm, work) and (dry or not _is_ours(read_claim(work.image), vm, PACK, _TAKING_BACK)):
        return False
    return _Run(prl, work, order.timeout, lambda found: _refuse_to_pack(prl, found, order), _prove_image, report).go(
        vm, dry
    )


def unpack(prl: Prlctl, vm: Vm, timeout: float, *, dry: bool, report: Report = unwatched) -> bool:
    """Unpack a VM; return whether it was packed before."""
    work = _work(UNPACK, vm)
    if _is_done(vm, work) and (dry or not _is_ours(read_claim(work.image), vm, UNPACK, _TAKING_BACK)):
        return False
    disks = len(vm.disks) if vm.packed else 0  # as far as Parallels lists those in an image
    return _Run(prl, work, timeout, _refuse_to_unpack, lambda found: _prove_bundle(found, disks), report).go(vm, dry)


def target_of(vm: Vm, verb: str) -> str:
    """Return where a VM would be after being packed or unpacked."""
    return _work(verb, vm).target


def image_facts(vm: Vm) -> dict[str, Any]:
    """Return where a VM is, and the size of its image, after a check that it can be one."""
    if not vm.packed:
        return {"path": vm.home}
    _prove_image(vm)
    return {"path": vm.home, "size": os.stat(vm.home).st_size}


def _is_ours(notes: dict[str, Any], vm: Vm, *operations: str) -> bool:
    return notes.get("operation") in operations and notes.get("vm") == vm.uuid


@dataclass(frozen=True)
class _Run:
    """One run in one direction, with its checks: C(refuse) before the work, C(prove) after it."""

    prl: Prlctl
    work: _Work
    timeout: float
    refuse: Callable[[Vm], None]
    prove: Callable[[Vm], None]
    report: Report

    def go(self, before: Vm, dry: bool) -> bool:
        """Do the work; return whether the VM, as it was seen before, was not yet in the wanted form."""
        work = self.work
        if dry:
            if not before.intermediate and not _can_be_taken_back(before, work, read_claim(work.image)):
                self.refuse(before)
                _refuse_in_the_way(before, work, read_claim(work.image))
                _need(before, work).refuse_less()
            return True
        prl = self.prl
        with Claim.take(work.image, wait=self.timeout, sleep=prl.sleep, clock=prl.clock) as claim:
            # The previous holder of the claim may have finished: check again, now that no other run works here.
            vm = get_vm_at_rest(prl, before.uuid)
            if not _is_done(vm, work) and _leftovers(vm, work, claim):
                if not _is_quiet(prl, work, self.timeout):
                    raise TaskError(
                        f"Parallels is still writing {work.target}. Wait until it has finished, then run again."
                    )
                vm = get_vm_at_rest(prl, vm.uuid)
            if vm.intermediate:
                vm = self._complete(vm, claim)
            if _work(work.verb, vm).image != work.image:
                raise TaskError(f"'{vm.name}' was moved to {vm.home} in the meantime. Run the same command again.")
            if _is_done(vm, work):
                self._settle(vm, claim)
                return not _is_done(before, work)
            if _can_be_taken_back(vm, work, claim.notes):
                _take_bundle_back(prl, vm, work, claim)
            else:
                self._do(vm, claim)
        return True

    def _complete(self, vm: Vm, claim: Claim) -> Vm:
        """Let Parallels finish a packing or unpacking that was interrupted: it allows nothing else with such a VM."""
        begun = str(claim.notes["operation"]) if _is_ours(claim.notes, vm, PACK, UNPACK) else ""
        if not begun:
            claim.write(operation=UNPACK, vm=vm.uuid, name=vm.name, strangers=_there(_work(UNPACK, vm)))
        first = begun or UNPACK
        try:
            try:
                self._finish_with(vm, first, claim)
            except TaskError as error:
                other = UNPACK if first == PACK else PACK
                if f"finish {other}ing" not in str(error.details.get("stderr")):
                    raise
                self._finish_with(vm, other, claim)
        except BaseException as error:
            add_sentence(
                error,
                f"'{vm.name}' is still in an intermediate state ({vm.home}): packing or unpacking it was started, but "
                "not finished. Nothing was removed. Run again to finish it, or finish it in Control Center.",
                left_behind=_left_behind(_work(first, vm)),
            )
            raise
        self.prl.notice(f"Packing or unpacking '{vm.name}' had been interrupted ({vm.home}). It was finished.")
        return get_vm_at_rest(self.prl, vm.uuid)

    def _finish_with(self, vm: Vm, verb: str, claim: Claim) -> None:
        work = _work(verb, vm)
        with watched(lambda: sum(map(bytes_on_disk, outputs_of(work.target))), vm.bytes_on_disk, self.report):
            _change(self.prl, vm, work, self.timeout, claim)

    def _settle(self, vm: Vm, claim: Claim) -> None:
        """Remove the claim of a run that was killed after Parallels had done its part."""
        try:
            self.prove(vm)
        except TaskError as error:
            if self.work.verb == UNPACK and _is_ours(claim.notes, vm, _TAKING_BACK):
                _return_to_image(self.prl, vm, self.work, claim, error)
            raise
        if _is_ours(claim.notes, vm, self.work.verb, _TAKING_BACK):
            self.prl.notice(
                f"An earlier run was interrupted after '{vm.name}' had been {self.work.verb}ed. The remaining steps, "
                f"as noted in {with_size(claim.path)}, were completed."
            )
        _finish(self.prl, claim, self.work, vm)

    def _do(self, vm: Vm, claim: Claim) -> None:
        prl, work = self.prl, self.work
        _refuse_in_the_way(vm, work, claim.notes)
        self.refuse(vm)
        _clear_leftovers(prl, vm, work, claim)
        need = _need(vm, work)
        need.refuse_less()
        claim.write(operation=work.verb, vm=vm.uuid, name=vm.name, strangers=_there(work))
        try:
            with watched(lambda: sum(map(bytes_on_disk, outputs_of(work.target))), vm.measured(), self.report):
                _change(prl, vm, work, self.timeout, claim)
            self.prove(get_vm(prl, vm.uuid))
        except BaseException as error:
            _undo(prl, vm, work, claim, error)
            need.explain(error)
            raise
        _finish(prl, claim, work, vm)


def _leftovers(vm: Vm, work: _Work, claim: Claim) -> list[str]:
    """Return the incomplete files and folders that the claim shows to be ours."""
    if not _is_ours(claim.notes, vm, *work.remains):
        return []
    found = own_outputs(work.target, claim.notes)
    return [path for path in found if path != vm.home and uuid_in(path) in ("", vm.uuid)]


def _there(work: _Work) -> list[str]:
    return [path for path in outputs_of(work.target) if os.path.lexists(path)]


def _clear_leftovers(prl: Prlctl, vm: Vm, work: _Work, claim: Claim) -> None:
    leftovers = _leftovers(vm, work, claim)
    if leftovers and work.verb == UNPACK:
        _prove_image(vm)  # what is removed may be the only other copy
    other = entry_at(prl, leftovers, {vm.uuid}) if leftovers else None
    if other is not None:
        raise TaskError(
            f"'{vm.name}' was not {work.verb}ed: another virtual machine, '{other.name}' ({other.uuid}), is registered "
            f"from {' or '.join(leftovers)}. Move it to another folder, then run again."
        )
    for path in leftovers:
        remove_leftover(path, prl.notice)
    if not leftovers and _is_ours(claim.notes, vm, *work.remains):
        prl.notice(
            f"{with_size(claim.path)} was left by an earlier run, interrupted before anything was {work.verb}ed."
        )


def _finish(prl: Prlctl, claim: Claim, work: _Work, vm: Vm) -> None:
    """Remove the claim and, after unpacking, the checksum files of the image.

    Where Parallels left the bundle beside the image, the claim stays: it shows that this collection made the bundle.
    """
    if work.verb == PACK and os.path.isdir(work.source):
        claim.write(operation=_LEFT, vm=vm.uuid, name=vm.name)
        return
    if work.verb == UNPACK:
        if _is_ours(claim.notes, vm, _TAKING_BACK) and not why_foreign(work.image):
            remove_path(work.image)
        remove_sidecars(work.image, prl.notice)
    claim.remove()


def _can_be_taken_back(vm: Vm, work: _Work, notes: dict[str, Any]) -> bool:
    """Return whether the bundle that was left when the VM was packed is still there."""
    configuration = os.path.join(work.target, "config.pvs")
    if work.verb != UNPACK or not os.path.isfile(configuration) or not _is_ours(notes, vm, _LEFT, _TAKING_BACK):
        return False
    return not why_unsafe(work.target, "config.pvs")


def _take_bundle_back(prl: Prlctl, vm: Vm, work: _Work, claim: Claim) -> None:
    """Register the bundle that was left when a VM was packed, instead of unpacking the image.

    The image is removed last: until then the bundle may turn out not to be whole.
    """
    _refuse_to_unpack(vm)
    _prove_image(vm)
    claim.write(operation=_TAKING_BACK, vm=vm.uuid, name=vm.name)
    try:
        _prove_bundle(register_again(prl, vm, work.target, kept=work.image), len(vm.disks))
    except BaseException as error:
        _return_to_image(prl, vm, work, claim, error)
        raise
    _finish(prl, claim, work, vm)


def _return_to_image(prl: Prlctl, vm: Vm, work: _Work, claim: Claim, error: BaseException) -> None:
    """Register a VM from its image again, because the bundle that was left cannot be used. Nothing is removed."""
    if not _is_image(work.image):
        return
    try:
        now = get_vm(prl, vm.uuid)
        if not now.packed:
            now = register_again(prl, now, work.image, kept=work.image)
        _prove_image(now)
        claim.write(operation=_LEFT, vm=vm.uuid, name=vm.name)
        add_sentence(
            error,
            f"Nothing was removed: '{vm.name}' is packed in {work.image}, as before. Move {work.target} to another "
            "folder, then run again to unpack the image.",
            left_behind=[work.target],
        )
    except (TaskError, OSError) as problem:
        add_sentence(
            error,
            f"'{vm.name}' could not be registered from its image again ({problem}). Nothing was removed: the image is "
            f"{work.image}.",
            left_behind=[work.target, work.image],
        )


def _is_done(vm: Vm, work: _Work) -> bool:
    return vm.packed is (work.verb == PACK)  # in an intermediate state it is neither


def _change(prl: Prlctl, vm: Vm, work: _Work, timeout: float, claim: Claim) -> None:
    def reached() -> bool:
        entry = find_entry(prl, vm.uuid)
        if entry is None or is_busy(entry.state):
            return False
        return home_of(prl, entry).endswith(IMAGE_SUFFIX if work.verb == PACK else BUNDLE_SUFFIX)

    prl.change(
        f"{work.verb} '{vm.name}'",
        [work.verb, vm.uuid],
        reached,
        limit=timeout,
        settle=10,
        keep_open=[claim.descriptor],
    )


def _undo(prl: Prlctl, vm: Vm, work: _Work, claim: Claim, error: BaseException) -> None:
    """Remove the incomplete file or folder if the VM is not in it; add to the error what is left."""
    try:
        if not was_answered(error, work.verb) and not _is_quiet(prl, work, _CANCEL_TIME):
            add_sentence(
                error,
                f"Parallels is still working on it, so {work.target} was left. Run again when it has finished.",
                left_behind=_left_behind(work),
            )
            return
        state = wait_for_state(prl, vm.uuid, (STOPPED, SUSPENDED, RUNNING, PAUSED, INVALID), _CANCEL_TIME)
        now = get_vm(prl, vm.uuid)
        if work.verb == PACK and _is_replaced_by_nothing(now, work):
            now = register_again(prl, now, work.source, kept=work.source)
            state = now.state
        if not _is_intact(now, state, work):
            where = f"{'in an intermediate state' if now.intermediate else state}, in {now.home}"
            advice = "Run again to finish it" if now.intermediate else "Check it in Control Center"
            add_sentence(
                error, f"'{vm.name}' is now {where}. Nothing was removed. {advice}.", left_behind=_left_behind(work)
            )
            return
        for path in _leftovers(vm, work, claim):
            remove_path(path)
            add_sentence(error, f"The incomplete {path} was removed.")
        claim.remove()
        add_sentence(error, f"'{vm.name}' is unchanged, in {now.home}.")
    except (TaskError, OSError) as problem:
        add_sentence(
            error,
            f"The leftovers in {work.target} could not be removed ({problem}). The next run tries again.",
            left_behind=_left_behind(work),
        )


def _is_intact(now: Vm, state: str, work: _Work) -> bool:
    """Return whether a VM is where it was before, with all its files."""
    if is_busy(state) or not same_file(now.home, work.source):
        return False
    if work.verb == UNPACK:
        return _is_image(work.source)
    return os.path.isdir(work.source) and state != INVALID and not missing_files(now)


def _is_quiet(prl: Prlctl, work: _Work, timeout: float) -> bool:
    """Return whether no process is writing the target any more. Removing it while Parallels does would lose the VM."""
    end = prl.clock() + timeout
    written = [path for path in outputs_of(work.target) if os.path.lexists(path)]
    return all(wait_until_quiet(path, _QUIET_TIME, end - prl.clock(), prl.sleep, prl.clock) for path in written)


def _is_image(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) > 0 and not why_foreign(path)


def _is_replaced_by_nothing(vm: Vm, work: _Work) -> bool:
    """Return whether Parallels registered the VM from a missing or empty image, and left its bundle."""
    bad_image = not os.path.exists(work.image) or os.path.getsize(work.image) == 0
    return bad_image and vm.home == work.image and os.path.isdir(work.source)


def _left_behind(work: _Work) -> list[str]:
    return [path for path in (work.source, *outputs_of(work.target)) if os.path.lexists(path)]


def _refuse_in_the_way(vm: Vm, work: _Work, notes: dict[str, Any]) -> None:
    """Raise TaskError for a target that no claim shows to be the incomplete output of an earlier run."""
    if not os.path.lexists(work.target):
        return
    refuse_foreign(work.target, f"'{vm.name}' would be {work.verb}ed into it.")
    if _is_ours(notes, vm, *work.remains) and uuid_in(work.target) in ("", vm.uuid):
        return
    raise TaskError(
        f"{work.target}{owner_clause(work.target)} is in the way: '{vm.name}' would be {work.verb}ed into it, and "
        "nothing shows that it is a leftover of this collection. Move it away, then run again."
        f"{foreign_claim(work.image)}",
        path=work.target,
    )


def _need(vm: Vm, work: _Work) -> Need:
    """Return the space for the target beside the source, which stays until the target is complete."""
    # An image may be as big as its bundle. How much a bundle was compressed cannot be seen from its image.
    return Need(f"{work.verb.capitalize()}ing '{vm.name}'", vm.folder, vm.measured(), at_least=work.verb == UNPACK)


def _refuse_to_pack(prl: Prlctl, vm: Vm, order: PackOrder) -> None:
    refuse_template(vm, "packed")
    reason = _reason_not_to_pack(vm, vm.state, order)
    if reason:
        raise TaskError(f"'{vm.name}' was not packed: {reason}", state=vm.state)
    if not order.force:
        refuse_needed(prl, vm)


def _reason_not_to_pack(vm: Vm, state: str, order: PackOrder) -> str:
    """Return why a VM must not be packed and what to do about it; empty when it may be packed."""
    if state in (RUNNING, PAUSED):
        return f"it is {state}. Shut it down first (macops.parallels.vm_power with state: stopped)."
    if state == SUSPENDED:
        return (
            "it is suspended, and its saved memory cannot be resumed on other hardware. Resume it and shut it down, "
            "or discard the memory with macops.parallels.vm_power, state: stopped, suspended: discard."
        )
    if state == INVALID:
        return "its files are missing or unreadable. Connect the disk they are on, or restore them."
    if is_busy(state):
        return f"Parallels is working on it ({state}). Wait until it has finished, then run again."
    found = (found for found in obstacles(vm) if not (found.id == ENCRYPTED and order.allow_encrypted))
    obstacle = next(found, None)
    if obstacle is not None:
        return obstacle.text
    if vm.snapshots is None:
        return f"its snapshots are not known. {' '.join(vm.unreadable)} Then run again."
    if vm.snapshots and not order.allow_snapshots:
        return (
            f"it has {len(vm.snapshots)} snapshots, which make the image bigger and may not work on another Mac. "
            "Remove them (macops.parallels.vm_snapshot with state: absent, all: true), or allow them with "
            "allow_snapshots: true."
        )
    return ""


def _refuse_to_unpack(vm: Vm) -> None:
    if vm.state == INVALID or not os.path.exists(vm.home):
        raise TaskError(
            f"'{vm.name}' cannot be unpacked: its image {vm.home} is missing or unreadable. Connect the disk it is "
            "on, or restore it.",
            path=vm.home,
        )
    if vm.busy:
        raise TaskError(
            f"'{vm.name}' is {vm.state}. Wait until Parallels has finished, then run again.", state=vm.state
        )


def _prove_image(vm: Vm) -> None:
    try:
        status = os.lstat(vm.home)
    except FileNotFoundError:
        raise TaskError(
            f"Parallels reports that '{vm.name}' is packed in {vm.home}, but there is no such file. Check the virtual "
            "machine in Control Center.",
            path=vm.home,
        ) from None
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        raise TaskError(
            f"Parallels reports that '{vm.name}' is packed in {vm.home}, but that is "
            f"{'an empty file' if stat.S_ISREG(status.st_mode) else 'not a regular file'}. It cannot be used as "
            "an image. Check the virtual machine in Control Center, or make it again from its source.",
            path=vm.home,
        )
    refuse_foreign(vm.home, f"It cannot be used as the image of '{vm.name}'.")


def _prove_bundle(vm: Vm, disks: int) -> None:
    """Raise TaskError for a VM that is not whole in its bundle; it had at least C(disks) disks in its image."""
    problem = _problem_of_bundle(vm, disks)
    if problem:
        raise TaskError(
            f"Parallels unpacked '{vm.name}' to {vm.home}, but {problem}. Check the virtual machine in Control Center.",
            path=vm.home,
        )


def _problem_of_bundle(vm: Vm, disks: int) -> str:
    missing = missing_files(vm) or [disk.path for disk in vm.disks if not disk.bytes_on_disk]
    if missing:
        return f"the disks {', '.join(missing)} cannot be found there"
    if vm.packed is not False or not os.path.isfile(os.path.join(vm.home, "config.pvs")):
        return "its configuration cannot be found there"
    if vm.state == INVALID:
        return "it is invalid: some of its files are missing or unreadable"
    if len(vm.disks) < disks:
        return f"it has {len(vm.disks)} disks there, and {disks} in its image"
    return ""
