# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's tree of snapshots, as Snapshots.xml holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

from .disks import indent

FILE = "Snapshots.xml"


class Snapshot:
    """One snapshot; C(parent) is the id of the one it was made on, or nothing."""

    def __init__(
        self, guid: str, name: str, description: str, date: str, state: str, parent: str, current: bool = False
    ) -> None:
        self.guid = guid
        self.name = name
        self.description = description
        self.date = date
        self.state = state
        self.parent = parent
        self.current = current


class SnapshotTree:
    """All snapshots of a VM, in the order in which they were made."""

    def __init__(self, items: Optional[list[Snapshot]] = None) -> None:
        self.items = items or []

    def __bool__(self) -> bool:
        return bool(self.items)

    def find(self, guid: str) -> Optional[Snapshot]:
        """Return the snapshot with this id, written with or without braces."""
        wanted = guid.strip("{}").lower()
        return next((item for item in self.items if item.guid.strip("{}") == wanted), None)

    @property
    def current(self) -> Optional[Snapshot]:
        """Return the snapshot on which the VM goes on."""
        return next((item for item in self.items if item.current), None)

    def make_current(self, wanted: Optional[Snapshot]) -> None:
        """Mark one snapshot, and no other, as the current one."""
        for item in self.items:
            item.current = item is wanted

    def add(self, item: Snapshot) -> None:
        """Add a snapshot on the current one, and make it the current one."""
        item.parent = self.current.guid if self.current else ""
        self.items.append(item)
        self.make_current(item)

    def children(self, item: Snapshot) -> list[Snapshot]:
        """Return the snapshots right above one."""
        return [other for other in self.items if other.parent == item.guid]

    def with_descendants(self, item: Snapshot) -> list[Snapshot]:
        """Return a snapshot and all above it, leaves last."""
        found = [item]
        for member in found:
            found.extend(self.children(member))
        return found

    def remove(self, item: Snapshot) -> None:
        """Remove one snapshot: those above it move to the one below it, as does the current mark."""
        for child in self.children(item):
            child.parent = item.parent
        self.items.remove(item)
        if item.current:
            self.make_current(self.find(item.parent) if item.parent else None)

    def to_xml(self) -> str:
        """Return the text of Snapshots.xml."""
        root = ElementTree.Element("ParallelsSavedStates")
        elements = {"": root}
        for item in self.items:
            element = ElementTree.SubElement(
                elements[item.parent],
                "SavedStateItem",
                guid=item.guid,
                current="yes" if item.current else "no",
                state=item.state,
            )
            ElementTree.SubElement(element, "Name").text = item.name
            ElementTree.SubElement(element, "DateTime").text = item.date
            ElementTree.SubElement(element, "Description").text = item.description
            elements[item.guid] = element
        indent(root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

    @classmethod
    def from_xml(cls, text: str) -> SnapshotTree:
        """Read the text of a Snapshots.xml."""
        items: list[Snapshot] = []

        def read(element: ElementTree.Element, parent: str) -> None:
            for child in element.findall("SavedStateItem"):
                guid = child.get("guid") or ""
                items.append(
                    Snapshot(
                        guid,
                        child.findtext("Name") or "",
                        child.findtext("Description") or "",
                        child.findtext("DateTime") or "",
                        child.get("state") or "poweroff",
                        parent,
                        child.get("current") == "yes",
                    )
                )
                read(child, guid)

        read(ElementTree.fromstring(text), "")
        items.sort(key=lambda item: item.date)
        return cls(items)

    @classmethod
    def load(cls, bundle: Path) -> SnapshotTree:
        """Read a bundle's tree; without the file it is empty."""
        path = bundle / FILE
        return cls.from_xml(path.read_text(encoding="utf-8")) if path.is_file() else cls()

    def save(self, bundle: Path) -> None:
        """Write a bundle's tree; without snapshots there is no file."""
        path = bundle / FILE
        if self.items:
            path.write_text(self.to_xml(), encoding="utf-8")
        elif path.exists():
            path.unlink()
