# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's settings, as its config.pvs holds them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from . import NOTICE
from .disks import indent

CONFIG = "config.pvs"
UNFINISHED_SUFFIX = ".pvmi"  # of a bundle that is being packed or unpacked
UNFINISHED_CONFIG = "config.pvsp"


def config_name(bundle: Path) -> str:
    """Return the name of the configuration in a bundle."""
    return UNFINISHED_CONFIG if bundle.suffix == UNFINISHED_SUFFIX else CONFIG


class VmConfig:
    """What is set for a VM, wherever it lies and whether it is registered or not."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid = uuid
        self.name = name
        self.description = ""
        self.os = "win-11"
        self.arch = "arm64"
        self.cpus = 4
        self.memory = 8192
        self.auto: list[str] = []  # "cpus" and "memory" as far as Parallels chooses them
        self.disks: list[str] = []
        self.linked_vm = ""
        self.linked_snapshot = ""
        self.encrypted = False
        self.isolated = False
        self.template = False
        self.tools = "installed"
        self.tools_version = ""
        self.mac_address = "001C42000000"
        self.settings: dict[str, str] = {}  # options of `prlctl set` that were given, without the dashes
        self.own_root = False  # the guest's commands run for real, in a root of its own
        self.folders: dict[str, dict[str, str]] = {}  # shared folders of the Mac

    @property
    def family(self) -> str:
        """Return windows, macos or linux."""
        if self.os.startswith("win"):
            return "windows"
        return "macos" if self.os == "macosx" else "linux"

    def to_xml(self) -> str:
        """Return the text of config.pvs."""
        root = ElementTree.Element("ParallelsVirtualMachine", dyn_lists="VirtualAppliance 0", schemaVersion="1.0")
        root.append(ElementTree.Comment(f" {NOTICE} "))
        identification = ElementTree.SubElement(root, "Identification")
        for tag, value in (
            ("VmUuid", f"{{{self.uuid}}}"),
            ("LinkedVmUuid", f"{{{self.linked_vm}}}" if self.linked_vm else ""),
            ("LinkedSnapshotUuid", self.linked_snapshot),
            ("VmName", self.name),
        ):
            ElementTree.SubElement(identification, tag).text = value
        settings = ElementTree.SubElement(root, "Settings")
        general = ElementTree.SubElement(settings, "General")
        ElementTree.SubElement(general, "OsType").text = self.os
        ElementTree.SubElement(general, "VmDescription").text = self.description
        ElementTree.SubElement(general, "IsTemplate").text = str(int(self.template))
        tools = ElementTree.SubElement(settings, "Tools")
        ElementTree.SubElement(tools, "IsolatedVm").text = str(int(self.isolated))
        idle = ElementTree.SubElement(settings, "Runtime")
        ElementTree.SubElement(idle, "PauseIdleVM").text = str(int(self.settings.get("pause-idle") == "on"))
        security = ElementTree.SubElement(root, "Security")
        ElementTree.SubElement(security, "Encrypted").text = str(int(self.encrypted))
        hardware = ElementTree.SubElement(root, "Hardware")
        ElementTree.SubElement(ElementTree.SubElement(hardware, "Cpu"), "Number").text = str(self.cpus)
        ElementTree.SubElement(ElementTree.SubElement(hardware, "Memory"), "RAM").text = str(self.memory)
        for index, disk in enumerate(self.disks):
            hdd = ElementTree.SubElement(hardware, "Hdd", id=str(index))
            ElementTree.SubElement(hdd, "Enabled").text = "1"
            ElementTree.SubElement(hdd, "SystemName").text = disk
            ElementTree.SubElement(hdd, "InterfaceType").text = "2"
        network = ElementTree.SubElement(hardware, "NetworkAdapter", id="0")
        ElementTree.SubElement(network, "MAC").text = self.mac_address
        ElementTree.SubElement(root, "Simulation").text = json.dumps(
            {
                "arch": self.arch,
                "auto": self.auto,
                "tools": self.tools,
                "tools_version": self.tools_version,
                "settings": self.settings,
                "folders": self.folders,
                "own_root": self.own_root,
            },
            sort_keys=True,
        )
        indent(root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

    @classmethod
    def from_xml(cls, text: str) -> VmConfig:
        """Read the text of a config.pvs; raises ValueError for one that is none."""
        try:
            root = ElementTree.fromstring(text)
            more: dict[str, Any] = json.loads(root.findtext("Simulation") or "{}")
        except (ElementTree.ParseError, ValueError) as error:
            raise ValueError(f"not a configuration of a virtual machine: {error}") from error

        def get(path: str) -> str:
            return root.findtext(path) or ""

        config = cls(get("Identification/VmUuid").strip("{}"), get("Identification/VmName"))
        config.linked_vm = get("Identification/LinkedVmUuid").strip("{}")
        config.linked_snapshot = get("Identification/LinkedSnapshotUuid")
        config.os = get("Settings/General/OsType")
        config.description = get("Settings/General/VmDescription")
        config.template = get("Settings/General/IsTemplate") == "1"
        config.isolated = get("Settings/Tools/IsolatedVm") == "1"
        config.encrypted = get("Security/Encrypted") == "1"
        config.cpus = int(get("Hardware/Cpu/Number") or 0)
        config.memory = int(get("Hardware/Memory/RAM") or 0)
        config.disks = [hdd.findtext("SystemName") or "" for hdd in root.iter("Hdd")]
        config.mac_address = get("Hardware/NetworkAdapter/MAC")
        for key, value in more.items():
            setattr(config, key, value)
        return config

    @classmethod
    def load(cls, bundle: Path) -> VmConfig:
        """Read a bundle's config.pvs; raises ValueError when there is none that can be read."""
        try:
            text = (bundle / config_name(bundle)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"no configuration in {bundle}: {error}") from error
        return cls.from_xml(text)

    def save(self, bundle: Path) -> None:
        """Write a bundle's config.pvs."""
        temporary = bundle / f".{CONFIG}.{os.getpid()}"
        temporary.write_text(self.to_xml(), encoding="utf-8")
        os.replace(temporary, bundle / config_name(bundle))
