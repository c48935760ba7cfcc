# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a guest: when they are run, when again, and what is said when they are not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import (
    Guest,
    Login,
    Lost,
    NotBegun,
    explain_rc,
    powershell,
    refuse_long,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_slots import LIMITS, Limits, slot
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
NO_SESSION = (
    "Unable to open new session in this virtual machine. Make sure your virtual machine has finished booting, runs the "
    "latest version of Parallels Tools, and is not isolated from the host OS.\n"
)
JOB_ERROR = "PrlJob_GetRetCode: Invalid argument. An invalid argument was passed.\n"
SERVICE_DOWN = "Login failed: Unable to connect to Parallels Service. Please restart your Mac and try again.\n"
NOT_STARTED = (
    'Failed to execute the command: Unable to perform the operation because the virtual machine "x" is not started. '
    "This operation can be performed for running virtual machines only.\n"
)
PASSWORD = "s3cret horse"
ADMIN = ("-u", "admin", "--password", PASSWORD)
PROBES = {"win-11": ("cmd", "/c", "exit", "0"), "ubuntu": ("true",), "macosx": ("true",)}


def a_guest(mac: Any, *, state: str = "running", system: str = "win-11", **options: Any) -> Guest:
    mac.list((UUID, "x", state)).look(UUID, Name="x", State=state, OS=system)
    return Guest(mac.prl, get_vm(mac.prl, "x"), **{"patience": 60, **options})


def execute(mac: Any, *argv: str, **answer: Any) -> Any:
    return mac.expect_session(UUID, *argv, **answer)


def looked(mac: Any, state: str = "running", **facts: Any) -> None:
    """Expect that the reason for a session that was not opened is looked for."""
    mac.list((UUID, "x", state)).look(UUID, **{"Name": "x", "State": state, **facts})


def decoded(argv: list[str]) -> str:
    return base64.b64decode(argv[-1]).decode("utf-16-le")


# --- readiness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", PROBES)
def test_a_guest_is_asked_until_it_answers(mac: Any, system: str) -> None:
    reasons: list[str] = []
    guest = a_guest(mac, system=system, waits=reasons.append)
    probe = PROBES[system]
    for rc in (255, 0):  # with any exit code, it is not a success
        execute(mac, *probe, rc=rc, said=NO_SESSION)
        looked(mac)
    execute(mac, *probe, rc=253, said=SERVICE_DOWN)
    execute(mac, *probe, rc=255, said=JOB_ERROR)
    execute(mac, *probe)
    guest.wait_until_ready()
    assert mac.slept == [1, 1.6, pytest.approx(2.56), pytest.approx(4.096)]
    # Each only once, and at last that it is over.
    assert [reason.split(" ")[0] for reason in reasons] == ["The", "Parallels", "prlctl", ""]


READINESS = [
    ({"tools": "possibly_installed"}, "booting", "is still booting, or its Parallels Tools do not respond yet"),
    ({"tools": "not_installed"}, "no_tools", "reports no Parallels Tools in 'x'. Install Parallels Tools"),
    ({"isolated": "1"}, "isolated", "'x' is isolated from the Mac, so Parallels runs no commands in it. End the"),
    ({"said": ""}, "no_answer", "opened a session, but did not answer in it"),
    ({"state": "stopped"}, "not_running", "'x' is stopped, but commands need a running virtual machine. Start"),
    ({"state": "starting"}, "booting", "'x' is starting"),
    ({"said": JOB_ERROR}, "handle_fault", "prlctl lost its own request before the guest began"),
    ({"said": "PrlVmGuest_RunProgram: Invalid argument.\n"}, "handle_fault", "prlctl lost its own request"),
    ({"said": "PrlResult_GetParamByIndex: no.\n"}, "handle_fault", "do not respond correctly. Restart the"),
    ({"said": NOT_STARTED}, "other", "The virtual machine is not running. Start it first"),
    ({"said": "This feature is not available in this edition of Parallels Desktop.\n"}, "other", "edition"),
]


@pytest.mark.parametrize(("fault", "kind", "sentence"), READINESS)
def test_why_a_guest_takes_no_command(
    mac: Any, tmp_path: Path, fault: dict[str, str], kind: str, sentence: str
) -> None:
    guest = a_guest(mac, patience=0)
    said = fault.get("said", NO_SESSION)
    execute(mac, *PROBES["win-11"], rc=255, said=said)
    if said in ("", NO_SESSION):
        home = mac.bundle(tmp_path / "x.pvm", config=f"<IsolatedVm>{fault.get('isolated', '0')}</IsolatedVm>")
        tools = {"state": fault.get("tools", "installed"), "version": ""}
        looked(mac, fault.get("state", "running"), GuestTools=tools, **home)
    with pytest.raises(NotBegun, match=sentence) as caught:
        guest.wait_until_ready()
    assert caught.value.details["reason"] == kind
    assert mac.slept == []


@pytest.mark.parametrize("config", ["", "<IsolatedVm>maybe</IsolatedVm>"])
def test_isolation_that_is_not_known_is_not_claimed(mac: Any, tmp_path: Path, config: str) -> None:
    guest = a_guest(mac, patience=0)
    execute(mac, *PROBES["win-11"], said=NO_SESSION)
    looked(mac, **mac.bundle(tmp_path / "x.pvm", config=config))
    with pytest.raises(NotBegun, match="is still booting"):
        guest.wait_until_ready()


def test_a_guest_that_never_answers(mac: Any) -> None:
    guest = a_guest(mac, patience=3)
    for _try in range(4):
        execute(mac, *PROBES["win-11"], rc=255, said=NO_SESSION)
        looked(mac)
    with pytest.raises(NotBegun, match=r"did not take a command within 3 seconds\. .* Parallels Tools") as caught:
        guest.wait_until_ready()
    assert caught.value.details["rc"] == 255
    assert caught.value.passes


# --- running ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "options"),
    [
        (Login(), ()),
        (Login(current_user=True), ("--current-user",)),
        (Login(user="jörg", password=PASSWORD), ("-u", "jörg", "--password", PASSWORD)),
    ],
)
def test_the_options_come_after_the_name_of_the_vm(mac: Any, login: Login, options: tuple[str, ...]) -> None:
    guest = a_guest(mac)
    execute(mac, "whoami", login=options, out="me\r\n")
    result = guest.run(["whoami"], login=login, limit=60)
    assert result.stdout == "me\r\n"
    assert PASSWORD not in " ".join(result.cmd)


@pytest.mark.parametrize(
    ("rc", "err"),
    [(0, ""), (3, "Access is denied.\r\n"), (253, ""), (255, ""), (255, NO_SESSION), (1, SERVICE_DOWN)],
)
def test_an_exit_code_is_that_of_the_program_and_it_is_never_tried_again(mac: Any, rc: int, err: str) -> None:
    guest = a_guest(mac)
    execute(mac, "tool.exe", "/x", rc=rc, out="out", err=err)
    result = guest.run(["tool.exe", "/x"], limit=60)
    assert (result.rc, result.stdout, result.stderr) == (rc, "out", err)
    assert mac.slept == []


@pytest.mark.parametrize(
    "said",
    [
        JOB_ERROR,
        SERVICE_DOWN,
        "Failed to x: Unable to perform the action because the virtual machine is busy. It is ...\n",
    ],
)
def test_what_has_not_begun_is_run_again(mac: Any, said: str) -> None:
    guest = a_guest(mac)
    execute(mac, "setup.exe", rc=255, said=said)
    execute(mac, "setup.exe", out="done")
    assert guest.run(["setup.exe"], limit=60).stdout == "done"
    assert mac.slept == [1]


def test_what_may_have_begun_is_not_run_again(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "setup.exe", rc=255, said=JOB_ERROR, lost=True)
    with pytest.raises(Lost, match="It is not known whether it ran to its end") as caught:
        guest.run(["setup.exe"], limit=60)
    assert caught.value.details["stderr"] == JOB_ERROR.strip()


def test_output_that_arrives_changed_is_lost(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "setup.exe", out="done")
    mac.calls[-1].outcome.answer.digest = "0" * 64
    with pytest.raises(Lost):
        guest.run(["setup.exe"], limit=60)


def test_a_command_that_takes_too_long_is_ended(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "setup.exe", rc=143, out="half", timed_out=True)
    with pytest.raises(TaskError, match=r"did not finish within 60 seconds, so it was ended in the guest") as caught:
        guest.run(["setup.exe"], limit=60)
    assert caught.value.details["stdout"] == "half"


def test_a_command_of_which_the_guest_does_not_say_that_it_has_ended(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "setup.exe", said="", lost=True, timed_out=True)
    with pytest.raises(Lost, match="It may still be running: check in the guest"):
        guest.run(["setup.exe"], limit=60)


def test_a_guest_that_cannot_write(mac: Any) -> None:
    guest = a_guest(mac, system="ubuntu")
    execute(mac, "true", said="", lost=True)
    mac.calls[-1].outcome.answer.refused = "temporary"
    with pytest.raises(NotBegun, match="cannot write a temporary file"):
        guest.run(["true"], limit=60)


def test_a_wrong_password_is_tried_once_only(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "whoami", login=ADMIN, rc=255, said=NO_SESSION)
    execute(mac, *PROBES["win-11"])
    with pytest.raises(
        NotBegun, match=r"did not open a session for the user 'admin'.*Check user and password"
    ) as caught:
        guest.run(["whoami"], login=Login("admin", PASSWORD), limit=60)
    assert mac.slept == []
    assert caught.value.details["cmd"][2:] == [UUID, "-u", "admin", "--password", "********"]
    assert PASSWORD not in str(caught.value.result())


def test_while_a_guest_boots_a_password_is_tried_only_at_the_beginning_and_at_the_end(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "whoami", login=ADMIN, rc=255, said=NO_SESSION)
    execute(mac, *PROBES["win-11"], said=NO_SESSION)
    looked(mac)
    for _try in range(2):
        execute(mac, *PROBES["win-11"], said=NO_SESSION)
        looked(mac)
    execute(mac, *PROBES["win-11"])
    execute(mac, "whoami", login=ADMIN, out="admin")
    assert guest.run(["whoami"], login=Login("admin", PASSWORD), limit=60).stdout == "admin"


def test_a_missing_service_is_waited_for_with_a_password_too(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "whoami", login=ADMIN, rc=253, said=SERVICE_DOWN)
    execute(mac, *PROBES["win-11"])
    execute(mac, "whoami", login=ADMIN, out="admin")
    assert guest.run(["whoami"], login=Login("admin", PASSWORD), limit=60).stdout == "admin"


def test_nobody_is_signed_in(mac: Any) -> None:
    guest = a_guest(mac, patience=2)
    execute(mac, "whoami", login=("--current-user",), rc=255, said=NO_SESSION)
    execute(mac, *PROBES["win-11"])
    for _try in range(2):
        execute(mac, "whoami", login=("--current-user",), rc=255, said=NO_SESSION)
    with pytest.raises(NotBegun, match=r"nobody is signed in at its screen.*Sign in there"):
        guest.run(["whoami"], login=Login(current_user=True), limit=60)


def test_of_a_command_that_is_only_begun_the_end_does_not_matter(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "sysprep.exe", rc=255, said=JOB_ERROR)
    execute(mac, "sysprep.exe", said=JOB_ERROR, lost=True)
    assert guest.begin(["sysprep.exe"], limit=60).rc == -1


# --- places for sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "limits", "where"),
    [(UUID, LIMITS, "in this virtual machine"), ("another", Limits(of_mac=1), "on this Mac")],
)
def test_a_session_waits_for_others(mac: Any, held: str, limits: Limits, where: str) -> None:
    reasons: list[str] = []
    guest = a_guest(mac, system="ubuntu", patience=5, limits=limits, waits=reasons.append)
    with (
        slot(held, limits, patience=0, clock=mac.clock, sleep=mac.sleep, waits=print),
        pytest.raises(NotBegun, match=f"within 5 seconds. Another command is running {where}"),
    ):
        guest.run(["true"], limit=60)
    assert len(reasons) == 1
    execute(mac, "true")
    guest.run(["true"], limit=60)


def test_two_sessions_on_a_mac_and_in_a_vm(mac: Any) -> None:
    options: dict[str, Any] = {"patience": 0, "clock": mac.clock, "sleep": mac.sleep, "waits": print}
    with slot("one", Limits(2, 2), **options), slot("one", Limits(2, 2), **options):
        guest = a_guest(mac, system="ubuntu", patience=0, limits=Limits(1, 3))
        execute(mac, "true")
        guest.run(["true"], limit=60)


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_question_is_asked_until_its_answer_comes_through(mac: Any) -> None:
    guest = a_guest(mac)
    execute(mac, "reg", "query", "K", said=JOB_ERROR)
    execute(mac, "reg", "query", "K", said=JOB_ERROR, lost=True)
    execute(mac, "reg", "query", "K", rc=143, timed_out=True)
    execute(mac, "reg", "query", "K", rc=0, out="value")
    assert guest.ask(["reg", "query", "K"]).stdout == "value"


def test_a_question_that_is_never_answered(mac: Any) -> None:
    guest = a_guest(mac, patience=0)
    execute(mac, "reg", said=JOB_ERROR, lost=True)
    with pytest.raises(Lost):
        guest.ask(["reg"])


@pytest.mark.parametrize(("rc", "answer"), [(0, True), (3, False)])
def test_whether_a_path_is_in_windows(mac: Any, rc: int, answer: bool) -> None:
    script = "if (Test-Path -LiteralPath 'C:\\Program Files\\Jörg''s \u2019\u2019x') {exit 0} else {exit 3}"
    guest = a_guest(mac)
    execute(mac, *powershell(script), rc=rc)
    assert guest.exists("C:\\Program Files\\Jörg's \u2019x") is answer


@pytest.mark.parametrize("path", ["/etc/done", "/a b", "/a'b", '/a"b', "/a\\b", "/a\tb", "/é"])
@pytest.mark.parametrize(("rc", "answer"), [(0, True), (1, False)])
def test_whether_a_path_is_in_linux(mac: Any, path: str, rc: int, answer: bool) -> None:
    guest = a_guest(mac, system="ubuntu")
    execute(mac, "test", "-e", path, rc=rc)
    assert guest.exists(path) is answer


@pytest.mark.parametrize(("system", "rc"), [("win-11", 1), ("ubuntu", 2)])
def test_a_look_that_fails_is_no_answer(mac: Any, system: str, rc: int) -> None:
    guest = a_guest(mac, system=system)
    path = "C:\\x" if system == "win-11" else "/x"
    windows = powershell("if (Test-Path -LiteralPath 'C:\\x') {exit 0} else {exit 3}")
    execute(mac, *(windows if system == "win-11" else ("test", "-e", "/x")), rc=rc, err="no")
    with pytest.raises(TaskError, match="A check in 'x' failed: no"):
        guest.exists(path)


# --- words --------------------------------------------------------------------------------------------------------


def test_a_script_arrives_as_it_is_written() -> None:
    script = "Write-Output \"Grüße 'x'\"\nexit 4"
    argv = powershell(script)
    assert argv[0] == "powershell.exe"
    assert argv[-2] == "-EncodedCommand"
    assert decoded(argv).endswith("\n" + script)
    assert not any(" " in word for word in argv)


@pytest.mark.parametrize(("windows", "longest"), [(True, 30_000), (False, 120_000)])
def test_the_longest_command(windows: bool, longest: int) -> None:
    refuse_long(["x" * (longest - 2), "y"], windows=windows)
    with pytest.raises(TaskError, match=f"command has {longest + 1} characters"):
        refuse_long(["x" * (longest - 1), "y"], windows=windows)
    with pytest.raises(TaskError, match="Pass long data in stdin"):
        refuse_long(["ä" * (longest // 2 + 1)], windows=windows)


def test_the_length_that_is_promised_for_a_script() -> None:
    refuse_long(powershell("x" * 10_000), windows=True)
    with pytest.raises(TaskError, match="script, encoded for PowerShell"):
        refuse_long(powershell("x" * 12_000), windows=True)


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "expected"),
    [
        (1, "", "first\r\nlast words\r\n", "with exit code 1: last words. Check its output"),
        (2, "only here.\n", "", "with exit code 2: only here. Check its output"),
        (255, "", "", "with exit code 255. Check its output"),
    ],
)
def test_a_failure_in_words(mac: Any, rc: int, stdout: str, stderr: str, expected: str) -> None:
    vm = a_guest(mac).vm
    assert expected in explain_rc(vm, Result(["prlctl"], rc, stdout, stderr))
