# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests of which only their answers exist say to a script that asks many questions at once.

A script comes on standard input. It is recognized by the topics in it, and answered for each of them with the lines
below, or with what the guest remembers under C(says): C({"restart": [["Windows Update"]]}), or a text for a topic that
cannot be read. The forms are those of real guests; no script is run.
"""

from __future__ import annotations

import re
from typing import Any, Optional, Union

Rows = Union[list[list[str]], str]

_WINDOWS: dict[str, Rows] = {
    "arch": [["ARM64"]],
    "restart": [],
    "updates": [],
    "domain": [],
    "entra": [],
    "profiles": [],
    "channel": [["Retail"]],
    "free": [["64424509440", "136365211648"]],
    "sign_in": [],
    "system": [["26200", "7840", "25H2", "Professional", "Client", "ARM64"]],
    "program": [
        ["Parallels Tools", "26.1.0.57288", "Parallels International GmbH", "{5C1B3E0F-SIMULATED}", "msi", "machine"],
        ["7-Zip 24.08 (arm64)", "24.08", "Igor Pavlov", "7-Zip", "", "machine"],
    ],
    "appx": [
        [
            "Microsoft.WindowsCalculator",
            "11.2405.2.0",
            "Arm64",
            "8wekyb3d8bbwe",
            "Microsoft.WindowsCalculator_11.2405.2.0_arm64__8wekyb3d8bbwe",
        ]
    ],
    "update": [["KB5054156", "Update"]],
    "all": [],
    # What Sysprep needs.
    "packages": [],
    "encryption": [["0"]],
    "prevented": [["yes"]],
    "reserve": [],
    "rearms": [["1001"]],
    "earlier": [["7", "2"]],
    "servicing": [],
    "old_windows": [],
    "fast_startup": [],
    "disabled": [],
}
SYSPREP_LOG = "c:\\windows\\system32\\sysprep\\panther\\setuperr.log"
_LINUX: dict[str, Rows] = {
    "arch": [["aarch64"]],
    "restart": [],
    "updates": [],
    "domain": [],
    "profiles": [],
    "free": [["20971520K", "41943040K"]],
    "system": [["debian", "12", "Debian GNU/Linux 12 (bookworm)", "", "aarch64", "6.1.0-18-arm64"]],
    "deb": [["bash", "5.2.15-2+b7", "arm64", "bash", "5.2.15-2", "Matthias Klose <doko@debian.org>"]],
    "all": [],
    "leases": [],
    "network": [],
    "history": [],
    "logs": [],
    "pinned": [],
}
_X86 = {"ARM64": "AMD64", "aarch64": "x86_64"}
_TOPICS = {
    "windows": re.compile(r"^Read-Topic (\w+) \{", re.MULTILINE),
    "linux": re.compile(r"\bwhole (\w+)"),
}


def answer_of(family: str, arch: str, script: str, memory: dict[str, Any]) -> Optional[str]:
    """Return what a guest prints to a script, None for one that is not known."""
    if family not in _TOPICS or "macops-answer" not in script:
        return None
    own = _windows_own(script, memory) if family == "windows" else _linux_own(memory)
    known: dict[str, Rows] = {**(_WINDOWS if family == "windows" else _LINUX), **own, **memory.get("says", {})}
    lines = []
    for topic in dict.fromkeys(_TOPICS[family].findall(script)):
        rows = known.get(topic)
        if isinstance(rows, str):
            lines.append(f"{topic}\t!\t{rows}")
        elif rows is not None:
            lines += ["\t".join([topic, "+", *(_on(arch, value) for value in row)]) for row in rows]
            lines.append(f"{topic}\t=")
    end = "\r\n" if family == "windows" else "\n"
    return framed(lines, end)


def framed(lines: list[str], end: str) -> str:
    """Return the lines of an answer between those that show that it is whole."""
    return "".join(f"{line}{end}" for line in ["macops-answer plain", *lines, "macops-end"])


def _windows_own(script: str, memory: dict[str, Any]) -> dict[str, Rows]:
    """Return how often a Windows was started, and Sysprep's log, or how long that is."""
    log = memory.get("files", {}).get(SYSPREP_LOG) or ""
    lines = [[line] for line in log.splitlines()] if "$file.Seek(" in script else [[str(len(log))]] if log else []
    return {"booted": [[str(memory.get("boots", 0))]], "setuperr": lines, "setupact": []}


def _linux_own(memory: dict[str, Any]) -> dict[str, Rows]:
    """Return what identifies a Linux."""
    cloud = (memory.get("files") or {}).get("/var/lib/cloud/instance")
    return {
        "machine_id": [["/etc/machine-id"]] if memory.get("machine_id") else [],
        "host_keys": [["/etc/ssh/ssh_host_ed25519_key"]] if memory.get("host_keys") else [],
        "cloud_init": [["/var/lib/cloud"]] if cloud is not None else [],
    }


def _on(arch: str, value: str) -> str:
    return _X86.get(value, value) if arch == "x86_64" else value
