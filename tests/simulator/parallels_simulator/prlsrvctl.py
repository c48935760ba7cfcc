# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of prlsrvctl."""

from __future__ import annotations

from typing import Any

from . import texts
from .console import Console
from .errors import CommandError
from .jsontext import print_json, to_json
from .mac import Mac

LICENSE_KEY = "SIMULA-TEDKEY-DONOTP-RINTME-000000"  # must never be seen in an output of the collection
SERIAL = "SIMULATED-SERIAL-DO-NOT-PRINT"


def run(mac: Mac, console: Console, argv: list) -> int:
    """Do what the arguments say; return the exit code."""
    profile = mac.profile
    if argv[:1] in (["--version"], ["-V"]):
        console.out(f"prlsrvctl version {profile.version} ({profile.build})")
        return 0
    if mac.strike("service_down", "info"):
        raise CommandError(texts.SERVICE_DOWN, rc=253)
    if argv[:1] != ["info"]:
        raise CommandError("Usage: prlsrvctl info [--license] [-j | --json]", rc=1)
    options = set(argv[1:])
    unknown = options - {"--license", "-j", "--json", "-f", "--full"}
    if unknown:
        raise CommandError(f"Unrecognized option: {sorted(unknown)[0]}", rc=1)
    as_json = bool(options & {"-j", "--json"})
    if "--license" in options:
        license_info = _license(mac)
        if as_json:
            print_json(mac, console, to_json(license_info))
        else:
            console.out("License:")
            for key, value in license_info.items():
                console.out(f"\t{key}={value}" if isinstance(value, int) else f'\t{key}="{value}"')
        return 0
    info = _info(mac)
    if as_json:
        print_json(mac, console, to_json(info))
    else:
        console.raw(_as_text(info))
    return 0


def _license(mac: Mac) -> dict[str, Any]:
    return {
        "status": mac.knob("license").upper(),
        "serial": SERIAL,
        "expiration": "2099-12-31 23:59:59",
        "main_period_ends_at": "2099-12-31 23:59:59",
        "grace_period_ends_at": f"{'2026-12-15' if mac.knob('license') == 'graced' else '2099-12-31'} 23:59:59",
        "cpu_total": 4 if mac.read()["edition"] == "standard" else 32,
        "max_memory": 8192 if mac.read()["edition"] == "standard" else 131072,
        "edition": mac.read()["edition"],
        "is_trial": "no",
        "is_volume": "yes" if mac.read()["edition"] in ("business", "enterprise") else "no",
        "deferred_activation": "no",
        "uuid": "11111111222222223333333344444444",
    }


def _info(mac: Mac) -> dict[str, Any]:
    profile = mac.profile
    arm = mac.read()["arch"] == "arm64"
    return {
        "ID": "{5b2f6d2e-0000-4000-8000-000000000000}",
        "Hostname": "simulated-mac.local",
        "OS": "macOS 15.7.4(24G517)" if arm else "macOS 13.7.8(22H730)",
        "Version": f"Desktop {profile.full}",
        "Build flags": "",
        "Started as service": "on",
        "VM home": str(mac.home),
        "Memory limit": {"mode": "auto"},
        "Minimal security level": "low",
        "Manage settings for new users": "on",
        "CEP mechanism": "off",
        "Verbose log": "off",
        "Log rotation": "on",
        "External device auto connect": "ask",
        "Web portal domain": "",
        "Host ID": "00000000000000000000000000000000",
        "Allow attach screenshots": "on",
        "Custom password protection": "off",
        "Preferences are locked": "off",
        "Disable deleting report archive": "off",
        "Add serial port output to report": "off",
        "License": {"state": "valid", "key": LICENSE_KEY, "restricted": "false"},
        "Hardware Id": "00000000-0000-0000-0000-000000000000",
        "Signed In": "no",
        "Hardware info": {
            "/dev/disk0": {"name": "APPLE SSD (simulated)", "type": "hdd"},
        },
    }


def _as_text(info: dict[str, Any]) -> str:
    lines = []
    for key, value in info.items():
        if key == "License":
            lines.append(f"License: state='{value['state']}' key='{value['key']}' restricted='{value['restricted']}'")
        elif key == "Memory limit":
            lines.append(f"Memory limit: mode={value['mode']}")
        elif key == "Hardware info":
            lines.append("Hardware info:")
            lines.extend(f"  {device['type']} {path} '{device['name']}'" for path, device in value.items())
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines) + "\n"
