# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One image, built by a command that is killed again and again, each time further on, and run again each time.

C(power) kills every process of the Mac's user at once; C(module) the process that does the work, and nothing else;
C(server) the store, which is there again a moment later.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Callable

import pytest

from support.build import NAME, SOURCE_VM, VERSION
from support.fault_table import outcome, told
from support.jobs import Jobs, forget_jobs
from support.waiting import wait_until

BUILD_VM = f"{NAME}-{VERSION}-arm64"
IMAGE = f"{BUILD_VM}.pvmp"
SLOW = "150K"


@pytest.fixture
def jobs(mac_sshd):
    yield Jobs(mac_sshd.account.home)
    forget_jobs(mac_sshd.account)


@dataclasses.dataclass
class Scene:
    """The Mac, what runs on it, and the store."""

    account: Any
    mac: Any
    jobs: Jobs
    store: Any

    def calls(self, verb, program="prlctl"):
        return [
            call
            for call in self.mac.show()["calls"]
            if (call["program"], call["argv"][0]) == (program, verb) and "--info" not in call["argv"]
        ]

    def until_call(self, verb, program="prlctl"):
        """Return when Parallels has begun one more call of this kind."""
        known = self.known[verb, program]
        self.mac.wait_for_calls(lambda: len(self.calls(verb, program)) > known)

    def remember_calls(self):
        self.known = {
            (verb, program): len(self.calls(verb, program))
            for verb, program in (
                ("clone", "prlctl"),
                ("snapshot-delete", "prlctl"),
                ("compact", "prl_disk_tool"),
                ("pack", "prlctl"),
                ("delete", "prlctl"),
            )
        }

    def until_sending(self):
        """Return when bytes of an image have come to the store; what is tried before the image is smaller."""
        self.jobs.wait_for("image_upload")
        wait_until(lambda: self.store.bytes_in_transit() > 100_000, 60)

    def power(self):
        self.account.kill_everything()

    def restart_server(self):
        self.store.stop()
        time.sleep(2)
        self.store.start()


@dataclasses.dataclass(frozen=True)
class Kill:
    """Who is killed, at which stage, and how to tell that it is time."""

    hits: str
    stage: str
    wait: Callable[[Scene], Any]
    strike: Callable[[Scene], None]
    # Switched on for this run: what makes the stage last.
    fault: str = ""
    # Whether the same run gets over it.
    goes_on: bool = False


def power(stage, wait, fault=""):
    return Kill("power", stage, wait, Scene.power, fault)


def module(stage, name, wait=None):
    def strike(scene):
        scene.jobs.wait_for(name).kill()

    return Kill("module", stage, wait or (lambda scene: scene.jobs.wait_for(name)), strike)


KILLS = (
    power("clone", lambda scene: scene.until_call("clone")),
    module("clone", "vm", lambda scene: scene.until_call("clone")),
    power("snapshots", lambda scene: scene.until_call("snapshot-delete"), "hang=1:snapshot-delete"),
    power("compact", lambda scene: scene.until_call("compact", "prl_disk_tool"), "hang=1:compact"),
    power("pack", lambda scene: scene.until_call("pack")),
    module("pack", "image_pack", lambda scene: scene.until_call("pack")),
    module("upload", "image_upload", Scene.until_sending),
    Kill("server", "upload", Scene.until_sending, Scene.restart_server, goes_on=True),
    power("link", lambda scene: scene.jobs.wait_for("image_link_info")),
    module("link", "image_link_info"),
    power("clean", lambda scene: scene.until_call("delete"), "hang=1:delete"),
)


@pytest.mark.nightly
def test_killed_again_and_again(make_build, ssh_mac, mac_sshd, jobs, nginx_store, record_property):
    mac = ssh_mac.mac
    mac.vm(SOURCE_VM, state="running", data="2M", waste="1M", disk="32G", snapshots="base(updates)")
    mac.knob(clone_seconds=4, pack_seconds=4)
    nginx_store.reconfigure("limit_rate 150k;")
    build = make_build({"mac": ssh_mac})
    before = mac.fingerprint(SOURCE_VM)
    scene = Scene(mac_sshd.account, mac, jobs, nginx_store)

    outcomes = []
    kills = list(KILLS)
    while kills:
        scene.remember_calls()
        with build.start(image_store_rate_limit=SLOW) as running:
            struck = []
            while kills and (not struck or struck[-1].goes_on):
                kill = kills.pop(0)
                struck.append(kill)
                if kill.fault:
                    mac.fault(kill.fault)
                kill.wait(scene)
                kill.strike(scene)
            run = running.finish()
        run.assert_no_secret(build.store.password)
        assert run.rc != 0, f"the run got over {struck}: {run.output[-6000:]}"
        run.assert_failed("was killed")
        assert mac.fingerprint(SOURCE_VM) == before
        assert all(path.name == IMAGE or path.stat().st_size < 10_000 for path in nginx_store.folder.iterdir())
        outcomes.extend((kill, told(run)) for kill in struck)
    last = build.run()
    assert last.rc == 0, last.output[-3000:]

    assert mac.fingerprint(SOURCE_VM) == before
    assert [(vm["name"], vm["state"]) for vm in mac.show()["vms"]] == [(SOURCE_VM, "running")]
    assert {path.name for path in (mac.folder / "Parallels").iterdir()} == {f"{SOURCE_VM}.pvm"}
    build.published()
    build.assert_only("arm64")
    # What was finished was not done again: the module that was killed in the second pack left prlctl at work.
    assert len(scene.calls("pack")) == 2
    build.run().assert_ok().assert_unchanged()
    for number, (kill, ended) in enumerate(outcomes):
        then = outcomes[number + 1][1] if number + 1 < len(outcomes) else told(last)
        record_property("fault", outcome(kill.hits, "SIGKILL", kill.stage, [ended, then], survived=True))
