# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the guests of a simulated Mac that have a root of their own: see tests/simulator/README.md."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

SIMULATOR = pathlib.Path(__file__).resolve().parents[1] / "simulator"


class GuestsNotPossible(Exception):
    """Nobody can make namespaces and mounts here: the message has the reason."""


@contextlib.contextmanager
def running_guests(folder: pathlib.Path) -> Iterator[None]:
    """Run them, as root, as long as the body runs. Raises GuestsNotPossible.

    What runs in them also ends when this process is killed: its end of the pipe closes.
    """
    command = [sys.executable, str(SIMULATOR / "simulate"), "guests", str(folder), "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin and server.stdout and server.stderr
        if server.stdout.readline() != "ready\n":
            reason = server.stderr.read().strip().removeprefix("simulate: ")
            assert not _others_can(), f"unshare and mount work here, but: {reason}"
            raise GuestsNotPossible(reason)
        try:
            yield
        finally:
            server.stdin.close()


def _others_can() -> bool:
    """Return whether other programs can make namespaces and mounts."""
    trial = ["unshare", "--mount", "--pid", "--net", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which(trial[0])) and subprocess.run(trial, capture_output=True, check=False).returncode == 0
