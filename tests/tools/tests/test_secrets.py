# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks for secrets finds them."""

from __future__ import annotations

import base64
import html
import json
import pathlib
import shlex
import subprocess
import sys
import urllib.parse
from typing import Callable

import pytest

from support.secret_search import Secrets, Watch
from support.waiting import wait_until

SECRET = "hunter2 \"\\&%/+='<9"


def basic(secret: str) -> str:
    return base64.b64encode(f"publisher:{secret}".encode()).decode()


@pytest.mark.parametrize(
    "hide",
    [
        str,
        json.dumps,
        lambda secret: json.dumps(json.dumps({"answer": secret})),
        repr,
        urllib.parse.quote,
        lambda secret: urllib.parse.urlencode({"key": secret}),
        lambda secret: urllib.parse.quote(secret, safe=""),
        shlex.quote,
        html.escape,
        lambda secret: secret.encode().hex(),
        basic,
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(f"x{secret}yz".encode()).decode(),
        lambda secret: base64.b64encode(f"xy{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"xyz{secret}".encode()).decode(),
        lambda secret: f"prlctl exec --password {shlex.quote(secret)} x",
    ],
)
def test_a_secret_in_disguise_is_found(hide: Callable[[str], str]) -> None:
    secrets = Secrets({"the password": SECRET})
    secrets.look_in(f"before {hide(SECRET)} after", "a text", "texts")
    assert secrets.found == ["the password in a text (texts)"]


def test_what_is_no_secret_is_not_found() -> None:
    secrets = Secrets({"the password": SECRET})
    for text in ("hunter2", basic("hunter3 and so on"), "publisher:********", ""):
        secrets.look_in(text, "a text", "texts")
    secrets.assert_nowhere("texts")
    with pytest.raises(AssertionError, match="nothing to look in: files"):
        secrets.assert_nowhere("files")


def test_files_are_looked_through(tmp_path: pathlib.Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(b"\0\xff" + SECRET.encode())
    (tmp_path / "given").write_text(SECRET)
    secrets = Secrets({"the password": SECRET})
    secrets.look_in_files(tmp_path, "files", but=[tmp_path / "given"])
    assert secrets.found == [f"the password in {tmp_path}/deep/log (files)"]
    with pytest.raises(AssertionError, match="deep/log"):
        secrets.assert_nowhere("files")


def test_command_lines_and_passing_files_are_watched(tmp_path: pathlib.Path) -> None:
    secrets = Secrets({"the password": SECRET})
    work = "import sys, time; open(sys.argv[1], 'w').write(sys.argv[2]); time.sleep(30)"
    command = [sys.executable, "-c", work, str(tmp_path / "passing"), SECRET]

    def kinds() -> set[str]:
        return {found.rpartition("(")[2] for found in secrets.found}

    with Watch(secrets, tmp_path) as watch, subprocess.Popen(command) as process:
        try:
            wait_until(lambda: len(kinds()) >= 2)
        finally:
            process.kill()
    assert kinds() == {"command lines)", "files while it runs)"}
    assert watch.processes
