# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs, with real processes: each call is a process of its own, as a module is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs import folder as folder_module
from ansible_collections.macops.parallels.plugins.module_utils._jobs import job as job_module
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import (
    JobFolder,
    all_jobs,
    cancel_path,
    claim_path,
    remove_stale,
)
from ansible_collections.macops.parallels.plugins.module_utils._jobs.waiting import killed_jobs, unclear_jobs
from ansible_collections.macops.parallels.tests.support.waiting import wait_until

# What a module is: it does its work as a job when the environment says so, prints JSON and exits.
MODULE = """
import json, os, sys, time
sys.path[:] = json.loads(sys.argv[1])
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.interrupt import interruptible
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import JobOrder, run_as_job

folder, seconds = sys.argv[2], float(sys.argv[3])

def exit_with(code, **answer):
    print(json.dumps(answer))
    raise SystemExit(code)

def work(job):
    with open(os.path.join(folder, "begun"), "a") as handle:
        handle.write(str(os.getpid()) + "\\n")
    job.subject = "win11"
    job.wait("Wait\\u202efor it.")
    report = job.progress("Packing", estimate=True)
    try:
        with interruptible(job.why_interrupted):
            end = time.monotonic() + seconds
            while time.monotonic() < end and not os.path.exists(os.path.join(folder, "enough")):
                report(40, 100)
                time.sleep(0.02)
    except Interrupted as error:
        exit_with(1, failed=True, msg=error.reason)
    if os.path.exists(os.path.join(folder, "silent")):
        sys.stderr.write("the disk is on fire")
        raise SystemExit(1)
    exit_with(0, changed=True, worker=os.getpid())

notices = []
try:
    run_as_job(JobOrder.from_environment(), "image_pack", {"name": folder}, work,
               joins="alone" not in sys.argv, notice=notices.append,
               keeps_answer=lambda answer: "keep" in sys.argv and answer["worker"] > 0)
except TaskError as error:
    exit_with(1, failed=True, msg=error.message)
except OSError as error:
    exit_with(0, changed=True, foreground=error.strerror)
"""


class Mac:
    """A home, and the module that is called in it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, seconds: float, *words: str, token: str = "one", **order: Any) -> subprocess.Popen[str]:
        given = {"token": token, "wait": 0.5, "unattended": 60, "if_running": "join", "waited_for": "", **order}
        return subprocess.Popen(
            [sys.executable, "-c", MODULE, json.dumps(sys.path), str(self.home), str(seconds), *words],
            env={**os.environ, "HOME": str(self.home), job_module.ENVIRONMENT: json.dumps(given)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, seconds: float, *words: str, **order: Any) -> dict[str, Any]:
        process = self.start(seconds, *words, **order)
        out, err = process.communicate(timeout=30)
        assert not err, err
        answer = json.loads(out)
        assert process.returncode == (1 if answer.get("failed") else 0)
        return answer

    def begun(self) -> list[int]:
        """Return the processes that did the work, one for each time that it was begun."""
        path = self.home / "begun"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def end(self) -> None:
        """Let the work be done."""
        (self.home / "enough").touch()


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOME", str(tmp_path))
    mac = Mac(tmp_path)
    yield mac
    for pid in mac.begun():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def running(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["changed"] is False
    return answer[job_module.RUNNING]


def test_short_work_is_answered_at_once_and_leaves_nothing(mac: Mac) -> None:
    answer = mac.call(0)
    assert answer == {"changed": True, "worker": mac.begun()[0]}
    assert list((mac.home / ".ansible/macops.parallels/jobs").iterdir()) == []
    assert mac.call(0)["changed"] is True
    assert len(mac.begun()) == 2


def test_long_work_is_answered_in_the_end(mac: Mac) -> None:
    job = running(mac.call(30))
    assert job["id"] == "one"
    assert job["joined"] is False
    folder = JobFolder(job["folder"])
    told = wait_until(folder.told)
    assert told["subject"] == "win11"
    assert told["progress"]["stage"] == "Packing"
    assert told["waiting"] == "Wait\\u202efor it."
    assert (told["progress"]["done"], told["progress"]["total"], told["ended"]) == (40, 100, False)
    (state,) = all_jobs()
    assert (state.module, state.subject, state.running, state.watched) == ("image_pack", "win11", True, True)

    assert running(mac.call(30, waited_for="one"))["id"] == "one"
    mac.end()
    wait_until(lambda: folder.told().get("ended"))
    assert mac.call(30, waited_for="one") == {"changed": True, "worker": mac.begun()[0]}
    # The connection may be lost while the answer is fetched.
    assert mac.call(30, waited_for="one") == {"changed": True, "worker": mac.begun()[0]}
    assert len(mac.begun()) == 1


def kept_of(mac: Mac) -> list[str]:
    """Return the files of all jobs in which the answer or a part of it may be."""
    root = mac.home / ".ansible/macops.parallels/jobs"
    return sorted(path.name for path in root.rglob("*") if path.is_file() and b"worker" in path.read_bytes())


def test_the_last_words_of_a_job_are_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = JobFolder(str(tmp_path))
    for path, text in ((folder.answer, ""), (folder.errors, "x" * 9000 + "\x1b[31m\x9b2J\n\u202ea")):
        Path(path).write_text(text, "utf-8")
        os.chmod(path, 0o600)
    job_module._answer(folder)
    said = json.loads(capfd.readouterr().out)["msg"]
    assert said.endswith("x" + r"\x1b[31m\x9b2J" + "\n  " + r"\u202ea")


def test_a_private_answer_goes_when_it_is_fetched(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30, private=True))["folder"])
    mac.end()
    wait_until(folder.ended)
    assert kept_of(mac) == ["answer"]
    assert os.stat(folder.answer).st_mode & 0o777 == 0o600
    assert mac.call(30, private=True, waited_for="one") == {"changed": True, "worker": mac.begun()[0]}
    assert kept_of(mac) == []
    assert not os.path.exists(folder.errors)
    assert not os.path.exists(folder.progress)
    assert remove_stale() == []
    assert not folder.exists()


def test_a_private_answer_that_was_lost_is_not_taken_for_no_work(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30, "alone", private=True))["folder"])
    mac.end()
    wait_until(folder.ended)
    assert mac.call(30, "alone", private=True, waited_for="one")["changed"]
    lost = mac.call(30, "alone", private=True, waited_for="one")
    assert "has ended with exit code 0, but its result was lost" in lost["msg"]
    assert len(mac.begun()) == 1
    assert mac.call(0, "alone", private=True, token="two")["changed"]
    assert len(mac.begun()) == 2


def test_a_private_answer_that_was_lost_is_made_again_where_that_changes_nothing(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30, private=True))["folder"])
    mac.end()
    wait_until(folder.ended)
    for _number in range(2):
        assert mac.call(30, private=True, waited_for="one")["changed"]
    assert len(mac.begun()) == 2
    assert kept_of(mac) == []


def test_who_joins_in_private_takes_the_answer_along(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    assert running(mac.call(30, token="two", private=True))["joined"]
    mac.end()
    wait_until(folder.ended)
    assert mac.call(30, token="two", private=True, waited_for="one")["changed"]
    assert kept_of(mac) == []


def test_a_private_answer_that_nobody_fetches_goes_by_itself(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = mac.home / "answer"
    answer.write_text("worker")
    folder = JobFolder(str(mac.home))
    folder.end(0)
    monkeypatch.setattr(job_module, "_BEAT", 0.01)
    job_module._forget_unfetched(folder, 0.05)
    assert not answer.exists()
    job_module._forget_unfetched(folder, 60)  # returns at once: it was fetched


@pytest.mark.parametrize(("ended", "age", "kept"), [(True, 5, True), (True, 100, False), (False, 0, False)])
def test_private_answers_from_before_a_power_cut(
    mac: Mac, monkeypatch: pytest.MonkeyPatch, ended: bool, age: float, kept: bool
) -> None:
    folder = JobFolder.of("vm_exec-0123")
    claim = folder.take()
    assert claim is not None
    with claim:
        folder.create("one")
        folder.keep_private(60)
        Path(folder.answer).write_text("worker")
        if ended:
            folder.end(0)
        folder_module.forget_expired()
        assert folder.has_answer(), "it is running"
    if age:
        now = time.time()
        monkeypatch.setattr(folder_module.time, "time", lambda: now + age)
    folder_module.forget_expired()
    assert folder.has_answer() is kept


def test_it_goes_on_without_the_connection(mac: Mac) -> None:
    """The process that the connection started is killed with all of its group, as sshd and sudo may do."""
    process = mac.start(30)
    worker = wait_until(mac.begun)[0]
    assert os.getsid(worker) == worker
    process.kill()
    process.communicate()
    mac.end()
    assert mac.call(30)["worker"] == worker
    assert len(mac.begun()) == 1


def test_another_run_joins(mac: Mac) -> None:
    running(mac.call(30))
    joined = running(mac.call(30, token="two"))
    assert joined["joined"] is True
    assert joined["id"] == "one"
    mac.end()
    assert mac.call(30, token="two", waited_for="one")["worker"] == mac.begun()[0]
    assert len(mac.begun()) == 1


def test_another_run_may_fail(mac: Mac) -> None:
    running(mac.call(30))
    refused = mac.call(30, token="two", if_running="fail")
    assert "Another run" in refused["msg"]
    assert "image_if_running" in refused["msg"]
    # The same run is not refused by itself.
    assert running(mac.call(30, if_running="fail", waited_for="one"))["id"] == "one"


def test_work_that_nobody_watches_is_joined_in_any_case(mac: Mac) -> None:
    job = running(mac.call(30))
    long_ago = time.time() - 60
    os.utime(JobFolder(job["folder"]).lease, (long_ago, long_ago))
    assert running(mac.call(30, token="two", if_running="fail"))["joined"] is True


def test_two_calls_at_the_same_moment_do_the_work_once(mac: Mac) -> None:
    processes = [mac.start(30, token=token) for token in ("one", "two", "three")]
    answers = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
    assert sorted(running(answer)["joined"] for answer in answers) == [False, True, True]
    assert len({running(answer)["id"] for answer in answers}) == 1
    assert len(mac.begun()) == 1


def test_killed_work_is_said_to_be_killed_and_then_begun_again(mac: Mac) -> None:
    job = running(mac.call(30))
    os.kill(mac.begun()[0], signal.SIGKILL)
    wait_until(lambda: not all_jobs()[0].running)
    assert "its process was killed" in mac.call(30, waited_for="one")["msg"]
    mac.end()
    assert mac.call(30, token="two")["worker"] == mac.begun()[1]
    assert not os.path.exists(job["folder"])


def test_work_that_is_killed_at_once_is_said_to_be_killed(mac: Mac) -> None:
    process = mac.start(30, wait=20)
    os.kill(wait_until(mac.begun)[0], signal.SIGKILL)
    out, _err = process.communicate(timeout=30)
    assert "its process was killed" in json.loads(out)["msg"]


def test_an_answer_that_nobody_fetched(mac: Mac) -> None:
    """Holds only where the state of things cannot tell that the work was done, and only once."""
    folder = JobFolder(running(mac.call(30))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not all_jobs()[0].running)
    assert mac.call(0, "keep", token="two")["worker"] == mac.begun()[0]
    assert mac.call(0, "keep", token="three")["worker"] == mac.begun()[1]


def test_an_answer_that_nobody_fetched_is_not_kept_by_default(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not all_jobs()[0].running)
    assert mac.call(0, token="two")["worker"] == mac.begun()[1]


def ended_unfetched(mac: Mac, *words: str) -> JobFolder:
    """Return the folder of a job whose answer nobody has fetched."""
    folder = JobFolder(running(mac.call(30, *words))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not all_jobs()[0].running)
    return folder


@contextlib.contextmanager
def listed(folder: JobFolder, seconds: float) -> Iterator[None]:
    """Hold the claim of a job for some seconds, as another process does for a moment."""
    claim = folder.take()
    assert claim is not None
    timer = threading.Timer(seconds, claim.release)
    timer.start()
    yield
    timer.join()


@pytest.mark.parametrize("seconds", [0.3, 1.5], ids=["shorter than a call", "longer than a call"])
@pytest.mark.parametrize("if_running", ["join", "fail"])
def test_an_old_answer_is_not_taken_for_one_that_was_waited_for(mac: Mac, seconds: float, if_running: str) -> None:
    """Its claim is held in the moment in which the task starts, but the job had ended before."""
    with listed(ended_unfetched(mac), seconds):
        answer = mac.call(0, token="two", if_running=if_running)
    assert answer["worker"] == mac.begun()[1]
    assert len(mac.begun()) == 2


def test_its_own_old_answer_is_found_while_jobs_are_listed(mac: Mac) -> None:
    with listed(ended_unfetched(mac), 0.8):
        assert mac.call(30, waited_for="one")["worker"] == mac.begun()[0]


def test_a_job_that_starts_over_an_old_answer_is_joined(mac: Mac) -> None:
    folder = ended_unfetched(mac)
    (mac.home / "enough").unlink()
    claim = folder.take()
    processes = []
    for token in ("two", "three"):
        processes.append(mac.start(30, token=token))
        wait_until(lambda token=token: folder.attendance()[0] == token)
    claim.release()
    jobs = [running(json.loads(process.communicate(timeout=30)[0])) for process in processes]
    assert sorted(job["joined"] for job in jobs) == [False, True]
    (starter,) = {job["id"] for job in jobs}
    mac.end()
    wait_until(lambda: not all_jobs()[0].running)
    for token in ("two", "three"):
        assert mac.call(30, token=token, waited_for=starter)["worker"] == mac.begun()[1]


def test_killed_work_is_begun_again_while_jobs_are_listed(mac: Mac) -> None:
    job = running(mac.call(30))
    os.kill(mac.begun()[0], signal.SIGKILL)
    wait_until(lambda: not all_jobs()[0].running)
    mac.end()
    with listed(JobFolder(job["folder"]), 0.3):
        assert mac.call(30, token="two")["worker"] == mac.begun()[1]


def test_listing_takes_nobody_for_a_job(mac: Mac) -> None:
    """Two that list the jobs at the same time, neither of which is the job."""
    folder = ended_unfetched(mac)
    with open(claim_path(folder.path), "rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        assert [state.running for state in all_jobs()] == [False]


def test_work_that_is_not_joined(mac: Mac) -> None:
    """Two equal commands are two commands; only the task that started one gets its answer."""
    own = running(mac.call(30, "alone"))
    refused = mac.call(30, "alone", token="two")
    for words in ("on 'win11'", "image_pack", time.strftime("%Y-%m-%dT"), "has not run it", "mac_jobs"):
        assert words in refused["msg"]
    again = running(mac.call(30, "alone"))
    assert (again["id"], again["joined"]) == ("one", False), "the first answer may have been lost on its way"
    mac.end()
    wait_until(lambda: not all_jobs()[0].running)
    assert mac.call(30, "alone", waited_for=own["id"])["worker"] == mac.begun()[0]
    assert mac.call(30, "alone", waited_for=own["id"])["worker"] == mac.begun()[0]
    assert mac.call(30, "alone", token="two")["worker"] == mac.begun()[1]


def test_short_work_that_is_not_joined_is_done_one_after_the_other(mac: Mac) -> None:
    processes = [mac.start(0.6, "alone", token=token, wait=20) for token in ("one", "two", "three")]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [answer.get("msg") for answer in answers] == [None] * 3
    assert sorted(answer["worker"] for answer in answers) == sorted(mac.begun())
    assert len(set(mac.begun())) == 3


def test_an_answer_that_nobody_fetched_is_no_answer_to_another_task(mac: Mac) -> None:
    ended_unfetched(mac, "alone")
    assert mac.call(0, "alone", token="two")["worker"] == mac.begun()[1]


def test_canceled(mac: Mac) -> None:
    running(mac.call(30))
    Path(cancel_path("one")).touch()
    wait_until(lambda: not all_jobs()[0].running)
    assert mac.call(30, waited_for="one")["msg"] == "It was canceled."


def test_canceled_by_one_of_two_it_goes_on(mac: Mac) -> None:
    job = running(mac.call(30))
    folder = JobFolder(job["folder"])
    running(mac.call(30, token="two"))
    beat = wait_until(folder.told)["beat"]
    wait_until(lambda: folder.told()["beat"] > beat + 1)
    Path(cancel_path("one")).touch()
    beat = folder.told()["beat"]
    wait_until(lambda: folder.told()["beat"] > beat + 2)
    assert all_jobs()[0].running
    Path(cancel_path("two")).touch()
    wait_until(lambda: not all_jobs()[0].running)


def test_canceled_whoever_watches(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    running(mac.call(30, token="two"))
    folder.cancel()
    wait_until(lambda: not all_jobs()[0].running)


def test_nobody_asks_any_more(mac: Mac) -> None:
    running(mac.call(30, unattended=1.5))
    wait_until(lambda: not all_jobs()[0].running)
    message = mac.call(30, waited_for="one")["msg"]
    assert "No playbook has polled" in message
    assert "image_unattended_timeout" in message


def test_somebody_asks_again_and_again(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30, unattended=1.5))["folder"])
    end = time.monotonic() + 4
    while time.monotonic() < end:
        folder.attend("one")
        time.sleep(0.1)
    assert all_jobs()[0].running


def test_work_that_ends_without_a_word(mac: Mac) -> None:
    (mac.home / "silent").touch()
    answer = mac.call(0)
    assert answer["failed"]
    assert "the disk is on fire" in answer["msg"]


def test_where_no_job_can_be_kept_the_caller_hears_of_it(mac: Mac) -> None:
    (mac.home / ".ansible").touch()
    assert mac.call(0) == {"changed": True, "foreground": "Not a directory"}
    assert mac.begun() == []


def test_stale_jobs_are_removed(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(JobFolder(running(mac.call(30))["folder"]).told)
    assert remove_stale() == [], "a job that runs is not stale"
    os.kill(mac.begun()[0], signal.SIGKILL)
    wait_until(lambda: not all_jobs()[0].running)
    (mac.home / ".ansible/macops.parallels/jobs/old.cancel").touch()
    monkeypatch.setattr(folder_module, "KEPT_AFTER_FETCH", -1.0)
    (killed,) = remove_stale()
    assert (killed.module, killed.subject) == ("image_pack", "win11")
    assert list((mac.home / ".ansible/macops.parallels/jobs").iterdir()) == []


BROKEN = [
    "",
    "{",
    "null",
    "[]",
    '{"code": 0}',
    '{"code": "x", "at": 1}',
    '{"code": 0, "at": null}',
    "[" * 100_000,
    None,
]


@pytest.mark.parametrize("end", BROKEN, ids=range(len(BROKEN)))
def test_a_job_whose_end_cannot_be_read_was_not_killed(mac: Mac, monkeypatch: pytest.MonkeyPatch, end: Any) -> None:
    """After a power cut the note of its end may be empty; on a full disk it may be missing beside the answer."""
    folder = JobFolder.of("image_pack-0123")
    folder.create("one")
    with folder.take() as claim:
        claim.write(id="one", started=1.0)
    Path(folder.answer).write_text("{}" if end is None else "")
    if end is not None:
        (Path(folder.path) / "ended.json").write_text(end)
    (state,) = all_jobs()
    assert (state.running, state.ended) == (False, None)
    assert (killed_jobs(None, [state]), unclear_jobs(None, [state])) == ([], [state])
    said = "has ended, but it is not known how: "
    assert state.folder.how_it_ended().startswith(f"{said}{folder.path}/ended.json ")
    (cleared,) = remove_stale()
    assert cleared.ended is None
    assert all_jobs() == []


def test_an_unclear_end_is_said_by_the_next_run(mac: Mac) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not folder.is_claimed())
    (Path(folder.path) / "ended.json").write_text("")
    own = mac.call(0, waited_for="one")
    assert own["msg"] == (
        f"The work has ended, but it is not known how: {folder.path}/ended.json cannot be read. Run the same command "
        "again to resume."
    )
    assert mac.call(0, token="two")["changed"]
    assert len(mac.begun()) == 2


def test_killed_is_killed(mac: Mac) -> None:
    folder = JobFolder.of("image_pack-0123")
    folder.create("one")
    assert folder.how_it_ended() == "was killed in the middle of its work"
    assert [state.ended for state in all_jobs()] == [False]


def test_progress_that_cannot_be_written_is_said_and_does_not_end_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, job = JobFolder(str(tmp_path)), job_module.Job("one")
    attendant = job_module._Attendant(job, folder, job_module.JobOrder("one", 5.0, 60.0, "join", ""))
    attendant._tell(ended=False)
    assert job.unwritten == ""
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        attendant._tell(ended=False)
    attendant._tell(ended=False)
    assert job.unwritten == f"{tmp_path}/progress.json: No space left on device"
    folder = JobFolder(str(tmp_path / "gone"))
    assert folder.tell({}) == "", "it was removed while the job ends"


def test_what_another_run_has_removed_meanwhile_was_not_killed(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not all_jobs()[0].running)
    seen = all_jobs()
    folder.remove()
    monkeypatch.setattr(folder_module, "all_jobs", lambda: seen)
    assert remove_stale() == []
    assert list((mac.home / ".ansible/macops.parallels/jobs").iterdir()) == []


def test_an_answer_waits_to_be_fetched(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(running(mac.call(30))["folder"])
    mac.end()
    wait_until(folder.ended)
    wait_until(lambda: not all_jobs()[0].running)
    assert remove_stale() == []
    assert folder.exists()
    monkeypatch.setattr(folder_module, "KEPT_UNFETCHED", -1.0)
    assert remove_stale() == [], "it was not killed"
    assert not folder.exists()


def test_what_jobs_keep_is_the_user_s_alone(mac: Mac) -> None:
    folder = Path(running(mac.call(30))["folder"])
    assert folder.stat().st_mode & 0o077 == 0
    assert folder.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"name": "a", "timeout": 1}, {"timeout": 1, "name": "a"}, True),
        ({"name": "a"}, {"name": "b"}, False),
        ({"name": "Büro \udcff"}, {"name": "Büro \udcff"}, True),
    ],
)
def test_the_same_options_are_the_same_work(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (job_module.key_of("vm", one) == job_module.key_of("vm", other)) is same
    assert job_module.key_of("vm", one) != job_module.key_of("vm_power", one)


def test_without_an_order_work_is_done_in_the_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(job_module.ENVIRONMENT, raising=False)
    assert job_module.JobOrder.from_environment() is None


def test_the_order_is_not_handed_on_to_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    order = {"token": "t", "wait": 4, "unattended": 900, "if_running": "join"}
    monkeypatch.setenv(job_module.ENVIRONMENT, json.dumps(order))
    assert job_module.JobOrder.from_environment() == job_module.JobOrder("t", 4.0, 900.0, "join", "", False)
    assert job_module.ENVIRONMENT not in os.environ


@pytest.mark.parametrize("step", ["os.fdopen", "os.fchmod", "os.replace"])
def test_a_full_disk_gets_no_file_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    folder = JobFolder(str(tmp_path))
    folder.tell({"beat": 1})

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        for beat in range(2, 5):
            folder.tell({"beat": beat})
        folder.end(0)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
    assert folder.told() == {"beat": 1}
    folder.tell({"beat": 5})
    assert folder.told() == {"beat": 5}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), TaskError("A damaged note.")])
def test_files_that_cannot_be_removed_do_not_hide_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise error

    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        raise SystemExit(code)

    folder = JobFolder(str(tmp_path))
    claim = folder.take()
    assert claim is not None
    folder.end(0)
    monkeypatch.setattr(job_module, "_answer", lambda _folder: 0)
    monkeypatch.setattr(job_module, "_forget", refuse)
    monkeypatch.setattr(job_module.os, "_exit", end)
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(SystemExit):
        job_module._answer_for_child(job_module.JobOrder("token", 5.0, 60.0, "join", ""), folder, claim, reading)
    claim.release()
    os.close(reading)
    assert ended == [0]
