# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom in module_utils: lower floors import nothing from higher ones, and nothing goes in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read as text and not imported, since a circle may keep all of it from being imported.
ROOT = Path(__file__).parents[4] / "plugins" / "module_utils"
COLLECTION = "ansible_collections.macops.parallels.plugins"

# A room, and what it may import from other rooms: a whole room, or one file of it. From the lowest floor up, as in
# docs/architecture.md. Imports inside a room are free, except for circles.
MAY_IMPORT = {
    "_common": (),
    "_http": ("_common",),
    "_jobs": ("_common",),
    "_records": ("_common",),
    "_parallels": ("_common",),
    "_link": ("_http", "_common"),
    "_module": ("_jobs", "_parallels", "_common"),
    "_stores": ("_http", "_link.share_link", "_link.expiry", "_common"),
    "_trust": ("_stores", "_records", "_common"),
    "_catalog": ("_trust", "_stores", "_link", "_records", "_jobs", "_http", "_common"),
}

# The one file that knows every kind of store.
REGISTRY = "_stores.registry"
# Kinds of store that are one file; the others are packages.
BACKEND_FILES = ("_stores.file",)


def files(root: Path) -> dict[str, Path]:
    """Return the files below a module_utils folder by their dotted names: C(_stores.s3.client)."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in sorted(root.rglob("*.py"))
        if path.name != "__init__.py"
    }


def imports(root: Path, name: str, path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and dotted name of each import of ours; C(..modules.x) is outside of module_utils."""
    known = files(root)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(f"{COLLECTION}.module_utils.{name}".split(".")[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            found = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in found:
            if full.startswith(f"{COLLECTION}.module_utils."):
                inner = full[len(f"{COLLECTION}.module_utils.") :]
                # "from .errors import TaskError" names what is in the file; "from . import errors" the file itself.
                yield node.lineno, inner if inner in known else inner.rpartition(".")[0]
            elif full.startswith(f"{COLLECTION}."):
                yield node.lineno, f"..{full[len(COLLECTION) + 1 :]}"


def room(name: str) -> str:
    return name.partition(".")[0]


def backend(name: str) -> str:
    """Return the kind of store that a file belongs to, such as C(_stores.s3); empty for what all kinds share."""
    if name in BACKEND_FILES:
        return name
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "_stores" and len(parts) == 3 else ""


def wrong_imports(root: Path) -> list[str]:
    """Return a sentence for each import that is not allowed."""
    wrong = []
    for name, path in files(root).items():
        allowed = MAY_IMPORT.get(room(name))
        if allowed is None:
            wrong.append(f"{name}: the room {room(name)} is not in MAY_IMPORT.")
            continue
        for line, other in imports(root, name, path):
            where = f"{name}, line {line}: imports {other}"
            if room(other) != room(name) and room(other) not in allowed and other not in allowed:
                wrong.append(f"{where}, but {room(name)} may import only {', '.join(allowed) or 'nothing of ours'}.")
            elif backend(other) and name != REGISTRY and backend(other) != backend(name):
                wrong.append(f"{where}, but only {REGISTRY} may import a kind of store.")
    return wrong


def circle(root: Path) -> list[str]:
    """Return the files of a circle of imports, the first again at its end; empty when there is none."""
    known = files(root)
    arrows = {name: sorted({other for _line, other in imports(root, name, path)}) for name, path in known.items()}
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in arrows.get(name, ()):
            found = follow(other, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next(filter(None, (follow(name, []) for name in arrows)), [])


def test_no_room_imports_what_it_may_not() -> None:
    assert "\n".join(wrong_imports(ROOT)) == ""


def test_nothing_goes_in_a_circle() -> None:
    assert " -> ".join(circle(ROOT)) == ""


def test_the_table_names_the_rooms_that_there_are() -> None:
    assert {room(name) for name in files(ROOT)} == set(MAY_IMPORT)
    assert set(BACKEND_FILES) <= set(files(ROOT))
    # A room's list names what exists, and only rooms on lower floors.
    order = list(MAY_IMPORT)
    for name, allowed in MAY_IMPORT.items():
        for other in allowed:
            assert order.index(room(other)) < order.index(name)
            assert other in order or other in files(ROOT)


def test_the_architecture_page_shows_this_table() -> None:
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(_\w+)` \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    assert {name: set(re.findall(r"`([\w.]+)`", allowed)) for name, allowed in rows} == {
        name: set(allowed) for name, allowed in MAY_IMPORT.items()
    }


def test_packages_load_nothing_by_themselves() -> None:
    """Ansible sends to the Mac what a module imports: a package that imports would send all of it."""
    assert [str(path) for path in ROOT.rglob("__init__.py") if path.read_bytes()] == []


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("_common.files", "from .._parallels.cli import Prlctl", "_common may import only nothing of ours"),
        ("_common.files", "from .._parallels import cli", "imports _parallels.cli"),
        ("_records.record", "from .._stores.base import Store", "_records may import only _common"),
        ("_stores.base", "from .._link.check import LinkCheck", "imports _link.check, but _stores may import only"),
        ("_stores.base", "    from .._trust.seal import Seal", "imports _trust.seal"),
        ("_stores.s3.store", "from ..azblob.store import AzureBlobStore", "only _stores.registry may import a kind"),
        ("_stores.sftp.store", "from ..file import FileStore", "only _stores.registry may import a kind"),
        ("_stores.upload", "from .file import FileStore", "only _stores.registry may import a kind"),
        ("_link.check", f"import {COLLECTION}.module_utils._jobs.job", "_link may import only _http, _common"),
        ("_link.check", f"from {COLLECTION}.module_utils._jobs import job", "_link may import only _http, _common"),
        ("_jobs.job", "from ...plugin_utils._long_work import RUNNING", "imports ..plugin_utils._long_work"),
        ("_jobs.job", f"from {COLLECTION}.modules import vm", "imports ..modules.vm"),
        ("_attic.old", "import os", "the room _attic is not in MAY_IMPORT"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, name: str, line: str, says: str) -> None:
    _tree(tmp_path, **{name: f"if True:\n{line}\n" if line.startswith(" ") else f"{line}\n"})
    (found,) = wrong_imports(tmp_path)
    assert found.startswith(name)
    assert says in found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("_stores.base", "from .._link.share_link import share_link"),
        ("_stores.registry", "from .s3.store import S3Store"),
        ("_stores.s3.store", "from ..base import Store\nfrom .client import S3Client"),
        ("_catalog.catalog", "from .._trust.seal import Seal\nimport json\nfrom ansible.module_utils import basic"),
    ],
)
def test_what_is_allowed_is_not_found(tmp_path: Path, name: str, line: str) -> None:
    _tree(tmp_path, **{name: line})
    assert wrong_imports(tmp_path) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    _tree(
        tmp_path,
        **{
            "_common.a": "from .b import B",
            "_common.b": "def late():\n    from . import c",
            "_common.c": "from .a import A",
            "_common.d": "from .a import A",
        },
    )
    assert circle(tmp_path) == ["_common.a", "_common.b", "_common.c", "_common.a"]


def _tree(root: Path, **sources: str) -> None:
    """Make a module_utils folder with the files that exist, empty but for those of C(sources)."""
    for name in (*files(ROOT), *sources):
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sources.get(name, ""), encoding="utf-8")
