# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac whose programs answer by a script: each call has to come as expected, in order, and none may be left over."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible.module_utils import basic
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_frame import NO_DIGEST, Answer
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_session import Outcome

FIXTURES = Path(__file__).parent / "fixtures"
UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
# Asked for often, and most Macs have none: unless the script says otherwise, the answer is an empty list.
TEMPLATES = ["prlctl", "list", "-a", "-t", "-j"]


def read_fixture(name: str) -> str:
    """Return what was captured from a real Mac."""
    return (FIXTURES / name).read_text(encoding="utf-8")


@dataclass
class Call:
    """A call that is expected, and the answer to it."""

    argv: list[str]
    rc: int
    out: str
    err: str
    then: Optional[Callable[[], Any]]
    outcome: Optional[Outcome] = None  # of a session with a guest


class ScriptedMac:
    """Stands in for C(AnsibleModule.run_command); its time passes only when somebody sleeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[Call] = []
        self.environments: list[dict[str, str]] = []
        self.descriptors: list[list[int]] = []
        self.answers: list[str] = []
        self.slept: list[float] = []
        self.now = 1000.0
        self.executable = folder / "bin" / "prlctl"
        self.executable.parent.mkdir()
        for name in ("prlctl", "prlsrvctl", "prl_disk_tool"):
            program = self.executable.with_name(name)
            program.write_text("")
            program.chmod(0o755)
        self.notices: list[str] = []
        self.prl = Prlctl(
            self.run_command, str(self.executable), notice=self.notices.append, sleep=self.sleep, clock=self.clock
        )
        self.prl.converse = self.converse  # type: ignore[method-assign]

    def expect(
        self, *argv: str, rc: int = 0, out: Any = "", err: str = "", then: Optional[Callable[[], Any]] = None
    ) -> ScriptedMac:
        """Add a call that has to come next; C(out) may be data that is answered as JSON."""
        answer = out if isinstance(out, str) else json.dumps(out)
        self.calls.append(Call(list(argv), rc, answer, err, then))
        return self

    def run_command(self, args: list[str], **options: Any) -> tuple[int, str, str]:
        """Answer as the script says."""
        assert args[:4] == [sys.executable, "-I", "-S", "-c"], "the program is not in a process group of its own"
        assert options["expand_user_and_vars"] is False
        assert options["handle_exceptions"] is False
        argv = [os.path.basename(args[5]), *args[6:]]
        if argv == TEMPLATES and not (self.calls and self.calls[0].argv == argv):
            return 0, "[]", ""
        assert self.calls, f"unexpected call: {argv}"
        call = self.calls.pop(0)
        assert argv == call.argv
        assert call.outcome is None, "a session was expected"
        self.environments.append(options["environ_update"])
        self.descriptors.append(options["pass_fds"][1:])  # the first is the gate, see _parallels.cli._Watch
        given = re.search(r"in \[\((\d+), 0\)", args[4])
        self.answers.append(os.read(int(given.group(1)), 100).decode() if given else "")
        if call.then is not None:
            call.then()
        return call.rc, call.out, call.err

    def expect_session(
        self,
        uuid: str,
        *argv: str,
        login: tuple[str, ...] = (),
        rc: int = 0,
        out: str = "",
        err: str = "",
        said: Optional[str] = None,
        lost: bool = False,
        timed_out: bool = False,
        then: Optional[Callable[[], Any]] = None,
    ) -> ScriptedMac:
        """Add a session with a guest that has to come next, in which this program is run.

        With C(said), prlctl says that instead of running it. With C(lost) as well, that happens after it has begun.
        """
        answer = Answer("nonce")
        answer.begun = answer.complete = said is None
        answer.killed = timed_out
        if answer.complete:
            answer.code, answer.digest = rc, NO_DIGEST
            answer.stdout += out.encode()
            answer.stderr += err.encode()
        outcome = Outcome(answer, said is None or lost, (said or "").strip(), rc if said else 0, timed_out)
        self.calls.append(Call(["exec", uuid, *login, *argv], rc, out, err, then, outcome))
        return self

    def converse(self, args: list[str], dialect: Any, command: Any, *, body: Any = b"", **_options: Any) -> Outcome:
        """Answer a session as the script says."""
        line = command.line.decode()
        assert self.calls, f"unexpected session: {args} {line}"
        call = self.calls.pop(0)
        assert call.outcome is not None, f"{call.argv} was expected, and not a session: {args} {line}"
        assert [*args, line] == [*call.argv[: len(args)], dialect.line(call.argv[len(args) :]).decode()]
        assert command.size == len(body)
        self.answers.append(body.decode())
        if call.then is not None:
            call.then()
        return call.outcome

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def list(self, *vms: tuple[str, str, str]) -> ScriptedMac:
        """Expect the list of VMs, and answer with those: (uuid, name, state)."""
        rows = [{"uuid": uuid, "status": state, "ip_configured": "-", "name": name} for uuid, name, state in vms]
        return self.expect("prlctl", "list", "-a", "-j", out=rows)

    def look(self, uuid: str, snapshots: Any = "", **info: Any) -> ScriptedMac:
        """Expect the questions for one VM, and answer with a VM that has those facts."""
        self.expect("prlctl", "list", "-i", "-j", uuid, out=[self.info(ID=uuid, **info)])
        return self.expect("prlctl", "snapshot-list", uuid, "-j", out=snapshots)

    def info(self, **changes: Any) -> dict[str, Any]:
        """Return the facts of the captured VM with changes."""
        facts = json.loads(read_fixture("info_20_windows_arm64.json"))[0]
        facts.update(changes)
        return facts

    def bundle(self, path: Path, *, disk: bytes = b"d" * 5000, config: str = "", info: str = "") -> dict[str, Any]:
        """Make a bundle, and return the facts that prlctl tells about it."""
        (path / "harddisk1.hdd").mkdir(parents=True)
        (path / "harddisk1.hdd" / "harddisk1.hds").write_bytes(disk)
        (path / "config.pvs").write_text(f"<ParallelsVirtualMachine>{config}</ParallelsVirtualMachine>")
        (path / "VmInfo.pvi").write_text(f"<VmInfo>{info}</VmInfo>")
        return self.home(path)

    def home(self, path: Path) -> dict[str, Any]:
        """Return the facts that prlctl tells about a VM in that bundle or image."""
        packed = path.suffix == ".pvmp"
        image = "harddisk1.hdd" if packed else f"{path}/harddisk1.hdd"
        hardware = self.info()["Hardware"]
        hardware["hdd0"]["image"] = image
        return {"Home": str(path) if packed else f"{path}/", "Hardware": hardware}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedMac]:
    """Return a scripted Mac; the test fails when an expected call did not come."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    scripted = ScriptedMac(tmp_path)
    yield scripted
    assert not scripted.calls, f"calls that did not come: {[call.argv for call in scripted.calls]}"


@pytest.fixture
def module_mac(mac: ScriptedMac, monkeypatch: pytest.MonkeyPatch) -> ScriptedMac:
    """Return a scripted Mac on which modules run."""
    monkeypatch.setattr(
        basic.AnsibleModule, "run_command", lambda _module, *args, **options: mac.run_command(*args, **options)
    )
    monkeypatch.setattr(Prlctl, "converse", lambda _prl, *args, **options: mac.converse(*args, **options))
    monkeypatch.setitem(Prlctl.__init__.__kwdefaults__, "sleep", mac.sleep)
    monkeypatch.setitem(Prlctl.__init__.__kwdefaults__, "clock", mac.clock)
    return mac


@pytest.fixture
def fixture_text() -> Callable[[str], str]:
    """Return the function that reads a captured answer."""
    return read_fixture
