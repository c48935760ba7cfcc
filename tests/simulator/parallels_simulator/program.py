# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a launcher enters a simulated program."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

from . import jobs, texts
from .calls import Call
from .console import Console
from .errors import CommandError
from .mac import Mac

PROGRAMS = ("prlctl", "prlsrvctl", "prl_disk_tool")
_HANG_AT_EULA = {"off": (), "prlctl": ("prlctl",), "all": ("prlctl", "prlsrvctl")}


def main(program: str, root: str, argv: list[str]) -> int:
    """Run a program of the simulated Mac in C(root), as its launcher does."""
    mac = Mac(root)
    if not mac.exists():
        print(f"simulator: there is no simulated Mac in {mac.root} any more", file=sys.stderr)
        return 2
    call = Call(mac.calls_log, program, argv)

    def ended(number: int, _frame: Any) -> None:
        call.end(-number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ended)
    rc = run(mac, Console(mac.knob("progress_on_pipe")), program, argv)
    mac.give_to_owner()
    call.end(rc)
    return rc


def run(mac: Mac, console: Console, program: str, argv: list[str]) -> int:
    """Run a program and turn its failures into lines on stderr and an exit code."""
    if program in _HANG_AT_EULA[mac.knob("eula_pending")]:
        jobs.hang()
    try:
        return importlib.import_module(f".{program}", __package__).run(mac, console, argv)
    except CommandError as error:
        console.err(error.stderr)
        return error.rc
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        console.err(texts.os_error(argv[0] if argv else "", error))
        return 255
