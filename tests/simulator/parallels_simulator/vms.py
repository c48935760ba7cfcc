# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registered VMs: finding them, what they do now, and whether they may be touched. To be used under the Mac's lock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

from . import jobs, texts
from .bundle import Bundle
from .config import VmConfig
from .errors import CommandError
from .mac import Mac
from .package import SUFFIX as PACKED_SUFFIX
from .package import Package
from .snapshots import SnapshotTree


class Vm:
    """One registered VM; C(record) is its part of the Mac's state."""

    def __init__(self, mac: Mac, record: dict[str, Any]) -> None:
        self.mac = mac
        self.record = record

    @property
    def uuid(self) -> str:
        return self.record["uuid"]

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def home(self) -> Path:
        return Path(self.record["home"])

    @property
    def packed(self) -> bool:
        return self.home.name.endswith(PACKED_SUFFIX)

    @property
    def begun(self) -> str:
        """Return C(pack) or C(unpack) of a VM that is in an intermediate state."""
        return self.record.get("begun", "")

    @property
    def image(self) -> Path:
        """Return the package of a VM that is packed, or will be, or was until its unpacking began."""
        return self.home.with_suffix(PACKED_SUFFIX)

    @property
    def bundle(self) -> Bundle:
        """Return the bundle of a VM that is not packed."""
        return Bundle(self.home)

    @property
    def content(self) -> Bundle | Package:
        """Return where the VM's configuration and snapshots can be read."""
        return Package(self.image) if self.packed or self.begun == "unpack" else self.bundle

    def config(self) -> VmConfig:
        """Read the settings; the registration wins over the name and id inside. Raises ValueError."""
        config = self.content.config()
        config.uuid, config.name = self.uuid, self.name
        return config

    def snapshots(self) -> SnapshotTree:
        """Read the tree of snapshots."""
        return self.content.snapshots()

    def problem(self) -> Optional[str]:
        """Return why the VM is invalid."""
        if not self.packed and self.begun != "unpack":
            return self.bundle.problem()
        try:
            self.config()
        except ValueError as error:
            return str(error)
        return None

    def uptime(self) -> int:
        """Return the seconds that the VM has run, in all."""
        started = self.record["started"]
        return self.record["ran"] + (int(time.time() - started) if started else 0)

    # --- what it does ---------------------------------------------------------------------------------------------

    def begin(self, *steps: tuple[str, int, str]) -> None:
        """Go through states, each shown for a number of looks: (shown, looks, state afterwards)."""
        now = time.monotonic()
        self.record["transition"] = [
            {
                "shown": shown,
                "looks": looks,
                "until": now + (self.mac.knob("stop_seconds") if shown == "stopping" else 0),
                "then": then,
            }
            for shown, looks, then in steps
        ]
        self._advance()

    def _advance(self) -> None:
        steps = self.record["transition"]
        while steps and steps[0]["looks"] <= 0 and time.monotonic() >= steps[0]["until"]:
            self.record["state"] = steps.pop(0)["then"]

    def look(self) -> str:
        """Return the state as it is shown, and count the look."""
        shown = self._show_transition()
        if shown:
            return shown
        if self.mac.strike("invalid_state"):
            return "invalid"
        return self._unknown_state() or ("invalid" if self.problem() else self.record["state"])

    def _show_transition(self) -> str:
        self._advance()
        steps = self.record["transition"]
        if not steps:
            return ""
        steps[0]["looks"] = max(0, steps[0]["looks"] - 1)
        return steps[0]["shown"]

    def _unknown_state(self) -> Optional[str]:
        setting = self.mac.knob("unknown_state")
        if setting == "off":
            return None
        state, _colon, left = setting.partition(":")
        with self.mac.locked() as whole:
            whole["knobs"]["unknown_state"] = f"{state}:{int(left) - 1}" if int(left) > 1 else "off"
        return state

    def settle(self) -> None:
        """Let all transitions and busy windows be over."""
        for step in self.record["transition"]:
            self.record["state"] = step["then"]
        self.record["transition"] = []
        self.record["busy"] = None

    def be_busy(self, doing: str) -> None:
        """Refuse changing operations for a while, as the service does after a stop."""
        operations, seconds = self.mac.knob("busy_operations"), self.mac.knob("busy_seconds")
        if operations or seconds:
            self.record["busy"] = {"operations": operations, "until": time.monotonic() + seconds, "doing": doing}

    def require_free(self, verb: str) -> str:
        """Return the state of a VM that may be changed now; raise the busy error for any other."""
        doing = self._busy_with()
        if doing == "del_snapshot" and verb == "snapshot-delete":
            raise CommandError(texts.failed(verb, texts.DATA_SYNC))
        if doing:
            raise CommandError(texts.failed(verb, texts.busy(doing)))
        return self.record["state"]

    def _busy_with(self) -> str:
        if self.record["job"]:
            if jobs.is_alive(self.mac, self.uuid):
                return self.record["job"]
            self.record["job"] = ""
        shown = self._show_transition()  # an operation that is tried counts as a look
        if shown:
            return shown
        busy = self.record["busy"]
        if not busy:
            return ""
        if busy["operations"] > 0 or time.monotonic() < busy["until"]:
            busy["operations"] = max(0, busy["operations"] - 1)
            return busy["doing"]
        self.record["busy"] = None
        return ""


def all_vms(mac: Mac, state: dict[str, Any]) -> list[Vm]:
    """Return all registered VMs in the order in which they came."""
    return [Vm(mac, record) for record in state["vms"].values()]


def find(mac: Mac, state: dict[str, Any], wanted: str) -> Optional[Vm]:
    """Return the VM with this id (with or without braces) or exactly this name."""
    record = state["vms"].get(wanted.strip("{}").lower())
    if record is None:
        record = next((record for record in state["vms"].values() if record["name"] == wanted), None)
    return Vm(mac, record) if record else None


def require(mac: Mac, state: dict[str, Any], wanted: str) -> Vm:
    """Return a VM that must be there."""
    vm = find(mac, state, wanted)
    if vm is None:
        raise CommandError(texts.NOT_FOUND)
    return vm


def add(mac: Mac, state: dict[str, Any], config: VmConfig, home: Path, power: str = "stopped") -> Vm:
    """Register a VM."""
    record = {
        "uuid": config.uuid,
        "name": config.name,
        "os": config.os,
        "arch": config.arch,
        "home": str(home),
        "state": power,
        "transition": [],
        "busy": None,
        "job": "",
        "started": time.time() if power == "running" else 0,
        "ran": 0,
        "not_ready": 0,
        "own_root": config.own_root,
        "boot": "",
    }
    state["vms"][config.uuid] = record
    return Vm(mac, record)


def free_name(state: dict[str, Any], name: str) -> str:
    """Return the name, or the first of C(name (1)), C(name (2)) that is not taken."""
    taken = {record["name"] for record in state["vms"].values()}
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate
