# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_pack."""

from __future__ import annotations

import os
import shutil
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import image_pack

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.mark.parametrize("check", [True, False])
def test_packing(module_mac: Any, run_module_main: Callable[..., Any], check: bool) -> None:
    bundle, image = module_mac.folder / "Übung 1.pvm", module_mac.folder / "Übung 1.pvmp"
    facts = module_mac.bundle(bundle)
    packed = module_mac.home(image)

    def look(facts: dict[str, Any]) -> None:
        module_mac.list((UUID, "x", "stopped")).look(UUID, Name="x", **facts)

    def pack() -> None:
        shutil.rmtree(bundle)
        image.write_bytes(b"image")

    look(facts)
    if not check:
        module_mac.list((UUID, "x", "stopped"))
        look(facts)
        module_mac.expect("prlctl", "pack", UUID, then=pack)
        module_mac.list((UUID, "x", "stopped"))
        module_mac.expect("prlctl", "list", "-i", "-j", UUID, out=[module_mac.info(**packed)])
        look(packed)
        look(packed)
    result = run_module_main(
        image_pack.main, name="x", executable=str(module_mac.executable), _ansible_check_mode=check
    ).result
    assert result.pop("seconds") >= 0
    commands = [command["cmd"][1:] for command in result.pop("commands")]
    assert commands == ([] if check else [["pack", UUID]])
    assert result == {
        "changed": True,
        "path": str(image),
        **({} if check else {"size": 5}),
        "diff": {"before": {"home": bundle.name}, "after": {"home": image.name}},
    }
    assert os.path.exists(image) is not check


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("state", "suffix", "size"), [("packed", ".pvmp", {"size": 5}), ("unpacked", ".pvm", {})])
def test_nothing_to_do(
    module_mac: Any, run_module_main: Callable[..., Any], check: bool, state: str, suffix: str, size: dict[str, int]
) -> None:
    path = module_mac.folder / f"x{suffix}"
    path.write_bytes(b"image")
    module_mac.list((UUID, "x", "stopped")).look(UUID, Name="x", **module_mac.home(path))
    end = run_module_main(
        image_pack.main, name="x", state=state, executable=str(module_mac.executable), _ansible_check_mode=check
    )
    assert end.result == {
        "changed": False,
        "seconds": 0.0,
        "commands": [],
        "path": str(path),
        **size,
        "diff": {"before": {"home": path.name}, "after": {"home": path.name}},
    }


def test_a_refusal_is_a_sentence(module_mac: Any, run_module_main: Callable[..., Any]) -> None:
    facts = module_mac.bundle(module_mac.folder / "x.pvm")
    module_mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running", **facts)
    end = run_module_main(image_pack.main, name="x", executable=str(module_mac.executable), _ansible_check_mode=True)
    assert end.failed
    assert end.result == {
        "msg": "'x' was not packed: it is running. Shut it down first (macops.parallels.vm_power with state: stopped).",
        "state": "running",
    }
