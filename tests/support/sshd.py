# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenSSH server on a free port, through which Ansible reaches the user of a build Mac."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from support.account import MAC_PATH, Account

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
AllowUsers {user}
AuthenticationMethods publickey
UsePAM no
StrictModes no
MaxSessions 100
MaxStartups 100
PrintMotd no
LogLevel VERBOSE
SetEnv PATH={path} HOME={home}
Subsystem sftp internal-sftp
"""


@dataclasses.dataclass
class SshServer:
    """A running server, and what an inventory says to reach it."""

    account: Account
    port: int
    folder: pathlib.Path
    _program: str
    _process: subprocess.Popen[bytes]

    @property
    def host_vars(self) -> dict[str, Any]:
        """Return the variables of a host for an inventory."""
        options = {
            "UserKnownHostsFile": self.folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
        }
        return {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": self.account.name,
            "ansible_ssh_private_key_file": str(self.folder / "client_key"),
            "ansible_ssh_common_args": " ".join(
                ["-F /dev/null", *(f"-o {name}={value}" for name, value in options.items())]
            ),
            "ansible_ssh_pipelining": True,
            "ansible_python_interpreter": str(self.account.python),
        }

    def sessions(self) -> list[int]:
        """Return the process ids of the connections there are."""
        return [pid for pid, parent in _parents().items() if parent == self._process.pid]

    def drop(self) -> None:
        """Kill all connections, as a network does that goes away."""
        for pid in self._tree():
            _signal(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing through, in either direction, while the body runs; no connection ends."""
        stopped = [self._process.pid, *self._tree()]
        for pid in stopped:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                _signal(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Have no server while the body runs, and then a new one on the same port."""
        connections = self._tree()  # whose parents are another one's children when that is gone
        self._process.kill()
        self._process.wait()
        for pid in connections:
            _signal(pid, signal.SIGKILL)
        try:
            yield
        finally:
            self._process = _run(self._program, self.folder)
            assert _answers(self._process, self.port), "sshd did not start again"

    def _tree(self) -> list[int]:
        """Return the server's own processes of all connections, not what runs in them."""
        parents = _parents()
        monitors = [pid for pid, parent in parents.items() if parent == self._process.pid]
        children = [pid for pid, parent in parents.items() if parent in monitors]
        return [*monitors, *(pid for pid in children if _program_of(pid).startswith("sshd"))]


@contextlib.contextmanager
def ssh_server(account: Account) -> Iterator[SshServer]:
    """Run a server that lets this account in, by key."""
    program = shutil.which(
        "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    )
    assert program, "sshd is missing: install the package openssh-server"
    folder = account.base / "sshd"
    folder.mkdir(mode=0o755)
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
    (folder / "authorized_keys").chmod(0o644)
    if os.geteuid() == 0:
        # Where sshd locks up its processes before the login; Debian's service makes it at boot.
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process, port = _start(program, folder, account)
    server = SshServer(account, port, folder, program, process)
    try:
        yield server
    finally:
        server._process.terminate()
        server._process.wait(timeout=10)


def _start(program: str, folder: pathlib.Path, account: Account) -> tuple[subprocess.Popen[bytes], int]:
    """Start on a free port; another program may take it first, so try more than once."""
    log = folder / "log"
    for _attempt in range(5):
        port = _free_port()
        (folder / "config").write_text(
            CONFIG.format(port=port, folder=folder, user=account.name, path=MAC_PATH, home=account.home)
        )
        key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
        process = _run(program, folder)
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
    raise AssertionError(f"sshd did not start: {log.read_text()}")


def _run(program: str, folder: pathlib.Path) -> subprocess.Popen[bytes]:
    command = [program, "-D", "-e", "-f", str(folder / "config")]
    with (folder / "log").open("ab") as stderr:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)


def _parents() -> dict[int, int]:
    """Return the parent of every process."""
    parents = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (entry / "stat").read_text(errors="replace")
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    return parents


def _program_of(pid: int) -> str:
    try:
        return pathlib.Path("/proc", str(pid), "comm").read_text().strip()
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
        time.sleep(0.05)
    return False
