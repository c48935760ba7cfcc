# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding, running, reading and repeating Parallels' programs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import cli
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import (
    PRL_DISK_TOOL,
    PRLCTL,
    PRLSRVCTL,
    Prlctl,
    Result,
    failure,
    is_transient,
    parse_json,
    was_answered,
    without_progress,
)
from ansible_collections.macops.parallels.tests.support.waiting import wait_until

NO_SERVICE = (
    "Login failed: Unable to connect to Parallels Service. Please restart your Mac and try launching Parallels Desktop "
    "again."
)
SYNC = (
    "Failed to delete snapshot: The operation cannot be performed at the moment. Data synchronization is currently in "
    "progress. Try to perform the operation later."
)
BUSY = (
    "Failed to remove the VM: Unable to perform the action because the virtual machine is busy. The virtual machine is "
    "currently running. Please try again later."
)
NOT_FOUND = (
    "Failed to get VM config: The virtual machine could not be found. The virtual machine is not registered in the "
    "virtual machine directory on your Mac."
)
JOB = "PrlJob_GetRetCode: Invalid argument. An invalid argument was passed."


@pytest.mark.parametrize(
    ("text", "expect", "answer"),
    [
        pytest.param("", list, [], id="nothing"),
        pytest.param("\n", dict, {}, id="no snapshots"),
        pytest.param("[\n]", list, [], id="empty list"),
        pytest.param('[{"a": "\\/x\\/"}]', list, [{"a": "/x/"}], id="escaped slashes"),
        pytest.param('\rOperation progress ... 5%{"a": 1}', dict, {"a": 1}, id="progress before"),
        pytest.param('[INFO] ready\n[{"a": [1, 2]}]', list, [{"a": [1, 2]}], id="bracket before"),
        pytest.param('INFO {"a": {}}', dict, {"a": {}}, id="prefix"),
        pytest.param(
            'This feature is not available in this edition of Parallels Desktop. \n{"a": 1}',
            dict,
            {"a": 1},
            id="edition",
        ),
        pytest.param(
            '{"a": 1,\nThis feature is not available in this edition of Parallels Desktop. \n"b": 2}',
            dict,
            {"a": 1, "b": 2},
            id="line within",
        ),
        pytest.param('{"a": "x\ty"}', dict, {"a": "x\ty"}, id="raw tab in a string"),
        pytest.param('[{"a": "x\x1b\x00y"}]', list, [{"a": "xy"}], id="control characters"),
        pytest.param('{"a": "\\Sx"}', dict, {"a": "\\Sx"}, id="bad escape"),
        pytest.param('[{"a": 1}]\nDone [100]', list, [{"a": 1}], id="text behind"),
        pytest.param("Segmentation fault", list, None, id="garbage"),
        pytest.param('[{"a": 1', list, None, id="cut off"),
        pytest.param('{"a": {"b": 1}', dict, None, id="cut off behind a part that is whole"),
        pytest.param('{"a": [{"b": 1}], "c": "x', list, None, id="cut off within a text"),
        pytest.param('"c": 1, "a": {"b": 1}}', dict, None, id="beginning cut off"),
        pytest.param(': {"b": 1}', dict, None, id="both ends cut off"),
        pytest.param('[{"a": 1}]', dict, None, id="a list instead of an object"),
        pytest.param('{"a": [{"b": 1}]}', list, None, id="an object instead of a list"),
        pytest.param('{"a": 1}\n{"b": 2}', dict, None, id="two answers"),
        pytest.param('[]\n[{"a": 1}]', list, None, id="an empty answer and another"),
        pytest.param('[{"a": 1}]\n[]', list, None, id="an answer and an empty one"),
        pytest.param('\ufeff{"a": 1}', dict, {"a": 1}, id="byte order mark"),
        pytest.param('{"a": 1}\x00\x00', dict, {"a": 1}, id="NUL behind"),
        pytest.param("\x00", dict, None, id="only NUL"),
        pytest.param("\ufeff", list, None, id="only a byte order mark"),
        pytest.param('\x1b[0m[{"a": 1}]\x1b[0m', list, [{"a": 1}], id="colors"),
        pytest.param('VM "x" is busy.\n[{"a": 1}]\nThe VM "x" is ready.', list, [{"a": 1}], id="names in messages"),
        pytest.param('{"a": ["x"], "b": [\\"y\\"]}', dict, {"a": ["x"], "b": ["y"]}, id="escaped quotes outside"),
        pytest.param('{"a": "\\"y\\"", "b": [\\"]\\"]}', dict, {"a": '"y"', "b": ["]"]}, id="both kinds of quotes"),
        pytest.param('{"a": "\\\\S", "b": "\\S"}', dict, {"a": "\\S", "b": "\\S"}, id="a good and a bad escape"),
        pytest.param(
            '[{\n\t"a": "the "b", {"c"}",\n\t"d": "\\"e\\" "f""\n}]',
            list,
            [{"a": 'the "b", {"c"}', "d": '"e" "f"'}],
            id="raw quotes, a member a line",
        ),
        pytest.param('[{"a": "the "b", c", "d": "yes", "e": [{"f": 1}]}]', list, None, id="raw quotes in one line"),
        pytest.param('{\n"a": "the "b"", "c": "d"\n}', dict, None, id="raw quotes, two members a line"),
        pytest.param('{"a": "x"}", "b": "yes"}', dict, None, id="a raw quote that seems to end the answer"),
        pytest.param("[" * 100_000, list, None, id="deep"),
        pytest.param("[" * 800 + "]" * 800, list, None, id="deep and whole"),
    ],
)
def test_json_is_read_through_noise(text: str, expect: type, answer: Any) -> None:
    assert parse_json(text, expect) == answer


def test_no_part_of_an_answer_is_an_answer(fixture_text: Callable[[str], str]) -> None:
    text = fixture_text("snapshot_list.json").strip()
    assert parse_json(text, dict)
    for end in range(1, len(text)):
        assert parse_json(text[:end], dict) is None
        assert parse_json(text[end:], dict) is None


@pytest.mark.parametrize("said", [BUSY, "objc[7]: a warning\nFailed to get the list of snapshots: PRL_ERR"])
def test_no_output_with_an_error_is_not_an_empty_answer(mac: Any, said: str) -> None:
    mac.expect("prlctl", "list", err="objc[7]: Class X is implemented twice.")
    assert mac.prl.read_json(PRLCTL, "list") == []
    for _try in range(3):
        mac.expect("prlctl", "list", err=said)
    with pytest.raises(TaskError, match=r"returned no readable answer: .*Failed to "):
        mac.prl.read_json(PRLCTL, "list")


def test_progress_is_not_shown() -> None:
    text = "Clone the X VM...\r\nCopying hard disk... 1 %\rCopying hard disk... 99 %\nIt failed.\n"
    assert without_progress(text) == "Clone the X VM...\nIt failed."


def test_the_option_executable_names_the_folder_of_all_programs(mac: Any) -> None:
    assert mac.prl.program(PRLCTL) == str(mac.executable)
    assert mac.prl.program(PRL_DISK_TOOL) == str(mac.executable.with_name("prl_disk_tool"))
    mac.executable.with_name("prlsrvctl").unlink()
    with pytest.raises(TaskError, match=r"There is no program .*prlsrvctl. Set the option executable"):
        mac.prl.program(PRLSRVCTL)


def test_programs_are_looked_for_on_the_path_then_in_the_folders(mac: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "relative:/nowhere")
    monkeypatch.setattr(cli, "_FOLDERS", ("/nowhere/either",))
    with pytest.raises(
        TaskError, match=r"prlctl was not found on PATH or in /nowhere/either. Install Parallels Desktop"
    ):
        Prlctl(mac.run_command).program(PRLCTL)
    monkeypatch.setattr(cli, "_FOLDERS", ("/nowhere/either", str(mac.executable.parent)))
    assert Prlctl(mac.run_command).program(PRLCTL) == str(mac.executable)
    first = mac.folder / "first"
    first.mkdir()
    (first / "prlctl").write_text("")
    (first / "prlctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"/nowhere:{first}")
    assert Prlctl(mac.run_command).program(PRLCTL) == str(first / "prlctl")


def test_programs_get_a_locale_with_umlauts(mac: Any) -> None:
    mac.expect("prlctl", "status", "Übung $HOME ~", out="VM \udcff")
    result = mac.prl.run(PRLCTL, "status", "Übung $HOME ~")
    assert mac.environments[0]["LC_ALL"] == "en_US.UTF-8"
    assert result.cmd == [str(mac.executable), "status", "Übung $HOME ~"]
    assert result.stdout == "VM \N{REPLACEMENT CHARACTER}"


def test_a_service_that_does_not_answer_is_asked_again_with_growing_pauses(mac: Any) -> None:
    for _try in range(3):
        mac.expect("prlctl", "list", rc=253, err=NO_SERVICE)
    mac.expect("prlctl", "list", out="fine")
    assert mac.prl.run(PRLCTL, "list").stdout == "fine"
    assert mac.slept == sorted(mac.slept)
    assert len(set(mac.slept)) == 3


def test_a_service_that_never_answers_is_an_error_with_the_remedy(mac: Any) -> None:
    mac.prl.retry_for = 5
    for _try in range(4):
        mac.expect("prlctl", "list", rc=253, err=NO_SERVICE)
    with pytest.raises(TaskError, match='open -ga "Parallels Desktop"') as caught:
        mac.prl.run(PRLCTL, "list")
    assert caught.value.details["rc"] == 253
    assert caught.value.details["stderr"] == NO_SERVICE


@pytest.mark.parametrize(
    "words",
    [
        NO_SERVICE,
        "Login failed: Parallels Service is starting.",
        "Unable to connect to Parallels Desktop.",
        "Failed to get VM config: Parallels Desktop is shutting down. Try again later.",
    ],
)
@pytest.mark.parametrize("call", ["read", "change", "run"])
def test_a_service_that_is_not_there_yet_is_waited_for_whatever_the_exit_code(mac: Any, words: str, call: str) -> None:
    for _try in range(5):
        mac.expect("prlctl", "list", rc=255, err=words)
    mac.expect("prlctl", "list", out=[{"a": 1}])
    if call == "read":
        assert mac.prl.read_json(PRLCTL, "list") == [{"a": 1}]
    elif call == "change":
        assert mac.prl.change("do it", ["list"], lambda: not mac.calls).rc == 0
    else:
        assert mac.prl.run(PRLCTL, "list").rc == 0
    assert sum(mac.slept) > 10


def test_words_about_the_service_in_an_answer_are_no_failure(mac: Any) -> None:
    mac.expect("prlctl", "list", out=[{"name": "Login failed: Unable to connect to Parallels Service"}])
    assert mac.prl.read_json(PRLCTL, "list")
    mac.expect("prlctl", "list", rc=1, out="Unable to connect to Parallels Service")
    assert mac.prl.run(PRLCTL, "list").rc == 1
    assert mac.slept == []


def test_a_connection_that_was_lost_in_a_change_is_repeated_only_when_that_was_not_made(mac: Any) -> None:
    lost = "Failed to clone the VM: Connection to Parallels Service was lost."
    mac.expect("prlctl", "clone", rc=255, err=lost)
    assert mac.prl.change("clone it", ["clone"], lambda: True).rc == 255
    mac.expect("prlctl", "clone", rc=255, err=lost).expect("prlctl", "clone")
    mac.prl.change("clone it", ["clone"], lambda: not mac.calls)


def test_an_unreadable_answer_is_asked_for_again(mac: Any) -> None:
    mac.expect("prlctl", "list", out="%&$").expect("prlctl", "list", rc=254).expect("prlctl", "list", out=[{"a": 1}])
    assert mac.prl.read_json(PRLCTL, "list") == [{"a": 1}]


def test_an_answer_counts_and_not_the_exit_code(mac: Any) -> None:
    mac.expect("prlctl", "list", rc=255, out=[{"a": 1}], err=JOB)
    assert mac.prl.read_json(PRLCTL, "list") == [{"a": 1}]
    mac.expect("prlctl", "snapshot-list", rc=255, err=JOB).expect("prlctl", "snapshot-list")
    assert mac.prl.read_json(PRLCTL, "snapshot-list", expect=dict) == {}


def test_a_refusal_with_a_reason_is_not_asked_for_again(mac: Any) -> None:
    mac.expect("prlctl", "list", rc=255, err=NOT_FOUND)
    with pytest.raises(TaskError, match=r"Parallels refused to answer: .*connect as the user who owns it"):
        mac.prl.read_json(PRLCTL, "list")


def test_an_answer_that_stays_unreadable_is_an_error(mac: Any) -> None:
    for _try in range(3):
        mac.expect("prlctl", "list", out="%&$")
    with pytest.raises(TaskError, match=r"Parallels returned no readable answer"):
        mac.prl.read_json(PRLCTL, "list")


def test_what_a_private_program_says_is_in_no_error(mac: Any) -> None:
    for _try in range(3):
        mac.expect("prlsrvctl", "info", out="key AAAAAA-BBBBBB")
    with pytest.raises(TaskError) as caught:
        mac.prl.read_json(PRLSRVCTL, "info", expect=dict, private=True)
    assert "AAAAAA" not in str(caught.value.result())


def test_the_state_wins_over_the_exit_code(mac: Any) -> None:
    mac.expect("prlctl", "clone", rc=255, err=JOB)
    assert mac.prl.change("clone it", ["clone"], lambda: True).rc == 255


def test_a_change_may_show_late(mac: Any) -> None:
    looks = iter([False, False, True])
    mac.expect("prlctl", "start")
    mac.prl.change("start it", ["start"], lambda: next(looks))
    assert len(mac.slept) == 2


def test_success_without_the_change_is_a_failure(mac: Any) -> None:
    mac.expect("prlctl", "start", out="The VM has been successfully started.")
    with pytest.raises(TaskError, match=r"reported success, but a check shows that it did not start it"):
        mac.prl.change("start it", ["start"], lambda: False, settle=10)
    assert 10 <= sum(mac.slept) <= 16


@pytest.mark.parametrize("answer", [(255, SYNC), (255, BUSY), (254, "")])
def test_what_passes_is_run_again(mac: Any, answer: tuple[int, str]) -> None:
    done: list[bool] = []
    mac.expect("prlctl", "delete", rc=answer[0], err=answer[1]).expect("prlctl", "delete", rc=answer[0], err=answer[1])
    mac.expect("prlctl", "delete", then=lambda: done.append(True))
    mac.prl.change("delete it", ["delete"], lambda: bool(done))
    assert len(mac.slept) == 2


def test_what_passes_and_was_done_meanwhile_is_not_run_again(mac: Any) -> None:
    looks = iter([False, True])
    mac.expect("prlctl", "delete", rc=255, err=BUSY)
    mac.prl.change("delete it", ["delete"], lambda: next(looks))


def test_what_a_further_attempt_needs_is_done_before_it(mac: Any) -> None:
    done: list[str] = []
    for _try in range(2):
        mac.expect("prlctl", "clone", rc=255, err=BUSY, then=lambda: done.append("clone"))
    mac.expect("prlctl", "clone", then=lambda: done.append("clone"))
    mac.prl.change("clone", ["clone"], lambda: len(done) == 5, before_retry=lambda: done.append("check"))
    assert done == ["clone", "check", "clone", "check", "clone"]


def test_what_does_not_pass_in_time_is_an_error(mac: Any) -> None:
    mac.prl.retry_for = 2
    for _try in range(3):
        mac.expect("prlctl", "delete", rc=255, err=BUSY)
    with pytest.raises(TaskError, match=r"after several attempts.*Another operation is using this"):
        mac.prl.change("delete it", ["delete"], lambda: False)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (NOT_FOUND, "connect as the user who owns it"),
        ("This feature is not available in this edition of Parallels Desktop.", "Pro, Business or Enterprise edition"),
        (
            "To perform this operation, you must enter the host OS administrator's credentials.",
            "prlsrvctl set --require-pwd",
        ),
        ("Not enough free space on the physical disk drive /. Free some space.", "Free some space"),
        ("Out of disk space.", "Free some space"),
        ('Failed to register the VM: "big-sur-vanilla" is already registered.', "Unregister that one first"),
        (
            "Failed to resize: This virtual hard disk cannot be resized because it has one or more snapshots.",
            "vm_snapshot with all: true",
        ),
        (
            "Failed to stop the VM: Unable to complete the operation. This operation cannot be completed because the "
            "virtual "
            'machine "x is in the "paused" state.',
            "The virtual machine is paused",
        ),
        ('Unable to perform the operation because "macOS" is not started.', "Start it first"),
        ("Your license is expired", "valid license"),
    ],
)
def test_known_messages_have_a_remedy(mac: Any, said: str, advice: str) -> None:
    mac.expect("prlctl", "pack", rc=255, err=said)
    with pytest.raises(TaskError) as caught:
        mac.prl.change("pack it", ["pack"], lambda: False)
    assert advice in caught.value.message
    assert caught.value.details == {"cmd": [str(mac.executable), "pack"], "rc": 255, "stdout": "", "stderr": said}
    assert mac.slept == []


def test_an_unknown_complaint_gets_a_second_look(mac: Any) -> None:
    looks = iter([False, False, True])
    mac.expect("prlctl", "pack", rc=255, err=JOB)
    mac.prl.change("pack it", ["pack"], lambda: next(looks))


def test_only_the_tail_of_the_output_is_shown() -> None:
    error = failure("It failed", Result(["prlctl"], 1, "x" * 5000, "y" * 5000))
    assert len(error.details["stdout"]) == len(error.details["stderr"]) == 2000
    assert len(error.message) < 1000


def test_a_killed_program_is_told_from_one_that_refused() -> None:
    assert "killed by another process (signal 9)" in failure("It failed", Result(["prlctl"], -9, "", "")).message
    assert not is_transient(Result(["prlctl"], -9, "", ""))


@pytest.mark.parametrize(
    ("verb", "rc", "timed_out", "answered"),
    [
        ("pack", 255, False, True),
        ("pack", 0, False, True),
        ("pack", -9, False, False),
        ("pack", -15, True, False),
        ("list", 0, False, False),  # an unreadable answer about the VM says nothing about the packing
    ],
)
def test_what_parallels_answered_itself_is_known(verb: str, rc: int, timed_out: bool, answered: bool) -> None:
    error = failure("It failed", Result(["/bin/prlctl", verb, "x"], rc, "", "", timed_out=timed_out))
    assert was_answered(error, "pack") is answered
    assert not was_answered(TaskError("It failed."), "pack")
    assert not was_answered(OSError(5, "no"), "pack")


@pytest.fixture
def real_prlctl(tmp_path: Path, run_module_main: Callable[..., Any]) -> Callable[[str], Callable[..., Result]]:
    """Return a function that writes a program prlctl, and returns one that runs it through a real AnsibleModule."""

    def write(script: str) -> Callable[..., Result]:
        program = tmp_path / "prlctl"
        program.write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{script}")
        program.chmod(0o755)

        def run(*args: str, **options: Any) -> Result:
            def main() -> None:
                module = AnsibleModule({})
                module.exit_json(result=Prlctl(module.run_command, str(program)).run(PRLCTL, *args, **options))

            return run_module_main(main).result["result"]

        return run

    return write


def test_a_time_limit_ends_a_program_with_all_that_it_started(real_prlctl: Any, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run = real_prlctl(
        f"""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(pid_file)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    )
    start = time.monotonic()
    result = run("pack", limit=2)
    assert result.timed_out
    assert result.rc < 0
    assert time.monotonic() - start < 30
    pid = int(pid_file.read_text())
    wait_until(lambda: not _is_alive(pid), 10)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # an orphan that nobody waits for counts as ended
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_a_program_that_ignores_the_first_signal_is_killed(real_prlctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_KILL_GRACE", 0.5)
    run = real_prlctl("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)")
    result = run("pack", limit=2)
    assert result.timed_out
    assert result.rc == -9


def test_names_reach_the_program_as_they_are(real_prlctl: Any) -> None:
    run = real_prlctl("print(sys.argv[1:])")
    assert run("status", "Windows 11 Übung $HOME ~").stdout.strip() == str(["status", "Windows 11 Übung $HOME ~"])


def test_half_a_character_is_escaped_in_an_answer() -> None:
    assert parse_json('[{"Name": "half \\ud83d", "Home": "whole \\ud83d\\ude00 \\u202e"}]') == [
        {"Name": r"half \ud83d", "Home": "whole \U0001f600 \u202e"}
    ]


def test_a_program_that_asks_gets_the_answer_once(real_prlctl: Any) -> None:
    run = real_prlctl("print([sys.stdin.readline(), sys.stdin.readline()])")
    assert run("delete", answer="y\n").stdout.strip() == str(["y\n", ""])
    assert run("delete").stdout.strip() == str(["", ""])


def test_a_program_that_does_not_ask_ignores_the_answer(real_prlctl: Any) -> None:
    assert real_prlctl("os.close(0)")("delete", answer="y\n").rc == 0
    # More than a pipe holds.
    long = "ü" * 100_000
    assert real_prlctl("print(len(sys.stdin.buffer.read()))")("exec", answer=long).stdout.strip() == "200000"
    assert real_prlctl("print(len(os.read(0, 3)))")("exec", answer=long).stdout.strip() == "3"


def test_a_program_may_read_and_write_files_of_any_size(tmp_path: Path, run_module_main: Any) -> None:
    program, sent, received = tmp_path / "prlctl", tmp_path / "sent", tmp_path / "received"
    program.write_text(f"#!{sys.executable}\nimport shutil, sys\nprint('begun', file=sys.stderr)\n")
    with program.open("a") as file:
        file.write("shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)\n")
    program.chmod(0o755)
    sent.write_bytes(os.urandom(3_000_000))

    def main() -> None:
        module = AnsibleModule({})
        with sent.open("rb") as stdin, received.open("wb") as stdout:
            stdout.write(b"head")
            result = Prlctl(module.run_command, str(program)).run_once(PRLCTL, ["exec"], 60, stdin=stdin, stdout=stdout)
        module.exit_json(said=[result.rc, result.stdout, result.stderr])

    assert run_module_main(main).result["said"] == [0, "", "begun\n"]
    assert received.read_bytes() == b"head" + sent.read_bytes()


@pytest.mark.parametrize("words", ['Delete "x"? [y/n] ', "Are you sure?", "Go on (yes/no):"])
def test_a_program_that_still_asks_at_the_timeout_is_told_apart(words: str) -> None:
    error = failure("It failed", Result(["prlctl", "delete", "x"], -15, words, "", timed_out=True))
    assert "It asked for an answer. Run `prlctl delete x` on the Mac" in error.message


@pytest.mark.parametrize(("limit", "calls"), [(None, [120, 120, 120]), (60, [60])])
def test_a_query_that_hangs_says_where_to_look(
    mac: Any, monkeypatch: pytest.MonkeyPatch, limit: float, calls: list[float]
) -> None:
    def run(_prl: Any, _program: str, args: Any, limit: float, _keep_open: Any) -> Result:
        limits.append(limit)
        return Result(["/usr/local/bin/prlsrvctl", *args], -15, "key AAAAAA", "", timed_out=True)

    limits: list[float] = []
    monkeypatch.setattr(Prlctl, "run_once", run)
    prl = Prlctl(mac.run_command, str(mac.executable), sleep=mac.sleep, clock=mac.clock, read_limit=limit)
    with pytest.raises(
        TaskError, match=rf"prlsrvctl gave no answer within {calls[0]} .* license agreement.* open Parallels Desktop"
    ) as caught:
        prl.read_json(PRLSRVCTL, "info", private=True)
    assert limits == calls
    assert caught.value.details["timed_out"]
    assert "AAAAAA" not in str(caught.value.result())


def test_a_file_stays_open_for_the_program(real_prlctl: Any, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "note", os.O_RDWR | os.O_CREAT)
    run = real_prlctl(f"os.write({descriptor}, b'seen')")
    assert run("pack", keep_open=[descriptor]).rc == 0
    os.close(descriptor)
    assert (tmp_path / "note").read_text() == "seen"


def test_a_broken_program_is_reported_without_a_traceback(real_prlctl: Any, tmp_path: Path) -> None:
    run = real_prlctl("")
    (tmp_path / "prlctl").write_text("not a program")
    result = run("list")
    assert result.rc == 1
    assert "Traceback" not in result.stderr
    assert str(tmp_path / "prlctl") in result.stderr


class Told(BaseException):
    """Stands for the end that a signal asks for."""


def tell(*_signal: Any) -> None:
    raise Told


@pytest.fixture
def told_later() -> Iterator[Callable[[float], None]]:
    """Return a function that has this process told to end after some seconds."""
    before = signal.signal(signal.SIGALRM, tell)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def interrupted(tmp_path: Path, told_later: Any, run_module_main: Any) -> Callable[[str, float], list[int]]:
    """Return a function that interrupts a program, and returns the ids of the processes that it was."""

    def interrupt(script: str, seconds: float) -> list[int]:
        program, pids = tmp_path / "prlctl", tmp_path / "pids"
        program.write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{script}")
        program.chmod(0o755)

        def main() -> None:
            prl = Prlctl(AnsibleModule({}).run_command, str(program))
            told_later(seconds)
            with pytest.raises(Told) as caught:
                prl.run_once(PRLCTL, ["pack", str(pids)], 600)
            assert not was_answered(caught.value, "pack")
            AnsibleModule.exit_json(None)

        run_module_main(main)
        return [int(line) for line in pids.read_text().split()] if pids.exists() else []

    return interrupt


FAMILY = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[2], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


def test_a_program_ends_with_what_interrupts_its_module(interrupted: Any) -> None:
    start = time.monotonic()
    pids = interrupted(FAMILY, 1.5)
    assert len(pids) == 2
    wait_until(lambda: not any(map(_is_alive, pids)), 10)
    assert time.monotonic() - start < 10


def test_a_program_that_goes_on_after_the_interruption_is_killed(
    interrupted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_KILL_GRACE", 0.5)
    pids = interrupted("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FAMILY, 1.5)
    assert pids
    assert not _is_alive(pids[0])


def test_a_program_that_is_being_started_at_the_interruption_never_runs(
    interrupted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_watch: Any, _process: Any) -> None:
        processes.append(_process)
        time.sleep(5)  # the interruption comes here, before the watch knows the process

    processes: list[Any] = []
    monkeypatch.setattr(cli._Watch, "start", start)
    assert interrupted(FAMILY, 0.5) == []
    assert processes[0].wait(10) == 1


@pytest.mark.parametrize(
    ("program", "args", "told"),
    [
        ("prlctl", ["clone", "x", "--name", "y"], True),
        ("prlctl", ["snapshot-delete", "x", "--id", "1"], True),
        ("prlctl", ["list", "-a", "-j"], False),
        ("prlctl", ["snapshot-list", "x", "-j"], False),
        ("prlctl", ["exec", "x", "setx", "PASSWORD", "hunter2"], False),
        ("prlctl", ["--version"], False),
        ("prlsrvctl", ["info", "--json"], False),
        ("prl_disk_tool", ["compact", "--hdd", "x.hdd"], True),
        ("prl_disk_tool", ["compact", "--info", "--hdd", "x.hdd"], False),
    ],
)
def test_commands_that_change_something_are_told(mac: Any, program: str, args: list[str], told: bool) -> None:
    mac.expect(program, *args)
    mac.prl.run(program, *args)
    assert [command["cmd"] for command in mac.prl.commands()] == ([[mac.prl.program(program), *args]] if told else [])
