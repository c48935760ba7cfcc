# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl list, status."""

from __future__ import annotations

from typing import Any

from . import texts
from .config import VmConfig
from .disks import Disk
from .errors import CommandError
from .jsontext import print_json, to_json
from .session import Parsed, Session
from .shapes import Description, as_text, describe
from .sparse import MIB
from .vms import Vm, all_vms

_FLAGS = {
    "-a": "all",
    "--all": "all",
    "-S": "stopped",
    "--stopped": "stopped",
    "-t": "template",
    "--template": "template",
    "-f": "full",
    "--full": "full",
    "-H": "no-header",
    "--no-header": "no-header",
    "-j": "json",
    "--json": "json",
    "-i": "info",
    "--info": "info",
    "-L": "fields",
    "--list": "fields",
}
_VALUES = {"-o": "output", "--output": "output", "-s": "sort", "--sort": "sort"}
_COLUMNS = {
    "uuid": ("UUID", "{:<39}"),
    "status": ("STATUS", "{:<12}"),
    "ip_configured": ("IP_ADDR", "{:<15}"),
    "ip": ("IP_ADDR", "{:<15}"),
    "name": ("NAME", "{}"),
    "dist": ("DIST", "{:<12}"),
}
_DEFAULT_COLUMNS = ["uuid", "status", "ip_configured", "name"]


def run_list(session: Session) -> int:
    """List VMs, or describe them."""
    parsed = session.parse(_short_options_apart(session, _FLAGS), _VALUES)
    if "fields" in parsed.flags:
        session.console.raw("".join(f"{name:<16}{head}\n" for name, (head, _width) in _COLUMNS.items()))
        return 0
    mac, console = session.mac, session.console
    with mac.locked() as state:
        chosen = _choose(session, state, parsed)
        if "info" in parsed.flags:
            infos = [describe_vm(vm, shown) for vm, shown in chosen]
            rows: list[dict[str, str]] = []
        else:
            infos, rows = [], [_row(vm, shown, parsed) for vm, shown in chosen]
    if "info" in parsed.flags:
        if not parsed.words and mac.knob("bulk_list_without_home"):
            for info in infos:
                del info["Home path"], info["Home"]
        if "json" in parsed.flags:
            print_json(mac, console, _array(session, infos))
        else:
            console.raw("\n".join(as_text(info) for info in infos))
        return 0
    rows.sort(key=lambda row: row.get(parsed.values.get("sort", ""), ""))
    columns = _columns(session, parsed)
    if "json" in parsed.flags:
        print_json(mac, console, _array(session, [{key: row[key] for key in columns} for row in rows]))
    else:
        _print_table(session, rows, columns, "no-header" not in parsed.flags)
    return 0


def _short_options_apart(session: Session, flags: dict[str, str]) -> dict[str, str]:
    apart: list[str] = []
    for word in session.arguments:
        letters = [f"-{letter}" for letter in word[1:]]
        if len(word) > 2 and word[0] == "-" != word[1] and all(letter in flags for letter in letters):
            apart.extend(letters)
        else:
            apart.append(word)
    session.arguments = apart
    return flags


def _choose(session: Session, state: dict[str, Any], parsed: Parsed) -> list[tuple[Vm, str]]:
    nothing = session.mac.strike("list_empty_once")
    if parsed.words:
        if nothing:
            raise CommandError(texts.NOT_FOUND)
        return [(vm, vm.look()) for vm in (session.require(state, word) for word in parsed.words)]
    if nothing:
        return []
    wanted = "template" in parsed.flags
    looks = [(vm, vm.look()) for vm in all_vms(session.mac, state) if _is_template(vm) is wanted]
    if "all" in parsed.flags:
        return looks
    if "stopped" in parsed.flags:
        return [(vm, shown) for vm, shown in looks if shown == "stopped"]
    return [(vm, shown) for vm, shown in looks if shown == "running"]


def _is_template(vm: Vm) -> bool:
    try:
        return vm.config().template
    except ValueError:  # it is invalid
        return False


def _columns(session: Session, parsed: Parsed) -> list[str]:
    columns = parsed.values["output"].split(",") if "output" in parsed.values else list(_DEFAULT_COLUMNS)
    if "info" in parsed.flags:
        return columns
    unknown = next((column for column in columns if column not in _COLUMNS), None)
    if unknown:
        raise CommandError(f"Unknown field: {unknown}", rc=1)
    return columns


def _row(vm: Vm, shown: str, parsed: Parsed) -> dict[str, str]:
    address = address_of(vm, shown) if "full" in parsed.flags else ""
    return {
        "uuid": vm.uuid,
        "status": shown,
        "ip_configured": address or "-",
        "ip": address or "-",
        "name": vm.name,
        "dist": vm.record["os"],
    }


def _array(session: Session, items: list) -> str:
    if items:
        return to_json(items)
    return {"lines": "[\n]", "brackets": "[]", "nothing": ""}[session.mac.knob("empty_list_json")]


def _print_table(session: Session, rows: list[dict[str, str]], columns: list[str], header: bool) -> None:
    def line(values: dict[str, str]) -> str:
        return " ".join(_COLUMNS[column][1].format(values[column]) for column in columns)

    if header:
        session.console.out(line({column: _COLUMNS[column][0] for column in columns}))
    for row in rows:
        session.console.out(line({**row, "uuid": f"{{{row['uuid']}}}"}))


def address_of(vm: Vm, shown: str) -> str:
    """Return the address of a running guest."""
    if shown != "running":
        return ""
    return f"10.211.55.{int(vm.uuid.replace('-', ''), 16) % 250 + 3}"


def describe_vm(vm: Vm, shown: str) -> dict[str, Any]:
    """Return all that C(list -i) shows of a VM."""
    try:
        config = vm.config()
        images = _images(vm, config)
    except (OSError, ValueError, SyntaxError):  # SyntaxError: XML that cannot be read
        config, images = VmConfig(vm.uuid, vm.name), {}
        config.os, config.arch = vm.record["os"], vm.record["arch"]
    return describe(
        Description(
            config,
            vm.mac.profile,
            shown,
            str(vm.home) if vm.packed else f"{vm.home}/",
            images,
            vm.packed,
            vm.uptime(),
            address_of(vm, shown),
        )
    )


def _images(vm: Vm, config: VmConfig) -> dict[str, dict[str, Any]]:
    if vm.packed or vm.begun == "unpack":
        disks = vm.content.header()["disks"]
        return {
            f"hdd{index}": {"path": disk["name"], "type": disk["type"], "size": disk["size"] // MIB}
            for index, disk in enumerate(disks)
        }
    return {f"hdd{index}": disk_entry(disk, str(disk.folder)) for index, disk in enumerate(vm.bundle.disks(config))}


def disk_entry(disk: Disk, path: str) -> dict[str, Any]:
    """Return what is shown of a disk."""
    return {"path": path, "type": "plain" if disk.plain else "expanded", "size": disk.virtual // MIB}


def run_status(session: Session) -> int:
    """Print a VM's state in one line."""
    name = session.one_word(session.parse({}, {}))
    with session.mac.locked() as state:
        vm = session.require(state, name)
        shown = vm.look()
    session.console.out(f'VM "{vm.name}" exist {shown}')
    return 0
