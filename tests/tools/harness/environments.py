# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments, made once for each content of their requirements."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import time

from . import pythons
from .layout import (
    CACHE,
    CONTROLLER_PYTHON,
    MAC_PYTHON,
    ROOT,
    TARGET_PYTHONS,
    TOOLS,
    VENVS,
    ToolError,
    clean_environment,
    locked,
    replace_link,
)
from .uv import find_uv

UNUSED_FOR = 7 * 24 * 3600
ZIP_BYTECODE = pathlib.Path(__file__).with_name("zip_bytecode.py")
TEMPLATE_BYTECODE = pathlib.Path(__file__).with_name("template_bytecode.py")


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment: its Python and its requirements files."""

    name: str
    python: str
    requirements: tuple[pathlib.Path, ...]
    # Whether all is compiled ahead: a user who may not write here, such as a simulated Mac's, would compile at each
    # start. Everybody else compiles what is used, once.
    compiled: bool = False
    # Whether it runs modules: see C(zip_bytecode).
    runs_modules: bool = False
    # Whether it runs playbooks: see C(template_bytecode).
    runs_playbooks: bool = False

    def ready(self) -> pathlib.Path:
        """Make the environment unless it is there, and return its folder."""
        interpreter = pythons.find_python(self.python)
        with locked(VENVS / f"{self.name}.lock"):
            folder = VENVS / f".{self.name}-{self._hash(interpreter)}"
            if not (folder / "ready").exists():
                _build(folder, interpreter, self.requirements, self.compiled)
                for keeper in self._keepers():
                    _let_keep_bytecode(folder, keeper)
            (folder / "ready").touch()
            if self.runs_playbooks:
                _choose_templates(folder)
            # A name without a hash, for people.
            replace_link(VENVS / self.name, pathlib.Path(folder.name))
            _forget_unused(self.name, folder)
        return folder

    def _hash(self, interpreter: pathlib.Path) -> str:
        digest = hashlib.sha256(f"{interpreter}\n".encode())
        for path in self.requirements:
            digest.update(path.read_bytes())
        for keeper in self._keepers():
            digest.update(keeper.read_bytes())
        return digest.hexdigest()[:12]

    def _keepers(self) -> list[pathlib.Path]:
        """Return the files that keep bytecode of what its Python runs."""
        return [
            *([ZIP_BYTECODE] if self.runs_modules else []),
            *([TEMPLATE_BYTECODE] if self.runs_playbooks else []),
        ]


@dataclasses.dataclass(frozen=True)
class NodePackages:
    """Programs from npm, in the versions that their package.json names."""

    name: str
    manifest: pathlib.Path

    def ready(self) -> pathlib.Path:
        """Install them unless they are there, and return the folder of their programs."""
        digest = hashlib.sha256(self.manifest.read_bytes()).hexdigest()[:12]
        folder = CACHE / "npm" / f"{self.name}-{digest}"
        with locked(CACHE / "npm" / f"{self.name}.lock"):
            if not (folder / "ready").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                shutil.copy(self.manifest, folder / "package.json")
                options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
                _run(["npm", "install", *options, "--prefix", str(folder)], folder)
                (folder / "ready").touch()
        return folder / "node_modules" / ".bin"


def _build(
    folder: pathlib.Path, interpreter: pathlib.Path, requirements: tuple[pathlib.Path, ...], compiled: bool
) -> None:
    files = [argument for path in requirements for argument in ("-r", str(path))]
    program = find_uv()
    if program is not None:
        # Where uv fails, such as with an index that pip alone was told of, pip gets its turn.
        with contextlib.suppress(ToolError):
            _build_with_uv(program, folder, interpreter, [*(["--compile-bytecode"] if compiled else []), *files])
            return
    shutil.rmtree(folder, ignore_errors=True)
    _run([str(interpreter), "-m", "venv", str(folder)], folder)
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *files], folder)


def _build_with_uv(program: pathlib.Path, folder: pathlib.Path, interpreter: pathlib.Path, what: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    # With pip in it: ansible-test uses it.
    _run([str(program), "venv", "-q", "--seed", "--python", str(interpreter), str(folder)], folder)
    _run([str(program), "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *what], folder)


def _let_keep_bytecode(folder: pathlib.Path, keeper: pathlib.Path) -> None:
    """Let the Python of an environment start with a file that keeps bytecode there."""
    (folder / keeper.stem.replace("_", "-")).mkdir()
    (packages,) = (folder / "lib").glob("python*/site-packages")
    shutil.copy(keeper, packages)
    (packages / f"{keeper.stem}.pth").write_text(f"import {keeper.stem}\n", encoding="utf-8")
    # What only old ways of building packages need: two thirds of the time in which a Python starts that does nothing.
    for name in ("_virtualenv.pth", "distutils-precedence.pth"):
        (packages / name).unlink(missing_ok=True)


def _choose_templates(folder: pathlib.Path) -> None:
    """Keep templates for these plugins alone: Jinja calls filters with constants when it compiles."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        digest.update(path.read_bytes())
    kept = folder / "template-bytecode" / digest.hexdigest()[:12]
    if not kept.exists():
        shutil.rmtree(folder / "template-bytecode")
        kept.mkdir(parents=True)
        replace_link(folder / "template-bytecode" / "current", pathlib.Path(kept.name))


def _run(command: list[str], folder: pathlib.Path) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=clean_environment()
    )
    if done.returncode:
        said = done.stdout[-4000:]
        raise ToolError(f"{folder} could not be made: {' '.join(command)} said:\n{said}")


def _forget_unused(name: str, current: pathlib.Path) -> None:
    for folder in VENVS.glob(f".{name}-" + "[0-9a-f]" * 12):
        ready = folder / "ready"
        if folder != current and ready.exists() and time.time() - ready.stat().st_mtime > UNUSED_FOR:
            shutil.rmtree(folder, ignore_errors=True)


def _tool(name: str) -> pathlib.Path:
    return TOOLS / f"requirements-{name}.txt"


UNIT_LIBRARIES = ROOT / "tests" / "unit" / "requirements.txt"

# The libraries of the stores, as the collection asks for them.
STORE_LIBRARIES = ROOT / "requirements.txt"

# ansible-core as the newest one, with what the scenarios and their servers need.
# Roles run modules on the controller, too.
CONTROLLER = Environment(
    "controller",
    CONTROLLER_PYTHON,
    (_tool("controller"), UNIT_LIBRARIES, STORE_LIBRARIES),
    runs_modules=True,
    runs_playbooks=True,
)
LINT = Environment("lint", CONTROLLER_PYTHON, (_tool("lint"),))
IMPORTER = Environment("importer", CONTROLLER_PYTHON, (_tool("importer"),))
# The stores, with the newest libraries that run on a Mac's Python; and the servers that they write to.
STORES = Environment(
    "stores", MAC_PYTHON, (_tool("stores"), UNIT_LIBRARIES, STORE_LIBRARIES), compiled=True, runs_modules=True
)
SERVERS = Environment("servers", CONTROLLER_PYTHON, (_tool("servers"),))
# What configures AWX, with the ansible-core that its package of all collections brings; and what AWX runs jobs with.
AWX = Environment(
    "awx", "3.12", (_tool("awx"), UNIT_LIBRARIES, STORE_LIBRARIES), runs_modules=True, runs_playbooks=True
)
AZURITE = NodePackages("azurite", TOOLS / "azurite" / "package.json")
UNITS = {
    v: Environment(f"units-{v}", v, (_tool("units"), UNIT_LIBRARIES), runs_modules=v == MAC_PYTHON)
    for v in TARGET_PYTHONS
}
# The smoke matrix: the oldest ansible-core with the oldest Python that runs it here, the last with the old templates,
# the first with the new ones, the newest.
CORES = {
    **{
        core: Environment(
            f"core-{core}", python, (_tool(f"core-{core}"), UNIT_LIBRARIES), runs_modules=True, runs_playbooks=True
        )
        for core, python in (("2.16", "3.11"), ("2.18", "3.12"), ("2.19", "3.12"))
    },
    "2.21": CONTROLLER,
}
