# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a request's body, by the types that AWX says they have (AWX 24.6.1, recorded: OPTIONS).

What is wrong with a field is a list of texts; all fields are looked at before any rule about the whole.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from .refusals import BLANK, NOT_BLANK, NOT_NULL, REQUIRED, Refusal, bad_id

if TYPE_CHECKING:
    from .database import Database

TRUE = (True, 1, "1", "t", "T", "true", "True", "TRUE", "on", "On", "ON", "yes", "Yes", "YES", "y", "Y")
FALSE = (False, 0, "0", "f", "F", "false", "False", "FALSE", "off", "Off", "OFF", "no", "No", "NO", "n", "N")

# Fields that OPTIONS calls JSON, and that are texts of JSON or YAML all the same: they come back as they were posted.
TEXTS_OF_VARIABLES = ("extra_vars", "variables", "source_vars")

# Fields of objects that OPTIONS calls JSON, whose form the rules of their kind check.
JSON_FIELDS = ("inputs", "injectors", "notification_configuration", "messages", "extra_data", "metadata")

# A required reference that is null: most serializers refuse it; for these, the model does, in other words.
NULL_REFUSED_BY_MODEL = {
    ("inventories", "organization"): BLANK,
    ("inventory_sources", "inventory"): BLANK,
}
# Choices that may not be null, where null is an empty text for the others.
NULL_CHOICES_REFUSED = {("inventory_sources", "source")}
# Choices that OPTIONS does not offer and the serializer knows all the same: the rules of the kind refuse them.
MORE_CHOICES = {
    ("credential_types", "kind"): (
        ["ssh", "vault", "scm", "registry", "token", "insights", "external", "kubernetes", "galaxy", "cryptography"]
    )
}
# References whose null is not complained of before what the rules of the kind say.
NULL_LEFT_TO_RULES = {("notification_templates", "organization")}
# Texts that may not be blank although they are not required.
NEVER_BLANK = {("workflow_job_template_nodes", "identifier")}
# Texts whose own rule refuses what is blank, in its words.
NULL_TEXT_LEFT_TO_RULES = {("execution_environments", "image")}

# What a field refers to; any other field of the type "id" refers to the kind with its own name.
REFERENCES = {
    "default_environment": "execution_environment",
    "signature_validation_credential": "credential",
    "webhook_credential": "credential",
    "source_project": "project",
    "source_credential": "credential",
    "target_credential": "credential",
    # The job of a workflow's node may be of any kind.
    "job": "unified_job",
}


class Invalid(Exception):
    """What is wrong with one field."""


def referred_kind(name: str) -> str:
    """Return the kind of object that a field refers to."""
    return REFERENCES.get(name, name)


class Fields:
    """The fields of one endpoint."""

    def __init__(self, endpoint: str, definitions: Mapping[str, Mapping[str, Any]], database: Database) -> None:
        self._endpoint = endpoint
        self._definitions = definitions
        self._database = database

    def defaults(self) -> dict[str, Any]:
        """Return what the fields are when nothing is given."""
        return {name: _default(definition) for name, definition in self._definitions.items()}

    def read(self, body: Mapping[str, Any], partial: bool = False) -> dict[str, Any]:
        """Return the fields that a body gives; raise a Refusal for those that are wrong.

        Fields that AWX does not know are ignored. In a partial change, nothing is required.
        """
        found: dict[str, Any] = {}
        wrong: dict[str, list[str]] = {}
        for name, definition in self._definitions.items():
            try:
                if name in body:
                    found[name] = self._check(name, definition, body[name])
                elif definition.get("required") and not partial:
                    raise Invalid(REQUIRED)
            except Invalid as error:
                wrong[name] = [str(error)]
        if wrong:
            raise Refusal(400, wrong)
        return found

    def _check(self, name: str, definition: Mapping[str, Any], value: Any) -> Any:
        field = (self._endpoint, name)
        kind = "text of variables" if name in TEXTS_OF_VARIABLES else definition["type"]
        if name == "rrule" or kind in ("string", "text of variables"):
            return _text(field, definition, value, kind == "text of variables")
        if kind == "id":
            return self._reference(field, definition, value)
        return CHECKS.get(kind, _anything)(field, definition, value)

    def _reference(self, field: tuple[str, str], definition: Mapping[str, Any], value: Any) -> int | None:
        if value is None or value == "":
            if not definition.get("required") or field in NULL_LEFT_TO_RULES:
                return None
            raise Invalid(NULL_REFUSED_BY_MODEL.get(field, NOT_NULL))
        if isinstance(value, bool) or not str(value).isdigit():
            raise Invalid(f"Incorrect type. Expected pk value, received {type(value).__name__}.")
        if self._database.get(referred_kind(field[1]), int(value)) is None:
            raise Invalid(bad_id(value))
        return int(value)


def _default(definition: Mapping[str, Any]) -> Any:
    if "default" in definition:
        return copy.deepcopy(definition["default"])
    if definition["type"] == "choice":
        return "" if "" in definition["choices"] else None
    return "" if definition["type"] == "string" else None


def _text(field: tuple[str, str], definition: Mapping[str, Any], value: Any, is_variables: bool) -> str | None:
    if value is None:
        if definition.get("default", "") is None:
            return None
        if definition.get("required") and field not in NULL_TEXT_LEFT_TO_RULES:
            raise Invalid(NOT_NULL if field[1] == "rrule" else BLANK)
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Invalid("Not a valid string.")
    text = str(value)
    if not text.strip() and (definition.get("required") or field in NEVER_BLANK):
        raise Invalid(NOT_BLANK)
    longest = definition.get("max_length")
    if longest and len(text) > longest:
        raise Invalid(f"Ensure this field has no more than {longest} characters.")
    if is_variables:
        variables_of(text)
    return text


def variables_of(text: str) -> dict[str, Any]:
    """Return the variables in a text of JSON or YAML."""
    try:
        found = json.loads(text)
        _must_be_object(found)
        return found
    except (ValueError, TypeError) as no_json:
        try:
            found = yaml.safe_load(text)
            if found is None:
                return {}
            _must_be_object(found)
            return found
        except (yaml.YAMLError, TypeError) as no_yaml:
            raise Invalid(f"Cannot parse as JSON (error: {no_json}) or YAML (error: {no_yaml}).") from no_yaml


def _must_be_object(found: Any) -> None:
    if not isinstance(found, dict):
        raise TypeError(f"Input type `{type(found).__name__}` is not a dictionary")


def _boolean(_field: tuple[str, str], definition: Mapping[str, Any], value: Any) -> bool | None:
    if value is None and definition.get("default", False) is None:
        return None
    if value is None:
        raise Invalid(NOT_NULL)
    if isinstance(value, (str, int)):
        if value in TRUE:
            return True
        if value in FALSE:
            return False
    raise Invalid("Must be a valid boolean.")


def _integer(_field: tuple[str, str], definition: Mapping[str, Any], value: Any) -> int | None:
    if value is None:
        return definition.get("default")
    if isinstance(value, bool) or not str(value).removeprefix("-").isdigit():
        raise Invalid("A valid integer is required.")
    number = int(value)
    if number < definition.get("min_value", number):
        raise Invalid(f"Ensure this value is greater than or equal to {definition['min_value']}.")
    if number > definition.get("max_value", number):
        raise Invalid(f"Ensure this value is less than or equal to {definition['max_value']}.")
    return number


def _choice(field: tuple[str, str], definition: Mapping[str, Any], value: Any) -> Any:
    choices = [*definition["choices"], *MORE_CHOICES.get(field, ())]
    if value is None:
        if None in choices:
            return None
        if field in NULL_CHOICES_REFUSED:
            raise Invalid(NOT_NULL)
        value = ""
    for choice in choices:
        if choice is not None and str(choice) == str(value):
            return choice
    raise Invalid(f'"{value}" is not a valid choice.')


def _anything(_field: tuple[str, str], _definition: Mapping[str, Any], value: Any) -> Any:
    return copy.deepcopy(value)


CHECKS: dict[str, Callable[[tuple[str, str], Mapping[str, Any], Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "choice": _choice,
}
