# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mac_info."""

from __future__ import annotations

import json
from typing import Any, Callable

import yaml
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


def test_a_host_without_parallels_is_told_so(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    module_mac.executable.with_name("prlsrvctl").unlink()
    end = run_module_main(mac_info.main, executable=str(module_mac.executable))
    assert end.failed
    assert end.result["msg"].startswith("There is no program ")
