# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Error messages for the refusals of an S3 store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..base import StoreFull

NOT_SUPPORTED = ("NotImplemented", "501", "MethodNotAllowed", "405", "XNotImplemented")
NOT_FOUND = ("NoSuchKey", "404", "NotFound")
GONE_UPLOAD = ("NoSuchUpload",)
CONDITION_FAILED = ("PreconditionFailed", "412")
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
WRONG_CHECKSUM = (
    "BadDigest",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
    "InvalidRequest",
    "InvalidArgument",
)

# Codes of other stores for conditions for which AWS has no code.
_FULL = re.compile(r"quota|storagefull|insufficientstorage|diskfull|507|toomanybuckets|spaceexceeded", re.IGNORECASE)
_THROTTLED = re.compile(r"slowdown|thrott|toomanyrequests|requestlimitexceeded|bandwidthlimit", re.IGNORECASE)
_TRANSIENT = (
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "OperationAborted",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
    "TemporaryRedirect",
)
# An operation that fails after the answer has begun with 200 is reported in the body; older releases of boto3 then
# return no code.
_TRANSIENT_STATUS = (200, 307, 408, 425, 429, 500, 502, 503, 504)
_WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
_ENCRYPTION = ("InvalidEncryptionAlgorithmError", "ServerSideEncryptionConfigurationNotFoundError")

# The permission that each request needs in a policy, by the name of the client's method.
PERMISSIONS = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "get_object": "s3:GetObject",
    "head_bucket": "s3:ListBucket",
    "head_object": "s3:GetObject",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_objects_v2": "s3:ListBucket",
    "list_parts": "s3:ListMultipartUploadParts",
    "put_object": "s3:PutObject",
    "upload_part": "s3:PutObject",
}
# Requests that set ACL, tags and encryption.
_WRITES = ("create_multipart_upload", "put_object")


@dataclass(frozen=True)
class Place:
    """The facts about a store for the messages."""

    url: str
    bucket: str
    # The server, as in "s3.example.com:9000".
    host: str
    region: str
    # False where the credentials come from the environment, a profile or a role.
    given_keys: bool
    has_session_token: bool = False
    acl: str | None = None
    tags: bool = False
    encryption: str | None = None
    storage_class: str | None = None

    def address(self, key: str) -> str:
        """Return the address of a file in the bucket for messages."""
        return f"s3://{self.bucket}/{key}"


class Refused(Exception):
    """The store refused a request with a code that the caller handles."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Refusal:
    """An error answer, without any text of the server."""

    operation: str
    code: str
    status: int
    # The region that the store reports for the bucket.
    region: str | None = None
    # Seconds; the delay that the store requests.
    after: float | None = None


def understood(refusal: Refusal, place: Place) -> Exception:
    """Return what to raise for a refusal."""
    code, status = refusal.code, refusal.status
    details: dict[str, Any] = {"status": status, "code": code}
    if _FULL.search(code) or status == 507:
        return StoreFull(
            f"{_said(refusal, place)}: the store is full, or the quota of the bucket is used up. Free up space in "
            f"{place.url}, or ask its administrators for more.",
            **details,
        )
    sentence = _final_sentence(refusal, place)
    if sentence is None and is_transient(code, status):
        words = "the store is too busy" if _THROTTLED.search(code) else "the store could not process the request"
        more = ""
        if place.encryption and code == "InternalError" and refusal.operation in _WRITES:
            more = " If that persists, the store may not support encryption: omit s3_encryption."
        return RetryLater(f"{_said(refusal, place)}: {words}.{more}", after=refusal.after, **details)
    if sentence is None:
        sentence = (
            f"{_said(refusal, place)}. Check the destination and its options, and ask the store's administrators what "
            "this code means."
        )
    return TaskError(sentence, **details)


_REGION = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def is_transient(code: str, status: int) -> bool:
    """Return whether the same request may succeed later."""
    return code in _TRANSIENT or bool(_THROTTLED.search(code)) or (status in _TRANSIENT_STATUS)


def wrong_region(place: Place, region: str | None) -> TaskError:
    """Return the error for a bucket of another region; what is not the name of one is not repeated."""
    region = region if region and _REGION.fullmatch(region) else None
    where = f"is in the region {region}" if region else "is in another region"
    advice = f"Set region to {region}" if region else "Set region to that of the bucket"
    return TaskError(f"The bucket {place.bucket} {where}, not in {place.region}. {advice}.", region=region)


def unclear_look(place: Place, name: str) -> TaskError:
    """Return the error for a refusal that may only mean that the file does not exist."""
    return TaskError(
        f"{place.host} does not report whether {name} exists in {place.url}: it answered 403 AccessDenied. It does so "
        "for a file that these credentials may not read, and for a missing file if they may not list the bucket. "
        f"Allow them s3:GetObject on the files below {place.url}, and s3:ListBucket on the bucket.",
        status=403,
        code="AccessDenied",
    )


def request_name(operation: str) -> str:
    """Return S3's name of a request, by the name of boto3's method."""
    return operation.title().replace("_", "")


def _said(refusal: Refusal, place: Place) -> str:
    answer = f"{refusal.status}" if refusal.code == str(refusal.status) else f"{refusal.status} {refusal.code}"
    return f"{place.host} answered {answer} to {request_name(refusal.operation)}"


def _final_sentence(refusal: Refusal, place: Place) -> str | None:
    code, said = refusal.code, _said(refusal, place)
    if code in _WRONG_REGION:
        return wrong_region(place, refusal.region).message
    if code in EXPIRED or code == "InvalidToken":
        return _credentials_ended(code, place)
    if code in ("AccessDenied", "403", "Forbidden", "AllAccessDisabled"):
        return f"{said}: the credentials do not have permission. {_allow(refusal, place)}"
    plain = _SENTENCES.get(code)
    if plain is not None:
        return f"{said}: {plain.format(**_words(place))}"
    if code.startswith("KMS."):
        return (
            f"{said}: the key of the Key Management Service cannot be used. Check s3_kms_key_id, that the key is "
            "enabled and in the bucket's region, and that its policy allows these credentials to use it."
        )
    if code in ("InvalidArgument", "InvalidRequest", "MalformedXML") and refusal.operation in _WRITES:
        return f"{said}: the store does not accept one of the options for storing files. {_check_options(place)}"
    if code in NOT_SUPPORTED:
        return f"{said}: this store does not support the request. {_check_options(place)}"
    return None


_SENTENCES: Mapping[str, str] = {
    "AccessControlListNotSupported": (
        "access control lists are disabled for the bucket {bucket} (Object Ownership: bucket owner enforced). "
        "Omit s3_acl, and set read access in a bucket policy."
    ),
    "EntityTooLarge": "the image, or a part of it, is larger than the store accepts. Ask its administrators.",
    "EntityTooSmall": "the parts are smaller than this store accepts. Set a larger part_size.",
    "InvalidAccessKeyId": "the store does not know this access key. Check access_key.",
    "InvalidBucketName": "'{bucket}' is not a valid bucket name. Correct destination.",
    "InvalidClientTokenId": "the store does not know this access key. Check access_key.",
    "InvalidObjectState": "the file is in an archive, from which it cannot be downloaded. Restore it first.",
    "InvalidSecurity": "the store does not accept these credentials. Check access_key and secret_key.",
    "InvalidStorageClass": "the store has no storage class '{storage_class}'. Correct s3_storage_class.",
    "InvalidTag": "the store does not accept these tags. Correct s3_tags.",
    "NoSuchBucket": "the bucket {bucket} does not exist. Create it, or correct destination.",
    "NotSignedUp": "the account of these credentials has no access to S3. Ask the account's owner.",
    "RequestTimeTooSkewed": (
        "the clock of the host that runs the module and that of the store are more than 15 minutes apart. Set the "
        "host's clock (on macOS: System Settings, General, Date & Time)."
    ),
    "SignatureDoesNotMatch": (
        "secret_key does not match access_key. Check both; a slash or a plus may have been lost in copying."
    ),
    **dict.fromkeys(
        _ENCRYPTION,
        "the store does not support the encryption in s3_encryption and s3_kms_key_id. Correct them, or omit them.",
    ),
}


def _words(place: Place) -> dict[str, str]:
    return {"bucket": place.bucket, "storage_class": place.storage_class or ""}


def _credentials_ended(code: str, place: Place) -> str:
    again = "Then run the same command again: it resumes the upload."
    if not place.given_keys:
        return (
            f"The temporary credentials for {place.host} have expired ({code}), and their source (environment, profile "
            f"or role) has no new ones. Log in again, or refresh the source. {again}"
        )
    if place.has_session_token:
        return (
            f"session_token has expired or is no longer valid ({code}). Set a new access_key, secret_key and "
            f"session_token. {again}"
        )
    return f"access_key and secret_key are no longer accepted ({code}). Set new ones. {again}"


def _allow(refusal: Refusal, place: Place) -> str:
    where = (
        "the bucket" if refusal.operation.startswith(("list_multipart", "list_objects", "head_bucket")) else place.url
    )
    needed = [PERMISSIONS.get(refusal.operation, "s3:*")]
    if refusal.operation in _WRITES:
        needed += ["s3:PutObjectAcl"] if place.acl else []
        needed += ["s3:PutObjectTagging"] if place.tags else []
        needed += ["kms:GenerateDataKey", "kms:Decrypt"] if place.encryption == "aws:kms" else []
    return f"Allow them {' and '.join(needed)} on {where}, or use other credentials."


def _check_options(place: Place) -> str:
    given = {
        "s3_acl": place.acl,
        "s3_tags": place.tags,
        "s3_encryption": place.encryption,
        "s3_storage_class": place.storage_class,
    }
    names = [name for name, value in given.items() if value]
    return f"Omit {', '.join(names)}, one by one." if names else "Ask its administrators, or use another store."
