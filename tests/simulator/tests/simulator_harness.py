# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulator's own tests do with a simulated Mac."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from parallels_simulator import cli, program
from parallels_simulator.calls import read_calls
from parallels_simulator.console import Console
from parallels_simulator.mac import Mac
from parallels_simulator.vms import Vm, find

FIXTURES = Path(__file__).resolve().parent / "fixtures"


class Result(NamedTuple):
    """What a program answered."""

    rc: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class SimulatedMac:
    """A Mac and what a test does with it: in this process, or through its launchers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mac = Mac(root)
        self.home = self.mac.home

    # --- steering -------------------------------------------------------------------------------------------------

    def simulate(self, *arguments: str) -> str:
        """Run a command of C(simulate) that must work; return what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            rc = cli.main([arguments[0], str(self.root), *arguments[1:]])
        assert rc == 0, err.getvalue()
        return out.getvalue().strip()

    def vm(self, name: str, **options: Any) -> str:
        """Make a VM; return its id."""
        words = []
        for option, value in {"data": "256K", "disk": "1G", **options}.items():
            words.append("--" + option.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return self.simulate("vm", "--name", name, *words)

    def knob(self, *assignments: str) -> None:
        self.simulate("knob", *assignments)

    def fault(self, *faults: str) -> None:
        self.simulate("fault", *faults)

    def settle(self) -> None:
        self.simulate("settle")

    def fingerprint(self, name: str) -> str:
        return self.simulate("fingerprint", name)

    def show(self) -> Any:
        return json.loads(self.simulate("show", "--json"))

    def shown_vm(self, name: str) -> Any:
        return next(vm for vm in self.show()["vms"] if vm["name"] == name)

    def faults_left(self) -> int:
        return len(self.show()["faults"])

    # --- the programs ---------------------------------------------------------------------------------------------

    def run(self, name: str, *arguments: str, answer: str = "y\n") -> Result:
        """Run a program in this process; C(answer) is what it reads when it asks a question."""
        out, err = io.StringIO(), io.StringIO()
        console = Console(self.mac.knob("progress_on_pipe"), out, err, io.StringIO(answer))
        rc = program.run(self.mac, console, name, list(arguments))
        return Result(rc, out.getvalue(), err.getvalue().rstrip("\n"))

    def prlctl(self, *arguments: str) -> Result:
        return self.run("prlctl", *arguments)

    def ok(self, *arguments: str) -> str:
        """Run prlctl, which must work; return its output."""
        result = self.prlctl(*arguments)
        assert result.rc == 0, result
        assert result.err == "", result
        return result.out

    def state(self, name: str) -> str:
        """Look at a VM once."""
        return self.prlctl("list", "-a", "-o", "status", "-j", name).json[0]["status"]

    def info(self, name: str) -> Any:
        return self.prlctl("list", "-i", "-j", name).json[0]

    def snapshots(self, name: str) -> dict[str, Any]:
        """Return the snapshots by their names."""
        text = self.ok("snapshot-list", name, "-j")
        return {item["name"]: {**item, "id": guid} for guid, item in json.loads(text or "{}").items()}

    def registered(self, name: str) -> Vm:
        with self.mac.locked() as state:
            vm = find(self.mac, state, name)
        assert vm is not None
        return vm

    def launch(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program through its launcher, with nothing in its environment."""
        return subprocess.run(
            [str(self.root / "bin" / name), *arguments],
            env=options.pop("env", {}),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
            **options,
        )

    def start_process(self, *arguments: str) -> subprocess.Popen[str]:
        """Start prlctl through its launcher, and do not wait."""
        return subprocess.Popen(
            [str(self.root / "bin" / "prlctl"), *arguments],
            env={},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def calls(self) -> list[dict[str, Any]]:
        return read_calls(self.mac.calls_log)


def fixture_text(name: str) -> str:
    """Return a captured sample."""
    return (FIXTURES / name).read_text(encoding="utf-8")


def new_mac(root: Path, version: str = "26", edition: str = "enterprise", arch: str = "arm64") -> SimulatedMac:
    """Make a Mac without launchers, whose programs a test runs in its own process."""
    root.mkdir()
    simulated = SimulatedMac(root)
    simulated.mac.initialise(version, edition, arch)
    return simulated


def disk_content(vm: Vm, number: int = 0) -> dict[int, bytes]:
    """Return the blocks of a disk as the guest sees them now; blocks of zeros are left out."""
    from parallels_simulator.hds import BLOCK, read_disk

    disk = vm.bundle.disks()[number]
    blocks = ((block, data.ljust(BLOCK, b"\0")) for block, data in read_disk(disk.chain(), disk.virtual))
    return {block: data for block, data in blocks if data.count(0) != len(data)}


def allocated(path: Path) -> int:
    """Return the bytes a file or folder really takes."""
    files = [path] if path.is_file() else [Path(folder, name) for folder, _f, names in os.walk(path) for name in names]
    return sum(file.stat().st_blocks * 512 for file in files)
