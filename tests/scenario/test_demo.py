# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration, and with it the example project as it stands."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_demonstration(collections, tmp_path):
    demo = [sys.executable, ROOT / "tests" / "tools" / "demo.py", "--data", "4M"]

    done = subprocess.run(
        [*demo, "--collections", collections, "--output", tmp_path / "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:]
    assert "changed=0" in done.stdout.partition("Second run")[2]
    assert "The source VM is what it was before." in done.stdout
    assert "WARNING" not in done.stdout
    if "No Linux guest runs" not in done.stdout:
        assert_provisioned(next((tmp_path / "demo" / "store").rglob("debian12-*.pvmp")), tmp_path)


def assert_provisioned(image, folder):
    """Check that what the guest was given is in the published image, and what belongs to one machine is not."""
    sys.path.insert(0, str(ROOT / "tests" / "simulator"))
    from parallels_simulator.bundle import GUEST_ROOT
    from parallels_simulator.package import Package

    bundle = Package(image).unpack_to(folder / "image.pvm")
    sbom = json.loads(image.with_name(f"{image.name}.cdx.json").read_text(encoding="utf-8"))
    assert [each["version"] for each in sbom["components"] if each["name"] == "example-tool"] == ["2.1"]
    with tarfile.open(bundle.path / GUEST_ROOT) as root:

        def read(name):
            return root.extractfile(name).read().decode()

        assert "The tool runs." in read("usr/bin/example-tool")
        assert "Package: example-tool\nStatus: install ok installed\n" in read("var/lib/dpkg/status")
        assert read("etc/example-tool.conf") == "server: tool.example.com\n"
        assert "\ntool:x:" in read("etc/passwd")
        assert read("etc/machine-id") == ""
        assert not [name for name in root.getnames() if "ssh_host_" in name and root.getmember(name).isreg()]
