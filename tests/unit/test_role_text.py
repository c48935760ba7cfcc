# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text stays text in the roles: no version, name, checksum or password becomes a number on its way to a module.

Before ansible-core 2.19, with C(jinja2_native), a template that is nothing but C({{ image_version }}) makes the number
2026.1 of the text 2026.10. It stays text if the template ends with the filter C(string). YAML itself makes a number of
what is not in quotes, which the role check_variables refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Text that is never a template, such as one for AWX.
yaml.SafeLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node).replace("{{", "{ {"))
FILES = sorted(
    path for folder in ("tasks", "handlers", "vars", "defaults") for path in (ROOT / "roles").glob(f"*/{folder}/*.yml")
)
NODE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
STAYS_TEXT = re.compile(r"\| string(?: or omit)?$")
# An expression of another type, as its last filter or operator says.
OTHER_TYPE = re.compile(
    r"\| (?:bool|int|list|length|unique|flatten(?:\(1\))?)$"
    r"|\| (?:items2dict|dict2items(?:\(.*\))?|combine\(.*\)|default\(\{\}\))$"
    r"| (?:is defined|is changed|== \S+|> 0|is match\(.*\))$"
    r"|^(?:undef|query|dict)\(|^[\[{]"
)
# What is not text: numbers, switches, dictionaries, lists, and omitted options.
NOT_TEXT = {
    "image_effective_guest_timeout",
    "image_windows_answer_file",
    "fix",
    "image_effective_generalize_fix",
    "image_effective_guest_roles",
    "image_effective_vm_settings",
    "image_effective_waive",
    "image_generalize_fix",
    "image_vm_settings",
    "seal_vm_not_settings",
    "allow_encrypted",
    "allow_snapshots",
    "approval_node",
    "awx_checkable",
    "awx_macs",
    "awx_names_ok",
    "awx_search",
    "awx_store_fields",
    "awx_template",
    "changed",
    "check_mode",
    "check_python_candidates",
    "check_store_copies",
    "check_store_needed_bytes",
    "check_store_packed",
    "check_store_record",
    "check_store_versions",
    "commands",
    "concurrency",
    "controller_oauthtoken",
    "existing_token",
    "force",
    "galaxy_credentials",
    "group/awx.awx.controller",
    "hand_over_missing",
    "hand_over_records",
    "hand_over_versions",
    "image_allow_encrypted",
    "image_clone",
    "image_compact",
    "image_effective_generalize_timeout",
    "image_effective_link_min_validity",
    "image_effective_pack_timeout",
    "image_effective_stop_timeout",
    "image_generalize",
    "image_guest_roles",
    "image_hook_paths",
    "image_parallels_options",
    "image_records",
    "image_source_stop",
    "image_vm",
    "image_sbom",
    "image_waive",
    "images",
    "injectors",
    "inputs",
    "inventory",
    "keep",
    "limit",
    "loop",
    "macops.parallels.image_catalog",
    "macops.parallels.image_catalog_info",
    "macops.parallels.image_provenance",
    "group/macops.parallels.parallels",
    "group/macops.parallels.stores",
    "materials",
    "min_validity",
    "notes",
    "notification_configuration",
    "offset",
    "ok",
    "package_image_commands",
    "package_image_size",
    "parameters",
    "prepare_mac_accepted",
    "prepare_mac_build_vm",
    "prepare_mac_counting",
    "prepare_mac_free_bytes",
    "prepare_mac_of_vm",
    "prepare_mac_original",
    "prepare_mac_space",
    "prepare_mac_source",
    "prepare_vm_asks",
    "prepare_vm_build",
    "prepare_vm_guest",
    "prepare_vm_guest_plan",
    "prepare_vm_new",
    "problems",
    "provision_guest_given",
    "provision_guest_of_mac",
    "publish_image_commands",
    "publish_image_contents",
    "publish_image_hooks",
    "publish_image_inventory",
    "publish_image_link",
    "publish_image_parallels",
    "publish_image_record",
    "publish_image_size",
    "publish_image_source_vm",
    "publish_image_versions",
    "remove_file",
    "removed",
    "removed_files",
    "readiness",
    "require",
    "require_signature",
    "retire_images_blank",
    "retire_images_files",
    "retire_images_named",
    "retire_images_removed",
    "retries",
    "s3_tags",
    "sbom",
    "signatures",
    "size",
    "source",
    "spec",
    "stop_source",
    "stop_timeout",
    "timeout",
    "verify_images_all",
    "verify_images_images",
    "verify_images_inventory",
    "verify_images_none",
    "verify_images_notes",
    "verify_images_problems",
    "verify_images_records",
    "verify_images_sboms",
    "verify_images_signed",
    "verify_images_unsigned",
    "would_remove",
    "would_remove_files",
    "waive",
}
# Sentences, which nothing takes for a number.
PROSE = re.compile(r"^(?:msg|fail_msg|check_store_plan\w*)$")


def templates(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the texts with a template, with the keys that lead to them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from templates(part, *path, str(key))
    elif isinstance(value, list):
        for part in value:
            yield from templates(part, *path)
    elif isinstance(value, str) and "{{" in value:
        yield path, value


def may_become_a_number(path: tuple[str, ...], text: str) -> bool:
    """Return whether a template may make something else of a text."""
    if PROSE.match(path[-1]) or any(PROSE.match(key) for key in path) or path[-1] in NOT_TEXT:
        return False
    nodes = NODE.findall(text)
    around = NODE.sub("", text).strip()
    if len(nodes) != 1 or around:
        # With a letter or a slash around, the whole is no number, no list, and no dictionary.
        return not re.search(r"[A-Za-z/]", around)
    expression = " ".join(nodes[0][2:-2].split())
    return not (STAYS_TEXT.search(expression) or OTHER_TYPE.search(expression))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "roles")))
def test_every_template_keeps_text_as_it_is(path: Path) -> None:
    found = templates(yaml.safe_load(path.read_text(encoding="utf-8")))
    wrong = {"/".join(keys): text for keys, text in found if may_become_a_number(keys, text)}
    assert not wrong, "end the template with `| string`, or add the name to NOT_TEXT if it is no text"


@pytest.mark.parametrize(
    ("key", "text", "wrong"),
    [
        ("version", "{{ image_version }}", True),
        ("version", "{{ image_version | string }}", False),
        ("version", "{{ image_version | string | default('') }}", True),
        ("version", "{{ '2026.10' if image_clone | bool else image_version }}", True),
        ("version", "{{ major }}.{{ minor }}", True),
        ("arch", "{{ image_arch | default('', true) | string or omit }}", False),
        ("path", "{{ folder }}/{{ name }}", False),
        ("keep", "{{ image_keep }}", False),
        ("anything", "{{ list_of_them | length > 0 }}", False),
        ("fail_msg", "{{ image_version }}", False),
    ],
)
def test_what_is_found(key: str, text: str, wrong: bool) -> None:
    assert may_become_a_number((key,), text) is wrong


def test_what_is_not_text_is_still_there() -> None:
    keys = {key for path in FILES for keys, _text in templates(yaml.safe_load(path.read_text())) for key in keys}
    assert keys >= NOT_TEXT
