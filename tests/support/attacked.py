# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a hostile server, as the modules do, and measures what that costs: as a command, and as its caller.

The command imports the collection once. Each attack has a process of its own, which is forked from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple

UTILS = "ansible_collections.macops.parallels.plugins.module_utils."
# Seconds until an attack has succeeded.
MOST_SECONDS = 20
# Bytes. More is not to be had, so that an attack that succeeds does not fill the memory of the tests.
MOST_MEMORY = 3 * 1024**3


class Outcome(NamedTuple):
    """What came of a question: its result or error, and what it cost."""

    said: str
    kind: str
    seconds: float
    # Bytes of memory beside those before the question.
    memory: int
    pauses: list[float]


class Attacked(contextlib.AbstractContextManager):
    """Asks questions under a Python of a Mac."""

    def __init__(self, python: str, collections: pathlib.Path) -> None:
        self._python = python
        self._collections = collections

    def __enter__(self) -> Attacked:
        self._process = subprocess.Popen(
            [self._python, __file__],
            env={**os.environ, "PYTHONPATH": str(self._collections)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_unused: object) -> None:
        self._process.communicate()

    def ask(self, what: str, url: str, ca_path: str, **options: Any) -> Outcome:
        """Ask a question of a server, and return what came of it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, url, ca_path, options]) + "\n")
        self._process.stdin.flush()
        return Outcome(*json.loads(self._process.stdout.readline()))


def _store(url: str, ca_path: str, options: dict[str, Any]) -> Any:
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store

    if options.pop("sharepoint", False):
        options |= {"token": "token", "endpoint_url": url}
        url = "sharepoint://contoso.sharepoint.com/golden/Documents/images"
    return open_store(url, StoreOptions(ca_path=ca_path, **options))


def _link(url: str, ca_path: str, options: dict[str, Any]) -> str:
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
    from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
    from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck, Question

    timeout = options.pop("timeout")
    report = LinkCheck(
        Question(url, **options),
        lambda cookies: Http(ca_path=ca_path, cookies=cookies, timeout=timeout),
        Retries(1, _pauses.append),
        patience=timeout,
    ).run()
    return f"{report.verdict}: {' '.join(report.reasons)}"


_pauses: list[float] = []


def _answer(what: str, url: str, ca_path: str, options: dict[str, Any]) -> str:
    options = {"timeout": 2.0, **options}
    if what == "link":
        return _link(url, ca_path, options)
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries

    limit = options.pop("limit", 4 * 1024 * 1024)
    store = _store(url, ca_path, options)
    work = {
        "read": lambda: store.read("catalog.json", limit),
        "list": store.list,
        "delete": lambda: store.delete("catalog.json"),
        "look": lambda: store.look("catalog.json"),
    }[what]
    return repr(Retries(1, _pauses.append).call(work))


def _peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _attacked(question: list[Any]) -> list[Any]:
    begun, before = time.monotonic(), _peak()
    signal.alarm(MOST_SECONDS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    try:
        said, kind = _answer(*question), "answer"
    except Exception as error:
        said, kind = str(error), type(error).__name__
    return [said[:2000], kind, time.monotonic() - begun, _peak() - before, _pauses]


def _fork(question: list[Any]) -> list[Any]:
    """Answer in a process of its own."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as handle:
            json.dump(_attacked(question), handle)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as handle:
        said = handle.read()
    _unused, _status, used = os.wait4(process, 0)
    return json.loads(said) if said else ["no answer in time", "killed", MOST_SECONDS, used.ru_maxrss * 1024, []]


def main() -> None:
    """Answer the questions of standard input."""
    import importlib

    for name in ("_link.check", "_stores.registry", "_stores.https.store", "_stores.sharepoint.store"):
        importlib.import_module(UTILS + name)
    for name in ("requests", "urllib3", "xml.etree.ElementTree"):
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
