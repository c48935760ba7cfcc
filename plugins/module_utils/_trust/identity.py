# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The address by which signatures name the store that they are for, in one form whoever signs or verifies."""

from __future__ import annotations

import posixpath
from typing import Optional
from urllib.parse import quote, unquote, urlsplit

from .._common.errors import TaskError
from .._stores.base import Store

_DEFAULT_PORTS = {"https": 443, "sftp": 22}
# What a path keeps unencoded. Everything else is percent-encoded, however it was written.
_KEPT = "/~!$&'()*+,;=:@"


def store_identity(store: Store, public_url: Optional[str], endpoint_url: Optional[str]) -> str:
    """Return the address that signatures are bound to: the public one, else that of the destination.

    The name of a bucket is unique only on the public service: with an endpoint of one's own, that is part of it.
    """
    if public_url:
        return canonical_url(public_url, "public_url")
    if endpoint_url:
        name = "x"
        return canonical_url(store.link(name)[: -len(name)], "destination")
    return canonical_url(store.url, "destination")


def canonical_url(url: str, what: str) -> str:
    """Return an address without credentials, query and fragment, in the one form that signatures have.

    Scheme and host are in lower case, the default port is left out, the path is percent-encoded in one way, and it has
    no dot segments and no slash at its end.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        path = unquote(parts.path, errors="strict")
    except ValueError:
        parts = None
    if parts is None or not parts.scheme or not (host or parts.scheme == "file"):
        raise TaskError(
            f"{what} cannot be used for signatures, because it is not a whole address. Use one such as "
            "https://images.example.com/golden."
        )
    scheme = parts.scheme.lower()
    shown = f"[{host}]" if ":" in host else host.lower()
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        shown += f":{port}"
    normal = posixpath.normpath("/" + path.lstrip("/")) if path.strip("/") else ""
    return f"{scheme}://{shown}{quote(normal, safe=_KEPT)}"
