# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_generalize: its options and results. What it does is tested with _generalize."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import GeneralizeOrder, Outcome
from ansible_collections.macops.parallels.plugins.module_utils._parallels.sysprep import Finding, Preparation
from ansible_collections.macops.parallels.plugins.modules import vm_generalize

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
AT = "2026-11-22T09:30:00Z"
PROOF = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, GeneralizeOrder(timeout=1800, wait_timeout=300, stop_timeout=300)),
        (
            {"answer_file": "<unattend/>", "fix": ["restart", "bitlocker"], "skip_rearm": True},
            GeneralizeOrder(answer_file="<unattend/>", fixes=("restart", "bitlocker"), skip_rearm=True),
        ),
        (
            {
                "start": True,
                "unattend": "C:\\u.xml",
                "mode_vm": True,
                "timeout": 1,
                "wait_timeout": 2,
                "stop_timeout": 3,
            },
            GeneralizeOrder(start=True, unattend="C:\\u.xml", mode_vm=True, timeout=1, wait_timeout=2, stop_timeout=3),
        ),
    ],
)
@pytest.mark.parametrize(
    ("check", "outcome", "expected"),
    [
        (False, Outcome(True, False, AT, PROOF, "running"), {"changed": True, "generalized": True, "before": False}),
        (True, Outcome(True, False, "", "", "running"), {"changed": True, "generalized": False, "before": False}),
        (True, Outcome(True, True, "", PROOF, "running"), {"changed": True, "generalized": True, "before": True}),
        (False, Outcome(False, True, AT, PROOF, "stopped"), {"changed": False, "generalized": True, "before": True}),
    ],
)
def test_results(
    run_module_main: Any,
    module_mac: Any,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    order: GeneralizeOrder,
    check: bool,
    outcome: Outcome,
    expected: dict[str, Any],
) -> None:
    asked = {}

    def stand_in(_prl: Any, vm: Any, given: GeneralizeOrder, *, dry: bool, waits: Any) -> Outcome:
        assert waits.__name__ == "wait"
        asked.update(vm=vm.uuid, order=given, dry=dry)
        return outcome

    monkeypatch.setattr(vm_generalize, "generalize", stand_in)
    module_mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running")
    ended = run_module_main(
        vm_generalize.main, name="x", executable=str(module_mac.executable), _ansible_check_mode=check, **options
    )
    assert asked == {"vm": UUID, "order": order, "dry": check}
    assert ended.result == {
        "changed": expected["changed"],
        "generalized": expected["generalized"],
        "generalized_at": outcome.generalized_at,
        "proof": outcome.proof,
        "state": "stopped",
        "previous_state": outcome.previous_state,
        "findings": [],
        "fixed": [],
        "commands": [],
        "diff": {
            "before": {"generalized": expected["before"], "state": outcome.previous_state},
            "after": {"generalized": True, "state": "stopped"},
        },
    }


def test_what_is_found_is_in_the_result_and_warned_about(
    run_module_main: Any, module_mac: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding("hibernation", "Fast startup is on.", "Turn it off.", blocks=False, fixes=("hibernation",))
    fixes = Finding("packages", "An app is in the way.", "Remove it.", fixes=("remove_packages",))
    preparation = Preparation((fixes, found), ("restart",), ("It is not known whether the disk is encrypted.",))
    outcome = Outcome(True, False, AT, PROOF, "running", preparation)
    monkeypatch.setattr(vm_generalize, "generalize", lambda *_arguments, **_options: outcome)
    warnings: list[str] = []
    monkeypatch.setattr(vm_generalize.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    module_mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running")
    result = run_module_main(vm_generalize.main, name="x", executable=str(module_mac.executable)).result
    assert [each["id"] for each in result["findings"]] == ["packages", "hibernation"]
    assert result["fixed"] == ["restart"]
    # In check mode, what would be fixed is in the result; it is not worth a warning.
    assert warnings == [
        "Fast startup is on. Turn it off. Or let this task do it: add `hibernation` to fix.",
        "It is not known whether the disk is encrypted.",
    ]


def test_no_such_vm(run_module_main: Any, module_mac: Any) -> None:
    module_mac.list((UUID, "x", "running"))
    ended = run_module_main(vm_generalize.main, name="y", executable=str(module_mac.executable))
    assert ended.failed
    assert "no virtual machine 'y'" in ended.result["msg"]
