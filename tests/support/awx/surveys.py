# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys: what may be saved, and which answers a launch takes (AWX 24.6.1, recorded: survey)."""

from __future__ import annotations

import copy
from typing import Any

from .refusals import Refusal

ENCRYPTED = "$encrypted$"
TYPES = ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
TEXT_TYPES = ("text", "textarea", "password")
CHOICE_TYPES = ("multiplechoice", "multiselect")
# What a default must be: the types, and how AWX calls them. An integer's may be blank.
DEFAULTS: dict[str, tuple[tuple[type, ...], str]] = {"integer": ((int,), "integer"), "float": ((float, int), "float")}
STRING_DEFAULT: tuple[tuple[type, ...], str] = ((str,), "string")

# The keys of a survey, and of a question, with their types, in the order in which AWX looks at them.
TOP_KEYS: tuple[tuple[str, type, str], ...] = (
    ("name", str, "string"),
    ("description", str, "string"),
    ("spec", list, "list of items"),
)
QUESTION_KEYS: tuple[tuple[str, type, str], ...] = (
    ("type", str, "string"),
    ("question_name", str, "string"),
    ("variable", str, "string"),
    ("required", bool, "boolean"),
)


def _refused(text: str) -> Refusal:
    return Refusal(400, {"error": text})


def checked(survey: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Return the survey to save, with the passwords that the saved one has; raise a Refusal for a wrong one."""
    survey = copy.deepcopy(survey)
    for key, _kind, _name in TOP_KEYS:
        if key not in survey:
            raise _refused(f"Field '{key}' is missing from survey spec.")
    for key, kind, name in TOP_KEYS:
        if not isinstance(survey[key], kind):
            raise _refused(f"Expected {name} for field '{key}', received {type(survey[key]).__name__} type.")
    if not survey["spec"]:
        raise _refused("'spec' doesn't contain any items.")
    seen: set[str] = set()
    saved = {question["variable"]: question for question in old.get("spec", [])}
    for number, question in enumerate(survey["spec"]):
        _check_question(number, question, seen, saved)
        seen.add(question["variable"])
    return survey


def _check_question(number: int, question: Any, seen: set[str], saved: dict[str, Any]) -> None:
    where = f"survey question {number}"
    if not isinstance(question, dict):
        raise _refused(f"Survey question {number} is not a json object.")
    for key, _kind, _name in QUESTION_KEYS:
        if key not in question:
            raise _refused(f"'{key}' missing from {where}")
    for key, kind, name in QUESTION_KEYS:
        if not isinstance(question[key], kind):
            raise _refused(f"'{key}' in {where} expected to be {name}.")
    if question["type"] not in TYPES:
        raise _refused(f"'{question['type']}' in {where} is not one of '{', '.join(TYPES)}' allowed question types.")
    if question["variable"] in seen:
        raise _refused(f"'variable' '{question['variable']}' duplicated in {where}.")
    if question["type"] in CHOICE_TYPES and "choices" not in question:
        raise _refused(f"Survey question {number} of type {question['type']} must specify choices.")
    for limit in ("min", "max"):
        value = question.get(limit)
        if value not in (None, "") and (isinstance(value, bool) or not isinstance(value, int)):
            raise _refused(f"The {limit} limit in {where} expected to be integer.")
    if "default" in question:
        _check_default(number, question, saved)


def _check_default(number: int, question: dict[str, Any], saved: dict[str, Any]) -> None:
    where, default, kind = f"survey question {number}", question["default"], question["type"]
    if default == ENCRYPTED:
        if kind != "password":
            raise _refused(f"{ENCRYPTED} is a reserved keyword for password question defaults, {where} is type {kind}.")
        before = saved.get(question["variable"], {})
        if before.get("type") != "password" or not before.get("default"):
            raise _refused(f"{ENCRYPTED} is a reserved keyword, may not be used for new default in position {number}.")
        question["default"] = before["default"]
        return
    types, name = DEFAULTS.get(kind, STRING_DEFAULT)
    if not isinstance(default, types) and not (kind in DEFAULTS and default == ""):
        raise _refused(f"Default value {default} in {where} expected to be {name}.")
    if kind in CHOICE_TYPES and default:
        chosen = default.splitlines() if kind == "multiselect" else [default]
        if any(choice not in choices_of(question) for choice in chosen):
            raise _refused("Default choice must be answered from the choices listed.")


def shown(survey: dict[str, Any]) -> dict[str, Any]:
    """Return a survey as AWX shows it: as it was posted, but for passwords."""
    survey = copy.deepcopy(survey)
    for question in survey.get("spec", []):
        if question["type"] == "password" and question.get("default"):
            question["default"] = ENCRYPTED
    return survey


def choices_of(question: dict[str, Any]) -> list[Any]:
    """Return the choices of a question: a list, or a text with one choice a line."""
    choices = question.get("choices") or []
    return [line for line in choices.splitlines() if line.strip()] if isinstance(choices, str) else list(choices)


def wrong_answer(question: dict[str, Any], answers: dict[str, Any], required: bool = True) -> list[str]:
    """Return what is wrong with the answer to a question."""
    name, kind = question["variable"], question["type"]
    if kind == "password" and answers.get(name) == ENCRYPTED:
        return []
    if name not in answers:
        return [f"'{name}' value missing"] if question["required"] and required else []
    return _CHECKS[kind](question, name, answers[name])


def _limits(question: dict[str, Any], name: str, value: Any, size: Any, length: bool) -> list[str]:
    least, most = question.get("min"), question.get("max")
    found = []
    if least not in (None, "") and size < least:
        what = f"length is {size} must be" if length else "must be"
        found.append(f"'{name}' value {value} is too small ({what} at least {least}).")
    if most not in (None, "") and size > most:
        found.append(f"'{name}' value {value} is too large (must be no more than {most}).")
    return found


def _text(question: dict[str, Any], name: str, value: Any) -> list[str]:
    if not isinstance(value, str):
        return [f"Value {value} for '{name}' expected to be a string."]
    return _limits(question, name, value, len(value), length=True)


def _integer(question: dict[str, Any], name: str, value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"Value {value} for '{name}' expected to be an integer."]
    return _limits(question, name, value, value, length=False)


def _float(question: dict[str, Any], name: str, value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [f"Value {value} for '{name}' expected to be a numeric type."]
    return _limits(question, name, value, value, length=False)


def _choice(question: dict[str, Any], name: str, value: Any) -> list[str]:
    choices = choices_of(question)
    return [] if value in choices else [f"Value {value} for '{name}' expected to be one of {choices}."]


def _choices(question: dict[str, Any], name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        return [f"'{name}' value is expected to be a list."]
    return [problem for each in value for problem in _choice(question, name, each)]


_CHECKS = {
    "text": _text,
    "textarea": _text,
    "password": _text,
    "integer": _integer,
    "float": _float,
    "multiplechoice": _choice,
    "multiselect": _choices,
}


def defaults(survey: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that unanswered questions give: those whose default passes as an answer."""
    return {
        question["variable"]: question["default"]
        for question in survey.get("spec", [])
        if question.get("default") is not None
        and not wrong_answer(question, {question["variable"]: question["default"]})
    }
