# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of this machine: kept, made anew on other hardware, and unknown where it cannot be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import ansible
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import machine
from ansible_collections.macops.parallels.plugins.module_utils._common.machine import known_machine, this_machine

ONE, OTHER = "4c4c4544004d3510", "d0a1b2c3d4e5f607"


@pytest.fixture(name="home", autouse=True)
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(machine, "hardware_id", lambda: ONE)
    return tmp_path / "home"


@pytest.fixture(name="on")
def fixture_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """Return a function that returns the identity on other hardware."""

    def identity(hardware: str | None) -> str | None:
        with monkeypatch.context() as patch:
            patch.setattr(machine, "hardware_id", lambda: hardware)
            return known_machine()

    return identity


def file_in(home: Path) -> Path:
    (found,) = (home / ".ansible" / "macops.parallels").iterdir()
    return found


def test_it_is_made_once_and_kept(home: Path) -> None:
    first = known_machine()
    assert first is not None
    assert re.fullmatch(r"[0-9a-f]{8}", first)
    assert known_machine() == this_machine() == first
    assert file_in(home).stat().st_mode & 0o777 == 0o600
    assert ONE not in str(file_in(home)) + file_in(home).read_text()


def test_a_copied_home_folder_gets_another_one(home: Path, on: Callable[..., Any], monkeypatch: Any) -> None:
    here = known_machine()
    copy = shutil.copytree(home, home.parent / "copy")
    monkeypatch.setenv("HOME", str(copy))
    there = on(OTHER)
    assert there not in (None, here)
    assert on(OTHER) == there
    # The copy comes back to the first machine.
    assert on(ONE) == here


def test_two_machines_that_share_a_home_folder(on: Callable[..., Any]) -> None:
    assert [on(ONE), on(OTHER)] * 2 == [on(ONE), on(OTHER), on(ONE), on(OTHER)]
    assert on(ONE) != on(OTHER)


def test_two_accounts_have_two(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = known_machine()
    monkeypatch.setenv("HOME", str(home.parent / "other home"))
    assert known_machine() != first


@pytest.mark.parametrize("damage", [b"", b"\n", b"xyz", b"0123456", b"\xff\xfe\0\0", b"0" * 5000, b"ABCDEF01"])
def test_a_damaged_file_is_replaced(home: Path, damage: bytes) -> None:
    first = known_machine()
    file_in(home).write_bytes(damage)
    second = known_machine()
    assert second not in (None, first)
    assert known_machine() == second


class TestUnknown:
    """Then each run has an identity of its own."""

    def assert_unknown(self) -> None:
        assert known_machine() is None
        assert re.fullmatch(r"[0-9a-f]{8}", this_machine())
        assert this_machine() == this_machine()

    def test_without_hardware(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        monkeypatch.setattr(machine, "hardware_id", lambda: None)
        self.assert_unknown()
        assert not home.exists()

    @pytest.mark.parametrize("where", [".ansible", ".ansible/macops.parallels"])
    def test_a_file_in_place_of_the_folder(self, home: Path, where: str) -> None:
        (home / where).parent.mkdir(parents=True)
        (home / where).write_text("")
        self.assert_unknown()

    def test_a_folder_in_place_of_the_file(self, home: Path) -> None:
        known_machine()
        path = file_in(home)
        path.unlink()
        path.mkdir()
        self.assert_unknown()

    @pytest.mark.parametrize("error", [PermissionError, OSError])
    @pytest.mark.parametrize("what", ["os.open", "os.makedirs", "os.link", "tempfile.mkstemp"])
    def test_what_is_refused(self, monkeypatch: pytest.MonkeyPatch, home: Path, error: Any, what: str) -> None:
        def refuse(*_arguments: Any, **_more: Any) -> None:
            raise error(13, "Refused")

        monkeypatch.setattr(what, refuse)
        self.assert_unknown()
        folder = home / ".ansible" / "macops.parallels"
        assert not folder.exists() or os.listdir(folder) == []


RACE = """
import sys
from ansible_collections.macops.parallels.plugins.module_utils._common import machine
machine.hardware_id = lambda: "4c4c4544004d3510"
sys.stdin.read()
print(machine.known_machine())
"""


def test_runs_that_begin_at_once_have_the_same(home: Path) -> None:
    root = Path(machine.__file__).parents[6]
    paths = os.pathsep.join([str(root), str(Path(ansible.__file__).parents[1])])
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RACE],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _number in range(4)
    ]
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
    found = set()
    for run in runs:
        assert run.stdout is not None
        found.add(run.stdout.read().strip())
        run.stdout.close()
        assert run.wait() == 0
    assert found == {known_machine()}
    assert file_in(home)


def test_a_run_that_was_slower_takes_what_the_faster_one_has_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def be_overtaken(source: str, target: str) -> None:
        Path(target).write_text("0123abcd\n")
        link(source, target)

    monkeypatch.setattr("os.link", be_overtaken)
    assert known_machine() == "0123abcd"
    assert file_in(home).read_text() == "0123abcd\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["0123456789abcdef0123456789abcdef\n"], "0123456789abcdef0123456789abcdef"),
        ([None, "0123456789ABCDEF0123456789ABCDEF"], "0123456789abcdef0123456789abcdef"),
        (["uninitialized\n", "0123456789abcdef0123456789abcdef"], "0123456789abcdef0123456789abcdef"),
        (["", None], None),
        (["0" * 32], None),
        (["0123"], None),
        (["\xff" * 32], None),
        ([None, None], None),
    ],
)
def test_the_id_of_linux(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str | None], expected: str | None
) -> None:
    for number, text in enumerate(texts):
        if text is not None:
            (tmp_path / str(number)).write_text(text, encoding="latin-1")
    monkeypatch.setattr(machine, "_LINUX_IDS", [str(tmp_path / str(number)) for number in range(len(texts))])
    assert machine._linux_id() == expected


class Libc:
    """The C library of a Mac."""

    def __init__(self, uuid: bytes | None) -> None:
        self.uuid = uuid

    def gethostuuid(self, found: Any, _wait: Any) -> int:
        if self.uuid is None:
            return -1
        found.raw = self.uuid
        return 0


@pytest.mark.parametrize(
    ("libc", "expected"),
    [
        (Libc(bytes(range(16))), bytes(range(16)).hex()),
        (Libc(bytes(16)), None),
        (Libc(None), None),
        (object(), None),
    ],
)
def test_the_id_of_a_mac(monkeypatch: pytest.MonkeyPatch, libc: Any, expected: str | None) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_unused, **_more: libc)
    assert machine._host_uuid() == expected
