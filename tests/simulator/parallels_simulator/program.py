# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a launcher enters a simulated program."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Callable

from . import prl_disk_tool, prlctl, prlsrvctl, texts
from .calls import Call
from .console import Console
from .errors import CommandError, SimulatorError
from .mac import Mac

PROGRAMS: dict[str, Callable[[Mac, Console, list], int]] = {
    "prlctl": prlctl.run,
    "prlsrvctl": prlsrvctl.run,
    "prl_disk_tool": prl_disk_tool.run,
}


def main(program: str, root: str, argv: list) -> int:
    """Run a program of the simulated Mac in C(root)."""
    mac = Mac(root)
    call = Call(mac.calls_log, program, argv)

    def ended(number: int, _frame: Any) -> None:
        call.end(-number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ended)
    rc = 255
    try:
        console = Console(mac.knob("progress_on_pipe"))
        rc = PROGRAMS[program](mac, console, argv)
    except CommandError as error:
        console.err(error.stderr)
        rc = error.rc
    except BrokenPipeError:
        rc = 128 + signal.SIGPIPE
    except OSError as error:
        console.err(texts.os_error(argv[0] if argv else "", error))
    except SimulatorError as error:
        print(f"simulator: {error}", file=sys.stderr)
        rc = 2
    finally:
        mac.give_to_owner()
        call.end(rc)
    return rc
