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
# Not str.isdigit, which is true for superscripts, too.
_DIGITS = re.compile(r"[0-9]{1,18}")
_EPOCH_TIME = re.compile(r"[0-9]{9,11}")
_EDGE_TOKEN = re.compile(r"(?:^|~)exp=([0-9]{9,11})(?:~|$)")
_WEB_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]*")
_B2_TOKEN = re.compile(r"[0-9]_[0-9]{8}")
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
    readers = (
        *(_signed_for_seconds, _shared_access, _signed_until, _by_policy, _by_temporary_url, _by_key_time),
        *(_by_edge_token, _by_secure_link, _by_verification, _by_web_token),
    )
    for read in readers:
        found = read(query)
        if found is not None:
            return found
    if "tempauth" in query:
        return Expiry("temporary token of SharePoint", None)
    return _by_service(url, query)


def _signed_for_seconds(query: dict[str, str]) -> Expiry | None:
    """S3 (version 4) and compatible stores."""
    for vendor, kind in (("amz", "S3 signature"), ("goog", "Google Cloud signature"), ("oss", "OSS signature")):
        signed = _time(query.get(f"x-{vendor}-date", ""), _COMPACT_TIME)
        lasts = query.get(f"x-{vendor}-expires", "")
        if signed and _DIGITS.fullmatch(lasts):
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
    if any(name in query for name in _SIGNED_WITH_EXPIRES) and _DIGITS.fullmatch(query.get("expires", "")):
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
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return None


def _by_temporary_url(query: dict[str, str]) -> Expiry | None:
    """OpenStack Swift, and Ceph with its Swift API."""
    until = query.get("temp_url_expires", "")
    if "temp_url_sig" not in query:
        return None
    ends = _later(_EPOCH, int(until)) if _DIGITS.fullmatch(until) else _time(until, *_SAS_TIMES)
    return Expiry("temporary URL", ends) if ends else None


def _by_key_time(query: dict[str, str]) -> Expiry | None:
    """Tencent Cloud: the beginning and the end."""
    found = re.fullmatch(r"([0-9]{1,18});([0-9]{1,18})", query.get("q-sign-time", ""))
    return Expiry("signature", _later(_EPOCH, int(found[2])), _later(_EPOCH, int(found[1]))) if found else None


def _by_secure_link(query: dict[str, str]) -> Expiry | None:
    """nginx (secure_link) and CDNs with a hash and the end beside it, such as Bunny."""
    hashed = any(query.get(name) for name in ("md5", "st", "token", "hash", "sig", "sign", "signature", "hmac", "key"))
    until = next((query[name] for name in ("expires", "expire", "exp", "e") if name in query), "")
    return Expiry("signature", _later(_EPOCH, int(until))) if hashed and _EPOCH_TIME.fullmatch(until) else None


def _by_edge_token(query: dict[str, str]) -> Expiry | None:
    """Akamai: fields in one parameter, whose name is configurable."""
    for value in query.values():
        found = _EDGE_TOKEN.search(value)
        if found and "hmac=" in value:
            return Expiry("token", _later(_EPOCH, int(found[1])))
    return None


def _by_verification(query: dict[str, str]) -> Expiry | None:
    """Cloudflare. Whether the time is that of the signature or the end depends on its rule: the earlier is assumed."""
    found = re.fullmatch(r"(\d{9,11})-.+", query.get("verify", ""))
    return Expiry("signature", _later(_EPOCH, int(found[1]))) if found else None


def _by_web_token(query: dict[str, str]) -> Expiry | None:
    """A JSON web token in any parameter."""
    for value in query.values():
        if not _WEB_TOKEN.fullmatch(value):
            continue
        middle = value.split(".")[1]
        try:
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
            until = claims.get("exp") if isinstance(claims, dict) else None
            if isinstance(until, (int, float)) and not isinstance(until, bool):
                return Expiry("token", _later(_EPOCH, int(until)))
        except (ValueError, OverflowError, RecursionError):
            continue
    return None


def _by_service(url: str, query: dict[str, str]) -> Expiry | None:
    """Addresses that a service makes for one download, without the end in them."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    if _B2_TOKEN.match(query.get("authorization", "")):
        return Expiry("token of Backblaze B2", None)
    if host.endswith(".dl.dropboxusercontent.com") and parts.path.startswith("/cd/"):
        return Expiry("temporary address of Dropbox", None)
    if host.endswith(".boxcloud.com") and parts.path.startswith("/d/1/"):
        return Expiry("temporary address of Box", None)
    return None


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
