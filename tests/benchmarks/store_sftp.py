# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(sftp://) beside OpenSSH's own C(sftp), C(put)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

from contest import Contest, upload_with

from support.account import mac_account
from support.sshd import ssh_server


@contextlib.contextmanager
def openssh(scratch: pathlib.Path, image: pathlib.Path, sha256: str) -> Iterator[Contest]:
    """One connection each."""
    with mac_account() as account, ssh_server(account) as server:
        folder = account.work / "images"
        folder.mkdir()
        if account.uid is not None:
            os.chown(folder, account.uid, account.gid)
        key, known = server.folder / "client_key", server.folder / "known_hosts"
        options = {"username": account.name, "private_key_path": str(key), "known_hosts_path": str(known)}
        command = ["sftp", "-q", "-b", "-", "-P", str(server.port), "-i", str(key), "-o", f"UserKnownHostsFile={known}"]

        def by_sftp(name: str) -> None:
            order = f"put {image} {folder}/{name}\n"
            target = f"{account.name}@127.0.0.1"
            subprocess.run([*command, target], input=order, text=True, check=True, stdout=subprocess.DEVNULL)

        ours = upload_with(f"sftp://127.0.0.1:{server.port}{folder}", options, image, sha256)
        yield Contest("sftp: OpenSSH", "sftp (put)", ours, by_sftp)
