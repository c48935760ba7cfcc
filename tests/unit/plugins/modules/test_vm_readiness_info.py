# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_readiness_info: its options and results. The checks are tested with _parallels/readiness."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.modules import vm_readiness_info

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.fixture(name="run")
def fixture_run(module_mac: Any, run_module_main: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    facts = module_mac.bundle(tmp_path / "x.pvm", config="<IsolatedVm>0</IsolatedVm>")

    def run(**options: Any) -> Any:
        module_mac.list((UUID, "x", "stopped")).look(UUID, Name="x", State="stopped", **facts)
        return run_module_main(vm_readiness_info.main, name="x", executable=str(module_mac.executable), **options)

    return run


def test_results(run: Callable[..., Any]) -> None:
    end = run()
    documented = yaml.safe_load(vm_readiness_info.RETURN)
    assert set(documented) == set(end.result) - {"changed"}
    assert list(documented["checks"]["contains"]) == list(end.result["checks"][0])
    assert list(documented["report"]["contains"]) == list(end.result["report"])
    # The captured VM shares a folder.
    assert (end.failed, end.result["ready"], end.result["failed_checks"]) == (False, False, ["shared_folders"])
    assert end.result["changed"] is False
    assert end.result["lines"][1].startswith("fail    shared_folders ")


def test_the_gate(run: Callable[..., Any]) -> None:
    end = run(require=True, generalized=True)
    assert end.failed
    assert f"2 of {len(end.result['checks'])} checks failed:\n  shared_folders: " in end.result["msg"]
    assert end.result["failed_checks"] == ["shared_folders", "generalized"]
    assert {check["id"]: check["status"] for check in end.result["checks"]}["generalized"] == "fail"
    end = run(require=True, generalized=True, waive=["shared_folders", " generalized"])
    assert (end.failed, end.result["ready"]) == (False, True)
    assert [each["id"] for each in end.result["report"]["waived"]] == ["shared_folders", "generalized"]


def test_a_check_that_does_not_exist(run: Callable[..., Any]) -> None:
    assert "waive names checks that do not exist: firewall." in run(waive=["firewall"]).result["msg"]
