# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What the programs share that the controller sends to the Mac: see plugin_utils._mac_program.

An answer is a line of JSON behind MARK, because a login on the Mac may print something before it.
"""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404 # Parallels' programs, by their paths
from collections.abc import Sequence
from typing import Any, Callable, Optional

MARK = "macops.parallels:"


def send(head: dict[str, Any]) -> None:
    """Send the line of an answer."""
    write(f"{MARK}{json.dumps(head)}\n".encode())


def write(data: bytes) -> None:
    """Write all of it to standard output."""
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]


def run_command(
    args: Sequence[str],
    environ_update: Optional[dict[str, str]] = None,
    before_communicate_callback: Callable[[Any], None] = lambda _process: None,
    pass_fds: Sequence[int] = (),
    **_options: Any,
) -> tuple[int, str, str]:
    """Do what C(AnsibleModule.run_command) does, which is not on the Mac."""
    with subprocess.Popen(  # pylint: disable=ansible-bad-function  # nosec B603 # a list, and no shell
        args,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environ_update or {})},
        pass_fds=pass_fds,
    ) as process:
        before_communicate_callback(process)
        out, err = process.communicate()
    return process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")
