# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates simulated Macs and their VMs."""

from __future__ import annotations

import compileall
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import NOTICE
from .bundle import SUFFIX, Bundle, create_bundle
from .config import VmConfig
from .errors import CommandError, SimulatorError
from .guest_client import tell
from .ids import new_mac_address, new_uuid
from .mac import Mac
from .package import SUFFIX as PACKED_SUFFIX
from .package import pack_bundle
from .prlctl_power import start_guest
from .prlctl_registry import make_linked
from .prlctl_snapshot import LINKED_NAME, switch_snapshot, take_snapshot
from .program import PROGRAMS
from .sparse import MIB, Noise
from .vms import Vm, add, find

_LAUNCHER = """#!/bin/sh
# {notice}. This is not Parallels' {program}.
# The simulated Mac it acts on: {root}
exec {python} -I -S -X utf8 {script} {program} {quoted_root} "$@"
"""
_SCRIPT = """# {notice}: what the launchers run.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from parallels_simulator.program import main

sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""
# No program of the Mac needs them, and to compile them takes time.
_OF_THE_SERVER = ("guest_server.py", "guest_init.py", "guest_root.py", "namespaces.py")
_SIZE = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return the number of bytes for a size such as C(64K), C(200M) or C(2G)."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise SimulatorError(f"'{text}' is not a size. Use a number with K, M, G or T, such as 200M.")
    return int(match.group(1)) * _UNITS[match.group(2).upper()]


def create_mac(root: str, version: str, edition: str, arch: str, python: str) -> Mac:
    """Create a Mac: programs, VM home and state. It gets its own copy of the programs, so it is self-contained."""
    mac = Mac(root)
    if mac.exists():
        raise SimulatorError(f"{mac.root} already has a simulated Mac. Use another folder.")
    if mac.root.exists() and any(mac.root.iterdir()):
        raise SimulatorError(f"{mac.root} is not empty. Use a new or empty folder.")
    package = Path(__file__).parent
    own = mac.root / ".simulator"
    shutil.copytree(package, own / package.name, ignore=shutil.ignore_patterns("__pycache__", *_OF_THE_SERVER))
    script = own / "launch.py"
    script.write_text(_SCRIPT.format(notice=NOTICE), encoding="utf-8")
    _compile(own, python)
    programs = mac.root / "bin"
    programs.mkdir()
    for program in PROGRAMS:
        launcher = programs / program
        launcher.write_text(
            _LAUNCHER.format(
                notice=NOTICE,
                program=program,
                root=mac.root,
                python=shlex.quote(python),
                script=shlex.quote(str(script)),
                quoted_root=shlex.quote(str(mac.root)),
            ),
            encoding="utf-8",
        )
        launcher.chmod(0o755)
    mac.initialise(version, edition, arch)
    return mac


def _compile(folder: Path, python: str) -> None:
    """Compile ahead, since each call is a new process."""
    if python == sys.executable:
        compileall.compile_dir(str(folder), quiet=2)
    else:
        subprocess.run([python, "-m", "compileall", "-q", str(folder)], check=True, stdin=subprocess.DEVNULL)


@dataclass
class VmSpec:
    """The options of C(simulate vm)."""

    name: str
    arch: str
    os: str
    state: str
    data: int
    disk: int
    disks: int
    plain: bool
    snapshots: str
    snapshot_data: int
    encrypted: bool
    linked_to: str
    packed: bool
    tools: str
    description: str
    platform_key: str
    waste: int
    folder: str
    own_root: bool


def create_vm(mac: Mac, spec: VmSpec) -> str:
    """Create and register a VM. Returns its ID."""
    tree = parse_tree(spec.snapshots)
    _check(spec)
    config = _config(mac, spec)
    path = (Path(os.path.abspath(spec.folder)) if spec.folder else mac.home) / (spec.name.replace("/", "-") + SUFFIX)
    with mac.locked() as state:
        if any(record["name"] == spec.name for record in state["vms"].values()):
            raise SimulatorError(f"There is a VM named '{spec.name}' already. Use another name.")
        if path.exists():
            raise SimulatorError(f"{path} already exists. Use another name or folder.")
        parent = find(mac, state, spec.linked_to) if spec.linked_to else None
        if spec.linked_to and parent is None:
            raise SimulatorError(f"There is no VM '{spec.linked_to}' to link to. Create it first.")
    if parent:
        config.linked_vm = parent.uuid
        config.linked_snapshot = take_snapshot(parent.bundle, LINKED_NAME, "", "stopped")
        config.disks = parent.config().disks
        bundle = make_linked(parent.bundle, path, config.linked_snapshot)
        config.save(path)
    else:
        bundle = create_bundle(
            path, config, spec.data, spec.disk, spec.disks, spec.plain, spec.waste, spec.platform_key
        )
    _take_snapshots(bundle, tree, spec.snapshot_data)
    if spec.state == "suspended":
        bundle.write_memory(config.uuid)
    home = path
    if spec.packed:
        home = path.with_suffix(PACKED_SUFFIX)
        digest = pack_bundle(bundle, home)
        if mac.knob("checksum_file"):
            home.with_name(f"{home.stem}.sha256.txt").write_text(digest, encoding="ascii")
        bundle.remove()
    with mac.locked() as state:
        vm = add(mac, state, config, home, spec.state)
        if spec.state in ("running", "paused"):
            _start_guest(vm)
    return config.uuid


def _start_guest(vm: Vm) -> None:
    try:
        start_guest(vm)
        tell(vm.mac, vm.record, "save")  # the bundle has all of it from the beginning
    except CommandError as error:
        raise SimulatorError(error.stderr) from error


def _check(spec: VmSpec) -> None:
    if not spec.name or spec.name.startswith("-"):
        raise SimulatorError("The VM name is empty or starts with a dash. Use another name.")
    if spec.disks < 1:
        raise SimulatorError("A VM needs at least one disk. Set --disks to 1 or greater.")
    if spec.waste and spec.plain:
        raise SimulatorError("Compacting frees space only on expanding disks. Use --waste with --format expanding.")
    if spec.packed and spec.state not in ("stopped", "suspended"):
        raise SimulatorError(f"A packed VM cannot be {spec.state}. Use --state stopped or suspended.")
    if spec.own_root and spec.os.startswith(("win", "mac")):
        raise SimulatorError("Only a Linux guest can have a root of its own. Use --own-root with --os debian.")
    if spec.linked_to and (spec.waste or spec.packed):
        raise SimulatorError("A linked clone cannot have --waste or --packed. Remove these options.")


def _config(mac: Mac, spec: VmSpec) -> VmConfig:
    config = VmConfig(new_uuid(), spec.name)
    config.arch = spec.arch or mac.read()["arch"]
    config.os = spec.os
    config.description = spec.description
    config.encrypted = spec.encrypted
    config.tools = spec.tools
    config.tools_version = mac.profile.tools
    config.own_root = spec.own_root
    config.mac_address = new_mac_address()
    return config


# --- snapshot trees -----------------------------------------------------------------------------------------------


def parse_tree(text: str) -> list[tuple[str, int]]:
    """Return names and depths of C(base(updates(office),test)), in the given order."""
    found: list[tuple[str, int]] = []
    depth, name = 0, ""
    for position, sign in enumerate(text + ","):
        if sign not in "(),":
            name += sign
            continue
        if name.strip():
            found.append((name.strip(), depth))
        elif sign == "(" or (sign == "," and text[position - 1 : position] not in (")", "") and text):
            raise SimulatorError(
                f"The snapshot tree '{text}' has a snapshot without a name at position {position}. Name it."
            )
        name = ""
        depth += {"(": 1, ")": -1, ",": 0}[sign]
        if depth < 0:
            raise SimulatorError(f"The snapshot tree '{text}' has an unmatched closing parenthesis. Remove it.")
    if depth:
        raise SimulatorError(f"The snapshot tree '{text}' has an unmatched opening parenthesis. Close it.")
    if sum(1 for _name, depth in found if depth == 0) > 1:
        raise SimulatorError(
            f"The snapshot tree '{text}' has two roots. Use one root, because a VM cannot return to before its first "
            "snapshot."
        )
    return found


def _take_snapshots(bundle: Bundle, tree: list[tuple[str, int]], size: int) -> None:
    """Take the snapshots in the given order, each on its parent and after some writes. The last one is current."""
    noise = Noise()
    path: list[str] = []

    def work(number: int) -> None:
        for disk in bundle.disks():
            disk.write(number % (disk.virtual // MIB), size, noise)

    for number, (name, depth) in enumerate(tree):
        del path[depth:]
        if path:
            here = bundle.snapshots()
            parent = here.find(path[-1])
            if parent and parent is not here.current:
                switch_snapshot(bundle, parent)
        work(number)
        path.append(take_snapshot(bundle, name, f"Snapshot {name}", "stopped"))
    if tree:
        work(len(tree))
