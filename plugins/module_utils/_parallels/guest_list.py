# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The part of the inventory plugin that runs on the Mac: sends what an inventory says of each VM.

The controller sends this file, and what it imports, to the Mac: see plugin_utils._mac_program.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .._common.errors import Interrupted, TaskError
from .._common.interrupt import interruptible
from .cli import Prlctl
from .on_mac import run_command, send
from .vm import RUNNING, Vm, ip_addresses, list_vms_briefly


def main(order_text: bytes) -> None:
    """Send the VMs, or why they cannot be read."""
    order = json.loads(order_text)
    try:
        with interruptible():
            prl = Prlctl(run_command, order["executable"] or None, mends=False, read_limit=order["limit"])
            vms = list_vms_briefly(prl)
            addresses = ip_addresses(prl) if any(vm.state == RUNNING for vm in vms) else {}
            send({"vms": [_described(vm, addresses) for vm in vms if not vm.template]})
    except TaskError as error:
        send({"msg": error.message})
    except OSError as error:
        send({"msg": f"The Mac reported an error: {error}. Fix its cause, then run again."})
    except Interrupted as error:
        sys.stderr.write(f"{error.reason}\n")


def _described(vm: Vm, addresses: dict[str, str]) -> dict[str, Any]:
    return {
        "uuid": vm.uuid,
        "name": vm.name,
        "state": vm.state,
        "os": vm.os,
        "family": vm.family,
        "arch": vm.arch,
        "packed": vm.packed,
        "isolated": vm.settings.isolated,
        "tools": vm.tools["state"],
        "ip_address": addresses.get(vm.uuid),
        "home": vm.home,
        "unreadable": list(vm.unreadable),
    }
