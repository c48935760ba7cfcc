# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_sbom, with a folder as its store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.modules import image_sbom

FILE = "ubuntu-2026.11.0-arm64.pvmp"
NAME = f"{FILE}.cdx.json"
GIVEN = {
    "file": FILE,
    "sha256": "AB" * 32,
    "inventory": {
        "system": {"family": "linux", "id": "debian", "name": "Debian 12", "version": "12", "arch": "aarch64"},
        "components": [{"type": "deb", "name": "bash", "version": "5.2", "arch": "arm64"}],
    },
    "taken_at": "2026-11-22T10:00:00Z",
}


@pytest.fixture(name="run")
def fixture_run(tmp_path: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def run(**arguments: Any) -> Any:
        return run_module_main(image_sbom.main, **{"destination": tmp_path.as_uri(), **GIVEN, **arguments})

    return run


def test_it_is_put_beside_the_image_once(run: Callable[..., Any], tmp_path: Path) -> None:
    would = run(_ansible_check_mode=True).result
    assert (would["changed"], list(tmp_path.iterdir())) == (True, [])
    first = run().result
    data = (tmp_path / NAME).read_bytes()
    assert first == {
        **would,
        "name": NAME,
        "url": f"{tmp_path.as_uri()}/{NAME}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "components": 1,
    }
    assert json.loads(data)["metadata"]["component"]["hashes"][0]["content"] == "ab" * 32
    assert set(yaml.safe_load(image_sbom.RETURN)) == set(first) - {"changed"}
    again = run().result
    assert again == {**first, "changed": False}
    assert run(sha256="CD" * 32).result["changed"] is True


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"taken_at": "yesterday"}, "taken_at cannot be 'yesterday'"),
        ({"inventory": {}}, "No SBOM can be made"),
        ({"sha256": "ab"}, "64 hexadecimal digits"),
        ({"file": "../x"}, "x"),
    ],
)
def test_what_is_refused(run: Callable[..., Any], tmp_path: Path, arguments: dict[str, Any], why: str) -> None:
    end = run(**arguments)
    assert end.failed
    assert why in end.result["msg"]
    assert list(tmp_path.iterdir()) == []
