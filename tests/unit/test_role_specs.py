# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specifications of the roles and their defaults say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
COLLECTION = "macops.parallels."
# Not main: Ansible would validate it itself, print it whole for one mistake, and refuse what is blank.
ENTRY_POINT = "variables"

# What the roles read of a variable that may be blank.
EFFECTIVE = "image_effective_"

# What the defaults make of the variables that users set, and what the stages set: none of it is set by users.
DERIVED = {
    "check_store_published",
    "check_store_record",
    "check_store_versions",
    "image_build_arch",
    "image_build_name",
    "image_build_vm",
    "image_file",
    "image_hook_paths",
    "image_guest_wanted",
    "image_hooks",
    "image_hooks_given",
    "image_needs_mac",
    "image_needs_store",
    "image_parallels_options",
    "image_store_given",
    "image_store_key",
    "image_store_options",
    "image_store_public_url",
    "image_store_signers",
    "image_store_signing",
    "image_store_signing_given",
    "image_store_verifying",
    "image_store_verifying_given",
    "image_url",
    "image_vm",
    "image_vm_has_run",
    "image_vm_may_start",
    "image_vm_pauses",
    "image_vm_sealed",
    "prepare_mac_arch",
    "prepare_mac_beside",
    "prepare_mac_build_vm",
    "prepare_mac_folder",
    "prepare_mac_found",
    "prepare_mac_found_build",
    "prepare_mac_free_bytes",
    "prepare_mac_obstacles",
    "prepare_mac_parallels",
    "prepare_mac_source",
}


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def _options(role: str) -> dict[str, dict[str, Any]]:
    return _read(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"][ENTRY_POINT]["options"]


def _all_defaults(role: str) -> dict[str, Any]:
    return _read(ROLES / role / "defaults" / "main.yml")


def _own_defaults(role: str) -> dict[str, Any]:
    return {name: value for name, value in _all_defaults(role).items() if not name.startswith(EFFECTIVE)}


def _defaults(role: str) -> dict[str, Any]:
    """Return the defaults of a role and of all that it depends on."""
    found: dict[str, Any] = {}
    for dependency in _read(ROLES / role / "meta" / "main.yml")["dependencies"]:
        found.update(_defaults(dependency["role"][len(COLLECTION) :]))
    return {**found, **_own_defaults(role)}


def _is_template(value: Any) -> bool:
    return "{{" in str(value)


@pytest.mark.parametrize("role", NAMES)
def test_the_defaults_of_the_specification_are_those_of_the_role(role: str) -> None:
    plain = {name: value for name, value in _defaults(role).items() if not _is_template(value)}
    for name, option in _options(role).items():
        assert ("default" in option) == (name in plain), name
        if "default" in option:
            assert (type(option["default"]), option["default"]) == (type(plain[name]), plain[name]), name


@pytest.mark.parametrize("role", NAMES)
def test_a_required_option_has_no_default(role: str) -> None:
    for name, option in _options(role).items():
        assert not (option.get("required") and name in _defaults(role)), name


@pytest.mark.parametrize("role", NAMES)
def test_a_default_that_is_made_of_others_is_told_in_words(role: str) -> None:
    for name, value in _defaults(role).items():
        if name in _options(role) and _is_template(value):
            assert "By default" in str(_options(role)[name]["description"]), name


GIVEN = re.compile(
    r"\{\{ lookup\('macops\.parallels\.given', '(?P<name>\w+)',\s+"
    r"default=(?P<default>.*)\)(?: \| (?P<filter>\w+))? \}\}"
)
# The filter int would make a 0 of what is not a number. The modules refuse it.
FILTERS = {"str": "string", "path": "string", "bool": "bool", "int": None, "list": None, "dict": None}


@pytest.mark.parametrize("role", NAMES)
def test_a_blank_variable_counts_as_its_default(role: str) -> None:
    """What a role reads instead of the variable says the same default, and has the variable's type."""
    options = {**_options("image_store"), **_options("image")}
    for other in NAMES:
        options.update(_options(other))
    options.update(_options(role))
    for name, template in _all_defaults(role).items():
        if name.startswith(EFFECTIVE):
            found = GIVEN.fullmatch(template)
            assert found, name
            variable = "image_" + name[len(EFFECTIVE) :]
            assert found["name"] == variable
            assert found["filter"] == FILTERS[options[variable]["type"]], name
            if "default" in options[variable] and variable in _own_defaults(role):
                assert yaml.safe_load(found["default"]) == _own_defaults(role)[variable], name


@pytest.mark.parametrize("role", NAMES)
def test_what_may_be_blank_is_not_read_as_it_is(role: str) -> None:
    """A variable with a default that is not blank, or that is not text, has a form in which a blank is its default."""
    effective = {
        name[len(EFFECTIVE) :] for other in NAMES for name in _all_defaults(other) if name.startswith(EFFECTIVE)
    }
    read = re.compile(rf"(?<![\w'.\"-])image_({'|'.join(effective)})\b(?!:)")
    for folder in ("tasks", "vars", "templates"):
        for path in sorted((ROLES / role / folder).glob("*")):
            text = path.read_text(encoding="utf-8")
            nodes = re.findall(r"\{\{.*?\}\}|\{%.*?%\}|^ *(?:when|that): [^>|\n]+$", text, re.DOTALL | re.MULTILINE)
            found = [node for node in nodes if read.search(re.sub(r"'[^']*'|\w+ is defined", "''", node))]
            assert not found, path


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_that_users_set_is_specified(role: str) -> None:
    specified = {name for other in NAMES for name in _options(other)}
    assert set(_own_defaults(role)) - specified <= DERIVED


def test_only_what_is_there_is_derived() -> None:
    there = {name for role in NAMES for name in _own_defaults(role)}
    specified = {name for role in NAMES for name in _options(role)}
    assert there >= DERIVED
    assert not specified & DERIVED


@pytest.mark.parametrize("role", NAMES)
def test_the_role_is_described_in_the_same_words_everywhere(role: str) -> None:
    summary = _read(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"][ENTRY_POINT]["short_description"]
    assert _read(ROLES / role / "meta" / "main.yml")["galaxy_info"]["description"] == summary
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8").splitlines()
    assert (readme[0], readme[2].replace("`", "")) == (f"# {COLLECTION}{role}", f"{summary}.")


@pytest.mark.parametrize("role", NAMES)
def test_no_role_reaches_into_the_files_of_another(role: str) -> None:
    for path in (ROLES / role / "tasks").rglob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert "../" not in text, path
        assert "tasks_from" not in text, path
        assert "failed_when: false" not in text, path
