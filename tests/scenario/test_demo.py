# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration, and with it the example project as it stands."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from support.fixtures import nightly

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("options", [["--without-guest"], nightly([])], ids=["windows", "all"])
def test_the_demonstration(collections, tmp_path, options):
    demo = [sys.executable, ROOT / "tests" / "tools" / "demo.py", "--data", "4M", *options]

    done = subprocess.run(
        [*demo, "--collections", collections, "--output", tmp_path / "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:]
    assert "changed=0" in done.stdout.partition("Second run")[2]
    assert "The source VM is what it was before." in done.stdout
    assert "WARNING" not in done.stdout
    if not options and "is not possible here" not in done.stdout:
        said = done.stdout.partition("A guest that starts from the image says:")[2]
        assert "company-agent 4.2\n" in said
        assert "(helpdesk)" in said
        assert "\ndebian 2026.11.0\n" in said
