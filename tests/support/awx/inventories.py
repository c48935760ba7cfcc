# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories, hosts, groups and inventory sources (AWX 24.6.1, recorded: inventory)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .fields import variables_of
from .kinds import Change, Rules
from .refusals import Refusal, forbidden, invalid

if TYPE_CHECKING:
    from .database import Record

GROUP_NAMES_REFUSED = ("all", "_meta")
HIGHEST_PORT = 65535


class Inventories(Rules):
    """What AWX checks of inventories. Deleting one takes its time, and its name stays taken until then."""

    def check(self, change: Change) -> None:
        new = change.new
        if new["kind"] == "smart" and not new["host_filter"]:
            raise invalid(host_filter="Smart inventories must specify host_filter")
        deleted = self.awx.deleted_names.get((new["name"], new["organization"]))
        taken = deleted is not None and time.monotonic() < deleted + self.awx.faults.deletion_seconds
        if change.old is None and taken:
            raise Refusal(400, {"__all__": ["Inventory with this Name and Organization already exists."]})

    def removed(self, record: Record) -> None:
        self.awx.deleted_names[record["name"], record["organization"]] = time.monotonic()

    def show(self, record: Record, body: dict[str, Any]) -> None:
        database = self.awx.database
        sources = database.find("inventory_source", inventory=record.id)
        body |= {
            "has_active_failures": False,
            "total_hosts": len(database.find("host", inventory=record.id)),
            "hosts_with_active_failures": 0,
            "total_groups": len(database.find("group", inventory=record.id)),
            "has_inventory_sources": bool(sources),
            "total_inventory_sources": len(sources),
            "inventory_sources_with_failures": sum(bool(source["last_job_failed"]) for source in sources),
        }
        if "url" in body:
            body["pending_deletion"] = False


class Hosts(Rules):
    """What AWX checks of hosts: a port in the name becomes a variable."""

    def check(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and change.body.get("inventory", old["inventory"]) != old["inventory"]:
            raise forbidden("Unable to change inventory on a host.")
        name, colon, port = new["name"].rpartition(":")
        if not colon or not port.isdigit():
            return
        if not 0 < int(port) <= HIGHEST_PORT:
            raise invalid(name=f"Invalid port specification: {port}")
        variables = variables_of(new["variables"] or "") | {"ansible_ssh_port": int(port)}
        new |= {"name": name, "variables": json.dumps(variables)}

    def show(self, record: Record, body: dict[str, Any]) -> None:
        body["has_active_failures"] = False
        body["has_inventory_sources"] = bool(record.linked("inventory_sources"))


class Groups(Rules):
    """What AWX checks of groups. Hosts that are in no other group go with a group."""

    def check(self, change: Change) -> None:
        if change.new["name"] in GROUP_NAMES_REFUSED:
            raise invalid(name="Invalid group name.")

    def removed(self, record: Record) -> None:
        database = self.awx.database
        others = [group for group in database.find("group", inventory=record["inventory"]) if group is not record]
        for host in list(record.linked("hosts")):
            if not any(host in group.linked("hosts") for group in others):
                database.remove(host)


class InventorySources(Rules):
    """What AWX checks of inventory sources. Where the file is, is first looked at by an update."""

    def check(self, change: Change) -> None:
        new = change.new
        if new["source"] == "scm":
            if not new["source_project"]:
                raise invalid(source_project="Project required for scm type sources.")
        else:
            given = [name for name in ("source_project", "source_path") if new[name]]
            if given:
                raise Refusal(400, {"detail": [f"Cannot set {' '.join(given)} if not SCM type."]})
        if change.old is None:
            new |= {"status": "never updated", "last_job_failed": False, "last_update_failed": False}
            new |= {"last_updated": None, "last_job_run": None, "custom_virtualenv": None}

    def made(self, record: Record, change: Change) -> None:
        inventory = self.awx.database.get("inventory", record["inventory"])
        record["organization"] = inventory["organization"] if inventory else None


def import_inventory(awx: Any, source: Record, listed: dict[str, Any]) -> None:
    """Put what ansible-inventory listed into the inventory of a source."""
    database, inventory = awx.database, source["inventory"]
    host_vars = listed.get("_meta", {}).get("hostvars", {})
    groups = {name: group for name, group in listed.items() if name != "_meta"}
    kept: dict[str, dict[str, Record]] = {"host": {}, "group": {}}

    def imported(kind: str, name: str, variables: dict[str, Any]) -> Record:
        found = database.find(kind, inventory=inventory, name=name)
        record = found[0] if found else database.add(kind, name=name, description="imported", inventory=inventory)
        before = {} if source["overwrite_vars"] else variables_of(record["variables"] or "")
        record["variables"] = json.dumps(before | variables)
        if kind == "host":
            record.values.setdefault("enabled", True)
        record.links.setdefault("inventory_sources", [])
        if source not in record.linked("inventory_sources"):
            record.linked("inventory_sources").append(source)
        kept[kind][name] = record
        return record

    names = {host for group in groups.values() for host in group.get("hosts", [])} | set(host_vars)
    for name in sorted(names):
        imported("host", name, host_vars.get(name, {}))
    for name, group in groups.items():
        if name in ("all", "ungrouped"):
            continue
        record = imported("group", name, group.get("vars", {}))
        record.links["hosts"] = [kept["host"][host] for host in group.get("hosts", [])]
    for name, group in groups.items():
        if name in kept["group"]:
            children = [kept["group"][child] for child in group.get("children", []) if child in kept["group"]]
            kept["group"][name].links["children"] = children
    if source["overwrite"]:
        for kind, records in kept.items():
            for record in database.find(kind, inventory=inventory):
                if source in record.linked("inventory_sources") and record["name"] not in records:
                    database.remove(record)
