# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long operations: one at a time for a VM, done outside of the Mac's lock, with places where they can go wrong.

A job holds a lock file as long as its process lives, so that one that was killed does not keep its VM busy for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

from . import texts
from .console import Console
from .errors import CommandError
from .mac import Mac


def _open_lock(mac: Mac, uuid: str) -> int:
    handle = os.open(mac.jobs / f"{uuid}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with contextlib.suppress(PermissionError):
        os.fchmod(handle, 0o666)
    return handle


def is_alive(mac: Mac, uuid: str) -> bool:
    """Tell whether some process works on this VM."""
    handle = _open_lock(mac, uuid)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class Job:
    """A long operation on one VM. Made under the Mac's lock, on a VM that is free; ended by C(release)."""

    def __init__(self, mac: Mac, record: dict[str, Any], doing: str) -> None:
        self._mac = mac
        self._uuid = record["uuid"]
        self._handle = _open_lock(mac, self._uuid)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        record["job"] = doing

    def release(self) -> None:
        """Let others work on the VM again."""
        with self._mac.locked() as state:
            record = state["vms"].get(self._uuid)
            if record:
                record["job"] = ""
            with contextlib.suppress(FileNotFoundError):
                if not record:
                    os.unlink(self._mac.jobs / f"{self._uuid}.lock")
            os.close(self._handle)


@contextlib.contextmanager
def working(job: Job) -> Iterator[None]:
    """Release a job at the end, whatever happens."""
    try:
        yield
    finally:
        job.release()


class Steps:
    """What happens between two pieces of a long operation: progress, a slow disk, or the fault that was asked for."""

    def __init__(self, mac: Mac, console: Console, verb: str, total: int, seconds: float, label: str) -> None:
        self._console = console
        self._verb = verb
        self._total = max(1, total)
        self._seconds = seconds
        self._label = label
        self._began = time.monotonic()
        self._home = mac.home
        self._action = _chosen_action(mac, verb)

    def __call__(self, done: int) -> None:
        self._console.progress(self._label, done, self._total)
        if self._action and 2 * done >= self._total:
            action, self._action = self._action, None
            action(self)
        due = self._began + self._seconds * done / self._total
        time.sleep(max(0.0, due - time.monotonic()))

    def finish(self) -> None:
        """Show that all is done, when the time for it has come; a fault that has not struck yet strikes now."""
        self(self._total)

    def fail_for_space(self) -> None:
        """Fail as with a full disk."""
        raise CommandError(texts.failed(self._verb, texts.disk_full(f'"{self._home}"')))


def _chosen_action(mac: Mac, verb: str) -> Optional[Callable[[Steps], None]]:
    if mac.strike(f"kill_in_{verb}"):
        return lambda _steps: kill_self()
    if mac.strike("disk_full", verb):
        return lambda steps: steps.fail_for_space()
    if mac.strike("hang", verb):
        return lambda _steps: hang()
    return None


def kill_self() -> None:
    """Die as by the power button: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Do nothing until somebody ends this process."""
    while True:
        time.sleep(3600)


def run(mac: Mac, work: Callable[[], None]) -> None:
    """Do a long operation, in a process that outlives this one when the Mac is set so."""
    if not mac.knob("job_survives_client"):
        work()
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work_detached(work, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as answer:
        message = answer.read()
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    if message:
        raise CommandError(message)


def _work_detached(work: Callable[[], None], writer: int) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        work()
    except CommandError as error:
        os.write(writer, error.stderr.encode())
    except OSError as error:
        os.write(writer, texts.os_error("", error).encode())
    finally:
        os._exit(0)
