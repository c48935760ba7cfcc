# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Patterns of hosts, applied to an inventory that is only known by its groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.inventory.manager import InventoryManager


def hosts_in(loader: Any, groups: Mapping[str, Iterable[str]], pattern: str, limit: str = "") -> list[str]:
    """Return the hosts of a pattern, as far as C(--limit) leaves them in."""
    manager = InventoryManager(loader, parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(host, group=group)
    manager.reconcile_inventory()
    if limit:
        manager.subset(limit)
    return [host.name for host in manager.get_hosts(pattern)]
