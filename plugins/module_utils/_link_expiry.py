# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""When a link ends: read from the signature in its query, as the clouds write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# What these clouds write as the time of a signature.
_COMPACT_TIME = "%Y%m%dT%H%M%SZ"
_SAS_TIMES = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%fZ")
_SIGNED_WITH_EXPIRES = ("signature", "key-pair-id", "googleaccessid", "awsaccesskeyid", "ossaccesskeyid")


@dataclass(frozen=True)
class Expiry:
    """The end of a link: C(kind) says what ends; C(ends) is None when the end is near but not written in the link."""

    kind: str
    ends: datetime | None
    # When the signature was made, where that is written.
    signed: datetime | None = None


def read_expiry(url: str) -> Expiry | None:
    """Return when a link ends, None for one that does not tell."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    for vendor, kind in (("amz", "S3 signature"), ("goog", "Google Cloud signature")):
        signed = _time(query.get(f"x-{vendor}-date", ""), _COMPACT_TIME)
        lasts = query.get(f"x-{vendor}-expires", "")
        if signed and lasts.isdigit():
            return Expiry(kind, _later(signed, int(lasts)), signed)
    if "sig" in query and "se" in query:
        ends = _time(query["se"], *_SAS_TIMES)
        return Expiry("shared access signature", ends, _time(query.get("st", ""), *_SAS_TIMES)) if ends else None
    if any(name in query for name in _SIGNED_WITH_EXPIRES) and query.get("expires", "").isdigit():
        return Expiry("signature", _later(datetime.fromtimestamp(0, timezone.utc), int(query["expires"])))
    if "tempauth" in query:
        return Expiry("temporary token of SharePoint", None)
    return None


def ends_by_policy(url: str) -> str | None:
    """Return the name of the stored access policy that says when an Azure link ends, where the link itself does not."""
    query = dict(parse_qsl(urlsplit(url).query))
    return query.get("si") if "sig" in query and "se" not in query else None


def _time(text: str, *formats: str) -> datetime | None:
    text = re.sub(r"(\.\d{6})\d+Z$", r"\1Z", text)  # Azure writes tenths of microseconds
    for each in formats:
        try:
            return datetime.strptime(text, each).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    return None


def _later(start: datetime, seconds: int) -> datetime:
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError:  # as good as never
        return datetime.max.replace(tzinfo=timezone.utc)
