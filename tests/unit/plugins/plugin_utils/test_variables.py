# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the roles: what is given, and the sentence for what is wrong."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.macops.parallels.plugins.plugin_utils import _variables
from ansible_collections.macops.parallels.plugins.plugin_utils._variables import is_blank, options_of, problem_of

BUILD = ("macops.parallels.prepare_mac", "macops.parallels.publish_image")


class Templar:
    """Evaluates nothing, but fails where it is told to."""

    def template(self, value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_variables, "_text_keeping", lambda templar: templar)


def problem(name: str, value: Any, **option: Any) -> Any:
    spec = option or options_of(["macops.parallels.retire_images", "macops.parallels.verify_images", *BUILD])[name]
    return problem_of(name, spec, {name: value}, Templar())


@pytest.mark.parametrize("value", [None, "", " ", "\n\t"])
def test_what_is_blank_is_not_given(value: Any) -> None:
    assert is_blank(value)
    for name, option in options_of(BUILD).items():
        said = problem_of(name, option, {name: value}, Templar())
        assert (said is not None) is bool(option.get("required")), name
        if said:
            assert said.startswith(f"{name} is not set. Set it: "), said


@pytest.mark.parametrize("value", [0, False, "0", "no", [], {}])
def test_what_is_not_blank(value: Any) -> None:
    assert not is_blank(value)


def test_the_roles_need_what_they_depend_on() -> None:
    required = {name for name, option in options_of(BUILD).items() if option["required"]}
    assert required == {"image_destination", "image_name", "image_source_vm", "image_version"}
    assert {name for name, option in options_of(["macops.parallels.retire_images"]).items() if option["required"]} == {
        "image_destination"
    }
    assert options_of(["somebody.elses.role", "role"]) == {}


# What YAML, and so ansible-core 2.19 and newer from a survey of AWX, makes of text; and the words for it.
NOT_TEXT = [
    (2026.10, "a number (2026.1)"),
    (42798, "a number (42798)"),
    (True, "true or false (True)"),
    (date(2026, 11, 1), "a date (2026-11-01)"),
    (datetime(2026, 11, 1, 3), "a date (2026-11-01 03:00:00)"),
    (["a"], "a list (['a'])"),
    ({"a": 1}, "a dictionary ({'a': 1})"),
]


@pytest.mark.parametrize(("value", "words"), NOT_TEXT)
@pytest.mark.parametrize(
    "name", [name for name, option in options_of(BUILD).items() if option["type"] in ("str", "path")]
)
def test_text_that_is_not_text_is_refused(name: str, value: Any, words: str) -> None:
    said = problem(name, value)
    if name in _variables.SIZES and value == 42798:
        assert said is None
        return
    secret = bool(options_of(BUILD)[name].get("no_log"))
    shown = words.partition(" (")[0] + "." if secret else words
    assert said.startswith(f"{name} is not text, because it was read as {shown}")
    assert "\n" not in said
    assert len(said) < 300
    if secret:
        assert str(value) not in said


def test_a_version_is_asked_for_in_three_parts() -> None:
    for name in ("image_version", "image_retire_version"):
        assert "Give it as text with three parts: 2026.10.0." in problem(name, 2026.10)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("image_clone", "perhaps", "image_clone is 'perhaps'. Set it to true or false."),
        ("image_clone", 2, "image_clone is '2'. Set it to true or false."),
        ("image_keep", 3.0, "image_keep is '3.0'. Set it to a whole number."),
        ("image_keep", "3.5", "image_keep is '3.5'. Set it to a whole number."),
        ("image_keep", 3.5, "image_keep is '3.5'. Set it to a whole number."),
        ("image_keep", True, "image_keep is 'True'. Set it to a whole number."),
        ("image_link_proof", "ful\x1b", r"image_link_proof is 'ful\x1b'. Set it to headers, sample or full."),
        (
            "image_destination",
            "https://a.example/ ",
            "image_destination begins or ends with a blank or a line break. Remove it.",
        ),
        (
            "image_store_s3_tags",
            {"a": True},
            "image_store_s3_tags is not text at 'a'. Put the value in quotes in YAML.",
        ),
    ],
)
def test_a_value_that_is_not_valid(name: str, value: Any, sentence: str) -> None:
    assert problem(name, value) == sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_clone", "True"),
        ("image_clone", "no"),
        ("image_clone", 0),
        ("image_keep", "3"),
        ("image_link_proof", "full"),
        ("image_store_part_size", 1024),
        ("image_store_part_size", "64M"),
        ("image_store_s3_tags", {"a": "b", "n": 1}),
        ("image_store_s3_tags", "a=b"),
        ("image_version", "2026.10"),
        ("image_store_password", "0123456"),
        ("image_description", " with blanks\n"),
    ],
)
def test_a_value_that_is_valid(name: str, value: Any) -> None:
    assert problem(name, value) is None


def test_a_secret_that_lacks_its_variable() -> None:
    said = problem(
        "image_store_password", AnsibleUndefinedVariable("'vault_store' is undefined. 'vault_store' is undefined")
    )
    assert said == (
        "image_store_password needs the variable vault_store, which is not defined. Define it, for example in a vault "
        "file or with an AWX credential."
    )


def test_what_depends_on_a_later_stage_is_judged_later() -> None:
    assert problem("image_description", AnsibleUndefinedVariable("'prepare_mac_source' is undefined")) is None
    assert problem("image_output_dir", AnsibleUndefinedVariable("'of_a_hook' is undefined")) is None
    assert "needs the variable other" in problem("image_version", AnsibleUndefinedVariable("'other' is undefined"))


def test_a_template_that_fails_shows_no_secret() -> None:
    assert problem("image_title", AnsibleError("no filter\nnamed 'x'")) == (
        "The template of image_title cannot be evaluated: no filter named 'x'. Correct it."
    )
    assert problem("image_store_token", AnsibleError("cannot decode 'tok3n'")) == (
        "The template of image_store_token cannot be evaluated. Correct it."
    )
