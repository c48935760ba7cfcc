# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON and the text that describe a VM, after what Parallels Desktop 16.5 and 20 print."""

from __future__ import annotations

from typing import Any

from .config import VmConfig
from .profiles import Profile


class Description:
    """What is needed to describe a VM: its settings, where it lies, and what it does now."""

    def __init__(
        self,
        config: VmConfig,
        profile: Profile,
        state: str,
        home: str,
        images: dict[str, dict[str, Any]],
        packed: bool,
        uptime: int,
        address: str,
    ) -> None:
        self.config = config
        self.profile = profile
        self.state = state
        self.home = home  # as the key Home says it
        self.images = images  # hdd0, ...: path, type, size in MB
        self.packed = packed
        self.uptime = uptime
        self.address = address  # of the running guest, or nothing


# Options of `prlctl set` that are shown: option -> section and key, or key alone; the default; the words allowed.
ON_OFF = ("on", "off")
SHOWN_SETTINGS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "autostart": (
        ("Startup and Shutdown", "Autostart"),
        "off",
        ("off", "open-window", "start-app", "start-host", "user-login"),
    ),
    "autostop": (("Startup and Shutdown", "Autostop"), "suspend", ("suspend", "shutdown", "stop")),
    "startup-view": (
        ("Startup and Shutdown", "Startup view"),
        "window",
        ("same", "window", "coherence", "fullscreen", "modality", "headless"),
    ),
    "on-shutdown": (("Startup and Shutdown", "On shutdown"), "window", ("window", "close", "quit")),
    "on-window-close": (
        ("Startup and Shutdown", "On window close"),
        "keep-running",
        ("suspend", "shutdown", "stop", "ask", "keep-running"),
    ),
    "pause-idle": (("Startup and Shutdown", "Pause idle"), "off", ON_OFF),
    "undo-disks": (("Startup and Shutdown", "Undo disks"), "off", ("off", "discard", "ask")),
    "faster-vm": (("Optimization", "Faster virtual machine"), "on", ON_OFF),
    "hypervisor-type": (("Optimization", "Hypervisor type"), "apple", ("apple", "parallels")),
    "adaptive-hypervisor": (("Optimization", "Adaptive hypervisor"), "on", ON_OFF),
    "auto-compress": (("Optimization", "Auto compress virtual disks"), "off", ON_OFF),
    "nested-virt": (("Optimization", "Nested virtualization"), "off", ON_OFF),
    "pmu-virt": (("Optimization", "PMU virtualization"), "off", ON_OFF),
    "longer-battery-life": (("Optimization", "Longer battery life"), "off", ON_OFF),
    "battery-status": (("Optimization", "Show battery status"), "on", ON_OFF),
    "resource-quota": (("Optimization", "Resource quota"), "unlimited", ("low", "medium", "unlimited")),
    "lock-edit-settings": (("Security", "Configuration is locked"), "off", ON_OFF),
    "efi-secure-boot": (("EFI Secure boot",), "off", ON_OFF),
    "select-boot-device": (("Allow select boot device",), "off", ON_OFF),
    "sync-vm-hostname": (("Advanced", "VM hostname synchronization"), "off", ON_OFF),
    "sync-ssh-ids": (("Advanced", "Public SSH keys synchronization"), "off", ON_OFF),
    "show-dev-tools": (("Advanced", "Show developer tools"), "on", ON_OFF),
    "swipe-from-edges": (("Advanced", "Swipe from edges"), "off", ON_OFF),
    "share-host-location": (("Advanced", "Share host location"), "on", ON_OFF),
    "rosetta-linux": (("Advanced", "Rosetta Linux"), "off", ON_OFF),
    "shared-cloud": (("Miscellaneous Sharing", "Shared cloud"), "off", ON_OFF),
    "shared-clipboard": (("Miscellaneous Sharing", "Shared clipboard mode"), "on", ON_OFF),
    "sh-app-host-to-guest": (("Shared Applications", "Host-to-guest apps sharing"), "off", ON_OFF),
    "sh-app-guest-to-host": (("Shared Applications", "Guest-to-host apps sharing"), "on", ON_OFF),
}

# Settings that C(list -i) shows as the value "enabled" of a section, with their default.
ENABLED_SETTINGS = {
    "shf-host": ("Host Shared Folders", True),
    "shf-guest": ("Guest Shared Folders", False),
    "shared-profile": ("Shared Profile", False),
    "smart-mount": ("SmartMount", False),
}


def describe(what: Description) -> dict[str, Any]:
    """Return a VM as C(prlctl list -i -j) shows it."""
    config, modern = what.config, what.profile.has_packed_key
    home_path = what.home if what.packed or what.state == "invalid" else what.home + "config.pvs"
    info: dict[str, Any] = {
        "ID": config.uuid,
        "Name": config.name,
        "Description": config.description,
        "Type": "VM",
        "State": what.state,
        "OS": config.os,
        "Template": "yes" if config.template else "no",
        "Uptime": str(what.uptime),
        "Home path": home_path,
        "Home": what.home,
        "Restore Image": "",
        "GuestTools": _tools(what),
        "Mouse and Keyboard": {
            "Smart mouse optimized for games": "auto",
            "Sticky mouse": "off",
            "Smooth scrolling": "on",
            "Keyboard optimization mode": "auto",
        },
        "Print Management": {
            "Synchronize with host printers": "on",
            "Synchronize default printer": "on",
            "Show host printer UI": "on",
        },
        "USB and Bluetooth": {
            "Automatic sharing cameras": "on",
            "Automatic sharing bluetooth": "off",
            "Automatic sharing smart cards": "off",
            "Automatic sharing gamepads": "on",
            "Support USB 3.0": "on",
        },
        "Startup and Shutdown": {"Autostart": "", "Autostart delay": 0},
        "Optimization": {
            "Faster virtual machine": "",
            "Hypervisor type": "",
            "Adaptive hypervisor": "",
            "Disabled Windows logo": "on",
        },
        "Travel mode": {"Enter condition": "never", "Enter threshold": 30, "Quit condition": "never"},
        "Security": _security(what),
        "Smart Guard": {"enabled": config.settings.get("smart-guard") == "on"},
        "Modality": {
            "Opacity (percentage)": 50,
            "Stay on top": "on",
            "Show on all spaces ": "on",
            "Capture mouse clicks": "on",
        },
        "Fullscreen": {
            "Use all displays": "off",
            "Activate spaces on click": "on",
            "Optimize for games": "off",
            "Gamma control": "on",
            "Scale view mode": "auto",
        },
        "Coherence": {
            "Show Windows systray in Mac menu": "off",
            "Auto-switch to full screen": "off",
            "Disable aero": "off",
            "Hide minimized windows": "off",
        },
        "Time Synchronization": {
            "enabled": config.settings.get("time-sync", "on") == "on",
            "Smart mode": "off",
            "Interval (in seconds)": 60,
            "Timezone synchronization disabled": "off",
        },
        "Expiration": {"enabled": False},
        "Boot order": "cdrom0 hdd0 net0 ",
        "BIOS type": "efi-arm64" if config.arch == "arm64" else "efi64",
        "EFI Secure boot": "",
        "Allow select boot device": "",
        "External boot device": "",
        "SMBIOS settings": {"BIOS Version": "", "System serial number": "", "Board Manufacturer": ""},
        "Hardware": _hardware(what),
        "Host Shared Folders": {
            "enabled": False,
            **{name: {"enabled": True, **folder} for name, folder in config.folders.items()},
        },
        "Host defined sharing": "User home directory",
        "Guest Shared Folders": {"enabled": False},
        "Shared Profile": {"enabled": False},
        "Shared Applications": {
            "enabled": True,
            "Host-to-guest apps sharing": "",
            "Guest-to-host apps sharing": "",
            "Show guest apps folder in Dock": "off",
            "Show guest notifications": "on",
            "Bounce dock icon when app flashes": "on",
        },
        "SmartMount": {"enabled": False},
        "Network": {"Conditioned": "off", "ipAddresses": _addresses(what)},
        "Miscellaneous Sharing": {"Shared clipboard mode": "", "Shared cloud": ""},
        "Advanced": {},
    }
    for option, (path, default, _words) in SHOWN_SETTINGS.items():
        section = info if len(path) == 1 else info[path[0]]
        section[path[-1]] = config.settings.get(option, default)
    for option, (name, enabled) in ENABLED_SETTINGS.items():
        info[name]["enabled"] = config.settings.get(option, "on" if enabled else "off") == "on"
    return info if modern else _as_version_16(info)


def _tools(what: Description) -> dict[str, str]:
    state = what.config.tools
    if state == "not_installed":
        return {"state": state}
    if state == "installed" and what.state != "running":
        state = "possibly_installed"  # Parallels only knows while the guest runs
    return {"state": state, "version": what.config.tools_version or what.profile.tools}


def _security(what: Description) -> dict[str, str]:
    config = what.config
    tpm = config.settings.get("tpm", "on" if config.family == "windows" else "off") == "on"
    security = {"Encrypted": _yes(config.encrypted), "TPM enabled": _yes(tpm)}
    if tpm:
        security["TPM type"] = "crb"
    return {
        **security,
        "Custom password protection": "on" if "custom-pwd" in config.settings else "off",
        "Configuration is locked": "",
        "Protected": "no",
        "Archived": "no",
        "Packed": _yes(what.packed),
    }


def _hardware(what: Description) -> dict[str, Any]:
    config = what.config
    hardware: dict[str, Any] = {
        "cpu": {
            "cpus": config.cpus,
            "auto": "on" if "cpus" in config.auto else "off",
            "VT-x": True,
            "hotplug": False,
            "accl": "high",
            "mode": "64",
            "type": "arm" if config.arch == "arm64" else "x86",
        },
        "memory": {
            "size": f"{config.memory}Mb",
            "auto": "on" if "memory" in config.auto else "off",
            "hotplug": False,
        },
        "video": {
            "adapter-type": "parallels",
            "size": "0Mb",
            "3d-acceleration": "highest",
            "vertical-sync": "on",
            "high-resolution": "off",
            "high-resolution-in-guest": "off",
            "native-scaling-in-guest": "off",
            "automatic-video-memory": "on",
        },
        "memory_quota": {"auto": "yes"},
    }
    for name, image in what.images.items():
        hardware[name] = {
            "enabled": True,
            "port": f"sata:{name[3:]}",
            "image": image["path"],
            "type": image["type"],
            "size": f"{image['size']}Mb",
            "online-compact": "on",
        }
    hardware["cdrom0"] = {"enabled": True, "port": f"sata:{len(what.images)}", "image": "", "state": "disconnected"}
    hardware["usb"] = {"enabled": True}
    hardware["net0"] = {"enabled": True, "type": "shared", "mac": config.mac_address, "card": "virtio", "dhcp": "yes"}
    hardware["sound0"] = {"enabled": True, "output": "Default", "mixer": "Default"}
    return hardware


def _addresses(what: Description) -> list[dict[str, str]]:
    return [{"type": "ipv4", "ip": what.address}] if what.address else []


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _as_version_16(info: dict[str, Any]) -> dict[str, Any]:
    for key in ("Restore Image", "Print Management", "SMBIOS settings", "Guest Shared Folders", "Network"):
        del info[key]
    for section, key in (
        ("USB and Bluetooth", "Automatic sharing gamepads"),
        ("Security", "TPM type"),
        ("Security", "Packed"),
        ("Advanced", "Rosetta Linux"),
    ):
        info[section].pop(key, None)
    for device, key in (("cpu", "auto"), ("cpu", "type"), ("memory", "auto")):
        del info["Hardware"][device][key]
    net = info["Hardware"]["net0"]
    del net["dhcp"]
    net.update(card="e1000", preventpromisc="on", mac_filter="on", ip_filter="on", nameservers="", searchdomains="")
    sharing = info["Miscellaneous Sharing"]
    info["Miscellaneous Sharing"] = {
        "Shared clipboard": sharing["Shared clipboard mode"],
        "Shared cloud": sharing["Shared cloud"],
    }
    return info


def as_text(info: dict[str, Any]) -> str:
    """Return a VM as C(prlctl list -i) shows it without C(-j)."""
    lines = ["INFO"]
    for key, value in info.items():
        if key == "ID":
            lines.append(f"ID: {{{value}}}")
        elif key == "GuestTools":
            lines.append("GuestTools: " + _pairs(value, quoted=False))
        elif key == "Hardware":
            lines.append("Hardware:")
            lines.extend(f"  {_device(name, device)}" for name, device in value.items())
        elif key == "Network":
            lines.append("Network:")
            lines.append(f"  Conditioned: {value['Conditioned']}")
            if value["ipAddresses"]:
                lines.append("IP Addresses: " + ", ".join(entry["ip"] for entry in value["ipAddresses"]))
        elif isinstance(value, dict) and set(value) == {"enabled"}:
            lines.append(f"{key}: {'(+)' if value['enabled'] else '(-)'}")
        elif isinstance(value, dict):
            lines.append(f"{key}:")
            lines.extend(f"  {name}: {_word(item)}" for name, item in value.items())
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines) + "\n"


def _device(name: str, device: dict[str, Any]) -> str:
    if name.startswith("hdd"):
        return (
            f"{name} (+) {device['port']} image='{device['image']}' type='{device['type']}' {device['size']} "
            f"online-compact={device['online-compact']}"
        )
    if name.startswith("cdrom"):
        return f"{name} (+) {device['port']} image='{device['image']}' state={device['state']}"
    if name == "memory":
        return " ".join([name, device["size"], *(f"{key}={device[key]}" for key in ("auto",) if key in device)])
    mark = "(+) " if device.get("enabled") else ""
    return (
        f"{name} {mark}{_pairs({key: item for key, item in device.items() if key != 'enabled'}, quoted=False)}".rstrip()
    )


def _pairs(values: dict[str, Any], quoted: bool) -> str:
    quote = "'" if quoted else ""
    return " ".join(f"{key}={quote}{_word(value)}{quote}" for key, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return _pairs(value, quoted=True)
    return str(value)
