# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Keeps what a guest has answered, because a VM that is shut down or packed cannot be asked, and must not be started.

An answer is used again only for the same VM, and only while that has not run since: its uptime shows it. The files are
in a folder that only this user can write to.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .._common.claim import read_claim
from .._common.errors import TaskError
from .._common.files import atomic_write, try_to_remove
from .._common.json_reader import read_json
from .._common.machine import FOLDER
from .._common.ownership import own_folder, read_own
from .vm import RUNNING, Vm

READINESS, INVENTORY = "readiness", "inventory"
_KINDS = (READINESS, INVENTORY)
_FOLDER = f"{FOLDER}/answers"
_SCHEMA = 1
_LARGEST = 64 * 1024 * 1024
# Seconds that a guest may run on after it has answered, until it is shut down: Sysprep alone may take half an hour.
_UNTIL_STOPPED = 7200
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class KeptAnswer:
    """What a guest has answered at a time, in UTC."""

    at: str
    lines: list[str]


def keep(kind: str, vm: Vm, lines: Sequence[str]) -> KeptAnswer:
    """Keep the answer that the running guest of a VM has just given."""
    answer = KeptAnswer(time.strftime(_TIME_FORMAT, time.gmtime()), list(lines))
    _write(kind, vm, answer, [vm.uptime, vm.uptime + _UNTIL_STOPPED])
    return answer


def kept(kind: str, vm: Vm) -> Optional[KeptAnswer]:
    """Return the answer that the guest of a VM gave before it was shut down; None if it may have run since."""
    try:
        data = read_own(_path(kind, vm.uuid), _LARGEST)
        note = read_json(data) if data is not None else None
    except (OSError, ValueError):
        return None
    if not (_is_note(note) and note["vm"] == vm.uuid):
        return None
    low, high = note["uptime"]
    runs = vm.state == RUNNING
    # Where Parallels does not count it, only a clone is known to have been started by nobody else.
    if not (low <= vm.uptime <= high if vm.uptime else low == 0 and (runs or _is_clone(vm))):
        return None
    answer = KeptAnswer(note["at"], note["lines"])
    if vm.uptime and high > vm.uptime and not runs:  # from now on, it does not run at all
        _write(kind, vm, answer, [low, vm.uptime])
    return answer


def forget_answers(uuid: str) -> None:
    """Remove what a VM has answered, because it is removed."""
    for kind in _KINDS:
        try_to_remove(_path(kind, uuid))


def _write(kind: str, vm: Vm, answer: KeptAnswer, uptime: list[int]) -> None:
    note = {"schema": _SCHEMA, "vm": vm.uuid, "uptime": uptime, "at": answer.at, "lines": answer.lines}
    own_folder(_FOLDER)
    atomic_write(_path(kind, vm.uuid), json.dumps(note).encode(), 0o600)


def _path(kind: str, uuid: str) -> str:
    return os.path.join(os.path.expanduser(_FOLDER), f"{uuid}.{kind}.json")


def _is_note(note: Any) -> bool:
    return (
        isinstance(note, dict)
        and note.get("schema") == _SCHEMA
        and isinstance(note.get("at"), str)
        and isinstance(note.get("uptime"), list)
        and [type(number) for number in note["uptime"]] == [int, int]
        and isinstance(note.get("lines"), list)
        and all(isinstance(line, str) for line in note["lines"])
    )


def _is_clone(vm: Vm) -> bool:
    """Return whether a VM is a clone of this collection, which nobody but a playbook starts."""
    with contextlib.suppress(TaskError, OSError):
        return read_claim(vm.bundle).get("operation") == "clone"
    return False
