# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Finds out what an S3 store supports by writing a tiny file, because stores do not always do what they announce.

Some S3-compatible stores silently accept wrong digests, and replace files although the request forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ..._common.errors import TaskError, add_sentence
from ..._common.retry import RetryLater
from ..base import StoreFull, StoreOptions
from .errors import CONDITION_FAILED, NOT_SUPPORTED, WRONG_CHECKSUM, Refused
from .uploads import digests_of

TINY = b"macops.parallels"
# A store that answers this is busy, whatever the request.
_BUSY = (408, 425, 429, 502, 503, 504)

# Writes the tiny file; takes C(checksum), C(digests), C(conditions) and C(accept), as S3Store does.
Put = Callable[..., None]
# Writes it as images are written, in a multipart upload; takes the checksum.
PutInParts = Callable[[str], None]


@dataclass(frozen=True)
class Support:
    """What a store supports."""

    # The digest that the store verifies: "sha256", "crc32", "md5", "none".
    checksum: str
    # Whether the store honors conditional writes.
    conditions: bool


def learn(put: Put, options: StoreOptions, put_in_parts: PutInParts | None = None) -> Support:
    """Return what a store supports, and verify at the same time that it can be written to.

    Without C(put_in_parts), only what small files need is found out.
    """
    checksum = options.s3_checksum
    if options.endpoint_url is None:  # Amazon's own
        found = Support("sha256" if checksum == "auto" else checksum, conditions=True)
        put(checksum=found.checksum)
        return found
    if checksum == "auto":
        checksum = _best_checksum(put, put_in_parts)
    elif put_in_parts is not None and checksum != "none":
        _put_with(lambda checksum, **_unused: put_in_parts(checksum), checksum)
    _put_with(put, checksum)
    return Support(checksum, _honors_conditions(put))


def _best_checksum(put: Put, put_in_parts: PutInParts | None) -> str:
    """Return the best digest that the store verifies. Only a wrong digest shows whether it does.

    A multipart upload, in which images are sent, has the digest in each of its requests. Some stores or the gateways in
    front of them refuse it only there.

    Stores that do not know a digest refuse the whole request, and with very different codes: Google Cloud Storage
    reports a wrong signature, Ceph a wrong payload, Oracle a missing length. So the code does not matter. What matters
    is whether the store accepts the same request without a digest.
    """
    wrong: Mapping[str, Any] = digests_of(b"other bytes")
    for checksum in ("sha256", "md5"):
        refusal = _refusal(put, checksum, wrong)
        if refusal is None:  # the store ignores the digest
            continue
        supported = refusal.details.get("code") not in NOT_SUPPORTED and _refusal(put, checksum) is None
        if supported and (put_in_parts is None or _is_taken_in_parts(put_in_parts, checksum)):
            return checksum
    return "none"


def _is_taken_in_parts(put_in_parts: PutInParts, checksum: str) -> bool:
    """Return whether the store accepts a digest in a multipart upload. Raises errors with another cause."""
    try:
        put_in_parts(checksum)
    except StoreFull:
        raise
    except (RetryLater, TaskError) as error:
        # The same without the digest shows whether it is the cause; and once more with it, whether it was chance.
        try:
            put_in_parts("none")
        except (RetryLater, TaskError):
            raise error from None
        try:
            put_in_parts(checksum)
        except (RetryLater, TaskError):
            return False
    return True


def _refusal(put: Put, checksum: str, digests: Mapping[str, Any] | None = None) -> TaskError | RetryLater | None:
    """Return the store's refusal of a digest; None if it accepts the file. Raises errors with another cause."""
    try:
        put(checksum=checksum, digests=digests)
    except (RetryLater, TaskError) as error:
        if not _is_about_digest(put, checksum, digests, error):
            raise
        return error
    return None


def _is_about_digest(put: Put, checksum: str, digests: Mapping[str, Any] | None, error: TaskError | RetryLater) -> bool:
    """Return whether the digest is the cause of an error: the store accepts the same file without it."""
    code, status = str(error.details.get("code", "")), error.details.get("status") or 0
    if code in (*WRONG_CHECKSUM, *NOT_SUPPORTED):
        return True
    if isinstance(error, StoreFull) or status in _BUSY or (status < 500 and isinstance(error, RetryLater)):
        return False
    try:
        put(checksum="none")
    except (RetryLater, TaskError):
        return False
    if status < 500:
        return True
    # A store may also have failed by chance: once more, with the digest.
    try:
        put(checksum=checksum, digests=digests)
    except (RetryLater, TaskError) as again:
        return bool(again.details.get("code") == code)
    return False


def _put_with(put: Put, checksum: str) -> None:
    try:
        put(checksum=checksum)
    except (RetryLater, TaskError) as error:
        if checksum != "none" and _is_about_digest(put, checksum, None, error):
            advice = f"The checksum {checksum} may be the cause: set s3_checksum to auto."
            if isinstance(error, RetryLater):
                raise TaskError(f"{error.message} {advice}", **error.details) from error
            add_sentence(error, advice)
        raise


def _honors_conditions(put: Put) -> bool:
    """Return whether the store refuses to replace a file with C(If-None-Match).

    It has just accepted the same file without a condition: so any other refusal is about the header.
    """
    try:
        put(conditions={"If-None-Match": "*"}, accept=(*CONDITION_FAILED, *NOT_SUPPORTED))
    except Refused as refused:
        return refused.code in CONDITION_FAILED
    except StoreFull:
        raise
    except TaskError:
        return False
    return False
