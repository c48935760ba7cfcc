# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl set."""

from __future__ import annotations

from typing import Callable, Optional

from . import texts
from .config import VmConfig
from .errors import CommandError
from .session import Session
from .shapes import ENABLED_SETTINGS, ON_OFF, SHOWN_SETTINGS

_HIDDEN_SETTINGS = {
    **dict.fromkeys(("smart-guard", "time-sync", "tpm", *ENABLED_SETTINGS), ON_OFF),
    "tools-autoupdate": ("on", "off", "yes", "no"),
}
_SECRET_SETTINGS = ("custom-pwd", "userpasswd")  # kept only as a fact that they were set
_FAILED = "Failed to configure the virtual machine."


def run_set(session: Session) -> int:
    """Change settings; all of them or none."""
    if not session.arguments:
        raise session.usage("The virtual machine is not specified.")
    name, options = session.arguments[0], session.arguments[1:]
    if not options:
        raise session.usage("No settings are specified.")
    with session.mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        if vm.packed or vm.problem():
            raise session.fail(f"{texts.not_possible(vm.name, 'is packed or invalid')}\n{_FAILED}")
        config = vm.config()
        queue = list(options)
        while queue:
            _apply(session, config, queue, power)
        config.save(vm.home)
        vm.record["name"] = config.name
    session.done()
    return 0


def _apply(session: Session, config: VmConfig, queue: list[str], power: str) -> None:
    option = queue.pop(0)
    name, equals, value = option.partition("=")
    if not name.startswith("--"):
        raise session.usage(f"Unrecognized option: {option}")
    name = name[2:]
    known = _setter(name)
    if known is None:
        raise session.usage(f"Unrecognized option: --{name}")
    if not equals:
        if not queue:
            raise session.usage(f"Option --{name} requires an argument.")
        value = queue.pop(0)
    if name == "name" and power != "stopped":
        raise CommandError(f"{texts.failed('set', texts.busy(power))}\n{_FAILED}")
    if name == "shf-host-add":
        if len(queue) < 2 or queue.pop(0) != "--path":
            raise session.usage("Option --shf-host-add requires --path.")
        config.folders[value] = {"path": queue.pop(0), "mode": "rw"}
        return
    if not known(config, value):
        raise CommandError(f"{texts.failed('set', f'The value {value!r} is invalid for --{name}.')}\n{_FAILED}")


def _setter(name: str) -> Optional[Callable[[VmConfig, str], bool]]:
    """Return what takes the option's value and says whether it is a good one."""
    if name in SHOWN_SETTINGS or name in _HIDDEN_SETTINGS:
        allowed = SHOWN_SETTINGS[name][2] if name in SHOWN_SETTINGS else _HIDDEN_SETTINGS[name]
        return lambda config, value: value in allowed and config.settings.update({name: value}) is None
    if name in _SECRET_SETTINGS:
        return lambda config, value: config.settings.update({name: "set"}) is None
    return {
        "name": _text("name", empty=False),
        "description": _text("description", empty=True),
        "cpus": _number("cpus"),
        "memsize": _number("memory"),
        # No release is known to report it, or to say which values it takes.
        "asset-id": lambda config, value: config.settings.update({"asset-id": value}) is None,
        "isolate-vm": _switch("isolated"),
        "template": _switch("template"),
        "shf-host-add": lambda config, value: bool(value),
    }.get(name)


def _text(attribute: str, empty: bool) -> Callable[[VmConfig, str], bool]:
    def put(config: VmConfig, value: str) -> bool:
        setattr(config, attribute, value)
        return empty or bool(value)

    return put


def _number(attribute: str) -> Callable[[VmConfig, str], bool]:
    def put(config: VmConfig, value: str) -> bool:
        key = "memory" if attribute == "memory" else "cpus"
        config.auto = [other for other in config.auto if other != key] + ([key] if value == "auto" else [])
        if value == "auto":
            return True
        if not value.isdigit() or int(value) == 0:
            return False
        setattr(config, attribute, int(value))
        return True

    return put


def _switch(attribute: str) -> Callable[[VmConfig, str], bool]:
    def put(config: VmConfig, value: str) -> bool:
        setattr(config, attribute, value == "on")
        return value in ON_OFF

    return put
