# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SFTP server of paramiko in this process that can do less than OpenSSH: what it cannot is up to the test."""

from __future__ import annotations

import os
import pathlib
import socket
import threading
from typing import Any

import paramiko

HOST = "127.0.0.1"


class SimpleSftp:
    """A running server for the folder C(root). Anyone may log in with a password."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        # Whether it has posix-rename@openssh.com, and whether its plain rename replaces files.
        self.posix_rename = True
        self.rename_replaces = False
        # Whether it opens a file for writing only once, when it is made, and takes it from the first byte to the last.
        self.in_order = False
        # What it answers for names with a leading dot, and whether also for reading alone.
        self.dots: int | None = None
        self.dots_when_reading = False
        # What it answers to requests to change a mode.
        self.chmod = paramiko.SFTP_OK
        # Requests to rename that fail, counted from the next one: 1 is the next one.
        self.broken_renames: set[int] = set()
        self.opened: list[str] = []
        self._key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._ended = False
        self.known_hosts = f"[{HOST}]:{self.port} {self._key.get_name()} {self._key.get_base64()}\n"

    def __enter__(self) -> SimpleSftp:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._ended = True
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended:
            try:
                wire, _address = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(wire)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self)
            transport.start_server(server=_Welcome(), event=threading.Event())


class _Welcome(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def __init__(self, flags: int, handle: Any, in_order: bool) -> None:
        super().__init__(flags)
        self.readfile = self.writefile = handle
        self._in_order = in_order
        self._next = 0

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    def write(self, offset: int, data: bytes) -> int:
        if self._in_order and offset != self._next:
            return paramiko.SFTP_FAILURE
        self._next = offset + len(data)
        return super().write(offset, data)


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, _welcome: Any, server: SimpleSftp) -> None:
        super().__init__(_welcome)
        self._server = server

    def _path(self, path: str) -> str:
        return f"{self._server.root}/{path.lstrip('/')}"

    def _refused(self, *paths: str, reading: bool = False) -> int | None:
        if reading and not self._server.dots_when_reading:
            return None
        return self._server.dots if any(os.path.basename(path).startswith(".") for path in paths) else None

    def list_folder(self, path: str) -> Any:
        found = []
        try:
            names = os.listdir(self._path(path))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        for name in names:
            attributes = paramiko.SFTPAttributes.from_stat(os.lstat(f"{self._path(path)}/{name}"))
            attributes.filename = name
            found.append(attributes)
        return found

    def stat(self, path: str) -> Any:
        refused = self._refused(path, reading=True)
        if refused is not None:
            return refused
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._path(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attributes: Any) -> Any:
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        refused = self._refused(path, reading=not writes)
        if refused is not None:
            return refused
        if writes and self._server.in_order and not flags & os.O_CREAT:
            return paramiko.SFTP_PERMISSION_DENIED
        self._server.opened.append(f"{os.path.basename(path)} {'write' if writes else 'read'}")
        try:
            handle = os.fdopen(os.open(self._path(path), flags, 0o644), "r+b" if writes else "rb", buffering=0)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return _Handle(flags, handle, self._server.in_order)

    def _do(self, work: Any, *paths: str) -> int:
        refused = self._refused(*paths)
        if refused is not None:
            return refused
        try:
            work(*map(self._path, paths))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return paramiko.SFTP_OK

    def remove(self, path: str) -> int:
        return self._do(os.remove, path)

    def rename(self, old: str, new: str) -> int:
        server = self._server
        broken = 1 in server.broken_renames
        server.broken_renames = {number - 1 for number in server.broken_renames if number > 1}
        if broken:
            return paramiko.SFTP_FAILURE
        if not server.rename_replaces and os.path.exists(self._path(new)) and os.path.exists(self._path(old)):
            return paramiko.SFTP_FAILURE
        return self._do(os.rename, old, new)

    def posix_rename(self, old: str, new: str) -> int:
        return self._do(os.rename, old, new) if self._server.posix_rename else paramiko.SFTP_OP_UNSUPPORTED

    def mkdir(self, path: str, attributes: Any) -> int:
        return self._do(os.mkdir, path)

    def rmdir(self, path: str) -> int:
        return self._do(os.rmdir, path)

    def chattr(self, path: str, attributes: Any) -> int:
        return self._server.chmod
