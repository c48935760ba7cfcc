# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialogues with guests of which only their answers exist."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from parallels_simulator import cli
from parallels_simulator.dialogue import (
    LongWork,
    Order,
    ProtocolError,
    UnixDialogue,
    WindowsDialogue,
    dialogue_for,
    work_in,
)
from parallels_simulator.guest import Answer
from simulator_harness import SimulatedMac

NONCE = "0123456789abcdef"
UNIX_LOADER = (
    """/bin/sh -c 'while read -r l; do case $l in [?]*) echo "!${l#?}";; """
    """*) eval "$(printf %b "$l")"; exit;; esac; done'"""
)
POWERSHELL = ["cmd.exe", "/D", "/S", "/C", "powershell.exe", "-NoLogo", "-NonInteractive", "-EncodedCommand"]
ORDER = {"nonce": NONCE, "line": "whoami", "limit": 0, "fetch": False, "store": False}


def _b64(data: bytes | str, encoding: str = "utf-8") -> bytes:
    return base64.b64encode(data.encode(encoding) if isinstance(data, str) else data)


WINDOWS_LOADER = [*POWERSHELL, _b64("$first = [Console]::In.ReadLine()", "utf-16-le").decode()]


def _windows_opening(**changes: object) -> bytes:
    return _b64("# the runner") + b"\n" + _b64(json.dumps({**ORDER, **changes})) + b"\n"


def _octal(text: bytes) -> bytes:
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,-./:=@_"
    return b"".join(bytes([byte]) if byte in plain else b"\\0%03o" % byte for byte in text)


def _unix_opening(line: str = "id", size: int = 0, script: str = "run") -> bytes:
    values = {"n": NONCE, "c": line, "z": str(size), "l": "", "w": "", "j": "", "g": ""}
    given = b"".join(b'%s=$(printf %%b "%s")\n' % (key.encode(), _octal(text.encode())) for key, text in values.items())
    return _octal(given + script.encode()) + b"\n"


def _echo(order: Order, stdin: bytes) -> Answer:
    return Answer(3, f"{order.line}:{len(stdin)}", "problem")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def test_which_command_lines_begin_a_dialogue() -> None:
    assert dialogue_for(True, WINDOWS_LOADER) is WindowsDialogue
    assert dialogue_for(True, WINDOWS_LOADER[4:]) is WindowsDialogue
    assert dialogue_for(False, [UNIX_LOADER]) is UnixDialogue
    for words in (
        [*POWERSHELL, _b64("exit 3", "utf-16-le").decode()],
        [*WINDOWS_LOADER, "more"],
        [*POWERSHELL, "no base64"],
        ["cmd.exe", "/C", "ver"],
    ):
        assert dialogue_for(True, words) is None
    assert dialogue_for(False, ["/bin/sh", "-c", "true"]) is None


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_windows(piece: int) -> None:
    dialogue = WindowsDialogue(_echo)
    stream = (
        b"?1\n?22\n" + _windows_opening() + _b64(b"abc") + b"\n" + _b64(b"\0\xff") + b"\n." + NONCE.encode() + b"\n"
    )
    said = b"".join(dialogue.feed(stream[start : start + piece]) for start in range(0, len(stream), piece))
    assert said.split(b"\r\n") == [
        b"!1",
        b"!22",
        b"BEGIN " + NONCE.encode(),
        b"END " + NONCE.encode() + b" 3 -1 -1 0 8",
        b"O " + _b64("whoami:5"),
        b"E " + _b64("problem"),
        b"EOT " + NONCE.encode() + b" " + _digest(b"whoami:5problem"),
        b"",
    ]
    assert dialogue.stdin == b"abc\0\xff"


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_unix(piece: int) -> None:
    dialogue = UnixDialogue(_echo)
    stream = b"?1\n" + _unix_opening("id; 'ü'", 6) + b"a\nb\0\xff\n" + b"end " + NONCE.encode() + b"\n"
    said = b"".join(dialogue.feed(stream[start : start + piece]) for start in range(0, len(stream), piece))
    output = "id; 'ü':6".encode()
    assert said == b"".join(
        (
            b"!1\nBEGIN " + NONCE.encode() + b"\nGOT " + NONCE.encode() + b"\n",
            b"END %s 3 %d 7 0\n" % (NONCE.encode(), len(output)),
            output + b"problem",
            b"EOT %s %s\n" % (NONCE.encode(), _digest(output + b"problem")),
        )
    )
    assert dialogue.stdin == b"a\nb\0\xff\n"


def test_nothing_is_said_before_it_is_time() -> None:
    dialogue = UnixDialogue(_echo)
    assert dialogue.feed(_unix_opening("id", 2) + b"a") == b"BEGIN " + NONCE.encode() + b"\n"
    assert dialogue.feed(b"b") == b"GOT " + NONCE.encode() + b"\n"
    assert dialogue.answer is None


@pytest.mark.parametrize(("kind", "opening"), [(WindowsDialogue, _windows_opening()), (UnixDialogue, _unix_opening())])
def test_standard_input_that_ends_too_early_ends_the_command(kind: type, opening: bytes) -> None:
    dialogue = kind(_echo)
    assert dialogue.cut_off() == b""
    dialogue.feed(opening)
    said = dialogue.cut_off().split()
    assert said[:2] == [b"END", NONCE.encode()]
    assert said[2] != b"0"
    assert said[5] == b"1"


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"?1\r\n", "CR LF"),
        ("?ü\n".encode(), "not ASCII"),
        (b"not base64\n", "the script is not base64"),
        (b"\n", "the script is empty"),
        (_b64(b"\xff") + b"\n", "not UTF-8"),
        (_b64("x") + b"\n" + _b64("no JSON") + b"\n", "not JSON"),
        (_windows_opening(more=1), "the order has"),
        (_windows_opening(limit="60"), "the order has"),
        (_windows_opening(nonce="no"), "not hexadecimal"),
        (_windows_opening() + b"abc=d\n", "standard input is not base64"),
        (_windows_opening() + b".other\n", "another nonce"),
    ],
)
def test_what_powershell_could_not_take(stream: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        WindowsDialogue(_echo).feed(stream)


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"echo $HOME\n", "that the shell would change"),
        (b"\\n\n", "that the shell would change"),
        (b"true\n", "the script sets"),
        (_unix_opening(size=-1), "not a number"),
        (_unix_opening() + b"end other\n", "the closing line"),
        (_unix_opening(size=1) + b"abend " + NONCE.encode() + b"\n", "the closing line"),
    ],
)
def test_what_a_shell_could_not_take(stream: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        UnixDialogue(_echo).feed(stream)


def _hold(mac: SimulatedMac, name: str, words: list[str], stream: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [str(mac.root / "bin" / "prlctl"), "exec", name, *words]
    return subprocess.run(command, input=stream, capture_output=True, check=False, timeout=60)


def _output(done: subprocess.CompletedProcess[bytes]) -> bytes:
    """Return what the command in Windows printed."""
    assert (done.returncode, done.stderr) == (0, b""), done
    lines = done.stdout.split(b"\r\n")
    return b"".join(base64.b64decode(line[2:]) for line in lines if line.startswith(b"O "))


def test_a_whole_session(launched: SimulatedMac, tmp_path: Path) -> None:
    launched.vm("w", state="running")
    launched.vm("m", os="macosx", state="running")
    end = b"." + NONCE.encode() + b"\n"
    assert _output(_hold(launched, "w", WINDOWS_LOADER, _windows_opening() + end)) == b"nt authority\\system\r\n"
    payload = b"{win_ping" + b"\0" * 200_000
    table = tmp_path / "answers.json"
    table.write_text('[{"line": "^Power", "stdin": "win_ping", "stdout": "pong"}]')
    launched.simulate("answers", str(table))
    stream = _windows_opening(line="PowerShell -EncodedCommand x")
    lines = [payload[start : start + 6000] for start in range(0, len(payload), 6000)]
    stream += b"".join(_b64(line) + b"\n" for line in lines) + end
    assert _output(_hold(launched, "w", WINDOWS_LOADER, stream)) == b"pong"
    path = "C:\\Temp\\ü.bin"
    stored = _windows_opening(line=path, store=True) + _b64(payload) + b"\n" + end
    assert _output(_hold(launched, "w", WINDOWS_LOADER, stored)) == _digest(payload) + b"\n"
    assert _output(_hold(launched, "w", WINDOWS_LOADER, _windows_opening(line=path, fetch=True) + end)) == payload
    said = _hold(launched, "m", [UNIX_LOADER], _unix_opening("uname") + b"end " + NONCE.encode() + b"\n").stdout
    assert b" 0 7 0 0\nDarwin\nEOT " in said
    bad = _hold(launched, "w", WINDOWS_LOADER, b"?\r\n")
    assert (bad.returncode, b"a line ends with CR LF" in bad.stderr) == (1, True)
    seen = launched.show()["dialogues"]
    assert [row["complete"] for row in seen] == [True] * 5 + [False]
    assert (seen[1]["stdin_bytes"], seen[1]["stdin_sha256"]) == (len(payload), _digest(payload).decode())
    launched.fault("exec_ends_early")
    launched.knob("exec_ends_after=BEGIN")
    cut = _hold(launched, "w", WINDOWS_LOADER, b"?1\n" + _windows_opening() + end)
    assert (cut.returncode, cut.stdout) == (255, b"!1\r\nBEGIN " + NONCE.encode() + b"\r\n")


WORK = f"""$n = 'macops-{NONCE}'
$d = "$env:SystemRoot\\Temp\\$n"
"""
BEGIN = """
Read-Topic work {
  [IO.File]::WriteAllText("$d\\tape", 'TAPE')
  $line = 'cmd.exe /D /S /C "LOADER <%D%\\tape >%D%\\answer 2>&1 & ren %D%\\answer result"'.Replace('%D%', $d)
  $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{CommandLine = $line}
}
"""


def test_long_work(launched: SimulatedMac) -> None:
    launched.vm("w", state="running")
    tape = _windows_opening(line="cmd /c exit 3").decode() + f".{NONCE}"
    begin = WORK + BEGIN.replace("TAPE", tape).replace("LOADER", " ".join(WINDOWS_LOADER[4:]))
    look, remove = WORK + "Read-Topic work { Add-Row work 'ended' }", WORK + "Read-Topic work { Remove-Item $d }"
    reader = _b64("& ([ScriptBlock]::Create([Console]::In.ReadToEnd()))", "utf-16-le").decode()

    def said(script: str) -> str:
        end = _b64(script) + b"\n." + NONCE.encode() + b"\n"
        stream = _windows_opening(line=f"powershell.exe -EncodedCommand {reader}") + end
        return _output(_hold(launched, "w", WINDOWS_LOADER, stream)).decode()

    path = f"C:\\Windows\\Temp\\macops-{NONCE}\\result"
    told = [said(f"# macops-answer\n{script}").split("\r\n")[1] for script in (look, begin, begin, look)]
    assert told == [f"work\t+\t{row}" for row in ("none", "begun", "again", f"ended\t{path}")]
    fetch = _windows_opening(line=path, fetch=True) + b"." + NONCE.encode() + b"\n"
    assert f"END {NONCE} 3 -1 -1 0 0\r\n".encode() in _output(_hold(launched, "w", WINDOWS_LOADER, fetch))
    assert said(f"# macops-answer\n{remove}").split("\r\n")[1] == "work\t="
    assert said(f"# macops-answer\n{look}").split("\r\n")[1] == "work\t+\tnone"
    assert [row["line"] for row in launched.show()["dialogues"] if row["line"].startswith("cmd")] == ["cmd /c exit 3"]


def test_long_work_that_cannot_run_is_no_long_work() -> None:
    tape = _windows_opening().decode() + f".{NONCE}"
    loader = " ".join(WINDOWS_LOADER[4:])
    script = WORK + BEGIN.replace("TAPE", tape).replace("LOADER", loader)
    assert work_in(script) == LongWork(NONCE, "begin", tape)
    assert work_in("Read-Topic work { }") is None
    for wrong in (script.replace(loader, "powershell.exe -Command 1"), script.replace("\\tape", "\\t")):
        with pytest.raises(ProtocolError, match="long work has no tape, or not the loader"):
            work_in(wrong)


def test_a_loader_that_is_too_long_hangs(launched: SimulatedMac) -> None:
    launched.vm("w", state="running")
    loader = "$first = [Console]::In.ReadLine()" + "#" * 1500
    with pytest.raises(subprocess.TimeoutExpired):
        words = [*POWERSHELL, _b64(loader, "utf-16-le").decode()]
        command = [str(launched.root / "bin" / "prlctl"), "exec", "w", *words]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not a table of answers"),
        ("{}", "not a list"),
        ('[{"stdout": "x"}]', "line is needed"),
        ('[{"line": "x", "more": 1}]', "line is needed"),
        ('[{"line": "("}]', "not a regular expression"),
    ],
)
def test_tables_that_are_none(
    mac: SimulatedMac, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    (tmp_path / "table").write_text(text)
    assert cli.main(["answers", str(mac.root), str(tmp_path / "table")]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("Write-Output 'a'\n", "a\r\n"),
        ("& {\nWrite-Output 'a'\nWrite-Output 'b'\n}\n\n", "a\r\nb\r\n"),
        ("& {\nWrite-Output 'a'\n}\n", ""),
    ],
)
def test_a_script_on_standard_input_needs_a_blank_line(
    mac: SimulatedMac, monkeypatch: pytest.MonkeyPatch, text: str, output: str
) -> None:
    import io

    mac.vm("w", state="running")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    words = ("cmd.exe", "/D", "/S", "/C", "powershell.exe", "-NoProfile", "-Command", "-")
    assert mac.ok("exec", "w", *words) == output
