# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole run over SSH with a big image: seconds and peak memory of each module, beside the same work by hand.

By hand means what an admin types: `shasum -a 256`, `curl -T`, `curl -o`, `shasum -a 256`, on the same image, with the
same server, in the same run. The result is a table in Markdown on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.account import Account, mac_account  # noqa: E402
from support.build import SOURCE_VM, Build  # noqa: E402
from support.nginx import NginxStore  # noqa: E402
from support.playbook import PlaybookRun, run_playbook  # noqa: E402
from support.simulated_mac import SimulatedMac  # noqa: E402
from support.sshd import ssh_server  # noqa: E402

# In place of the Mac's Python: runs it, and notes which module it ran, for how long, and its peak memory.
MEASURED_PYTHON = """\
#!{python} -IS
import json, os, re, resource, subprocess, sys, time
module = sys.stdin.buffer.read() if len(sys.argv) == 1 else b""
name = re.search(rb"macops\\.parallels\\.plugins\\.modules\\.([a-z_]+)", module)
begun = time.time()
done = subprocess.run([{python!r}, *sys.argv[1:]], input=module or None)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
if name:
    line = json.dumps([name.group(1).decode(), time.time() - begun, usage.ru_maxrss])
    with open({log!r}, "a") as lines:
        lines.write(line + chr(10))
sys.exit(done.returncode)
"""

# The modules whose work the commands by hand do.
BY_HAND = ("image_checksum", "image_upload", "image_link_info")


def measured_python(account: Account, log: pathlib.Path) -> pathlib.Path:
    """Make an interpreter that measures."""
    path = account.base / "measured-python"
    path.write_text(MEASURED_PYTHON.format(python=str(account.python), log=str(log)))
    path.chmod(0o755)
    return path


def work_by_hand(image: pathlib.Path, store: NginxStore, scratch: pathlib.Path) -> dict[str, float]:
    """Do what an admin does with a packed image, and return the seconds of each command."""
    url = f"{store.url}/by-hand.pvmp"
    copy = scratch / "by-hand.pvmp"
    curl = ["curl", "--silent", "--show-error", "--fail", "--cacert", store.ca_path]
    login = scratch / "login"
    login.write_text(f'user = "{store.username}:{store.password}"\n')
    commands = {
        "shasum -a 256 (the image)": ["shasum", "-a", "256", image],
        "curl -T": [*curl, "--config", login, "-T", image, url],
        "curl -o": [*curl, "-o", copy, url],
        "shasum -a 256 (the download)": ["shasum", "-a", "256", copy],
    }
    seconds = {}
    for name, command in commands.items():
        begun = time.monotonic()
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        seconds[name] = time.monotonic() - begun
    copy.unlink()
    return seconds


def read_log(log: pathlib.Path) -> list[tuple[str, float, int]]:
    """Return module, seconds and peak memory in KiB of what ran since the last call."""
    lines = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
    log.write_text("")
    return lines


def report(first: PlaybookRun, second: PlaybookRun, modules: list, by_hand: dict[str, float], size: int) -> str:
    """Return the tables."""
    own = sum(seconds for name, seconds, _memory in modules if name in BY_HAND)
    hand = sum(by_hand.values())
    lines = [
        f"Image: {size} bytes ({size / 2**30:.2f} GiB).",
        f"First run {first.seconds:.1f} s, second run {second.seconds:.1f} s.",
        "",
        "| module | seconds | peak memory, MiB |",
        "|---|---|---|",
        *(f"| {name} | {seconds:.2f} | {memory / 1024:.0f} |" for name, seconds, memory in modules),
        "",
        "| by hand | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in by_hand.items()),
        "",
        f"Hash, upload and proof: {own:.2f} s by the modules, {hand:.2f} s by hand: {own / hand:.2f} of it.",
    ]
    return "\n".join(lines)


def measure(data: str) -> str:
    """Run the playbook twice and the commands by hand, and return the report."""
    python = pathlib.Path(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable)
    # Two gigabytes are a lot for a temporary folder that is kept in memory.
    with (
        tempfile.TemporaryDirectory(dir=ROOT / ".cache") as name,
        mac_account(python) as account,
        ssh_server(account) as server,
        NginxStore(pathlib.Path(name) / "store") as store,
    ):
        scratch = pathlib.Path(name)
        collections = scratch / "collections"
        (collections / "ansible_collections" / "macops").mkdir(parents=True)
        (collections / "ansible_collections" / "macops" / "parallels").symlink_to(ROOT)
        mac = SimulatedMac.create(account.work / "mac", account)
        mac.vm(SOURCE_VM, state="running", data=data, disk="64G", snapshots="base(updates(office))")
        log = account.work / "modules.log"
        log.touch()
        os.chown(log, account.uid if account.uid is not None else -1, account.gid if account.gid is not None else -1)
        host = {
            **server.host_vars,
            **mac.host_vars,
            "ansible_python_interpreter": str(measured_python(account, log)),
            "image_store_ca_path": str(shutil.copy(store.ca_path, mac.folder / "ca.pem")),
            "image_keep_local": True,
        }

        def play(*arguments: object, **options: object) -> PlaybookRun:
            return run_playbook(*arguments, collections=collections, timeout=3600, **options)

        build = Build(play, {"mac": host}, store, scratch / "build")
        first = build.run().assert_ok()
        modules = read_log(log)
        record = build.published()
        by_hand = work_by_hand(mac.folder / "Parallels" / record["file"], store, scratch)
        second = build.run().assert_ok().assert_unchanged()
        return report(first, second, modules, by_hand, record["size"])


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="2G", help="bytes on the VM's disk, such as 200M or 2G")
    print(measure(parser.parse_args().data))


if __name__ == "__main__":
    main()
