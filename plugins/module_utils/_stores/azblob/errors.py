# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Error messages for the answers of Azure Blob Storage.

They are made from the error code alone, because the error text of the SDK may contain an address with its signature.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._http.headers import http_date
from ..._http.session import retry_after
from ..base import StoreFull
from .access import Access, Container

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_TRANSIENT_CODES = ("ServerBusy", "OperationTimedOut", "InternalError", "ContainerBeingDeleted", "Md5Mismatch")
# Seconds. Azure refuses requests with a larger clock difference.
_MOST_SKEW = 15 * 60.0

_SENTENCES = {
    "AccountIsDisabled": "the storage account is disabled. Ask its administrators.",
    "AuthorizationSourceIPMismatch": "sas_token does not allow the address of this machine. Create one without an IP "
    "range.",
    "AuthorizationProtocolMismatch": "sas_token is not for HTTPS. Create a new one.",
    "AuthorizationResourceTypeMismatch": "sas_token is not for this kind of resource. Create one with srt=co.",
    "AuthorizationServiceMismatch": "sas_token is not for the blob service. Create one with ss=b.",
    "BlobArchived": "the blob is in the archive tier, so it cannot be downloaded. Rehydrate it first.",
    "BlobImmutableDueToPolicy": (
        "an immutability policy or a legal hold of the container prevents changing or removing the blob. Ask the "
        "administrators, or choose another name."
    ),
    "BlockCountExceedsLimit": (
        "too many blocks of unfinished uploads exist under this name. Azure drops them after a week: wait, or choose "
        "another name."
    ),
    "InvalidBlobOrBlock": (
        "another program has started an upload under this name. Azure drops it after a week: wait, or choose another "
        "name."
    ),
    "InvalidBlobType": "the existing blob with this name is not a block blob. Choose another name, or remove it.",
    "KeyBasedAuthenticationNotPermitted": (
        "account keys are disabled for this storage account. Set token instead "
        "(az account get-access-token --resource https://storage.azure.com/)."
    ),
    "LeaseIdMissing": "the blob has an active lease. End the lease, then run the same command again.",
    "RequestBodyTooLarge": "the block is too large. Set a smaller part_size.",
    "AccountBeingCreated": "the storage account is still being created. Wait a few minutes, then run the same command "
    "again.",
}
_TOO_OLD_SERVER = (
    "it does not support the protocol version of the installed azure-storage-blob. Install an older one on this "
    "machine (12.14 or newer)."
)
# The permissions of a signature that requests need.
_RIGHTS = {"upload": "write", "file lookup": "read", "download": "read", "file listing": "list"}


def code_of(error: Any) -> str:
    """Return the code of an HttpResponseError, such as C(ContainerNotFound); empty where there is none."""
    code = getattr(error, "error_code", None)
    if not code and error.response is not None:
        code = error.response.headers.get("x-ms-error-code")
    return str(getattr(code, "value", code) or "")


class Judge:
    """Finds the message for an answer of a container."""

    def __init__(self, container: Container, access: Access) -> None:
        self._container = container
        self._access = access

    def understood(self, error: Any, doing: str) -> Exception:
        """Return what to raise for an HttpResponseError: RetryLater for transient failures, else TaskError."""
        response = error.response
        if response is None:
            return RetryLater(f"{self._container.host} interrupted the {doing}.")
        status, code = response.status_code, code_of(error)
        said = f"{self._container.host} answered {status}{f' {code}' if code else ''} to the {doing}"
        if status == 507 or "Quota" in code:
            return StoreFull(
                f"{said}: the storage account is full. Free up space, or ask its administrators for more.",
                status=status,
            )
        if status in TRANSIENT or code in _TRANSIENT_CODES:
            return RetryLater(f"{said}.", after=retry_after(response), status=status)
        if (status in (401, 403) or code == "InvalidAuthenticationInfo") and self._access.is_over():
            return self._access.ended()
        details = {str(key).lower(): value for key, value in (getattr(error, "additional_info", None) or {}).items()}
        return TaskError(f"{said}: {self._why(status, code, doing, response.headers, details)}", status=status)

    def _why(self, status: int, code: str, doing: str, headers: Mapping[str, str], details: Mapping[str, Any]) -> str:
        if code in ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"):
            return self._not_let_in(headers)
        if code in ("AuthorizationPermissionMismatch", "UnauthorizedBlobOverwrite", "InsufficientAccountPermissions"):
            return self._access.lacks(_RIGHTS.get(doing, "delete"))
        if code == "AuthorizationFailure":
            return (
                "the firewall of the storage account blocks this machine, or the account does not accept "
                f"{self._access.kind}. Check {self._access.kind}, and ask the administrators of the account."
            )
        if code in _SENTENCES:
            return _SENTENCES[code]
        if code in ("ContainerNotFound", "ContainerDisabled"):
            return (
                f"the container {self._container.name} does not exist in the storage account "
                f"{self._container.account}. Create it, or correct destination."
            )
        if code in ("InvalidHeaderValue", "UnsupportedHeader", "InvalidQueryParameterValue"):
            if str(details.get("headername", "")).lower() == "x-ms-version":
                return _TOO_OLD_SERVER
            if str(details.get("headername", "")).lower() == "x-ms-access-tier":
                return "the storage account does not have that access tier. Correct azblob_tier."
        if status == 401:
            return self._not_let_in(headers)
        if status == 403:
            return self._access.lacks(_RIGHTS.get(doing, "delete"))
        if status == 404:
            return "it does not exist. Check destination and endpoint_url."
        if status == 413:
            return _SENTENCES["RequestBodyTooLarge"]
        return (
            "this answer is unexpected. Check destination and endpoint_url, and look up the code in Azure's "
            "documentation."
        )

    def _not_let_in(self, headers: Mapping[str, str]) -> str:
        skew = _skew(headers)
        if abs(skew) > _MOST_SKEW:
            side = "ahead" if skew < 0 else "behind"
            return (
                f"the clock of this machine is {abs(skew) / 60:.0f} minutes {side}, and Azure refuses requests with a "
                "wrong time. Set the clock."
            )
        return {
            "account_key": f"account_key is not a key of the storage account {self._container.account}. Check both.",
            "sas_token": (
                "sas_token is not accepted: it was altered, or the key that signed it was revoked. "  # nosec B105 # words
                "Create a new one."
            ),
            "token": (
                "the token is not accepted: it has expired, or it is not for Azure Storage. "  # nosec B105 # words
                "Get a new one (az account get-access-token --resource https://storage.azure.com/)."
            ),
        }[self._access.kind]


def _skew(headers: Mapping[str, str]) -> float:
    """Return by how many seconds the server's clock is ahead."""
    date = http_date(headers.get("Date", ""))
    return 0.0 if date is None else date - time.time()
