# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Apache with mod_dav as a store for tests, over TLS with a certificate authority of its own.

It goes on within a file: PUT with Content-Range, which nginx refuses. Writing needs a user and a password, reading does
not. Apache does not serve as root, so its files are in a folder of its own that another user can get into.

Faults are lines for the configuration of the server:

    with apache_store() as store:
        store.limit(1000)
        store.kill()
        store.start()
"""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .serving import HOST, Certificates, free_ports
from .waiting import wait_until_it_answers

_PROGRAMS = ("apache2", "httpd")
_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/opt/homebrew/lib/httpd/modules")
# Who serves when root runs the tests: on Debian, on Fedora, on a Mac.
_USERS = ("www-data", "apache", "_www")
# In this order, because some need others. What is built in has no file.
_WANTED = (
    *("mpm_event", "unixd", "log_config", "logio", "socache_shmcb", "ssl", "headers", "setenvif", "rewrite"),
    *("authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs"),
)
_PATIENCE = 15.0

_CONFIGURATION = r"""
ServerRoot {state}
ServerName {host}
{load}
{user}
Listen {host}:{port}
PidFile {state}/apache.pid
DefaultRuntimeDir {state}
ErrorLog {state}/error.log
LogFormat "{{\"request\":\"%r\",\"status\":%>s,\"bytes\":%I,\"authorization\":\"%{{Authorization}}i\",\
\"content_range\":\"%{{Content-Range}}i\"}}" seen
CustomLog {state}/access.log seen
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
DavLockDB {state}/locks
DocumentRoot {root}
SSLEngine on
SSLCertificateFile {chain}
SSLCertificateKeyFile {key}
<Directory {root}>
    Dav On
    AuthType Basic
    AuthName store
    AuthUserFile {state}/users
    <LimitExcept GET HEAD>
        Require valid-user
    </LimitExcept>
    {faults}
</Directory>
"""


@dataclass(frozen=True)
class Seen:
    """A request as Apache has logged it: C(bytes) are those of its header and of what came of its body."""

    method: str
    path: str
    status: int
    bytes: int
    authorization: str
    content_range: str


class ApacheStore:
    """A running Apache, with a folder behind its URL."""

    mode = "apache"
    token = None

    def __init__(
        self,
        username: str = "publisher",
        password: str = "correct horse",
        folder: str = "images",
        faults: str = "",
    ) -> None:
        self.username = username
        self.password = password
        self._folder_name = folder
        self._faults = faults

    def __enter__(self) -> ApacheStore:
        self._temporary = tempfile.TemporaryDirectory(prefix="apache-")
        self._state = Path(self._temporary.name)
        self._state.chmod(0o755)
        self.root = self._state / "root"
        self.folder = self.root / self._folder_name
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            for path in (self._state, self.folder):
                shutil.chown(path, _user())
        certificates = Certificates(self._state / "tls")
        self.ca_path = certificates.ca_path
        self._chain_path, self._key_path = certificates.chain_path, certificates.key_path
        digest = base64.b64encode(hashlib.sha1(self.password.encode()).digest()).decode()
        (self._state / "users").write_text(f"{self.username}:{{SHA}}{digest}\n", encoding="utf-8")
        self._start()
        self.url = f"https://{HOST}:{self.port}/{self._folder_name}"
        return self

    def __exit__(self, *_unused: Any) -> None:
        self.kill()
        self._temporary.cleanup()

    def refuse(self, method: str, status: int, location: str = "", retry_after: int | None = None) -> None:
        """Answer all requests of a method with a status from now on."""
        again = "" if retry_after is None else f"Header always set Retry-After {retry_after}\n"
        rule = f"RewriteRule . {location or '-'} [R={status}]"
        self.reconfigure(f"{again}RewriteEngine on\nRewriteCond %{{REQUEST_METHOD}} ={method}\n{rule}")

    def limit(self, size: int) -> None:
        """Refuse requests with larger bodies from now on."""
        self.reconfigure(f"LimitRequestBody {size}")

    def reconfigure(self, faults: str) -> None:
        """Put other faults in force, in place of those that are; breaks all connections."""
        self._faults = faults
        self.kill()
        self._write_configuration()
        self.start()

    def kill(self) -> None:
        """End all its processes in the middle of what they do, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Break all connections."""
        self.kill()

    def start(self) -> None:
        """Answer again, at the same port, after C(kill)."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._launch()
            if self._answers():
                return
            # Of the processes that were killed, one may still hold the port; or a connection of others got its number.
            if "already in use" not in self._errors() or time.monotonic() > deadline:
                raise RuntimeError(f"Apache does not start: {self._errors()}")
            time.sleep(0.2)

    def requests(self, method: str | None = None) -> list[Seen]:
        """Return the requests so far, those of one method or all. Apache logs a request when it has ended."""
        log = self._state / "access.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [seen for seen in map(_seen, lines) if method in (None, seen.method)]

    def _start(self) -> None:
        for _try in range(5):  # the port may be taken between our look and Apache's
            (self.port,) = free_ports(1)
            self._write_configuration()
            self._launch()
            if self._answers():
                return
        raise RuntimeError(f"Apache does not start: {self._errors()}")

    def _launch(self) -> None:
        (self._state / "apache.pid").unlink(missing_ok=True)  # after a kill, its number may be that of anything
        self._process = subprocess.Popen(
            [_program(), "-f", str(self._state / "httpd.conf"), "-DFOREGROUND"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self._state / "start.log").open("wb"),
            start_new_session=True,
        )

    def _errors(self) -> str:
        logs = [self._state / "start.log", self._state / "error.log"]
        return "".join(log.read_text(encoding="utf-8") for log in logs if log.exists()) or "it says nothing"

    def _answers(self) -> bool:
        return wait_until_it_answers(self._process, f"https://{HOST}:{self.port}/", self.ca_path, _PATIENCE)

    def _write_configuration(self) -> None:
        user = _user() if os.geteuid() == 0 else None
        text = _CONFIGURATION.format(
            load=_load_modules(),
            user=f"User {user}\nGroup {grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name}" if user else "",
            state=self._state,
            host=HOST,
            port=self.port,
            chain=self._chain_path,
            key=self._key_path,
            root=self.root,
            faults=self._faults,
        )
        (self._state / "httpd.conf").write_text(text, encoding="utf-8")


def apache_store(**options: Any) -> ApacheStore:
    """Return a store for a C(with) statement."""
    return ApacheStore(**options)


def _seen(line: str) -> Seen:
    logged = json.loads(line)
    method, path, *_version = logged.pop("request").split()
    said = {name: "" if value == "-" else value for name, value in logged.items()}
    return Seen(method=method, path=unquote(path), **said)


def _program() -> str:
    found = next((path for path in map(shutil.which, _PROGRAMS) if path), None)
    if found is None:
        raise RuntimeError(f"There is neither of the programs {' and '.join(_PROGRAMS)}.")
    return found


def _load_modules() -> str:
    folder = next((Path(name) for name in _MODULES if Path(name).is_dir()), None)
    if folder is None:
        return ""
    files = {name: folder / f"mod_{name}.so" for name in _WANTED}
    return "\n".join(f"LoadModule {name}_module {path}" for name, path in files.items() if path.exists())


def _user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
