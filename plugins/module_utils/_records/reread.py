# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Records that went through YAML, as AWX passes them to the next job of a workflow.

With ansible-core 2.19 and newer, a time comes back as a date, a blank text as null, and a version as a number. Nothing
is guessed: a name or version is taken from the name of the file, and what cannot be known stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .._common.errors import TaskError
from .._common.files import IMAGE_SUFFIX
from .record import SOURCE_FIELDS, TIME_FORMAT

_TEXTS = ("title", "description", "parallels", "reason", "signed_by", "signed_for", "signature")
# What only informs. A number in it is shown as it is.
_FACTS = ("parallels",)


def reread_records(records: Any) -> Any:
    """Return records, or the JSON text of them, as they were before YAML."""
    if isinstance(records, str):
        try:
            records = json.loads(records)
        except ValueError:
            raise TaskError("The records are text that is not JSON. Pass the records, or their JSON text.") from None
    if isinstance(records, (Mapping, str)):
        return records
    return [_reread(record) if isinstance(record, Mapping) else record for record in records]


def _reread(record: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {key: _time(value) for key, value in record.items()}
    fixed.update({key: "" for key in _TEXTS if key in fixed and fixed[key] is None})
    fixed.update({key: _shown(fixed[key]) for key in _FACTS if key in fixed})
    source = fixed.get("source")
    if isinstance(source, Mapping):
        fixed["source"] = {key: _shown(value) if key in SOURCE_FIELDS else value for key, value in source.items()}
    readiness = fixed.get("readiness")
    if isinstance(readiness, Mapping) and "guest_answered_at" in readiness:
        # Empty for a guest that did not answer.
        fixed["readiness"] = {**readiness, "guest_answered_at": _shown(_time(readiness["guest_answered_at"]))}
    name, version, file = fixed.get("name"), fixed.get("version"), fixed.get("file")
    end = f"-{fixed.get('arch')}{IMAGE_SUFFIX}"
    if isinstance(file, str) and file.endswith(end):
        stem = file[: -len(end)]
        if isinstance(name, str) and not isinstance(version, str) and stem.startswith(f"{name}-"):
            fixed["version"] = stem[len(name) + 1 :]
        if isinstance(version, str) and not isinstance(name, str) and stem.endswith(f"-{version}"):
            fixed["name"] = stem[: -len(version) - 1]
    return fixed


def _time(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    # Without a zone, it is UTC: no other is written.
    return (value.astimezone(timezone.utc) if value.tzinfo else value).strftime(TIME_FORMAT)


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
