# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on a simulated Mac: build_image.yml for a running VM with three snapshots, twice.

Everything is made below one folder: the simulated Mac, an HTTPS store with a certificate authority of its own, and what
the playbook hands over. The example project is used as it stands; only the connection, the store and the version are
given from outside, as an admin would.

For root on Linux, the VM is a Linux guest whose commands run for real: a package, a user and a file are installed in
it. Otherwise it is Windows, of which only answers are simulated, and nothing is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = ROOT / "tests" / "simulator" / "simulate"
PROJECT = ROOT / "examples" / "image-project"
HOST = "mac-arm64"
GUEST_TASKS = Path(__file__).with_name("demo_guest.yml")
VERSION = "2026.11.0"

sys.path.insert(0, str(ROOT / "tests"))
from support.guests import GuestsNotPossible, running_guests  # noqa: E402
from support.https_store import https_store  # noqa: E402


def simulate(*args: str | Path) -> str:
    """Run the simulator's command and return what it prints."""
    return subprocess.run(
        [sys.executable, str(SIMULATE), *map(str, args)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def make_vm(mac: Path, name: str, data: str, *options: str) -> None:
    """Make a running VM that has three snapshots."""
    simulate(
        "vm", mac, "--name", name, "--arch", "arm64", "--state", "running",
        "--data", data, "--disk", "64G", "--snapshots", "clean install(updates(office))", *options,
    )  # fmt: skip


def make_package(folder: Path) -> Path:
    """Make the package of a tool, as a company has its own."""
    content = folder / "tool"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN" / "control").write_text(
        "Package: example-tool\nVersion: 2.1\nArchitecture: all\nMaintainer: Example <it@example.com>\n"
        "Description: The tool of the company\n"
    )
    (content / "usr" / "bin").mkdir(parents=True)
    program = content / "usr" / "bin" / "example-tool"
    program.write_text("#!/bin/sh\necho 'The tool runs.'\n")
    program.chmod(0o755)
    package = folder / "example-tool.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", content, package], check=True, stdout=subprocess.DEVNULL
    )
    return package


def choose_vm(mac: Path, data: str, guests: contextlib.ExitStack) -> dict[str, str]:
    """Make the VM that becomes an image; return the variables that are not those of the example."""
    try:
        if not shutil.which("dpkg-deb"):
            raise GuestsNotPossible("The demonstration installs a package of Debian, which this machine cannot make.")
        guests.enter_context(running_guests(mac))
    except GuestsNotPossible as reason:
        print(f"No Linux guest runs: {reason}", flush=True)
        make_vm(mac, "Windows 11", data, "--os", "win-11")
        return {"image_source_vm": "Windows 11"}
    make_vm(mac, "Debian 12", data, "--os", "debian", "--own-root")
    return {
        "image_name": "debian12",
        "image_title": "Debian 12",
        "image_description": "The company's Debian 12, with its tool.",
        "image_source_vm": "Debian 12",
        "image_guest_tasks": str(GUEST_TASKS),
        "image_guest_gather_facts": False,
        "image_generalize": True,
        "demo_package": str(make_package(mac.parent)),
    }


def write_inventory(path: Path, mac: Path) -> None:
    """Say how to reach the simulated Mac that plays a host of the example's inventory."""
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "image_executable": str(mac / "bin" / "prlctl"),
        "image_work_dir": str(mac / "Parallels"),
    }
    # The group of the guests is named in the limit before there are any.
    path.write_text(json.dumps({"build_macs": {"hosts": {HOST: host}}, "build_guests": {}}, indent=2))


def play(inventory: Path, variables: Path, collections: Path) -> subprocess.CompletedProcess:
    """Run the example project's playbook, its output on the terminal as it comes."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOWS": "1"}
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "build_image.yml", "--inventory", "inventory/hosts.ini", "--inventory", str(inventory),
            "--limit", f"{HOST},build_guests", "--extra-vars", f"@{variables}",
        ],
        cwd=PROJECT,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> int:
    """Run the demonstration; the exit code is that of the playbook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", type=Path, required=True, help="folder that holds ansible_collections")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "demo", help="folder that is made anew")
    parser.add_argument("--data", default="64M", help="bytes on the VM's disk, such as 64M or 2G")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)

    mac = output / "mac"
    simulate("create", mac, "--version", "26", "--edition", "enterprise", "--arch", "arm64")
    inventory = output / "inventory.json"
    write_inventory(inventory, mac)
    with contextlib.ExitStack() as guests, https_store(output / "store") as store:
        chosen = choose_vm(mac, arguments.data, guests)
        source_vm = chosen["image_source_vm"]
        print(f"A simulated Mac with the running VM '{source_vm}' and its three snapshots is in {mac}", flush=True)
        before = simulate("fingerprint", mac, source_vm)
        variables = {
            **chosen,
            "image_version": VERSION,
            "image_destination": f"{store.url}/",
            "image_store_username": store.username,
            "vault_image_store_password": store.password,
            "image_store_ca_path": str(store.ca_path),
            "image_output_dir": str(output / "build"),
        }
        variables_path = output / "variables.json"
        variables_path.write_text(json.dumps(variables, indent=2))
        for title in ("First run: from the running VM to a proven link", "Second run: nothing is left to do"):
            print(f"\n=== {title} ===", flush=True)
            started = time.monotonic()
            run = play(inventory, variables_path, arguments.collections)
            print(f"=== {time.monotonic() - started:.1f} s, exit code {run.returncode} ===", flush=True)
            if run.returncode:
                return run.returncode
        if simulate("fingerprint", mac, source_vm) != before:
            print("The source VM is not what it was before.", file=sys.stderr)
            return 1
    sheet = next((output / "build").glob("*.md"))
    print(f"\nThe source VM is what it was before. The golden image sheet, {sheet}:\n\n{sheet.read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
