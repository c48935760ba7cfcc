# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Leftovers of interrupted runs: removed only where they are known to be ours, and never without a notice."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from .files import bytes_on_disk, intermediate_of, remove_path, same_place, temporary_prefix
from .notice import Notice
from .ownership import is_own, why_foreign
from .space import in_words
from .text import composed

# Seconds after which a small temporary file is no longer being written.
_ABANDONED = 60


# The suffix under which Parallels may write a file that it renames when it is complete.
_TEMPORARY = ".tmp"


def with_size(path: str) -> str:
    """Return a path with its size on the disk."""
    return f"{path} ({in_words(bytes_on_disk(path))})"


def outputs_of(target: str) -> list[str]:
    """Return where Parallels writes a bundle or image: under its name, or elsewhere until it is complete."""
    return [target, target + _TEMPORARY, intermediate_of(target)]


def own_outputs(target: str, notes: dict[str, Any]) -> list[str]:
    """Return the outputs that a claim shows to be ours: those that existed before are C(strangers) in its notes.

    What another user has put under such a name since does not count.
    """
    strangers = notes.get("strangers")
    ours = [target] if strangers is None else outputs_of(target)
    ours = [path for path in ours if not any(same_place(path, other) for other in strangers or ())]
    return [path for path in ours if os.path.lexists(path) and not why_foreign(path)]


def remove_leftover(path: str, notice: Notice) -> None:
    """Remove a file or folder that is known to be ours, and say so."""
    seen = with_size(path)
    remove_path(path)
    notice(f"{seen} was left incomplete by an earlier run that was interrupted. It was removed.")


def remove_temporaries(path: str, notice: Notice) -> None:
    """Remove leftovers of runs that were killed while they wrote the small file C(path): see files.atomic_write."""
    folder, name = os.path.split(path)
    pattern = re.compile(re.escape(composed(temporary_prefix(name))) + r"[a-z0-9_]{8}\.tmp")
    try:
        entries = os.listdir(folder or ".")
    except FileNotFoundError:
        return
    for entry in entries:
        found = os.path.join(folder, entry)
        if pattern.fullmatch(composed(entry)) and _is_abandoned(found):
            remove_leftover(found, notice)


def _is_abandoned(path: str) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return is_own(path) and time.time() - status.st_mtime > _ABANDONED
