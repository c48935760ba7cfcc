# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Connections to an SSH server for its file transfer (SFTP): who it is, who we are, and errors in words."""

from __future__ import annotations

import base64
import contextlib
import errno
import getpass
import hashlib
import http.client
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ..._common.deps import load
from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._http.session import basic
from ..base import StoreOptions

DEFAULT_PORT = 22
# Seconds without a word after which a packet is sent that keeps firewalls from forgetting the connection.
_KEEPALIVE = 15
# Bytes that a server may send before we have taken them: more than a long way holds at a time.
_WINDOW = 32 * 1024 * 1024
# Much faster than what libraries choose by themselves, and in every OpenSSH since 2014.
_FAST_CIPHER = "aes128-gcm@openssh.com"
# Bytes in one write. OpenSSH takes packets of 256 KiB; the protocol promises no more than 32 KiB, and a write of as
# much does not fit into a packet of SSH with its header, so that half of it waits for an answer that comes late.
_LARGE_WRITE = 255 * 1024
_SMALL_WRITE = 32 * 1024 - 128
_SOCKS = ("socks", "socks4", "socks5", "socks5h")


class Unknown(TaskError):
    """The server is not who it should be, or nobody has said who it is."""


@dataclass(frozen=True)
class Room:
    """What a file system says of its room."""

    # Bytes that the user may still write.
    free: int


class Connection:
    """One connection, with one SFTP session in it."""

    def __init__(self, host: str, port: int, options: StoreOptions) -> None:
        self._paramiko = load("paramiko")
        self._host, self._port, self._options = host, port, options
        self.name = host if port == DEFAULT_PORT else f"{host}:{port}"
        self._transport: Any = None
        self.sftp: Any = None

    def open(self) -> Any:
        """Connect unless it is done; return the paramiko C(SFTPClient)."""
        if self.sftp is not None and self._transport.is_active():
            return self.sftp
        self.close()
        with self.words():
            self._transport = self._greet(self._wire())
            self._log_in()
            self._transport.set_keepalive(_KEEPALIVE)
            self.sftp = self._paramiko.SFTPClient.from_transport(self._transport, window_size=_WINDOW)
            self.sftp.get_channel().settimeout(self._options.timeout)
        return self.sftp

    @property
    def write_size(self) -> int:
        """How many bytes one write may have."""
        return _LARGE_WRITE if "OpenSSH" in self._transport.remote_version else _SMALL_WRITE

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = self.sftp = None

    def room(self, folder: str) -> Room | None:
        """Return what the server says of the room in a folder; None where it does not tell."""
        sftp = self.open()
        # paramiko has no call for it, but the means: an extension of OpenSSH's (PROTOCOL, section 4.4).
        try:
            kind, answer = sftp._request(self._paramiko.sftp.CMD_EXTENDED, "statvfs@openssh.com", folder)
            if kind != self._paramiko.sftp.CMD_EXTENDED_REPLY:
                return None
            _block, fragment, _blocks, _free, available = (answer.get_int64() for _number in range(5))
        except (AttributeError, OSError) as error:
            if _is_of_wire(error):
                raise
            return None
        return Room(available * fragment)

    @contextlib.contextmanager
    def words(self) -> Iterator[None]:
        """Turn what breaks into what may pass. What the server refuses is left to those who know what was asked for."""
        try:
            yield
        except (RetryLater, TaskError):
            raise
        except (self._paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, OSError) and not _is_of_wire(error):
                raise
            self.close()
            raise RetryLater(f"{self.name} cannot be reached, or the connection broke ({_said(error)}).") from error

    def _wire(self) -> socket.socket:
        if self._options.proxy:
            return self._through_proxy(self._options.proxy)
        wire = socket.create_connection((self._host, self._port), self._options.timeout)
        # Small requests are not to wait for the answers to those before.
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire

    def _through_proxy(self, proxy: str) -> socket.socket:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TaskError(
                "An sftp:// destination is reached through a proxy that speaks HTTP (CONNECT). Give proxy as "
                "http://host:port, with a user name and a password where it wants them."
            )
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        tunnel = kind(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), self._options.timeout)
        login = {}
        if parts.username:
            login["Proxy-Authorization"] = basic(unquote(parts.username), unquote(parts.password or ""))
        tunnel.set_tunnel(self._host, self._port, login)
        try:
            tunnel.connect()
        except OSError as error:
            if "407" in str(error):
                raise TaskError(
                    "The proxy wants credentials. Give them in the option proxy: http://USER:PASSWORD@host:port."
                ) from None
            raise RetryLater(
                f"The proxy does not connect us to {self.name} ({_said(error)}). Check the option proxy."
            ) from None
        return tunnel.sock

    def _greet(self, wire: socket.socket) -> Any:
        """Return a transport to a server whose key is known."""
        transport = self._paramiko.Transport(wire, default_window_size=_WINDOW)
        transport.banner_timeout = transport.auth_timeout = self._options.timeout
        known = self._known_keys()
        security = transport.get_security_options()
        if _FAST_CIPHER in security.ciphers:
            security.ciphers = (_FAST_CIPHER, *(each for each in security.ciphers if each != _FAST_CIPHER))
        self._prefer_known_kinds(security, known)
        try:
            transport.start_client(timeout=self._options.timeout)
            self._check_key(transport.get_remote_server_key(), known)
        except BaseException:
            transport.close()
            raise
        return transport

    @property
    def _known_hosts_path(self) -> str:
        return self._options.known_hosts_path or os.path.expanduser("~/.ssh/known_hosts")

    def _known_keys(self) -> Any:
        """Return the keys of this server that the file has, by their kinds."""
        path = self._known_hosts_path
        keys = self._paramiko.HostKeys()
        try:
            keys.load(path)
        except FileNotFoundError:
            if self._options.known_hosts_path:
                raise TaskError(
                    f"{path} is not there. Correct known_hosts_path (it is a path on the host that runs the module)."
                ) from None
        except PermissionError:
            raise TaskError(f"{path} may not be read by this user. Correct known_hosts_path.") from None
        return keys.lookup(self._known_name) or {}

    @property
    def _known_name(self) -> str:
        """How files of known hosts call the server."""
        return self._host if self._port == DEFAULT_PORT else f"[{self._host}]:{self._port}"

    @staticmethod
    def _prefer_known_kinds(security: Any, known: Any) -> None:
        """Have the server show a key of a kind that we know, where it has several."""
        kinds = set(known)
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        security.key_types = (
            *(each for each in security.key_types if each in kinds),
            *(each for each in security.key_types if each not in kinds),
        )

    def _check_key(self, key: Any, known: Any) -> None:
        kind = key.get_name()
        shown = f"{kind} SHA256:{_fingerprint(key)}"
        if kind not in known:
            port = "" if self._port == DEFAULT_PORT else f"-p {self._port} "
            raise Unknown(
                f"The SSH server {self.name} is not known: {self._known_hosts_path} has no {kind} key of it. It shows "
                f"{shown}. Compare that with what its administrators say, and add the server's line with "
                f"'ssh-keyscan {port}{self._host}'."
            )
        if known[kind].asbytes() != key.asbytes():
            raise Unknown(
                f"The SSH server {self.name} is not the one that is known: it shows {shown}, and "
                f"{self._known_hosts_path} has another {kind} key. Either the server was set up anew, or somebody is "
                "in between. Ask its administrators; nothing was sent."
            )

    def _log_in(self) -> None:
        user = self._options.username or getpass.getuser()
        refused = self._paramiko.AuthenticationException
        try:
            if self._options.private_key_path:
                self._transport.auth_publickey(user, self._private_key(self._options.private_key_path))
            elif self._options.password is not None:
                self._transport.auth_password(user, self._options.password)
            else:
                self._try_agent(user, refused)
        except refused:
            way = "the key" if self._options.private_key_path else "the password"
            raise TaskError(
                f"{self.name} does not let {user} in with {way}. Check username and "
                f"{'private_key_path' if self._options.private_key_path else 'password'}."
            ) from None
        if not self._transport.is_authenticated():
            raise TaskError(
                f"{self.name} wants more than one proof of who {user} is. Have its administrators let this user in "
                "with a key alone."
            )

    def _try_agent(self, user: str, refused: type[Exception]) -> None:
        keys = self._paramiko.Agent().get_keys()
        for key in keys:
            with contextlib.suppress(refused):
                self._transport.auth_publickey(user, key)
                return
        agent = f"none of the {len(keys)} keys of the SSH agent fits" if keys else "there is no SSH agent with a key"
        raise TaskError(
            f"{self.name} cannot be logged in to as {user}: neither private_key_path nor password was given, and "
            f"{agent}. Give one of the two."
        )

    def _private_key(self, path: str) -> Any:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or not os.access(path, os.R_OK):
                raise FileNotFoundError(path)
        except OSError:
            raise TaskError(
                f"The private key {path} is not there or cannot be read. Correct private_key_path (it is a path on the "
                "host that runs the module)."
            ) from None
        passphrase = self._options.private_key_passphrase
        for kind in (self._paramiko.Ed25519Key, self._paramiko.ECDSAKey, self._paramiko.RSAKey):
            try:
                return kind.from_private_key_file(path, passphrase)
            except self._paramiko.PasswordRequiredException:
                raise TaskError(f"The private key {path} has a passphrase. Give private_key_passphrase.") from None
            except (self._paramiko.SSHException, ValueError):
                continue
        hint = "private_key_passphrase is wrong, or it is no key" if passphrase else "it is no key"
        raise TaskError(f"The private key {path} cannot be used: {hint} of the kinds Ed25519, ECDSA or RSA.")


def _fingerprint(key: Any) -> str:
    return base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _is_of_wire(error: BaseException) -> bool:
    """Return whether a connection broke, rather than the server having said something of a file.

    paramiko makes an OSError of what a server says: with one of two numbers, or with none and the server's words.
    """
    if not isinstance(error, OSError) or isinstance(error, (ConnectionError, socket.timeout, socket.gaierror)):
        return True
    if error.errno is None:
        return "closed" in str(error).lower()
    return error.errno not in (errno.ENOENT, errno.EACCES)


def _said(error: BaseException) -> str:
    if isinstance(error, socket.timeout):
        return "no byte moved within the time limit"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
