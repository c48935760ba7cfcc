# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a guest: prlctl exec."""

from __future__ import annotations

import base64

import pytest
from simulator_harness import SimulatedMac


@pytest.fixture
def windows(mac: SimulatedMac) -> SimulatedMac:
    mac.vm("w", state="running")
    return mac


@pytest.fixture
def linux(mac: SimulatedMac) -> SimulatedMac:
    mac.vm("l", os="ubuntu", state="running")
    return mac


@pytest.mark.parametrize("rc", [0, 1, 3, 7])
def test_exit_codes_of_windows(windows: SimulatedMac, rc: int) -> None:
    assert windows.prlctl("exec", "w", "cmd", "/c", "exit", str(rc)) == (rc, "", "")
    assert windows.prlctl("exec", "w", "cmd.exe", "/c", f"exit /b {rc}").rc == rc
    assert windows.prlctl("exec", "w", "powershell", "-Command", f"exit {rc}").rc == rc
    encoded = base64.b64encode(f"exit {rc}".encode("utf-16-le")).decode()
    assert windows.prlctl("exec", "w", "powershell.exe", "-NoProfile", "-EncodedCommand", encoded).rc == rc


def test_output_of_windows(windows: SimulatedMac) -> None:
    assert windows.ok("exec", "w", "cmd", "/c", "echo", "hello") == "hello \r\n"
    assert "Microsoft Windows" in windows.ok("exec", "w", "cmd", "/c", "ver")
    assert windows.ok("exec", "w", "whoami") == "nt authority\\system\r\n"
    assert "admin" in windows.ok("exec", "w", "--current-user", "whoami")
    assert "admin" in windows.ok("exec", "w", "--current-user", "cmd", "/c", "whoami")
    unknown = windows.prlctl("exec", "w", "frobnicate")
    assert (unknown.rc, unknown.out, "is not recognized" in unknown.err) == (1, "", True)


def test_one_string_is_no_command_line(windows: SimulatedMac) -> None:
    assert windows.prlctl("exec", "w", "cmd.exe /c ver") == (2, "", "")


def test_options_before_the_name_are_looked_for_as_a_name(windows: SimulatedMac, messages: dict[str, str]) -> None:
    assert windows.prlctl("exec", "--current-user", "w", "whoami") == (255, "", messages["not_found"])


def test_files_of_windows(windows: SimulatedMac) -> None:
    check = ("exec", "w", "cmd", "/c", 'if exist "C:\\done.txt" (exit 0) else (exit 1)')
    assert windows.prlctl(*check).rc == 1
    windows.ok("exec", "w", "cmd", "/c", "echo yes > C:\\done.txt")
    assert windows.prlctl(*check).rc == 0
    assert windows.ok("exec", "w", "cmd", "/c", "type C:\\done.txt") == "yes\r\n"
    windows.ok("exec", "w", "cmd", "/c", "del C:\\done.txt")
    assert windows.prlctl(*check).rc == 1
    assert windows.ok("exec", "w", "powershell", "-Command", "Test-Path C:\\Windows") == "True\r\n"


def test_shutdown_from_inside(windows: SimulatedMac) -> None:
    windows.ok("exec", "w", "shutdown", "/r", "/t", "0")
    windows.settle()
    assert windows.state("w") == "running"
    windows.ok("exec", "w", "shutdown", "/s", "/t", "0")
    windows.settle()
    assert windows.state("w") == "stopped"


def test_exit_codes_and_output_of_linux(linux: SimulatedMac) -> None:
    assert linux.prlctl("exec", "l", "sh", "-c", "exit 7").rc == 7
    assert linux.prlctl("exec", "l", "true").rc == 0
    assert linux.prlctl("exec", "l", "false").rc == 1
    assert linux.ok("exec", "l", "uname") == "Linux\n"
    assert linux.ok("exec", "l", "id") == "root\n"
    assert linux.ok("exec", "l", "sh", "-c", "false || echo a && echo b; echo c") == "a\nb\nc\n"
    unknown = linux.prlctl("exec", "l", "frobnicate")
    assert (unknown.rc, unknown.out, "not found" in unknown.err) == (127, "", True)


def test_files_of_linux(linux: SimulatedMac) -> None:
    assert linux.prlctl("exec", "l", "test", "-e", "/var/done").rc == 1
    linux.ok("exec", "l", "touch", "/var/done")
    assert linux.prlctl("exec", "l", "test", "-e", "/var/done").rc == 0
    assert linux.prlctl("exec", "l", "test", "-s", "/var/done").rc == 1
    linux.ok("exec", "l", "sh", "-c", "echo x > /var/done && rm -f /etc/nothing")
    assert linux.ok("exec", "l", "cat", "/var/done") == "x\n"
    linux.ok("exec", "l", "rm", "-f", "/var/done")
    assert linux.prlctl("exec", "l", "test", "!", "-e", "/var/done").rc == 0


def test_identity_of_linux(linux: SimulatedMac) -> None:
    assert len(linux.ok("exec", "l", "cat", "/etc/machine-id")) == 33
    linux.ok("exec", "l", "sh", "-c", "truncate -s 0 /etc/machine-id; rm -f /etc/ssh/ssh_host_*")
    assert linux.ok("exec", "l", "cat", "/etc/machine-id") == ""
    assert linux.prlctl("exec", "l", "test", "-e", "/etc/ssh/ssh_host_rsa_key").rc == 1


def test_what_a_guest_became_goes_along(linux: SimulatedMac) -> None:
    linux.ok("exec", "l", "touch", "/var/done")
    linux.ok("stop", "l")
    linux.ok("clone", "l", "--name", "c")
    linux.ok("pack", "c")
    linux.ok("unpack", "c")
    linux.ok("start", "c")
    assert linux.prlctl("exec", "c", "test", "-e", "/var/done").rc == 0


def test_guests_that_cannot_be_reached(mac: SimulatedMac, messages: dict[str, str]) -> None:
    mac.vm("off")
    mac.vm("no tools", state="running", tools="not_installed")
    mac.vm("isolated")
    mac.ok("set", "isolated", "--isolate-vm", "on")
    assert "<IsolatedVm>1</IsolatedVm>" in (mac.home / "isolated.pvm" / "config.pvs").read_text()
    mac.ok("start", "isolated")
    off = mac.prlctl("exec", "off", "cmd", "/c", "exit", "0")
    assert (off.rc, "is not started" in off.err) == (255, True)
    for name in ("no tools", "isolated"):
        assert mac.prlctl("exec", name, "cmd", "/c", "exit", "0") == (255, "", messages["no_session"])


def test_exec_without_a_command(windows: SimulatedMac) -> None:
    assert windows.prlctl("exec").rc == 1
    assert windows.prlctl("exec", "w").rc == 1
    assert windows.prlctl("exec", "w", "--as", "me", "whoami").rc == 1
