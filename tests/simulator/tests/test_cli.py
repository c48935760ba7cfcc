# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that makes and steers simulated Macs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from parallels_simulator import cli
from parallels_simulator.create import parse_size, parse_tree
from parallels_simulator.errors import SimulatorError
from parallels_simulator.faults import FAULTS
from parallels_simulator.knobs import KNOBS, show_value
from simulator_harness import SimulatedMac

SIMULATE = Path(__file__).resolve().parent.parent / "simulate"


def _error(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Run a command that must fail; return what it says."""
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("simulate: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("command", [[str(SIMULATE)], [sys.executable, str(SIMULATE)]], ids=["by itself", "by Python"])
def test_command_is_a_program_and_a_script(tmp_path: Path, command: list[str]) -> None:
    environment = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])}
    root = str(tmp_path / "a b" / "mac")
    made = subprocess.run([*command, "create", root], capture_output=True, text=True, env=environment, check=False)
    assert (made.returncode, made.stdout, made.stderr) == (0, root + "\n", "")
    vm = [*command, "vm", root, "--name", "x y", "--data", "64K"]
    identity = subprocess.run(vm, capture_output=True, text=True, env=environment, check=True).stdout.strip()
    listed = subprocess.run([f"{root}/bin/prlctl", "list", "-a"], capture_output=True, text=True, env={}, check=True)
    assert identity in listed.stdout


def test_create_refuses_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "mac"
    assert cli.main(["create", str(root)]) == 0
    capsys.readouterr()
    assert "already" in _error(capsys, "create", str(root))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    assert "is not empty" in _error(capsys, "create", str(tmp_path / "other"))
    assert "no such file" in _error(capsys, "create", str(tmp_path / "m"), "--python", "/no/python").lower()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vm", "--name", "a"), "VM named 'a' already"),
        (("vm", "--name", "b", "--data", "much"), "'much' is not a size"),
        (("vm", "--name", "b", "--snapshots", "one,two"), "two roots"),
        (("vm", "--name", "b", "--snapshots", "one(two"), "opening parenthesis"),
        (("vm", "--name", "b", "--snapshots", "one)"), "closing parenthesis"),
        (("vm", "--name", "b", "--snapshots", "one(,two)"), "without a name"),
        (("vm", "--name", "b", "--linked-to", "z"), "no VM 'z'"),
        (("vm", "--name", "b", "--disks", "0"), "at least one disk"),
        (("vm", "--name", "b", "--packed", "--state", "running"), "cannot be running"),
        (("vm", "--name", "b", "--format", "plain", "--waste", "1M"), "expanding"),
        (("vm", "--name=-b"), "dash"),
        (("knob", "colour=red"), "no knob 'colour'"),
        (("knob", "stop_polls"), "stop_polls=VALUE"),
        (("knob", "stop_polls=-1"), "number, 0 or greater"),
        (("knob", "stop_seconds=long"), "number, 0 or greater"),
        (("knob", "pack_temp_name=yes"), "'on' or 'off'"),
        (("knob", "pack_running=maybe"), "one of allow, fail"),
        (("knob", "unknown_state=strange"), "STATE:N"),
        (("fault", "earthquake"), "no fault 'earthquake'"),
        (("fault", "busy=0"), "number, 1 or greater"),
        (("fault", "hang:fly"), "does not support the parameter 'fly'"),
        (("fault", "sync_race:pack"), "It takes none"),
        (("fault",), "Give DIR, and the faults or --clear"),
        (("fingerprint", "z"), "no VM 'z'"),
    ],
)
def test_errors_are_clear(mac: SimulatedMac, capsys: pytest.CaptureFixture, arguments: tuple, says: str) -> None:
    mac.vm("a")
    before = mac.show()
    assert says in _error(capsys, arguments[0], str(mac.root), *arguments[1:])
    assert mac.show() == before
    assert os.listdir(mac.home) == ["a.pvm"]


@pytest.mark.parametrize("command", ["show", "knob", "settle"])
def test_there_must_be_a_mac(tmp_path: Path, capsys: pytest.CaptureFixture, command: str) -> None:
    assert "There is no simulated Mac" in _error(capsys, command, str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_bad_usage_is_2(capsys: pytest.CaptureFixture) -> None:
    for arguments in ([], ["fly"], ["vm"], ["create", "x", "--version", "3"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
        assert "usage: simulate" in capsys.readouterr().err


def test_sizes() -> None:
    assert [parse_size(text) for text in ("0", "5", "64K", "200M", "2G", "1T", "3mb")] == [
        0,
        5,
        65536,
        200 << 20,
        2 << 30,
        1 << 40,
        3 << 20,
    ]
    for text in ("", "K", "-1K", "1.5G", "1X"):
        with pytest.raises(SimulatorError):
            parse_size(text)


def test_trees() -> None:
    assert parse_tree("") == []
    assert parse_tree("a b") == [("a b", 0)]
    assert parse_tree("base(updates(office),test)") == [("base", 0), ("updates", 1), ("office", 2), ("test", 1)]
    assert parse_tree("a(b(c,d),e(f))") == [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 1), ("f", 2)]


def test_snapshots_become_the_tree_that_is_written(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="base(updates(office),test)")
    tree = mac.snapshots("a")
    names = {item["id"]: name for name, item in tree.items()}
    parents = {name: names.get(item["parent"], "") for name, item in tree.items()}
    assert parents == {"base": "", "updates": "base", "office": "updates", "test": "base"}
    assert [name for name, item in tree.items() if item["current"]] == ["test"]


def test_knobs_are_shown(mac: SimulatedMac) -> None:
    mac.knob("stop_polls=9", "progress_on_pipe=on", "unknown_state=odd:2")
    shown = dict(line.split("=", 1) for line in mac.simulate("knob").splitlines())
    assert set(shown) == set(KNOBS)
    assert (shown["stop_polls"], shown["progress_on_pipe"], shown["unknown_state"]) == ("9", "on", "odd:2")
    assert mac.show()["knobs"]["stop_polls"] == 9


def test_list_of_faults(capsys: pytest.CaptureFixture, mac: SimulatedMac) -> None:
    assert cli.main(["fault", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == set(FAULTS)
    assert all(row["where"] and row["what"] for row in rows)
    assert "clone" in next(row for row in rows if row["name"] == "rc255_after_success")["params"]
    assert cli.main(["fault", str(mac.root), "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(FAULTS)


def test_faults_are_shown_and_cleared(mac: SimulatedMac) -> None:
    mac.fault("disk_full", "busy=2:delete")
    assert mac.show()["faults"] == [
        {"name": "disk_full", "count": 1, "param": "pack"},
        {"name": "busy", "count": 2, "param": "delete"},
    ]
    mac.simulate("fault", "--clear", "start_fails")
    assert [fault["name"] for fault in mac.show()["faults"]] == ["start_fails"]
    mac.simulate("fault", "--clear")
    assert mac.show()["faults"] == []


def test_show_as_text(mac: SimulatedMac) -> None:
    mac.vm("x y", snapshots="one(two)")
    mac.fault("start_fails=always")
    text = mac.simulate("show")
    assert "SIMULATION" in text
    assert f"stopped  {mac.home}/x y.pvm  x y" in text
    assert "  * two on one" in text
    assert "fault start_fails strikes always" in text
    (mac.home / "x y.pvm" / "config.pvs").unlink()
    assert "invalid: no configuration" in mac.simulate("show")


def test_looking_on_changes_nothing(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.knob("stop_polls=1", "busy_operations=1")
    mac.ok("stop", "a")
    for _look in range(3):
        assert mac.shown_vm("a")["transition"] == ["stopping"]
    mac.settle()
    assert mac.state("a") == "stopped"
    mac.ok("delete", "a")


def test_readme_names_every_knob_with_its_default() -> None:
    text = (SIMULATE.parent / "README.md").read_text(encoding="utf-8")
    for knob in KNOBS.values():
        assert f"| `{knob.name}` | `{show_value(knob.default)}` |" in text, knob.name
    for name in FAULTS:
        assert f"| `{name}` |" in text, name
