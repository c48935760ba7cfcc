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
    code and output. The guest needs no network and no account for that.
  - The command runs as C(NT AUTHORITY\SYSTEM) in Windows and as root in Linux and macOS, unless O(user) or
    O(current_user) say otherwise.
  - A guest that is still starting is waited for. A command that Parallels could not begin is tried again for as long;
    one that may have begun is never run twice.
  - The virtual machine is not started; M(macops.parallels.vm_power) does that.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_parallels
  - macops.parallels._parallels
  - macops.parallels._long_work
attributes:
  check_mode:
    support: partial
    details:
      - As with M(ansible.builtin.command), the command is skipped. With O(creates) or O(removes), the guest is looked
        into, and the result is the one that a real run would have.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - With O(creates) or O(removes) it is, as far as the command makes or removes that path.
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
      - The program and its arguments, as a list. Either this or O(powershell) is required.
      - There is no shell in between. For what needs one, name it, such as C(cmd), C(/c) in Windows.
      - Parallels joins the list with spaces, and the guest splits it again. So an argument that has a space arrives
        as two, unless it has quotes of its own, and how the guest reads those is up to its system. O(powershell) has
        no such trouble.
      - All together, with the spaces in between, may not be more than 3800 bytes, because Parallels hangs for ever on
        more.
    type: list
    elements: str
  powershell:
    description:
      - A script for PowerShell in Windows, run without the user's profile. It may have several lines, quotes and
        umlauts.
      - An error ends it with the exit code 1. To end it with another one, use C(exit).
      - It is handed over in an encoded form, which makes it longer. Some 1200 characters are the most.
    type: str
  current_user:
    description:
      - Whether to run the command as the user who is signed in at the guest's screen, within that session.
      - That nobody is signed in within O(wait_timeout) is an error.
    type: bool
    default: false
  user:
    description:
      - Run the command as this user of the guest.
      - Prefer C(SYSTEM) or O(current_user), because C(prlctl) takes the password on its command line only, where
        other users of the Mac can see it in the list of processes while the command runs.
    type: str
  password:
    description:
      - Password of O(user). It never shows in a result. It is tried once only, so that the account does not get
        locked.
    type: str
  creates:
    description:
      - Path in the guest. When it is there, the command is not run.
      - It is looked for as it stands, without wildcards and variables, as C(SYSTEM) or root. In Linux and macOS it
        may have no spaces and quotes.
    type: str
  removes:
    description: Path in the guest, as with O(creates). When it is not there, the command is not run.
    type: str
  success_rcs:
    description:
      - The exit codes that are a success. All others fail the task.
      - C(prlctl) passes on the last eight bits only, so that V(3010) of C(msiexec) arrives as V(194). Such numbers
        may be given either way.
    type: list
    elements: int
    default: [0]
  timeout:
    description:
      - Seconds that the command may take. Then C(prlctl) is ended and the task fails; the program may go on in the
        guest.
    type: int
    default: 600
  wait_timeout:
    description:
      - Seconds to wait for a guest that does not answer yet. V(0) asks it once.
    type: int
    default: 120
notes:
  - The guest needs Parallels Tools, and must not be isolated from the Mac.
  - The exit code 255 may come from the guest's program or from C(prlctl). It is taken for that of C(prlctl) when what
    came with it is one of its own messages, and then the task fails whatever O(success_rcs) says.
  - Output that is not in UTF-8 has replacement characters. C(cmd) in Windows writes umlauts in its own code page;
    O(powershell) writes UTF-8.
  - Linux and macOS guests may lose the first output of a command; the exit code is reliable.
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

- name: Keep the Store from updating apps for single users, which would stop Sysprep
  macops.parallels.vm_exec:
    name: Windows 11
    powershell: |
      $key = 'HKLM:\SOFTWARE\Policies\Microsoft\WindowsStore'
      New-Item -Path $key -Force | Out-Null
      Set-ItemProperty -Path $key -Name AutoDownload -Value 2 -Type DWord

- name: Update a Linux guest
  macops.parallels.vm_exec:
    name: ubuntu
    argv: [env, DEBIAN_FRONTEND=noninteractive, apt-get, dist-upgrade, --yes]
    timeout: 3600

- name: Take the user's own settings, as the user at the screen
  macops.parallels.vm_exec:
    name: Windows 11
    current_user: true
    argv: [reg, export, HKCU\Software\Example, 'C:\Users\Public\example.reg', /y]
"""

RETURN = r"""
rc:
  description:
    - Exit code of the command, of which only the last eight bits arrive; V(0) when it was not run because of
      O(creates) or O(removes), and in check mode.
    - Also of one that failed.
  returned: success, or when the command failed
  type: int
  sample: 0
stdout:
  description:
    - What the command wrote to its standard output, without the line break at the end. Of long output the last 65536
      characters.
  returned: success, or when the command failed
  type: str
  sample: Microsoft Windows [Version 10.0.26200.7840]
stderr:
  description: What it wrote to its standard error, as with RV(stdout).
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
  sample: C:\Program Files\Agent\agent.exe is there, so the command was not run.
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import prlctl_of, run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import (
    Guest,
    Login,
    explain_rc,
    powershell,
    refuse_long,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import RUNNING, get_vm

KEPT = 65536


def execute(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Run the command, or say why not."""
    params = module.params
    argv, login = _command(params), _login(params)
    refuse_long(argv)
    prl = prlctl_of(module)
    vm = get_vm(prl, params["name"])
    job.subject = vm.name
    if params["powershell"] is not None and vm.family != "windows":
        raise TaskError(f"'{vm.name}' has the system '{vm.os}', which knows no powershell. Use argv.")
    guest = Guest(prl, vm, patience=params["wait_timeout"])
    if module.check_mode and vm.state != RUNNING:
        return _not_run(f"'{vm.name}' is {vm.state}. In a real run it would have to be running by now.", skipped=True)
    reason = _reason_not_to_run(guest, params["creates"], params["removes"])
    if reason:
        return _not_run(reason)
    if module.check_mode:
        foreseen = bool(params["creates"] or params["removes"])
        return _not_run("Command would have run if not in check mode.", changed=foreseen, skipped=not foreseen)
    result = guest.run(argv, login=login, limit=params["timeout"])
    shown = _shown(result)
    if result.rc not in {code & 0xFF for code in params["success_rcs"]}:
        raise TaskError(explain_rc(vm, result), **shown)
    return {"changed": True, "failed": False, **shown}  # without a word, Ansible takes any rc but 0 for a failure


def _command(params: dict[str, Any]) -> list[str]:
    if params["powershell"] is not None:
        if not params["powershell"].strip():
            raise TaskError("powershell is empty. Give the script, or use argv.")
        return powershell(params["powershell"])
    if not params["argv"] or not params["argv"][0].strip():
        raise TaskError("argv is empty. Its first element is the program to run.")
    return params["argv"]


def _login(params: dict[str, Any]) -> Login:
    if params["current_user"] and params["user"]:
        raise TaskError("user and current_user say two different things. Give one of them.")
    return Login(params["user"] or "", params["password"] or "", params["current_user"])


def _reason_not_to_run(guest: Guest, creates: Optional[str], removes: Optional[str]) -> str:
    if creates and guest.exists(creates):
        return f"{creates} is there, so the command was not run."
    if removes and not guest.exists(removes):
        return f"{removes} is not there, so the command was not run."
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
    run_long_module(module, execute)


if __name__ == "__main__":
    main()
