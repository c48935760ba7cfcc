# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""When a link expires: read from the signature in its query, in the formats of the clouds."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# Formats of these clouds for the time of a signature.
_COMPACT_TIME = "%Y%m%dT%H%M%SZ"
_SAS_TIMES = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%fZ")
# A signature made with temporary credentials expires with them, whatever its own lifetime says. None last longer.
_LONGEST_SESSION = timedelta(hours=36)
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_SIGNED_WITH_EXPIRES = ("signature", "key-pair-id", "googleaccessid", "awsaccesskeyid", "ossaccesskeyid")


@dataclass(frozen=True)
class Expiry:
    """The expiry of a link. C(kind) is what expires; C(ends) is None when it is near but not written in the link."""

    kind: str
    ends: datetime | None
    # When the signature was made, where that is written.
    signed: datetime | None = None


def read_expiry(url: str) -> Expiry | None:
    """Return when a link expires, None when the link does not contain it."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    for read in (_signed_for_seconds, _shared_access, _signed_until, _by_policy, _by_temporary_url, _by_key_time):
        found = read(query)
        if found is not None:
            return found
    if "tempauth" in query:
        return Expiry("temporary token of SharePoint", None)
    return None


def _signed_for_seconds(query: dict[str, str]) -> Expiry | None:
    """S3 (version 4) and compatible stores."""
    for vendor, kind in (("amz", "S3 signature"), ("goog", "Google Cloud signature"), ("oss", "OSS signature")):
        signed = _time(query.get(f"x-{vendor}-date", ""), _COMPACT_TIME)
        lasts = query.get(f"x-{vendor}-expires", "")
        if signed and lasts.isdigit():
            ends = _later(signed, int(lasts))
            if query.get("x-amz-security-token"):
                return Expiry(f"{kind} with temporary credentials", min(ends, signed + _LONGEST_SESSION), signed)
            return Expiry(kind, ends, signed)
    return None


def _shared_access(query: dict[str, str]) -> Expiry | None:
    """Azure."""
    ends = _time(query.get("se", ""), *_SAS_TIMES) if "sig" in query else None
    if ends is None:
        return None
    # The expiry of the user delegation key, which is never more than a week away.
    key_ends = _time(query.get("ske", ""), *_SAS_TIMES)
    return Expiry("shared access signature", min(ends, key_ends or ends), _time(query.get("st", ""), *_SAS_TIMES))


def _signed_until(query: dict[str, str]) -> Expiry | None:
    """S3 (version 2), CloudFront with a canned policy, Google Cloud (version 2), OSS (version 1)."""
    if any(name in query for name in _SIGNED_WITH_EXPIRES) and query.get("expires", "").isdigit():
        return Expiry("signature", _later(_EPOCH, int(query["expires"])))
    return None


def _by_policy(query: dict[str, str]) -> Expiry | None:
    """CloudFront with a custom policy: JSON in a special Base64 alphabet."""
    if "policy" not in query or "key-pair-id" not in query:
        return None
    text = query["policy"].translate(str.maketrans("-_~", "+=/"))
    try:
        statement = json.loads(base64.b64decode(text))["Statement"][0]
        return Expiry("signature", _later(_EPOCH, int(statement["Condition"]["DateLessThan"]["AWS:EpochTime"])))
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _by_temporary_url(query: dict[str, str]) -> Expiry | None:
    """OpenStack Swift, and Ceph with its Swift API."""
    until = query.get("temp_url_expires", "")
    if "temp_url_sig" not in query:
        return None
    ends = _later(_EPOCH, int(until)) if until.isdigit() else _time(until, *_SAS_TIMES)
    return Expiry("temporary URL", ends) if ends else None


def _by_key_time(query: dict[str, str]) -> Expiry | None:
    """Tencent Cloud: the beginning and the end."""
    found = re.fullmatch(r"(\d+);(\d+)", query.get("q-sign-time", ""))
    return Expiry("signature", _later(_EPOCH, int(found[2])), _later(_EPOCH, int(found[1]))) if found else None


def ends_by_policy(url: str) -> str | None:
    """Return the name of the stored access policy that sets the expiry of an Azure link which has none itself."""
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
