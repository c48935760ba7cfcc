# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generalizing a guest: what is run in it, what counts as proof, what keeps a generalized one from being started."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import (
    GeneralizeOrder,
    Noted,
    Outcome,
    generalize,
    noted,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import powershell
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
SYSPREP = "C:\\Windows\\System32\\Sysprep\\sysprep.exe"
LOG = "C:\\Windows\\System32\\Sysprep\\Panther\\setuperr.log"
STATE_KEY = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State"
COMPLETE = "IMAGE_STATE_COMPLETE"
UNDEPLOYABLE = "IMAGE_STATE_UNDEPLOYABLE"
GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
FIRST_SETUP = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
LINUX_PROOF = "no machine ID, no SSH host keys, no cloud-init data"
JOB_ERROR = "PrlJob_GetRetCode: Invalid argument. An invalid argument was passed.\n"
NOT_READY = "Unable to open new session in this virtual machine. Make sure it has finished booting.\n"
CLONE = {"operation": "clone", "source": "s", "source_name": "Source", "clone": UUID, "restart_source": False}


class Scene:
    """A VM with a bundle, and the calls that are expected for it."""

    def __init__(self, mac: Any, folder: Path, system: str = "win-11") -> None:
        self.mac = mac
        self.home = folder / "x.pvm"
        self.facts = {**mac.bundle(self.home), "Name": "x", "OS": system}

    @property
    def notes(self) -> dict[str, Any]:
        return read_claim(str(self.home))

    @property
    def has_claim(self) -> bool:
        return Path(claim_path(str(self.home))).exists()

    def noted(self, **notes: Any) -> None:
        with Claim.take(str(self.home)) as claim:
            claim.write(**notes)

    def noted_now(self) -> Noted:
        return noted(get_vm(self.mac.prl, "x"))

    def look(self, state: str, uptime: int = 0) -> None:
        self.mac.list((UUID, "x", state)).look(UUID, State=state, Uptime=str(uptime), **self.facts)

    def states(self, *states: str) -> None:
        for state in states:
            self.mac.list((UUID, "x", state))

    def execute(self, *argv: str, **answer: Any) -> None:
        self.mac.expect_session(UUID, *argv, **answer)

    def start(self) -> None:
        self.states("stopped")
        self.mac.expect("prlctl", "start", UUID)
        self.states("running")

    def stop(self, *states: str) -> None:
        self.mac.expect("prlctl", "stop", UUID, "--noforce")
        self.states(*states)

    def image_state(self, state: str) -> None:
        out = f"\r\n{STATE_KEY.replace('HKLM', 'HKEY_LOCAL_MACHINE')}\r\n    ImageState    REG_SZ    {state}\r\n\r\n"
        self.execute("reg", "query", STATE_KEY, "/v", "ImageState", out=out)

    def at_work(self, yes: bool) -> None:
        self.execute("tasklist", "/nh", out="System 4\r\n" + ("Sysprep.exe 4711\r\n" if yes else ""))

    def sysprep(self, *more: str, **answer: Any) -> None:
        self.execute(SYSPREP, "/generalize", "/oobe", "/quit", "/quiet", *more, **answer)

    def proven_and_stopped(self, before: int = 500, after: int = 507) -> None:
        self.look("running", before)
        self.stop("running", "stopping", "stopped")
        self.look("stopped", after)

    def run(self, dry: bool = False, **order: Any) -> Outcome:
        return generalize(self.mac.prl, get_vm(self.mac.prl, "x"), GeneralizeOrder(**order), dry=dry)


@pytest.fixture
def scene(mac: Any, tmp_path: Path) -> Scene:
    return Scene(mac, tmp_path)


@pytest.fixture
def linux(mac: Any, tmp_path: Path) -> Scene:
    return Scene(mac, tmp_path, "ubuntu")


# --- Windows ------------------------------------------------------------------------------------------------------


def test_a_running_windows(scene: Scene) -> None:
    scene.noted(**CLONE)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep()
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    outcome = scene.run()
    assert outcome == Outcome(True, False, outcome.generalized_at, GENERALIZED, "running")
    assert outcome.generalized_at.endswith("Z")
    assert scene.notes == {
        **CLONE,
        "generalized_vm": UUID,
        "generalized_at": outcome.generalized_at,
        "generalized_uptime": [507, 567],
    }


def test_a_stopped_windows_that_may_be_started(scene: Scene) -> None:
    scene.look("stopped", 40)
    scene.states("stopped")
    scene.look("stopped", 40)
    scene.start()
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.execute(*powershell("if (Test-Path -LiteralPath 'C:\\answer.xml') {exit 0} else {exit 3}"))
    scene.sysprep("/mode:vm", "/unattend:C:\\answer.xml")
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    outcome = scene.run(start=True, mode_vm=True, unattend="C:\\answer.xml")
    assert (outcome.changed, outcome.previous_state) == (True, "stopped")
    assert scene.notes["generalized_vm"] == UUID


def test_what_is_noted_while_sysprep_runs_and_before_the_shutdown(scene: Scene) -> None:
    seen: dict[str, Any] = {}
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep(then=lambda: seen.update(in_sysprep=scene.notes))
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.look("running", 500)
    scene.mac.expect("prlctl", "stop", UUID, "--noforce", then=lambda: seen.update(in_stop=scene.notes))
    scene.states("stopped")
    scene.look("stopped", 520)
    scene.run(stop_timeout=300)
    assert seen["in_sysprep"] == {"generalized_vm": UUID, "generalizing": True}
    # As long as the shutdown may take, and a minute: a VM found stopped within that was not started again.
    assert seen["in_stop"]["generalized_uptime"] == [500, 860]
    assert "generalizing" not in seen["in_stop"]


def test_sysprep_that_goes_on_after_its_command_was_lost(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep(said=JOB_ERROR, lost=True)
    for _look in range(4):
        scene.at_work(True)
        scene.image_state(UNDEPLOYABLE)
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    assert scene.run().proof == GENERALIZED


def test_the_state_counts_only_when_sysprep_has_ended(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep()
    scene.at_work(True)
    scene.image_state(GENERALIZED)
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    assert scene.run().changed


def test_a_sysprep_of_a_killed_run_is_waited_for(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    scene.look("running")
    scene.states("running")
    scene.image_state(UNDEPLOYABLE)
    scene.at_work(True)
    scene.at_work(True)
    scene.image_state(UNDEPLOYABLE)
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    assert scene.run().changed
    assert "generalizing" not in scene.notes


def test_a_run_that_was_killed_before_the_shutdown_goes_on(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    scene.look("running")
    scene.states("running")
    scene.image_state(GENERALIZED)
    scene.proven_and_stopped()
    outcome = scene.run()
    assert (outcome.changed, outcome.was_generalized) == (True, True)


def generalized_and_running(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(GENERALIZED)
    scene.look("running", 500)


def test_a_guest_that_takes_no_notice_is_asked_again(scene: Scene) -> None:
    generalized_and_running(scene)
    scene.stop(*["running"] * 61)
    scene.stop("running", "stopping", "stopped")
    scene.look("stopped", 600)
    assert scene.run().changed


def test_a_guest_that_does_not_shut_down(scene: Scene) -> None:
    generalized_and_running(scene)
    scene.stop(*["running"] * 4)
    with pytest.raises(TaskError, match=r"is generalized, but did not shut down within 3 seconds: it is 'running'"):
        scene.run(stop_timeout=3)
    assert scene.notes["generalized_uptime"] == [500, 563]


def test_a_shutdown_that_is_slow_is_not_asked_for_twice(scene: Scene) -> None:
    generalized_and_running(scene)
    scene.stop("running", *["stopping"] * 100, "stopped")
    scene.look("stopped", 600)
    assert scene.run().changed


def test_a_guest_that_starts_again_is_not_taken_for_generalized(scene: Scene) -> None:
    scene.noted(**CLONE)
    generalized_and_running(scene)
    scene.stop("running", "stopping", "starting", "running")
    with pytest.raises(TaskError, match=r"restarted instead of shutting down, which undoes it\. Find out"):
        scene.run()
    assert scene.notes == CLONE


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        ("SYSPRP Package A was installed for a user, but not provisioned for all users.", "Remove-AppxPackage"),
        ("SYSPRP BitLocker-Protection is on for the operating system volume [gle=0x80310039]", "manage-bde -off"),
        ("SYSPRP Audit mode cannot be turned on if reserved storage is in use.", "Let them finish in the guest"),
        ("SYSPRP RunExternalDlls: the rearm count is zero, 0xC004D307", "Make a new source VM"),
        ("SYSPRP something nobody knows", "Fix the reported problem in the guest"),
    ],
)
def test_sysprep_that_fails(scene: Scene, log: str, advice: str) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep(rc=31)
    for _look in range(3):
        scene.at_work(False)
        scene.image_state(COMPLETE)
    scene.execute("cmd", "/c", "type", LOG, out="old\r\nolder\r\n\r\n" + "x" * 2000 + f"\r\n{log}\r\n")
    with pytest.raises(TaskError, match=advice) as caught:
        scene.run()
    assert log in caught.value.message
    assert caught.value.details["sysprep_log"].endswith(log)
    assert len(caught.value.details["sysprep_log"]) == 1500
    assert (caught.value.details["rc"], caught.value.details["image_state"]) == (31, COMPLETE)
    assert not scene.has_claim  # it may be started again


def test_after_a_failure_the_claim_of_a_clone_is_as_it_was(scene: Scene) -> None:
    scene.noted(**CLONE)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep()
    for _look in range(3):
        scene.at_work(False)
        scene.image_state(COMPLETE)
    scene.execute("cmd", "/c", "type", LOG, rc=1, err="The system cannot find the file specified.\r\n")
    with pytest.raises(
        TaskError, match=r"without generalizing Windows, which is in the state IMAGE_STATE_COMPLETE\. Fix the"
    ):
        scene.run()
    assert scene.notes == CLONE


def test_sysprep_that_does_not_end(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.sysprep()
    for _look in range(4):
        scene.at_work(True)
        scene.image_state(UNDEPLOYABLE)
    with pytest.raises(TaskError, match=r"did not finish within 9 seconds .* It is still running"):
        scene.run(timeout=9)
    assert scene.notes == {"generalized_vm": UUID, "generalizing": True}


def test_a_windows_in_its_first_setup_is_left_alone(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(FIRST_SETUP)
    with pytest.raises(TaskError, match="is in its first setup"):
        scene.run()


def test_a_state_that_cannot_be_read(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.execute("reg", "query", STATE_KEY, "/v", "ImageState", rc=1, err="ERROR: cannot find the key.")
    with pytest.raises(TaskError, match="cannot be read from its registry"):
        scene.run()


@pytest.mark.parametrize(
    ("unattend", "found", "sentence"),
    [
        ("C:\\a b.xml", None, "split it at spaces"),
        ("C:\\a.xml", 3, "There is no answer file 'C:\\\\a.xml' in 'x'"),
    ],
)
def test_a_bad_answer_file_stops_it_before_anything_is_noted(
    scene: Scene, unattend: str, found: Optional[int], sentence: str
) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    if found is not None:
        scene.execute(*powershell(f"if (Test-Path -LiteralPath '{unattend}') {{exit 0}} else {{exit 3}}"), rc=found)
    with pytest.raises(TaskError, match=sentence):
        scene.run(unattend=unattend)
    assert not scene.has_claim


# --- what a stopped VM is -----------------------------------------------------------------------------------------

AT = "2026-11-22T09:30:00Z"


@pytest.mark.parametrize(
    ("notes", "uptime"),
    [
        ({"generalized_uptime": [500, 560]}, 500),
        ({"generalized_uptime": [500, 560]}, 560),
        ({**CLONE, "generalized_uptime": [500, 560]}, 530),
        ({**CLONE, "generalized_uptime": None}, 0),
    ],
)
@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("dry", [True, False])
def test_a_generalized_vm_is_left_as_it_is(
    scene: Scene, notes: dict[str, Any], uptime: int, start: bool, dry: bool
) -> None:
    scene.noted(**notes, generalized_vm=UUID, generalized_at=AT)
    before = scene.notes
    scene.look("stopped", uptime)
    scene.states("stopped")
    scene.look("stopped", uptime)
    assert scene.run(dry=dry, start=start) == Outcome(False, True, AT, GENERALIZED, "stopped")
    assert scene.notes == before
    scene.look("stopped", uptime)
    assert scene.noted_now() == Noted(True, generalizing=False)


@pytest.mark.parametrize(
    ("notes", "uptime"),
    [
        ({}, 500),
        ({"generalized_vm": UUID, "generalized_at": AT, "generalized_uptime": [500, 560]}, 561),
        ({"generalized_vm": UUID, "generalized_at": AT, "generalized_uptime": [500, 560]}, 499),
        ({"generalized_vm": UUID, "generalized_at": AT, "generalized_uptime": None}, 0),
        ({**CLONE, "generalized_vm": UUID, "generalized_at": AT, "generalized_uptime": [500, 560]}, 900),
        ({"generalized_vm": "another", "generalized_at": AT, "generalized_uptime": [500, 560]}, 530),
        ({**CLONE, "generalized_vm": "another", "generalizing": True}, 530),
        (CLONE, 0),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_a_stopped_vm_of_which_nothing_is_known(scene: Scene, notes: dict[str, Any], uptime: int, dry: bool) -> None:
    if notes:
        scene.noted(**notes)
    scene.look("stopped", uptime)
    scene.states("stopped")
    scene.look("stopped", uptime)
    with pytest.raises(TaskError, match=r"nothing shows whether it is generalized.*start: true"):
        scene.run(dry=dry)
    assert scene.notes == notes
    assert scene.has_claim == bool(notes)
    scene.look("stopped", uptime)
    was_noted = notes.get("generalized_vm") == UUID
    assert scene.noted_now() == Noted(None if was_noted else False, generalizing=False)
    assert scene.has_claim == bool(notes)


@pytest.mark.parametrize("dry", [True, False])
def test_a_windows_that_was_shut_down_in_the_middle(scene: Scene, dry: bool) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    scene.look("stopped")
    scene.states("stopped")
    scene.look("stopped")
    with pytest.raises(TaskError, match=r"was interrupted .*has been shut down since.*Remove it"):
        scene.run(dry=dry, start=True)
    scene.look("stopped")
    assert scene.noted_now() == Noted(None, generalizing=True)


@pytest.mark.parametrize("state", ["running", "suspended", "paused", "stopping"])
def test_of_a_vm_that_is_not_stopped_the_notes_prove_nothing(scene: Scene, state: str) -> None:
    scene.look(state, 530)
    assert scene.noted_now() == Noted(False, generalizing=False)
    scene.noted(**CLONE, generalized_vm=UUID, generalized_at=AT, generalized_uptime=[500, 560])
    scene.look(state, 530)
    assert scene.noted_now() == Noted(None, generalizing=False)


def test_notes_that_cannot_be_read_tell_nothing(scene: Scene) -> None:
    Path(claim_path(str(scene.home))).write_text("{", encoding="utf-8")
    scene.look("stopped")
    assert scene.noted_now() == Noted(None, generalizing=None)


def test_of_a_vm_on_a_disk_that_is_not_there_nothing_is_known(scene: Scene) -> None:
    scene.look("stopped")
    shutil.rmtree(scene.home)
    assert scene.noted_now() == Noted(None, generalizing=None)


@pytest.mark.parametrize("state", ["suspended", "paused"])
def test_a_vm_with_something_in_its_memory(scene: Scene, state: str) -> None:
    scene.look(state)
    scene.states(state)
    with pytest.raises(TaskError, match=f"'x' is {state}. Resume it or shut it down first"):
        scene.run(start=True)
    assert not scene.has_claim


def test_a_packed_vm(mac: Any, tmp_path: Path) -> None:
    image = tmp_path / "x.pvmp"
    image.write_text("image")
    facts = {**mac.home(image), "Name": "x", "State": "stopped", "Uptime": "0"}
    for notes, changed in (({**CLONE, "generalized_vm": UUID, "generalized_at": AT}, False), (CLONE, None)):
        with Claim.take(str(tmp_path / "x.pvm")) as claim:
            claim.write(**notes)
        mac.list((UUID, "x", "stopped")).look(UUID, **facts)
        vm = get_vm(mac.prl, "x")
        mac.list((UUID, "x", "stopped"))
        mac.list((UUID, "x", "stopped")).look(UUID, **facts)
        if changed is None:
            with pytest.raises(TaskError, match="is packed, and nothing shows"):
                generalize(mac.prl, vm, GeneralizeOrder(start=True), dry=False)
        else:
            assert generalize(mac.prl, vm, GeneralizeOrder(), dry=False).changed is changed


def test_a_dry_run_asks_a_running_guest_and_touches_nothing(scene: Scene) -> None:
    for state in (COMPLETE, GENERALIZED):
        scene.look("running")
        scene.states("running")
        scene.image_state(state)
        outcome = scene.run(dry=True)
        assert (outcome.changed, outcome.was_generalized) == (True, state == GENERALIZED)
    assert not scene.has_claim


def test_a_dry_run_does_not_start(scene: Scene) -> None:
    scene.look("stopped")
    scene.states("stopped")
    scene.look("stopped")
    assert scene.run(dry=True, start=True) == Outcome(True, False, "", "", "stopped")


def test_another_run_is_waited_for(scene: Scene) -> None:
    scene.look("running")
    with Claim.take(str(scene.home)), pytest.raises(TaskError, match="Another run is working on"):
        scene.run(timeout=10)
    assert sum(scene.mac.slept) >= 10


@pytest.mark.parametrize("system", ["macosx", "freebsd"])
def test_systems_that_cannot_be_generalized(mac: Any, tmp_path: Path, system: str) -> None:
    scene = Scene(mac, tmp_path, system)
    scene.look("running")
    with pytest.raises(TaskError, match=rf"the system '{system}' .*Only Windows and Linux"):
        scene.run()


# --- Linux --------------------------------------------------------------------------------------------------------

KEY_TYPES = ("dsa", "ecdsa", "ed25519", "rsa")
MACHINE_ID = ("test", "-s", "/etc/machine-id")
DBUS_ID = ("test", "-s", "/var/lib/dbus/machine-id")
HAS_CLOUD_INIT = ("test", "-e", "/usr/bin/cloud-init")
CLOUD_NOTES = ("test", "-e", "/var/lib/cloud/instance")


def host_key(kind: str) -> tuple[str, ...]:
    return ("test", "-e", f"/etc/ssh/ssh_host_{kind}_key")


def test_a_running_linux(linux: Scene) -> None:
    linux.look("running")
    linux.states("running")
    linux.execute(*MACHINE_ID)  # the first trace is enough to know that it is not generalized
    for look, remove in (
        (MACHINE_ID, ("truncate", "-s", "0", "/etc/machine-id")),
        (DBUS_ID, ("rm", "-f", "/var/lib/dbus/machine-id")),
        *(
            (host_key(kind), ("rm", "-f", f"/etc/ssh/ssh_host_{kind}_key", f"/etc/ssh/ssh_host_{kind}_key.pub"))
            for kind in KEY_TYPES
        ),
    ):
        linux.execute(*look)
        linux.execute(*remove)
        linux.execute(*look, rc=1)
    linux.execute(*HAS_CLOUD_INIT)
    linux.execute(*CLOUD_NOTES)
    linux.execute("cloud-init", "clean", "--logs")
    linux.execute(*HAS_CLOUD_INIT)
    linux.execute(*CLOUD_NOTES, rc=1)
    linux.proven_and_stopped()
    outcome = linux.run()
    assert (outcome.changed, outcome.proof) == (True, LINUX_PROOF)
    assert linux.notes["generalized_vm"] == UUID


def test_a_linux_without_a_trace_is_only_shut_down(linux: Scene) -> None:
    linux.look("running")
    linux.states("running")
    for look in (MACHINE_ID, DBUS_ID, *map(host_key, KEY_TYPES), HAS_CLOUD_INIT):
        linux.execute(*look, rc=1)
    linux.proven_and_stopped()
    outcome = linux.run()
    assert (outcome.changed, outcome.was_generalized) == (True, True)


@pytest.mark.parametrize(("rc", "after"), [(1, None), (0, 0)])
def test_a_trace_that_cannot_be_removed(linux: Scene, rc: int, after: Optional[int]) -> None:
    linux.look("running")
    linux.states("running")
    linux.execute(*MACHINE_ID)
    linux.execute(*MACHINE_ID)
    linux.execute("truncate", "-s", "0", "/etc/machine-id", rc=rc, err="Read-only file system" if rc else "")
    if after is not None:
        linux.execute(*MACHINE_ID, rc=after)
    with pytest.raises(
        TaskError, match=r"^The machine ID could not be removed in 'x': `truncate .*exit code"
    ) as caught:
        linux.run()
    assert caught.value.details["rc"] == rc


def test_a_linux_that_was_shut_down_in_the_middle_is_started_again(linux: Scene) -> None:
    linux.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    linux.look("stopped")
    linux.states("stopped")
    linux.look("stopped")
    linux.start()
    for look in (MACHINE_ID, DBUS_ID, *map(host_key, KEY_TYPES), HAS_CLOUD_INIT):
        linux.execute(*look, rc=1)
    linux.proven_and_stopped()
    assert linux.run(start=True).changed
