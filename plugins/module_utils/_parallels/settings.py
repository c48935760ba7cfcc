# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The settings of a VM: how prlctl sets each one, and where it reports it.

Options of C(prlctl set) and keys of C(prlctl list -i -j) are those that scripts for Parallels Desktop 16 to 27 use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Callable, Optional

Info = Mapping[str, Any]
_ON_OFF = {"on": True, "off": False, "yes": True, "no": False, True: True, False: False}


@dataclass(frozen=True)
class Settings:
    """The settings of a VM that this collection can change. None is not wanted, or not known.

    They are applied in this order: what an isolated VM refuses comes before.
    """

    description: Optional[str] = None
    cpus: Optional[int] = None
    memory: Optional[int] = None
    pause_idle: Optional[bool] = None
    startup_view: Optional[str] = None
    on_shutdown: Optional[str] = None
    on_window_close: Optional[str] = None
    nested_virtualization: Optional[bool] = None
    secure_boot: Optional[bool] = None
    tpm: Optional[bool] = None
    asset_tag: Optional[str] = None
    tools_autoupdate: Optional[bool] = None
    share_mac_folders: Optional[bool] = None
    share_guest_folders: Optional[bool] = None
    share_profile: Optional[bool] = None
    share_mac_apps: Optional[bool] = None
    share_guest_apps: Optional[bool] = None
    share_clipboard: Optional[bool] = None
    share_cloud: Optional[bool] = None
    share_location: Optional[bool] = None
    smart_mount: Optional[bool] = None
    edit_locked: Optional[bool] = None
    isolated: Optional[bool] = None

    def changed_from(self, now: Settings) -> dict[str, Any]:
        """Return the wanted values, those that are not None, that differ from what the VM has now."""
        return {key: value for key, value in asdict(self).items() if value is not None and value != getattr(now, key)}


SETTINGS = tuple(each.name for each in fields(Settings))


@dataclass(frozen=True)
class _Setting:
    """How one setting is set and read."""

    flag: str
    # Takes what prlctl reports of the VM, and returns the value; None where that is not reported.
    read: Callable[[Info], Any]
    # Whether the VM has to be shut down.
    only_stopped: bool = False


def _at(*path: str) -> Callable[[Info], Any]:
    """Return what reads a value. Raises nothing: anything unexpected on the way is None."""

    def read(info: Info) -> Any:
        value: Any = info
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    return read


def _text(*path: str) -> Callable[[Info], Optional[str]]:
    def read(info: Info) -> Optional[str]:
        value = _at(*path)(info)
        return value if isinstance(value, str) else None

    return read


def _number(*path: str) -> Callable[[Info], Optional[int]]:
    """Return what reads a number such as 4, "4" or "8192Mb". 0 is not known."""

    def read(info: Info) -> Optional[int]:
        found = re.match(r"\d+", str(_at(*path)(info)))
        return (int(found.group()) if found else 0) or None

    return read


def _switch(*paths: tuple[str, ...]) -> Callable[[Info], Optional[bool]]:
    """Return what reads a switch at the first of these places that has one. Releases name some differently."""

    def read(info: Info) -> Optional[bool]:
        for path in paths:
            value = _at(*path)(info)
            if isinstance(value, (str, bool)) and value in _ON_OFF:
                return _ON_OFF[value]
        return None

    return read


def _unreported(_info: Info) -> None:
    """Parallels does not report this setting, in no release that is known."""


_SETTINGS: dict[str, _Setting] = {
    "description": _Setting("--description", _text("Description")),
    "cpus": _Setting("--cpus", _number("Hardware", "cpu", "cpus"), only_stopped=True),
    "memory": _Setting("--memsize", _number("Hardware", "memory", "size"), only_stopped=True),
    "pause_idle": _Setting("--pause-idle", _switch(("Startup and Shutdown", "Pause idle"))),
    "startup_view": _Setting("--startup-view", _text("Startup and Shutdown", "Startup view")),
    "on_shutdown": _Setting("--on-shutdown", _text("Startup and Shutdown", "On shutdown")),
    "on_window_close": _Setting("--on-window-close", _text("Startup and Shutdown", "On window close")),
    "nested_virtualization": _Setting(
        "--nested-virt", _switch(("Optimization", "Nested virtualization")), only_stopped=True
    ),
    "secure_boot": _Setting("--efi-secure-boot", _switch(("EFI Secure boot",)), only_stopped=True),
    "tpm": _Setting("--tpm", _switch(("Security", "TPM enabled")), only_stopped=True),
    "asset_tag": _Setting("--asset-id", _unreported, only_stopped=True),
    "tools_autoupdate": _Setting("--tools-autoupdate", _unreported),
    "share_mac_folders": _Setting("--shf-host", _switch(("Host Shared Folders", "enabled"))),
    "share_guest_folders": _Setting("--shf-guest", _switch(("Guest Shared Folders", "enabled"))),
    "share_profile": _Setting("--shared-profile", _switch(("Shared Profile", "enabled"))),
    "share_mac_apps": _Setting(
        "--sh-app-host-to-guest", _switch(("Shared Applications", "Host-to-guest apps sharing"))
    ),
    "share_guest_apps": _Setting(
        "--sh-app-guest-to-host", _switch(("Shared Applications", "Guest-to-host apps sharing"))
    ),
    "share_clipboard": _Setting(
        "--shared-clipboard",
        _switch(
            ("Miscellaneous Sharing", "Shared clipboard mode"),
            ("Miscellaneous Sharing", "Shared clipboard"),  # Parallels Desktop 16
        ),
    ),
    "share_cloud": _Setting("--shared-cloud", _switch(("Miscellaneous Sharing", "Shared cloud"))),
    "share_location": _Setting("--share-host-location", _switch(("Advanced", "Share host location"))),
    "smart_mount": _Setting("--smart-mount", _switch(("SmartMount", "enabled"))),
    "edit_locked": _Setting("--lock-edit-settings", _switch(("Security", "Configuration is locked"))),
    # In config.pvs, and not in what prlctl reports: see read_settings.
    "isolated": _Setting("--isolate-vm", _unreported),
}


def read_settings(info: Info, isolated: Optional[bool]) -> Settings:
    """Return the settings that prlctl reports of a VM; C(isolated) is what its bundle notes."""
    return Settings(**{**{key: setting.read(info) for key, setting in _SETTINGS.items()}, "isolated": isolated})


def only_stopped(key: str) -> bool:
    """Return whether a setting can only be changed while the VM is shut down."""
    return _SETTINGS[key].only_stopped


def in_order(changes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the changes in the order in which they are applied: a lock is removed before anything else."""
    return iter(sorted(changes.items(), key=lambda item: (item != ("edit_locked", False), SETTINGS.index(item[0]))))


def arguments(key: str, value: Any) -> tuple[str, str]:
    """Return the option of C(prlctl set) for a setting, and its value."""
    return _SETTINGS[key].flag, {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
