# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The part of the connection plugin that runs on the Mac: takes one order, runs it in the guest, and sends the answer.

The controller sends this file, and what it imports, with every order: see plugin_utils._mac_program. Nothing is
installed on the Mac, and no exit code is used: the ssh client has its own meaning for some.

The answer is a line of JSON (see on_mac), then the bytes of the two output streams. Of a file, a second line follows.
"""

from __future__ import annotations

import base64
import json
import os
import select
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable

from .._common.errors import Interrupted, TaskError
from .._common.interrupt import interruptible
from .._common.ownership import own_folder
from .cli import Prlctl
from .guest import Guest, Login, Lost, NotBegun
from .guest_frame import Answer, Command
from .guest_slots import FOLDER, Limits
from .on_mac import run_command, send, write

OK, WAIT, REFUSED, LOST, FAILED = "ok", "wait", "refused", "lost", "failed"

_ONCE_FOLDER = f"{FOLDER}/once"
_ONCE_KEPT = 24 * 3600


@dataclass(frozen=True)
class Target:
    """The VM, as far as it is known without asking Parallels."""

    uuid: str
    name: str
    family: str


def main(order_text: bytes) -> None:
    """Carry out one order; the data for the guest follow on standard input."""
    order = json.loads(order_text)
    try:
        with interruptible():
            _carry_out(order)
    except NotBegun as error:
        send(
            {
                "status": WAIT if error.passes else REFUSED,
                "reason": error.details.get("reason", ""),
                "why": error.why,
                "msg": error.message,
            }
        )
    except Lost as error:
        send({"status": LOST, "msg": error.message})
    except TaskError as error:
        send({"status": FAILED, "msg": error.message})
    except OSError as error:
        send({"status": FAILED, "msg": f"The Mac reported an error: {error}. Fix its cause, then run again."})
    except Interrupted as error:
        sys.stderr.write(f"{error.reason}\n")


def _carry_out(order: dict[str, Any]) -> None:
    prl = Prlctl(run_command, order["executable"] or None, mends=False)
    vm = _target(prl, order)
    guest = Guest(prl, vm, patience=order["patience"], limits=Limits(**order["limits"]))
    command = Command(
        base64.b64decode(order["line"]),
        size=order["size"],
        limit=order["limit"],
        fetch=order["fetch"],
        store=order["store"],
        **order["become"],
    )
    if order["once"]:
        _refuse_second_run(order["once"])
    head = {"status": OK, "uuid": vm.uuid}
    options: dict[str, Any] = {"login": Login(**order["login"]), "body": 0, "wanted": _reader_is_there()}
    if command.fetch:

        def started(answer: Answer) -> None:
            send({**head, "size": answer.size})

        outcome = guest.perform(command, take=write, started=started, **options)
        if outcome.answer.refused:
            send({**head, "refused": outcome.answer.refused})
        else:
            send({"sha256": outcome.answer.digest})
        return
    outcome = guest.perform(command, **options)
    answer = outcome.answer
    send(
        {
            **head,
            "rc": answer.code,
            "stdout": len(answer.stdout),
            "stderr": len(answer.stderr),
            "timed_out": outcome.timed_out,
        }
    )
    write(answer.stdout)
    write(answer.stderr)


def _target(prl: Prlctl, order: dict[str, Any]) -> Target:
    """Return the VM. Its name is looked up, because a lock and a message need one name for one VM."""
    if order["uuid"]:
        return Target(order["uuid"], order["vm"], order["family"])
    # Not needed, and not loaded, once the UUID is known.
    from .vm import find_entry, no_such_vm  # pylint: disable=import-outside-toplevel

    entry = find_entry(prl, order["vm"])
    if entry is None:
        raise no_such_vm(order["vm"])
    return Target(entry.uuid, entry.name, order["family"])


def _refuse_second_run(token: str) -> None:
    """Raise Lost for an order that was here before: the ssh client of the controller repeats what it has lost."""
    folder = own_folder(_ONCE_FOLDER)
    old = time.time() - _ONCE_KEPT
    for entry in os.scandir(folder):
        if entry.stat(follow_symlinks=False).st_mtime < old:
            os.unlink(entry.path)
    try:
        os.close(os.open(os.path.join(folder, token), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise Lost(
            "The connection to the Mac was lost while a command ran in the guest. It is not known whether it ran to "
            "its end, so it was not run again. Check in the guest whether it had its effect, then run again."
        ) from error


def _reader_is_there() -> Callable[[], bool]:
    """Return what says whether somebody still reads the answer: the ssh client may be gone."""
    poller = select.poll()
    poller.register(1, 0)
    return lambda: not any(event & (select.POLLERR | select.POLLHUP) for _descriptor, event in poller.poll(0))
