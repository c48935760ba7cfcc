# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(https://) beside C(curl -T), and C(file://) beside C(cp)."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

from contest import Contest, upload_with

from support.apache import apache_store
from support.nginx import nginx_store


@contextlib.contextmanager
def nginx(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """WebDAV on nginx, which takes a file in one request."""
    with nginx_store(scratch / "nginx") as server:
        yield _with_curl("https: nginx", server, scratch, image, sha256)


@contextlib.contextmanager
def apache(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """WebDAV on Apache, which takes a file in parts."""
    with apache_store() as server:
        yield _with_curl("https: Apache", server, scratch, image, sha256)


@contextlib.contextmanager
def folder(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """A folder on the same disk."""
    target = scratch / "folder"
    target.mkdir()

    def copy(name: str) -> None:
        subprocess.run(["cp", image, target / name], check=True)
        subprocess.run(["sync", target / name], check=True)  # which ours does too

    yield Contest("file", "cp; sync", upload_with(f"file://{target}", {}, image, sha256), copy)


def _with_curl(store: str, server: Any, scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Contest:
    login = scratch / f"login-{server.port}"
    login.write_text(f'user = "{server.username}:{server.password}"\n')
    curl = ["curl", "--silent", "--show-error", "--fail", "--cacert", server.ca_path, "--config", str(login)]

    def by_curl(name: str) -> None:
        subprocess.run([*curl, "-T", str(image), f"{server.url}/{name}"], check=True, stdout=subprocess.DEVNULL)

    options = {"username": server.username, "password": server.password, "ca_path": server.ca_path}
    return Contest(store, "curl -T", upload_with(server.url, options, image, sha256), by_curl)
