# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real SeaweedFS as an S3 store for tests, over TLS with a certificate authority of its own.

It verifies signatures and checksums, and honors conditions. One user may do all, another one only read.

    with SeaweedFS(tmp_path) as server:
        server.url, server.ca_path, server.access_key, server.secret_key
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .serving import HOST, Certificates, free_ports, program
from .waiting import wait_until_it_answers

_PATIENCE = 60.0
ACCESS_KEY, SECRET_KEY = "AKPUBLISHER", "SKpublisher/secret+1"
# A second one of the same user, as when keys are renewed.
NEW_KEY, NEW_SECRET = "AKPUBLISHERNEW", "SKpublisher/new+secret"
READER_KEY, READER_SECRET = "AKREADER", "SKreader/secret+1"


class SeaweedFS:
    """A running server: master, volume server, filer and S3 gateway in one process."""

    access_key, secret_key = ACCESS_KEY, SECRET_KEY
    new_key, new_secret = NEW_KEY, NEW_SECRET
    reader_key, reader_secret = READER_KEY, READER_SECRET

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def __enter__(self) -> SeaweedFS:
        self.root.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=self.root, prefix="seaweedfs-")
        state = Path(self._temporary.name)
        certificates = Certificates(state)
        self.ca_path = certificates.ca_path
        (state / "data").mkdir()
        (state / "s3.json").write_text(json.dumps(_identities()), encoding="utf-8")
        self._log = state / "log"
        self._start(state, certificates)
        return self

    def __exit__(self, *_unused: Any) -> None:
        # Killed: in good order it takes ten seconds, and nothing of it is kept.
        self._process.kill()
        self._process.wait()
        self._temporary.cleanup()
        for port in self._ports:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)

    def _start(self, state: Path, certificates: Certificates) -> None:
        names = (
            *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
            *("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc", "s3.port.https"),
        )
        for _try in range(3):  # a port may be taken between our look and the server's
            self._ports = free_ports(len(names))
            ports = dict(zip(names, self._ports))
            self.port = ports["s3.port.https"]
            self.master = f"{HOST}:{ports['master.port']}.{ports['master.port.grpc']}"
            self.filer = f"{HOST}:{ports['filer.port']}.{ports['filer.port.grpc']}"
            self.url = f"https://{HOST}:{self.port}"
            options = {
                "dir": state / "data",
                "ip": HOST,
                "ip.bind": HOST,
                "volume.max": 100,
                "master.volumeSizeLimitMB": 1024,
                "master.telemetry": "false",
                "s3.cert.file": certificates.chain_path,
                "s3.key.file": certificates.key_path,
                "s3.config": state / "s3.json",
                "s3.iam": "false",
                "s3.port.iceberg": 0,
                "s3.port.lance": 0,
                **ports,
            }
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    [
                        program("weed"),
                        f"-logdir={state}",
                        "server",
                        "-filer",
                        "-s3",
                        *(f"-{name}={value}" for name, value in options.items()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=state,
                    # With which it encrypts what is to be encrypted with keys of its own.
                    env={**os.environ, "WEED_S3_SSE_KEK": secrets.token_hex(32)},
                )
            if wait_until_it_answers(self._process, self.url, self.ca_path, _PATIENCE):
                return
        raise RuntimeError(f"SeaweedFS does not start: {self._log.read_text(errors='replace')[-2000:]}")


def _identities() -> dict[str, Any]:
    users = (
        ("publisher", ACCESS_KEY, SECRET_KEY, ["Admin", "Read", "List", "Tagging", "Write"]),
        ("renewed", NEW_KEY, NEW_SECRET, ["Admin", "Read", "List", "Tagging", "Write"]),
        ("reader", READER_KEY, READER_SECRET, ["Read", "List"]),
    )
    return {
        "identities": [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
            for name, key, secret, actions in users
        ]
    }
