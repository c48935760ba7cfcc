# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines behind the VMs whose guest has a root of its own. One server a Mac, which root runs. Linux only.

It keeps a process for each running VM, which holds the mount with the guest's root. That process makes another for each
boot, whose child is the guest's first process. Each ends when its parent does, however that ends, and with the last one
the kernel removes the mounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Callable, Optional

from . import guest_init, guest_root, namespaces
from .errors import SimulatorError
from .guest_client import CONTROL
from .mac import GUESTS, Mac
from .prlctl_power import note_power_off, note_reboot
from .vms import Vm

_NOT_POSSIBLE = (
    "A guest cannot have a root of its own here: {reason}. The simulated guests need Linux, root, and the right to "
    "make namespaces and mounts. Docker gives it to a container that is run with --cap-add SYS_ADMIN --security-opt "
    "seccomp=unconfined --security-opt apparmor=unconfined."
)
_STOPPED, _CRASHED = 0, 99
_READY = "ready"
_ENDS = ("stop", "shutdown")  # as by the power button held down, and as by the guest itself
# Signal to the process behind a boot -> signal to the guest's first process.
_PASSED_ON = {
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGHUP,
    signal.SIGTERM: signal.SIGKILL,
    signal.SIGUSR1: signal.SIGUSR1,
    signal.SIGUSR2: signal.SIGUSR2,
}


def probe() -> str:
    """Return why guests with a root of their own are not possible on this machine; empty when they are."""
    if sys.platform != "linux":
        return "this is not Linux"
    if os.geteuid() != 0:
        return "this user is not root"
    store = tempfile.mkdtemp(prefix="simulated-guest-")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _exit_with(lambda: _probe(store), writer)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as answer:
        reason = answer.read().strip()
    _pid, status = os.waitpid(child, 0)
    shutil.rmtree(store)
    return reason or ("" if status == 0 else f"the trial ended with {status}")


def _probe(folder: str) -> int:
    _enter_memory(folder)
    for name in ("upper", "work", "merged"):
        os.mkdir(name)
    namespaces.mount("overlay", "merged", "overlay", options=guest_root.OPTIONS)
    namespaces.unshare(namespaces.NEW_PIDS)
    child = os.fork()
    if child == 0:
        _exit_with(lambda: namespaces.mount("proc", "merged/proc", "proc") or 0)
    return os.WEXITSTATUS(os.waitpid(child, 0)[1])


def _exit_with(work: Callable[[], int], errors: int = 2) -> None:
    """End this process, which was forked, with what the work returns."""
    code = _CRASHED
    try:
        code = work()
    except OSError as error:
        os.write(errors, f"{error.filename or 'the system'}: {error.strerror or error}\n".encode())
    except BaseException:
        os.write(errors, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _enter_memory(folder: str) -> None:
    """Make namespaces, and in them a folder in memory, which becomes the current one."""
    namespaces.unshare(namespaces.NEW_MOUNTS | namespaces.NEW_HOST_NAME | namespaces.NEW_IPC | namespaces.NEW_NET)
    namespaces.mount("none", "/", flags=namespaces.RECURSIVE | namespaces.PRIVATE)
    namespaces.mount("tmpfs", folder, "tmpfs", options="mode=755")
    os.chdir(folder)


# --- the server ---------------------------------------------------------------------------------------------------


class GuestServer:
    """Starts and stops the machines of one Mac."""

    def __init__(self, mac: Mac) -> None:
        reason = probe()
        if reason:
            raise SimulatorError(_NOT_POSSIBLE.format(reason=reason))
        self._mac = mac
        self._folder = mac.root / GUESTS
        self._folder.mkdir(mode=0o755, exist_ok=True)
        owner = mac.root.stat()
        os.chown(self._folder, owner.st_uid, owner.st_gid)
        self._machines: dict[str, _Machine] = {}
        self._listener = _listen(self._folder, CONTROL)

    def run(self, until: Optional[int]) -> None:
        """Serve until SIGTERM, or until C(until) is at its end. Then every guest is stopped and saved."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        ends = [reader] if until is None else [reader, until]
        try:
            while True:
                ready, _writers, _errors = select.select([self._listener, *ends], [], [])
                if reader in ready or (until in ready and not os.read(until, 4096)):
                    return
                if self._listener in ready:
                    self._serve()
        finally:
            for machine in self._machines.values():
                machine.ask("stop")
            with contextlib.suppress(FileNotFoundError):
                (self._folder / CONTROL).unlink()

    def _serve(self) -> None:
        connection, _address = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:
            try:
                request = json.loads(stream.readline())
                answer = self._do(request)
            except (ValueError, KeyError) as error:
                answer = f"the request cannot be read: {error}"
            with contextlib.suppress(OSError):
                stream.write(json.dumps({"error": answer}).encode() + b"\n")
                stream.flush()

    def _do(self, request: dict[str, str]) -> str:
        """Return an error, or nothing."""
        uuid, what = request["uuid"], request["do"]
        machine = self._machines.get(uuid)
        if what != "start":
            return machine.ask(what) if machine else ""
        if machine and machine.is_running():
            return "its guest is already running"
        machine = _Machine(self._mac, self._folder, request, [other.link for other in self._machines.values()])
        error = machine.wait_for_answer()
        if not error:
            self._machines[uuid] = machine
        return error


def _listen(folder: Path, name: str) -> socket.socket:
    """Listen on a socket in a folder, whose owner alone may connect. The path may be longer than a socket's can be."""
    owner = folder.parent.stat()
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{here}/{name}")
        os.chmod(folder / name, 0o600)
        os.chown(folder / name, owner.st_uid, owner.st_gid)
        listener.listen(64)
        return listener
    finally:
        os.close(here)


class _Machine:
    """A running VM, as the server sees it."""

    def __init__(self, mac: Mac, folder: Path, request: dict[str, str], others: list[socket.socket]) -> None:
        self.link, theirs = socket.socketpair()
        self._lines = self.link.makefile("rb")
        self._pid = os.fork()
        if self._pid == 0:
            for other in (self.link, *others):
                other.close()
            _exit_with(lambda: _Box(mac, folder, request, theirs).run())
        theirs.close()

    def is_running(self) -> bool:
        """Return whether the guest still runs; if not, wait for the end of its machine."""
        if not select.select([self.link], [], [], 0)[0]:
            return True
        self.wait()
        return False

    def wait(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def ask(self, what: str) -> str:
        """Have something done with the guest; return an error, or nothing. It may have just switched itself off."""
        with contextlib.suppress(OSError):
            self.link.sendall(what.encode() + b"\n")
        error = self.wait_for_answer(at_end="")
        if what in _ENDS:
            self.wait()
        return error

    def wait_for_answer(self, at_end: str = "its machine ended") -> str:
        """Return an error, or nothing."""
        line = self._lines.readline().decode(errors="replace").rstrip("\n")
        return "" if line == _READY else line or at_end


# --- one machine --------------------------------------------------------------------------------------------------


class _Box:
    """The process behind one running VM."""

    def __init__(self, mac: Mac, folder: Path, request: dict[str, str], link: socket.socket) -> None:
        self._mac = mac
        self._uuid = request["uuid"]
        self._boot = request["boot"]
        self._store = guest_root.store_of(request["home"])
        self._name = re.sub(r"[^a-z0-9]+", "-", request["name"].lower()).strip("-")[:60] or "guest"
        self._arch = request["arch"]
        self._folder = folder
        self._link = link
        self._booter = 0

    def run(self) -> int:
        namespaces.die_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._listener = _listen(self._folder, self._uuid)
            _enter_memory(str(self._folder))
            guest_root.mount_root(self._store, self._name, self._arch)
            self._start()
            self._say(_READY)
            self._serve()
        except OSError as error:
            self._say(f"{error.filename or 'the system'}: {error.strerror or error}")
            return _CRASHED
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._uuid, dir_fd=folder)  # the path leads into the mount
        return _STOPPED

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._link.sendall(line.encode() + b"\n")

    def _serve(self) -> None:
        while True:
            handle = os.pidfd_open(self._booter)
            ready, _writers, _errors = select.select([self._link, handle], [], [])
            os.close(handle)
            if self._link in ready:
                if self._obey(self._link.recv(64).decode().strip()):
                    return
            elif self._wait() == guest_init.REBOOT:
                self._start()
                self._note(note_reboot)
            else:
                guest_root.save(self._store)
                self._link.close()
                self._note(note_power_off)
                return

    def _obey(self, what: str) -> bool:
        """Do what the Mac wants; return whether that was the end."""
        if what == "reboot":
            os.kill(self._booter, signal.SIGHUP)
            self._wait()
            self._start()
        elif what in ("freeze", "thaw"):
            os.kill(self._booter, signal.SIGUSR1 if what == "freeze" else signal.SIGUSR2)
        elif what in _ENDS or not what:  # without a server, there is nobody to serve
            os.kill(self._booter, signal.SIGINT if what == "shutdown" else signal.SIGTERM)
            self._wait()
        if what not in ("reboot", "thaw"):
            guest_root.save(self._store)
        self._say(_READY)
        return what in _ENDS or not what

    def _wait(self) -> int:
        return os.WEXITSTATUS(os.waitpid(self._booter, 0)[1])

    def _note(self, note: Callable[[Vm], None]) -> None:
        """Bring into the Mac's state what the guest did by itself. The Mac may be locked by who waits for this one."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        self._link.close()
        if os.fork():
            os._exit(0)
        _exit_with(lambda: self._note_now(note))

    def _note_now(self, note: Callable[[Vm], None]) -> int:
        with self._mac.locked() as state:
            record = state["vms"].get(self._uuid)
            if record and record.get("boot") == self._boot:
                note(Vm(self._mac, record))
        self._mac.give_to_owner()
        return 0

    # --- booting --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Boot the guest; return when it takes commands. Raises OSError."""
        reader, writer = os.pipe()
        self._booter = os.fork()
        if self._booter == 0:
            os.close(reader)
            _exit_with(lambda: self._boot_guest(writer), writer)
        os.close(writer)
        with open(reader, encoding="utf-8", errors="replace") as answer:
            said = answer.readline().rstrip("\n")
        if said != _READY:
            self._wait()
            raise OSError(0, f"the guest does not start: {said}", "the guest")

    def _boot_guest(self, writer: int) -> int:
        """Make the namespaces of one boot, and wait for its end."""
        namespaces.die_with_parent(signal.SIGKILL)
        self._link.close()
        namespaces.count_uptime_from_now()
        namespaces.unshare(namespaces.NEW_MOUNTS | namespaces.NEW_PIDS)
        first = os.fork()
        if first == 0:
            namespaces.die_with_parent(signal.SIGKILL)
            _exit_with(lambda: guest_init.run(self._listener, self._name, lambda: _tell_ready(writer)), writer)
        os.close(writer)
        for number, passed_on in _PASSED_ON.items():
            signal.signal(number, lambda _number, _frame, passed_on=passed_on: os.kill(first, passed_on))
        return os.WEXITSTATUS(os.waitpid(first, 0)[1])


def _tell_ready(writer: int) -> None:
    os.write(writer, f"{_READY}\n".encode())
    os.close(writer)
