# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a guest: when they are run, when again, and whose exit code it is."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl, Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import (
    COMMAND_LIMIT,
    Guest,
    Login,
    explain_rc,
    powershell,
    refusal_in,
    refuse_long,
)
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
WINDOWS_PROBE = ("cmd", "/c", "exit", "0")
PASSWORD = "s3cret horse"


def a_guest(mac: Any, *, state: str = "running", system: str = "win-11", patience: float = 60) -> Guest:
    mac.list((UUID, "x", state)).look(UUID, Name="x", State=state, OS=system)
    return Guest(mac.prl, get_vm(mac.prl, "x"), patience=patience)


def execute(mac: Any, *argv: str, **answer: Any) -> Any:
    return mac.expect("prlctl", "exec", UUID, *argv, **answer)


def ready(mac: Any, **options: Any) -> Guest:
    guest = a_guest(mac, **options)
    mac.list((UUID, "x", "running"))
    execute(mac, *(WINDOWS_PROBE if guest.windows else ("true",)))
    return guest


def decoded(argv: list[str]) -> str:
    return base64.b64decode(argv[-1]).decode("utf-16-le")


# --- readiness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("system", "probe"), [("win-11", WINDOWS_PROBE), ("ubuntu", ("true",)), ("macosx", ("true",))])
def test_a_guest_is_asked_until_it_answers(mac: Any, system: str, probe: tuple[str, ...]) -> None:
    guest = a_guest(mac, system=system)
    mac.list((UUID, "x", "starting")).list((UUID, "x", "running"))
    execute(mac, *probe, rc=255, err=NO_SESSION)
    execute(mac, *probe, rc=253, err=SERVICE_DOWN)
    execute(mac, *probe, rc=255, err=JOB_ERROR)
    execute(mac, *probe, rc=1)
    execute(mac, *probe)
    guest.wait_until_ready()
    assert mac.slept == [0.5, 1, 1.6, pytest.approx(2.56), pytest.approx(4.096)]


def test_a_guest_that_has_answered_is_not_asked_again(mac: Any) -> None:
    guest = ready(mac)
    guest.wait_until_ready()
    guest.wait_until_ready()


def test_a_guest_that_never_answers(mac: Any) -> None:
    guest = a_guest(mac, patience=3)
    mac.list((UUID, "x", "running"))
    for _try in range(4):
        execute(mac, *WINDOWS_PROBE, rc=255, err=NO_SESSION)
    with pytest.raises(TaskError, match=r"did not respond within 3 seconds: .* Parallels Tools") as caught:
        guest.wait_until_ready()
    assert caught.value.details["rc"] == 255
    assert "isolate-vm off" in caught.value.message


@pytest.mark.parametrize("state", ["stopped", "suspended", "paused"])
def test_a_vm_that_does_not_run_is_not_started(mac: Any, state: str) -> None:
    guest = a_guest(mac, state=state)
    mac.list((UUID, "x", state))
    with pytest.raises(TaskError, match=f"'x' is {state}, .*Start it first"):
        guest.run(["cmd", "/c", "ver"], limit=60)


def test_a_vm_that_stops_meanwhile_is_not_waited_for(mac: Any) -> None:
    guest = a_guest(mac)
    mac.list((UUID, "x", "running"))
    execute(mac, *WINDOWS_PROBE, rc=255, err=NO_SESSION)
    execute(mac, *WINDOWS_PROBE, rc=255, err=NOT_STARTED)
    with pytest.raises(TaskError, match=r"is not running\. Start it first"):
        guest.wait_until_ready()


# --- running ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "options"),
    [
        (Login(), []),
        (Login(current_user=True), ["--current-user"]),
        (Login(user="jörg", password=PASSWORD), ["-u", "jörg", "--password", PASSWORD]),
    ],
)
def test_the_options_come_after_the_name_of_the_vm(mac: Any, login: Login, options: list[str]) -> None:
    guest = ready(mac)
    execute(mac, *options, "whoami", out="me\r\n")
    result = guest.run(["whoami"], login=login, limit=60)
    assert result.stdout == "me\r\n"
    assert PASSWORD not in " ".join(result.cmd)


@pytest.mark.parametrize(
    ("rc", "err"),
    [
        (0, ""),
        (3, "Access is denied.\r\n"),
        (253, ""),
        (254, "disk full"),
        (255, ""),
        (255, "Permission denied (publickey).\n"),
        (1, NO_SESSION),
    ],
)
def test_an_exit_code_of_the_program_is_passed_on_and_never_tried_again(mac: Any, rc: int, err: str) -> None:
    guest = ready(mac)
    execute(mac, "tool.exe", "/x", rc=rc, out="out", err=err)
    result = guest.run(["tool.exe", "/x"], limit=60)
    assert (result.rc, result.stdout, result.stderr) == (rc, "out", err)
    assert mac.slept == []


@pytest.mark.parametrize(
    ("rc", "err"),
    [
        (255, NO_SESSION),
        (253, SERVICE_DOWN),
        (
            255,
            "Failed to x: Unable to perform the action because the virtual machine is busy. It is ...\n",
        ),
        (254, "Failed to execute the command: The virtual machine is not responding.\n"),
    ],
)
def test_what_has_not_begun_is_run_again(mac: Any, rc: int, err: str) -> None:
    guest = ready(mac)
    execute(mac, "setup.exe", rc=rc, err=err)
    execute(mac, "setup.exe", rc=0, out="done")
    assert guest.run(["setup.exe"], limit=60).stdout == "done"
    assert mac.slept == [1]


@pytest.mark.parametrize(
    ("err", "sentence"),
    [
        (NOT_STARTED, "is not running. Start it first"),
        (
            "Failed to get VM config: The virtual machine could not be found.\n",
            "no such virtual machine",
        ),
        ("This feature is not available in this edition of Parallels Desktop.\n", "edition"),
        (
            'Failed to execute the command: This cannot be completed because the virtual machine "x is in the '
            '"paused" state.\n',
            "is paused",
        ),
    ],
)
def test_what_will_not_pass_is_said_at_once(mac: Any, err: str, sentence: str) -> None:
    guest = ready(mac)
    execute(mac, "setup.exe", rc=255, err=err)
    with pytest.raises(TaskError, match=sentence):
        guest.run(["setup.exe"], limit=60)
    assert mac.slept == []


def test_what_may_have_begun_is_not_run_again(mac: Any) -> None:
    guest = ready(mac)
    execute(mac, "setup.exe", rc=255, err=JOB_ERROR)
    with pytest.raises(TaskError, match="It is not known whether it ran") as caught:
        guest.run(["setup.exe"], limit=60)
    assert caught.value.details["stderr"] == JOB_ERROR.strip()


def test_a_command_that_takes_too_long(mac: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = ready(mac)
    guest.wait_until_ready()
    execute(mac, "setup.exe", rc=-15)
    once = Prlctl.run_once
    monkeypatch.setattr(Prlctl, "run_once", lambda *args, **more: replace(once(*args, **more), timed_out=True))
    with pytest.raises(TaskError, match=r"did not finish within 60 seconds.* may still be running in the guest"):
        guest.run(["setup.exe"], limit=60)


def test_a_wrong_password_is_tried_once_only(mac: Any) -> None:
    guest = ready(mac)
    execute(mac, "-u", "admin", "--password", PASSWORD, "whoami", rc=255, err=NO_SESSION)
    with pytest.raises(
        TaskError, match=r"did not open a session for the user 'admin'.*Check user and password"
    ) as caught:
        guest.run(["whoami"], login=Login("admin", PASSWORD), limit=60)
    assert mac.slept == []
    assert caught.value.details["cmd"][2:] == [UUID, "-u", "admin", "--password", "********", "whoami"]
    assert PASSWORD not in str(caught.value.result())


def test_a_missing_service_is_waited_for_with_a_password_too(mac: Any) -> None:
    guest = ready(mac)
    execute(mac, "-u", "admin", "--password", PASSWORD, "whoami", rc=253, err=SERVICE_DOWN)
    execute(mac, "-u", "admin", "--password", PASSWORD, "whoami", out="admin")
    assert guest.run(["whoami"], login=Login("admin", PASSWORD), limit=60).stdout == "admin"


def test_nobody_is_signed_in(mac: Any) -> None:
    guest = ready(mac, patience=2)
    for _try in range(3):
        execute(mac, "--current-user", "whoami", rc=255, err=NO_SESSION)
    with pytest.raises(TaskError, match=r"who is signed in at its screen.*Sign in there"):
        guest.run(["whoami"], login=Login(current_user=True), limit=60)


def test_of_a_command_that_is_only_begun_the_end_does_not_matter(mac: Any) -> None:
    guest = ready(mac)
    execute(mac, "sysprep.exe", rc=255, err=NO_SESSION)
    execute(mac, "sysprep.exe", rc=255, err=JOB_ERROR)
    assert guest.begin(["sysprep.exe"], limit=60).rc == 255


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_question_is_asked_until_its_answer_comes_through(mac: Any) -> None:
    guest = ready(mac)
    execute(mac, "reg", "query", "K", rc=255, err=JOB_ERROR)
    execute(mac, "reg", "query", "K", rc=255, err=NO_SESSION)
    execute(mac, "reg", "query", "K", rc=0, out="value")
    assert guest.ask(["reg", "query", "K"]).stdout == "value"


def test_a_question_that_hangs_is_asked_again(mac: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = ready(mac)
    guest.wait_until_ready()
    execute(mac, "tasklist", rc=-15)
    execute(mac, "tasklist", out="all")
    once = Prlctl.run_once
    ends = iter([True, False])
    monkeypatch.setattr(Prlctl, "run_once", lambda *args, **more: replace(once(*args, **more), timed_out=next(ends)))
    assert guest.ask(["tasklist"]).stdout == "all"


@pytest.mark.parametrize(("rc", "answer"), [(0, True), (3, False)])
def test_whether_a_path_is_in_windows(mac: Any, rc: int, answer: bool) -> None:
    script = "if (Test-Path -LiteralPath 'C:\\Program Files\\Jörg''s \u2019\u2019x') {exit 0} else {exit 3}"
    guest = ready(mac)
    execute(mac, *powershell(script), rc=rc)
    assert guest.exists("C:\\Program Files\\Jörg's \u2019x") is answer


@pytest.mark.parametrize(("rc", "answer"), [(0, True), (1, False)])
def test_whether_a_path_is_in_linux(mac: Any, rc: int, answer: bool) -> None:
    guest = ready(mac, system="ubuntu")
    execute(mac, "test", "-e", "/etc/done", rc=rc)
    assert guest.exists("/etc/done") is answer


@pytest.mark.parametrize(("system", "rc"), [("win-11", 1), ("ubuntu", 2)])
def test_a_look_that_fails_is_no_answer(mac: Any, system: str, rc: int) -> None:
    guest = ready(mac, system=system)
    path = "C:\\x" if system == "win-11" else "/x"
    windows = powershell("if (Test-Path -LiteralPath 'C:\\x') {exit 0} else {exit 3}")
    execute(mac, *(windows if system == "win-11" else ("test", "-e", "/x")), rc=rc, err="no")
    with pytest.raises(TaskError, match="A check in 'x' failed: no"):
        guest.exists(path)


@pytest.mark.parametrize("path", ["/a b", "/a'b", '/a"b', "/a\\b", "/a\tb"])
def test_a_path_that_would_be_torn_apart(mac: Any, path: str) -> None:
    guest = a_guest(mac, system="ubuntu")
    with pytest.raises(TaskError, match="Choose a path without them"):
        guest.exists(path)


# --- words --------------------------------------------------------------------------------------------------------


def test_a_script_arrives_as_it_is_written() -> None:
    script = "Write-Output \"Grüße 'x'\"\nexit 4"
    argv = powershell(script)
    assert argv[0] == "powershell.exe"
    assert argv[-2] == "-EncodedCommand"
    assert decoded(argv).endswith("\n" + script)
    assert not any(" " in word for word in argv)


def test_the_longest_command() -> None:
    refuse_long(["x" * (COMMAND_LIMIT - 2), "y"])
    with pytest.raises(TaskError, match=f"command has {COMMAND_LIMIT + 1} characters"):
        refuse_long(["x" * (COMMAND_LIMIT - 1), "y"])
    with pytest.raises(TaskError, match="Split it"):
        refuse_long(["ä" * (COMMAND_LIMIT // 2 + 1)])


def test_the_length_that_is_promised_for_a_script() -> None:
    refuse_long(powershell("x" * 1200))
    with pytest.raises(TaskError, match="script, encoded for PowerShell"):
        refuse_long(powershell("x" * 1400))


def test_a_long_command_is_refused_before_anything_is_run(mac: Any) -> None:
    guest = a_guest(mac)
    for call in (lambda argv: guest.run(argv, limit=1), lambda argv: guest.begin(argv, limit=1), guest.ask):
        with pytest.raises(TaskError, match="Parallels hangs"):
            call(["x" * 4000])


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "expected"),
    [
        (1, "", "first\r\nlast words\r\n", "with exit code 1: last words. Check its output"),
        (2, "only here.\n", "", "with exit code 2: only here. Check its output"),
        (194, "", "", "with exit code 194. Check its output"),
        (255, "", "odd", "with exit code 255: odd. prlctl also uses this exit code for its own failures"),
    ],
)
def test_a_failure_in_words(mac: Any, rc: int, stdout: str, stderr: str, expected: str) -> None:
    vm = a_guest(mac).vm
    assert expected in explain_rc(vm, Result(["prlctl"], rc, stdout, stderr))


def test_words_alone_do_not_make_a_refusal() -> None:
    assert refusal_in(Result(["prlctl"], 7, "", NO_SESSION)) is None
    assert refusal_in(Result(["prlctl"], 255, NO_SESSION, "")) is None
    assert refusal_in(Result(["prlctl"], 255, "", NO_SESSION)) is not None
