# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command C(simulate): creates simulated Macs, sets their knobs, injects faults, and shows what happened."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from . import NOTICE
from .calls import read_calls
from .create import VmSpec, create_mac, create_vm, parse_size
from .dialogue import parse_replies
from .errors import SimulatorError
from .faults import FAULTS, parse_fault
from .fingerprint import fingerprint
from .knobs import KNOBS, parse_knob, show_value
from .mac import Mac
from .prlctl import VERBS
from .profiles import ARCHITECTURES, EDITIONS, PROFILES
from .vms import Vm, all_vms, find

_POWER_STATES = ("stopped", "running", "suspended", "paused")
_TOOLS = ("installed", "possibly_installed", "outdated", "not_installed")
FAULT_VERBS = (*VERBS, "compact", "info")


def main(arguments: list[str]) -> int:
    """Run the command line. Returns 2 for an error."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if more:
        # argparse takes no further names after an option, as in: fault DIR --clear NAME
        if not hasattr(options, "faults") or any(word.startswith("-") for word in more):
            parser.error(f"unrecognized arguments: {' '.join(more)}")
        options.faults += more
    try:
        return options.do(options)
    except SimulatorError as error:
        print(f"simulate: {error}", file=sys.stderr)
    except OSError as error:
        print(f"simulate: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulate", description=f"{NOTICE}. See README.md.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = commands.add_parser("create", help="create a Mac in a new or empty folder")
    create.add_argument("dir")
    create.add_argument("--version", choices=sorted(PROFILES), default="26")
    create.add_argument("--edition", choices=EDITIONS, default="enterprise")
    create.add_argument("--arch", choices=ARCHITECTURES, default="arm64")
    create.add_argument(
        "--python", default=sys.executable, help="Python that runs the simulated programs (default: this Python)"
    )
    create.set_defaults(do=_create)

    vm = commands.add_parser("vm", help="create a VM on a Mac and print its ID")
    vm.add_argument("dir")
    vm.add_argument("--name", required=True)
    vm.add_argument("--arch", choices=ARCHITECTURES, default="", help="default: the architecture of the Mac")
    vm.add_argument("--os", default="win-11", help="win-11, ubuntu, debian, macosx, ... (default: win-11)")
    vm.add_argument("--state", choices=_POWER_STATES, default="stopped")
    vm.add_argument("--data", default="1M", metavar="SIZE", help="real bytes on each disk (default: 1M)")
    vm.add_argument(
        "--disk", default="64G", metavar="SIZE", help="size of each disk as the guest sees it (default: 64G)"
    )
    vm.add_argument("--disks", type=int, default=1, metavar="N")
    vm.add_argument("--format", choices=("expanding", "plain"), default="expanding")
    vm.add_argument(
        "--waste", default="0", metavar="SIZE", help="bytes on each disk that compacting can free (default: 0)"
    )
    vm.add_argument(
        "--snapshots", default="", metavar="SPEC", help="such as 'base(updates(office),test)'; the last one is current"
    )
    vm.add_argument(
        "--snapshot-data", default="64K", metavar="SIZE", help="bytes written after each snapshot (default: 64K)"
    )
    vm.add_argument("--encrypted", action="store_true")
    vm.add_argument("--linked-to", default="", metavar="NAME", help="create a linked clone of this VM")
    vm.add_argument("--packed", action="store_true", help="create a packed VM (.pvmp)")
    vm.add_argument("--tools", choices=_TOOLS, default="installed")
    vm.add_argument("--description", default="")
    vm.add_argument("--secure-boot", choices=("outdated", "current"), default="current")
    vm.add_argument(
        "--dir", dest="folder", default="", metavar="FOLDER", help="folder of the bundle (default: the VM home)"
    )
    vm.add_argument(
        "--own-root", action="store_true", help="run the commands of a Linux guest for real, in a root of its own"
    )
    vm.set_defaults(do=_vm)

    knob = commands.add_parser("knob", help="set knobs, or show all knobs")
    knob.add_argument("dir")
    knob.add_argument("assignments", nargs="*", metavar="NAME=VALUE")
    knob.set_defaults(do=_knob)

    fault = commands.add_parser("fault", help="inject faults")
    fault.add_argument("dir", nargs="?", default="")
    fault.add_argument("faults", nargs="*", metavar="NAME[=COUNT][:PARAM]")
    fault.add_argument("--clear", action="store_true", help="remove all pending faults")
    fault.add_argument("--list", action="store_true", help="list all available faults")
    fault.add_argument("--json", action="store_true")
    fault.set_defaults(do=_fault)

    answers = commands.add_parser("answers", help="set what guests answer in dialogues")
    answers.add_argument("dir")
    answers.add_argument("file", help="JSON: a list of objects with line, stdin, stdout, stderr, rc")
    answers.set_defaults(do=_answers)

    guests = commands.add_parser("guests", help="run the guests that have a root of their own (as root, on Linux)")
    guests.add_argument("dir")
    guests.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    guests.set_defaults(do=_guests)

    show = commands.add_parser("show", help="show VMs, pending faults and calls")
    show.add_argument("dir")
    show.add_argument("--json", action="store_true")
    show.set_defaults(do=_show)

    print_ = commands.add_parser("fingerprint", help="print the SHA-256 of a VM without its power state")
    print_.add_argument("dir")
    print_.add_argument("name")
    print_.set_defaults(do=_fingerprint)

    settle = commands.add_parser("settle", help="finish all transitions and busy periods")
    settle.add_argument("dir")
    settle.set_defaults(do=_settle)
    return parser


def _create(options: argparse.Namespace) -> int:
    mac = create_mac(options.dir, options.version, options.edition, options.arch, options.python)
    print(mac.root)
    return 0


def _vm(options: argparse.Namespace) -> int:
    mac = Mac(options.dir)
    spec = VmSpec(
        name=options.name,
        arch=options.arch,
        os=options.os,
        state=options.state,
        data=parse_size(options.data),
        disk=parse_size(options.disk),
        disks=options.disks,
        plain=options.format == "plain",
        snapshots=options.snapshots,
        snapshot_data=parse_size(options.snapshot_data),
        encrypted=options.encrypted,
        linked_to=options.linked_to,
        packed=options.packed,
        tools=options.tools,
        description=options.description,
        platform_key=options.secure_boot,
        waste=parse_size(options.waste),
        folder=options.folder,
        own_root=options.own_root,
    )
    print(create_vm(mac, spec))
    mac.give_to_owner()
    return 0


def _knob(options: argparse.Namespace) -> int:
    mac = Mac(options.dir)
    changes = [parse_knob(assignment) for assignment in options.assignments]
    with mac.locked() as state:
        state["knobs"].update(changes)
        if not changes:
            for name in KNOBS:
                print(f"{name}={show_value(state['knobs'].get(name, KNOBS[name].default))}")
    mac.give_to_owner()
    return 0


def _fault(options: argparse.Namespace) -> int:
    if options.list:
        _list_faults(options.json)
        return 0
    if not options.dir or (not options.faults and not options.clear):
        raise SimulatorError(
            "DIR or the faults are missing. Give DIR, and the faults or --clear. `--list` shows all faults."
        )
    mac = Mac(options.dir)
    faults = [parse_fault(text, FAULT_VERBS) for text in options.faults]
    with mac.locked() as state:
        state["faults"] = ([] if options.clear else state["faults"]) + faults
    mac.give_to_owner()
    return 0


def _answers(options: argparse.Namespace) -> int:
    mac = Mac(options.dir)
    with open(options.file, encoding="utf-8") as file:
        try:
            replies = parse_replies(file.read())
        except ValueError as error:
            raise SimulatorError(f"{options.file} is not a table of answers: {error}. See README.md.") from error
    with mac.locked() as state:
        state["replies"] = replies
    mac.give_to_owner()
    return 0


def _guests(options: argparse.Namespace) -> int:
    from .guest_server import GuestServer  # needs Linux

    server = GuestServer(Mac(options.dir))
    print("ready", flush=True)
    server.run(sys.stdin.fileno() if options.until_eof else None)
    return 0


def _list_faults(as_json: bool) -> None:
    rows = [
        {
            "name": fault.name,
            "where": fault.where,
            "what": fault.what,
            "params": list(FAULT_VERBS if fault.params == ("VERB",) else fault.params),
            "default_param": fault.default,
        }
        for fault in FAULTS.values()
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']:<26}{row['where']:<44}{row['what']}")


def _show(options: argparse.Namespace) -> int:
    mac = Mac(options.dir)
    with mac.locked() as state:
        shown: dict[str, Any] = {
            "notice": NOTICE,
            "root": str(mac.root),
            "bin": str(mac.root / "bin"),
            "version": state["version"],
            "edition": state["edition"],
            "arch": state["arch"],
            "knobs": {name: state["knobs"].get(name, knob.default) for name, knob in KNOBS.items()},
            "faults": state["faults"],
            "dialogues": state.get("dialogues", []),
            "vms": [_show_vm(vm) for vm in all_vms(mac, state)],
        }
    shown["calls"] = read_calls(mac.calls_log)
    if options.json:
        print(json.dumps(shown, indent=1, ensure_ascii=False))
    else:
        _print_shown(shown)
    return 0


def _show_vm(vm: Vm) -> dict[str, Any]:
    problem = vm.problem()
    tree = vm.snapshots().items if not problem else []
    return {
        "uuid": vm.uuid,
        "name": vm.name,
        "state": vm.record["state"],
        "transition": [step["shown"] for step in vm.record["transition"]],
        "busy": vm.record["busy"],
        "job": vm.record["job"],
        "home": str(vm.home),
        "packed": vm.packed,
        "problem": problem,
        "snapshots": [
            {"id": item.guid, "name": item.name, "parent": item.parent, "current": item.current} for item in tree
        ],
        "guest": vm.bundle.guest() if not (vm.packed or vm.begun or problem) else {},
    }


def _print_shown(shown: dict[str, Any]) -> None:
    print(f"{shown['notice']}\n{shown['root']}: version {shown['version']}, {shown['edition']}, {shown['arch']}")
    for vm in shown["vms"]:
        after = f" (shown as {vm['transition'][0]})" if vm["transition"] else ""
        trouble = f"; invalid: {vm['problem']}" if vm["problem"] else ""
        print(f"VM {vm['uuid']}  {vm['state']}{after}  {vm['home']}  {vm['name']}{trouble}")
        names = {item["id"]: item["name"] for item in vm["snapshots"]}
        for item in vm["snapshots"]:
            mark = "*" if item["current"] else " "
            print(
                f"  {mark} {item['name']}"
                + (f" on {names.get(item['parent'], item['parent'])}" if item["parent"] else "")
            )
    for name, knob in KNOBS.items():
        if shown["knobs"][name] != knob.default:
            print(f"knob {name}={show_value(shown['knobs'][name])}")
    for fault in shown["faults"]:
        times = "always" if fault["count"] < 0 else fault["count"]
        print(f"fault {fault['name']} strikes {times} {fault['param']}".rstrip())
    for call in shown["calls"]:
        seconds = "never ended" if call["end"] is None else f"{call['end'] - call['start']:.2f} s, {call['rc']}"
        print(f"call {call['program']} {' '.join(call['argv'])}  ({seconds})")


def _require(mac: Mac, wanted: str) -> Vm:
    with mac.locked() as state:
        vm = find(mac, state, wanted)
    if vm is None:
        raise SimulatorError(f"This Mac has no VM '{wanted}'. `simulate show DIR` lists its VMs.")
    return vm


def _fingerprint(options: argparse.Namespace) -> int:
    print(fingerprint(_require(Mac(options.dir), options.name)))
    return 0


def _settle(options: argparse.Namespace) -> int:
    mac = Mac(options.dir)
    with mac.locked() as state:
        for vm in all_vms(mac, state):
            vm.settle()
    mac.give_to_owner()
    return 0
