# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Notes about VMs that are unregistered for a moment: after a kill in that moment, a VM would be missing from the list.

A note beside the VM's files would not help the next run, which only knows the VM's name and cannot get its location
from Parallels. So the note is in one folder of the user; it is a claim, held by the process that works on the VM.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional

from .._common.claim import Claim, claim_path, has_claim, read_claim
from .._common.ownership import own_folder
from .cli import Prlctl

FOLDER = "~/.ansible/macops.parallels/unregistered"
_OPERATION = "unregistered for a moment"


@dataclass(frozen=True)
class Unlisted:
    """A VM that a run has unregistered, to register it again from the bundle or image C(path)."""

    uuid: str
    name: str
    path: str

    def take(self, prl: Prlctl, wait: float) -> Claim:
        """Return its note, once no other run works on the VM any more."""
        return Claim.take(_target(self.uuid), wait=wait, sleep=prl.sleep, clock=prl.clock)


@contextlib.contextmanager
def off_the_list(prl: Prlctl, vm: Unlisted, wait: float) -> Iterator[Claim]:
    """Keep the note while the body unregisters a VM and registers it again; it stays when the body fails."""
    own_folder(FOLDER)
    with vm.take(prl, wait) as note:
        note.write(operation=_OPERATION, vm=vm.uuid, name=vm.name, path=vm.path)
        yield note
        note.remove()


def find_unlisted(matches: Callable[[Unlisted], bool]) -> Optional[Unlisted]:
    """Return the first VM that matches among those with a note."""
    folder = os.path.expanduser(FOLDER)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return None
    for name in names:
        uuid = name[1:].partition(".")[0]
        if name != os.path.basename(claim_path(uuid)):
            continue
        notes = read_claim(os.path.join(folder, uuid))
        vm = Unlisted(uuid, str(notes.get("name", "")), str(notes.get("path", "")))
        if notes.get("operation") == _OPERATION and matches(vm):
            return vm
    return None


def forget_unlisted(uuid: str) -> None:
    """Remove the note about a VM that is registered, or was unregistered for good; not one that is in use."""
    target = _target(uuid)
    if has_claim(target):
        note = Claim.take_if_free(target)
        if note is not None:
            note.remove()


def _target(uuid: str) -> str:
    return os.path.join(os.path.expanduser(FOLDER), uuid)
