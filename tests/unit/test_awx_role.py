# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the role awx fit the options of the stores, the playbooks and the variables of the other roles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import STORE_ARGUMENTS

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "awx"
EXAMPLE = ROOT / "examples" / "image-project"


class Loader(yaml.SafeLoader):
    """Reads text that is never a template as that text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def read(path: Path) -> Any:
    return Loader(path.read_text(encoding="utf-8")).get_single_data()


TABLES = read(ROLE / "vars" / "main.yml")
TYPES = TABLES["awx_credential_types"]
STORES = {name: one for name, one in TYPES.items() if name != "signing"}
TEMPLATES = TABLES["awx_job_templates"]
SPECIFIED = {
    name: option
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")
    for entry in read(path)["argument_specs"].values()
    for name, option in entry["options"].items()
}


def fields(kind: str) -> dict[str, dict[str, Any]]:
    return {field["id"]: field for field in TYPES[kind]["inputs"]["fields"]}


def test_there_is_a_type_for_each_kind_of_store_that_has_credentials() -> None:
    assert set(STORES) == set(
        read(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["variables"]["options"]["awx_store_kind"][
            "choices"
        ]
    ) - {""}


def test_every_secret_of_a_store_is_in_a_type() -> None:
    secrets = {name for name, option in STORE_ARGUMENTS.items() if option.get("no_log")}
    assert secrets <= {name for kind in STORES for name in fields(kind)}


@pytest.mark.parametrize("kind", STORES)
def test_a_field_is_an_option_of_the_stores_and_reaches_its_variable(kind: str) -> None:
    for name, field in fields(kind).items():
        assert bool(field.get("secret")) is bool(STORE_ARGUMENTS[name].get("no_log")), name
        # AWX adds what is left out, and the next run would look changed.
        assert field["type"] == "string", name
        variable = f"IMAGE_STORE_{name.upper()}"
        assert TYPES[kind]["injectors"]["env"][variable] == f"{{{{ {name} }}}}"
        wanted = f"{{{{ lookup('ansible.builtin.env', '{variable}') | string }}}}"
        assert TABLES["awx_store_variables"][name] == wanted
    assert len(TYPES[kind]["injectors"]["env"]) == len(fields(kind))
    assert set(TYPES[kind]["inputs"].get("required", [])) <= set(fields(kind))


def test_the_signing_key_comes_as_a_file() -> None:
    assert fields("signing")["key"]["format"] == "ssh_private_key"
    assert TYPES["signing"]["injectors"] == {
        "file": {"template.key": "{{ key }}"},
        "env": {"IMAGE_SIGNING_KEY_FILE": "{{ tower.filename.key }}"},
    }
    assert "IMAGE_SIGNING_KEY_FILE" in (EXAMPLE / "tasks" / "prepare_job.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_job_template_asks_only_for_variables_that_there_are(name: str) -> None:
    template = TEMPLATES[name]
    assert (EXAMPLE / template["playbook"]).is_file()
    questions = [TABLES["awx_questions"][key] for key in template.get("questions", [])]
    for question in questions:
        assert question["variable"] in SPECIFIED
        assert question["type"] in ("text", "multiplechoice")
        assert question["required"] is True
        if question["type"] == "multiplechoice":
            assert question["choices"] == SPECIFIED[question["variable"]]["choices"]
    assert set(template.get("variables", {})) <= set(SPECIFIED)


def test_every_question_is_asked() -> None:
    asked = {key for template in TEMPLATES.values() for key in template.get("questions", [])}
    assert asked == set(TABLES["awx_questions"])


def test_every_playbook_of_the_example_has_a_job_template() -> None:
    playbooks = {path.name for path in EXAMPLE.glob("*.yml")} - {"ansible-navigator.yml", "execution-environment.yml"}
    assert {template["playbook"] for template in TEMPLATES.values()} == playbooks


def test_the_lists_are_in_the_order_of_their_needs() -> None:
    order = TABLES["awx_lists"]
    assert set(order) == set(TABLES["awx_wanted"])
    needs = {
        "credentials": ("organizations", "credential_types"),
        "execution_environments": ("credentials",),
        "projects": ("credentials", "execution_environments"),
        "inventory_sources": ("projects", "inventories"),
        "job_templates": ("projects", "inventories", "credentials", "notification_templates"),
        "workflow_job_templates": ("job_templates",),
        "schedules": ("job_templates",),
    }
    for name, before in needs.items():
        assert max(order.index(one) for one in before) < order.index(name)


def test_no_module_of_awx_is_unknown_to_the_linter() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROLE / "tasks").glob("*.yml"))
    used = set(re.findall(r"^ *(awx\.awx\.\w+):", texts, re.MULTILINE))
    settings = ROOT / ".ansible-lint"
    if settings.exists():  # it is not part of the collection that users get
        assert set(read(settings)["mock_modules"]) == used


def test_the_page_names_every_job_template() -> None:
    page = (ROOT / "docs" / "awx.md").read_text(encoding="utf-8")
    for template in TEMPLATES.values():
        assert template["name"].replace("{{ awx_prefix }}", "Parallels") in page
        assert template["playbook"] in page
