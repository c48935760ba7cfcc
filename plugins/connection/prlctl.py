# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs tasks in the guest of a virtual machine, through SSH to its Mac and Parallels Tools."""

from __future__ import annotations

DOCUMENTATION = r"""
name: prlctl
short_description: Run tasks in the guest of a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Makes a running virtual machine an Ansible host. Commands and files go over SSH to the Mac, and from there through
    C(prlctl exec) and Parallels Tools into the guest. The guest needs neither a network nor an SSH server.
  - The variables of the way to the Mac are those of the P(ansible.builtin.ssh#connection) connection, such as
    C(ansible_host), C(ansible_user), C(ansible_ssh_private_key_file) and C(ansible_ssh_common_args). All of them work.
  - C(ansible_python_interpreter) and C(ansible_become) are about the guest. In Linux and macOS, tasks run as root,
    in Windows as C(NT AUTHORITY\SYSTEM), unless O(guest_user) or O(current_user) says otherwise.
  - For a Windows guest, set C(ansible_shell_type) to V(powershell).
  - A command that has certainly not begun is tried again, for O(wait_timeout). One that may have begun is never run
    again. The host is unreachable then.
author:
  - The macops.parallels developers (!UNKNOWN)
options:
  remote_addr:
    description: Address of the Mac.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
  vm:
    description:
      - Name or UUID of the virtual machine. With the UUID, each task is a little faster.
    type: str
    required: true
    vars:
      - name: ansible_prlctl_vm
  transport:
    description:
      - How to reach the Mac. Use V(local) when the controller is the Mac.
    type: str
    choices: [ssh, local]
    default: ssh
    vars:
      - name: ansible_prlctl_transport
  guest_user:
    description:
      - User of the guest. By default, it is the one that Parallels uses, which is root or C(SYSTEM). No password is
        needed for that.
      - Prefer the default, with C(ansible_become) for tasks as another user. C(prlctl) takes the password only on its
        command line, where all users of the Mac can see it in the list of processes while a task runs.
    type: str
    default: root
    vars:
      - name: ansible_prlctl_user
  guest_password:
    description:
      - Password of O(guest_user). If it is wrong, it is tried only once for each task, so that the account is not
        locked.
    type: str
    vars:
      - name: ansible_prlctl_password
  current_user:
    description: Whether to run as the user who is signed in at the guest's screen, within that session.
    type: bool
    default: false
    vars:
      - name: ansible_prlctl_current_user
  executable:
    description:
      - Path of C(prlctl) on the Mac. By default, it is searched for on PATH, in C(/usr/local/bin), and in the
        application.
    type: str
    default: ''
    vars:
      - name: ansible_prlctl_executable
  python:
    description: Python 3.9 or later on the Mac.
    type: str
    default: python3
    vars:
      - name: ansible_prlctl_python
  run_as:
    description:
      - Become this user on the Mac first, with C(sudo). Use it when the virtual machine belongs to another user than
        the one that Ansible logs in as. C(sudo) must not ask for a password.
      - C(ansible_become) is about the guest.
    type: str
    default: ''
    vars:
      - name: ansible_prlctl_become_user
  wait_timeout:
    description: Seconds to wait for a guest that does not respond yet. V(0) tries once.
    type: float
    default: 120
    vars:
      - name: ansible_prlctl_wait_timeout
  vm_sessions:
    description: How many commands may run in the virtual machine at a time. Some guests take only one.
    type: int
    default: 1
    vars:
      - name: ansible_prlctl_vm_sessions
  mac_sessions:
    description:
      - How many commands may run in all virtual machines of the Mac at a time. Parallels refuses sign-ins if there are
        many.
    type: int
    default: 2
    vars:
      - name: ansible_prlctl_mac_sessions
  pipelining:
    description: Whether modules are passed to the guest without a temporary file. It takes fewer commands.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
      - name: ansible_prlctl_pipelining
notes:
  - The guest needs Parallels Tools, and must not be isolated from the Mac.
  - Linux and macOS guests need Python for most modules, as every Ansible host does. macOS has none by default.
  - Commands that run for long keep others from the virtual machine. Use C(async) for them.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import IO, Any, Callable, Optional

from ansible.errors import (
    AnsibleAuthenticationFailure,
    AnsibleConnectionFailure,
    AnsibleError,
    AnsibleFileNotFound,
)
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader, shell_loader
from ansible.utils.display import Display
from ansible_collections.macops.parallels.plugins.module_utils._common.text import printable_message
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_relay import (
    FAILED,
    LOST,
    OK,
    REFUSED,
    WAIT,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.on_mac import MARK
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import bare_uuid
from ansible_collections.macops.parallels.plugins.plugin_utils._clixml import plain_errors
from ansible_collections.macops.parallels.plugins.plugin_utils._mac_program import command_line, opening, program_of
from ansible_collections.macops.parallels.plugins.plugin_utils._show import show_line

display = Display()

_RELAY = "_parallels.guest_relay"
_DEFAULT_USER = "root"
# Seconds for which the Mac waits for a guest before it reports why, so that the reason can be shown.
_PART_OF_WAIT = 10.0
_PIECE = 1 << 18
# What the shell plugin for PowerShell makes of a module, since ansible-core 2.21 with the base64 in quotes.
_STARTS_POWERSHELL = re.compile(r"\s*(powershell|pwsh)(\.exe)?\s[^|]*-EncodedCommand\s+\S+[^|]*$", re.IGNORECASE)
_QUOTED_BASE64 = re.compile(r"(?<=\s)'([A-Za-z0-9+/=]+)'")
_POWERSHELL = b"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand "
# As the other connections to Windows do it.
_KEEP_CODE = "\nif (-not $?) { if (Test-Path variable:LASTEXITCODE) { exit $LASTEXITCODE } else { exit 1 } }\n"
_UNREADABLE = {
    "folder": "it is a folder",
    "missing": "there is none",
    "unreadable": "it cannot be read",
}


class _NoStream(Exception):
    """The Mac cannot be reached by an SSH connection that exists already."""


class Connection(ConnectionBase):
    """The guest of a virtual machine."""

    transport = "macops.parallels.prlctl"
    has_pipelining = True

    def __init__(self, play_context: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(play_context, *args, **kwargs)
        self._uuid = ""
        self._reason = ""
        self._windows = bool(getattr(self._shell, "_IS_WINDOWS", False))
        if self._windows:
            self.module_implementation_preferences = (".ps1", ".exe", "")
            self.allow_executable = False
            # For ansible-core before 2.19; newer ones ask is_pipelining_enabled.
            self.has_native_async = True
            self.always_pipeline_modules = True
        # Ansible sets the options of the plugin with this name from the host's variables. Its shell is that of the Mac,
        # whatever the guest's is.
        inner = {name: kwargs[name] for name in ("task_uuid", "ansible_playbook_pid") if name in kwargs}
        self.ssh_type_conn = connection_loader.get(
            "ansible.builtin.ssh", play_context, None, shell=shell_loader.get("sh"), **inner
        )

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def get_option(self, option: str, hostvars: Optional[dict[str, Any]] = None) -> Any:
        """Return an option. Actions ask for the user whose files they make.

        No option has the name of a keyword, such as remote_user: those and the command line's are for the Mac.
        """
        return super().get_option("guest_user" if option == "remote_user" else option, hostvars)

    def is_pipelining_enabled(self, wrap_async: bool = False) -> bool:
        """Return whether modules come on standard input."""
        return True if self._windows else bool(super().is_pipelining_enabled(wrap_async))

    def exec_command(
        self, cmd: str | bytes, in_data: Optional[bytes] = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run a command in the guest."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"PRLCTL EXEC {cmd!r}", host=self._host)
        data = in_data or b""
        order = self._order(self._line(cmd), size=len(data), become=self._escalation() if sudoable else {})
        head, rest = self._ask(order, lambda: data)
        code, out = int(head["rc"]), int(head["stdout"])
        stdout, stderr = rest[:out], rest[out : out + int(head["stderr"])]
        if len(stdout) != out or len(stderr) != int(head["stderr"]):
            raise AnsibleConnectionFailure(self._broken_off("The output of a command"))
        if code and sudoable:
            self._refuse_wrong_become(stdout + stderr)
        return code, stdout, plain_errors(stderr) if self._windows else stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a file in the guest, and verify it there."""
        super().put_file(in_path, out_path)
        display.vvv(f"PRLCTL PUT {in_path} TO {out_path}", host=self._host)
        if not os.path.exists(_bytes(in_path)):
            raise AnsibleFileNotFound(f"There is no file {in_path} on the controller.")
        with open(_bytes(in_path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            order = self._order(self._path(out_path), size=size, store=True)
            sent, (head, rest) = self._put(order, file, size)
        answer = rest.decode("ascii", "replace").split()
        if head["rc"] != 0:
            said = rest[int(head["stdout"]) :].decode("utf-8", "replace").strip()
            raise AnsibleError(printable_message(f"The file {out_path} could not be written in the guest: {said}"))
        if not answer or answer[0] != sent:
            found = answer[0] if answer and answer[0] != "-" else "unknown (the guest has no sha256sum)"
            raise AnsibleError(
                f"The file {out_path} did not arrive in the guest as it was sent: its SHA-256 is {found}, not {sent}. "
                "Run again."
            )

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Read a file from the guest, and verify it."""
        super().fetch_file(in_path, out_path)
        display.vvv(f"PRLCTL FETCH {in_path} TO {out_path}", host=self._host)
        order = self._order(self._path(in_path), fetch=True)
        with open(_bytes(out_path), "wb") as file:
            self._fetch(order, in_path, file)

    def reset(self) -> None:
        """Forget the connection to the Mac. Nothing is kept open in the guest."""
        if not self._local:
            self.ssh_type_conn.reset()
        self.close()

    def close(self) -> None:
        """Do nothing in the guest: it may be gone."""
        self._connected = False
        self._reason = ""

    @property
    def _host(self) -> str:
        return str(self._play_context.remote_addr)

    @property
    def _local(self) -> bool:
        return bool(self.get_option("transport") == "local")

    def _line(self, cmd: str | bytes) -> bytes:
        """Return the command line for the guest.

        In Windows, that of a module starts PowerShell itself. Others are PowerShell, such as those of
        M(ansible.builtin.raw).
        """
        if not self._windows:
            return _bytes(cmd)
        text = _bytes(cmd).decode("utf-8", "surrogateescape")
        if _STARTS_POWERSHELL.match(text):
            return _bytes(_QUOTED_BASE64.sub(r"\1", text))
        encoded = base64.b64encode((text + _KEEP_CODE).encode("utf-16-le", "surrogatepass")).decode()
        return _POWERSHELL + encoded.encode()

    def _path(self, path: str) -> bytes:
        return _bytes(self._shell._unquote(path) if self._windows else path)

    def _order(self, line: bytes, **options: Any) -> dict[str, Any]:
        """Return what is sent to the Mac; see module_utils._parallels.guest_relay."""
        user, password = self.get_option("guest_user") or _DEFAULT_USER, self.get_option("guest_password") or ""
        login: dict[str, Any] = {}
        if self.get_option("current_user"):
            login = {"current_user": True}
        elif user != _DEFAULT_USER or password:
            login = {"user": user, "password": password}
        return {
            "executable": self.get_option("executable"),
            "vm": self.get_option("vm"),
            "uuid": self._uuid or bare_uuid(self.get_option("vm")),
            "family": "windows" if self._windows else "linux",
            "limits": {"of_vm": self.get_option("vm_sessions"), "of_mac": self.get_option("mac_sessions")},
            "login": login,
            "line": base64.b64encode(line).decode(),
            "size": 0,
            "limit": None,
            "fetch": False,
            "store": False,
            "become": {},
            "once": "",
            **options,
        }

    def _escalation(self) -> dict[str, str]:
        """Return how to answer the prompt of sudo and the like, where a password is given."""
        if self._windows or self.become is None or not self.become.expect_prompt():
            return {}
        password = self.become.get_option("become_pass", playcontext=self._play_context)
        prompt = self.become.prompt
        return {
            "password": password or "",
            "prompt": prompt if isinstance(prompt, str) else ":",
            "granted": self.become.success or "",
        }

    def _refuse_wrong_become(self, said: bytes) -> None:
        if self.become is None or self._windows:
            return
        if self.become.success and self.become.success.encode() in said:
            return
        if self.become.check_incorrect_password(said):
            raise AnsibleError(f"Incorrect {self.become.name} password")
        if self.become.check_missing_password(said):
            raise AnsibleError(f"Missing {self.become.name} password")

    def _ask(self, order: dict[str, Any], data: Callable[[], bytes]) -> tuple[dict[str, Any], bytes]:
        """Have an order carried out, and return the first line of the answer and what follows it.

        C(data) returns what the command reads. It is called again when the guest has not taken the command.
        """
        return self._until_taken(order, lambda text: self._parsed(self._through_mac(text, data())))

    def _until_taken(
        self, order: dict[str, Any], attempt: Callable[[bytes], tuple[dict[str, Any], Any]]
    ) -> tuple[dict[str, Any], Any]:
        """Make attempts until the guest has taken the command, and say why that takes time."""
        end = time.monotonic() + self.get_option("wait_timeout")
        while True:
            order["patience"] = max(min(end - time.monotonic(), _PART_OF_WAIT), 0)
            head, rest = attempt(json.dumps(order).encode())
            status = head.get("status")
            if status == OK:
                self._uuid = order["uuid"] = head["uuid"]
                return head, rest
            if status == WAIT and time.monotonic() < end:
                self._say(str(head.get("why", "")))
                continue
            self._raise(head)

    def _raise(self, head: dict[str, Any]) -> None:
        message = str(head.get("msg", ""))
        if head.get("status") == WAIT:
            seconds = self.get_option("wait_timeout")
            message = f"The guest did not take a command within {seconds:.0f} seconds. {head.get('why', '')}"
        if head.get("reason") == "wrong_login":
            raise AnsibleAuthenticationFailure(printable_message(message))
        if head.get("status") in (WAIT, REFUSED, LOST, FAILED):
            raise AnsibleConnectionFailure(printable_message(message))
        raise AnsibleConnectionFailure(self._broken_off("An answer"))

    def _say(self, reason: str) -> None:
        if reason and reason != self._reason:
            show_line(f"  [{self._host}] {reason}")
        self._reason = reason

    # --- the way to the Mac

    def _through_mac(self, order: bytes, data: bytes) -> bytes:
        """Return the answer of the Mac to an order with its data, all of it in memory."""
        if self._local:
            return self._locally(order, data)
        once = json.loads(order)
        if self.ssh_type_conn.get_option("reconnection_retries"):
            # The ssh plugin repeats a command whose connection was lost. The Mac refuses the second one.
            order = json.dumps({**once, "once": secrets.token_hex(16)}).encode()
        command = self._mac_command()
        try:
            code, stdout, stderr = self.ssh_type_conn.exec_command(
                command, in_data=opening(program_of(_RELAY), order) + data, sudoable=False
            )
        except AnsibleAuthenticationFailure:
            raise
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(
                printable_message(f"The Mac {self._host} cannot be reached, or the connection to it was lost. {error}")
            ) from None
        return self._answer_of(code, stdout, stderr)

    def _locally(self, order: bytes, data: bytes) -> bytes:
        done = subprocess.run(
            shlex.split(self._mac_command()),
            input=opening(program_of(_RELAY), order) + data,
            capture_output=True,
            check=False,
        )
        return self._answer_of(done.returncode, done.stdout, done.stderr)

    def _mac_command(self) -> str:
        return command_line(self.get_option("python"), self.get_option("run_as"))

    def _answer_of(self, code: int, stdout: bytes, stderr: bytes) -> bytes:
        """Return the answer, without what a login on the Mac prints before it."""
        start = stdout.find(MARK.encode())
        if start >= 0:
            return stdout[start:]
        said = (stderr or stdout).decode("utf-8", "replace").strip()[-1000:]
        raise AnsibleConnectionFailure(
            printable_message(
                f"The Mac {self._host} did not carry out the order (exit code {code}). {said} Check that it has "
                "Python 3.9 or later (ansible_prlctl_python), and that sudo asks for no password if "
                "ansible_prlctl_become_user is set."
            )
        )

    def _parsed(self, answer: bytes) -> tuple[dict[str, Any], bytes]:
        line, _newline, rest = answer.partition(b"\n")
        try:
            return json.loads(line[len(MARK) :]), rest
        except ValueError as error:
            raise AnsibleConnectionFailure(self._broken_off("An answer")) from error

    def _broken_off(self, what: str) -> str:
        return (
            f"{what} of the guest did not arrive whole from the Mac {self._host}. Check the connection, then run again."
        )

    # --- files, which are not read into memory

    def _put(self, order: dict[str, Any], file: IO[bytes], size: int) -> tuple[str, tuple[dict[str, Any], bytes]]:
        """Send a file; return its SHA-256, and the answer."""
        digest = ""

        def attempt(text: bytes) -> tuple[dict[str, Any], bytes]:
            nonlocal digest
            with contextlib.suppress(_NoStream), self._stream() as process:
                digest = _send(process, opening(program_of(_RELAY), text), file, size)
                return self._parsed(self._answer_of(*_finish(process)))
            file.seek(0)
            data = file.read(size)
            digest = hashlib.sha256(data).hexdigest()
            return self._parsed(self._through_mac(text, data))

        answer = self._until_taken(order, attempt)
        return digest, answer

    def _fetch(self, order: dict[str, Any], path: str, file: IO[bytes]) -> None:
        def attempt(text: bytes) -> tuple[dict[str, Any], bytes]:
            file.seek(0)
            file.truncate()
            with contextlib.suppress(_NoStream), self._stream() as process:
                return self._receive(process, opening(program_of(_RELAY), text), path, file)
            head, rest = self._parsed(self._through_mac(text, b""))
            if head.get("status") == OK:
                self._refuse_unreadable(head, path)
                file.write(rest[: head["size"]])
                self._verify(rest[head["size"] :], hashlib.sha256(rest[: head["size"]]).hexdigest(), path)
            return head, b""

        self._until_taken(order, attempt)

    def _receive(
        self, process: subprocess.Popen[bytes], order: bytes, path: str, file: IO[bytes]
    ) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(order)
            process.stdin.flush()
        first = b""
        for line in process.stdout:
            if MARK.encode() in line:
                first = line
                break
        if not first:
            code, stdout, stderr = _finish(process)
            _refuse_no_stream(code)
            self._answer_of(code, stdout, stderr)
        head, _rest = self._parsed(first[first.find(MARK.encode()) :])
        if head.get("status") != OK:
            return head, b""
        self._refuse_unreadable(head, path)
        left, digest, piece = int(head["size"]), hashlib.sha256(), b""
        while left:
            before, piece = piece, process.stdout.read(min(left, _PIECE))
            if not piece:
                self._raise_late(before, path)
            digest.update(piece)
            file.write(piece)
            left -= len(piece)
        self._verify(process.stdout.read(), digest.hexdigest(), path)
        return head, b""

    def _raise_late(self, end: bytes, path: str) -> None:
        """Raise the error of a file that broke off in the middle: the Mac may have sent it as the last line."""
        start = end.rfind(MARK.encode())
        if start >= 0:
            self._raise(self._parsed(end[start:])[0])
        raise AnsibleConnectionFailure(self._broken_off(f"The file {path}"))

    def _refuse_unreadable(self, head: dict[str, Any], path: str) -> None:
        if "refused" in head:
            why = _UNREADABLE.get(head["refused"], "it cannot be read")
            raise AnsibleError(f"The file {path} cannot be fetched from the guest: {why}.")

    def _verify(self, tail: bytes, digest: str, path: str) -> None:
        end, _rest = self._parsed(tail)
        if end.get("sha256") != digest:
            raise AnsibleError(
                f"The file {path} did not arrive from the guest as it is there (SHA-256). It may have changed "
                "meanwhile. Run again."
            )

    @contextlib.contextmanager
    def _stream(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the program on the Mac, beside an SSH connection that exists. Raises _NoStream where there is none."""
        if self._local:
            command: list[Any] = shlex.split(self._mac_command())
        else:
            command = self._ssh_command()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield process
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            if process.poll() is None:
                process.kill()
                process.wait()

    def _ssh_command(self) -> list[bytes]:
        """Return the command of the ssh plugin, for a connection that needs no password (any more)."""
        inner = self.ssh_type_conn
        program = inner.get_option("ssh_executable")
        host = inner.get_option("host") or self._play_context.remote_addr
        command = [_bytes(word) for word in inner._build_command(program, "ssh", host, self._mac_command())]
        if getattr(inner, "sshpass_pipe", None):  # ansible-core before 2.21 prepares it here
            for descriptor in inner.sshpass_pipe:
                os.close(descriptor)
            inner.sshpass_pipe = None
        start = command.index(_bytes(program))
        # Not as the connection that others use, which would keep standard error open.
        return [command[start], b"-o", b"BatchMode=yes", b"-o", b"ControlMaster=no", *command[start + 1 :]]


def _send(process: subprocess.Popen[bytes], order: bytes, file: IO[bytes], size: int) -> str:
    """Write an order and a file to the Mac, and return the file's SHA-256."""
    assert process.stdin is not None
    digest = hashlib.sha256()
    file.seek(0)
    left = size
    try:
        process.stdin.write(order)
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise AnsibleError(f"The file {file.name} became shorter while it was sent.")
            digest.update(piece)
            process.stdin.write(piece)
            left -= len(piece)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # the answer says why
    return digest.hexdigest()


def _finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Return the exit code and the output of a process."""
    stdout, stderr = process.communicate()
    _refuse_no_stream(process.returncode)
    return process.returncode, stdout, stderr


def _refuse_no_stream(code: int) -> None:
    if code == 255:  # that of ssh itself, because the program on the Mac never uses it
        raise _NoStream


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
