# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup build_guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.macops.parallels.plugins.lookup import build_guest

VM = "win11-2026.11.0-arm64"
GUEST = f"{VM}@mac1"


def describe(folder: Path, *, limit: str = "", mac: Any = None, **options: Any) -> dict[str, Any]:
    loader = DataLoader()
    loader.set_basedir(str(folder))
    variables = {
        "inventory_hostname": "mac1",
        "playbook_dir": str(folder),
        "groups": {"all": ["mac1", "mac2"], "build_macs": ["mac1", "mac2"], "ungrouped": []},
        "hostvars": {"mac1": mac or {}},
        **({"ansible_limit": limit} if limit else {}),
    }
    lookup = build_guest.LookupModule(loader=loader)
    lookup.set_options = lambda **_given: None
    lookup.get_option = {"roles": [], "vm": None, **options}.__getitem__
    (found,) = lookup.run([VM], variables)
    return found


@pytest.mark.parametrize(
    ("limit", "within"),
    [
        ("", True),
        ("mac1", False),
        ("build_macs", False),
        ("mac1,build_guests", True),
        ("mac1:build_guests", True),
        ("build_*", True),
        ("all", True),
        ("all,!build_guests", False),
        ("mac1,win11*", True),
        ("~mac1|win.*", True),
        (f"mac2,{GUEST}", True),
        (f"build_guests,!{GUEST}", False),
        ("build_guests:&build_macs", False),
    ],
)
def test_whether_the_limit_leaves_the_guest_in(tmp_path: Path, limit: str, within: bool) -> None:
    found = describe(tmp_path, limit=limit)
    assert (found["name"], found["within_limit"]) == (GUEST, within)


def test_a_limit_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "retry").write_text("mac1\nbuild_guests\n")
    assert describe(tmp_path, limit=f"@{tmp_path / 'retry'}")["within_limit"]


def test_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "roles" / "here").mkdir(parents=True)
    (tmp_path / "book" / "roles" / "beside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    known = {"macops.parallels.check_python": ("check_python", "/somewhere", "macops.parallels")}
    monkeypatch.setattr(build_guest, "_get_collection_role_path", known.get)
    roles = ["here", "macops.parallels.check_python", "nope", "beside", "no.such.role"]
    found = describe(tmp_path / "book", roles=roles)
    assert found["roles"] == [
        str(tmp_path / "project" / "roles" / "here"),
        "macops.parallels.check_python",
        str(tmp_path / "book" / "roles" / "beside"),
    ]
    assert found["missing_roles"] == ["nope", "no.such.role"]


def test_the_variables_are_those_of_the_mac_that_matter(tmp_path: Path) -> None:
    mac = {"ansible_host": "10.0.0.7", "ansible_password": "secret", "ansible_user": "", "other": 1}
    vm = {"uuid": "de22df32-80e2-4e92-ba4b-efb3a66cf092", "family": "windows"}
    assert describe(tmp_path, mac=mac)["variables"] == {}
    assert describe(tmp_path, mac=mac, vm=vm)["variables"] == {
        "ansible_host": "10.0.0.7",
        "ansible_password": "secret",
        "ansible_connection": "macops.parallels.prlctl",
        "ansible_prlctl_vm": vm["uuid"],
        "ansible_shell_type": "powershell",
    }
