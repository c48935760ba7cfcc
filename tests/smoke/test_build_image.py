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

from support.build import NAME, SOURCE_VM, Build
from support.jobs import Jobs

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = {
    "module": sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")),
    "lookup": sorted(path.stem for path in (ROOT / "plugins" / "lookup").glob("*.py")),
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
    simulated_mac.knob(pack_seconds=8)
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")

    build.run(check=True).assert_ok()
    assert not build.output.exists()
    assert simulated_mac.fingerprint(SOURCE_VM) == before

    first = build.run().assert_ok()
    assert f"  [mac] Packing {NAME}-" in first.output
    build.published()

    build.run().assert_ok().assert_unchanged()
    assert simulated_mac.fingerprint(SOURCE_VM) == before


def test_a_run_that_starts_in_the_middle_says_what_comes_first(play, simulated_mac, https_store, tmp_path):
    """In the words of each release of ansible-core."""
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    for task, stage in (
        ("package_image : Pack the build VM", "prepare_mac"),
        ("hand_over : Write the record", "check_store"),
    ):
        arguments = ["--start-at-task", f"macops.parallels.{task}"]
        run = play("macops.parallels.build_image", build.hosts, build.variables(), arguments=arguments)
        run.assert_failed(f"{stage} has to come first").assert_no_secret(build.store.password)
    assert simulated_mac.show()["calls"] == []


def test_a_canceled_playbook_leaves_no_work_behind(play, simulated_mac, https_store, tmp_path):
    simulated_mac.vm(SOURCE_VM, data="2M", disk="8G")
    simulated_mac.knob(clone_seconds=60)
    before = simulated_mac.fingerprint(SOURCE_VM)
    build = Build.here(play, simulated_mac, https_store, tmp_path / "build")
    jobs = Jobs(build.home)

    with build.start() as running:
        jobs.wait_for("vm")
        running.interrupt()
        assert running.process.wait(60) != 0

    jobs.wait_for_none()
    assert simulated_mac.fingerprint(SOURCE_VM) == before
    assert [vm["name"] for vm in simulated_mac.show()["vms"]] == [SOURCE_VM]
