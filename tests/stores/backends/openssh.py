# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(sftp://): OpenSSH."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote

from support.account import Account, mac_account
from support.sshd import SshServer, ssh_server
from support.wire import Wire

from . import Backend, Broken, Folder
from .folders import files_in

_NO_HTTP = "SSH has no such answers: a server that is busy lets nobody connect, which counts as a break"


class OpenSsh(Backend):
    """OpenSSH with its file transfer, and a user who logs in by a key."""

    name = "sftp: OpenSSH"
    part_size = 1024 * 1024
    server: SshServer
    account: Account
    cannot: ClassVar = {
        "waits as long as a busy server asks": _NO_HTTP,
        "what is final is not tried again": _NO_HTTP,
        "a lost answer is looked into": _NO_HTTP,
        "credentials that end are named or renewed": "who is logged in stays so",
    }

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        with (
            mac_account() as self.account,
            ssh_server(self.account) as self.server,
            Wire(self.server.port) as self.wire,
        ):
            known = (self.server.folder / "known_hosts").read_text()
            self.known_hosts = self.server.folder / "known_hosts_of_the_wire"
            self.known_hosts.write_text(known.replace(f":{self.server.port} ", f":{self.wire.port} "))
            yield self

    def path_of(self, folder: Folder) -> pathlib.Path:
        """Return where a folder lies on this disk."""
        return self.account.work / folder.destination.rpartition("/")[2]

    def folder(self) -> Folder:
        path = self.account.work / self.folder_name()
        path.mkdir()
        if self.account.uid is not None:
            os.chown(path, self.account.uid, self.account.gid)
        options = {
            "username": self.account.name,
            "private_key_path": str(self.server.folder / "client_key"),
            "known_hosts_path": str(self.known_hosts),
            "part_size": self.part_size,
        }
        return Folder(f"sftp://127.0.0.1:{self.wire.port}{quote(str(path))}", options, lambda: files_in(path))

    def wrong_credentials(self, folder: Folder) -> Broken:
        other = self.root / "other_key"
        if not other.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        return Broken({"private_key_path": str(other)}, words=("refused the login", "private_key_path"))

    def missing_folder(self, folder: Folder) -> Broken:
        return Broken(destination=f"{folder.destination}/none", words=("does not exist", "correct destination"))

    def forbidden_write(self, folder: Folder) -> Broken:
        @contextlib.contextmanager
        def closed() -> Iterator[None]:
            path = self.path_of(folder)
            path.chmod(0o555)
            yield
            path.chmod(0o755)

        return Broken(words=("does not allow", "Ask its administrators"), during=closed)

    def full(self, folder: Folder) -> Broken:
        path = self.path_of(folder)

        @contextlib.contextmanager
        def small() -> Iterator[None]:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", path], check=True)
            try:
                yield
            finally:
                shutil.rmtree(path, ignore_errors=True)
                subprocess.run(["umount", "-l", path], check=True)

        return Broken(words=("is full", "needs"), during=small)
