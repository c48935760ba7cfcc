# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx as a store for tests, over TLS with a certificate authority of its own.

Writing needs a user and a password, or a token; reading does not. The mode says how it can be written to:

- webdav: with nginx's dav module, and dav_ext for lists and OPTIONS;
- dav: with the dav module alone, which knows MOVE, but neither lists nor OPTIONS;
- put: with PUT and DELETE only.

Faults are lines for the configuration of the server. They can be changed while the server runs:

    with nginx_store(tmp_path) as store:
        store.reconfigure("if ($request_method = PUT) { return 503; }")

As a command it serves until it is ended: python nginx.py --root DIR --ready-file FILE [--mode MODE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

if __package__:
    from .serving import HOST, Certificates, free_ports, serve_until_ended, sizes_in
else:
    from serving import HOST, Certificates, free_ports, serve_until_ended, sizes_in

_METHODS = {
    "webdav": "dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS;",
    "dav": "dav_methods PUT DELETE MKCOL COPY MOVE;",
    "put": "dav_methods PUT DELETE;",
}
_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/opt/homebrew/lib/nginx/modules")
_PATIENCE = 15.0

_CONFIGURATION = """
{load}
{user}
daemon off;
worker_processes 2;
pid {state}/nginx.pid;
error_log {state}/error.log;
events {{ worker_connections 128; }}
http {{
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    default_type application/octet-stream;
    client_max_body_size 0;
    log_format seen escape=json
        '{{"method":"$request_method","path":"$uri","status":$status,"bytes":$request_length,"sent":$bytes_sent,'
        '"authorization":"$http_authorization","expect":"$http_expect","content_range":"$http_content_range"}}';
    map "$request_method $http_authorization" $token_missing {{
        default 1;
        "~^(GET|HEAD) " 0;
        "~^[A-Z]+ Bearer {token}$" 0;
    }}
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        access_log {state}/access.log seen;
        root {root};
        {faults}
        location = /.generation {{ return 200 "{generation}"; access_log off; }}
        location / {{
            {methods}
            {authentication}
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Seen:
    """A request as nginx has logged it: C(bytes) are those of its header and of what came of its body."""

    method: str
    path: str
    status: int
    bytes: int
    # The bytes of the answer.
    sent: int
    authorization: str
    expect: str
    content_range: str


class NginxStore:
    """A running nginx, with the folder C(root) behind its URL."""

    def __init__(
        self,
        root: str | Path,
        mode: str = "webdav",
        username: str = "publisher",
        password: str = "correct horse",
        token: str | None = None,
        folder: str = "images",
        faults: str = "",
    ) -> None:
        self.root = Path(root)
        self.folder = self.root / folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mode = mode
        self.username = username
        self.password = password
        self.token = token
        self._folder_name = folder
        self._faults = faults
        self._generation = 0

    def __enter__(self) -> NginxStore:
        # On the same file system as the root: nginx renames what it has received.
        self._temporary = tempfile.TemporaryDirectory(dir=self.root.parent, prefix="nginx-")
        self._state = Path(self._temporary.name)
        self._certificates = Certificates(self._state)
        (self._state / "users").write_text(f"{self.username}:{{PLAIN}}{self.password}\n", encoding="utf-8")
        self.ca_path = self._certificates.ca_path
        self._start()
        self.url = f"https://{HOST}:{self.port}/{self._folder_name}"
        return self

    def __exit__(self, *_unused: Any) -> None:
        self._process.terminate()
        self._process.wait()
        self._temporary.cleanup()

    def refuse(self, method: str, status: int, location: str = "", retry_after: int | None = None) -> None:
        """Answer all requests of a method with a status from now on."""
        again = "" if retry_after is None else f"add_header Retry-After {retry_after} always; "
        self.reconfigure(f"{again}if ($request_method = {method}) {{ return {status} {location}; }}")

    def limit(self, size: int) -> None:
        """Refuse requests with larger bodies from now on."""
        self.reconfigure(f"client_max_body_size {size};")

    def reconfigure(self, faults: str) -> None:
        """Put other faults in force, in place of those that are."""
        self._faults = faults
        self._generation += 1
        self._write_configuration()
        self._process.send_signal(signal.SIGHUP)
        self._wait()

    def stop(self) -> None:
        """Break all connections."""
        self._process.terminate()  # the fast way: a killed master would leave its workers
        self._process.wait()

    def start(self) -> None:
        """Answer again, at the same port, after C(stop)."""
        self._launch()
        if not self._wait():
            raise RuntimeError(f"nginx does not start: {self._errors()}")

    def requests(self, method: str | None = None) -> list[Seen]:
        """Return the requests so far, those of one method or all. nginx logs a request when it has ended."""
        log = self._state / "access.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        seen = [Seen(**json.loads(line)) for line in lines]
        return [request for request in seen if method in (None, request.method)]

    def bytes_in_transit(self) -> int:
        """Return how many bytes have come of the bodies of requests that have not ended."""
        return sum(sizes_in(self._state / "body").values())

    def _start(self) -> None:
        for _try in range(5):  # the port may be taken between our look and nginx's
            (self.port,) = free_ports(1)
            self._write_configuration()
            self._launch()
            if self._wait():
                return
        raise RuntimeError(f"nginx does not start: {self._errors()}")

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            ["nginx", "-e", str(self._state / "error.log"), "-c", str(self._state / "nginx.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _errors(self) -> str:
        log = self._state / "error.log"
        return log.read_text(encoding="utf-8") if log.exists() else "it wrote no error log"

    def _wait(self) -> bool:
        """Wait until only the newest configuration answers; return False when nginx has ended."""
        context = ssl.create_default_context(cafile=self.ca_path)
        deadline = time.monotonic() + _PATIENCE
        good = 0
        while good < 5:
            if self._process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise RuntimeError(f"nginx does not answer: {self._errors()}")
            connection = HTTPSConnection(HOST, self.port, timeout=_PATIENCE, context=context)
            try:
                connection.request("GET", "/.generation")
                good = good + 1 if connection.getresponse().read() == str(self._generation).encode() else 0
            except OSError:
                good = 0
            finally:
                connection.close()
            if not good:
                time.sleep(0.02)
        return True

    def _write_configuration(self) -> None:
        basic = f'limit_except GET HEAD {{ auth_basic "store"; auth_basic_user_file {self._state}/users; }}'
        text = _CONFIGURATION.format(
            load=_load_dav_ext() if self.mode == "webdav" else "",
            user="user root;" if os.geteuid() == 0 else "",
            state=self._state,
            host=HOST,
            port=self.port,
            chain=self._certificates.chain_path,
            key=self._certificates.key_path,
            root=self.root,
            generation=self._generation,
            methods=_METHODS[self.mode],
            token=self.token or "-",
            authentication="if ($token_missing) { return 401; }" if self.token else basic,
            faults=self._faults,
        )
        (self._state / "nginx.conf").write_text(text, encoding="utf-8")


def nginx_store(root: str | Path, **options: Any) -> NginxStore:
    """Return a store for a C(with) statement."""
    return NginxStore(root, **options)


def _load_dav_ext() -> str:
    names = [Path(folder) / "ngx_http_dav_ext_module.so" for folder in _MODULES]
    found = next((name for name in names if name.exists()), None)
    return f"load_module {found};" if found else ""  # built in, or nginx says that it does not know its lines


def main() -> None:
    parser = argparse.ArgumentParser(description="nginx as a store over HTTPS, for tests.")
    parser.add_argument("--root", required=True, help="the folder behind the URL")
    parser.add_argument("--ready-file", required=True, help="written as JSON when the store answers")
    parser.add_argument("--mode", choices=sorted(_METHODS), default="webdav")
    parser.add_argument("--username", default="publisher")
    parser.add_argument("--password", default="correct horse")
    options = parser.parse_args()
    server = nginx_store(options.root, mode=options.mode, username=options.username, password=options.password)
    serve_until_ended(server, options.ready_file)


if __name__ == "__main__":
    main()
