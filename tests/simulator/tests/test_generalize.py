# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that are made to forget who they are, and what becomes of them when they are started again."""

from __future__ import annotations

import pytest
from simulator_harness import SimulatedMac

SYSPREP = "C:\\Windows\\System32\\Sysprep\\sysprep.exe"
STATE_KEY = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State"


def image_state(mac: SimulatedMac) -> str:
    return mac.ok("exec", "a", "reg", "query", STATE_KEY, "/v", "ImageState").split()[-1]


def test_sysprep_that_quits_leaves_windows_running(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.ok("exec", "a", SYSPREP, "/generalize", "/oobe", "/quit", "/quiet")
    assert mac.state("a") == "running"
    assert image_state(mac) == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


def test_sysprep_that_lingers_is_at_work_for_a_while(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.knob("sysprep=lingers")
    mac.ok("exec", "a", SYSPREP, "/generalize", "/oobe", "/quit", "/quiet")
    assert image_state(mac) == "IMAGE_STATE_UNDEPLOYABLE"
    seen = ["sysprep.exe" in mac.ok("exec", "a", "tasklist", "/nh") for _look in range(3)]
    assert seen == [True, True, False]
    assert image_state(mac) == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


def test_starting_a_generalized_windows_begins_its_first_setup(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.ok("exec", "a", SYSPREP, "/generalize", "/oobe", "/quit", "/quiet")
    mac.ok("stop", "a")
    mac.ok("start", "a")
    assert image_state(mac) == "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"


def test_a_clone_of_a_generalized_windows_is_generalized(mac: SimulatedMac) -> None:
    mac.vm("source", state="running")
    mac.ok("exec", "source", SYSPREP, "/generalize", "/oobe", "/shutdown", "/quiet")
    mac.ok("clone", "source", "--name", "a")
    assert mac.shown_vm("a")["guest"]["image_state"] == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


def test_a_linux_without_machine_id_makes_one_but_no_host_keys(mac: SimulatedMac) -> None:
    mac.vm("a", os="ubuntu", state="running")
    before = mac.shown_vm("a")["guest"]["machine_id"]
    mac.ok("exec", "a", "truncate", "-s", "0", "/etc/machine-id")
    mac.ok("exec", "a", "rm", "-f", "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub")
    assert mac.prlctl("exec", "a", "test", "-s", "/etc/machine-id").rc == 1
    mac.ok("stop", "a")
    mac.ok("start", "a")
    assert mac.shown_vm("a")["guest"]["machine_id"] not in ("", before)
    assert mac.prlctl("exec", "a", "test", "-e", "/etc/ssh/ssh_host_rsa_key").rc == 1


def test_cloud_init_forgets_its_machine(mac: SimulatedMac) -> None:
    mac.vm("a", os="ubuntu", state="running")
    look = ("exec", "a", "test", "-e", "/var/lib/cloud/instance")
    assert mac.prlctl(*look).rc == 0
    mac.ok("exec", "a", "cloud-init", "clean", "--logs")
    assert mac.prlctl(*look).rc == 1


def test_without_cloud_init_there_is_no_such_program(mac: SimulatedMac) -> None:
    mac.vm("a", os="ubuntu", state="running")
    mac.ok("exec", "a", "rm", "-f", "/usr/bin/cloud-init")
    assert mac.prlctl("exec", "a", "cloud-init", "clean", "--logs").rc == 127


def test_uptime_counts_on_over_all_starts(mac: SimulatedMac, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    mac.vm("a", state="running")
    now += 100
    assert mac.info("a")["Uptime"] == "100"
    mac.ok("stop", "a")
    now += 1000
    assert mac.info("a")["Uptime"] == "100"
    mac.ok("start", "a")
    now += 20
    assert mac.info("a")["Uptime"] == "120"
    mac.ok("suspend", "a")
    now += 1000
    assert mac.info("a")["Uptime"] == "120"
