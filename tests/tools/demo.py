# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on a simulated Mac: build_image.yml for a running VM with three snapshots, twice; then a Linux guest.

Everything is made below one folder: the simulated Mac, an HTTPS store with a certificate authority of its own, and what
the playbook hands over. The example project is used as it stands; only the connection, the store and the version are
given from outside, as an admin would.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = ROOT / "tests" / "simulator" / "simulate"
PROJECT = ROOT / "examples" / "image-project"
HOST = "mac-arm64"
SOURCE_VM = "Windows 11"
LINUX_VM = "Debian 12"
VERSION = "2026.11.0"

sys.path.insert(0, str(ROOT / "tests"))
from support.https_store import https_store  # noqa: E402


def simulate(*args: str | Path) -> str:
    """Run the simulator's command and return what it prints."""
    return subprocess.run(
        [sys.executable, str(SIMULATE), *map(str, args)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def make_mac(folder: Path, data: str) -> None:
    """Make a simulated Mac with a running Windows VM that has three snapshots."""
    simulate("create", folder, "--version", "26", "--edition", "enterprise", "--arch", "arm64")
    simulate(
        "vm", folder, "--name", SOURCE_VM, "--arch", "arm64", "--os", "win-11", "--state", "running",
        "--data", data, "--disk", "64G", "--snapshots", "clean install(updates(office))",
    )  # fmt: skip


def write_inventory(path: Path, mac: Path) -> None:
    """Say how to reach the simulated Mac that plays a host of the example's inventory."""
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "image_executable": str(mac / "bin" / "prlctl"),
        "image_work_dir": str(mac / "Parallels"),
    }
    path.write_text(json.dumps({"build_macs": {"hosts": {HOST: host}}}, indent=2))


def play(inventory: Path, variables: Path, collections: Path) -> subprocess.CompletedProcess:
    """Run the example project's playbook, its output on the terminal as it comes."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOWS": "1"}
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "build_image.yml", "--inventory", "inventory.yml", "--inventory", str(inventory),
            "--limit", f"{HOST},build_guests", "--extra-vars", f"@{variables}",
        ],
        cwd=PROJECT,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextlib.contextmanager
def running_guests(mac: Path) -> Iterator[str]:
    """Run the guests that have a root of their own; yield why that is impossible, else nothing."""
    command = [sys.executable, str(SIMULATE), "guests", str(mac), "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin and server.stdout and server.stderr
        is_ready = server.stdout.readline() == "ready\n"
        try:
            yield "" if is_ready else server.stderr.read().strip() or "The guests did not start."
        finally:
            server.stdin.close()


def make_package(folder: Path) -> Path:
    """Make a Debian package, which the example's tasks install."""
    control = folder / "agent" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: company-agent\nVersion: 4.2\nArchitecture: all\nMaintainer: IT <it@example.com>\n"
        "Description: The agent of the company\n"
    )
    program = folder / "agent" / "usr" / "bin" / "company-agent"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho company-agent 4.2\n")
    program.chmod(0o755)
    package = folder / "company-agent.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(folder / "agent"), str(package)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return package


def provision_linux(mac: Path, output: Path, inventory: Path, variables: dict[str, Any], collections: Path) -> int:
    """Build an image whose guest gets a package, a user and a file; return the exit code of the playbook."""
    with running_guests(mac) as obstacle:
        if obstacle or shutil.which("dpkg-deb") is None:
            print(f"A Linux guest that runs commands is not possible here. {obstacle or 'There is no dpkg-deb.'}")
            return 0
        simulate("vm", mac, "--name", LINUX_VM, "--arch", "arm64", "--os", "debian", "--own-root", "--data", "1M")
        linux = {
            **variables,
            "image_name": "debian",
            "image_title": "Debian 12",
            "image_description": "The company's Debian, with its agent.",
            "image_source_vm": LINUX_VM,
            "image_generalize": True,
            "image_guest_tasks": "tasks/guest.yml",
            "company_agent": str(make_package(output)),
            # So that the image can be opened afterwards.
            "image_keep_local": True,
        }
        path = output / "linux.json"
        path.write_text(json.dumps(linux, indent=2))
        code = run_playbook("A Linux guest gets a package, a user and a file", inventory, path, collections)
        if not code:
            print(f"A guest that starts from the image says:\n\n{what_is_in(mac, f'debian-{VERSION}-arm64')}")
        return code


def what_is_in(mac: Path, vm: str) -> str:
    """Start a guest from its packed image, and return what it says of the package, the user and the file."""
    prlctl = str(mac / "bin" / "prlctl")
    for words in (["unpack", vm], ["start", vm]):
        subprocess.run([prlctl, *words], check=True, stdout=subprocess.DEVNULL)
    command = "company-agent; id helpdesk; cat /etc/company-image"
    done = subprocess.run([prlctl, "exec", vm, command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return done.stdout.decode()


def run_playbook(title: str, inventory: Path, variables: Path, collections: Path) -> int:
    """Run the playbook below a title, and return its exit code."""
    print(f"\n=== {title} ===", flush=True)
    started = time.monotonic()
    run = play(inventory, variables, collections)
    print(f"=== {time.monotonic() - started:.1f} s, exit code {run.returncode} ===", flush=True)
    return run.returncode


def main() -> int:
    """Run the demonstration; the exit code is that of the playbook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", type=Path, required=True, help="folder that holds ansible_collections")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "demo", help="folder that is made anew")
    parser.add_argument("--data", default="64M", help="bytes on the VM's disk, such as 64M or 2G")
    parser.add_argument("--without-guest", action="store_true", help="leave the Linux guest out")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)

    mac = output / "mac"
    print(f"A simulated Mac with the running VM '{SOURCE_VM}' and its three snapshots is made in {mac}", flush=True)
    make_mac(mac, arguments.data)
    before = simulate("fingerprint", mac, SOURCE_VM)
    inventory = output / "inventory.json"
    write_inventory(inventory, mac)
    with https_store(output / "store") as store:
        variables = {
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
            code = run_playbook(title, inventory, variables_path, arguments.collections)
            if code:
                return code
        if not arguments.without_guest:
            code = provision_linux(mac, output, inventory, variables, arguments.collections)
            if code:
                return code
    if simulate("fingerprint", mac, SOURCE_VM) != before:
        print("The source VM is not what it was before.", file=sys.stderr)
        return 1
    sheet = next((output / "build").glob("win11-*.md"))
    print(f"\nThe source VM is what it was before. The golden image sheet, {sheet}:\n\n{sheet.read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
