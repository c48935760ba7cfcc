# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Asks a guest many questions in one call: one script, one answer, which is whole or none.

A script writes lines whose fields are separated by tabs. The first field is the topic, the second what the line is:
C(+) an entry, C(=) the end of a topic that was read to its end, C(!) the reason why it could not be read. So what a
script did not get to, and what an old system does not have, is unknown and never empty. All lines travel compressed
where the guest can compress, between a first and a last line by which a lost beginning or end is noticed.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from .._common.errors import TaskError
from .._common.text import printable_line
from .cli import Result
from .guest import WINDOWS, Guest, powershell

# Seconds. Windows lists its apps and its license in half a minute on a slow disk.
ANSWER_LIMIT = 300
# Early output of a command may get lost, and then the answer has no beginning.
_ATTEMPTS = 3
# Bytes. A system with 10,000 packages has about 2 MB.
_LARGEST = 32 * 1024 * 1024
_LONGEST_FIELD = 4096
_FIRST, _LAST = "macops-answer", "macops-end"
_ENTRY, _WHOLE, _FAILED = "+", "=", "!"

_SHELL_START = r"""
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
tab=$(printf '\t')
row() { topic=$1; shift; printf '%s\t+' "$topic"; for value; do printf '\t%s' "$value"; done; echo; }
whole() { printf '%s\t=\n' "$1"; }
failed() { printf '%s\t!\t%s\n' "$1" "$2"; }
answer() {
"""
_SHELL_END = r"""
}
if command -v gzip >/dev/null 2>&1 && command -v base64 >/dev/null 2>&1; then
  echo 'macops-answer gzip'
  answer </dev/null 2>/dev/null | gzip -c | base64
else
  echo 'macops-answer plain'
  answer </dev/null 2>/dev/null
fi
echo 'macops-end'
"""

# The script comes on standard input: on the command line it would be too long for Parallels.
_LOADER = "& ([ScriptBlock]::Create([Console]::In.ReadToEnd()))"
_POWERSHELL_START = r"""
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$lines = New-Object System.Collections.Generic.List[string]
function Write-Line { $lines.Add((@($args | ForEach-Object { "$_" -replace '[\t\r\n]+', ' ' }) -join "`t")) }
function Add-Row {
  $cells = @($args[0], '+') + @($args | Select-Object -Skip 1)
  Write-Line @cells
}
function Read-Topic([string]$topic, [scriptblock]$read) {
  try { & $read; Write-Line $topic '=' } catch { Write-Line $topic '!' $_.Exception.Message }
}
"""
_POWERSHELL_END = r"""
$bytes = [Text.Encoding]::UTF8.GetBytes(($lines -join "`n") + "`n")
$memory = New-Object IO.MemoryStream
$gzip = New-Object IO.Compression.GZipStream($memory, [IO.Compression.CompressionMode]::Compress)
$gzip.Write($bytes, 0, $bytes.Length)
$gzip.Close()
'macops-answer gzip'
[Convert]::ToBase64String($memory.ToArray(), [Base64FormattingOptions]::InsertLineBreaks)
'macops-end'
"""


class Unanswered(TaskError):
    """A guest whose answer did not arrive, or not whole."""


@dataclass
class _Topic:
    rows: list[tuple[str, ...]] = field(default_factory=list)
    is_whole: bool = False
    problem: str = ""


class Answer:
    """What a guest has answered, by topic."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._topics: dict[str, _Topic] = {}
        for line in lines:
            parts = [part[:_LONGEST_FIELD] for part in line.rstrip("\r\n").split("\t")]
            if len(parts) < 2 or not parts[0]:
                continue
            topic = self._topics.setdefault(parts[0], _Topic())
            if parts[1] == _ENTRY:
                topic.rows.append(tuple(parts[2:]))
            elif parts[1] == _WHOLE:
                topic.is_whole = True
            elif parts[1] == _FAILED:
                topic.problem = printable_line(parts[2] if len(parts) > 2 else "")

    def rows(self, topic: str) -> Optional[list[tuple[str, ...]]]:
        """Return the entries of a topic; None if it could not be read, or not to its end."""
        found = self._topics.get(topic)
        return found.rows if found is not None and found.is_whole and not found.problem else None

    def one(self, topic: str) -> Optional[tuple[str, ...]]:
        """Return the only entry of a topic; None if there is not exactly one."""
        rows = self.rows(topic)
        return rows[0] if rows is not None and len(rows) == 1 else None

    def is_unasked(self, topic: str) -> bool:
        """Return whether the answer does not mention a topic, which a script leaves out where it does not apply."""
        return topic not in self._topics

    def why_unknown(self, topic: str) -> str:
        """Return why a topic is not known, as a sentence."""
        found = self._topics.get(topic)
        if found is None:
            return "The guest did not answer this question."
        return f"The guest reports: {found.problem.rstrip('.')}." if found.problem else "The answer was incomplete."

    def lines(self) -> list[str]:
        """Return the lines of which the same answer can be made again."""
        found = []
        for name, topic in self._topics.items():
            found += ["\t".join((name, _ENTRY, *row)) for row in topic.rows]
            if topic.problem:
                found.append("\t".join((name, _FAILED, topic.problem)))
            elif topic.is_whole:
                found.append("\t".join((name, _WHOLE)))
        return found


def shell_script(body: str) -> str:
    """Return the script for a Unix guest. The body uses C(row TOPIC VALUE...), C(whole TOPIC) and C(failed)."""
    return f"{_SHELL_START}{body.strip()}{_SHELL_END}"


def powershell_script(body: str) -> str:
    """Return the script for Windows. The body uses C(Read-Topic NAME { ... }), and C(Add-Row NAME VALUE...) in that."""
    return f"{_POWERSHELL_START.lstrip()}{body.strip()}{_POWERSHELL_END}"


def ask(guest: Guest, shell: str, windows: str) -> Answer:
    """Return a guest's answer to the script for its system. Raises TaskError when none arrives.

    The scripts only read, or may be repeated, so they are run again when their answer is lost.
    """
    if guest.vm.family == WINDOWS:
        argv, script = powershell(_LOADER), powershell_script(windows)
    else:
        argv, script = ["/bin/sh", "-s"], shell_script(shell)
    for attempts_left in reversed(range(_ATTEMPTS)):
        result = guest.ask(argv, limit=ANSWER_LIMIT, stdin=script)
        try:
            return Answer(_lines(result))
        except ValueError as error:
            if not attempts_left:
                raise Unanswered(
                    f"The guest of '{guest.vm.name}' ran the questions, but its answer cannot be used: {error}. Check "
                    "the guest, then run again.",
                    **result.details(),
                ) from error
    raise AssertionError("the last attempt returns or raises")


def _lines(result: Result) -> list[str]:
    """Return the lines of an answer. Raises ValueError for one that is not whole."""
    if result.rc != 0:
        raise ValueError(f"the script ended with exit code {result.rc}")
    lines = [line.strip("\r") for line in result.stdout.splitlines()]
    begin = next((number for number, line in enumerate(lines) if line.startswith(_FIRST)), None)
    if begin is None:
        raise ValueError("it has no beginning")
    if _LAST not in lines[begin:]:
        raise ValueError("it has no end")
    body = lines[begin + 1 : lines.index(_LAST, begin)]
    kind = lines[begin][len(_FIRST) :].strip()
    if kind == "plain":
        return body
    if kind != "gzip":
        raise ValueError("its form is not known")
    return _unpacked("".join(body)).decode("utf-8", errors="replace").split("\n")


def _unpacked(text: str) -> bytes:
    """Return what was compressed: all of it, with the right checksum, and not more than is reasonable."""
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        data = unpacker.decompress(packed, _LARGEST)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("it is damaged") from error
    if not unpacker.eof:
        raise ValueError("it is cut off" if not unpacker.unconsumed_tail else "it is too long")
    return data
