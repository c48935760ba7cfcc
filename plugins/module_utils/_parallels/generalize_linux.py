# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Generalizes Linux: removes what identifies one machine, its network and its users' work.

A service that runs may write some of it again before the shutdown (a lease, a log). What makes two machines one is
verified to be gone: see C(_TRACES). So is what was in the logs before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Callable

from .._common.errors import TaskError
from .guest import Guest
from .guest_answer import Answer, ask
from .sysprep import Finding, Preparation

_LIMIT = 300  # seconds
_MOST_FILES = 20

# Topic -> what it is. Each is verified to be gone.
_TRACES = {
    "machine_id": "the machine ID",
    "host_keys": "the SSH host keys",
    "cloud_init": "the data of cloud-init",
    "leases": "the leases of DHCP clients",
    "network": "the state of the network",
    "history": "the history of shells",
}

_FILES = r"""
leases() {
  for file in /var/lib/dhcp/*.leases /var/lib/dhclient/*.lease* /var/lib/dhcpcd/*.lease* /var/lib/NetworkManager/*.lease
  do if [ -s "$file" ]; then echo "$file"; fi; done
}
network() {
  for file in /etc/udev/rules.d/70-persistent-net.rules /var/lib/NetworkManager/secret_key
  do if [ -e "$file" ]; then echo "$file"; fi; done
  # What cloud-init makes again at the next start, for the network card that is there then.
  if command -v cloud-init >/dev/null 2>&1 && [ ! -e /etc/cloud/cloud-init.disabled ] &&
    ! grep -rqs 'config: *disabled' /etc/cloud/cloud.cfg.d && [ -e /etc/netplan/50-cloud-init.yaml ]
  then echo /etc/netplan/50-cloud-init.yaml; fi
}
histories() {
  for file in ~root/.*_history /home/*/.*_history ~root/.lesshst /home/*/.lesshst
  do if [ -e "$file" ]; then echo "$file"; fi; done
}
"""

# The machine ID is empty and not gone: then the next start makes a new one, also where /etc cannot be written early on.
# That of D-Bus is usually a link to it. From a copy, systemd would restore the old ID.
_LOOK = (
    _FILES
    + r"""
if [ -s /etc/machine-id ]; then row machine_id /etc/machine-id; fi
if [ -s /var/lib/dbus/machine-id ]; then row machine_id /var/lib/dbus/machine-id; fi
whole machine_id
for file in /etc/ssh/ssh_host_*_key; do if [ -e "$file" ]; then row host_keys "$file"; fi; done
whole host_keys
if command -v cloud-init >/dev/null 2>&1 && [ -e /var/lib/cloud/instance ]; then row cloud_init /var/lib/cloud; fi
whole cloud_init
leases | while read -r file; do row leases "$file"; done
whole leases
network | while read -r file; do row network "$file"; done
whole network
histories | while read -r file; do row history "$file"; done
whole history
grep -liEs '^ *(macaddress: |mac-address=|HWADDR=)' /etc/netplan/* /etc/NetworkManager/system-connections/* \
  /etc/sysconfig/network-scripts/ifcfg-* | while read -r file; do row pinned "$file"; done
whole pinned
"""
)

# Services that run begin their logs again, so only what was in them before has to be gone. That is what nobody has
# written to since.
_LOGS = r"""
for place in /var/log /var/log/audit; do
  if [ -d "$place" ]; then find "$place" -xdev -type f -size +0c ! -mmin -MINUTES; fi
done | sort -u | while read -r file; do row logs "$file"; done
whole logs
"""

# That the random seed is gone is not verified, because systemd may write it again. The log of the audit daemon often
# has a file system of its own.
_REMOVE = (
    _FILES
    + r"""
remove() { while read -r file; do rm -f -- "$file" || return 1; done; }
set -e
if [ -e /etc/machine-id ]; then truncate -s 0 /etc/machine-id; fi
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
leases | remove
network | remove
histories | remove
if command -v cloud-init >/dev/null 2>&1; then cloud-init clean --logs; fi
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -f /var/lib/NetworkManager/timestamps /var/lib/NetworkManager/seen-bssids
rm -rf /var/log/journal/*
for place in /var/log /var/log/audit; do
  if [ -d "$place" ]; then find "$place" -xdev -type f -exec truncate -s 0 {} +; fi
done
"""
)


class Linux:
    """Generalizes a Linux guest."""

    kept_proof = "no machine ID, SSH host keys, cloud-init data, leases, network state or shell history"
    start_spoils = False

    def proof(self, guest: Guest) -> str:
        """Return the proof that a running guest is generalized; empty when it is not."""
        return "" if _traces(guest, _look(guest), _TRACES) else self.kept_proof

    def prepare(self, guest: Guest, *, dry: bool) -> Preparation:  # pylint: disable=unused-argument
        """Find what copies would have in common afterwards, and what is the admin's own."""
        pinned = [row[0] for row in _look(guest).rows("pinned") or [] if row]
        if not pinned:
            return Preparation()
        return Preparation(
            (
                Finding(
                    "pinned_network",
                    f"The network configuration names the address of one network card: {', '.join(pinned)}.",
                    "Remove macaddress, mac-address or HWADDR there, or copies of this machine have no network.",
                    blocks=False,
                ),
            )
        )

    def generalize(self, guest: Guest, begun: Callable[[str], None]) -> str:
        """Remove each trace, and return the proof that none is left."""
        begun("")
        start = guest.prl.clock()
        result = guest.run(["/bin/sh", "-c", _REMOVE], limit=_LIMIT)
        left = _traces(guest, _look(guest), _TRACES) + _old_logs(guest, guest.prl.clock() - start)
        if result.rc != 0 or left:
            what = ", ".join(left) or "everything"
            raise TaskError(
                f"{what[0].upper()}{what[1:]} could not be removed in '{guest.vm.name}': the script ended with exit "
                f"code {result.rc} ({result.said.strip()[-500:] or 'no output'}). Check the reason in the guest (a "
                "read-only or immutable file?), then run again.",
                **result.details(),
            )
        return self.kept_proof


def _look(guest: Guest) -> Answer:
    return ask(guest, _LOOK, "")


def _old_logs(guest: Guest, seconds: float) -> list[str]:
    """Return the logs that still have what was in them so many seconds ago."""
    minutes = math.ceil(seconds / 60) + 1
    return _traces(guest, ask(guest, _LOGS.replace("MINUTES", str(minutes)), ""), {"logs": "what was in the logs"})


def _traces(guest: Guest, answer: Answer, topics: Mapping[str, str]) -> list[str]:
    """Return what is still there, each with its files. Raises TaskError when that is not known."""
    found = []
    for topic, what in topics.items():
        rows = answer.rows(topic)
        if rows is None:
            raise TaskError(
                f"It is not known whether {what} is in '{guest.vm.name}'. {answer.why_unknown(topic)} Check the guest, "
                "then run again."
            )
        if rows:
            files = [row[0] for row in rows if row]
            more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
            found.append(f"{what} ({', '.join(files[:_MOST_FILES])}{more})")
    return found
