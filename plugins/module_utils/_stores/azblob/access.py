# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Where a container of Azure Blob Storage is, and who we are there: what can be told before anything is asked."""

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
# What the letters of a shared access signature allow.
_RIGHTS = {"r": "read", "w": "write", "l": "list", "d": "delete"}
# A signature that ends earlier may well end within the upload of a large image.
_SHORT = timedelta(hours=2)

_PACKAGE = "azure-storage-blob"
_GO_ON = "Give a new one, then run the same command again: it goes on with what has arrived."


def sdk(name: str) -> ModuleType:
    """Return a module of Microsoft's SDK."""
    return load(name, _PACKAGE)


@dataclass(frozen=True)
class Container:
    """The place that a destination names."""

    account: str
    name: str
    # Without slashes around it; may be empty.
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
    """Return what C(azblob://account/container/prefix) names. Raises TaskError."""
    parts = urlsplit(destination)
    names = [unquote(name) for name in parts.path.split("/") if name]
    if not _ACCOUNT.fullmatch(parts.netloc) or not names or not _CONTAINER.fullmatch(names[0]):
        raise TaskError(
            "A destination in Azure looks like azblob://account/container/folder. The account has 3 to 24 lower-case "
            "letters and digits, the container 3 to 63 lower-case letters, digits and single hyphens."
        )
    endpoint = (options.endpoint_url or f"https://{parts.netloc}.blob.core.windows.net").rstrip("/")
    given = urlsplit(endpoint)
    if given.scheme != "https" or not given.hostname or given.username or given.query or given.fragment:
        raise TaskError(
            "endpoint_url has to be the https:// address of the account's blob service, without credentials, such as "
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
                "Azure Blob Storage wants "
                + ("one credential, and there are several. " if given else "credentials. ")
                + "Give account_key (a key of the storage account), or sas_token (a shared access signature of the "
                "container), or token (az account get-access-token --resource https://storage.azure.com/)."
            )
        if self._key and not _is_base64(self._key):
            raise TaskError(
                "account_key is not a key of a storage account: such a key is written in Base64. Copy it anew from "
                "'Access keys' of the storage account."
            )

    @property
    def kind(self) -> str:
        """The option by which the credential was given."""
        return "account_key" if self._key else "sas_token" if self._sas else "token"

    def credential(self) -> Any:
        """Return the credential as the SDK wants it."""
        if self._key:
            return sdk("azure.core.credentials").AzureNamedKeyCredential(self._account, self._key)
        if self._sas:
            return sdk("azure.core.credentials").AzureSasCredential(self._sas)
        return _Bearer(self._token or "")

    @property
    def ends(self) -> datetime | None:
        """When the credential ends, where it tells."""
        if self._sas:
            expiry = read_expiry(f"https://azure.invalid/?{self._sas}")
            return expiry.ends if expiry else None
        return _token_end(self._token) if self._token else None

    def is_over(self) -> bool:
        """Return whether it has ended, by the clock of this machine."""
        ends = self.ends
        return ends is not None and ends <= _now()

    def ended(self) -> TaskError:
        """Return the error for a credential that has ended."""
        when = f" on {_words(self.ends)}" if self.ends else ""
        return TaskError(f"{self.kind} has ended{when}. {_GO_ON}")

    def check(self, notice: Notice) -> None:
        """Raise TaskError for what cannot do for an upload; tell when it may end before the upload does."""
        if self.is_over():
            raise self.ended()
        if self._sas:
            _check_rights(dict(parse_qsl(self._sas)))
        ends = self.ends
        if ends is not None and ends - _now() < _SHORT:
            notice(
                f"{self.kind} ends on {_words(ends)}. If the upload takes longer, it stops there: then give a new one, "
                "and the same command goes on."
            )

    def lacks(self, right: str) -> str:
        """Return what to do when the service says that the credential may not do something."""
        if self._sas:
            return f"sas_token does not allow it. Make one with the right to {right} in this container."
        if self._token:
            return (
                "the token's user or application may not do it. Give it the role 'Storage Blob Data Contributor' on "
                "the container (a new role takes some minutes)."
            )
        return "a lock or a policy of the storage account forbids it. Ask its administrators."


class _Bearer:
    """A token that somebody else has fetched: it cannot be renewed here."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_unused: Any) -> Any:
        return sdk("azure.core.credentials").AccessToken(self._token, int(time.time()) + 24 * 3600)


def _sas_of(text: str | None) -> str | None:
    """Return a shared access signature without what people copy with it: a question mark, or the whole URL."""
    if not text:
        return None
    sas = text.strip().rpartition("?")[2]
    if not dict(parse_qsl(sas)).get("sig"):
        raise TaskError(
            "sas_token is not a shared access signature: it has no 'sig='. Copy it anew; it looks like "
            "sv=...&se=...&sr=c&sp=rwdl&sig=..."
        )
    return sas


def _check_rights(sas: dict[str, str]) -> None:
    """Raise TaskError for a signature that cannot do. One that names a stored policy does not tell its rights."""
    begins = read_expiry(f"https://azure.invalid/?sig=x&se={sas.get('st', '')}")
    if begins is not None and begins.ends is not None and begins.ends > _now() + timedelta(minutes=15):
        raise TaskError(f"sas_token begins to be valid on {_words(begins.ends)}. Wait, or make one without a start.")
    if sas.get("sr") == "b":
        raise TaskError("sas_token is for one blob only. Make one for the container (sr=c).")
    if "b" not in sas.get("ss", "b") or "o" not in sas.get("srt", "o"):
        raise TaskError(
            "sas_token is not for the objects of the blob service. Make one with ss=b and srt=co, or one for the "
            "container."
        )
    if "sp" in sas:
        missing = [words for letter, words in _RIGHTS.items() if letter in "rw" and letter not in sas["sp"]]
        if missing:
            raise TaskError(
                f"sas_token lacks the right to {' and to '.join(missing)} (sp={sas['sp']}). To publish, it needs to "
                "read and to write (sp=rw); for the catalog and to remove images, also to list and to delete (sp=rwdl)."
            )


def _token_end(token: str) -> datetime | None:
    """Return when a JSON web token ends. It is only read here: who trusts it has to verify it."""
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
