# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many questions in one call: the answer is whole or none, and what it does not say is not known."""

from __future__ import annotations

import base64
import gzip
import subprocess
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import guest_answer
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_answer import (
    Answer,
    ask,
    powershell_script,
    shell_script,
)

LINES = "arch\t+\taarch64\narch\t=\nusers\t+\tBüro\t/home/x\nusers\t=\n"
PACKED = gzip.compress(LINES.encode(), mtime=0)


def framed(text: str = LINES, kind: str = "gzip", end: str = "macops-end\n", newline: str = "\n") -> str:
    body = base64.encodebytes(gzip.compress(text.encode(), mtime=0)).decode() if kind == "gzip" else text
    return f"noise\nmacops-answer {kind}\n{body}{end}".replace("\n", newline)


def guest_that_prints(*outputs: str, family: str = "linux", rc: int = 0) -> Any:
    left = list(outputs)
    asked: list[Any] = []

    def answer_to(argv: list[str], *, limit: float, stdin: str) -> Result:
        asked.append((argv, stdin))
        return Result(argv, rc, left.pop(0) if left else outputs[-1], "")

    return SimpleNamespace(vm=SimpleNamespace(family=family, name="x"), ask=answer_to, asked=asked)


@pytest.mark.parametrize("kind", ["gzip", "plain"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_answer_that_is_whole(kind: str, newline: str) -> None:
    guest = guest_that_prints(framed(kind=kind, newline=newline))
    answer = ask(guest, "true", "$null")
    assert answer.one("arch") == ("aarch64",)
    assert answer.rows("users") == [("Büro", "/home/x")]
    assert guest.asked == [(["/bin/sh", "-s"], shell_script("true"))]


def test_windows_gets_a_short_command_and_the_script_on_its_input() -> None:
    guest = guest_that_prints(framed(), family="windows")
    ask(guest, "true", "Read-Topic x { }")
    ((argv, stdin),) = guest.asked
    assert argv[0] == "powershell.exe"
    assert len(" ".join(argv)) < 1000
    assert stdin == powershell_script("Read-Topic x { }")
    assert stdin.isascii()


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "it has no beginning"),
        (framed().replace("macops-answer", "answer"), "it has no beginning"),
        (framed(end=""), "it has no end"),
        (framed()[:60], "it has no end"),
        (framed(kind="zip"), "its form is not known"),
        ("macops-answer gzip\nmacops-end\n", "it is cut off"),
        ("macops-answer gzip\n@@\nmacops-end\n", "it is damaged"),
        (f"macops-answer gzip\n{base64.b64encode(b'no gzip').decode()}\nmacops-end\n", "it is damaged"),
        (
            f"macops-answer gzip\n{base64.b64encode(PACKED[:-4]).decode()}\nmacops-end\n",
            "it is cut off",
        ),
    ],
)
def test_an_answer_that_is_not_whole(output: str, why: str) -> None:
    guest = guest_that_prints(output)
    with pytest.raises(TaskError, match=f"its answer cannot be used: {why}"):
        ask(guest, "true", "$null")
    assert len(guest.asked) == 3


def test_an_answer_with_the_exit_code_of_a_failure() -> None:
    with pytest.raises(TaskError, match="ended with exit code 127"):
        ask(guest_that_prints(framed(), rc=127), "true", "$null")


def test_an_answer_whose_beginning_was_lost_is_asked_for_again() -> None:
    guest = guest_that_prints(framed().partition("\n")[2].partition("\n")[2], framed())
    assert ask(guest, "true", "$null").one("arch") == ("aarch64",)
    assert len(guest.asked) == 2


def test_an_answer_that_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_answer, "_LARGEST", 1000)
    with pytest.raises(TaskError, match="it is too long"):
        ask(guest_that_prints(framed("x" * 100_000)), "true", "$null")


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        ([], None),
        (["t\t+\ta"], None),  # it broke off
        (["t\t="], []),
        (["t\t+\ta\tb", "t\t="], [("a", "b")]),
        (["t\t+\ta", "t\t!\taccess denied"], None),
        (["t\t+\ta", "t\t=", "t\t!\tlater"], None),
        (["t"], None),
        (["", "\t=", "t\t?\ta"], None),
        (["t\t+", "t\t="], [()]),
    ],
)
def test_a_topic_is_known_only_if_it_was_read_to_its_end(
    lines: list[str], rows: Optional[list[tuple[str, ...]]]
) -> None:
    answer = Answer(lines)
    assert answer.rows("t") == rows
    assert (answer.one("t") is not None) == (rows is not None and len(rows) == 1)
    assert Answer(answer.lines()).rows("t") == rows
    if rows is None:
        assert answer.why_unknown("t").endswith(".")


def test_the_reason_of_the_guest_is_shown_without_what_a_terminal_obeys() -> None:
    assert Answer(["t\t!\t\x1b[31mno."]).why_unknown("t") == "The guest reports: \\x1b[31mno."


@pytest.mark.parametrize("has_gzip", [True, False])
def test_a_shell_script_in_a_real_shell(has_gzip: bool) -> None:
    script = shell_script(
        "row one 'a b' \"c'd\" '$HOME'\nwhole one\ncat\nwhole two\nfalse && whole three\nfailed four 'it broke'"
    )
    if not has_gzip:
        script = script.replace("command -v gzip", "command -v no-such-gzip")
    done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True, check=True, timeout=60)
    assert f"macops-answer {'gzip' if has_gzip else 'plain'}" in done.stdout
    answer = ask(guest_that_prints(done.stdout), "", "")
    assert answer.rows("one") == [("a b", "c'd", "$HOME")]
    assert answer.rows("two") == []  # cat has not eaten the script
    assert answer.rows("three") is None
    assert answer.why_unknown("four") == "The guest reports: it broke."
