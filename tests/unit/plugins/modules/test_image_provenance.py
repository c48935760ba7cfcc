# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_provenance, with a folder as its store and the real ssh-keygen."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import image_provenance
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, make_key

FILE = "windows11-2026.11.0-arm64.pvmp"
NAME = f"{FILE}.provenance.json"
GIVEN = {
    "file": FILE,
    "sha256": "AB" * 32,
    "builder_id": "https://builds.example.com/macs/mini-7",
    "invocation_id": "4711",
    "started_at": "2026-11-22T10:00:00Z",
    "parameters": {"image_name": "windows11"},
    "environment": {"parallels": "26.1.0"},
    "source": {"name": "Büro", "uuid": "de22df32-80e2-4e92-ba4b-efb3a66cf092"},
    "commands": [{"cmd": ["prlctl", "pack", "x"], "rc": 0, "started_at": "2026-11-22T10:01:00Z", "seconds": "4.5"}],
}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web root"
    folder.mkdir()
    return folder


@pytest.fixture(name="run")
def fixture_run(folder: Path, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def run(**arguments: Any) -> Any:
        return run_module_main(image_provenance.main, **{"destination": folder.as_uri(), **GIVEN, **arguments})

    return run


def test_it_is_put_beside_the_image_once(run: Callable[..., Any], folder: Path) -> None:
    would = run(_ansible_check_mode=True).result
    assert (would["changed"], list(folder.iterdir())) == (True, [])
    first = run().result
    assert (first["changed"], first["signature_url"]) == (True, "")
    assert first["url"] == f"{folder.as_uri()}/{NAME}"
    assert json.loads((folder / NAME).read_text(encoding="utf-8")) == first["statement"]
    assert first["diff"] == {"before": {}, "after": first["statement"]}
    details = first["statement"]["predicate"]
    assert first["statement"]["subject"] == [{"name": FILE, "digest": {"sha256": "ab" * 32}}]
    assert details["buildDefinition"]["internalParameters"]["parallels"] == "26.1.0"
    assert details["buildDefinition"]["internalParameters"]["architecture"] == platform.machine()
    assert details["runDetails"]["metadata"]["macops_commands"][0]["seconds"] == 4.5
    for check_mode in (True, False):
        second = run(_ansible_check_mode=check_mode, invocation_id="4712").result
        assert (second["changed"], second["statement"]) == (False, first["statement"])
        assert "diff" not in second


def test_it_is_signed(run: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "key")
    signed = run(signing_key_path=str(key), signing_identity=IDENTITY).result
    assert signed["signature_url"] == f"{folder.as_uri()}/{NAME}.sig"
    assert (folder / f"{NAME}.sig").read_text().startswith("-----BEGIN SSH SIGNATURE-----\n")
    assert not run(signing_key_path=str(key), signing_identity=IDENTITY).result["changed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"started_at": "yesterday"}, "started_at cannot be 'yesterday'. Use a UTC time such as"),
        ({"finished_at": "2026-11-22"}, "finished_at cannot be '2026-11-22'. Use a UTC time such as"),
        ({"signing_key_path": "/k"}, "missing parameter(s) required by 'signing_key_path': signing_identity"),
        ({"signing_key_path": "/nowhere/k", "signing_identity": "me"}, "There is no file /nowhere/k"),
        ({"sha256": "12"}, "64 hexadecimal digits"),
        ({"file": "../x"}, "is not a valid file name"),
        ({"materials": [{"name": "x"}]}, "entry of materials is incomplete. Give each entry a name"),
    ],
)
def test_arguments_that_make_no_sense(
    run: Callable[..., Any], folder: Path, arguments: dict[str, Any], message: str
) -> None:
    end = run(**arguments)
    assert end.failed
    assert message in end.result["msg"]
    assert list(folder.iterdir()) == []


def test_a_mac_tells_its_model(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(_module: Any, command: list[str]) -> tuple[int, str, str]:
        asked.append(command)
        return 0, "Mac16,10\n", ""

    monkeypatch.setattr(image_provenance.platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(image_provenance.AnsibleModule, "run_command", answer)
    told = run().result["statement"]["predicate"]["buildDefinition"]["internalParameters"]
    assert (told["system"], told["system_version"], told["model"]) == ("macOS", "26.1", "Mac16,10")
    assert asked == [["/usr/sbin/sysctl", "-n", "hw.model"]]


def test_every_result_is_documented(run: Callable[..., Any]) -> None:
    documented = set(re.findall(r"^(\w+):$", image_provenance.RETURN, re.MULTILINE))
    assert set(run().result) == documented | {"changed", "diff"}
