# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that can be injected, how often, and where."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from .errors import SimulatorError

ALWAYS = -1


class Fault(NamedTuple):
    """One fault."""

    name: str
    where: str
    what: str
    params: tuple = ()  # allowed values of PARAM; "VERB" stands for any prlctl verb
    default: str = ""  # default of PARAM; "" strikes everywhere


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "service_down",
            "every call of prlctl and prlsrvctl",
            "253, 'Unable to connect to Parallels Service'",
            ("VERB",),
        ),
        Fault("vm_frozen", "any verb", "254, the VM does not answer", ("VERB",)),
        Fault("rc255_after_success", "any verb", "does its work, then exits 255 with a PrlJob error", ("VERB",)),
        Fault("busy", "changing verbs", "255, the virtual machine is busy", ("VERB",)),
        Fault("hang", "any verb (pack, unpack, clone: halfway)", "blocks until it is killed", ("VERB",)),
        Fault("sync_race", "snapshot-delete", "255, 'Data synchronization is currently in progress'"),
        Fault("snapshot_remains", "snapshot-delete", "0, but the snapshot is still there"),
        Fault(
            "kill_in_snapshot_delete", "snapshot-delete", "prlctl is killed by SIGKILL halfway; the snapshot remains"
        ),
        Fault(
            "disk_full",
            "pack, unpack, clone",
            "255 'Not enough free space' halfway; the partial file or bundle stays",
            ("pack", "unpack", "clone"),
            "pack",
        ),
        Fault("kill_in_pack", "pack", "prlctl is killed by SIGKILL halfway; a partial .pvmp stays"),
        Fault("kill_in_unpack", "unpack", "prlctl is killed by SIGKILL halfway; a partial .pvm stays"),
        Fault("kill_in_clone", "clone", "prlctl is killed by SIGKILL halfway; a partial bundle stays"),
        Fault("kill_after_clone", "clone", "prlctl is killed by SIGKILL when the clone is complete and registered"),
        Fault("kill_after_pack", "pack", "prlctl is killed by SIGKILL when the image is complete and registered"),
        Fault(
            "pack_empty",
            "pack",
            "0, an empty .pvmp; the VM stays a .pvm (PARAM moved: the VM is now the empty file; the .pvm stays too)",
            ("moved",),
        ),
        Fault(
            "pack_missing",
            "pack",
            "0, no .pvmp; the VM stays a .pvm (PARAM moved: registered there anyway)",
            ("moved",),
        ),
        Fault("pack_rc0_unchanged", "pack", "0, a complete .pvmp, but the VM stays a .pvm"),
        Fault("wrong_checksum_file", "pack", "the .sha256.txt has the checksum of other bytes"),
        Fault("clone_rc0_missing", "clone", "0, but there is no clone"),
        Fault("exec_not_ready", "exec", "255, 'Unable to open new session in this virtual machine'"),
        Fault("exec_false_success", "exec", "0, 'Unable to open new session'; the command does not run"),
        Fault(
            "exec_handle_fault",
            "exec",
            "255, 'Invalid argument' of the function PARAM, before the command begins",
            ("PrlJob_GetRetCode", "PrlJob_GetResult", "PrlVmGuest_RunProgram", "PrlResult_GetParamByIndex"),
            "PrlJob_GetRetCode",
        ),
        Fault(
            "exec_ends_early",
            "exec",
            "ends amid the output (see `exec_ends_after`) with a PrlJob error or, PARAM silent, 0; the command goes on",
            ("error", "silent"),
            "error",
        ),
        Fault("exec_dies_at_shutdown", "exec", "255 PrlJob error when the command shuts the guest down"),
        Fault("stop_ignored", "stop", "0 and a success message, but the VM keeps running"),
        Fault("start_fails", "start", "255, the VM stays stopped"),
        Fault("unregister_fails", "unregister", "255, the administrator's credentials are needed"),
        Fault("delete_fails", "delete", "255, the administrator's credentials are needed"),
        Fault("invalid_state", "looks at a VM", "shows `invalid` although all files are there"),
        Fault("json_garbage", "list -j, snapshot-list -j, prlsrvctl info -j", "0, but stdout is not JSON"),
        Fault("list_empty_once", "list", "0, but no VM is listed (with a VM named: it could not be found)"),
    )
}


def parse_fault(text: str, verbs: tuple) -> dict[str, Any]:
    """Return the validated fault of C(NAME[=COUNT][:PARAM])."""
    head, colon, param = text.partition(":")
    name, equals, count_text = head.partition("=")
    fault = FAULTS.get(name)
    if fault is None:
        raise SimulatorError(f"There is no fault '{name}'. `simulate fault --list` shows all faults.")
    count = 1
    if equals:
        if count_text == "always":
            count = ALWAYS
        elif count_text.isdigit() and int(count_text) > 0:
            count = int(count_text)
        else:
            raise SimulatorError(
                f"The count of {name} cannot be '{count_text}'. Use a number, 1 or greater, or 'always'."
            )
    if colon:
        allowed = verbs if fault.params == ("VERB",) else fault.params
        if param not in allowed:
            advice = f"Use one of: {', '.join(allowed)}" if allowed else "It takes none. Remove it"
            raise SimulatorError(f"{name} does not support the parameter '{param}'. {advice}.")
    return {"name": name, "count": count, "param": param or fault.default}


def strike(faults: list, name: str, verb: str = "") -> Optional[dict[str, Any]]:
    """Return the fault if it strikes here, and count it down. A used-up fault is removed from the list."""
    for fault in faults:
        if fault["name"] != name:
            continue
        if verb and fault["param"] and fault["param"] != verb:
            continue
        if fault["count"] != ALWAYS:
            fault["count"] -= 1
            if fault["count"] <= 0:
                faults.remove(fault)
        return fault
    return None
