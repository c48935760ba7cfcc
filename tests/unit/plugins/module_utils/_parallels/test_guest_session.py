# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a guest: a real shell behind a program that behaves as prlctl does, with each of its faults."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_frame import (
    COMMAND_LINE_LIMIT,
    Answer,
    Command,
    Unix,
    Windows,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_session import Outcome, converse

# Joins its words, and has one shell parse them, in the environment that Parallels gives. Each fault is a case.
PRLCTL = """\
#!/bin/sh
fault={fault}
shift 2
case $fault in
no_session) echo "Unable to open new session in this virtual machine. Make sure" >&2; exit 0;;
handle) echo "PrlJob_GetRetCode: Invalid argument." >&2; exit 255;;
silent) exec cat >/dev/null;;
noise) echo "Welcome!"; printf '\\001\\377\\n';;
esac
guest() {{ cd /; exec env -i HOME=/ PATH=/usr/bin:/bin TMPDIR={temporary} sh -c "umask 0; $*"; }}
case $fault in
deaf) guest "$@" | {{ head -n 1 >/dev/null; cat; }};;
lies) guest "$@"; exit 0;;
code) (guest "$@"); exit 255;;
crlf) guest "$@" | sed -u 's/$/\\r/';;
cut_after_begin) guest "$@" | sed -u '/^BEGIN/q';;
flipped) guest "$@" | sed -u 's/secret/sekret/';;
*) guest "$@";;
esac
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """Return a function that runs a command in one session."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def call(line: str | bytes, data: bytes = b"", fault: str = "", **options: Any) -> Outcome:
        program = tmp_path / "prlctl"
        program.write_text(PRLCTL.format(fault=fault or "none", temporary=temporary))
        program.chmod(0o755)
        session = {name: options.pop(name) for name in ("body", "take", "wanted", "open_limit") if name in options}
        size = options.pop("size", len(data))
        command = Command(line if isinstance(line, bytes) else line.encode(), size, **options)
        return converse([str(program), "exec", "uuid"], {}, Unix, command, **{"body": data, **session})

    yield call
    for _attempt in range(500):
        if not list(temporary.iterdir()):
            break
        time.sleep(0.02)
    assert list(temporary.iterdir()) == [], "the guest keeps temporary files"


def facts(outcome: Outcome) -> tuple[Any, bytes, bytes]:
    assert outcome.sent and not outcome.lost and outcome.answer.intact
    return outcome.answer.code, bytes(outcome.answer.stdout), bytes(outcome.answer.stderr)


RANDOM = os.urandom(300_000)

COMMANDS = [
    ("echo out; echo err >&2; exit 3", b"", (3, b"out\n", b"err\n")),
    ("exit 255", b"", (255, b"", b"")),
    ("kill -9 $$", b"", (137, b"", b"")),
    ("cat", b"", (0, b"", b"")),
    ("cat", b"\0\xff\r\n?\nend\n", (0, b"\0\xff\r\n?\nend\n", b"")),
    ("cat", RANDOM, (0, RANDOM, b"")),
    ("wc -c", RANDOM, (0, b"300000\n", b"")),
    ("true", RANDOM, (0, b"", b"")),  # reads nothing of it
    ("head -c 3", RANDOM, (0, RANDOM[:3], b"")),
    ("printf 'no newline'", b"", (0, b"no newline", b"")),
    ("umask; echo $HOME; pwd; test -t 0 || echo none", b"", (0, b"0022\n%s\n%s\nnone\n", b"")),
    ("echo $DEBIAN_FRONTEND $GIT_TERMINAL_PROMPT", b"", (0, b"noninteractive 0\n", b"")),
    ("sleep 30 & echo started", b"", (0, b"started\n", b"")),  # is not waited for
    ("echo \"ä '$(echo x)' \\\\ \"'$HOME\n`'", b"", (0, "ä 'x' \\ $HOME\n`\n".encode(), b"")),
    (b"printf %s '\xff\x01'", b"", (0, b"\xff\x01", b"")),
    ("no-such-program", b"", (127, b"", None)),
]


@pytest.mark.parametrize(("line", "data", "expected"), COMMANDS, ids=[str(row[0])[:25] for row in COMMANDS])
def test_a_command(run: Any, line: Any, data: bytes, expected: Any) -> None:
    code, out, err = facts(run(line, data))
    home = os.path.expanduser("~root" if os.geteuid() == 0 else f"~{os.environ.get('USER', '')}").encode()
    wanted = (
        expected[1] % (home, home) if b"%s" in expected[1] and data == b"" and b"0022" in expected[1] else expected[1]
    )
    assert (code, out) == (expected[0], wanted)
    assert expected[2] in (err, None)


# Each of what prlctl is known to do, and what it must not change.
@pytest.mark.parametrize("fault", ["deaf", "lies", "code", "noise"])
def test_a_fault_that_changes_nothing(run: Any, fault: str) -> None:
    outcome = run("cat; echo error >&2; exit 3", b"data\n", fault)
    assert facts(outcome) == (3, b"data\n", b"error\n")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("no_session", "Unable to open new session"), ("handle", "PrlJob_GetRetCode"), ("silent", "")],
)
def test_a_fault_that_keeps_it_from_beginning(run: Any, tmp_path: Path, fault: str, said: str) -> None:
    outcome = run(f"touch '{tmp_path}/done'", b"data", fault, open_limit=0.5)
    assert not outcome.sent
    assert said in outcome.said
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("fault", ["cut_after_begin", "flipped"])
def test_a_fault_that_leaves_the_result_unknown(run: Any, fault: str) -> None:
    outcome = run("echo secret", fault=fault)
    assert outcome.sent
    assert outcome.lost


def test_a_command_whose_time_is_over_is_ended_with_its_children(run: Any, tmp_path: Path) -> None:
    started = time.monotonic()
    outcome = run(f"echo half; sh -c 'sleep 31; touch {tmp_path}/late' & sleep 32", limit=1)
    assert outcome.timed_out
    assert (outcome.answer.code, bytes(outcome.answer.stdout)) == (143, b"half\n")
    assert time.monotonic() - started < 15
    assert not _runs("sleep\x0031") and not _runs("sleep\x0032")


def test_a_command_is_ended_when_nobody_wants_its_answer(run: Any) -> None:
    end = time.monotonic() + 1
    outcome = run("sleep 33", wanted=lambda: time.monotonic() < end)
    assert outcome.abandoned
    for _attempt in range(100):
        if not _runs("sleep\x0033"):
            break
        time.sleep(0.05)
    assert not _runs("sleep\x0033")


def test_data_that_end_early_end_the_command(run: Any) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"some")
    os.close(writer)
    try:
        with pytest.raises(EOFError):
            run("cat; sleep 34", size=1000, body=reader)
    finally:
        os.close(reader)
    for _attempt in range(100):
        if not _runs("sleep\x0034"):
            break
        time.sleep(0.05)
    assert not _runs("sleep\x0034")


def test_data_from_a_file_are_not_read_into_memory(run: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(RANDOM)
    with source.open("rb") as file:
        assert facts(run("cat", size=len(RANDOM), body=file.fileno()))[1] == RANDOM


@pytest.mark.parametrize("name", ["plain", "two words", "it's", 'a"b', "a\\b", "a\nb", "ä", "-n", "$HOME", "`id`"])
def test_files_with_any_name(run: Any, tmp_path: Path, name: str) -> None:
    path = os.fsencode(tmp_path / name)
    assert facts(run(path, RANDOM, store=True)) == (0, f"{hashlib.sha256(RANDOM).hexdigest()}\n".encode(), b"")
    assert Path(os.fsdecode(path)).read_bytes() == RANDOM
    pieces: list[bytes] = []
    outcome = run(path, fetch=True, take=pieces.append)
    assert outcome.answer.intact
    assert b"".join(pieces) == RANDOM
    assert outcome.answer.digest == outcome.answer.sha256 == hashlib.sha256(RANDOM).hexdigest()


@pytest.mark.parametrize(("path", "why"), [("/", "folder"), ("/no/such/file", "missing")])
def test_a_file_that_cannot_be_sent(run: Any, path: str, why: str) -> None:
    outcome = run(path, fetch=True)
    assert outcome.answer.refused == why
    assert not outcome.lost


def test_an_empty_file(run: Any, tmp_path: Path) -> None:
    assert facts(run(os.fsencode(tmp_path / "empty"), store=True))[0] == 0
    assert facts(run(os.fsencode(tmp_path / "empty"), fetch=True)) == (0, b"", b"")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'prompt:' >&2; read -r l; echo GRANTED; echo \"$l\"; cat", b"GRANTED\nhorse\ndata"),
        ("echo GRANTED; cat", b"GRANTED\ndata"),  # no password is needed
        ("echo 'a warning' >&2; sleep 0.3; printf prompt: >&2; read -r l; cat", b"data"),
    ],
)
def test_a_prompt_for_a_password(run: Any, script: str, expected: bytes) -> None:
    outcome = run(script, b"data", password="horse", prompt="prompt:", granted="GRANTED")
    assert facts(outcome)[:2] == (0, expected)


@pytest.mark.parametrize("dialect", [Unix, Windows])
def test_the_command_line_is_short_and_plain(dialect: Any) -> None:
    line = " ".join(dialect.words)
    assert len(line) < COMMAND_LINE_LIMIT / 2  # there are options before it
    assert line.isascii() and line.isprintable()
    assert "\\" not in line


def test_nothing_of_a_command_is_on_the_command_line(run: Any, tmp_path: Path) -> None:
    outcome = run("tr '\\000' ' ' </proc/$PPID/cmdline; cat /proc/*/cmdline | grep -c hor[s]e", b"horse", password="")
    if sys.platform == "linux":
        assert b"horse" not in facts(outcome)[1]


def _runs(command: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_text(errors="replace").rstrip("\0") == command:
                return True
        except OSError:
            continue
    return False


# --- Windows, whose guests are a table of answers in the tests --------------------------------------------------


def test_the_answer_of_windows() -> None:
    digest = hashlib.sha256(b"outerr").hexdigest()
    lines = [
        "!n",
        "BEGIN n",
        "END n -1073741510 -1 -1 0 3",
        "O b3V0",
        "E " + base64.b64encode(b"err").decode(),
        f"EOT n {digest}",
    ]
    answer = Answer("n")
    for byte in "".join(f"{line}\r\n" for line in lines).encode():
        answer.feed(bytes([byte]))
    assert answer.intact and answer.ready and answer.begun
    assert (answer.code, bytes(answer.stdout), bytes(answer.stderr), answer.size) == (-1073741510, b"out", b"err", 3)


def test_the_size_of_a_file_is_known_before_its_bytes_come() -> None:
    seen: list[Any] = []
    answer = Answer("n", seen.append, lambda answer: seen.append(answer.size))
    answer.feed(b"!n\nBEGIN n\nEND n 0 3 0 0\nabcEOT n -\n")  # all of it in one piece
    assert seen == [3, b"abc"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["a.exe", "/x"], "a.exe /x"),
        (["a.exe", "two words", ""], 'a.exe "two words" ""'),
        (["a.exe", 'say "hi"', "C:\\a b\\"], 'a.exe "say \\"hi\\"" "C:\\a b\\\\"'),
        (["a.exe", "C:\\a\\b"], "a.exe C:\\a\\b"),
        (["a.exe", '\\\\"'], 'a.exe "\\\\\\\\\\""'),
    ],
)
def test_a_command_line_of_windows(argv: list[str], line: str) -> None:
    assert Windows.line(argv).decode() == line
