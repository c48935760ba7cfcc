# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_inventory_info: its options and results. The lists are tested with _parallels/inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.macops.parallels.plugins.module_utils._parallels.kept_answers import INVENTORY, keep
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm
from ansible_collections.macops.parallels.plugins.modules import vm_inventory_info

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
LINES = [
    "system\t+\t26200\t7840\t25H2\tEnterprise\tClient\tARM64",
    "appx\t+\tMicrosoft.Calc\t11.0\tArm64\t8wekyb3d8bbwe\tMicrosoft.Calc_11.0",
    *(f"{topic}\t=" for topic in ("system", "program", "appx", "update", "all")),
]


@pytest.fixture(name="run")
def fixture_run(module_mac: Any, run_module_main: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    facts = module_mac.bundle(tmp_path / "x.pvm")

    def there() -> None:
        module_mac.list((UUID, "x", "stopped")).look(UUID, Name="x", State="stopped", Uptime="9", **facts)

    def run(**options: Any) -> Any:
        there()
        return run_module_main(vm_inventory_info.main, name="x", executable=str(module_mac.executable), **options)

    def answered() -> None:
        there()
        keep(INVENTORY, get_vm(module_mac.prl, "x"), LINES)

    run.answered = answered  # type: ignore[attr-defined]
    return run


def test_results(run: Any) -> None:
    run.answered()
    result = run().result
    documented = yaml.safe_load(vm_inventory_info.RETURN)
    assert set(documented) == set(result) - {"changed"}
    assert list(documented["inventory"]["contains"]) == list(result["inventory"])
    assert [each["name"] for each in result["inventory"]["components"]] == ["Microsoft.Calc"]
    assert (result["changed"], len(result["taken_at"])) == (False, len("2026-11-22T09:12:30Z"))


def test_what_is_not_known_is_an_error_or_a_warning(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    end = run()
    assert end.failed
    assert "What is installed in 'x' is not known: it is stopped" in end.result["msg"]
    end = run(require=False)
    assert (end.failed, end.result["inventory"], end.result["taken_at"]) == (False, {}, "")
    (warning,) = warnings
    assert warning.startswith("What is installed in 'x' is not known: it is stopped")
