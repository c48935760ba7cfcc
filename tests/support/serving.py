# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, and the file by which a server that runs as a command says that it answers."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import trustme

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens at now."""
    with contextlib.ExitStack() as stack:
        found = []
        for _number in range(count):
            free = stack.enter_context(socket.socket())
            free.bind((HOST, 0))
            found.append(free.getsockname()[1])
        return found


def program(name: str) -> str:
    """Return the path of a program that a Python package has brought, or that is installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed.")
    return found


class Certificates:
    """A certificate authority of its own in a folder, and a certificate for the servers of this machine."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = authority = trustme.CA()
        issued = authority.issue_cert(HOST, "localhost")
        self.ca_path = str(folder / "ca.pem")
        self.chain_path = str(folder / "server.pem")
        self.key_path = str(folder / "server.key")
        authority.cert_pem.write_to_path(self.ca_path)
        Path(self.chain_path).write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key_path)

    def context(self) -> ssl.SSLContext:
        """Return what a server takes its connections with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain_path, self.key_path)
        return context

    def expired(self) -> tuple[str, str]:
        """Return the paths of a certificate that was good until yesterday, and of its key."""
        yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        issued = self._authority.issue_cert(HOST, "localhost", not_after=yesterday)
        chain, key = self._folder / "expired.pem", self._folder / "expired.key"
        chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(chain), str(key)


def store_facts(store: Any) -> dict[str, Any]:
    """Return what one needs to know to use a store."""
    return {"url": store.url, "ca_path": store.ca_path, "username": store.username, "password": store.password}


def serve_until_ended(
    server: Any, ready_file: str | Path, describe: Callable[[Any], dict[str, Any]] = store_facts
) -> None:
    """Say in a file how to reach a server, as JSON, and wait for a signal."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_unused: ended.set())
    with server as running:
        facts = {**describe(running), "pid": os.getpid()}
        ready = Path(ready_file)
        unfinished = ready.with_name(ready.name + ".new")
        unfinished.write_text(json.dumps(facts), encoding="utf-8")
        unfinished.replace(ready)
        ended.wait()


def sizes_in(folder: Path) -> dict[str, int]:
    """Return the names and sizes of the files that are in a folder while others write there and remove."""
    sizes = {}
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            sizes[path.name] = path.stat().st_size
    return sizes
