# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How AWX says no: the shapes of its errors (AWX 24.6.1, recorded: protocol)."""

from __future__ import annotations

from typing import Any

FORBIDDEN = "You do not have permission to perform this action."
UNAUTHORIZED = "Authentication credentials were not provided. To establish a login session, visit /api/login/."
REQUIRED = "This field is required."
NOT_BLANK = "This field may not be blank."
NOT_NULL = "This field may not be null."
# What the model says, after the serializer let a null pass as an empty text.
BLANK = "This field cannot be blank."

ALL = "__all__"


class Refusal(Exception):
    """An answer other than success, with its body; None as a body is AWX's page for people."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def invalid(**fields: str | list[str] | dict[str, Any]) -> Refusal:
    """Return the refusal of fields: a list of texts for each of them."""
    return Refusal(400, {name: [text] if isinstance(text, str) else text for name, text in fields.items()})


def invalid_whole(text: str) -> Refusal:
    """Return the refusal of an object as a whole."""
    return Refusal(400, {ALL: [text]})


def forbidden(text: str = FORBIDDEN) -> Refusal:
    return Refusal(403, {"detail": text})


def unauthorized() -> Refusal:
    return Refusal(401, {"detail": UNAUTHORIZED})


def not_found(model: str) -> Refusal:
    return Refusal(404, {"detail": f"No {model} matches the given query."})


def no_such_page() -> Refusal:
    """Return the answer of an address that AWX does not have: a page for people."""
    return Refusal(404, None)


def no_such_method(method: str) -> Refusal:
    return Refusal(405, {"detail": f'Method "{method}" not allowed.'})


def bad_id(value: Any) -> str:
    return f'Invalid pk "{value}" - object does not exist.'
