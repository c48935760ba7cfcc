# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option that may hold a secret is known as one: in the modules, in the roles, on the way between them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._module import _options_that_tell_work_apart
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import STORE_ARGUMENTS

ROOT = Path(__file__).parents[4]
# Without those that are only the documentation of an action plugin.
MODULES = sorted(
    path.stem
    for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")
    if "def main(" in path.read_text(encoding="utf-8")
)
PACKAGE = "ansible_collections.macops.parallels.plugins.modules"

# Names that smell of a secret.
SMELL = re.compile(r"pass|secret|token|key|sas|credential|proxy|login|auth|private|cookie|pin\b")
# These smell, but what they hold is shown: the name of a key or of a file, a policy, something public.
KNOWN_TO_ALL = {
    "access_key": "the name of a key, which S3 puts into every presigned address",
    "s3_kms_key_id": "the name of a key",
    "private_key_path": "the path of a file",
    "signing_key_path": "the path of a file",
}
# Variables of the roles that smell, but hold none.
KNOWN_VARIABLES = {
    "awx_galaxy_credentials",
    "awx_registry_credential",
    "awx_update_secrets",
    "image_signing_key_path",
    *(f"image_store_{name}" for name in ("access_key", "s3_kms_key_id", "private_key_path")),
}


def with_suboptions(options: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield path + name, option
        yield from with_suboptions(option.get("options") or {}, f"{path}{name}.")


@pytest.mark.parametrize("name", MODULES)
def test_what_smells_of_a_secret_is_hidden(name: str, arguments_of: Any) -> None:
    for path, option in with_suboptions(arguments_of(name)):
        if SMELL.search(path.rpartition(".")[2]) and option.get("type") != "bool":
            assert option.get("no_log") is (path not in KNOWN_TO_ALL), f"{path} of {name}"


def test_the_stores_have_secrets() -> None:
    """The test above would hold for modules without options, too."""
    hidden = {name for name, option in STORE_ARGUMENTS.items() if option.get("no_log")}
    assert hidden == {
        *("password", "token", "proxy", "secret_key", "session_token", "account_key", "sas_token"),
        *("private_key_passphrase", "client_secret"),
    }


def _roles() -> dict[str, dict[str, Any]]:
    variables: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            variables.update(entry["options"])
    return variables


def test_the_variables_of_the_stores_are_those_of_the_modules() -> None:
    variables = _roles()
    for name, option in STORE_ARGUMENTS.items():
        if name != "destination":
            variable = variables[f"image_store_{name}"]
            assert bool(variable.get("no_log")) is bool(option.get("no_log")), name


def test_what_smells_of_a_secret_is_hidden_in_the_roles() -> None:
    smelling = {name: option for name, option in _roles().items() if SMELL.search(name.replace("image_", "", 1))}
    assert {name for name, option in smelling.items() if not option.get("no_log")} == KNOWN_VARIABLES


def test_all_of_them_are_handed_to_the_modules() -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "image_store" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    handed = defaults["image_store_given"]
    assert set(handed) == set(STORE_ARGUMENTS)
    for name, template in handed.items():
        variable = "image_destination" if name == "destination" else f"image_store_{name}"
        assert re.search(rf"\b{variable}\b", template), name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("image_")])
def test_the_folder_of_a_job_does_not_know_them(name: str, arguments_of: Any) -> None:
    options = arguments_of(name)
    module = type("Module", (), {"argument_spec": options, "params": dict.fromkeys(options, "hunter2")})()
    told = _options_that_tell_work_apart(module)
    assert {option for option in options if option not in told} == {
        option for option, given in options.items() if given.get("no_log")
    }


@pytest.mark.parametrize(
    "name", ["image_upload", "image_catalog", "image_catalog_info", "image_provenance", "image_store_check"]
)
def test_no_result_repeats_them(name: str, run_module_main: Any, tmp_path: Path) -> None:
    """Whatever a module fails with, Ansible itself knows what to hide; what it is given here is in no sentence."""
    image = tmp_path / "image"
    image.write_bytes(b"image")
    main = importlib.import_module(f"{PACKAGE}.{name}").main
    given = {
        "image_upload": {"src": str(image)},
        "image_catalog": {"state": "page"},
        "image_catalog_info": {},
        "image_store_check": {},
        "image_provenance": {
            "file": "x",
            "sha256": "ab" * 32,
            "builder_id": "urn:x",
            "invocation_id": "1",
            "started_at": "2026-11-22T10:00:00Z",
        },
    }[name]
    secrets = {
        "username": "publisher",
        "password": "hunter2-1",
        "secret_key": "hunter2-2",
        "access_key": "AK",
        "session_token": "hunter2-3",
        "account_key": "aHVudGVyMi00",
        "private_key_path": str(image),
        "private_key_passphrase": "hunter2-5",
        "client_secret": "hunter2-6",
        "tenant_id": "t",
        "client_id": "c",
        "proxy": "http://jane:hunter2-7@127.0.0.1:9",
    }
    for destination in (
        "https://127.0.0.1:9/x",
        "https://jane:hunter2@127.0.0.1:9/x",
        "nowhere://x",
        tmp_path.as_uri(),
    ):
        end = run_module_main(main, destination=destination, retries=0, timeout=1, **given, **secrets)
        assert "hunter2" not in json.dumps(end.result, default=str)
        assert "aHVudGVyMi00" not in json.dumps(end.result, default=str)
