# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each member of an action group takes every option that is for the group, and whoever takes them all is a member."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.macops.parallels.plugins.doc_fragments import _parallels, _store

ROOT = Path(__file__).parents[2]
RUNTIME = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
GROUPS: dict[str, list[str]] = RUNTIME["action_groups"]
# Without those that are only the documentation of an action plugin.
MODULES = sorted(
    path.stem
    for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")
    if "def main(" in path.read_text(encoding="utf-8")
)
# The documentation fragment with the options of a group.
FRAGMENTS = {"parallels": _parallels, "stores": _store}
OF_TYPE = {"str": "16M", "path": "/somewhere", "int": 3, "bool": True, "dict": {"owner": "it"}}


def options_of(group: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(FRAGMENTS[group].ModuleDocFragment.DOCUMENTATION)["options"]


def sample_of(option: dict[str, Any]) -> Any:
    return option["choices"][-1] if "choices" in option else OF_TYPE[option["type"]]


def test_there_are_two_groups() -> None:
    assert set(GROUPS) == set(FRAGMENTS)
    assert all(options_of(group) for group in GROUPS)


@pytest.mark.parametrize(("group", "module"), [(group, module) for group in GROUPS for module in GROUPS[group]])
def test_a_member_takes_every_option(group: str, module: str, arguments_of: Any) -> None:
    spec = arguments_of(module)
    for name, option in options_of(group).items():
        taken = ArgumentSpecValidator(spec).validate({name: sample_of(option)})
        assert taken.unsupported_parameters == set(), name
        assert taken.validated_parameters[name] == sample_of(option), name


@pytest.mark.parametrize("group", GROUPS)
def test_whoever_takes_them_is_a_member(group: str, arguments_of: Any) -> None:
    taking = [name for name in MODULES if set(options_of(group)) <= set(arguments_of(name))]
    assert taking == GROUPS[group]


@pytest.mark.parametrize("name", MODULES)
def test_the_documentation_names_the_groups(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.macops.parallels.plugins.modules.{name}")
    extended = yaml.safe_load(module.DOCUMENTATION)["extends_documentation_fragment"]
    for group, members in GROUPS.items():
        assert (f"macops.parallels._attributes.actiongroup_{group}" in extended) is (name in members)
        fragment = f"macops.parallels.{FRAGMENTS[group].__name__.rpartition('.')[2]}"
        assert (fragment in extended) is (name in members)


def test_long_work_goes_through_the_action_that_starts_jobs() -> None:
    routed = RUNTIME["plugin_routing"]["modules"]
    long = {
        path.stem
        for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")
        if "run_long_module(" in path.read_text(encoding="utf-8")
    }
    # mac_jobs has the action plugin of its own name.
    assert {*routed, "mac_jobs"} == long
    assert {entry["action_plugin"] for entry in routed.values()} == {"macops.parallels.mac_jobs"}
