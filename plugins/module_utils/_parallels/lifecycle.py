# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Registers, changes, removes and unregisters VMs. Cloning is in clone."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any, Optional

from .._common.errors import TaskError
from .._common.files import IMAGE_SUFFIX, same_place
from .._common.given import refuse_unprintable
from .._common.text import same_name
from .._common.unreadable import is_there, why_unreadable
from .cli import Prlctl
from .settings import Settings, arguments, in_order, only_stopped
from .snapshots import refuse_needed
from .unlisted import Unlisted, forget_unlisted, off_the_list
from .vm import (
    BUNDLE_SUFFIX,
    BUSY_TIME,
    INVALID,
    MACOS_BUNDLE_SUFFIX,
    PAUSED,
    RUNNING,
    STOPPED,
    Entry,
    Vm,
    find_entry,
    get_vm,
    home_of,
    list_all_entries,
    read_vm,
    wait_while_busy,
)

_DELETE_LIMIT = 300  # seconds
_FILES_GONE_TIME = 10  # seconds that the files of a deleted VM may still be seen


def register(prl: Prlctl, name: str, path: str, *, new_uuid: bool, dry: bool) -> tuple[Optional[Vm], bool]:
    """Return the VM of a bundle or image, registered under a name, and whether something was changed."""
    refuse_unprintable("The name of the virtual machine", name)
    if not path.endswith((BUNDLE_SUFFIX, IMAGE_SUFFIX, MACOS_BUNDLE_SUFFIX)):
        raise TaskError(
            f"{path} is neither a bundle (.pvm, .macvm) nor an image (.pvmp). Check the option path.", path=path
        )
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise TaskError(f"There is no {path} on this Mac. Check the option path.", path=path) from None
    except OSError as error:
        raise TaskError(f"{why_unreadable(path, error)} Then run again.", path=path) from error
    known = {entry.uuid: entry for entry in list_all_entries(prl)}
    vm = _registered_from(prl, path, set())
    if vm is None:
        other = find_entry(prl, name)
        if other is not None:
            taken = read_vm(prl, other)
            what = "template" if taken.template else "virtual machine"
            raise TaskError(
                f"The {what} '{name}' already exists, in {taken.home} and not in {path}. Choose another name, "
                "or unregister that one first.",
                path=taken.home,
            )
        if dry:
            return None, True
        prl.change(
            f"register {path}",
            ["register", path, f"--preserve-uuid={'no' if new_uuid else 'yes'}"],
            lambda: _registered_from(prl, path, set(known)) is not None,
        )
        vm = _registered_from(prl, path, set(known))
        changed = True
    else:
        refuse_template(vm, "registered")
        changed = False
    if vm is not None and not same_name(vm.name, name):
        vm = rename(prl, vm, name, dry=dry)
        changed = True
    return vm, changed


def _registered_from(prl: Prlctl, path: str, but: set[str]) -> Optional[Vm]:
    # If it is one that cannot be read, Parallels refuses to register it again.
    entry = entry_at(prl, [path], but, unread=True)
    return read_vm(prl, entry) if entry is not None else None


def entry_at(prl: Prlctl, places: Sequence[str], but: Container[str] = (), *, unread: bool = False) -> Optional[Entry]:
    """Return the VM that is registered from one of these bundles or images, whatever its name is; except C(but).

    Raises TaskError when it is not known of a VM where it is, unless C(unread) passes it over.
    """
    for entry in list_all_entries(prl):
        if entry.uuid in but:
            continue
        try:
            home = home_of(prl, entry)
            if home and any(same_place(home, place) for place in places):
                return entry
        except TaskError:
            if not unread:
                raise
        except OSError as error:
            if not unread:
                raise TaskError(f"{why_unreadable(error.filename or places[0], error)} Then run again.") from error
    return None


def rename(prl: Prlctl, vm: Vm, name: str, *, dry: bool = False) -> Vm:
    """Give a VM another name."""
    if vm.packed:
        raise TaskError(
            f"{vm.home} is registered as '{vm.name}', and a packed virtual machine cannot be renamed. Use the name "
            f"'{vm.name}', or unpack it first."
        )
    if vm.state != STOPPED:
        raise TaskError(f"'{vm.name}' ({vm.home}) is {vm.state}. Shut it down so that it can be renamed to '{name}'.")
    if dry:
        return replace(vm, name=name)
    prl.change(
        f"rename '{vm.name}' to '{name}'",
        ["set", vm.uuid, "--name", name],
        lambda: same_name(get_vm(prl, vm.uuid).name, name),
    )
    return get_vm(prl, vm.uuid)


def apply_settings(prl: Prlctl, vm: Vm, wanted: Settings, *, dry: bool) -> tuple[Vm, dict[str, Any]]:
    """Apply the wanted settings to a VM; return the VM with them, and the settings that differed."""
    differing = wanted.changed_from(vm.settings)
    if not differing:
        return vm, {}
    if vm.packed:
        raise TaskError(
            f"'{vm.name}' is packed, so its settings cannot be changed ({', '.join(differing)}). Unpack it first "
            "(macops.parallels.image_pack with state: unpacked)."
        )
    state = wait_while_busy(prl, vm.uuid, BUSY_TIME)
    for key in differing:
        if only_stopped(key) and state != STOPPED:
            raise TaskError(f"'{vm.name}' is {state}. Shut it down so that its setting {key} can be changed.")
    if dry:
        return replace(vm, settings=replace(vm.settings, **differing)), differing
    for key, value in in_order(differing):
        flag, text = arguments(key, value)
        prl.change(
            f"set {key} of '{vm.name}' to '{text}'",
            ["set", vm.uuid, flag, text],
            lambda key=key, value=value: getattr(get_vm(prl, vm.uuid).settings, key) in (value, None),
            settle=10,
        )
    now = get_vm(prl, vm.uuid)
    unknown = [key for key in differing if getattr(now.settings, key) is None]
    if unknown:
        prl.notice(
            f"Parallels does not report {', '.join(unknown)} of '{vm.name}'. The setting was changed, but whether it "
            "holds is not known."
        )
    return now, differing


def refuse_template(vm: Vm, verb: str) -> None:
    """Raise TaskError for a template, which is not used like a VM."""
    if vm.template:
        raise TaskError(
            f"'{vm.name}' ({vm.home}) is a template, so it was not {verb}. Convert it to a virtual machine first "
            f"(prlctl set {vm.uuid} --template off).",
            path=vm.home,
        )


def refuse_removal(prl: Prlctl, vm: Vm, *, force: bool, older: Container[str] = ()) -> str:
    """Return the state of a VM that may be removed; with C(force), even if linked clones are lost with it.

    C(older) are VMs that are older than it, and so no linked clones of it.
    """
    refuse_template(vm, "removed")
    state = refuse_running(prl, vm, "removed")
    if not force:
        refuse_needed(prl, vm, older=older)
    return state


def refuse_running(prl: Prlctl, vm: Vm, verb: str) -> str:
    """Return the state of a VM that may be removed; a running or paused one is an error."""
    state = wait_while_busy(prl, vm.uuid, BUSY_TIME)
    if state in (RUNNING, PAUSED):
        raise TaskError(
            f"'{vm.name}' is {state}, so it was not {verb}. Shut it down first (macops.parallels.vm_power with state: "
            "stopped)."
        )
    return state


def unregister(prl: Prlctl, vm: Vm, keep_open: Sequence[int] = ()) -> None:
    """Take a VM off Parallels' list; its files stay."""
    prl.change(
        f"unregister '{vm.name}'",
        ["unregister", vm.uuid],
        lambda: find_entry(prl, vm.uuid) is None,
        keep_open=keep_open,
    )
    forget_unlisted(vm.uuid)


def register_again(prl: Prlctl, vm: Vm, path: str, kept: str) -> Vm:
    """Register a VM from another bundle or image of its own.

    It is taken off Parallels' list for a moment. If that goes wrong, it is registered again from C(kept), which is
    known to be whole. Both stay.
    """
    with off_the_list(prl, Unlisted(vm.uuid, vm.name, kept), BUSY_TIME) as note:
        unregister(prl, vm, [note.descriptor])
        return register(prl, vm.name, path, new_uuid=False, dry=False)[0] or vm


def delete(prl: Prlctl, vm: Vm, state: str) -> str:
    """Remove a VM with its files. Of one that is invalid only the entry is removed: its files cannot be read.

    Return the bundle or image if Parallels took the VM off its list, but left that there; else an empty text.
    """
    vm.measure()
    if state == INVALID:
        unregister(prl, vm)
        return ""

    def is_gone() -> bool:
        return find_entry(prl, vm.uuid) is None

    # Some versions ask for a confirmation.
    prl.change(f"delete '{vm.name}'", ["delete", vm.uuid], is_gone, limit=_DELETE_LIMIT, answer="y\n")
    forget_unlisted(vm.uuid)
    end = prl.clock() + _FILES_GONE_TIME
    while is_there(vm.home) and prl.clock() < end:
        prl.sleep(1)
    return vm.home if is_there(vm.home) else ""


def what_is_left(vm: Vm) -> tuple[str, str]:
    """Return what became of the files of a VM that was removed: C(removed), C(left) or C(unknown), and a sentence."""
    there = is_there(vm.home) if vm.home else None
    if there is False:
        return "removed", ""
    if there:
        return "left", (
            f"'{vm.name}' was only taken off Parallels' list, because files of it are missing or unreadable. {vm.home} "
            "is still there. Delete it by hand if nothing in it is needed."
        )
    where = f"{vm.home} still exists" if vm.home else "its files still exist"
    try:
        os.lstat(vm.home)
        why = ""
    except OSError as error:
        why = why_unreadable(vm.home, error) if vm.home else "Parallels did not report where they are."
    return "unknown", (
        f"'{vm.name}' was taken off Parallels' list. Whether {where} is not known. {why} Then check whether it can be "
        "deleted by hand."
    )
