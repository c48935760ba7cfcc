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
from ..base import StoreOptions
from .errors import CONDITION_FAILED, NOT_SUPPORTED, WRONG_CHECKSUM, Refused
from .uploads import digests_of

TINY = b"macops.parallels"

# Writes the tiny file; takes C(checksum), C(digests), C(conditions) and C(accept), as S3Store does.
Put = Callable[..., None]


@dataclass(frozen=True)
class Support:
    """What a store supports."""

    # The digest that the store verifies: "sha256", "crc32", "md5", "none".
    checksum: str
    # Whether the store honors conditional writes.
    conditions: bool


def learn(put: Put, options: StoreOptions) -> Support:
    """Return what a store supports, and verify at the same time that it can be written to."""
    checksum = options.s3_checksum
    if options.endpoint_url is None:  # Amazon's own
        found = Support("sha256" if checksum == "auto" else checksum, conditions=True)
        put(checksum=found.checksum)
        return found
    if checksum == "auto":
        checksum = _best_checksum(put)
    _put_with(put, checksum)
    return Support(checksum, _honors_conditions(put))


def _best_checksum(put: Put) -> str:
    """Return the best digest that the store verifies. Only a wrong digest shows whether it does."""
    wrong: Mapping[str, Any] = digests_of(b"other bytes")
    for checksum in ("sha256", "md5"):
        try:
            put(checksum=checksum, digests=wrong)
        except (RetryLater, TaskError) as error:
            code = error.details.get("code")
            if code in WRONG_CHECKSUM and _takes(put, checksum):
                return checksum
            if code not in (*WRONG_CHECKSUM, *NOT_SUPPORTED):
                raise
    return "none"


def _takes(put: Put, checksum: str) -> bool:
    """Return whether the store accepts a correct digest, rather than refusing all."""
    try:
        put(checksum=checksum)
    except TaskError as error:
        if error.details.get("code") in WRONG_CHECKSUM:
            return False
        raise
    return True


def _put_with(put: Put, checksum: str) -> None:
    try:
        put(checksum=checksum)
    except TaskError as error:
        if checksum != "none" and error.details.get("code") in (*WRONG_CHECKSUM, *NOT_SUPPORTED):
            add_sentence(error, f"The checksum {checksum} may be the cause: set s3_checksum to auto.")
        raise


def _honors_conditions(put: Put) -> bool:
    """Return whether the store refuses to replace a file with C(If-None-Match)."""
    try:
        put(conditions={"If-None-Match": "*"}, accept=(*CONDITION_FAILED, *NOT_SUPPORTED))
    except Refused as refused:
        return refused.code in CONDITION_FAILED
    except TaskError as error:
        if error.details.get("code") in WRONG_CHECKSUM:  # some answer this to a header that they do not support
            return False
        raise
    return False
