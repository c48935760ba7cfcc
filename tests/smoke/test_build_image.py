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


def build(play, mac, store, output, **options):
    variables = {
        "image_name": "win11",
        "image_version": "2026.11.0",
        "image_source_vm": "Windows 11",
        "image_destination": f"{store.url}/",
        "image_store_username": store.username,
        "image_store_password": store.password,
        "image_store_ca_path": str(store.ca_path),
        "image_output_dir": str(output),
    }
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **mac.host_vars}
    return play("macops.parallels.build_image", {"mac": host}, variables, **options)


def test_the_playbook_builds_an_image_once(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm("Windows 11", state="running", data="4M", disk="8G", snapshots="base(updates)")
    before = simulated_mac.fingerprint("Windows 11")
    output = tmp_path / "build"

    build(play, simulated_mac, https_store, output, check=True).assert_ok()
    assert not output.exists()
    assert simulated_mac.fingerprint("Windows 11") == before

    first = build(play, simulated_mac, https_store, output)
    first.assert_ok().assert_no_secret(https_store.password)
    assert (output / "win11-2026.11.0.md").is_file()
    record = json.loads((output / "win11-2026.11.0.json").read_text(encoding="utf-8"))
    assert record

    build(play, simulated_mac, https_store, output).assert_ok().assert_unchanged()
    assert simulated_mac.fingerprint("Windows 11") == before
