# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first process of a guest with a root of its own: it starts commands, as Parallels Tools do, and ends the system.

It finds nothing of the machine any more, no module of Python either: whatever it needs is imported before.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import traceback
import uuid
from typing import Any, Callable, NamedTuple, Optional

from . import namespaces
from .namespaces import NO_DEV, NO_EXEC, NO_SUID, READ_ONLY

HALT, REBOOT = 10, 11  # exit codes of the first process
_FIFO = "/run/initctl"
_LEVELS = {b"0": HALT, b"6": REBOOT}
_GRACE = 0.5  # seconds in which the command that asked for the end may end itself
_TERM_SECONDS = 2.0
_CHUNK = 1 << 16
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_NO_PASSWORD = ("", "!", "*", "!!", "x")
_FIRST_USER, _LAST_USER = 1000, 60000

SessionRequest = dict[str, Any]


class User(NamedTuple):
    """An account of the guest."""

    name: str
    uid: int
    gid: int


def run(listener: socket.socket, name: str, tell_ready: Callable[[], None]) -> int:
    """Be the first process of a guest; return how the system ended. It is called in new namespaces."""
    crypt = _crypt_function()
    _mount_all()
    namespaces.enter_root("merged")
    namespaces.set_host_name(name)
    with contextlib.suppress(OSError):
        namespaces.loopback_up()
    _settle_in()
    namespaces.give_up_rights()
    namespaces.set_name("init")
    init = _Init(listener, crypt)
    _start_services()
    tell_ready()
    return init.run()


def _mount_all() -> None:
    """Mount what a running system has over its root folder."""
    root = "merged"
    namespaces.mount("tmpfs", f"{root}/run", "tmpfs", NO_SUID | NO_DEV, "mode=755")
    namespaces.mount("tmpfs", f"{root}/dev", "tmpfs", NO_SUID | NO_EXEC, "mode=755")
    for device in _DEVICES:
        with open(f"{root}/dev/{device}", "wb"):
            pass
        namespaces.bind(f"/dev/{device}", f"{root}/dev/{device}")
    for folder in ("pts", "shm"):
        os.mkdir(f"{root}/dev/{folder}")
    namespaces.mount(
        "devpts", f"{root}/dev/pts", "devpts", NO_SUID | NO_EXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"
    )
    namespaces.mount("tmpfs", f"{root}/dev/shm", "tmpfs", NO_SUID | NO_DEV, "mode=1777")
    for name, target in _LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")
    namespaces.mount("proc", f"{root}/proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
    namespaces.mount("sysfs", f"{root}/sys", "sysfs", NO_SUID | NO_DEV | NO_EXEC | READ_ONLY)
    boot_id = f"{root}/run/boot_id"
    with open(boot_id, "w", encoding="ascii") as file:
        file.write(f"{uuid.uuid4()}\n")
    for path in ("sys", "sysrq-trigger", "irq", "bus"):
        if os.path.exists(f"{root}/proc/{path}"):
            namespaces.bind(f"{root}/proc/{path}", f"{root}/proc/{path}", read_only=True)
    namespaces.bind(boot_id, f"{root}/proc/sys/kernel/random/boot_id", read_only=True)


def _settle_in() -> None:
    """Do what a system does when it starts."""
    os.umask(0o022)
    os.makedirs("/run/lock", exist_ok=True)
    os.mkfifo(_FIFO, 0o600)
    for entry in os.scandir("/tmp"):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)
    if not os.path.exists("/etc/machine-id") or not os.path.getsize("/etc/machine-id"):
        with open("/etc/machine-id", "w", encoding="ascii") as file:
            file.write(os.urandom(16).hex() + "\n")


def _start_services() -> None:
    """Start the services that are enabled in the guest, and do not wait for them."""
    if not glob.glob("/etc/rc2.d/S*"):
        return
    if os.fork() == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        line = 'for script in /etc/rc2.d/S*; do "$script" start; done'
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        _start({"line": line, "environment": environment}, User("root", 0, 0), (nothing, nothing, nothing))


def _crypt_function() -> Optional[Callable[[str, str], str]]:
    """Return what encrypts passwords as the guest's /etc/shadow has them."""
    try:
        library = ctypes.CDLL("libcrypt.so.1")
    except OSError:
        return None
    library.crypt.restype = ctypes.c_char_p
    return lambda password, salt: (library.crypt(password.encode(), salt.encode()) or b"").decode()


class _Session:
    """A command that runs for a caller, or ran: what it still prints has to go somewhere."""

    def __init__(self, connection: socket.socket, pid: int, outputs: list[int]) -> None:
        self.connection = connection
        self.pid = pid
        self.outputs = outputs


class _Init:
    def __init__(self, listener: socket.socket, crypt: Optional[Callable[[str, str], str]]) -> None:
        self._listener = listener
        self._crypt = crypt
        self._selector = selectors.DefaultSelector()
        self._sessions: dict[int, _Session] = {}
        self._end = 0
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._ask_end(HALT))
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._ask_end(REBOOT))
        signal.signal(signal.SIGUSR1, lambda _number, _frame: _signal_all(signal.SIGSTOP))
        signal.signal(signal.SIGUSR2, lambda _number, _frame: _signal_all(signal.SIGCONT))
        fifo = os.open(_FIFO, os.O_RDWR | os.O_NONBLOCK)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._reap(reader))
        self._selector.register(fifo, selectors.EVENT_READ, lambda: self._read_level(fifo))
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def run(self) -> int:
        """Serve until the end is asked for; return how."""
        while not self._end:
            self._turn(None)
        self._shut_down()
        return self._end

    def _turn(self, seconds: Optional[float]) -> None:
        for key, _events in self._selector.select(seconds):
            key.data()

    def _ask_end(self, how: int) -> None:
        self._end = self._end or how

    def _read_level(self, fifo: int) -> None:
        for word in os.read(fifo, _CHUNK).split():
            if word in _LEVELS:
                self._ask_end(_LEVELS[word])

    def _shut_down(self) -> None:
        self._selector.unregister(self._listener)
        self._wait_until(_GRACE, lambda: not self._sessions)
        for session in self._sessions.values():
            self._selector.unregister(session.connection)
            session.connection.close()
        for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _TERM_SECONDS)):
            _signal_all(number)
            self._wait_until(seconds, _is_alone)

    def _wait_until(self, seconds: float, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self._turn(0.05)

    # --- sessions -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        connection, _address = self._listener.accept()
        try:
            request, handles = _receive(connection)
        except (OSError, ValueError):
            connection.close()
            return
        user = self._find_user(request)
        if user is None:
            _answer(connection, {"refused": True})
            connection.close()
            for handle in handles:
                os.close(handle)
            return
        _answer(connection, {"refused": False})
        stdin, stdout, stderr, *outputs = handles
        pid = os.fork()
        if pid == 0:
            _start(request, user, (stdin, stdout, stderr))
        for handle in (stdin, stdout, stderr):
            os.close(handle)
        session = self._sessions[pid] = _Session(connection, pid, outputs)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._caller_left(session))

    def _caller_left(self, session: _Session) -> None:
        """Read on in the caller's place, so that the command is not held up and does not end."""
        self._selector.unregister(session.connection)
        session.connection.close()
        for handle in session.outputs:
            os.set_blocking(handle, False)
            self._selector.register(handle, selectors.EVENT_READ, lambda handle=handle: self._drain(handle))

    def _drain(self, handle: int) -> None:
        try:
            data = os.read(handle, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(handle)
            os.close(handle)

    def _reap(self, reader: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(reader, _CHUNK)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            session = self._sessions.pop(pid, None)
            if session:
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
                _answer(session.connection, {"rc": code})

    def _find_user(self, request: SessionRequest) -> Optional[User]:
        users = _users()
        if request.get("current_user"):
            return next((user for user in users if _FIRST_USER <= user.uid < _LAST_USER), None)
        if not request.get("user"):
            return User("root", 0, 0)
        user = next((user for user in users if user.name == request["user"]), None)
        return user if user and self._is_password(user.name, request.get("password", "")) else None

    def _is_password(self, name: str, password: str) -> bool:
        if self._crypt is None:
            print("simulator: libcrypt is missing, so no password of a guest is right", file=sys.stderr)
            return False
        for line in _lines("/etc/shadow"):
            fields = line.split(":")
            if fields[0] == name and fields[1] not in _NO_PASSWORD:
                return self._crypt(password, fields[1]) == fields[1]
        return False


def _receive(connection: socket.socket) -> tuple[SessionRequest, list[int]]:
    connection.settimeout(10)
    data, handles, _flags, _address = socket.recv_fds(connection, _CHUNK, 5)
    for handle in handles:
        os.set_inheritable(handle, False)  # as no handle is that comes through a socket
    while not data.endswith(b"\n"):
        more = connection.recv(_CHUNK)
        if not more:
            raise ValueError("the request is cut off")
        data += more
    return json.loads(data), handles


def _answer(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def _start(request: SessionRequest, user: User, handles: tuple[int, int, int]) -> None:
    """Become the shell that runs a command."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
        os.umask(0)
        os.chdir("/")
        if user.uid:
            os.setgroups(_groups_of(user))
            os.setgid(user.gid)
            os.setuid(user.uid)
        line = request["line"].encode(errors="surrogateescape")
        os.execve("/bin/sh", ["sh", "-c", line], request["environment"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(126)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def _users() -> list[User]:
    fields = (line.split(":") for line in _lines("/etc/passwd"))
    return [User(row[0], int(row[2]), int(row[3])) for row in fields if len(row) == 7]


def _groups_of(user: User) -> list[int]:
    rows = (line.split(":") for line in _lines("/etc/group"))
    return [user.gid, *(int(row[2]) for row in rows if len(row) == 4 and user.name in row[3].split(","))]


def _signal_all(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)


def _is_alone() -> bool:
    return not any(entry.isdigit() and entry != "1" and not _is_zombie(entry) for entry in os.listdir("/proc"))


def _is_zombie(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
