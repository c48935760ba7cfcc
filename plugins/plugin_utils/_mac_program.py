# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Makes one program of a file in module_utils and all that it imports, to be run by the Mac's Python.

The program travels on standard input, in front of the order and the data for it. Nothing is left on the Mac.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import zlib

_ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")
_PACKAGE = "macops_parallels"
_IMPORT = re.compile(r"^[ \t]*from (\.+)([\w.]+) import ", re.MULTILINE)

# Reads the first line (two lengths), the program and the order. It leaves the rest of standard input unread.
_READER = """
import os, sys, zlib
def read(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            sys.exit("The order ended early.")
        data += piece
    return data
line = b""
while not line.endswith(b"\\n"):
    line += read(1)
program, order = map(int, line.split())
exec(compile(zlib.decompress(read(program)), "<macops.parallels>", "exec"), {"order": order, "read": read})
"""
# Imports the files of the program from memory, each one when it is needed first.
_LOADER = """
import importlib.abc, importlib.util, sys
SOURCES = %(sources)r
class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
    def is_package(self, name):
        return not SOURCES[name]
    def get_source(self, name):
        return SOURCES[name]
sys.meta_path.insert(0, Finder())
importlib.import_module(%(main)r).main(read(order))
"""


@functools.cache
def program_of(name: str) -> bytes:
    """Return the program whose C(main) is in this file, such as C(_parallels.guest_relay)."""
    sources = {f"{_PACKAGE}": ""}
    todo = [name]
    while todo:
        current = todo.pop()
        with open(os.path.join(_ROOT, *current.split(".")) + ".py", encoding="utf-8") as file:
            source = file.read()
        sources[f"{_PACKAGE}.{current}"] = source
        package = current.split(".")[:-1]
        sources.setdefault(".".join([_PACKAGE, *package]), "")
        for dots, path in _IMPORT.findall(source):
            base = package[: len(package) - len(dots) + 1]
            found = ".".join([*base, path])
            if f"{_PACKAGE}.{found}" not in sources and found not in todo:
                todo.append(found)
    text = _LOADER % {"sources": sources, "main": f"{_PACKAGE}.{name}"}
    return zlib.compress(text.encode(), 6)


def command_line(python: str, run_as: str = "") -> str:
    """Return what a shell on the Mac runs: Python with what reads the program from its standard input.

    With C(run_as) it runs as this user, for which sudo must not ask for a password.
    """
    words = [*(["sudo", "-n", "-H", "-u", run_as] if run_as else []), python, "-I", "-S", "-c", _READER]
    # Behind the PATH, that is almost empty for commands over SSH, where else a Mac may have Python.
    script = f"PATH=$PATH:/usr/local/bin:/opt/homebrew/bin; export PATH; exec {shlex.join(words)}"
    return f"/bin/sh -c {shlex.quote(script)}"


def opening(program: bytes, order: bytes) -> bytes:
    """Return what comes first on standard input."""
    return b"%d %d\n%s%s" % (len(program), len(order), program, order)
