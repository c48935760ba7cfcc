# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""SFTP connections to an SSH server: host key check, login, and error messages."""

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
from ..._http.stall import PacedResponse
from ..base import StoreOptions
from .known_hosts import KnownHost, read_known_host
from .limits import Greeting, client_class, limit_packets

DEFAULT_PORT = 22
# Seconds of silence after which a packet is sent, so that firewalls do not drop the connection.
_KEEPALIVE = 15
# Bytes that a server may send ahead: more than is in transit on a long-distance connection.
_WINDOW = 32 * 1024 * 1024
# Much faster than the default of the libraries, and part of every OpenSSH since 2014.
_FAST_CIPHER = "aes128-gcm@openssh.com"
# Bytes per write. OpenSSH accepts packets of 256 KiB. The protocol guarantees only 32 KiB, and a write of that size
# does not fit into one SSH packet with its header, so that half of it would wait for a late answer.
_LARGE_WRITE = 255 * 1024
_SMALL_WRITE = 32 * 1024 - 128
_LARGEST_KNOWN_HOSTS = 64 * 1024 * 1024
_MOST_LINES = 5
_SOCKS = ("socks", "socks4", "socks5", "socks5h")


class Unknown(TaskError):
    """The host key of the server is unknown, or it is not the expected one."""


@dataclass(frozen=True)
class Room:
    """What a file system reports about its free space."""

    # Bytes that the user can still write. Some servers report 0 although they have space.
    free: int


class Connection:
    """One connection with one SFTP session."""

    def __init__(self, host: str, port: int, options: StoreOptions) -> None:
        self._paramiko = load("paramiko")
        self._host, self._port, self._options = host, port, options
        self.name = host if port == DEFAULT_PORT else f"{host}:{port}"
        self._transport: Any = None
        self.sftp: Any = None
        # What the admin should know about the file of host keys, although the server's key is known.
        self.notes: list[str] = []

    def open(self) -> Any:
        """Connect if not connected; return the paramiko C(SFTPClient)."""
        if self.sftp is not None and self._transport.is_active():
            return self.sftp
        self.close()
        with self.words():
            self._transport = self._greet(self._wire())
            self._log_in()
            self._transport.sock.end()
            self._transport.set_keepalive(_KEEPALIVE)
            self.sftp = client_class().from_transport(self._transport, window_size=_WINDOW)
            self.sftp.get_channel().settimeout(self._options.timeout)
        return self.sftp

    @property
    def write_size(self) -> int:
        """The maximum number of bytes per write."""
        return _LARGE_WRITE if self.is_openssh else _SMALL_WRITE

    @property
    def is_openssh(self) -> bool:
        """Whether the server is OpenSSH, by its own words."""
        return self._transport is not None and "OpenSSH" in self._transport.remote_version

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = self.sftp = None

    def room(self, folder: str) -> Room | None:
        """Return the free space in a folder, None where the server does not report it."""
        sftp = self.open()
        # paramiko has no method for this extension of OpenSSH (PROTOCOL, section 4.4), but can send the request.
        try:
            kind, answer = sftp._request(self._paramiko.sftp.CMD_EXTENDED, "statvfs@openssh.com", folder)
            if kind != self._paramiko.sftp.CMD_EXTENDED_REPLY:
                return None
            _block, fragment, blocks, _free, available = (answer.get_int64() for _number in range(5))
        except (AttributeError, OSError) as error:
            if is_of_wire(error):
                raise
            return None
        return Room(available * fragment) if blocks else None

    @contextlib.contextmanager
    def words(self) -> Iterator[None]:
        """Turn lost connections into RetryLater. Refusals of the server are left to the caller."""
        try:
            yield
        except (RetryLater, TaskError):
            raise
        except (self._paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, OSError) and not is_of_wire(error):
                raise
            self.close()
            raise RetryLater(f"{self.name} cannot be reached, or the connection was lost ({_said(error)}).") from error

    def _wire(self) -> socket.socket:
        if self._options.proxy:
            return self._through_proxy(self._options.proxy)
        wire = socket.create_connection((self._host, self._port), self._options.timeout)
        # Small requests must not wait for the answers to earlier ones.
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire

    def _through_proxy(self, proxy: str) -> socket.socket:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TaskError(
                "proxy is not valid: an sftp:// destination needs an HTTP proxy (CONNECT). Set proxy to "
                "http://host:port, with a user name and a password if the proxy requires them."
            )
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        tunnel = kind(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), self._options.timeout)
        login = {}
        if parts.username:
            login["Proxy-Authorization"] = basic(unquote(parts.username), unquote(parts.password or ""))
        tunnel.response_class = PacedResponse
        tunnel.set_tunnel(self._host, self._port, login)
        try:
            tunnel.connect()
        except OSError as error:
            if "407" in str(error):
                raise TaskError(
                    "The proxy requires credentials. Set them in the proxy option: http://USER:PASSWORD@host:port."
                ) from None
            raise RetryLater(
                f"The proxy does not connect to {self.name} ({_said(error)}). Check the proxy option."
            ) from None
        return tunnel.sock

    def _greet(self, wire: socket.socket) -> Any:
        """Return a transport to the server, after its host key was verified."""
        transport = self._paramiko.Transport(Greeting(wire), default_window_size=_WINDOW)
        limit_packets(transport)
        transport.banner_timeout = transport.auth_timeout = self._options.timeout
        known = self._known_host()
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
        if known.unread:
            lines = ", ".join(str(number) for number in known.unread[:_MOST_LINES])
            self.notes = [
                f"{self._known_hosts_path} has lines for the SSH server {self.name} that cannot be read, and that were "
                f"ignored: {lines}. Correct or remove them."
            ]
        return transport

    @property
    def _known_hosts_path(self) -> str:
        return self._options.known_hosts_path or os.path.expanduser("~/.ssh/known_hosts")

    def _known_host(self) -> KnownHost:
        """Return what is known about this server."""
        path = self._known_hosts_path
        try:
            with open(path, "rb") as handle:
                data = handle.read(_LARGEST_KNOWN_HOSTS + 1)
        except FileNotFoundError:
            if self._options.known_hosts_path:
                raise TaskError(
                    f"{path} does not exist. Correct known_hosts_path (it is a path on the host that runs the module)."
                ) from None
            data = b""
        except PermissionError:
            raise TaskError(
                f"This user does not have read permission for {path}. Grant it, or correct known_hosts_path."
            ) from None
        except OSError as error:
            raise TaskError(f"{path} cannot be read ({_said(error)}). Correct known_hosts_path.") from None
        if len(data) > _LARGEST_KNOWN_HOSTS:
            raise TaskError(
                f"{path} is larger than {_LARGEST_KNOWN_HOSTS} bytes, so it is not a file of host keys. Correct "
                "known_hosts_path."
            )
        return read_known_host(data, self._host, self._port, DEFAULT_PORT)

    @staticmethod
    def _prefer_known_kinds(security: Any, known: KnownHost) -> None:
        """Request a host key of a type that is known, if the server has several."""
        kinds = set(known.keys)
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        security.key_types = (
            *(each for each in security.key_types if each in kinds),
            *(each for each in security.key_types if each not in kinds),
        )

    def _check_key(self, key: Any, known: KnownHost) -> None:
        kind = key.get_name()
        shown = f"{kind} SHA256:{_fingerprint(key)}"
        if key.asbytes() in known.revoked:
            raise Unknown(
                f"The host key of the SSH server {self.name} is revoked: {self._known_hosts_path} has {shown} in a "
                "line with @revoked. Nothing was sent. Ask its administrators for its new key, and whether someone is "
                "intercepting the connection."
            )
        if kind not in known.keys:
            why = f"{self._known_hosts_path} has no {kind} key for it"
            if known.has_authority:
                why += ", only a certificate authority (@cert-authority), which is not supported here"
            if known.unread:
                why += f" that can be read (see line {known.unread[0]})"
            port = "" if self._port == DEFAULT_PORT else f"-p {self._port} "
            raise Unknown(
                f"The SSH server {self.name} is unknown: {why}. Its host key is {shown}. Ask its administrators "
                f"whether that is right, then add the server's line, which 'ssh-keyscan {port}{self._host}' prints."
            )
        if key.asbytes() not in known.keys[kind]:
            raise Unknown(
                f"The host key of the SSH server {self.name} has changed: it is {shown}, but {self._known_hosts_path} "
                f"has another {kind} key. Nothing was sent. Either the server was set up again, or someone is "
                "intercepting the connection. Ask its administrators."
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
                f"{self.name} refused the login of {user} with {way}. Check username and "
                f"{'private_key_path' if self._options.private_key_path else 'password'}."
            ) from None
        if not self._transport.is_authenticated():
            raise TaskError(
                f"{self.name} requires more than one authentication method for {user}. Ask its administrators to allow "
                "this user to log in with a key only."
            )

    def _try_agent(self, user: str, refused: type[Exception]) -> None:
        keys = self._paramiko.Agent().get_keys()
        for key in keys:
            with contextlib.suppress(refused):
                self._transport.auth_publickey(user, key)
                return
        agent = (
            f"{self.name} accepts none of the {len(keys)} keys of the SSH agent"
            if keys
            else "there is no SSH agent with a key"
        )
        raise TaskError(
            f"Cannot log in to {self.name} as {user}: neither private_key_path nor password is set, and {agent}. Set "
            "one of the two options."
        )

    def _private_key(self, path: str) -> Any:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or not os.access(path, os.R_OK):
                raise FileNotFoundError(path)
        except OSError:
            raise TaskError(
                f"The private key {path} does not exist or cannot be read. Correct private_key_path (it is a path on "
                "the host that runs the module)."
            ) from None
        passphrase = self._options.private_key_passphrase
        for kind in (self._paramiko.Ed25519Key, self._paramiko.ECDSAKey, self._paramiko.RSAKey):
            try:
                return kind.from_private_key_file(path, passphrase)
            except self._paramiko.PasswordRequiredException:
                raise TaskError(f"The private key {path} has a passphrase. Set private_key_passphrase.") from None
            except (self._paramiko.SSHException, ValueError):
                continue
        hint = "private_key_passphrase is wrong, or it is not a key" if passphrase else "it is not a key"
        raise TaskError(
            f"The private key {path} cannot be used: {hint} of type Ed25519, ECDSA or RSA. Correct private_key_path"
            f"{' or private_key_passphrase' if passphrase else ''}."
        )


def _fingerprint(key: Any) -> str:
    return base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def is_of_wire(error: BaseException) -> bool:
    """Return whether the connection was lost, in contrast to an error of the server about a file.

    paramiko turns a server's errors into an OSError: with one of two numbers, or with none and the server's text.
    """
    if not isinstance(error, OSError) or isinstance(error, (ConnectionError, socket.timeout, socket.gaierror)):
        return True
    if error.errno is None:
        return "closed" in str(error).lower()
    return error.errno not in (errno.ENOENT, errno.EACCES)


def _said(error: BaseException) -> str:
    if isinstance(error, socket.timeout):
        return "no data was transferred within the timeout"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
