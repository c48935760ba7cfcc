# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stages, and which parts of them, a change can break: C(make test CHANGED=1).

A rule says which stages a folder matters to. Within the unit tests and the integration targets, the imports say which
files a change of the code reaches. Where no rule fits, everything is run.
"""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import pathlib
import re
import subprocess
from collections.abc import Iterable, Mapping

from .layout import NAME, NAMESPACE, ROOT, ToolError

MAIN = "main"
# They judge every file, whatever is in it.
ALWAYS = ("lint", "sanity", "tools")
PLAYS = ("scenario", "smoke", "awx")
# Runs of modules and playbooks that somebody attacks.
ATTACKED = (*PLAYS, "security")
# A change of the code or its tests is looked for in the imports.
BY_IMPORTS = ("units", "integration")

# The first pattern that fits a file says which stages can break. C(*) matches slashes, too.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("docs/*", ("importer",)),
    ("changelogs/*", ("importer",)),
    ("CHANGELOG.md", ("importer",)),
    ("README.md", ("importer",)),
    ("LICENSE", ("importer",)),
    ("roles/*", (*ATTACKED, "importer", *BY_IMPORTS)),
    ("playbooks/*", (*ATTACKED, "importer", *BY_IMPORTS)),
    ("examples/*", (*PLAYS, *BY_IMPORTS)),
    ("plugins/module_utils/_records/page*", (*ATTACKED, "importer", "stores", "page", *BY_IMPORTS)),
    ("plugins/*", (*ATTACKED, "importer", "stores", *BY_IMPORTS)),
    ("tests/unit/*", BY_IMPORTS),
    ("tests/integration/targets/*", BY_IMPORTS),
    ("tests/scenario/*", ("scenario", "smoke")),
    ("tests/security/*", ("security",)),
    ("tests/smoke/*", ("smoke",)),
    ("tests/stores/*", ("stores",)),
    ("tests/awx/*", ("awx",)),
    ("tests/support/awx/*", ("awx",)),
    ("tests/page/*", ("page",)),
    ("tests/simulator/tests/*", ("simulator",)),
    ("tests/simulator/README.md", ()),
    ("tests/benchmarks/*", ()),
)

UNITS = "tests/unit"
TARGETS = "tests/integration/targets"
# A unit test that finds files by their paths, or modules by their names, instead of by imports may read any file.
READS_PATHS = re.compile(r"parents\[|import_module|arguments_of|\bROOT\b")
PACKAGE = f"ansible_collections.{NAMESPACE}.{NAME}."


@dataclasses.dataclass(frozen=True)
class Choice:
    """Stages to run, and what some of them are narrowed down to; no stages at all where everything is to be run."""

    stages: frozenset[str] | None
    only: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    why: str = ""

    def wants(self, stage: str) -> bool:
        """Tell whether a stage is to be run; C(units) stands for C(units-3.9), too."""
        return self.stages is None or stage in self.stages or stage.partition("-")[0] in self.stages

    def only_of(self, stage: str) -> tuple[str, ...]:
        """Return what a stage is narrowed down to; nothing means all of it."""
        return self.only.get(stage) or self.only.get(stage.partition("-")[0]) or ()


def changed_files(root: pathlib.Path = ROOT) -> list[str]:
    """Return the files that differ from the last commit on main which this work is based on, and the new ones."""
    base = _git(root, "merge-base", MAIN, "HEAD").strip()
    changed = _git(root, "diff", "--name-only", "--no-renames", "-z", base)
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    return sorted({name for name in (changed + new).split("\0") if name})


def choose(files: Iterable[str], root: pathlib.Path = ROOT) -> Choice:
    """Return what a change of these files can break."""
    changed = sorted(files)
    if not changed:
        return Choice(frozenset(), why="nothing has changed")
    stages = set(ALWAYS)
    for name in changed:
        found = _rule_for(name)
        if found is None:
            return Choice(None, why=f"{name} may matter to every stage")
        stages.update(found)
    only: dict[str, tuple[str, ...]] = {}
    if stages.intersection(BY_IMPORTS):
        graph = Imports.of(root)
        only = {"units": graph.units_reached_by(changed), "integration": graph.targets_reached_by(changed)}
        stages -= {stage for stage, parts in only.items() if not parts}
    scenarios = [name for name in changed if fnmatch.fnmatch(name, "tests/scenario/test_*.py")]
    if scenarios and set(scenarios) == set(changed):
        # Only tests have changed, each of which concerns nothing but itself.
        only["scenario"] = tuple(name for name in scenarios if (root / name).exists())
    kept = {stage: parts for stage, parts in only.items() if parts and stage in stages}
    return Choice(frozenset(stages), kept, f"{len(changed)} changed files")


def _rule_for(name: str) -> tuple[str, ...] | None:
    return next((stages for pattern, stages in RULES if fnmatch.fnmatchcase(name, pattern)), None)


def _git(root: pathlib.Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), "-c", "safe.directory=*", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(
            f"What has changed since the last commit on {MAIN} is unknown: {' '.join(done.stderr.split())} "
            "Run 'make test' without CHANGED."
        )
    return done.stdout


class Imports:
    """Which file of the collection names which others: Python by its imports, targets by the modules in their tasks."""

    def __init__(self, names: Mapping[str, set[str]], by_path: set[str]) -> None:
        self._names = names
        self._by_path = by_path

    @classmethod
    def of(cls, root: pathlib.Path) -> Imports:
        """Read the imports of the code, of the unit tests and of the targets below a folder."""
        names: dict[str, set[str]] = {}
        by_path: set[str] = set()
        for folder in ("plugins", UNITS, "tests/support"):
            for path in sorted((root / folder).rglob("*.py")):
                text = path.read_text(encoding="utf-8")
                name = path.relative_to(root).as_posix()
                names[name] = _imports_of(name, text, root)
                if folder == UNITS and READS_PATHS.search(text):
                    by_path.add(name)
        for target in sorted((root / TARGETS).glob("*/")):
            files = [path for path in sorted(target.rglob("*")) if path.is_file()]
            texts = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
            modules = set(re.findall(rf"\b{NAMESPACE}\.{NAME}\.(\w+)", texts))
            named = {f"plugins/{kind}/{module}.py" for module in modules for kind in ("modules", "action", "filter")}
            roles = re.findall(r"(?:name|role): *(setup_\w+)|needs/target/(\w+)", texts)
            named |= {f"{TARGETS}/{first or second}" for first, second in roles}
            named |= set(re.findall(r"needs/file/(\S+)", texts))
            # An action plugin has a module of the same name beside it, and each is used with the other.
            names[target.relative_to(root).as_posix()] = named | {path.relative_to(root).as_posix() for path in files}
        return cls(names, by_path)

    def units_reached_by(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Return the files of unit tests that a change can break."""
        changed = set(changed)
        tests = sorted(name for name in self._names if name.startswith(f"{UNITS}/") and "/test_" in name)
        return tuple(test for test in tests if test in self._by_path or self._reach(test) & changed)

    def targets_reached_by(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the integration targets that a change can break."""
        changed = set(changed)
        targets = sorted(name for name in self._names if name.startswith(f"{TARGETS}/"))
        reached = [target.rpartition("/")[2] for target in targets if self._reach(target) & changed]
        return tuple(name for name in reached if not name.startswith("setup_"))

    def _reach(self, name: str) -> set[str]:
        """Return all files that a file names, and what these name, and so on."""
        seen: set[str] = set()
        todo = [name]
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += self._names.get(current, ())
        return seen


def _imports_of(name: str, text: str, root: pathlib.Path) -> set[str]:
    """Return the files below the root that a Python file imports, and the conftest.py files that pytest gives it."""
    package = name.rpartition("/")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            start = _absolute(node.module or "", node.level, package)
            found.update((start, *(f"{start}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    # support.x is how tests import it where pytest's settings are read.
    modules = {re.sub(rf"^(?:{re.escape(PACKAGE)}|(?=support\b))", "", module) for module in found}
    paths = {module.replace(".", "/") for module in modules}
    files = {f"{path}.py" for path in paths} | {f"tests/{path}.py" for path in paths if path.startswith("support")}
    if name.startswith(f"{UNITS}/"):
        parts = package.split("/")
        files |= {"/".join([*parts[:depth], "conftest.py"]) for depth in range(1, len(parts) + 1)}
        files -= {name}
    return {file for file in files if (root / file).exists()}


def _absolute(module: str, level: int, package: str) -> str:
    """Return the full name of a relative import in a package, as a dotted path from the root."""
    if not level:
        return module
    parents = package.split("/")
    return ".".join([*parents[: len(parents) - level + 1], *([module] if module else [])])
