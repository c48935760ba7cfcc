# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of prlctl."""

from __future__ import annotations

from . import jobs, texts
from .console import Console
from .errors import CommandError
from .mac import Mac
from .prlctl_exec import run_exec
from .prlctl_list import run_list, run_status
from .prlctl_pack import run_pack, run_unpack
from .prlctl_power import run_pause, run_reset, run_restart, run_resume, run_start, run_stop, run_suspend
from .prlctl_registry import run_clone, run_delete, run_register, run_unregister
from .prlctl_set import run_set
from .prlctl_snapshot import run_snapshot, run_snapshot_delete, run_snapshot_list, run_snapshot_switch
from .profiles import EDITIONS_WITH_CLI
from .session import Session, Verb

VERBS: dict[str, Verb] = {
    "list": run_list,
    "status": run_status,
    "start": run_start,
    "stop": run_stop,
    "restart": run_restart,
    "suspend": run_suspend,
    "resume": run_resume,
    "pause": run_pause,
    "reset": run_reset,
    "register": run_register,
    "unregister": run_unregister,
    "delete": run_delete,
    "clone": run_clone,
    "set": run_set,
    "snapshot": run_snapshot,
    "snapshot-list": run_snapshot_list,
    "snapshot-delete": run_snapshot_delete,
    "snapshot-switch": run_snapshot_switch,
    "pack": run_pack,
    "unpack": run_unpack,
    "exec": run_exec,
}
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
    rc = VERBS[verb](Session(mac, console, verb, argv[1:]))
    if rc == 0 and mac.strike("rc255_after_success", verb):
        raise CommandError(texts.JOB_ERROR)
    return rc


def _usage() -> str:
    # The usage text of the real one does not name pack and unpack in every edition.
    named = " ".join(verb for verb in VERBS if verb not in ("pack", "unpack"))
    return f"Usage: prlctl ACTION <ID | NAME> [OPTIONS]\nActions: {named}"
