# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Finds the backend for a destination."""

from __future__ import annotations

from typing import Callable
from urllib.parse import SplitResult, urlsplit

from .._common.errors import TaskError
from .._common.text import is_printable
from .base import Store, StoreOptions

# Ansible sends a module as source, which the Mac compiles again each time: only the backend in use is loaded. Each
# import is written out, because Ansible finds the files that a module needs by these statements.


def _azblob() -> Callable[[str, StoreOptions], Store]:
    from .azblob.store import AzureBlobStore

    return AzureBlobStore


def _file() -> Callable[[str, StoreOptions], Store]:
    from .file import FileStore

    return FileStore


def _https() -> Callable[[str, StoreOptions], Store]:
    from .https.store import HttpsStore

    return HttpsStore


def _s3() -> Callable[[str, StoreOptions], Store]:
    from .s3.store import S3Store

    return S3Store


def _sftp() -> Callable[[str, StoreOptions], Store]:
    from .sftp.store import SftpStore

    return SftpStore


def _sharepoint() -> Callable[[str, StoreOptions], Store]:
    from .sharepoint.store import SharePointStore

    return SharePointStore


_BACKENDS: dict[str, Callable[[], Callable[[str, StoreOptions], Store]]] = {
    "https": _https,
    "azblob": _azblob,
    "sftp": _sftp,
    "sharepoint": _sharepoint,
    "file": _file,
    "s3": _s3,
}


def open_store(destination: str, options: StoreOptions) -> Store:
    """Return the store of a destination. Nothing is sent yet."""
    destination = destination.strip()
    parts = _parsed(destination)
    if parts.scheme == "http":
        raise TaskError(
            "The destination must not start with http://, because passwords and images would be sent unencrypted. "
            "Use https://, with ca_path if your company has its own certificate authority."
        )
    if parts.scheme not in _BACKENDS:
        known = ", ".join(f"{scheme}://" for scheme in _BACKENDS)
        raise TaskError(
            f"'{parts.scheme}://' is not a supported destination. Use one that starts with: {known}."
            if parts.scheme
            else f"The destination is not a URL. Use one that starts with: {known}."
        )
    return _BACKENDS[parts.scheme]()(destination.rstrip("/"), options)


def _parsed(destination: str) -> SplitResult:
    """Return the parts of a destination. The messages do not repeat it, because it may contain a secret."""
    if not is_printable(destination):  # urlsplit leaves some of them out
        raise TaskError("The destination contains a control character, such as a line break. Remove it.")
    try:
        parts = urlsplit(destination)
        parts.port  # noqa: B018  (computed, and may raise)
    except ValueError as error:
        raise TaskError("The destination is not a valid URL. Correct it.") from error
    if parts.username is not None or parts.password is not None:
        raise TaskError(
            "The destination must not contain a user name or a password, because URLs are logged. "
            "Use the options username and password, or token."
        )
    if parts.query or parts.fragment:
        raise TaskError(
            "The destination must be the URL of a folder, without '?' or '#'. "
            "Use the options for credentials, and percent-encode these characters if they are part of a name."
        )
    return parts
