# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of prlctl: the Mac, the console, the verb and what follows it."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

from . import texts
from .config import UNFINISHED_CONFIG
from .console import Console
from .errors import CommandError
from .mac import Mac
from .vms import Vm, require


class Parsed(NamedTuple):
    """Arguments after reading."""

    words: list[str]
    flags: set[str]
    values: dict[str, str]


class Session:
    """What each verb is given."""

    def __init__(self, mac: Mac, console: Console, verb: str, arguments: list[str]) -> None:
        self.mac = mac
        self.console = console
        self.verb = verb
        self.arguments = arguments

    def parse(self, flags: dict[str, str], values: dict[str, str]) -> Parsed:
        """Read the arguments. Both tables lead from each spelling of an option to its name; all else is bad usage."""
        words: list[str] = []
        given: set[str] = set()
        found: dict[str, str] = {}
        queue = list(self.arguments)
        while queue:
            word = queue.pop(0)
            name, equals, value = word.partition("=")
            if word in flags:
                given.add(flags[word])
            elif word in values or (equals and name.startswith("--") and name in values):
                if not equals:
                    if not queue:
                        raise self.usage(f"Option {word} requires an argument.")
                    value = queue.pop(0)
                found[values[name]] = value
            elif word.startswith("-") and len(word) > 1:
                raise self.usage(f"Unrecognized option: {word}")
            else:
                words.append(word)
        return Parsed(words, given, found)

    def one_word(self, parsed: Parsed) -> str:
        """Return the VM that was named."""
        if len(parsed.words) != 1:
            raise self.usage(
                "The virtual machine is not specified."
                if not parsed.words
                else f"Unrecognized option: {parsed.words[1]}"
            )
        return parsed.words[0]

    def usage(self, message: str) -> CommandError:
        """Return the error for bad usage."""
        return CommandError(f"{message}\nUsage: prlctl {self.verb} <ID | NAME> [options]", rc=1)

    def fail(self, reason: str, rc: int = 255) -> CommandError:
        """Return the verb's error."""
        return CommandError(texts.failed(self.verb, reason), rc)

    def begin(self) -> None:
        """Print the verb's first line."""
        self.console.out(texts.BEGIN[self.verb])

    def done(self, key: Optional[str] = None) -> None:
        """Print the verb's last line."""
        self.console.out(texts.DONE[key or self.verb])

    def require(self, state: dict[str, Any], wanted: str) -> Vm:
        """Return the VM that was named."""
        return require(self.mac, state, wanted)

    def require_free(self, vm: Vm) -> str:
        """Return the state of a VM that may be changed now."""
        if self.mac.strike("busy", self.verb):
            raise self.fail(texts.busy("running"))
        power = vm.require_free(self.verb)
        if vm.begun and self.verb not in (vm.begun, "unregister"):
            raise self.fail(texts.intermediate(vm.name, vm.begun, str(vm.home / UNFINISHED_CONFIG)))
        return power


Verb = Callable[[Session], int]
