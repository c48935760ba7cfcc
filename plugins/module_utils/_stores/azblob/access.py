# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The address of a container of Azure Blob Storage, and its credentials: what can be checked without a request."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ..._common.deps import load
from ..._common.errors import TaskError
from ..._common.notice import Notice
from ..._link.expiry import read_expiry
from ..base import StoreOptions

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$web|\$root")
# The permissions of a shared access signature by their letters.
_RIGHTS = {"r": "read", "w": "write", "l": "list", "d": "delete"}
# A signature that expires sooner may expire during the upload of a large image.
_SHORT = timedelta(hours=2)

_PACKAGE = "azure-storage-blob"
_GO_ON = "Set a new one, then run the same command again: it resumes the upload."


def sdk(name: str) -> ModuleType:
    """Return a module of Microsoft's SDK."""
    return load(name, _PACKAGE)


@dataclass(frozen=True)
class Container:
    """The container and folder of a destination."""

    account: str
    name: str
    # Without leading and trailing slashes; may be empty.
    prefix: str
    # The URL of the blob service of the account.
    endpoint: str

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    def blob(self, name: str) -> str:
        """Return the full name of a file in the folder."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def link(self, name: str) -> str:
        """Return the HTTPS address of a file."""
        return f"{self.endpoint}/{quote(self.name)}/{quote(self.blob(name))}"


def container_of(destination: str, options: StoreOptions) -> Container:
    """Return the container of C(azblob://account/container/prefix). Raises TaskError."""
    parts = urlsplit(destination)
    names = [unquote(name) for name in parts.path.split("/") if name]
    if not _ACCOUNT.fullmatch(parts.netloc) or not names or not _CONTAINER.fullmatch(names[0]):
        raise TaskError(
            "The destination is not valid. Use azblob://account/container/folder. The account has 3 to 24 lowercase "
            "letters and digits, the container 3 to 63 lowercase letters, digits and single hyphens."
        )
    endpoint = (options.endpoint_url or f"https://{parts.netloc}.blob.core.windows.net").rstrip("/")
    given = urlsplit(endpoint)
    if given.scheme != "https" or not given.hostname or given.username or given.query or given.fragment:
        raise TaskError(
            "endpoint_url must be the https:// address of the account's blob service, without credentials, such as "
            f"https://{parts.netloc}.blob.core.usgovcloudapi.net."
        )
    return Container(parts.netloc, names[0], "/".join(names[1:]), endpoint)


class Access:
    """The credentials of an account: a key, a shared access signature or a bearer token."""

    def __init__(self, account: str, options: StoreOptions) -> None:
        self._account = account
        self._key = options.account_key
        self._sas = _sas_of(options.sas_token)
        self._token = options.token
        given = [value for value in (self._key, self._sas, self._token) if value]
        if len(given) != 1:
            raise TaskError(
                "Azure Blob Storage requires "
                + ("exactly one credential, but several are set. " if given else "credentials. ")
                + "Set account_key (a key of the storage account), or sas_token (a shared access signature of the "
                "container), or token (az account get-access-token --resource https://storage.azure.com/)."
            )
        if self._key and not _is_base64(self._key):
            raise TaskError(
                "account_key is not a key of a storage account, because it is not Base64. Copy it again from "
                "'Access keys' of the storage account."
            )

    @property
    def kind(self) -> str:
        """The option by which the credential was given."""
        return "account_key" if self._key else "sas_token" if self._sas else "token"

    def credential(self) -> Any:
        """Return the credential in the form that the SDK needs."""
        if self._key:
            return sdk("azure.core.credentials").AzureNamedKeyCredential(self._account, self._key)
        if self._sas:
            return sdk("azure.core.credentials").AzureSasCredential(self._sas)
        return _Bearer(self._token or "")

    @property
    def ends(self) -> datetime | None:
        """When the credential expires, if it contains that."""
        if self._sas:
            expiry = read_expiry(f"https://azure.invalid/?{self._sas}")
            return expiry.ends if expiry else None
        return _token_end(self._token) if self._token else None

    def is_over(self) -> bool:
        """Return whether it has expired, by the clock of this machine."""
        ends = self.ends
        return ends is not None and ends <= _now()

    def ended(self) -> TaskError:
        """Return the error for a credential that has expired."""
        when = f" on {_words(self.ends)}" if self.ends else ""
        return TaskError(f"{self.kind} has expired{when}. {_GO_ON}")

    def check(self, notice: Notice) -> None:
        """Raise TaskError for a credential that is not sufficient; give a notice if it may expire during the upload."""
        if self.is_over():
            raise self.ended()
        if self._sas:
            _check_rights(dict(parse_qsl(self._sas)))
        ends = self.ends
        if ends is not None and ends - _now() < _SHORT:
            notice(
                f"{self.kind} expires on {_words(ends)}. If the upload takes longer, it stops then. If it does, set a "
                "new one and run the same command again to resume."
            )

    def lacks(self, right: str) -> str:
        """Return what to do when the service reports that the credential lacks a permission."""
        if self._sas:
            return f"sas_token does not allow it. Create one with the permission to {right} in this container."
        if self._token:
            return (
                "the token's user or application does not have permission. Assign it the role 'Storage Blob Data "
                "Contributor' on the container (a new role takes some minutes)."
            )
        return "a lock or a policy of the storage account forbids it. Ask its administrators."


class _Bearer:
    """A token that was given. It cannot be renewed here."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_unused: Any) -> Any:
        return sdk("azure.core.credentials").AccessToken(self._token, int(time.time()) + 24 * 3600)


def _sas_of(text: str | None) -> str | None:
    """Return a shared access signature without a question mark or URL that was copied with it."""
    if not text:
        return None
    sas = text.strip().rpartition("?")[2]
    if not dict(parse_qsl(sas)).get("sig"):
        raise TaskError(
            "sas_token is not a shared access signature, because it has no 'sig='. Copy it again. It looks like "
            "sv=...&se=...&sr=c&sp=rwdl&sig=..."
        )
    return sas


def _check_rights(sas: dict[str, str]) -> None:
    """Raise TaskError for a signature that is not sufficient. A stored policy hides its permissions."""
    begins = read_expiry(f"https://azure.invalid/?sig=x&se={sas.get('st', '')}")
    if begins is not None and begins.ends is not None and begins.ends > _now() + timedelta(minutes=15):
        raise TaskError(
            f"sas_token is not valid before {_words(begins.ends)}. Wait, or create one without a start time."
        )
    if sas.get("sr") == "b":
        raise TaskError("sas_token is for one blob only. Create one for the container (sr=c).")
    if "b" not in sas.get("ss", "b") or "o" not in sas.get("srt", "o"):
        raise TaskError(
            "sas_token is not for the objects of the blob service. Create one with ss=b and srt=co, or one for the "
            "container."
        )
    if "sp" in sas:
        missing = [words for letter, words in _RIGHTS.items() if letter in "rw" and letter not in sas["sp"]]
        if missing:
            raise TaskError(
                f"sas_token lacks the permission to {' and to '.join(missing)} (sp={sas['sp']}). Create one with read "
                "and write (sp=rw) to publish images; the catalog and the removal of images also need list and delete "
                "(sp=rwdl)."
            )


def _token_end(token: str) -> datetime | None:
    """Return when a JSON web token expires. It is only read here: the service verifies it."""
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return datetime.fromtimestamp(claims["exp"], timezone.utc)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _words(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d at %H:%M:%S UTC") if when else ""


def _now() -> datetime:
    return datetime.now(timezone.utc)
