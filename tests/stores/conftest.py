# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backends of the contract suite, each with its servers running once a process; and the matrix that it prints."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

_COLLECTION = pathlib.Path(__file__).resolve().parents[2]
# For support.*, stores.*, and the collection from where it lies: .../ansible_collections/macops/parallels.
sys.path[:0] = [str(_COLLECTION / "tests"), str(_COLLECTION.parents[2])]

from stores.backends import Backend  # noqa: E402  (found by the line before)
from stores.backends.azurite import AzureBlob  # noqa: E402
from stores.backends.folders import LocalFolder  # noqa: E402
from stores.backends.https import Apache, Nginx, PlainPut  # noqa: E402
from stores.backends.openssh import OpenSsh  # noqa: E402
from stores.backends.rclone_s3 import RcloneS3Backend  # noqa: E402
from stores.backends.repositories import Artifactory, Nexus  # noqa: E402
from stores.backends.seaweedfs import SeaweedFSBackend  # noqa: E402
from stores.backends.sharepoint import SharePoint  # noqa: E402
from stores.matrix import matrix  # noqa: E402

# As the matrix shows them.
BACKENDS: tuple[type[Backend], ...] = (
    LocalFolder,
    Nginx,
    PlainPut,
    Apache,
    Artifactory,
    Nexus,
    SeaweedFSBackend,
    RcloneS3Backend,
    OpenSsh,
    AzureBlob,
    SharePoint,
)

NAME = "Büro Windows 11-2026.11.0-arm64.pvmp"

_running: dict[type[Backend], Backend] = {}


@pytest.fixture(autouse=True)
def exact_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no pause longer by chance."""
    monkeypatch.setattr("ansible_collections.macops.parallels.plugins.module_utils._common.retry._chance", lambda: 0.0)


@pytest.fixture(scope="session")
def _servers() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack
    _running.clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on all kinds of stores but those that cannot keep its promise: these are told in the matrix.

    The tests of a file with C(KINDS) run on these alone.
    """
    if "backend" in metafunc.fixturenames:
        promise = _promise_of(metafunc.definition)
        asked = getattr(metafunc.module, "KINDS", BACKENDS)
        rows = [_row(kind, promise) for kind in asked if promise not in kind.cannot]
        metafunc.parametrize("backend", rows, indirect=True)


def _row(kind: type[Backend], promise: str) -> Any:
    """Return a kind of store as a parameter; one process runs all tests of a kind, and so its servers once."""
    marks = [pytest.mark.xdist_group(kind.name)]
    return pytest.param(kind, id=kind.name, marks=[*marks, pytest.mark.nightly] if promise in kind.nightly else marks)


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, _servers: contextlib.ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> Backend:
    """Return a kind of store whose servers run, without faults."""
    kind = request.param
    request.node.user_properties.append(("promise", [_promise_of(request.node), kind.name]))
    if kind not in _running:
        _running[kind] = _servers.enter_context(kind(tmp_path_factory.mktemp("backend")).running())
    _running[kind].begin()
    return _running[kind]


def _promise_of(test: Any) -> str:
    marker = test.get_closest_marker("promise")
    return marker.args[0] if marker is not None else ""


@pytest.fixture
def image(backend: Backend, tmp_path: pathlib.Path) -> Any:
    """Return an image with a name that has to be encoded."""
    data = os.urandom(backend.image_size)
    path = tmp_path / NAME
    path.write_bytes(data)
    return SimpleNamespace(
        path=str(path), name=NAME, data=data, size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which promise each kind of store keeps."""
    kept: dict[tuple[str, str], bool] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            # The report of a file that could not be read is an error, too, and has none.
            for key, value in getattr(report, "user_properties", ()):
                if key == "promise" and value[0]:
                    kept[tuple(value)] = kept.get(tuple(value), True) and outcome == "passed"
    if kept:
        terminalreporter.write_line("")
        for line in matrix(kept, {kind.name: kind.cannot for kind in BACKENDS}):
            terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark of the contract known."""
    config.addinivalue_line("markers", "promise(name): what every kind of store promises")
