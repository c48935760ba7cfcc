# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_exec: its options, its results, and when it runs nothing."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import ForegroundJob
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import powershell
from ansible_collections.macops.parallels.plugins.modules import vm_exec

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
PASSWORD = "s3cret horse"


@pytest.fixture
def call(run_module_main: Any, module_mac: Any) -> Any:
    """Return a function that calls the module."""

    def run(**options: Any) -> Any:
        return run_module_main(vm_exec.main, name="x", executable=str(module_mac.executable), **options)

    return run


def a_vm(mac: Any, state: str = "running", system: str = "win-11") -> None:
    mac.list((UUID, "x", state)).look(UUID, Name="x", State=state, OS=system)


def execute(mac: Any, *argv: str, **answer: Any) -> None:
    mac.expect_session(UUID, *argv, **answer)


def path_test(path: str) -> list[str]:
    return powershell(f"if (Test-Path -LiteralPath '{path}') {{exit 0}} else {{exit 3}}")


def test_two_equal_commands_are_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(vm_exec, "run_long_module", lambda *_args, **options: given.update(options))
    monkeypatch.setattr(vm_exec, "AnsibleModule", lambda **_options: None)
    vm_exec.main()
    assert given == {"joins": False}


@pytest.mark.parametrize("text", ["secret", "zwölf\n", "x" * 99])
def test_what_a_command_reads(module_mac: Any, call: Any, text: str) -> None:
    a_vm(module_mac, system="ubuntu")
    execute(module_mac, "cat")
    ended = call(argv=["cat"], stdin=text)
    assert not ended.failed
    assert module_mac.answers[-1] == text
    assert text not in str(ended.result)


def test_a_command(module_mac: Any, call: Any) -> None:
    a_vm(module_mac)
    execute(module_mac, "cmd", "/c", "ver", out="\r\nMicrosoft Windows\r\n", err="note\n")
    ended = call(argv=["cmd", "/c", "ver"])
    assert not ended.failed
    assert ended.result == {
        "changed": True,
        "failed": False,
        "cmd": [str(module_mac.executable), "exec", UUID, "cmd", "/c", "ver"],
        "rc": 0,
        "stdout": "\r\nMicrosoft Windows",
        "stderr": "note",
        "truncated": False,
    }


def test_a_script(module_mac: Any, call: Any) -> None:
    a_vm(module_mac)
    execute(module_mac, *powershell("Write-Output 'Grüße'"), out="Grüße\r\n")
    ended = call(powershell="Write-Output 'Grüße'")
    assert ended.result["stdout"] == "Grüße"
    assert "Write-Output 'Grüße'" in base64.b64decode(ended.result["cmd"][-1]).decode("utf-16-le")


@pytest.mark.parametrize(
    ("rc", "success_rcs", "failed"),
    [
        (0, None, False),
        (1, None, True),
        (0, [3], True),
        (3, [0, 3], False),
        (3010, [3010], False),
        (194, [3010], True),
        (255, [-1], True),
        (-1, [4294967295], False),
        (4294967295, [-1], False),
    ],
)
def test_which_exit_codes_are_a_success(module_mac: Any, call: Any, rc: int, success_rcs: Any, failed: bool) -> None:
    a_vm(module_mac)
    execute(module_mac, "setup.exe", rc=rc, out="o" * 70000, err="why")
    ended = call(argv=["setup.exe"], **({} if success_rcs is None else {"success_rcs": success_rcs}))
    assert ended.failed is failed
    assert ended.result.get("failed") is (None if failed else False)
    assert (ended.result["rc"], ended.result["stderr"], ended.result["truncated"]) == (rc, "why", True)
    assert len(ended.result["stdout"]) == vm_exec.KEPT
    if failed:
        assert f"in 'x' ended with exit code {rc}: " in ended.result["msg"]


@pytest.mark.parametrize(
    ("login", "options"),
    [
        ({"current_user": True}, ["--current-user"]),
        ({"user": "admin", "password": PASSWORD}, ["-u", "admin", "--password", PASSWORD]),
    ],
)
@pytest.mark.parametrize("rc", [0, 5])
def test_as_whom_it_runs(module_mac: Any, call: Any, login: Any, options: list[str], rc: int) -> None:
    a_vm(module_mac)
    execute(module_mac, "whoami", login=tuple(options), rc=rc)
    ended = call(argv=["whoami"], **login)
    assert ended.failed is bool(rc)
    assert ended.result["cmd"][-1] == "whoami"
    assert PASSWORD not in str(ended.result)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("option", "there"),
    [("creates", True), ("removes", False)],
)
def test_what_need_not_be_run(module_mac: Any, call: Any, option: str, there: bool, check: bool) -> None:
    a_vm(module_mac)
    execute(module_mac, *path_test("C:\\a b"), rc=0 if there else 3)
    ended = call(argv=["setup.exe"], _ansible_check_mode=check, **{option: "C:\\a b"})
    assert (ended.failed, ended.result["changed"], ended.result["rc"]) == (False, False, 0)
    assert ended.result["msg"] == f"C:\\a b {'exists' if there else 'does not exist'}, so the command was not run."
    assert "skipped" not in ended.result


@pytest.mark.parametrize(("option", "there"), [("creates", False), ("removes", True)])
def test_what_has_to_be_run(module_mac: Any, call: Any, option: str, there: bool) -> None:
    for check in (True, False):
        a_vm(module_mac)
        execute(module_mac, *path_test("C:\\x"), rc=0 if there else 3)
        if not check:
            execute(module_mac, "setup.exe")
        ended = call(argv=["setup.exe"], _ansible_check_mode=check, **{option: "C:\\x"})
        assert (ended.failed, ended.result["changed"]) == (False, True)
        assert "skipped" not in ended.result


def test_check_mode_skips_what_it_cannot_foresee(module_mac: Any, call: Any) -> None:
    a_vm(module_mac)
    ended = call(argv=["setup.exe"], _ansible_check_mode=True)
    assert (ended.result["changed"], ended.result["skipped"]) == (False, True)


def test_check_mode_of_a_vm_that_does_not_run_yet(module_mac: Any, call: Any) -> None:
    a_vm(module_mac, state="stopped")
    ended = call(argv=["setup.exe"], creates="C:\\x", _ansible_check_mode=True)
    assert (ended.failed, ended.result["changed"], ended.result["skipped"]) == (False, False, True)
    assert "'x' is stopped" in ended.result["msg"]


def test_a_vm_that_does_not_run(module_mac: Any, call: Any) -> None:
    a_vm(module_mac, state="stopped")
    ended = call(argv=["setup.exe"])
    assert ended.failed
    assert "'x' is stopped, but commands need" in ended.result["msg"]
    assert "Start it first" in ended.result["msg"]


@pytest.mark.parametrize(("system", "length"), [("win-11", 30_001), ("ubuntu", 120_001)])
def test_a_command_that_no_system_takes(module_mac: Any, call: Any, system: str, length: int) -> None:
    a_vm(module_mac, system=system)
    ended = call(argv=["x" * length])
    assert ended.failed
    assert f"has {length} characters, but the guest's system takes at most" in ended.result["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of the following is required: argv, powershell"),
        ({"argv": ["a"], "powershell": "b"}, "mutually exclusive: argv|powershell"),
        ({"argv": ["a"], "user": "admin"}, "required together: user, password"),
        ({"argv": []}, "argv is empty"),
        ({"argv": [" ", "x"]}, "argv is empty"),
        ({"powershell": " \n"}, "powershell is empty"),
        ({"argv": ["a"], "user": "u", "password": "p", "current_user": True}, "Set only one of them"),
    ],
)
def test_options_that_make_no_sense(module_mac: Any, call: Any, options: Any, words: str) -> None:
    ended = call(**options)
    assert ended.failed
    assert words in ended.result["msg"]


def test_a_script_for_a_guest_without_powershell(module_mac: Any, call: Any) -> None:
    a_vm(module_mac, system="ubuntu")
    ended = call(powershell="exit 0")
    assert ended.failed
    assert "does not support powershell" in ended.result["msg"]


@pytest.mark.parametrize(
    ("options", "detached", "kept"),
    [
        ({"timeout": 600}, False, False),
        ({"timeout": 601}, True, True),
        ({"timeout": 601, "stdin": "secret"}, False, True),
        ({"timeout": 601, "current_user": True}, False, True),
        ({"timeout": 601, "user": "admin", "password": PASSWORD}, False, True),
    ],
)
def test_a_command_that_may_take_long_holds_no_session_and_its_vm_is_not_paused(
    module_mac: Any, call: Any, monkeypatch: pytest.MonkeyPatch, options: Any, detached: bool, kept: bool
) -> None:
    seen: list[str] = []

    @contextlib.contextmanager
    def kept_running(_prl: Any, vm: Any) -> Iterator[None]:
        seen.append(f"keep {vm.name}")
        yield
        seen.append("done")

    def run_long(_guest: Any, argv: list[str], *, limit: float) -> Result:
        seen.append(f"{argv[0]} for {limit} s")
        return Result(argv, 0, "out\n", "")

    monkeypatch.setattr(vm_exec, "kept_running", kept_running)
    monkeypatch.setattr(vm_exec, "run_long", run_long)
    a_vm(module_mac)
    if not detached:
        login = ("--current-user",) if "current_user" in options else ()
        login = ("-u", "admin", "--password", PASSWORD) if "user" in options else login
        execute(module_mac, "setup.exe", login=login, out="out\n", then=lambda: seen.append("session"))
    ended = call(argv=["setup.exe"], **options)
    assert (ended.failed, ended.result["stdout"]) == (False, "out")
    work = "setup.exe for 601 s" if detached else "session"
    assert seen == (["keep x", work, "done"] if kept else [work])


def test_what_it_waits_for_is_shown(module_mac: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(ForegroundJob, "wait", lambda _job, reason: shown.append(reason))
    a_vm(module_mac)
    execute(module_mac, "cmd", said="PrlJob_GetRetCode: Invalid argument.")
    execute(module_mac, "cmd")
    assert not call(argv=["cmd"]).failed
    assert [sentence.split(" ")[0] for sentence in shown] == ["prlctl", ""]
