# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example project as AWX checks it out: what it offers, and whose variables its plays read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.awx.injectors import inject
from support.awx.projects import inventories_in, playbooks_in
from support.fixtures import collections, nightly, packed_modules
from support.playbook import run_playbook

__all__ = ["collections", "packed_modules"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "image-project"
PLAYBOOKS = ["build_image", "publish_image", "retire_images", "stop_work", "verify_images", "withdraw_image"]


class Loader(yaml.SafeLoader):
    """Reads text that is never a template as that text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture
def project(tmp_path) -> Path:
    """A checkout of the project."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project"))


def test_awx_offers_the_playbooks_and_nothing_else(project) -> None:
    (project / "group_vars" / "all" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n33\n", encoding="utf-8")
    assert playbooks_in(project) == [f"{name}.yml" for name in PLAYBOOKS]
    assert inventories_in(project) == ["inventory/hosts.ini"]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_the_plays_are_those_of_the_collection(name: str) -> None:
    """Plays of its own, or AWX would read the variables beside the collection's playbooks; and the same ones."""

    def plays(path: Path) -> list[dict[str, Any]]:
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    ours, theirs = plays(EXAMPLE / f"{name}.yml"), plays(ROOT / "playbooks" / f"{name}.yml")
    assert ours[0] == {**theirs[0], "ansible.builtin.import_playbook": "macops.parallels.check_hosts"}
    prepare = [task for task in ours[1].pop("pre_tasks", []) if "ansible.builtin.import_tasks" not in task]
    assert prepare == theirs[1].pop("pre_tasks", [])
    assert ours[1:] == theirs[1:]


def test_the_inventory_has_a_group_of_macs(project) -> None:
    program = Path(sys.executable).with_name("ansible-inventory")
    command = [str(program), "--list", "--export", "-i", "inventory/hosts.ini"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True, env={**os.environ})
    listed = yaml.safe_load(done.stdout)
    assert listed["build_macs"]["hosts"] == ["mac-arm64", "mac-x86-64"]
    # The variables of the project are read by the jobs, with the vault's password, and not by this.
    assert "image_name" not in done.stdout


def test_the_variables_of_the_project_are_read_with_an_inventory_elsewhere(
    project, collections, packed_modules, tmp_path
) -> None:
    settings = project / "group_vars" / "all" / "store.yml"
    settings.write_text(f"image_destination: file://{tmp_path}/nowhere/\n", encoding="utf-8")
    ended = run_playbook(
        project / "verify_images.yml",
        {"mac1": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
        {"image_public_url": "https://images.example.com/windows"},
        collections=collections,
        modules=packed_modules,
        cwd=project,
    )
    ended.assert_failed(f"{tmp_path}/nowhere")


KINDS = ("https", nightly("s3"), nightly("azblob"), nightly("sftp"), "sharepoint")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_credential_injects_reaches_the_modules_as_text(kind: str, tmp_path) -> None:
    """By AWX's way: a credential's injectors make the environment, and the template's variables read it."""
    tables = Loader((ROOT / "roles" / "awx" / "vars" / "main.yml").read_text(encoding="utf-8")).get_single_data()
    made = tables["awx_credential_types"][kind]
    names = [field["id"] for field in made["inputs"]["fields"]]
    # Text that YAML, Python or Jinja would take for something else. One field stays empty.
    texts = ["0123456", "2026.10", "yes", "{{ 7 * 7 }}"]
    values = dict(zip(names, texts))
    injected = inject(made["inputs"], made["injectors"], values, tmp_path)
    variables = {f"image_store_{name}": tables["awx_store_variables"][name] for name in names}
    playbook = tmp_path / "show.yml"
    shown = {name: f"{{{{ lookup('macops.parallels.given', '{name}') | string }}}}" for name in variables}
    task = {"ansible.builtin.set_stats": {"data": shown, "aggregate": False}}
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]), "utf-8")
    ended = run_playbook(
        playbook,
        {"localhost": {"ansible_connection": "local"}},
        variables,
        collections=ROOT.parents[2],
        environment=injected.env,
    ).assert_ok()
    assert ended.custom_stats == {f"image_store_{name}": values.get(name, "") for name in names}
