# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate of files to and from a guest, beside C(ssh cat) in the same run, and the seconds of a ping beside plain SSH.

The guest is one of the simulated Mac, whose commands run for real. So the figures are those of this collection and of
ssh, not of Parallels. Run it as root, with the Python of an environment that has ansible-core. The exit status is that
of the promise: files are at least half as fast as C(ssh cat).
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
# For support.*, and the collection from where it lies: .../ansible_collections/macops/parallels.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT.parents[2])]
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(ROOT.parents[2])
os.environ["ANSIBLE_HOST_KEY_CHECKING"] = "False"

from ansible.playbook.play_context import PlayContext  # noqa: E402  (finds the collection by the lines before)
from ansible.plugins.loader import connection_loader, init_plugin_loader  # noqa: E402

from support.account import mac_account  # noqa: E402
from support.simulated_mac import SimulatedMac  # noqa: E402
from support.sshd import ssh_server  # noqa: E402

MIB = 1024 * 1024
PROMISE = 0.5


def connected(variables: dict[str, Any]) -> Any:
    """Return the connection to a guest, with the options that Ansible would set."""
    context = PlayContext()
    context.remote_addr = variables["ansible_host"]
    connection = connection_loader.get("macops.parallels.prlctl", context, None)
    connection.set_options(var_options=variables)
    connection.ssh_type_conn.set_options(var_options=variables)
    return connection


def seconds_of(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def ssh_command(connection: Any, remote: str) -> list[str]:
    """Return the ssh client's command, with the options and the kept connection of the plugin."""
    inner = connection.ssh_type_conn
    words = inner._build_command(inner.get_option("ssh_executable"), "ssh", inner.get_option("host"), remote)
    return [os.fsdecode(word) for word in words]


def files(connection: Any, folder: pathlib.Path, work: pathlib.Path, size: int) -> list[tuple[str, float, float]]:
    """Return the MB/s of both ways, of ssh and of the plugin."""
    source, back = folder / "source", folder / "back"
    with source.open("wb") as handle:
        for _number in range(size):
            handle.write(os.urandom(MIB))
    remote = str(work / "over ssh")

    def ssh_put() -> None:
        with source.open("rb") as handle:
            subprocess.run(ssh_command(connection, f"cat >{shlex.quote(remote)}"), stdin=handle, check=True)

    def ssh_fetch() -> None:
        with back.open("wb") as handle:
            subprocess.run(ssh_command(connection, f"cat {shlex.quote(remote)}"), stdout=handle, check=True)

    rows = []
    for name, by_ssh, by_plugin in (
        ("put", ssh_put, lambda: connection.put_file(str(source), "/srv/file")),
        ("fetch", ssh_fetch, lambda: connection.fetch_file("/srv/file", str(back))),
    ):
        # In turn, because others use the machine, too.
        pairs = [(seconds_of(by_ssh), seconds_of(by_plugin)) for _round in range(3)]
        assert name == "put" or source.read_bytes() == back.read_bytes()
        rates = (size * MIB / 1e6 / min(column) for column in zip(*pairs))
        rows.append((name, *rates))
    return rows


def ping(variables: dict[str, Any], folder: pathlib.Path) -> float:
    """Return the seconds of C(ansible -m ping), after one that opens the connection."""
    inventory = folder / f"{variables['ansible_connection']}.yml"
    inventory.write_text(repr({"all": {"hosts": {"host": variables}}}).replace("True", "true"))
    command = [str(pathlib.Path(sys.executable).with_name("ansible")), "all", "-i", str(inventory), "-m", "ping"]
    times = [seconds_of(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _round in range(4)]
    return statistics.median(times[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MiB of the file (default: %(default)s)")
    options = parser.parse_args()
    init_plugin_loader()
    python = pathlib.Path(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable)
    with (
        mac_account(python) as account,
        ssh_server(account) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = pathlib.Path(name)
        os.environ["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(folder / "cp")
        mac = SimulatedMac.create(account.work / "mac", account)
        mac.knob(start_polls=0, guest_ready_after=0)
        with mac.guests():
            uuid = mac.vm("lin", os="debian", own_root=True, state="running")
            guest = {
                **server.host_vars,
                "ansible_connection": "macops.parallels.prlctl",
                "ansible_prlctl_vm": uuid,
                "ansible_prlctl_executable": str(mac.prlctl_path),
                "ansible_prlctl_python": str(account.python),
                "ansible_python_interpreter": "/usr/bin/python3",
            }
            connection = connected(guest)
            connection.exec_command("true")
            rows = files(connection, folder, account.work, options.size)
            pings = ping(server.host_vars, folder), ping(guest, folder)
            connection.reset()
    print(f"| {options.size} MiB | ssh cat, MB/s | guest, MB/s | ratio |\n|---|---|---|---|")
    for what, by_ssh, by_plugin in rows:
        print(f"| {what} | {by_ssh:.0f} | {by_plugin:.0f} | {by_plugin / by_ssh:.2f} |")
    print(f"\nping: {pings[0]:.2f} s over SSH to the Mac, {pings[1]:.2f} s in the guest")
    slow = [what for what, by_ssh, by_plugin in rows if by_plugin < PROMISE * by_ssh]
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
