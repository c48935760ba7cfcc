# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH keys for signing, and files of those who may sign, made with the real ssh-keygen."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Any

IDENTITY = "build@example.com"


def make_key(folder: pathlib.Path, name: str, kind: str = "ed25519", passphrase: str = "") -> pathlib.Path:
    """Make a key; return the path of its private part, beside which is the public one."""
    path = folder / name
    bits = ["-b", "2048"] if kind == "rsa" else []
    command = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", name, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def allow(path: pathlib.Path, *lines: tuple[str, pathlib.Path]) -> pathlib.Path:
    """Write a file of allowed signers: each an identity, with options if there are any, and a key."""
    path.write_text("".join(f"{who} {key.with_name(key.name + '.pub').read_text()}" for who, key in lines))
    return path


def run_command(args: list[str], **options: Any) -> tuple[int, str, str]:
    """Run a program as AnsibleModule.run_command does with these options."""
    assert options["handle_exceptions"] is False
    assert options["expand_user_and_vars"] is False
    assert options["binary_data"] is True
    environment = {**os.environ, **options["environ_update"]}
    done = subprocess.run(args, input=options["data"], capture_output=True, env=environment, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
