# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vm_compact."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import vm_compact

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.mark.parametrize("check", [True, False])
def test_compacting(module_mac: Any, run_module_main: Callable[..., Any], check: bool) -> None:
    path = module_mac.folder / "x.pvm"
    facts = module_mac.bundle(path, disk=b"x" * 100_000)
    disk = str(path / "harddisk1.hdd")
    module_mac.list((UUID, "x", "packing")).list((UUID, "x", "stopped"))
    module_mac.list((UUID, "x", "stopped")).look(UUID, Name="x", **facts)
    module_mac.expect("prl_disk_tool", "compact", "--info", "--hdd", disk, out="Allocated blocks: 9\nUsed blocks: 1")
    if not check:
        module_mac.expect("prl_disk_tool", "compact", "--hdd", disk)
        module_mac.expect(
            "prl_disk_tool",
            "compact",
            "--buildmap",
            "--hdd",
            disk,
            then=lambda: (path / "harddisk1.hdd" / "harddisk1.hds").write_bytes(b"x"),
        )
    result = run_module_main(
        vm_compact.main, name="x", executable=str(module_mac.executable), _ansible_check_mode=check
    ).result
    assert result["changed"]
    assert (result["bytes_after"] < result["bytes_before"]) is not check
    assert result["disks"] == [
        {"path": disk, "bytes_before": result["bytes_before"], "bytes_after": result["bytes_after"]}
    ]
    assert result["diff"] == {
        "before": {"bytes": result["bytes_before"]},
        "after": {"bytes": result["bytes_after"]},
    }
