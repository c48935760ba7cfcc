#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in the guest system of a virtual machine of Parallels Desktop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_exec
short_description: Run a command in the guest of a virtual machine of Parallels Desktop
version_added: 1.0.0
description:
  - Runs a command in the guest system of a running virtual machine, through Parallels Tools, and returns its exit
    code and output. The guest needs neither a network nor an account for that.
  - The command runs as C(NT AUTHORITY\SYSTEM) in Windows and as root in Linux and macOS, unless O(user) or
    O(current_user) is set.
  - The module waits for a guest that is still starting. During that time, a command that Parallels could not start is
    tried again. A command that may have started is never run twice.
  - Each task runs the command itself. It never takes the result of another task with the same options. If such a task
    is still running the same command, this task fails with a message that says so.
  - The module does not start the virtual machine; M(macops.parallels.vm_power) does that.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: partial
    details:
      - As with M(ansible.builtin.command), the command is skipped. With O(creates) or O(removes), the path is checked
        in the guest, and the result is that of a real run.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Idempotent with O(creates) or O(removes), if the command creates or removes that path.
  platform:
    platforms: macos
    support: full
options:
  name:
    description: Name or UUID of the virtual machine.
    type: str
    required: true
  argv:
    description:
      - The program and its arguments, as a list. Either this or O(powershell) is required. Pass secrets in O(stdin),
        because users of the guest can see the arguments in its list of processes.
      - Each argument arrives as it is, with its spaces and quotes. In Windows, it is quoted as the programs of Windows
        expect it. Some, such as C(cmd), read their command line in another way.
      - The command is not run in a shell. If it needs one, name the shell, such as C(cmd), C(/c) in Windows, or C(sh),
        C(-c) in Linux and macOS.
      - The whole list is limited to 30000 bytes in Windows, and to 120000 elsewhere.
    type: list
    elements: str
  powershell:
    description:
      - A script for PowerShell in Windows, run without the user's profile. It may contain several lines, quotes and
        non-ASCII characters.
      - An error ends it with the exit code 1. To end it with another exit code, use C(exit).
      - It is passed in an encoded form, which is longer. The limit is about 11000 characters.
    type: str
  stdin:
    description:
      - Text that the command reads from its standard input, in UTF-8. By default, the input is empty.
      - Use it for secrets. Set C(no_log) on the task as well, so that the text is in no output and no system log. No
        list of processes shows it, on the Mac or in the guest.
      - To run a whole script from it in Linux or macOS, set O(argv) to C(sh) and C(-s). In O(powershell),
        C([Console]::In.ReadLine()) reads a line. Windows PowerShell may read non-ASCII characters in another encoding.
    type: str
  current_user:
    description:
      - Whether to run the command as the user who is signed in at the guest's screen, within that session.
      - The task fails if no user is signed in within O(wait_timeout).
    type: bool
    default: false
  user:
    description:
      - Run the command as this user of the guest.
      - Prefer C(SYSTEM) or O(current_user), because C(prlctl) only takes the password on its command line, where
        other users of the Mac can see it in the list of processes while the command runs.
    type: str
  password:
    description:
      - Password of O(user). It is never shown in a result. It is tried only once, so that the account is not locked.
    type: str
  creates:
    description:
      - Path in the guest. If it exists, the command is not run.
      - It is checked literally, without wildcards and variables, as C(SYSTEM) or root.
    type: str
  removes:
    description: Path in the guest, as with O(creates). If it does not exist, the command is not run.
    type: str
  success_rcs:
    description:
      - The exit codes that mean success. All others fail the task.
      - In Windows, an exit code has 32 bits, with or without a sign. V(-1) and V(4294967295) are the same here.
    type: list
    elements: int
    default: [0]
  timeout:
    description:
      - Timeout for the command, in seconds. After it, the command is ended in the guest, with the processes that it has
        started, and the task fails.
      - Set more than V(600) for a command that may take long, such as installing updates. Then it gets a process of
        its own in the guest, which short commands poll. It does not end when Parallels loses a session, and other
        commands can run in the guest meanwhile. The setting C(pause_idle) of the virtual machine is off until it has
        finished. A command with O(stdin), O(user) or O(current_user) still runs in one session.
    type: int
    default: 600
  wait_timeout:
    description:
      - Seconds to wait for a guest that does not respond yet. V(0) tries once.
    type: int
    default: 120
notes:
  - The guest needs Parallels Tools, and must not be isolated from the Mac.
  - The guest itself reports the exit code and the output. A process that the command leaves running in the background
    does not hold the task up; what it prints later is not in the result.
  - In Linux and macOS, the command has the C(HOME) of its user, the umask 022, and no terminal. The
    environment keeps C(apt) and C(git) from asking questions.
  - Parallels runs only a few commands at a time. The task waits, up to O(wait_timeout), while another command is
    running in the virtual machine, or two on the Mac. While it waits, a line in the output shows the reason.
  - If a run is killed while C(pause_idle) is off, the next task with a long O(timeout), or the next
    M(macops.parallels.vm_generalize), turns it on again.
  - Output that is not in UTF-8 contains replacement characters. Programs in Windows may write non-ASCII characters in
    a code page of their own; O(powershell) writes UTF-8.
  - RV(stdout) and RV(stderr) of a command that succeeded are what the guest has printed. They may contain characters
    that a terminal would obey. Use the filter P(macops.parallels.printable#filter) to show them. If the task fails,
    they are escaped.
seealso:
  - module: macops.parallels.vm_power
  - module: macops.parallels.vm_generalize
author:
  - The macops.parallels developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Install the agent, once
  macops.parallels.vm_exec:
    name: Windows 11
    argv: [msiexec, /i, 'C:\Setup\agent.msi', /qn, /norestart]
    creates: C:\Program Files\Agent\agent.exe
    success_rcs: [0, 3010]
    timeout: 1800

- name: Keep the Store from updating apps for single users, which would make Sysprep fail
  macops.parallels.vm_exec:
    name: Windows 11
    powershell: |
      $key = 'HKLM:\SOFTWARE\Policies\Microsoft\WindowsStore'
      New-Item -Path $key -Force | Out-Null
      Set-ItemProperty -Path $key -Name AutoDownload -Value 2 -Type DWord

- name: Set a password that no list of processes shows
  macops.parallels.vm_exec:
    name: ubuntu
    argv: [chpasswd]
    stdin: "admin:{{ guest_password }}"
  no_log: true

- name: Update a Linux guest
  macops.parallels.vm_exec:
    name: ubuntu
    argv: [env, DEBIAN_FRONTEND=noninteractive, apt-get, dist-upgrade, --yes]
    timeout: 3600

- name: Export the settings of the user who is signed in at the screen
  macops.parallels.vm_exec:
    name: Windows 11
    current_user: true
    argv: [reg, export, HKCU\Software\Example, 'C:\Users\Public\example.reg', /y]
"""

RETURN = r"""
rc:
  description:
    - Exit code of the command. V(0) when it was not run because of O(creates) or O(removes), and in check mode.
    - Also returned when the command failed.
  returned: success, or when the command failed
  type: int
  sample: 0
stdout:
  description:
    - Standard output of the command, without the line break at the end. Only the last 65536 characters of long output.
  returned: success, or when the command failed
  type: str
  sample: Microsoft Windows [Version 10.0.26200.7840]
stderr:
  description: Standard error of the command, as with RV(stdout).
  returned: success, or when the command failed
  type: str
  sample: ""
truncated:
  description: Whether the beginning of RV(stdout) or RV(stderr) was cut off.
  returned: when the command was run
  type: bool
  sample: false
cmd:
  description: The command as it was run on the Mac, without the password.
  returned: when the command was run
  type: list
  elements: str
  sample: [/usr/local/bin/prlctl, exec, de22df32-80e2-4e92-ba4b-efb3a66cf092, cmd, /c, ver]
msg:
  description: Why the command was not run, or why the task failed.
  returned: when the command was not run, and on failure
  type: str
  sample: C:\Program Files\Agent\agent.exe exists, so the command was not run.
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import (
    SYSTEM,
    WINDOWS,
    Guest,
    Login,
    explain_rc,
    powershell,
    refuse_long,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_work import run_long
from ansible_collections.macops.parallels.plugins.module_utils._parallels.idle import kept_running
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import RUNNING, Vm, get_vm

KEPT = 65536
LONG = 600  # seconds: a command that may take longer gets a process of its own in the guest
_ALL_BITS = 0xFFFFFFFF


def execute(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Run the command, or return why it was not run."""
    params = module.params
    argv, login = _command(params), _login(params)
    prl = prlctl_of(module)
    vm = get_vm(prl, params["name"])
    job.subject = vm.name
    if params["powershell"] is not None and vm.family != WINDOWS:
        raise TaskError(f"'{vm.name}' has the system '{vm.os}', which does not support powershell. Use argv.")
    refuse_long(argv, windows=vm.family == WINDOWS)
    guest = Guest(prl, vm, patience=params["wait_timeout"], waits=job.wait)
    if module.check_mode and vm.state != RUNNING:
        return _not_run(f"'{vm.name}' is {vm.state}. In a real run, it must be running at this point.", skipped=True)
    if vm.state != RUNNING and not vm.busy:
        raise TaskError(
            f"'{vm.name}' is {vm.state}, but commands need a running virtual machine. Start it first "
            "(macops.parallels.vm_power with state: running).",
            state=vm.state,
        )
    reason = _reason_not_to_run(guest, params["creates"], params["removes"])
    if reason:
        return _not_run(reason)
    if module.check_mode:
        foreseen = bool(params["creates"] or params["removes"])
        return _not_run("Command would have run if not in check mode.", changed=foreseen, skipped=not foreseen)
    result = _run(guest, vm, argv, login, params["stdin"] or "", params["timeout"])
    shown = _shown(result)
    # Windows shows the codes of errors without a sign, and passes them on with one.
    if result.rc & _ALL_BITS not in {code & _ALL_BITS for code in params["success_rcs"]}:
        raise TaskError(explain_rc(vm, result), **shown)
    return {"changed": True, "failed": False, **shown}  # without "failed", Ansible treats any rc but 0 as a failure


def _run(guest: Guest, vm: Vm, argv: list[str], login: Login, stdin: str, limit: float) -> Result:
    """Run the command; one that may take long, so that it holds no session and Parallels does not pause the VM."""
    if limit <= LONG:
        return guest.run(argv, login=login, limit=limit, stdin=stdin)
    with kept_running(guest.prl, vm):
        # What it reads would have to be in a file in the guest, and a user's password on many command lines.
        if stdin or login != SYSTEM:
            return guest.run(argv, login=login, limit=limit, stdin=stdin)
        return run_long(guest, argv, limit=limit)


def _command(params: dict[str, Any]) -> list[str]:
    if params["powershell"] is not None:
        if not params["powershell"].strip():
            raise TaskError("powershell is empty. Set it to the script, or use argv.")
        return powershell(params["powershell"])
    if not params["argv"] or not params["argv"][0].strip():
        raise TaskError("argv is empty. Set its first element to the program to run.")
    return params["argv"]


def _login(params: dict[str, Any]) -> Login:
    if params["current_user"] and params["user"]:
        raise TaskError("user and current_user exclude each other. Set only one of them.")
    return Login(params["user"] or "", params["password"] or "", params["current_user"])


def _reason_not_to_run(guest: Guest, creates: Optional[str], removes: Optional[str]) -> str:
    if creates and guest.exists(creates):
        return f"{creates} exists, so the command was not run."
    if removes and not guest.exists(removes):
        return f"{removes} does not exist, so the command was not run."
    return ""


def _not_run(reason: str, *, changed: bool = False, skipped: bool = False) -> dict[str, Any]:
    result = {"changed": changed, "rc": 0, "stdout": "", "stderr": "", "msg": reason}
    return {**result, "skipped": True} if skipped else result


def _shown(result: Result) -> dict[str, Any]:
    stdout, stderr = result.stdout.rstrip("\r\n"), result.stderr.rstrip("\r\n")
    return {
        "cmd": result.cmd,
        "rc": result.rc,
        "stdout": stdout[-KEPT:],
        "stderr": stderr[-KEPT:],
        "truncated": max(len(stdout), len(stderr)) > KEPT,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "argv": {"type": "list", "elements": "str"},
            "powershell": {"type": "str"},
            "stdin": {"type": "str"},
            "current_user": {"type": "bool", "default": False},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "creates": {"type": "str"},
            "removes": {"type": "str"},
            "success_rcs": {"type": "list", "elements": "int", "default": [0]},
            "timeout": {"type": "int", "default": 600},
            "wait_timeout": {"type": "int", "default": 120},
            "executable": {"type": "path"},
        },
        mutually_exclusive=[("argv", "powershell")],
        required_one_of=[("argv", "powershell")],
        required_together=[("user", "password")],
        supports_check_mode=True,
    )
    # Two equal commands are two commands: one task must never take the result of another's.
    run_long_module(module, execute, joins=False)


if __name__ == "__main__":
    main()
