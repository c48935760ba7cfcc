# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(sharepoint://), Artifactory and Nexus beside C(curl): against stand-ins, which are slower than the real ones."""

from __future__ import annotations

import contextlib
import json
import pathlib
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

from contest import Contest, upload_with

from support.fake_artifactory import FakeArtifactory, FakeNexus, Repository
from support.fake_graph import CLIENT_ID, CLIENT_SECRET, TENANT_ID, FakeGraph

# The largest range that Graph takes.
_RANGE = 191 * 320 * 1024


def _curl(server: Any, *words: object) -> None:
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", server.ca_path, *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _repository(store: str, server: Repository, image: pathlib.Path, sha256: str, *headers: str) -> Contest:
    url = f"{server.public_url}{server.context}images/golden"
    options = {"username": server.username, "password": server.password, "ca_path": server.ca_path}
    ours = upload_with(url, options, image, sha256)

    def upload(name: str) -> None:
        server.empty()  # else Artifactory has these bytes already
        ours(name)

    def by_curl(name: str) -> None:
        server.empty()
        given = [word for each in headers for word in ("-H", each)]
        _curl(server, "--user", f"{server.username}:{server.password}", *given, "-T", image, f"{url}/{name}")

    return Contest(f"{store} (stand-in)", "curl -T", upload, by_curl)


@contextlib.contextmanager
def artifactory(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """A repository that compares the checksum."""
    with FakeArtifactory() as server:
        yield _repository("https: Artifactory", server, image, sha256, f"X-Checksum-Sha256: {sha256}")


@contextlib.contextmanager
def nexus(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """A raw repository."""
    with FakeNexus() as server:
        yield _repository("https: Nexus", server, image, sha256)


@contextlib.contextmanager
def sharepoint(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """An upload session, in the same ranges: curl gets them as files, made before."""
    subprocess.run(["split", "-b", str(_RANGE), image, scratch / "range-"], check=True)
    ranges = sorted(scratch.glob("range-*"))
    with FakeGraph() as server:
        library = server.library("mac", "Documents", "golden")
        options = {
            "tenant_id": TENANT_ID,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "endpoint_url": server.public_url,
            "ca_path": server.ca_path,
        }

        def by_curl(name: str) -> None:
            session, first = _session(server, library.id, name), 0
            for each in ranges:
                last = first + each.stat().st_size - 1
                _curl(server, "-H", f"Content-Range: bytes {first}-{last}/{image.stat().st_size}", "-T", each, session)
                first = last + 1

        upload = upload_with("sharepoint://contoso/mac/Documents/golden", options, image, sha256)
        yield Contest("sharepoint (stand-in)", "curl -T, a range at a time", upload, by_curl)


def _session(server: FakeGraph, drive: str, name: str) -> str:
    request = urllib.request.Request(
        f"{server.public_url}/v1.0/drives/{drive}/root:/golden/{name}:/createUploadSession",
        method="POST",
        headers={"Authorization": f"Bearer {server.new_token()}", "Content-Type": "application/json"},
        data=b"{}",
    )
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=server.ca_path)) as response:
        return str(json.load(response)["uploadUrl"])
