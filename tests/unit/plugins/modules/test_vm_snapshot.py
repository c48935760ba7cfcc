# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_snapshot."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import vm_snapshot

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
BASE = "00000001-0000-0000-0000-000000000000"
TEST = "00000002-0000-0000-0000-000000000000"
TREE = {
    f"{{{BASE}}}": {"name": "base", "parent": "", "state": "poweroff", "current": False, "date": "2026-11-01 10:00:00"},
    f"{{{TEST}}}": {"name": "test", "parent": f"{{{BASE}}}", "state": "poweroff", "current": True, "date": "later"},
}


@pytest.fixture
def run(module_mac: Any, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return run_module_main(vm_snapshot.main, name="x", executable=str(module_mac.executable), **arguments)

    return call


def look(mac: Any, tree: Any) -> None:
    mac.list((UUID, "x", "stopped")).list((UUID, "x", "stopped")).look(
        UUID, tree, Name="x", **mac.bundle(mac.folder / "x.pvm")
    )


def at_rest(mac: Any) -> None:
    mac.list((UUID, "x", "stopped"))


def snapshots(mac: Any, tree: Any = "") -> None:
    mac.expect("prlctl", "snapshot-list", UUID, "-j", out=tree)


@pytest.mark.parametrize("check", [True, False])
def test_all_are_removed(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    look(module_mac, TREE)
    at_rest(module_mac)  # whether linked clones stand on them
    if not check:
        for identity, left in ((TEST, {f"{{{BASE}}}": TREE[f"{{{BASE}}}"]}), (BASE, "")):
            module_mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity}}}")
            at_rest(module_mac)
            snapshots(module_mac, left)
        snapshots(module_mac)
    result = run(state="absent", all=True, _ansible_check_mode=check).result
    assert result["changed"]
    assert result["snapshots"] == []
    assert [each["name"] for each in result["removed"]] == ["base", "test"]
    assert result["diff"] == {"before": {"snapshots": ["base", "test"]}, "after": {"snapshots": []}}


@pytest.mark.parametrize("check", [True, False])
def test_nothing_to_remove(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    look(module_mac, "")
    result = run(state="absent", all=True, _ansible_check_mode=check).result
    assert (result["changed"], result["removed"]) == (False, [])


def test_one_of_two_is_removed_and_its_child_stays(module_mac: Any, run: Callable[..., Any]) -> None:
    left = {f"{{{TEST}}}": {**TREE[f"{{{TEST}}}"], "parent": ""}}
    look(module_mac, TREE)
    at_rest(module_mac)
    module_mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{BASE}}}")
    at_rest(module_mac)
    snapshots(module_mac, left)
    snapshots(module_mac, left)
    result = run(state="absent", snapshot="base").result
    assert [each["name"] for each in result["snapshots"]] == ["test"]
    assert [each["name"] for each in result["removed"]] == ["base"]


@pytest.mark.parametrize("check", [True, False])
def test_one_is_made(module_mac: Any, run: Callable[..., Any], check: bool) -> None:
    look(module_mac, "")
    if not check:
        module_mac.expect("prlctl", "snapshot", UUID, "-n", "test", "-d", "Nach dem Update")
        snapshots(module_mac, TREE)
        at_rest(module_mac)
        snapshots(module_mac, TREE)
    result = run(snapshot="test", description="Nach dem Update", _ansible_check_mode=check).result
    assert result["changed"]
    assert result["removed"] == []
    assert result["diff"]["after"] == {"snapshots": ["test"] if check else ["base", "test"]}


def test_one_that_is_there_is_left_alone(module_mac: Any, run: Callable[..., Any]) -> None:
    look(module_mac, TREE)
    result = run(snapshot="test", description="another").result
    assert (result["changed"], len(result["snapshots"])) == (False, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": "absent"}, "all is False but all of the following are missing: snapshot"),
        ({"state": "present", "all": True}, "state is present but all of the following are missing: snapshot"),
        ({"state": "absent", "all": True, "snapshot": "x"}, "Set snapshot to remove one, or all: true"),
    ],
)
def test_arguments_that_contradict(run: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    end = run(**arguments)
    assert end.failed
    assert message in end.result["msg"]
