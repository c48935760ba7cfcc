# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed collection works: its documentation, and the whole playbook."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

from support.build import SOURCE_VM, Build

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = {
    "module": sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")),
    "filter": sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.py")),
}


def test_each_plugin_has_documentation(collections):
    for kind, names in PLUGINS.items():
        full_names = [f"macops.parallels.{name}" for name in names]
        done = subprocess.run(
            [pathlib.Path(sys.executable).with_name("ansible-doc"), "--json", "--type", kind, *full_names],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert sorted(json.loads(done.stdout)) == full_names
        assert "WARNING" not in done.stderr


def test_the_playbook_builds_an_image_once(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, state="running", data="4M", disk="8G", snapshots="base(updates)")
    before = simulated_mac.fingerprint(SOURCE_VM)
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")

    build.run(check=True).assert_ok()
    assert not build.output.exists()
    assert simulated_mac.fingerprint(SOURCE_VM) == before

    build.run().assert_ok()
    build.published()

    build.run().assert_ok().assert_unchanged()
    assert simulated_mac.fingerprint(SOURCE_VM) == before
