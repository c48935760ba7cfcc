# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(rclone serve s3) as a poorer S3 store for tests, over TLS with a certificate authority of its own; and SFTP.

It verifies signatures and C(Content-MD5), ignores checksums and conditions, and lets nobody in without a key. The
folders in C(root) are its buckets.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from .serving import HOST, Certificates, free_ports, program
from .waiting import wait_until_it_answers

_PATIENCE = 30.0


class RcloneS3:
    """A running server."""

    access_key, secret_key = "AKPUBLISHER", "SKpublisher-secret"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def __enter__(self) -> RcloneS3:
        self.root.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="rclone-")
        state = Path(self._temporary.name)
        certificates = Certificates(state)
        self.ca_path = certificates.ca_path
        self._log = state / "log"
        for _try in range(3):  # the port may be taken between our look and the server's
            (self.port,) = free_ports(1)
            self.url = f"https://{HOST}:{self.port}"
            self._launch(state, certificates)
            if wait_until_it_answers(self._process, self.url, self.ca_path, _PATIENCE):
                return self
        raise RuntimeError(f"rclone does not start: {self._log.read_text(errors='replace')[-2000:]}")

    def __exit__(self, *_unused: Any) -> None:
        self._process.kill()
        self._process.wait()
        self._temporary.cleanup()

    def _launch(self, state: Path, certificates: Certificates) -> None:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        program("rclone"),
                        "serve",
                        "s3",
                        "--config",
                        state / "none.conf",
                        "--cache-dir",
                        state / "cache",
                    ),
                    *("--auth-key", f"{self.access_key},{self.secret_key}", "--addr", f"{HOST}:{self.port}"),
                    *("--cert", certificates.chain_path, "--key", certificates.key_path, self.root),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


class RcloneSftp:
    """C(rclone serve sftp) for a folder, with a user who logs in by a key; C(mode) is that of its cache for writes."""

    def __init__(self, root: str | Path, mode: str = "off") -> None:
        self.folder = Path(root) / "images"
        self._mode = mode

    def __enter__(self) -> RcloneSftp:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="rclone-")
        state = Path(self._temporary.name)
        for name in ("user", "host"):
            key = ["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(state / name)]
            subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
        (port,) = free_ports(1)
        kind, key_text = (state / "host.pub").read_text().split()[:2]
        (state / "known_hosts").write_text(f"[{HOST}]:{port} {kind} {key_text}\n")
        self.destination = f"sftp://{HOST}:{port}/{self.folder.name}"
        self.options = {
            "username": "publisher",
            "private_key_path": str(state / "user"),
            "known_hosts_path": str(state / "known_hosts"),
        }
        with (state / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(program("rclone"), "serve", "sftp", "--config", state / "none.conf", "--addr", f"{HOST}:{port}"),
                    *("--cache-dir", state / "cache", "--vfs-cache-mode", self._mode, "--vfs-write-back", "0s"),
                    *("--key", state / "host", "--authorized-keys", state / "user.pub", self.folder.parent),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait(port)
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._process.kill()
        self._process.wait()
        self._temporary.cleanup()

    def _wait(self, port: int) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("rclone does not start.") from None
                time.sleep(0.05)
