# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPS store with an answer to PUT with Content-Range, which WsgiDAV alone refuses: as Apache, or as rclone."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from .https_store import HttpsStore

_BLOCK = 64 * 1024


class PartialPutStore(HttpsStore):
    """C(in_place): bytes go where they belong, as with Apache; else what comes is taken for all of the file."""

    def __init__(self, root: str | Path, in_place: bool = True, **options: Any) -> None:
        super().__init__(root, **options)
        self.in_place = in_place
        self._whole_files = self._webdav
        self._webdav = self._put_or_pass_on

    def _put_or_pass_on(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        wanted = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", environ.get("HTTP_CONTENT_RANGE", ""))
        if environ["REQUEST_METHOD"] != "PUT" or wanted is None:
            return self._whole_files(environ, start_response)
        if not self.in_place:
            return self._whole_files({**environ, "HTTP_CONTENT_RANGE": ""}, start_response)
        credentials = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if environ.get("HTTP_AUTHORIZATION") != f"Basic {credentials}":
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return [b""]
        path = self.root / environ["PATH_INFO"].encode("latin-1").decode().lstrip("/")
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.lseek(descriptor, int(wanted[1]), os.SEEK_SET)
            left = int(wanted[2]) + 1 - int(wanted[1])
            while left:
                block = environ["wsgi.input"].read(min(left, _BLOCK))
                if not block:
                    break
                os.write(descriptor, block)
                left -= len(block)
        finally:
            os.close(descriptor)
        start_response("204 No Content", [("Content-Length", "0")])
        return [b""]
