# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One number for all that a VM is, without its power state: the same before and after means that nobody touched it."""

from __future__ import annotations

import hashlib
import os

from .sparse import MIB, extents
from .vms import Vm

_CHUNK = MIB // 16


def fingerprint(vm: Vm) -> str:
    """Return the SHA-256 over registration, settings, snapshots and every byte of the bundle or package."""
    digest = hashlib.sha256()
    for value in (vm.uuid, vm.name, str(vm.home)):
        _add(digest, value.encode())
    if vm.packed:
        files = [(vm.home.name, vm.home)]
    else:
        files = [(str(name), vm.home / name) for name in vm.bundle.files(with_memory=False)]
    for name, path in files:
        _add(digest, name.encode())
        _add(digest, str(path.stat().st_size).encode())
        with open(path, "rb") as file:
            for start, end in extents(file.fileno(), path.stat().st_size):
                for offset in range(start - start % _CHUNK, end, _CHUNK):
                    data = os.pread(file.fileno(), _CHUNK, offset)
                    if data.count(0) != len(data):  # zeros count as a hole: where the holes are is not content
                        _add(digest, str(offset).encode())
                        _add(digest, data)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, data: bytes) -> None:
    digest.update(len(data).to_bytes(8, "big") + data)
