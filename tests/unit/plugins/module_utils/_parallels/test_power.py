# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a VM into a state."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.power import PowerChange, set_power
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
COMMANDS = {
    "start": ["start", UUID],
    "resume": ["resume", UUID],
    "suspend": ["suspend", UUID],
    "stop": ["stop", UUID, "--noforce"],
    "kill": ["stop", UUID, "--kill"],
    "drop_state": ["stop", UUID, "--drop-state"],
}
LEADS_TO = {"start": "running", "resume": "running", "suspend": "suspended"}
NOT_STARTED = 'Failed to stop the VM: Unable to perform the operation because the virtual machine "x" is not started.'


def a_vm(mac: Any, state: str, **facts: Any) -> Vm:
    mac.list((UUID, "x", state)).look(UUID, Name="x", State=state, **facts)
    return get_vm(mac.prl, "x")


def states(mac: Any, *names: str) -> None:
    for name in names:
        mac.list((UUID, "x", name))


@pytest.mark.parametrize(
    ("state", "wanted", "suspended", "steps"),
    [
        ("stopped", "stopped", "fail", []),
        ("running", "running", "fail", []),
        ("suspended", "suspended", "fail", []),
        ("running", "stopped", "fail", ["stop"]),
        ("stopped", "running", "fail", ["start"]),
        ("running", "suspended", "fail", ["suspend"]),
        ("suspended", "stopped", "resume", ["resume", "stop"]),
        ("suspended", "stopped", "discard", ["drop_state"]),
        ("suspended", "running", "resume", ["resume"]),
        ("suspended", "running", "discard", ["drop_state", "start"]),
        ("paused", "stopped", "resume", ["resume", "stop"]),
        ("paused", "stopped", "discard", ["kill"]),
        ("paused", "running", "resume", ["resume"]),
        ("paused", "running", "discard", ["kill", "start"]),
        ("paused", "suspended", "resume", ["resume", "suspend"]),
    ],
)
def test_the_steps_to_a_state(mac: Any, state: str, wanted: str, suspended: str, steps: list[str]) -> None:
    vm = a_vm(mac, state)
    states(mac, state)
    for step in steps:
        mac.expect("prlctl", *COMMANDS[step])
        states(mac, LEADS_TO.get(step, "stopped"))
    method = steps[-1] if steps else "none"
    assert set_power(mac.prl, vm, wanted, timeout=60, suspended=suspended) == PowerChange(wanted, state, method)
    assert mac.slept == []


@pytest.mark.parametrize(
    ("state", "wanted", "suspended", "sentence"),
    [
        (
            "suspended",
            "stopped",
            "fail",
            "is suspended, .* not discarded by default.*suspended: resume.*suspended: discard",
        ),
        ("paused", "running", "fail", "is paused, .* not discarded by default"),
        ("paused", "suspended", "discard", "suspended: resume"),
        (
            "stopped",
            "suspended",
            "fail",
            "is stopped, so it cannot be changed to the state 'suspended'. Start it first",
        ),
        ("invalid", "stopped", "fail", "files of 'x' are missing or unreadable"),
        ("invalid", "running", "discard", "files of 'x' are missing or unreadable"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_what_is_refused(mac: Any, state: str, wanted: str, suspended: str, sentence: str, dry: bool) -> None:
    vm = a_vm(mac, state)
    states(mac, state)
    with pytest.raises(TaskError, match=sentence):
        set_power(mac.prl, vm, wanted, timeout=60, suspended=suspended, dry=dry)


def test_a_packed_vm_is_not_started(mac: Any) -> None:
    vm = a_vm(mac, "stopped", Home="/p/x.pvmp")
    states(mac, "stopped")
    with pytest.raises(TaskError, match=r"is packed. Unpack it first"):
        set_power(mac.prl, vm, "running", timeout=60)


def test_a_dry_run_only_looks(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    assert set_power(mac.prl, vm, "stopped", timeout=60, dry=True) == PowerChange("stopped", "running", "stop")


def test_what_parallels_is_doing_is_waited_out_first(mac: Any) -> None:
    vm = a_vm(mac, "stopping")
    states(mac, "stopping", "levitating", "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=60) == PowerChange("stopped", "stopped", "none")


def test_the_state_counts_and_not_the_command(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"], rc=255, err="Failed to stop the VM: unknown")
    states(mac, "running", "stopping", "stopping", "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=60).method == "stop"


def test_a_guest_that_starts_anew_is_asked_again(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"])
    states(mac, *["running"] * 8)
    mac.expect("prlctl", *COMMANDS["stop"])
    states(mac, "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=300).method == "stop"
    assert sum(mac.slept) > 10


def test_a_guest_that_could_not_be_asked_is_asked_again_soon(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"], rc=255, err="Failed to stop the VM: the virtual machine is busy.")
    states(mac, *["running"] * 5)
    mac.expect("prlctl", *COMMANDS["stop"])
    states(mac, "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=300).method == "stop"
    assert sum(mac.slept) < 5


def test_stopping_at_the_moment_when_it_stopped_by_itself(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"], rc=255, err=NOT_STARTED)
    states(mac, "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=60).state == "stopped"


def test_an_answer_that_will_not_change_ends_the_waiting(mac: Any) -> None:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"], rc=255, err="This feature is not available in this edition.")
    states(mac, *["running"] * 8)
    with pytest.raises(TaskError, match=r"could not shut down 'x'.*Pro, Business or Enterprise"):
        set_power(mac.prl, vm, "stopped", timeout=300)


def stubborn(mac: Any) -> Vm:
    vm = a_vm(mac, "running")
    states(mac, "running")
    mac.expect("prlctl", *COMMANDS["stop"], out="The VM has been successfully stopped.")
    states(mac, "running", "running", "running")
    return vm


def test_a_guest_that_stays_up_is_an_error(mac: Any) -> None:
    vm = stubborn(mac)
    states(mac, "running")
    with pytest.raises(TaskError, match=r"did not shut down within 1 seconds.*force: true") as caught:
        set_power(mac.prl, vm, "stopped", timeout=1)
    assert caught.value.details["state"] == "running"
    assert caught.value.details["cmd"][1:] == COMMANDS["stop"]


def test_force_pulls_the_plug_after_the_time_limit(mac: Any) -> None:
    vm = stubborn(mac)
    mac.expect("prlctl", *COMMANDS["kill"])
    states(mac, "stopping", "stopped")
    assert set_power(mac.prl, vm, "stopped", timeout=1, force=True) == PowerChange("stopped", "running", "kill")


def test_a_start_that_fails_is_an_error(mac: Any) -> None:
    vm = a_vm(mac, "stopped")
    states(mac, "stopped")
    mac.expect("prlctl", *COMMANDS["start"], rc=255, err="Out of disk space.")
    states(mac, "stopped")
    with pytest.raises(TaskError, match=r"Parallels could not start 'x': Out of disk space. The disk is full"):
        set_power(mac.prl, vm, "running", timeout=60)
