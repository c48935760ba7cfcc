# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallels Desktop on a Mac."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels.host import read_mac, vm_home

LICENSE = {
    "status": "ACTIVE",
    "serial": "AAAAAA-BBBBBB-CCCCCC-DDDDDD-EEEEEE",
    "expiration": "2027-01-01 00:00:00",
    "edition": "enterprise",
    "is_trial": False,
}


def answers(mac: Any, server: Any, license_facts: Any) -> None:
    mac.expect("prlsrvctl", "info", "--json", out=server)
    mac.expect("prlsrvctl", "info", "--license", "--json", out=license_facts)


def test_what_there_is_to_know(mac: Any, fixture_text: Callable[[str], str], tmp_path: Path) -> None:
    answers(mac, fixture_text("server_info.json"), LICENSE)
    facts = read_mac(mac.prl, str(tmp_path))
    assert facts.pop("free_bytes") > 0
    assert facts.pop("path_obstacle") == ""
    assert facts.pop("path_shared") == ""
    assert facts == {
        "version": "20.1.2",
        "build": "55742",
        "edition": "enterprise",
        "license_state": "valid",
        "license_grace_period_ends_at": "",
        "vm_home": "/Users/u/Parallels",
        "architecture": platform.machine(),
        "programs": {name: str(mac.executable.with_name(name)) for name in ("prlctl", "prlsrvctl", "prl_disk_tool")},
    }
    assert "BBBBBB" not in json.dumps(facts)


@pytest.mark.parametrize(
    ("server", "license_facts", "edition", "state"),
    [
        ({"License": {"state": "valid"}}, "", "unknown", "valid"),
        ({"License": {"state": "valid"}}, {"edition": "pro", "status": "EXPIRED"}, "pro", "expired"),
        ({}, {"edition": "any"}, "unknown", "unknown"),
        ({"License": "none"}, {"edition": "standard", "status": "ACTIVE"}, "standard", "valid"),
        ({"License": {"state": "ACTIVE"}}, {}, "unknown", "valid"),
        ({"License": {"state": "valid"}}, {"edition": "pro", "status": "VALID"}, "pro", "not_loaded"),
        ({"License": {"state": "valid"}}, {"edition": "pro", "status": "Invalid"}, "pro", "invalid"),
        ({"License": {"state": ""}}, {"edition": "pro", "status": None}, "pro", "unknown"),
        ({"License": ["valid"]}, {"edition": 7}, "unknown", "unknown"),
    ],
)
def test_edition_and_licence(mac: Any, server: Any, license_facts: Any, edition: str, state: str) -> None:
    answers(mac, {"Version": "Desktop 26.4.1-57516", **server}, license_facts)
    facts = read_mac(mac.prl)
    assert (facts["edition"], facts["license_state"]) == (edition, state)


@pytest.mark.parametrize(
    ("end", "told"), [("2026-12-15 00:00:00", "2026-12-15 00:00:00"), (None, "at an unknown time")]
)
def test_a_license_in_its_grace_period(mac: Any, end: Any, told: str) -> None:
    answers(mac, {"Version": "Desktop 26.4.1-57516"}, {**LICENSE, "status": "GRACED", "grace_period_ends_at": end})
    facts = read_mac(mac.prl)
    assert (facts["license_state"], facts["license_grace_period_ends_at"]) == ("graced", end or "")
    (notice,) = mac.notices
    assert f"until its grace period ends: {told} (grace_period_ends_at). Renew it before." in notice


def test_a_licence_that_is_not_told_is_unknown(mac: Any) -> None:
    mac.expect("prlsrvctl", "info", "--json", out={"Version": "Desktop 26.4.1"})
    for _try in range(3):
        mac.expect("prlsrvctl", "info", "--license", "--json", rc=1, err="Unrecognized option")
    facts = read_mac(mac.prl)
    assert (facts["edition"], facts["license_state"], facts["build"]) == ("unknown", "unknown", "")


def test_the_version_is_asked_for_when_the_service_does_not_tell_it(mac: Any) -> None:
    answers(mac, {}, LICENSE)
    mac.expect("prlctl", "--version", out="prlctl version 26.4.1 (57516)\n")
    facts = read_mac(mac.prl)
    assert (facts["version"], facts["build"]) == ("26.4.1", "57516")


def test_the_home_of_vms(mac: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/build")
    mac.expect("prlsrvctl", "info", "--json", out={"VM home": "/Volumes/VMs ü"})
    assert vm_home(mac.prl) == "/Volumes/VMs ü"
    mac.expect("prlsrvctl", "info", "--json", out={"ID": "x"})
    assert vm_home(mac.prl) == "/Users/build/Parallels"


def test_a_service_that_refuses_is_an_error_without_the_key(mac: Any) -> None:
    mac.expect("prlsrvctl", "info", "--json", rc=255, out="key AAAAAA-BBBBBB", err="not available in this edition")
    with pytest.raises(TaskError, match=r"Parallels refused to answer") as caught:
        read_mac(mac.prl)
    assert "AAAAAA" not in json.dumps(caught.value.result())


def test_a_folder_that_others_can_write_to_is_reported(
    mac: Any, fixture_text: Callable[[str], str], tmp_path: Path
) -> None:
    answers(mac, fixture_text("server_info.json"), LICENSE)
    tmp_path.chmod(0o1777)
    assert read_mac(mac.prl, str(tmp_path))["path_shared"].startswith(f"{tmp_path} is writable for ")
    assert len(mac.notices) == 1
    assert "Use a folder that only this user can write to" in mac.notices[0]
