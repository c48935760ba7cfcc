# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault of the simulated Mac: what the first run makes of it, and that the same command then goes on to the end.

Whatever happens, the source VM stays what it was and the store never holds half an image.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from support.build import NAME, SOURCE_VM, VERSION, Build

IMAGE = f"{NAME}-{VERSION}-arm64.pvmp"


@dataclasses.dataclass(frozen=True)
class Row:
    """A fault, or several that strike the same run, and what is expected of the run that meets them."""

    faults: str
    # Words of the error; none where the run gets over it by itself.
    words: tuple[str, ...] = ()
    variables: tuple[tuple[str, object], ...] = ()
    # Words of the second run's error, where a person has to decide.
    then: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.faults


STOP_SOON = (("image_stop_timeout", 3),)
PACK_SOON = (("image_pack_timeout", 5),)
VERBS = ("stop", "clone", "start", "snapshot-delete", "pack", "delete")

ROWS = (
    Row("service_down=3 vm_frozen=1:list json_garbage=2 list_empty_once=1 invalid_state=1"),
    Row(" ".join(f"rc255_after_success=1:{verb}" for verb in VERBS)),
    Row("busy=2:clone busy=2:snapshot-delete busy=2:pack busy=2:delete sync_race=2 vm_frozen=1:clone"),
    Row("kill_after_clone=1 kill_after_pack=1 start_fails=1"),
    Row("stop_ignored=1", ("did not shut down",), STOP_SOON),
    Row("snapshot_remains=1", ("snapshot",)),
    Row("kill_in_snapshot_delete=1", ("ended from outside",)),
    Row("disk_full=1:clone", ("disk is full",)),
    Row("disk_full=1:pack", ("disk is full", "half-made")),
    Row("kill_in_clone=1", ("ended from outside",)),
    Row("kill_in_pack=1", ("ended from outside", "half-made")),
    Row("pack_empty=1", ("did not",)),
    Row("pack_empty=1:moved", ("empty file",)),
    Row("pack_missing=1", ("did not",)),
    Row("pack_missing=1:moved", ("no such file",)),
    Row("pack_rc0_unchanged=1", ("did not",)),
    Row("hang=1:pack", ("within 5 seconds",), PACK_SOON),
    Row("wrong_checksum_file=1", ("sha256.txt",), then=("sha256.txt",)),
    Row("clone_rc0_missing=1", ("did not",)),
    Row("delete_fails=1", ("administrator",)),
)

# Faults of what this playbook does not do: it runs nothing in the guest, unregisters and unpacks nothing.
ELSEWHERE = {"exec_not_ready", "exec_dies_at_shutdown", "unregister_fails", "kill_in_unpack"}


@pytest.fixture
def build(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, state="running", data="2M", disk="8G", snapshots="base(updates)")
    return Build.here(play, simulated_mac, https_store, tmp_path / "build")


def assert_nothing_lost(build, mac, before):
    """Hold that the source VM is what it was, and what the store offers is whole."""
    assert mac.fingerprint(SOURCE_VM) == before
    for name in build.stored:
        assert name in (IMAGE, f"{IMAGE}.sha256", "catalog.json"), f"{name} was left in the store"
    if "catalog.json" in build.stored:
        assert build.store.folder.joinpath(IMAGE).exists()


def state_of_source(mac):
    return next(vm["state"] for vm in mac.show()["vms"] if vm["name"] == SOURCE_VM)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_fault(build, simulated_mac, row, record_property):
    before = simulated_mac.fingerprint(SOURCE_VM)
    simulated_mac.fault(*row.faults.split())

    first = build.run(**dict(row.variables))

    assert not simulated_mac.show()["faults"], "a fault did not strike"
    assert_nothing_lost(build, simulated_mac, before)
    if row.words:
        first.assert_failed(*row.words)
    else:
        first.assert_ok()
    second = build.run(**dict(row.variables))
    assert_nothing_lost(build, simulated_mac, before)
    if row.then:
        second.assert_failed(*row.then)
    else:
        second.assert_ok()
        assert state_of_source(simulated_mac) == "running"
        build.published()
        build.assert_only("arm64")
    record_property("fault", [row.faults, *(_told(run) for run in (first, second))])


def _told(run):
    """Return what a run did, as a cell of a table."""
    if run.rc:
        task = run.failed[0]
        return f"fails in '{task.name.rpartition(' : ')[2]}': {task.result.get('msg', '')}"
    return f"ends well, {len(run.changed)} tasks changed something" if run.changed else "nothing is left to do"


def test_every_fault_of_the_simulator_has_a_row(simulated_mac):
    faults = json.loads(simulated_mac.simulate("fault", simulated_mac.folder, "--list", "--json"))
    known = {fault["name"] for fault in faults}
    assert known == {fault.partition("=")[0] for row in ROWS for fault in row.faults.split()} | ELSEWHERE
