# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generalizing a guest: what is run in it, what counts as proof, what keeps a generalized one from being started."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import (
    generalize_linux,
    generalize_windows,
    guest_work,
    sysprep,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.generalize import (
    GeneralizeOrder,
    Noted,
    Outcome,
    generalize,
    noted,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import powershell
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_answer import (
    Answer,
    _lines,
    shell_script,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
SYSPREP = "C:\\Windows\\System32\\Sysprep\\sysprep.exe"
STATE_KEY = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State"
COMPLETE = "IMAGE_STATE_COMPLETE"
UNDEPLOYABLE = "IMAGE_STATE_UNDEPLOYABLE"
GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
FIRST_SETUP = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
LINUX_PROOF = "no machine ID, SSH host keys, cloud-init data, leases, network state or shell history"
JOB_ERROR = "PrlJob_GetRetCode: Invalid argument. An invalid argument was passed.\n"
NOT_READY = "Unable to open new session in this virtual machine. Make sure it has finished booting.\n"
CLONE = {"operation": "clone", "source": "s", "source_name": "Source", "clone": UUID, "restart_source": False}


# What a Windows answers in which nothing stops Sysprep.
HEALTHY: dict[str, Any] = {
    "packages": [],
    "encryption": [["0"]],
    "prevented": [["yes"]],
    "reserve": [],
    "restart": [],
    "rearms": [["1001"]],
    "earlier": [["7", "2"]],
    "servicing": [],
    "old_windows": [],
    "fast_startup": [],
    "disabled": [],
    "booted": [["638"]],
}
NAME = "0123456789abcdef"
RESULT = f"C:\\Windows\\Temp\\macops-{NAME}\\result"
LOADER = "& ([ScriptBlock]::Create([Console]::In.ReadToEnd()))"


def answer_text(topics: Mapping[str, Any]) -> str:
    lines = []
    for topic, rows in topics.items():
        if isinstance(rows, str):
            lines.append(f"{topic}\t!\t{rows}")
        else:
            lines += ["\t".join((topic, "+", *row)) for row in rows]
            lines.append(f"{topic}\t=")
    return "\n".join(("macops-answer plain", *lines, "macops-end", ""))


def ordered(script: str) -> dict[str, Any]:
    """Return the order in the script that begins long work in Windows."""
    found = re.search(rf"'\S+\n(\S+)\n\.{NAME}'", script)
    assert found, script
    order: dict[str, Any] = json.loads(base64.b64decode(found.group(1)))
    assert (order["nonce"], order["limit"], order["fetch"], order["store"]) == (NAME, order["limit"], False, False)
    return order


def result_text(rc: int, out: str = "", err: str = "", killed: int = 0) -> str:
    """Return what long work in Windows leaves."""
    lines = [f"BEGIN {NAME}", f"END {NAME} {rc} -1 -1 {killed} {len(out)}"]
    lines += [f"{tag} {base64.b64encode(text.encode()).decode()}" for tag, text in (("O", out), ("E", err)) if text]
    return "\r\n".join((*lines, f"EOT {NAME} {hashlib.sha256((out + err).encode()).hexdigest()}", ""))


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

    def answers(self, windows: bool = True, **topics: Any) -> None:
        """Expect the questions that are asked in one call: a topic is answered with rows, or with why it is unknown."""
        self.execute(*(powershell(LOADER) if windows else ("/bin/sh", "-s")), out=answer_text(topics))

    def logs(self, **topics: Any) -> None:
        self.answers(**{"setuperr": [], "setupact": [], **topics})

    def prepared(self, **facts: Any) -> None:
        """Expect the questions before Sysprep."""
        self.at_work(False)
        self.answers(**{**HEALTHY, **facts})
        self.at_work(False)

    def sysprep(self, *more: str, then: Callable[[], Any] = lambda: None) -> None:
        """Expect that it begins, in a process of its own."""

        def begun() -> None:
            line = ordered(self.mac.answers[-1])["line"]
            assert line == " ".join((SYSPREP, "/generalize", "/oobe", "/quit", "/quiet", *more))
            then()

        self.execute(*powershell(LOADER), out=answer_text({"work": [["begun"]]}), then=begun)

    def work(self, *row: str) -> None:
        """Expect the question what becomes of it."""
        self.answers(work=[list(row)])

    def ended(self, state: str) -> None:
        """Expect the questions whose answers show that it has ended, and Windows is in this state then."""
        self.work("ended", RESULT)
        self.at_work(False)
        self.image_state(state)

    def result(self, rc: int) -> None:
        """Expect the question for what it has left."""
        self.work("ended", RESULT)
        self.execute(RESULT, out=result_text(rc))

    def fix(self, script: str, **result: Any) -> None:
        """Expect long work that fixes something."""

        def begun() -> None:
            order = ordered(self.mac.answers[-1])
            assert (order["line"], order["limit"]) == (" ".join(powershell(script)), 1800)

        self.execute(*powershell(LOADER), out=answer_text({"work": [["begun"]]}), then=begun)
        self.work("running")
        self.work("ended", RESULT)
        self.work("ended", RESULT)
        self.execute(RESULT, out=result_text(**{"rc": 0, **result}))
        self.cleared()

    def cleared(self) -> None:
        """Expect that what it has left is removed."""
        self.answers(work=[])

    def proven_and_stopped(self, before: int = 500, after: int = 507) -> None:
        self.look("running", before)
        self.stop("running", "stopping", "stopped")
        self.look("stopped", after)

    def run(self, dry: bool = False, **order: Any) -> Outcome:
        return generalize(self.mac.prl, get_vm(self.mac.prl, "x"), GeneralizeOrder(**order), dry=dry)


@pytest.fixture(autouse=True)
def _known_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (generalize_windows, guest_work):
        monkeypatch.setattr(module, "new_name", lambda: NAME)


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
    scene.prepared()
    scene.logs()
    scene.sysprep()
    scene.ended(GENERALIZED)
    scene.cleared()
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
    scene.answers(**HEALTHY)
    scene.at_work(False)
    scene.logs()
    scene.sysprep("/mode:vm", "/unattend:C:\\answer.xml")
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    outcome = scene.run(start=True, mode_vm=True, unattend="C:\\answer.xml")
    assert (outcome.changed, outcome.previous_state) == (True, "stopped")
    assert scene.notes["generalized_vm"] == UUID


def test_what_is_noted_while_sysprep_runs_and_before_the_shutdown(scene: Scene) -> None:
    seen: dict[str, Any] = {}
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.sysprep(then=lambda: seen.update(in_sysprep=scene.notes))
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.look("running", 500)
    scene.mac.expect("prlctl", "stop", UUID, "--noforce", then=lambda: seen.update(in_stop=scene.notes))
    scene.states("stopped")
    scene.look("stopped", 520)
    scene.run(stop_timeout=300)
    assert seen["in_sysprep"] == {"generalized_vm": UUID, "generalizing": NAME}
    # As long as the shutdown may take, and a minute: a VM found stopped within that was not started again.
    assert seen["in_stop"]["generalized_uptime"] == [500, 860]
    assert "generalizing" not in seen["in_stop"]


def test_sysprep_that_goes_on_after_its_command_was_lost(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.execute(*powershell(LOADER), said=JOB_ERROR, lost=True)
    scene.execute(*powershell(LOADER), out=answer_text({"work": [["again"]]}))
    scene.work("starting")
    scene.work("running")
    # A poll that gets no answer says nothing.
    scene.execute(*powershell(LOADER), said=JOB_ERROR, lost=True)
    scene.execute(*powershell(LOADER), out="")
    scene.execute(*powershell(LOADER), out="macops-answer plain\n")
    scene.execute(*powershell(LOADER), out="macops-answer plain\n")
    scene.work("running")
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().proof == GENERALIZED
    begun, again = (ordered(script) for script in scene.mac.answers if "Win32_Process -MethodName Create" in script)
    assert begun == again


def test_the_state_counts_only_when_sysprep_has_ended(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.sysprep()
    scene.work("running")
    scene.work("ended", RESULT)
    scene.at_work(True)
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().changed


def test_a_sysprep_of_a_killed_run_is_waited_for(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=NAME)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)  # it has only just begun
    for _look in range(4):
        scene.work("running")
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().changed
    assert "generalizing" not in scene.notes


def test_a_sysprep_that_is_at_work_without_a_name_is_waited_for(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    scene.look("running")
    scene.states("running")
    scene.image_state(UNDEPLOYABLE)
    scene.at_work(True)
    scene.at_work(True)
    scene.work("none")
    scene.at_work(True)
    scene.work("none")
    scene.at_work(False)
    scene.image_state(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().changed


def test_a_sysprep_that_failed_while_nobody_waited_is_not_started_again(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=NAME)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.work("ended", RESULT)
    scene.work("ended", RESULT)
    for _look in range(3):
        scene.ended(COMPLETE)
    scene.result(31)
    scene.logs(setuperr=[["0x80310039"]])
    scene.cleared()
    with pytest.raises(TaskError, match="without generalizing Windows") as caught:
        scene.run()
    assert (caught.value.details["rc"], caught.value.details["cause"]) == (31, "bitlocker")
    assert scene.notes == CLONE


def test_a_sysprep_that_was_noted_and_never_begun_begins(scene: Scene) -> None:
    scene.noted(**CLONE, generalized_vm=UUID, generalizing=NAME)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.work("none")
    scene.at_work(False)
    scene.answers(**HEALTHY)
    scene.work("none")
    scene.at_work(False)
    scene.logs()
    scene.sysprep()
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().changed


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


PACKAGE = "Package {} was installed for a user, but not provisioned for all users. This package will not function"


@pytest.mark.parametrize(
    ("err", "act", "cause", "advice"),
    [
        ([PACKAGE.format("A_1_arm64__x")], [], "packages", "Remove-AppxPackage"),
        (["Failed to remove apps for the current user: 0x80073cf2."], [], "packages", "Remove-AppxPackage"),
        (["BitLocker-Sysprep: BitLocker is on for the OS volume. (0x80310039)"], [], "bitlocker", "manage-bde -off"),
        (
            [],
            ["Audit mode cannot be turned on if reserved storage is in use.; hr = 0x800F0975"],
            "updates",
            "StartComponentCleanup",
        ),
        ([], ["Audit mode can't be turned on if there is an active scenario"], "updates", "StartComponentCleanup"),
        (["hr = 0xc004d307"], [], "rearms", "SkipRearm"),
        (["slc.dll, SLReArmWindows', returned error code -1073425657"], [], "rearms", "new source VM"),
        (["hr = 0x8007001f"], [], "earlier_sysprep", "cloned again"),
        (["Sysprep_Clean_Opk: Failed to remove Uninstall; hr = 0x80070003"], [], "old_windows", "Disk Cleanup"),
        (["spbcd.dll,Sysprep_Generalize_Bcd", PACKAGE.format("A")], [], "packages", "Remove-AppxPackage"),
        (["spbcd.dll,Sysprep_Generalize_Bcd"], [PACKAGE.format("A")], "boot_configuration", "bcdedit"),
        (["something nobody knows"], ["nothing"], "", "Fix the reported problem in the guest"),
        ([], [], "", "in the state IMAGE_STATE_COMPLETE. Fix the reported problem"),
    ],
)
def test_sysprep_that_fails(scene: Scene, err: list[str], act: list[str], cause: str, advice: str) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs(setuperr=[["4711"]])
    scene.sysprep()
    for _look in range(3):
        scene.ended(COMPLETE)
    scene.result(31)
    scene.logs(setuperr=[[line] for line in err], setupact=[[line] for line in act])
    scene.cleared()
    with pytest.raises(TaskError, match=re.escape(advice)) as caught:
        scene.run()
    assert caught.value.details["cause"] == cause
    told = err or act
    assert all(line in caught.value.message for line in told[:1] if not cause)
    assert (caught.value.details["rc"], caught.value.details["image_state"]) == (31, COMPLETE)
    # Only what follows the old lines is read.
    assert "$from = 4711" in scene.mac.answers[-2]
    assert "$from = 0" in scene.mac.answers[-2]
    assert not scene.has_claim  # it may be started again


def test_all_packages_in_the_logs_are_named(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.sysprep()
    for _look in range(3):
        scene.ended(COMPLETE)
    scene.result(31)
    scene.logs(setuperr=[[PACKAGE.format("A")], [PACKAGE.format("A")]], setupact=[[PACKAGE.format("B")]])
    scene.cleared()
    with pytest.raises(TaskError, match=r"The packages are A, B\.") as caught:
        scene.run()
    assert caught.value.details["packages"] == ["A", "B"]


@pytest.mark.parametrize(
    ("facts", "ids"),
    [
        ({"packages": [["A_2"], ["B_1"]]}, ["packages"]),
        ({"encryption": [["1"]]}, ["bitlocker"]),
        ({"reserve": [["7"]]}, ["updates"]),
        ({"restart": [["Windows Update"]]}, ["restart"]),
        ({"rearms": [["0"]]}, ["rearms"]),
        ({"earlier": [["3", "2"]]}, ["earlier_sysprep"]),
        ({"disabled": [["wuauserv"]]}, ["services"]),
        (
            {
                "packages": [["A_2"]],
                "encryption": [["2"]],
                "restart": [["a new computer name"]],
                "fast_startup": [["on"]],
            },
            ["packages", "bitlocker", "restart"],
        ),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_all_that_blocks_sysprep_is_reported_before_it_runs(
    scene: Scene, facts: dict[str, Any], ids: list[str], dry: bool
) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.answers(**{**HEALTHY, **facts})
    with pytest.raises(TaskError, match=r"^Sysprep would fail in 'x', so it was not started") as caught:
        scene.run(dry=dry)
    found = caught.value.details["findings"]
    assert [each["id"] for each in found if each["blocks"]] == ids
    assert all(each["problem"] in caught.value.message for each in found if each["blocks"])
    assert not scene.has_claim


@pytest.mark.parametrize(
    ("facts", "order", "ids"),
    [
        ({"prevented": []}, {}, ["device_encryption"]),
        ({"servicing": [["SessionsPending"]]}, {}, ["servicing"]),
        ({"old_windows": [["Windows.old"]]}, {}, ["old_windows"]),
        ({"fast_startup": [["on"]]}, {}, ["hibernation"]),
        ({"restart": [["files", "rename"]]}, {}, ["restart"]),
        ({"rearms": [["0"]]}, {"skip_rearm": True}, []),
        ({"earlier": [["", ""]]}, {}, []),
    ],
)
def test_what_does_not_block_sysprep_is_in_the_result(
    scene: Scene, facts: dict[str, Any], order: dict[str, Any], ids: list[str]
) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared(**facts)
    scene.logs()
    scene.sysprep()
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert [each.id for each in scene.run(**order).preparation.found] == ids


def test_what_cannot_be_read_is_said_and_left_to_sysprep(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared(encryption="Access is denied.", packages="0x80070005")
    scene.logs()
    scene.sysprep()
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    assert scene.run().preparation.unknown == (
        "It is not known which apps are installed for one user only. The guest reports: 0x80070005. Sysprep checks it.",
        "It is not known whether the disk is encrypted. The guest reports: Access is denied. Sysprep checks it.",
    )


def test_what_is_ordered_is_mended_one_after_the_other(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    wrong = {
        **HEALTHY,
        "packages": [["A_2"], ["It's_1"]],
        "encryption": [["1"]],
        "prevented": [],
        "fast_startup": [["on"]],
        "restart": [["Windows Update"]],
    }
    scene.answers(**wrong)
    scene.fix(sysprep._REMOVE.replace("NAMES", "'A_2','It''s_1'"))
    wrong["packages"] = []
    scene.answers(**wrong)
    scene.execute("manage-bde.exe", "-off", "C:")
    scene.answers(**{**wrong, "encryption": [["3"]]})
    scene.answers(**{**wrong, "encryption": "busy"})
    wrong["encryption"] = [["0"]]
    scene.answers(**wrong)
    scene.answers(**wrong)
    scene.execute(*powershell(sysprep._PREVENT_ENCRYPTION))
    wrong["prevented"] = [["yes"]]
    scene.answers(**wrong)
    scene.execute(*powershell(sysprep._NO_HIBERNATION))
    wrong["fast_startup"] = []
    scene.answers(**wrong)
    scene.execute("shutdown.exe", "/r", "/t", "0")
    scene.answers(**wrong)  # it has not gone down yet
    scene.answers(**{**wrong, "booted": [["639"]], "restart": []})
    scene.answers(**{**wrong, "booted": [["639"]], "restart": []})
    scene.at_work(False)
    scene.logs()
    scene.sysprep()
    scene.ended(GENERALIZED)
    scene.cleared()
    scene.proven_and_stopped()
    outcome = scene.run(fixes=sysprep.FIXES)
    assert outcome.preparation.fixed == (
        "remove_packages",
        "bitlocker",
        "device_encryption",
        "hibernation",
        "restart",
    )
    assert outcome.preparation.found == ()


def test_what_is_mended_in_vain_still_blocks(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    for _time in range(2):
        scene.answers(**{**HEALTHY, "packages": [["A_2"]]})
        if not _time:
            scene.fix(sysprep._PROVISION.replace("NAMES", "'A_2'"))
    with pytest.raises(TaskError, match="so it was not started"):
        scene.run(fixes=("provision_packages",))


def test_a_fix_that_fails_is_an_error(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.answers(**{**HEALTHY, "packages": [["A_2"]]})
    scene.fix(sysprep._REMOVE.replace("NAMES", "'A_2'"), rc=1, err="A_2 (0x80070032)")
    with pytest.raises(TaskError, match=r"remove_packages did not succeed in 'x': A_2 \(0x80070032\)"):
        scene.run(fixes=("remove_packages",))


def test_restarts_come_to_an_end(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    for number in range(4):
        scene.answers(**{**HEALTHY, "restart": [["Windows Update"]], "booted": [[str(number)]]})
        if number < 3:
            scene.execute("shutdown.exe", "/r", "/t", "0")
            scene.answers(**{**HEALTHY, "restart": [["Windows Update"]], "booted": [[str(number + 1)]]})
    with pytest.raises(TaskError, match=r"A restart is pending \(Windows Update\)"):
        scene.run(fixes=("restart",))


def test_what_would_be_mended_does_not_block_a_dry_run(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.at_work(False)
    scene.answers(**{**HEALTHY, "packages": [["A_2"]]})
    outcome = scene.run(dry=True, fixes=("remove_packages",))
    assert (outcome.changed, [each.id for each in outcome.preparation.found]) == (True, ["packages"])


ANSWER_FILE = "C:\\Windows\\Temp\\macops-parallels-unattend.xml"
DELETION = f"if (Test-Path -LiteralPath '{ANSWER_FILE}') {{Remove-Item -LiteralPath '{ANSWER_FILE}' -Force}}"


@pytest.mark.parametrize("works", [True, False])
def test_an_answer_file_is_put_there_and_deleted(scene: Scene, works: bool) -> None:
    content = "<unattend>Übung, secret</unattend>"
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.execute(ANSWER_FILE, out=hashlib.sha256(content.encode()).hexdigest() + "\r\n")
    scene.sysprep(f"/unattend:{ANSWER_FILE}")
    if works:
        scene.ended(GENERALIZED)
        scene.cleared()
        scene.execute(*powershell(DELETION))
        scene.proven_and_stopped()
        assert scene.run(answer_file=content).changed
    else:
        for _look in range(3):
            scene.ended(COMPLETE)
        scene.result(31)
        scene.logs()
        scene.cleared()
        scene.execute(*powershell(DELETION))
        with pytest.raises(TaskError, match="without generalizing Windows"):
            scene.run(answer_file=content)
    assert content in scene.mac.answers


def test_an_answer_file_that_did_not_arrive_is_not_used(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.execute(ANSWER_FILE, out="0" * 64)
    scene.execute(*powershell(DELETION))
    with pytest.raises(TaskError, match="could not be written in 'x'"):
        scene.run(answer_file="<unattend/>")


def test_after_a_failure_the_claim_of_a_clone_is_as_it_was(scene: Scene) -> None:
    scene.noted(**CLONE)
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.sysprep()
    for _look in range(3):
        scene.ended(COMPLETE)
    scene.result(0)
    scene.logs()
    scene.cleared()
    with pytest.raises(
        TaskError, match=r"without generalizing Windows, which is in the state IMAGE_STATE_COMPLETE\. Fix the"
    ):
        scene.run()
    assert scene.notes == CLONE


def test_sysprep_that_does_not_end(scene: Scene) -> None:
    scene.look("running")
    scene.states("running")
    scene.image_state(COMPLETE)
    scene.prepared()
    scene.logs()
    scene.sysprep()
    for _look in range(4):
        scene.work("running")
    scene.image_state(UNDEPLOYABLE)
    with pytest.raises(TaskError, match=r"did not finish within 9 seconds .* It is still running"):
        scene.run(timeout=9)
    assert scene.notes == {"generalized_vm": UUID, "generalizing": NAME}


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
    scene: Scene, unattend: str, found: Any, sentence: str
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
        if state == COMPLETE:
            scene.at_work(False)
            scene.answers(**HEALTHY)
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

TOPICS = ("machine_id", "host_keys", "cloud_init", "leases", "network", "history", "pinned")
CLEAN: dict[str, Any] = {topic: [] for topic in TOPICS}
USED = {**CLEAN, "machine_id": [["/etc/machine-id"]], "host_keys": [["/etc/ssh/ssh_host_rsa_key"]]}
REMOVE = ("/bin/sh", "-c", generalize_linux._REMOVE)


def test_a_running_linux(linux: Scene) -> None:
    linux.look("running")
    linux.states("running")
    linux.answers(windows=False, **USED)
    linux.answers(windows=False, **USED)
    linux.execute(*REMOVE)
    linux.answers(windows=False, **CLEAN)
    linux.answers(windows=False, logs=[])
    linux.proven_and_stopped()
    outcome = linux.run()
    assert (outcome.changed, outcome.proof, outcome.preparation.found) == (True, LINUX_PROOF, ())
    assert linux.notes["generalized_vm"] == UUID


def test_a_linux_without_a_trace_is_only_shut_down(linux: Scene) -> None:
    linux.look("running")
    linux.states("running")
    linux.answers(windows=False, **CLEAN)
    linux.proven_and_stopped()
    outcome = linux.run()
    assert (outcome.changed, outcome.was_generalized) == (True, True)


@pytest.mark.parametrize("topic", [topic for topic in CLEAN if topic != "pinned"])
def test_each_trace_counts(linux: Scene, topic: str) -> None:
    linux.look("running")
    linux.states("running")
    for _time in range(2):
        linux.answers(windows=False, **{**CLEAN, topic: [["/some/file"]]})
    assert linux.run(dry=True).was_generalized is False


@pytest.mark.parametrize("topic", [topic for topic in CLEAN if topic != "pinned"])
def test_what_is_not_known_of_a_linux_is_an_error(linux: Scene, topic: str) -> None:
    linux.look("running")
    linux.states("running")
    linux.answers(windows=False, **{name: rows for name, rows in CLEAN.items() if name != topic})
    with pytest.raises(TaskError, match=r"It is not known whether .* The guest did not answer this question"):
        linux.run()


@pytest.mark.parametrize(
    ("rc", "after", "logs", "what"),
    [
        (1, USED, [], "The machine ID"),
        (0, USED, [], "The machine ID"),
        (1, CLEAN, [], "Everything"),
        (0, CLEAN, [["/var/log/audit/audit.log"]], r"What was in the logs \(/var/log/audit/audit\.log\)"),
        (
            0,
            CLEAN,
            [[f"/var/log/{number}"] for number in range(23)],
            r"What was in the logs \(.*, /var/log/19 and 3 more",
        ),
    ],
)
def test_a_trace_that_cannot_be_removed(linux: Scene, rc: int, after: Any, logs: Any, what: str) -> None:
    linux.look("running")
    linux.states("running")
    linux.answers(windows=False, **USED)
    linux.answers(windows=False, **USED)
    linux.execute(*REMOVE, rc=rc, err="Read-only file system" if rc else "")
    linux.answers(windows=False, **after)
    linux.answers(windows=False, logs=logs)
    with pytest.raises(TaskError, match=rf"^{what}.* could not be removed in 'x': .*exit code {rc}") as caught:
        linux.run()
    assert caught.value.details["rc"] == rc


def test_a_network_that_is_pinned_to_one_card_is_said(linux: Scene) -> None:
    linux.look("running")
    linux.states("running")
    for _time in range(2):
        linux.answers(windows=False, **{**USED, "pinned": [["/etc/netplan/01.yaml"]]})
    (finding,) = linux.run(dry=True).preparation.found
    assert (finding.id, finding.blocks) == ("pinned_network", False)
    assert "/etc/netplan/01.yaml" in finding.sentence()


def test_a_linux_that_was_shut_down_in_the_middle_is_started_again(linux: Scene) -> None:
    linux.noted(**CLONE, generalized_vm=UUID, generalizing=True)
    linux.look("stopped")
    linux.states("stopped")
    linux.look("stopped")
    linux.start()
    linux.answers(windows=False, **CLEAN)
    linux.proven_and_stopped()
    assert linux.run(start=True).changed


def test_which_logs_count_in_a_real_shell(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    (logs / "audit").mkdir(parents=True)
    ages = {"old": 600, "audit/old": 600, "empty": 600, "new": 5, "a b": 600}
    for name, age in ages.items():
        (logs / name).write_text("" if name == "empty" else "line\n")
        os.utime(logs / name, (time.time() - age,) * 2)
    script = generalize_linux._LOGS.replace("/var/log", str(logs)).replace("MINUTES", "2")

    def said() -> Any:
        command = ["/bin/sh", "-s"]
        done = subprocess.run(command, input=shell_script(script), capture_output=True, text=True, check=True)
        return Answer(_lines(Result(command, 0, done.stdout, done.stderr))).rows("logs")

    assert said() == [(str(logs / name),) for name in ("a b", "audit/old", "old")]
    # What clears them is the end of the script that removes everything.
    clearing = generalize_linux._REMOVE[generalize_linux._REMOVE.index("for place in") :]
    subprocess.run(["/bin/sh", "-ec", clearing.replace("/var/log", str(logs))], check=True)
    assert said() == []
    assert {(logs / name).stat().st_size for name in ages} == {0}


def pauses(scene: Scene, setting: str) -> None:
    scene.facts["Startup and Shutdown"] = {"Pause idle": setting}


def turned(scene: Scene, state: str, setting: str) -> None:
    """Expect that a setting is changed, and read."""
    scene.states(state)
    scene.mac.expect("prlctl", "set", UUID, "--pause-idle", setting)
    pauses(scene, setting)
    scene.look(state, 500)
    scene.look(state, 500)


def test_parallels_does_not_pause_a_vm_while_it_is_generalized(linux: Scene) -> None:
    pauses(linux, "on")
    linux.look("running")
    linux.states("running")
    turned(linux, "running", "off")
    linux.execute("/bin/sh", "-s", out=answer_text(CLEAN), then=lambda: seen.update(linux.notes))
    seen: dict[str, Any] = {}
    linux.look("running", 500)
    turned(linux, "running", "on")
    linux.proven_and_stopped()
    assert linux.run().changed
    assert seen == {"idle_vm": UUID}
    assert "idle_vm" not in linux.notes


def test_what_a_killed_run_has_turned_off_is_on_again_after_the_next(scene: Scene) -> None:
    scene.noted(idle_vm=UUID, generalized_vm=UUID, generalized_at=AT, generalized_uptime=[500, 560])
    pauses(scene, "off")
    scene.look("stopped", 500)
    scene.states("stopped")
    scene.look("stopped", 500)
    scene.look("stopped", 500)
    turned(scene, "stopped", "on")
    assert scene.run().changed is False
    assert "idle_vm" not in scene.notes
