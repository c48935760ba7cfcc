# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that really fills up while a VM is cloned, and while it is packed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

from support.fault_table import recorded

NAME = "Büro 1"
SOURCE = "Büro Windows 11"
TASKS = """---
- name: Clone and pack on a disk that fills up
  hosts: build_macs
  gather_facts: false
  module_defaults:
    group/macops.parallels.parallels:
      executable: "{{ image_executable }}"
  tasks:
    - name: Clone
      macops.parallels.vm: &clone
        name: "{{ name_of_clone }}"
        clone_of: "{{ name_of_source }}"
        dest: "{{ disk }}"
      register: first
      failed_when: first is not failed
    - name: Clone again
      macops.parallels.vm: *clone
    - name: Pack
      macops.parallels.image_pack: &pack
        name: "{{ name_of_clone }}"
      register: first
      failed_when: first is not failed
    - name: Pack again
      macops.parallels.image_pack: *pack
"""


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 20 MB; only root on Linux can make one."""
    folder = tmp_path / "kleine Platte"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled_when(disk, *names):
    """Fill the disk when the first of these files is half made, and make room again when it is gone; then the next."""
    over = threading.Event()
    filled = []

    def wait_until(reached):
        while not reached() and not over.wait(0.01):
            pass

    def fill():
        for name in names:
            path = disk / name
            wait_until(path.exists)
            if over.is_set():
                return
            filler = disk / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(64 * 1024))
            filled.append(name)
            wait_until(lambda path=path: not path.exists())
            filler.unlink()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield filled
    finally:
        over.set()
        thread.join()


def test_a_disk_that_fills_up(play, simulated_mac, small_disk, tmp_path, record_property):
    simulated_mac.vm(SOURCE, data="4M", disk="8G")
    simulated_mac.knob(clone_seconds=2, pack_seconds=2)
    before = simulated_mac.fingerprint(SOURCE)
    playbook = tmp_path / "play.yml"
    playbook.write_text(TASKS, encoding="utf-8")
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    host = {"ansible_connection": "local", "ansible_python_interpreter": python, **simulated_mac.host_vars}
    variables = {"disk": str(small_disk), "name_of_clone": NAME, "name_of_source": SOURCE}

    strikes = [("disk", "full in the middle", stage) for stage in ("clone", "pack")]
    with recorded(record_property, *strikes) as runs:
        with filled_when(small_disk, f"{NAME}.pvm", f"{NAME}.pvmp") as filled:
            started = time.monotonic()
            run = play(playbook, {"mac": host}, variables, environment={"HOME": str(small_disk)})
            assert time.monotonic() - started < 120

        assert filled == [f"{NAME}.pvm", f"{NAME}.pvmp"], run.output
        assert run.rc == 0, run.output
        for task, verb in (("Clone", "clone"), ("Pack", "pack")):
            (first,) = run.results_of(task)
            assert f"could not {verb}" in first["msg"]
            assert "The disk is full" in first["msg"]
            assert f"{small_disk} has " in first["msg"]
            assert first["path"] == str(small_disk)
            assert first["needed_bytes"] > 4 * 1024 * 1024
            assert first["free_bytes"] >= 0
            (second,) = run.results_of(f"{task} again")
            assert second["changed"]
        assert "is unchanged" in run.results_of("Pack")[0]["msg"]
        assert simulated_mac.fingerprint(SOURCE) == before
        assert {path.name for path in small_disk.iterdir()} == {
            ".ansible",
            f".{NAME}.pvm.claim.json",
            f"{NAME}.pvmp",
            f"{NAME}.sha256.txt",
        }
        runs.extend(["fails, and says what is free and what it needs", "ends well"])
