# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac does not sleep in the middle of long work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils import _module
from ansible_collections.macops.parallels.plugins.module_utils._common import awake
from ansible_collections.macops.parallels.plugins.module_utils._common.awake import kept_awake
from ansible_collections.macops.parallels.tests.support.waiting import wait_until


@pytest.fixture
def caffeinate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in the place of caffeinate; return the file in which it notes its process and its options."""
    program, log = tmp_path / "caffeinate", tmp_path / "log"
    program.write_text(f'#!/bin/sh\necho "$$ $@" > "{log}.new" && mv "{log}.new" "{log}"\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setattr(awake, "_PROGRAM", str(program))
    return log


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("fails", [True, False])
def test_it_stays_awake_as_long_as_the_work_takes(caffeinate: Path, fails: bool) -> None:
    class Failed(BaseException):
        pass

    try:
        with kept_awake():
            wait_until(caffeinate.exists, 30)
            pid, *options = caffeinate.read_text().split()
            assert options == ["-i", "-m", "-s", "-w", str(os.getpid())]
            assert is_alive(int(pid))
            if fails:
                raise Failed
    except Failed:
        assert fails
    assert not is_alive(int(pid))


@pytest.mark.parametrize("content", [None, "not a program"])
def test_without_the_program_the_work_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    program = tmp_path / "caffeinate"
    if content is not None:
        program.write_text(content)
        program.chmod(0o755)
    monkeypatch.setattr(awake, "_PROGRAM", str(program))
    with kept_awake():
        pass


@pytest.mark.parametrize("check", [True, False])
def test_long_work_keeps_it_awake(caffeinate: Path, run_module_main: Callable[..., Any], check: bool) -> None:
    def work(_module_: Any, _job: Any) -> dict[str, Any]:
        if not check:
            wait_until(caffeinate.exists, 30)
        return {"changed": False}

    end = run_module_main(
        lambda: _module.run_long_module(AnsibleModule({}, supports_check_mode=True), work), _ansible_check_mode=check
    )
    assert not end.failed
    assert caffeinate.exists() is not check
