# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credential types: what their inputs and injectors may be (AWX 24.6.1, recorded: credential types).

AWX itself checks them with JSON Schema and Jinja2, and so does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jsonschema
from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .kinds import Change, Rules
from .refusals import forbidden, invalid

if TYPE_CHECKING:
    from .database import Record

KINDS = ("cloud", "net")

VARIABLE_NAME = "^[a-zA-Z_]+[a-zA-Z0-9_]*$"
TEMPLATED_NAME = r"^[a-zA-Z_\{\}]+[a-zA-Z0-9_\{\}]*$"
FILE_NAME = r"^template(\.[a-zA-Z_]+[a-zA-Z0-9_]*)?$"

FIELD = {
    "type": "object",
    "properties": {
        "type": {"enum": ["string", "boolean"]},
        "format": {"enum": ["ssh_private_key", "url"]},
        "choices": {"type": "array", "minItems": 1, "items": {"type": "string"}, "uniqueItems": True},
        "id": {"type": "string", "pattern": VARIABLE_NAME, "error": "{instance} is an invalid variable name"},
        "label": {"type": "string"},
        "help_text": {"type": "string"},
        "multiline": {"type": "boolean"},
        "secret": {"type": "boolean"},
        "ask_at_runtime": {"type": "boolean"},
        "default": {},
    },
    "additionalProperties": False,
    "required": ["id", "label"],
}
INPUTS = {
    "type": "object",
    "properties": {
        "required": {"type": "array", "items": {"type": "string"}},
        "fields": {"type": "array", "items": FIELD},
    },
    "additionalProperties": False,
}
EXTRA_VARS: dict[str, Any] = {
    "type": "object",
    "patternProperties": {
        TEMPLATED_NAME: {"anyOf": [{"type": "string"}, {"type": "array"}, {"$ref": "#/properties/extra_vars"}]}
    },
    "additionalProperties": False,
}
INJECTORS = {
    "type": "object",
    "properties": {
        "file": {"type": "object", "patternProperties": {FILE_NAME: {"type": "string"}}, "additionalProperties": False},
        "env": {
            "type": "object",
            "patternProperties": {VARIABLE_NAME: {"type": "string"}},
            "additionalProperties": False,
        },
        "extra_vars": EXTRA_VARS,
    },
    "additionalProperties": False,
}
# What a field that is not a string may not have.
FOR_STRINGS = ("choices", "multiline", "format", "secret")
OF_TYPE = {"string": str, "boolean": bool}

ANSIBLES = "Environment variable {} may affect Ansible configuration so its use is not allowed in credentials."
RESERVED = "Environment variable {} is not allowed to be used in credentials."
RESERVED_VARIABLES = [
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "JOB_ID",
    "INVENTORY_ID",
    "INVENTORY_SOURCE_ID",
    "INVENTORY_UPDATE_ID",
    "AD_HOC_COMMAND_ID",
    "REST_API_URL",
    "REST_API_TOKEN",
    "MAX_EVENT_RES",
    "CALLBACK_QUEUE",
    "CALLBACK_CONNECTION",
    "CACHE",
    "JOB_CALLBACK_DEBUG",
    "INVENTORY_HOSTVARS",
    "AWX_HOST",
    "PROJECT_REVISION",
    "SUPERVISOR_CONFIG_PATH",
]

NO_FILE = "Must define unnamed file injector in order to reference `tower.filename`."


def schema_errors(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[jsonschema.ValidationError, str]]:
    """Yield what is wrong with a value, and AWX's words for it."""
    for error in jsonschema.Draft4Validator(schema).iter_errors(value):
        path = list(error.path)
        text = error.message
        if error.validator == "pattern" and "error" in error.schema:
            text = error.schema["error"].format(instance=error.instance)
        elif error.validator == "type":
            given, expected = type(error.instance).__name__, str(error.validator_value).replace("object", "dict")
            where = f" in relative path {path}" if path else ""
            text = f"{given} provided{where}, expected {expected}"
        elif error.validator == "additionalProperties":
            text = f"Schema validation error in relative path {path} ({text})"
        yield error, text


def check_inputs(inputs: Any) -> None:
    """Refuse inputs that AWX would, and write the type of each field, where it is missing."""
    wrong = [text for _error, text in schema_errors(INPUTS, inputs)]
    if wrong:
        raise invalid(inputs=wrong)
    seen: set[str] = set()
    for field in inputs.get("fields", []):
        wrong_field = _wrong_field(field, seen)
        if wrong_field:
            raise invalid(inputs=wrong_field)
        seen.add(field["id"])


def _wrong_field(field: dict[str, Any], seen: set[str]) -> str | None:
    name = field["id"]
    if "ask_at_runtime" in field:
        return "'ask_at_runtime' is not supported for custom credentials."
    if name == "tower":
        return '"tower" is a reserved field name'
    if name in seen:
        return f"field IDs must be unique ({name})"
    kind = field.setdefault("type", "string")
    for key in FOR_STRINGS:
        if key in field and kind != "string":
            return f"{key} not allowed for {kind} type ({name})"
    if "default" in field and not isinstance(field["default"], OF_TYPE[kind]):
        return f"{field['default']} is not a {kind}"
    return None


class ExplodingNamespace:
    """The file names of injectors, of which none is unnamed."""

    def __str__(self) -> str:
        raise UndefinedError(NO_FILE)


# As AWX's own messages name it.
ExplodingNamespace.__module__ = "awx.main.fields"


class _Tower:
    def __init__(self) -> None:
        self.filename: Any = ExplodingNamespace()

    def __str__(self) -> str:
        raise UndefinedError("Cannot directly reference reserved `tower` namespace container.")


def check_injectors(injectors: Any, inputs: Mapping[str, Any]) -> None:
    """Refuse injectors that AWX would: their form, their names, and templates that use what the inputs do not have."""
    wrong = [text for _error, text in schema_errors({**INJECTORS}, injectors)]
    if wrong:
        raise invalid(injectors=wrong)
    names: dict[str, Any] = {field["id"]: "EXAMPLE" for field in inputs.get("fields", [])}
    names["tower"] = _Tower()
    files = injectors.get("file", {})
    if "template" in files:
        names["tower"].filename = "EXAMPLE_FILENAME"
        if len(files) > 1:
            raise invalid(injectors="Must use multi-file syntax when injecting multiple files")
    for label in files:
        _template, dot, name = label.partition(".")
        if dot:
            setattr(names["tower"].filename, name, "EXAMPLE_FILENAME")
    for name in injectors.get("env", {}):
        if name.startswith("ANSIBLE_"):
            raise invalid(injectors=ANSIBLES.format(name))
        if name in RESERVED_VARIABLES:
            raise invalid(injectors=RESERVED.format(name))
    for part, templates in injectors.items():
        for name, template in templates.items():
            _check_template(part, name, template, names)


def _check_template(part: str, name: str, template: Any, names: Mapping[str, Any]) -> None:
    if isinstance(template, dict):
        for inner, value in template.items():
            _check_template(part, inner, value, names)
    elif isinstance(template, list):
        for value in template:
            _check_template(part, name, value, names)
    else:
        sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
        try:
            sandbox.from_string(template).render(names)
        except UndefinedError as error:
            raise invalid(injectors=f"{name} uses an undefined field ({error})") from error
        except SecurityError as error:
            raise invalid(injectors=f"Encountered unsafe code execution: {error}") from error
        except TemplateSyntaxError as error:
            raise invalid(injectors=f"Syntax error rendering template for {name} inside of {part} ({error})") from error


class CredentialTypes(Rules):
    """What AWX checks of credential types."""

    def check(self, change: Change) -> None:
        old, new = change.old, change.new
        new.setdefault("managed", False)
        if old is not None and old["managed"]:
            raise forbidden("Modifications not allowed for managed credential types")
        if new["kind"] not in KINDS and "kind" in change.given:
            raise invalid(kind=f"Must be 'cloud' or 'net', not {new['kind']}")
        check_inputs(new["inputs"])
        check_injectors(new["injectors"], new["inputs"])
        if old is not None and new["inputs"] != old["inputs"] and self._in_use(old):
            raise forbidden("Modifications to inputs are not allowed for credential types that are in use")

    def check_removal(self, record: Record) -> None:
        if record["managed"]:
            raise forbidden("Deletion not allowed for managed credential types")
        if self._in_use(record):
            raise forbidden("Credential types that are in use cannot be deleted")

    def _in_use(self, record: Record) -> bool:
        return bool(self.awx.database.find("credential", credential_type=record.id))
