# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azurite, Microsoft's own server for tests of Azure Blob Storage, on a free port, over TLS.

It verifies keys, shared access signatures with their rights and their end, and the times in bearer tokens.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from .serving import HOST, Certificates

ACCOUNT = "companyimages"
KEY = base64.b64encode(b"the key of the storage account").decode()
OTHER_KEY = base64.b64encode(b"a key of another account, secret").decode()

_PATIENCE = 60.0


class Azurite:
    """A running server with one storage account."""

    account = ACCOUNT
    key = KEY

    def __init__(self, port: int, ca_path: str) -> None:
        self.port = port
        self.ca_path = ca_path
        self.endpoint = f"https://{HOST}:{port}/{ACCOUNT}"

    def container(self, name: str) -> Any:
        """Return the SDK's client of a container, with the account's key, past any gateway."""
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.blob import ContainerClient

        return ContainerClient(
            self.endpoint,
            name,
            credential=AzureNamedKeyCredential(ACCOUNT, KEY),
            connection_verify=self.ca_path,
            use_env_settings=False,
        )

    def sas(self, container: str, rights: str, lasts: float = 24 * 3600, key: str = KEY) -> str:
        """Return a shared access signature for a container that lasts so many seconds."""
        from azure.storage.blob import generate_container_sas

        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lasts)
        return generate_container_sas(ACCOUNT, container, key, permission=rights, expiry=ends)

    def token(self, lasts: float = 3600) -> str:
        """Return a bearer token as Microsoft Entra makes them, for whoever may do anything."""
        now = time.time()
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": int(now - 60),
            "nbf": int(now - 60),
            "exp": int(now + lasts),
        }
        parts = [{"typ": "JWT", "alg": "RS256", "kid": "tests"}, claims]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return ".".join([*encoded, "c2lnbmF0dXJl"])


@contextlib.contextmanager
def azurite(root: pathlib.Path, in_memory: bool = True) -> Iterator[Azurite]:
    """Run Azurite, with what belongs to it below C(root); large images do not fit C(in_memory)."""
    program = shutil.which("azurite-blob")
    assert program, "azurite-blob is missing: npm install azurite"
    root.mkdir(parents=True, exist_ok=True)
    certificates = Certificates(root / "tls")
    process, port = _start(program, root, certificates, in_memory)
    try:
        yield Azurite(port, certificates.ca_path)
    finally:
        process.kill()
        process.wait()


def _start(
    program: str, root: pathlib.Path, certificates: Certificates, in_memory: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """Start on a free port; another program may take it first, so try more than once."""
    for _attempt in range(5):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        where = ["--blobHost", HOST, "--blobPort", str(port)]
        kept = ["--inMemoryPersistence"] if in_memory else ["--location", str(root / "data")]
        tls = ["--cert", certificates.chain_path, "--key", certificates.key_path, "--oauth", "basic"]
        with (root / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    program,
                    *where,
                    *tls,
                    *kept,
                    "--silent",
                    "--disableTelemetry",
                    "--skipApiVersionCheck",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            )
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
    raise AssertionError(f"Azurite did not start: {(root / 'log').read_text(errors='replace')}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        time.sleep(0.05)
    return False
