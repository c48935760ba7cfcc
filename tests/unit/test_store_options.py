# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a store are the same in the modules, the documentation, the dataclass, the role and the guide."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.doc_fragments._store import ModuleDocFragment
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    store_options,
)

ROOT = Path(__file__).parents[2]
PREFIX = "image_store_"
# The role has no variable with the prefix for it: where images are published is the playbooks' own.
OF_ROLE = {name: option for name, option in STORE_ARGUMENTS.items() if name != "destination"}
# Modules use them, not the stores.
OF_STORE = {name: option for name, option in OF_ROLE.items() if name != "retries"}


def role_options() -> dict[str, dict[str, Any]]:
    path = ROOT / "roles" / "image_store" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["variables"]["options"]
    return {name[len(PREFIX) :]: option for name, option in options.items() if name.startswith(PREFIX)}


def guide_rows() -> Iterator[tuple[list[str], str, str]]:
    """Yield the variables that a row of a table in the guide is about, the cell of their defaults, and the row."""
    for line in (ROOT / "docs" / "guide.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(rf"`{PREFIX}(\w+)`", cells[0])
        if line.startswith("|") and names:
            yield names, cells[1], line


def test_the_documentation_has_them() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(documented) == list(STORE_ARGUMENTS)
    for name, option in STORE_ARGUMENTS.items():
        for key in ("type", "choices", "default", "required"):
            assert documented[name].get(key) == option.get(key), f"{key} of {name}"


def test_the_dataclass_has_them() -> None:
    fields = {field.name for field in dataclasses.fields(StoreOptions)}
    assert fields == set(OF_STORE)
    defaults = {name: option.get("default") for name, option in STORE_ARGUMENTS.items()}
    assert store_options(defaults) == StoreOptions()


def test_the_rules_name_only_what_there_is() -> None:
    named = {name for rule in ("required_together", "mutually_exclusive") for row in STORE_RULES[rule] for name in row}
    named |= {name for key, row in STORE_RULES["required_by"].items() for name in (key, *row)}
    assert named <= set(STORE_ARGUMENTS)


def test_the_role_has_them() -> None:
    options = role_options()
    assert set(options) == set(OF_ROLE)
    for name, option in OF_ROLE.items():
        variable = options[name]
        for key in ("type", "choices"):
            assert variable.get(key) == option.get(key), f"{key} of {PREFIX}{name}"
        assert bool(variable.get("no_log")) is bool(option.get("no_log")), f"no_log of {PREFIX}{name}"
        assert not variable.get("required"), f"{PREFIX}{name}"
        assert variable.get("default", option.get("default")) == option.get("default"), f"default of {PREFIX}{name}"


def test_the_role_says_all_defaults_or_none() -> None:
    """A default that is said of one, and not of another, would read as if that one had none."""
    said = {name for name, option in role_options().items() if "default" in option}
    assert said in (set(), {name for name, option in OF_ROLE.items() if "default" in option})


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_no_page_names_others(path: Path) -> None:
    named = set(re.findall(rf"\b({PREFIX}[a-z0-9_]*[a-z0-9])\b", path.read_text(encoding="utf-8")))
    modules = {module.stem for module in (ROOT / "plugins" / "modules").glob("*.py")}
    assert named - modules <= {PREFIX + name for name in OF_ROLE}


def test_the_guide_tells_their_defaults_and_choices() -> None:
    rows = list(guide_rows())
    assert rows
    for names, cell, row in rows:
        assert set(names) <= set(OF_ROLE), row
        said = re.findall(r"`([^`]*)`", cell)
        defaults = [STORE_ARGUMENTS[name].get("default") for name in names]
        assert said == [str(default) for default in defaults if default is not None], row
        for name in names:
            missing = [choice for choice in STORE_ARGUMENTS[name].get("choices", []) if f"`{choice}`" not in row]
            assert not missing, f"{missing} of {PREFIX}{name}"
