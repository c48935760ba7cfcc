# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users read: links lead somewhere, tables are complete, and the texts keep to the words of docs/glossary.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
GLOSSARY = ROOT / "docs" / "glossary.md"

# Addresses of this collection on sites where it is not.
NOWHERE = re.compile(
    r"github\.com/ansible-collections/macops|galaxy\.ansible\.com/[^\s)]*macops|forum\.ansible\.com|\(@macops\)"
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _pages() -> Iterator[tuple[str, str]]:
    """Yield the pages that people read, by their names."""
    for path in (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path != GLOSSARY:
            yield _named(path), path.read_text(encoding="utf-8")
    for folder in ("changelogs/fragments", "examples"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            yield _named(path), path.read_text(encoding="utf-8")


def _modules() -> Iterator[tuple[str, str]]:
    """Yield what ansible-doc shows of the plugins, and the fragments that it is made of."""
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_shown(node, path)]
        text = "\n".join(str(ast.literal_eval(value)) for value in values)
        if text:
            yield _named(path), text


def _is_shown(node: ast.Assign, path: Path) -> bool:
    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return is_text and (path.parent.name == "doc_fragments" or bool(names & {"DOCUMENTATION", "EXAMPLES", "RETURN"}))


def _roles() -> Iterator[tuple[str, str]]:
    """Yield the pages and the variables of the roles, and the playbooks, whose names of tasks are read as a log."""
    for pattern in ("roles/*/README.md", "roles/*/meta/*.yml", "roles/*/tasks/*.yml", "playbooks/*.yml"):
        for path in sorted(ROOT.glob(pattern)):
            yield _named(path), path.read_text(encoding="utf-8")


def _messages() -> Iterator[tuple[str, str]]:
    """Yield the strings of the code, its docstrings included, but not the documentation of the modules."""
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        shown = {node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_shown(node, path)}
        strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in shown)
        texts = (node.value for node in strings if isinstance(node.value, str))
        yield f"{_named(path)} (messages)", re.sub(r"\bC\(\w+\)", "", "\n".join(texts))


# The texts that keep to the words of the glossary.
PLAIN = [*_pages(), *_modules(), *_roles(), *_messages()]


def _avoided() -> list[str]:
    """Return the words that the glossary sets in code in its column of words to avoid."""
    rows = GLOSSARY.read_text(encoding="utf-8").partition("| say | do not say |")[2].splitlines()
    cells = [row.split("|")[2] for row in rows if row.count("|") == 3]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def _found(words: Iterable[str], text: str) -> list[str]:
    """Return where the words are, with what is around them. A line may end between two words."""
    flat = " ".join(text.split())
    alternatives = "|".join(re.escape(word) for word in words)
    return [
        flat[max(match.start() - 40, 0) : match.end() + 20]
        for match in re.finditer(rf"(?<![\w-])(?:{alternatives})(?![\w-])", flat, re.IGNORECASE)
    ]


def test_the_words_to_avoid_are_read() -> None:
    words = _avoided()
    assert len(words) > 30
    assert {"goes on", "licence"} <= set(words)
    assert _found(words, "the run\ngoes on here") == ["the run goes on here"]
    assert _found(words, "goes online, undertold, license") == []


def test_all_kinds_of_texts_are_found() -> None:
    assert {"README.md", "docs/guide.md", "examples/image-project/README.md"} <= dict(_pages()).keys()
    assert {"plugins/modules/vm.py", "plugins/doc_fragments/_store.py"} <= dict(_modules()).keys()
    assert {"roles/image/README.md", "roles/image/meta/argument_specs.yml"} <= dict(_roles()).keys()


@pytest.mark.parametrize(("name", "text"), PLAIN, ids=[name for name, text in PLAIN])
def test_plain_words(name: str, text: str) -> None:
    assert _found(_avoided(), text) == []


# Pages with links.
LINKED = [name for name, text in [*_pages(), *_roles()] if name.endswith(".md")] + [_named(GLOSSARY)]


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    path = ROOT / page
    dead = []
    for target, heading in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file = path.parent / target if target else path
        if not file.exists() or (heading and heading not in _headings(file)):
            dead.append(f"{target}#{heading}")
    assert dead == []


def _headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub, GitLab and Forgejo make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_no_address_of_this_collection_that_does_not_exist() -> None:
    folders = {"changelogs", "docs", "examples", "meta", "playbooks", "plugins", "roles"}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".txt", ".yml") and path.is_file()]
    texts = {_named(path): path.read_bytes().decode("utf-8", "replace") for path in files}
    assert {name: found for name, text in texts.items() if (found := NOWHERE.findall(text))} == {}


def test_the_metadata_names_no_site() -> None:
    metadata = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert {"repository", "documentation", "homepage", "issues"}.isdisjoint(metadata)


@pytest.mark.parametrize(
    ("kind", "things"),
    [
        ("modules", {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")} - {"__init__"}),
        ("playbooks", {path.name for path in (ROOT / "playbooks").glob("*.yml")}),
        ("roles", {path.name for path in (ROOT / "roles").iterdir()}),
    ],
)
def test_the_tables_of_the_front_page_are_complete(kind: str, things: set[str]) -> None:
    section = re.search(rf"^### {kind}\n(.*?)^##", README.read_text(encoding="utf-8"), re.M | re.S | re.I)
    assert section
    listed = re.findall(r"^\| `([^`]+)` \|", section.group(1), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == things


def test_the_parameters_of_the_provenance_are_described() -> None:
    variables = yaml.safe_load((ROOT / "roles/publish_image/vars/main.yml").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `buildDefinition.externalParameters` |"))
    parameters = next(value for value in variables.values() if isinstance(value, dict) and "image_version" in value)
    assert set(parameters) <= set(re.findall(r"`(image_[a-z_]+)`", row))


def test_every_variable_is_described_on_a_page() -> None:
    described = set(re.findall(r"`((?:awx|image|check)_[a-z0-9_]+)", "".join(text for name, text in _pages())))
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    variables = {name for spec in specs for entry in spec["argument_specs"].values() for name in entry["options"]}
    assert variables - described == set()


PROMISED = re.compile(r"`(tests/[^`:]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize(
    ("file", "name"), PROMISED.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
)
def test_the_test_of_each_promise_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    # Some are made by a function, and given their names.
    given = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    tests = {*given, *(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))}
    assert name in tests if name else any(test.startswith("test_") for test in tests)
