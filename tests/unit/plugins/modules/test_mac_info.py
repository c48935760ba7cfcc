# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mac_info."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl, Result
from ansible_collections.macops.parallels.plugins.modules import mac_info


def test_a_mac_has_what_is_documented(
    module_mac: Any, run_module_main: Callable[..., Any], fixture_text: Callable[[str], str]
) -> None:
    module_mac.expect("prlsrvctl", "info", "--json", out=fixture_text("server_info.json"))
    module_mac.expect("prlsrvctl", "info", "--license", "--json", out={"edition": "pro", "serial": "XXXXXX-YYYYYY"})
    end = run_module_main(mac_info.main, path=str(module_mac.folder), executable=str(module_mac.executable))
    assert not end.failed
    assert set(end.result) == {"changed", *yaml.safe_load(mac_info.RETURN)}
    assert end.result["changed"] is False
    text = json.dumps(end.result)
    assert "BBBBBB" not in text
    assert "YYYYYY" not in text


@pytest.mark.parametrize("hangs", ["--json", "--license"])
def test_a_mac_that_waits_for_somebody_at_its_screen(
    module_mac: Any, run_module_main: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    def run_once(prl: Any, program: str, args: Any, limit: float, *_more: Any) -> Result:
        limits.append(limit)
        cmd = [prl.program(program), *args]
        hanging = args[1] == hangs
        return Result(cmd, -15 if hanging else 0, "" if hanging else "{}", "", timed_out=hanging)

    limits: list[float] = []
    monkeypatch.setattr(Prlctl, "run_once", run_once)
    end = run_module_main(mac_info.main, executable=str(module_mac.executable), timeout=7)
    assert end.failed
    assert "prlsrvctl gave no answer within 7 seconds" in end.result["msg"]
    assert "Log in to the Mac's desktop" in end.result["msg"]
    assert set(limits) == {7}


def test_a_host_without_parallels_is_told_so(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    module_mac.executable.with_name("prlsrvctl").unlink()
    end = run_module_main(mac_info.main, executable=str(module_mac.executable))
    assert end.failed
    assert end.result["msg"].startswith("There is no program ")
