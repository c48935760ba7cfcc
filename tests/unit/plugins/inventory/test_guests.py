# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin guests: which Macs are asked, and what becomes of their answers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache
from ansible.plugins.inventory import display
from ansible.vars.manager import VariableManager
from ansible_collections.macops.parallels.plugins.inventory import guests
from ansible_collections.macops.parallels.plugins.plugin_utils._mac_question import NoAnswer

UUIDS = ("de22df32-80e2-4e92-ba4b-efb3a66cf092", "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf")
MACS = {
    "build_macs": {
        "hosts": {
            "mac1": {"ansible_host": "10.0.0.1", "ansible_password": "s3cr3t"},
            "mac2": {"ansible_host": "10.0.0.2"},
        }
    },
    "others": {"hosts": {"mac3": {}}},
}


def vm(name: str, uuid: str = UUIDS[0], **facts: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "state": "running",
        "os": "ubuntu",
        "family": "linux",
        "arch": "arm64",
        "packed": False,
        "isolated": False,
        "tools": "installed",
        "ip_address": None,
        "home": f"/Users/build/{name}.pvm",
        "unreadable": [],
        **facts,
    }


def plugin_as_loaded() -> guests.InventoryModule:
    """Return the plugin with its options, as Ansible loads it."""
    texts = (
        guests.DOCUMENTATION,
        constructed.ModuleDocFragment.DOCUMENTATION,
        inventory_cache.ModuleDocFragment.DOCUMENTATION,
    )
    options = {name: option for text in texts for name, option in yaml.safe_load(text)["options"].items()}
    constants.config.initialize_plugin_configuration_definitions("inventory", "guests", options)
    plugin = guests.InventoryModule()
    plugin._load_name = "guests"
    return plugin


class Asked:
    """The Macs, which answer without a connection."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.variables: dict[str, Any] = {}
        self.warnings: list[str] = []

    def mac(self, name: str, variables: Any) -> Any:
        asked = self

        class Mac:
            def ask(self, _program: str, order: Any, **how: Any) -> Any:
                asked.calls.append((name, {**order, **how}))
                answer = asked.answers.get(name, [])
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, dict) else {"vms": answer}

            def close(self) -> None:
                pass

        self.variables[name] = dict(variables)
        return Mac()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(guests, "Mac", found.mac)
    monkeypatch.setattr(display, "warning", lambda text, *_more, **_options: found.warnings.append(text))
    return found


@pytest.fixture
def read(asked: Asked, tmp_path: Path) -> Any:
    def call(**options: Any) -> tuple[InventoryManager, Any]:
        (tmp_path / "10-macs.yml").write_text(json.dumps(MACS))
        (tmp_path / "20-guests.yml").write_text(json.dumps({"plugin": "macops.parallels.guests", **options}))
        loader = DataLoader()
        inventory = InventoryManager(loader, sources=[str(tmp_path / "10-macs.yml")])
        plugin = plugin_as_loaded()
        plugin.parse(inventory._inventory, loader, str(tmp_path / "20-guests.yml"))
        plugin.update_cache_if_changed()
        inventory.reconcile_inventory()
        variables = VariableManager(loader=loader, inventory=inventory)
        return inventory, lambda host: variables.get_vars(host=inventory.get_host(host))

    return call


def names(inventory: InventoryManager, pattern: str) -> list[str]:
    return sorted(host.name for host in inventory.get_hosts(pattern))


def test_the_groups(asked: Asked, read: Any) -> None:
    asked.answers = {
        "mac1": [vm("Windows 11", family="windows", state="stopped"), vm("lin", UUIDS[1])],
        "mac2": [vm("lin", arch="x86_64")],
    }
    inventory, _variables = read()
    assert names(inventory, "parallels_guests") == ["Windows-11@mac1", "lin@mac1", "lin@mac2"]
    assert names(inventory, "vm_running") == ["lin@mac1", "lin@mac2"]
    assert names(inventory, "vm_stopped:&vm_windows") == ["Windows-11@mac1"]
    assert names(inventory, "vm_x86_64") == names(inventory, "vm_on_mac2") == ["lin@mac2"]
    assert names(inventory, "build_macs") == ["mac1", "mac2"]
    assert asked.warnings == []


def test_the_variables_refer_to_those_of_the_mac(asked: Asked, read: Any) -> None:
    asked.answers = {"mac1": [vm("{{ 1 + 1 }}")]}
    inventory, variables = read(hosts="mac1")
    given = inventory.get_host("1-1@mac1").get_vars()
    assert "s3cr3t" not in json.dumps(given)
    assert given["ansible_password"] == "{{ hostvars['mac1']['ansible_password'] }}"
    assert given["ansible_host"] == "{{ hostvars['mac1']['ansible_host'] }}"
    assert (given["ansible_connection"], given["ansible_shell_type"]) == ("macops.parallels.prlctl", "sh")
    assert given["parallels_name"] == "{{ 1 + 1 }}"
    assert variables("1-1@mac1")["parallels_mac"] == "mac1"


@pytest.mark.parametrize(
    ("options", "macs"),
    [
        ({}, ["mac1", "mac2"]),
        ({"hosts": "all:!mac2"}, ["mac1", "mac3"]),
        ({"macs": {"mac9": {"ansible_host": "10.0.0.9"}}}, ["mac9"]),
        ({"macs": {"mac9": None}, "hosts": "others"}, ["mac3", "mac9"]),
    ],
)
def test_which_macs_are_asked(asked: Asked, read: Any, options: dict[str, Any], macs: list[str]) -> None:
    inventory, variables = read(**options)
    assert sorted(name for name, _order in asked.calls) == macs, asked.warnings
    if "macs" in options:
        assert "mac9" in names(inventory, "build_macs")
        assert variables("mac9").get("ansible_host") == (options["macs"]["mac9"] or {}).get("ansible_host")


def test_no_mac_is_a_warning(asked: Asked, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # ansible-test makes an error of it.
    monkeypatch.setattr(constants, "HOST_PATTERN_MISMATCH", "warning")
    read(hosts="nowhere")
    assert "No host matches 'nowhere'" in asked.warnings[-1]
    assert asked.calls == []


def test_variables_of_group_vars_count(asked: Asked, read: Any, tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "build_macs.yml").write_text(
        "ansible_user: build{{ more }}\nmore: er\nansible_become: true\nansible_become_user: owner\n"
        "ansible_python_interpreter: /usr/bin/python3\nimage_executable: /opt/prlctl\n"
    )
    asked.answers = {"mac1": [vm("lin")]}
    inventory, _variables = read()
    assert asked.variables["mac1"]["ansible_user"] == "builder"
    assert asked.calls[0][1] == {
        "executable": "/opt/prlctl",
        "limit": 60,
        "python": "/usr/bin/python3",
        "run_as": "owner",
    }
    given = inventory.get_host("lin@mac1").get_vars()
    assert given["ansible_user"] == "{{ hostvars['mac1']['ansible_user'] }}"
    assert given["ansible_prlctl_become_user"] == "owner"
    read(use_vars_plugins=False)
    assert "ansible_user" not in asked.variables["mac1"]


@pytest.mark.parametrize(
    "failure",
    [NoAnswer("It said \x1b[2J."), AnsibleConnectionFailure("no route"), {"msg": "prlctl gave no answer."}],
)
def test_a_mac_that_does_not_answer_is_a_warning(asked: Asked, read: Any, failure: Any) -> None:
    asked.answers = {"mac1": failure, "mac2": [vm("lin")]}
    inventory, _variables = read()
    assert names(inventory, "parallels_guests") == ["lin@mac2"]
    (warning,) = asked.warnings
    assert warning.startswith("mac1 did not list its virtual machines")
    assert "\x1b" not in warning


def test_the_macs_are_asked_at_the_same_time(asked: Asked, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = threading.Barrier(2, timeout=20)
    plain = asked.mac

    def mac(name: str, variables: Any) -> Any:
        made = plain(name, variables)
        ask = made.ask
        made.ask = lambda *words, **how: (barrier.wait(), ask(*words, **how))[1]
        return made

    monkeypatch.setattr(guests, "Mac", mac)
    read()
    assert asked.warnings == []


def test_filters_and_constructed_groups(asked: Asked, read: Any) -> None:
    asked.answers = {
        "mac1": [vm("win-a", family="windows"), vm("lin-b", UUIDS[1]), vm("lin-c", UUIDS[1], state="paused")]
    }
    inventory, variables = read(
        filters=["parallels_state == 'running'", "parallels_family != 'windows'"],
        compose={"kind": "parallels_name.split('-')[0]"},
        groups={"mine": "kind == 'lin'"},
        keyed_groups=[{"key": "parallels_tools", "prefix": "tools"}],
        group_prefix="p_",
    )
    assert names(inventory, "parallels_guests") == ["lin-b@mac1"]
    for group in ("mine", "tools_installed", "p_running"):
        assert names(inventory, group) == ["lin-b@mac1"]
    assert variables("lin-b@mac1")["kind"] == "lin"


def test_a_filter_that_is_wrong_is_an_error(asked: Asked, read: Any, tmp_path: Path) -> None:
    asked.answers = {"mac1": [vm("lin")]}
    plugin = guests.InventoryModule()
    plugin.templar = type("Templar", (), {"template": lambda *_given, **_more: "perhaps", "available_variables": {}})()
    with pytest.raises(AnsibleParserError, match="is not a condition"):
        plugin._is_true("nonsense(", {})


def test_two_of_one_name_and_one_that_cannot_be_read(asked: Asked, read: Any) -> None:
    asked.answers = {"mac1": [vm("lin"), vm("lin", UUIDS[1], state="invalid", unreadable=["Its disk is missing."])]}
    inventory, _variables = read()
    assert names(inventory, "parallels_guests") == ["lin@mac1", "lin@mac1-bd70007c"]
    assert asked.warnings == ["'lin' on mac1: Its disk is missing."]


def test_the_cache_keeps_answers_and_no_silence(
    asked: Asked, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.answers = {"mac1": [vm("lin")], "mac2": NoAnswer("asleep")}
    cache = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    for _run in range(2):
        inventory, _variables = read(**cache)
        assert names(inventory, "parallels_guests") == ["lin@mac1"]
    assert sorted(name for name, _order in asked.calls) == ["mac1", "mac2", "mac2"]
    kept = "".join(path.read_text() for path in (tmp_path / "cache").iterdir())
    assert UUIDS[0] in kept
    assert "s3cr3t" not in kept
