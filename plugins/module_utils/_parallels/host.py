# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Parallels Desktop on this Mac: its version, edition and license, and where it keeps virtual machines."""

from __future__ import annotations

import os
import platform
import re
from typing import Any

from .._common.errors import TaskError
from .._common.files import folder_obstacle, free_bytes
from .._common.ownership import why_shared
from .cli import PRL_DISK_TOOL, PRLCTL, PRLSRVCTL, Prlctl

_EDITIONS = ("enterprise", "business", "pro", "standard")
# The states that the license's own record has, in the words of this collection; others are shown as they are.
# Parallels calls a license VALID that could be used, but is not loaded.
_RECORDED_STATES = {"active": "valid", "valid": "not_loaded"}
_GRACED = "graced"  # expired, but it works until the grace period ends
_GRACE_END = "grace_period_ends_at"


def read_server(prl: Prlctl) -> dict[str, Any]:
    """Return the facts of the Parallels service; raise TaskError when it does not respond."""
    # private: the answer contains the license key.
    return prl.read_json(PRLSRVCTL, "info", "--json", expect=dict, private=True)


def vm_home(prl: Prlctl) -> str:
    """Return the folder in which new virtual machines are made."""
    home = str(read_server(prl).get("VM home") or "")
    return os.path.abspath(os.path.expanduser(home or "~/Parallels"))


def read_mac(prl: Prlctl, path: str = "") -> dict[str, Any]:
    """Return the facts of Parallels on this Mac, and the free space at C(path), by default at the VM home."""
    server = read_server(prl)
    license_facts = _read_license(prl)
    version, build = _version(str(server.get("Version", "")))
    if not version:
        version, build = _version(prl.run(PRLCTL, "--version").stdout)
    home = os.path.abspath(os.path.expanduser(str(server.get("VM home") or "~/Parallels")))
    state = _license_state(server, license_facts)
    grace_end = str(license_facts.get(_GRACE_END) or "")
    if state == _GRACED:
        prl.notice(
            "The license of Parallels Desktop has expired. It works only until its grace period ends: "
            f"{grace_end or 'at an unknown time'} ({_GRACE_END}). Renew it before."
        )
    shared = why_shared(path) if path else ""
    if shared:
        prl.notice(
            f"Other users of this Mac can put files into {path}, or exchange them: {shared}. Use a folder that only "
            "this user can write to (chmod go-w)."
        )
    return {
        "version": version,
        "build": build,
        "edition": _edition(license_facts),
        "license_state": state,
        "license_grace_period_ends_at": grace_end,
        "vm_home": home,
        "architecture": platform.machine(),
        "free_bytes": free_bytes(path or home),
        "path_obstacle": folder_obstacle(path or home),
        "path_shared": shared,
        "programs": {name: prl.program(name) for name in (PRLCTL, PRLSRVCTL, PRL_DISK_TOOL)},
    }


def _read_license(prl: Prlctl) -> dict[str, Any]:
    """Return the facts of the license; empty when Parallels reports none (old versions, no license)."""
    try:
        return prl.read_json(PRLSRVCTL, "info", "--license", "--json", expect=dict, private=True)
    except TaskError as error:
        if error.details.get("timed_out"):
            raise
        return {}


def _version(text: str) -> tuple[str, str]:
    """Return version and build of "Desktop 20.1.2-55742" or "prlctl version 26.4.1 (57516)"."""
    found = re.search(r"(\d+\.\d+\.\d+)(?:-(\d+)|\s*\((\d+)\))?", text)
    return (found.group(1), found.group(2) or found.group(3) or "") if found else ("", "")


def _edition(license_facts: dict[str, Any]) -> str:
    edition = str(license_facts.get("edition", "")).lower()
    return edition if edition in _EDITIONS else "unknown"


def _license_state(server: dict[str, Any], license_facts: dict[str, Any]) -> str:
    """Return the license state as one word: from the license's own record if there is one, else the service's."""
    recorded = str(license_facts.get("status") or "").lower()
    if recorded:
        return _RECORDED_STATES.get(recorded, recorded)
    own = server.get("License")
    state = str((own.get("state") if isinstance(own, dict) else "") or "unknown").lower()
    return "valid" if state == "active" else state
