# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of prlctl."""

from __future__ import annotations

import importlib

from . import jobs, texts
from .console import Console
from .errors import CommandError
from .mac import Mac
from .profiles import EDITIONS_WITH_CLI
from .session import Session, Verb

# Verb -> module that is loaded for it, since each call is a new process.
_MODULES = {
    "list": "prlctl_list",
    "status": "prlctl_list",
    "start": "prlctl_power",
    "stop": "prlctl_power",
    "restart": "prlctl_power",
    "suspend": "prlctl_power",
    "resume": "prlctl_power",
    "pause": "prlctl_power",
    "reset": "prlctl_power",
    "register": "prlctl_registry",
    "unregister": "prlctl_registry",
    "delete": "prlctl_registry",
    "clone": "prlctl_registry",
    "set": "prlctl_set",
    "snapshot": "prlctl_snapshot",
    "snapshot-list": "prlctl_snapshot",
    "snapshot-delete": "prlctl_snapshot",
    "snapshot-switch": "prlctl_snapshot",
    "pack": "prlctl_pack",
    "unpack": "prlctl_pack",
    "exec": "prlctl_exec",
}
VERBS = tuple(_MODULES)
_HANG_HALF_WAY = ("pack", "unpack", "clone")


def run(mac: Mac, console: Console, argv: list) -> int:
    """Do what the arguments say; return the exit code."""
    if argv[:1] in (["--version"], ["-V"]):
        profile = mac.profile
        console.out(f"prlctl version {profile.version} ({profile.build})")
        return 0
    verb = argv[0] if argv else ""
    if verb not in VERBS:
        raise CommandError(f"Unrecognized command: {verb}\n{_usage()}" if verb else _usage(), rc=1)
    if mac.strike("service_down", verb):
        raise CommandError(texts.SERVICE_DOWN, rc=253)
    if mac.read()["edition"] not in EDITIONS_WITH_CLI:
        raise CommandError(texts.EDITION)
    if mac.strike("vm_frozen", verb):
        raise CommandError(texts.failed(verb, texts.FROZEN), rc=254)
    if verb not in _HANG_HALF_WAY and mac.strike("hang", verb):
        jobs.hang()
    rc = _function(verb)(Session(mac, console, verb, argv[1:]))
    if rc == 0 and mac.strike("rc255_after_success", verb):
        raise CommandError(texts.JOB_ERROR)
    return rc


def _function(verb: str) -> Verb:
    module = importlib.import_module(f".{_MODULES[verb]}", __package__)
    return getattr(module, "run_" + verb.replace("-", "_"))


def _usage() -> str:
    # The usage text of the real one does not name pack and unpack in every edition.
    named = " ".join(verb for verb in VERBS if verb not in ("pack", "unpack"))
    return f"Usage: prlctl ACTION <ID | NAME> [OPTIONS]\nActions: {named}"
