# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The variables of the roles: what counts as given, and what is wrong with one, in one sentence.

The roles' argument specifications say which variables there are. Their entry point is not called C(main), so that
Ansible does not validate them itself: it would print the whole specification for one mistake, and refuse what AWX
passes for a question that was not answered.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.yaml import yaml_load
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.release import __version__ as core_version
from ansible.template import Templar

from ..module_utils._common.text import printable, printable_message

ENTRY_POINT = "variables"
COLLECTION = "macops.parallels."
_ROLES = Path(__file__).parents[2] / "roles"

_TEXT = ("str", "path")
# Sizes, which may be whole numbers too.
SIZES = ("image_store_part_size", "image_store_rate_limit")
# Addresses: a blank around one comes with copying and pasting, and a line break with a survey or a file.
ADDRESSES = ("image_destination", "image_public_url", "image_store_endpoint_url", "image_store_proxy")
# What a template lacks that is made of what a stage finds out later.
_OF_A_STAGE = re.compile(r"has to come first|\b(?:prepare_\w+|check_store|seal_vm|package_image|publish_image)_")
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_MARKUP = re.compile(r"\b[A-Z]\(([^)]*)\)")


def is_blank(value: Any) -> bool:
    """Return whether a value means that nothing was given: AWX passes '' or null for what was not answered."""
    return value is None or (isinstance(value, str) and not value.strip())


def value_of(raw: Any, templar: Templar) -> Any:
    """Return what a variable is. Text that a template makes stays text.

    Before ansible-core 2.19, Ansible makes a number of text such as 2026.10 (with jinja2_native), and a list of [1].
    """
    return _text_keeping(templar).template(raw)


if tuple(map(int, core_version.split(".")[:2])) < (2, 19):  # pragma: no cover
    from ansible.template import AnsibleEnvironment

    def _keep(nodes: Iterable[Any]) -> Any:
        values = list(nodes)
        if len(values) == 1:
            (value,) = values
            str(value)  # an undefined one raises its error
            return value
        return "".join(map(str, values))

    class _TextEnvironment(AnsibleEnvironment):
        concat = staticmethod(_keep)

    def _text_keeping(templar: Templar) -> Templar:
        return templar.copy_with_new_env(environment_class=_TextEnvironment)

else:

    def _text_keeping(templar: Templar) -> Templar:
        return templar


def options_of(roles: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the options of roles of this collection, and of all roles that they depend on.

    C(kept) in one says that the roles read it by the lookup C(given), which keeps text as it is.
    """
    found: dict[str, dict[str, Any]] = {}
    for role in roles:
        name = role[len(COLLECTION) :] if role.startswith(COLLECTION) else ""
        # Those that it depends on come first, as they run first.
        for needed in _read(name, "meta/main").get("dependencies", ()) if name else ():
            found = {**options_of([needed["role"]]), **found}
        specs = _read(name, "meta/argument_specs").get("argument_specs", {}) if name else {}
        defaults = _read(name, "defaults/main") if name else {}
        for option, spec in specs.get(ENTRY_POINT, {}).get("options", {}).items():
            required = spec.get("required", False) or found.get(option, {}).get("required", False)
            kept = option.startswith("image_store_") or f"image_effective_{option[len('image_') :]}" in defaults
            found[option] = {**spec, "required": required, "kept": kept or found.get(option, {}).get("kept", False)}
    return found


@functools.cache
def _read(role: str, file: str) -> Mapping[str, Any]:
    path = _ROLES / role / f"{file}.yml"
    return (yaml_load(path.read_bytes()) or {}) if path.exists() else {}


def problem_of(name: str, option: Mapping[str, Any], variables: Mapping[str, Any], templar: Templar) -> Optional[str]:
    """Return what is wrong with a variable, in one sentence and what to do about it; None if it is right."""
    try:
        value = value_of(variables.get(name), templar)
    except (AnsibleError, ValueError) as error:
        return _not_readable(name, option, error)
    if is_blank(value):
        return _missing(name, option) if option.get("required") else None
    secret = bool(option.get("no_log"))
    kind = option.get("type", "str")
    if kind in _TEXT:
        return (
            _wrong_text(name, value, secret)
            or _wrong_choice(name, value, option.get("choices"))
            or (None if option.get("kept") else _unkept_text(name, variables[name], templar))
        )
    if kind == "bool":
        return None if _is_switch(value) else f"{name} is {_shown(value, secret)}. Set it to true or false."
    if kind == "int":
        return None if _is_whole(value) else f"{name} is {_shown(value, secret)}. Set it to a whole number."
    if kind == "dict" and isinstance(value, Mapping):
        wrong = [str(key) for key, part in value.items() if isinstance(part, bool) or not isinstance(part, (str, int))]
        return f"{name} is not text at '{printable(wrong[0])}'. Put the value in quotes in YAML." if wrong else None
    return None


def _not_readable(name: str, option: Mapping[str, Any], error: Exception) -> Optional[str]:
    said = printable_message(str(error))
    undefined = isinstance(error, AnsibleUndefinedVariable) or "is undefined" in said
    if undefined and (_OF_A_STAGE.search(said) or not (option.get("required") or name.startswith("image_store_"))):
        return None  # it is made of what does not exist yet
    missing = _UNDEFINED.search(said)
    if missing:
        return (
            f"{name} needs the variable {missing.group(1)}, which is not defined. Define it, for example in a vault "
            "file or with an AWX credential."
        )
    why = "" if option.get("no_log") else f": {' '.join(said.split())[:300]}"
    return f"The template of {name} cannot be evaluated{why}. Correct it."


def _missing(name: str, option: Mapping[str, Any]) -> str:
    description = option.get("description", "")
    first = description if isinstance(description, str) else description[0]
    meaning = _MARKUP.sub(r"\1", first).split(". ")[0].rstrip(".")
    return f"{name} is not set. Set it: {meaning}."


def _wrong_text(name: str, value: Any, secret: bool) -> Optional[str]:
    if isinstance(value, str):
        if name in ADDRESSES and value != value.strip():
            return f"{name} begins or ends with a blank or a line break. Remove it."
        return None
    if name in SIZES and isinstance(value, int) and not isinstance(value, bool):
        return None
    shown = "" if secret else f" ({printable(str(value))[:100]})"
    if name.endswith("_version"):
        remedy = "Give it as text with three parts: 2026.10.0. Put it in quotes in YAML."
    elif secret:
        remedy = "Put it in quotes in YAML, or let an AWX credential pass it."
    else:
        remedy = (
            "Put it in quotes in YAML. In an AWX survey, a text cannot be only a number, a date, or yes or no, and a "
            "version needs three parts: 2026.10.0."
        )
    return f"{name} is not text, because it was read as {_kind(value)}{shown}. {remedy}"


def _unkept_text(name: str, raw: Any, templar: Templar) -> Optional[str]:
    """Return what is wrong with text that Ansible makes something else of where a role reads it."""
    if isinstance(templar.template(raw), str):
        return None
    return f"The template of {name} makes text that is read as something else. End the template with the filter string."


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, (datetime.date, datetime.datetime)):
        return "a date"
    return "a dictionary" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "something else"


def _wrong_choice(name: str, value: str, choices: Optional[list[str]]) -> Optional[str]:
    if not choices or value in choices:
        return None
    return f"{name} is {_shown(value, False)}. Set it to {', '.join(choices[:-1])} or {choices[-1]}."


def _shown(value: Any, secret: bool) -> str:
    return "not valid" if secret else f"'{printable(str(value))[:100]}'"


def _is_switch(value: Any) -> bool:
    try:
        boolean(value)
    except TypeError:
        return False
    return True


def _is_whole(value: Any) -> bool:
    if isinstance(value, (bool, float)):
        return False
    try:
        int(value)
    except (TypeError, ValueError):
        return False
    return True
