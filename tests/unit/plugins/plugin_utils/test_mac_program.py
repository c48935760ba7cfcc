# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that is sent to the Mac: it is whole, needs nothing that is not in it, and leaves the data unread."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.plugin_utils._mac_program import command_line, opening, program_of

RELAY = "_parallels.guest_relay"
MARK = b"macops.parallels:"
UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
PRLCTL = """#!/bin/sh
case $1 in
exec) shift 2; cd /; exec env -i HOME=/ PATH=/usr/bin:/bin sh -c "$*";;
*) echo "[]";;
esac
"""


@pytest.fixture
def relay(tmp_path: Path) -> Any:
    """Return a function that has an order carried out by a Python of its own, without any package."""
    program = tmp_path / "prlctl"
    program.write_text(PRLCTL)
    program.chmod(0o755)

    def run(data: bytes = b"", line: bytes = b"cat", **order: Any) -> tuple[dict[str, Any], bytes]:
        whole = {
            "executable": str(program),
            "vm": "x",
            "uuid": UUID,
            "family": "linux",
            "patience": 1,
            "limits": {},
            "login": {},
            "line": base64.b64encode(line).decode(),
            "size": len(data),
            "limit": None,
            "fetch": False,
            "store": False,
            "become": {},
            "once": "",
            **order,
        }
        text = opening(program_of(RELAY), json.dumps(whole).encode()) + data
        done = subprocess.run(
            ["/bin/sh", "-c", command_line(sys.executable)],
            input=text,
            capture_output=True,
            check=True,
            env={"HOME": str(tmp_path), "PATH": os.defpath},
        )
        assert done.stderr == b""
        head, _newline, rest = done.stdout.partition(b"\n")
        assert head.startswith(MARK)
        return json.loads(head[len(MARK) :]), rest

    return run


def test_a_command_with_data(relay: Any) -> None:
    data = os.urandom(200_000)
    head, rest = relay(data)
    assert head == {"status": "ok", "uuid": UUID, "rc": 0, "stdout": len(data), "stderr": 0, "timed_out": False}
    assert rest == data


def test_a_file(relay: Any, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"content")
    head, rest = relay(line=os.fsencode(path), fetch=True)
    assert head == {"status": "ok", "uuid": UUID, "size": 7}
    content, _mark, end = rest.partition(MARK)
    assert content == b"content"
    assert len(json.loads(end)["sha256"]) == 64


def test_a_vm_that_does_not_exist(relay: Any) -> None:
    head, _rest = relay(uuid="", vm="no such VM")
    assert head["status"] == "failed"
    assert "There is no virtual machine 'no such VM' for this user" in head["msg"]


def test_an_order_that_is_repeated_is_refused(relay: Any) -> None:
    assert relay(line=b"true", once="token")[0]["status"] == "ok"
    head, _rest = relay(line=b"true", once="token")
    assert head["status"] == "lost"
    assert "was not run again" in head["msg"]


def test_another_user_of_the_mac() -> None:
    assert "exec sudo -n -H -u owner python3 -I -S -c" in command_line("python3", "owner").replace("'\"'\"'", "'")
