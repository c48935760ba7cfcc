# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Generalizes Linux: removes the machine ID, the SSH host keys and the data of cloud-init.

No command uses quotes or wildcards, because Parallels joins its words with spaces and the guest splits them again. Each
check is answered by an exit code, because early output may get lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .._common.errors import TaskError
from .guest import QUESTION_LIMIT, Guest

_CLOUD_INIT = "/usr/bin/cloud-init"
_KEY_TYPES = ("dsa", "ecdsa", "ed25519", "rsa")


@dataclass(frozen=True)
class _Trace:
    """Data that identifies one machine."""

    what: str
    there: tuple[str, ...]  # ends with 0 while it is there, with 1 when it is gone
    remove: tuple[str, ...]
    needs: str = ""  # the program that removes it; without it in the guest, the trace is not checked


_TRACES = (
    # Empty, not gone: then the next start makes a new one, also where /etc cannot be written early on.
    _Trace("the machine ID", ("test", "-s", "/etc/machine-id"), ("truncate", "-s", "0", "/etc/machine-id")),
    # Usually a link to the one above. From a copy, systemd would restore the old ID.
    _Trace(
        "the machine ID of D-Bus",
        ("test", "-s", "/var/lib/dbus/machine-id"),
        ("rm", "-f", "/var/lib/dbus/machine-id"),
    ),
    *(
        _Trace(
            f"the SSH host key {kind}",
            ("test", "-e", f"/etc/ssh/ssh_host_{kind}_key"),
            ("rm", "-f", f"/etc/ssh/ssh_host_{kind}_key", f"/etc/ssh/ssh_host_{kind}_key.pub"),
        )
        for kind in _KEY_TYPES
    ),
    _Trace(
        "the data of cloud-init",
        ("test", "-e", "/var/lib/cloud/instance"),
        ("cloud-init", "clean", "--logs"),
        needs=_CLOUD_INIT,
    ),
)


class Linux:
    """Generalizes a Linux guest."""

    kept_proof = "no machine ID, no SSH host keys, no cloud-init data"
    start_spoils = False

    def proof(self, guest: Guest) -> str:
        """Return the proof that a running guest is generalized; empty when it is not."""
        return "" if any(_is_there(guest, trace) for trace in _TRACES) else self.kept_proof

    def generalize(self, guest: Guest, begun: Callable[[], None]) -> str:
        """Remove each trace that is still there, and return the proof that none is left."""
        begun()
        for trace in _TRACES:
            if not _is_there(guest, trace):
                continue
            result = guest.run(trace.remove, limit=QUESTION_LIMIT)
            if result.rc != 0 or _is_there(guest, trace):
                raise TaskError(
                    f"{trace.what[0].upper()}{trace.what[1:]} could not be removed in '{guest.vm.name}': "
                    f"`{' '.join(trace.remove)}` ended with exit code {result.rc}. Check the reason in the guest (a "
                    "read-only or immutable file?), then run again.",
                    **result.details(),
                )
        return self.kept_proof


def _is_there(guest: Guest, trace: _Trace) -> bool:
    if trace.needs and not guest.exists(trace.needs):
        return False
    return guest.confirms(trace.there)
