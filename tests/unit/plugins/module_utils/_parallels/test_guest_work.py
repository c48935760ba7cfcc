# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in a guest: a real shell does it, and Windows as far as its answers go."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import guest_frame, guest_work
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest import Guest, Lost, NotBegun
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_session import Outcome, converse
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_work import Work, run_long

# Has one shell parse the words, in the environment that Parallels gives, and loses what the test says.
PRLCTL = """\
#!/bin/sh
shift 2
cd /
guest() {{ env -i HOME=/ PATH=/usr/bin:/bin TMPDIR={temporary} sh -c "umask 0; $*"; }}
{fault}
guest "$@"
"""


class RealGuest:
    """A Linux guest that is the shell of this machine. Its time passes faster than it seems."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "prlctl"
        self.sessions = 0
        self.before: Callable[[int], str] = lambda _number: ""
        self.now = 0.0
        self.pause = 0.05
        prl = SimpleNamespace(
            converse=self.converse,
            clock=lambda: self.now,
            sleep=self.sleep,
            pauses=lambda patience, longest: iter([0.01] * 5),
            program=lambda name: name,
        )
        self.guest = Guest(prl, SimpleNamespace(uuid="u", name="x", family="linux"), patience=0)  # type: ignore[arg-type]

    def converse(self, args: list[str], dialect: Any, command: Any, **options: Any) -> Outcome:
        self.sessions += 1
        script = PRLCTL.format(fault=self.before(self.sessions), temporary=self.program.parent)
        self.program.write_text(script)
        self.program.chmod(0o755)
        return converse([str(self.program), *args], {}, dialect, command, **options)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(self.pause)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealGuest]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name = os.urandom(8).hex()
    monkeypatch.setattr(guest_work, "new_name", lambda: name)
    yield RealGuest(tmp_path)
    left = [folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.path.exists(f"{folder}/.macops-{name}")]
    assert left == [], "the guest keeps temporary files"


def test_what_came_of_it(real: RealGuest) -> None:
    line = "umask; pwd; printf '\\303\\274'; echo error >&2; cat; exit 3"
    result = run_long(real.guest, ["/bin/sh", "-c", line], limit=700)
    assert (result.rc, result.stderr) == (3, "error\n")
    assert result.stdout.splitlines()[0] == "0022"
    assert result.stdout.endswith("\nü")
    assert result.cmd[-3:] == ["/bin/sh", "-c", line]
    assert result.timed_out is False


def test_it_goes_on_without_a_session_and_is_polled_in_short_ones(real: RealGuest, tmp_path: Path) -> None:
    go = tmp_path / "go"
    real.before = lambda number: f"touch {go}" if number == 4 else ""
    line = f"echo begun >>{tmp_path}/begun; until [ -e {go} ]; do sleep 0.05; done; echo done"
    assert run_long(real.guest, ["/bin/sh", "-c", line], limit=700).stdout == "done\n"
    assert real.sessions >= 5
    assert (tmp_path / "begun").read_text() == "begun\n"


# Sessions whose end does not arrive.
LOSSES = {
    "after it has begun": 1,
    "at a poll": 2,
    "at the result": 3,
}


@pytest.mark.parametrize("when", LOSSES)
def test_a_lost_session_is_repeated_and_nothing_is_begun_twice(real: RealGuest, tmp_path: Path, when: str) -> None:
    fault = 'guest "$@" | sed -u "/^BEGIN/q"; exit 0'
    real.before = lambda number: fault if number == LOSSES[when] else ""
    result = run_long(real.guest, ["/bin/sh", "-c", f"echo begun >>{tmp_path}/begun; echo done"], limit=700)
    assert (result.rc, result.stdout) == (0, "done\n")
    assert (tmp_path / "begun").read_text() == "begun\n"


def test_its_time_is_limited_in_the_guest(real: RealGuest, tmp_path: Path) -> None:
    line = f"trap 'echo ended >{tmp_path}/ended; exit 5' TERM; sleep 60 & wait"
    real.pause = 0.5
    with pytest.raises(TaskError, match="did not finish within 1 seconds, so it was ended in the guest"):
        run_long(real.guest, ["/bin/sh", "-c", line], limit=1)
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_an_interruption_ends_it_in_the_guest(real: RealGuest, tmp_path: Path) -> None:
    line = f"echo $$ >{tmp_path}/pid; trap 'echo ended >{tmp_path}/ended; exit' TERM; sleep 60 & wait"

    def interrupt(_seconds: float) -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        raise Interrupted("It was canceled.", 15)

    real.guest.prl.sleep = interrupt  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        run_long(real.guest, ["/bin/sh", "-c", line], limit=700)
    for _attempt in range(500):
        if (tmp_path / "ended").exists():
            break
        time.sleep(0.01)
    assert (tmp_path / "ended").read_text() == "ended\n"
    work = Work(real.guest, guest_work.new_name())
    for _attempt in range(500):
        if work.look() == guest_work.ENDED:
            break
        time.sleep(0.01)
    work.remove()


def test_a_process_that_leaves_nothing(real: RealGuest) -> None:
    number = f"$(cat /tmp/.macops-{guest_work.new_name()}/pid)"
    line = f'kill -9 $(ps -o ppid= -p "{number}") "{number}" $$'
    with pytest.raises(
        Lost, match=r"not known how the command in 'x' ended\. Its process has ended, and left no result"
    ):
        run_long(real.guest, ["/bin/sh", "-c", line], limit=700)
    Work(real.guest, guest_work.new_name()).remove()


def test_names() -> None:
    names = {guest_work.new_name() for _time in range(9)}
    assert len(names) == 9
    assert all(guest_work.is_name(name) for name in names)
    assert not any(guest_work.is_name(text) for text in ("", "True", "0123456789abcdeF", "../../etc/passwd0", "0" * 17))


# --- what the guest answers ---------------------------------------------------------------------------------------


class Answers:
    """A guest that answers each question as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any, family: str = "linux") -> None:
        self.left = list(answers)
        self.scripts: list[str] = []
        self.now = 0.0
        prl = SimpleNamespace(clock=lambda: self.now, sleep=self.sleep, program=lambda name: name)
        self.guest = Guest(prl, SimpleNamespace(uuid="u", name="x", family=family), patience=0)  # type: ignore[arg-type]
        monkeypatch.setattr(guest_work, "ask", self.ask)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def ask(self, _guest: Any, shell: str, windows: str) -> Any:
        self.scripts.append(windows if self.guest.windows else shell)
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, TaskError):
            raise answer
        row = (answer,) if answer else None
        return SimpleNamespace(one=lambda _topic: row, why_unknown=lambda _topic: "The guest reports: no WMI.")


NOT_NOW = NotBegun("The guest is busy.", 0, passes=True, reason="booting")
NEVER = NotBegun("'x' is stopped.", 0, passes=False, reason="not_running")


@pytest.mark.parametrize(
    ("answers", "sentence", "seconds"),
    [
        (["begun", "running"], "did not finish in time, and the guest did not report that it has ended it", 760),
        (["begun", NOT_NOW], "The guest is busy", 760),
        (["begun", Lost("Lost.")], "Lost", 760),
        (["begun", NEVER], "'x' is stopped", 0),
        (["begun", "gone"], "left no result", 1),
        (["begun", "none"], "left no result", 0),
        (["begun", "starting"], "left no result", 61),
        (["begun", "gone", "running", "gone", "running"], "did not finish in time", 760),
        (["temporary"], "cannot write a temporary file", 0),
        ([""], r"could not be begun or polled\. The guest reports: no WMI", 0),
        ([NEVER], "'x' is stopped", 0),
    ],
)
def test_work_whose_end_is_not_known(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], sentence: str, seconds: int
) -> None:
    scripted = Answers(monkeypatch, *answers)
    with pytest.raises(TaskError, match=sentence):
        run_long(scripted.guest, ["true"], limit=700)
    assert seconds <= scripted.now <= seconds + 20


def test_windows_begins_it_with_the_same_loader_as_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = Answers(monkeypatch, "begun", family="windows")
    work = Work(scripted.guest, "0123456789abcdef")
    work.begin(["sysprep.exe", "/oobe"])
    (script,) = scripted.scripts
    found = re.search(
        r"\$line = '(cmd\.exe /D /S /C \"(.*) <%D%\\tape >%D%\\answer 2>&1 & ren %D%\\answer result\")'", script
    )
    assert found
    assert found.group(2).split() == list(guest_frame.Windows.words[4:])
    assert len(found.group(1)) < 8000  # what cmd.exe takes
    command = guest_frame.Command(b"sysprep.exe /oobe")
    tape = guest_frame.Windows.tape(command, work.name).decode().rstrip("\n")
    assert f"'{tape}'" in script
    assert not re.search(r"'[^\n]*\n", tape)
    # What is filled in is the only place of its kind: none is left, and none is in what was filled in before.
    assert not re.search("NAME|LOADER|TAPE", script.replace(tape, ""))
