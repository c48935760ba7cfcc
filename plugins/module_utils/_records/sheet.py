# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The golden image sheet: what an admin enters in the Parallels Management Portal, as a page of Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .._common.errors import TaskError
from .record import ARCHITECTURES, label, record_problems

# The portal's words for an architecture.
PORTAL_NAMES = {"arm64": "Apple silicon", "x86_64": "Intel"}

# What Markdown may read as a mark inside a line.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&])")

# What is between two asterisks are the portal's own words.
PORTAL_STEPS = (
    "Sign in to the Parallels Management Portal and open **Golden Images**.",
    "Click **Create Golden Image** and enter the name and the description. Users see both.",
    "For each architecture below, switch on its **Enable for**, and enter its download URL and its SHA-256 checksum.",
    "Save, then open **Policies** and choose this golden image in the policies of the groups that are to get it.",
)


def golden_image_sheet(
    records: Sequence[Mapping[str, Any]], title: Optional[str] = None, description: Optional[str] = None
) -> str:
    """Return the sheet for the records of one version: one or two, each of another architecture."""
    images = _by_architecture(records)
    first = next(iter(images.values()))
    name = _one_line(title if title is not None else first["title"]) or first["name"]
    text = (description if description is not None else first["description"]).strip()
    blocks = [
        f"# Golden image: {_escape(name)}",
        f"Image {_code(first['name'])}, version {_code(first['version'])}.",
        "## Enter it in the Management Portal",
        "\n".join(f"{number}. {step}" for number, step in enumerate(PORTAL_STEPS, start=1)),
        "### Name",
        _fence(name),
        "### Description (optional)",
        _fence(text) if text else "None: leave it empty.",
    ]
    for arch in ARCHITECTURES:
        blocks += _architecture(arch, images.get(arch))
    blocks += _checks(images)
    return "\n\n".join(blocks) + "\n"


def _by_architecture(records: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(records, (Mapping, str)) or not isinstance(records, Sequence) or not records:
        raise TaskError("The golden image sheet needs a list of one or two records, such as image_catalog returns.")
    for record in records:
        problems = record_problems(record)
        if problems:
            raise TaskError(f"The golden image sheet got a record that is not complete: {'; '.join(problems)}.")
        if record["state"] != "published":
            raise TaskError(f"{label(record)} is {record['state']}: publish a new version instead of handing it over.")
    versions = sorted({f"{record['name']} {record['version']}" for record in records})
    if len(versions) > 1:
        raise TaskError(
            f"One golden image sheet is for one version, not for {', '.join(versions)}: choose one of them."
        )
    images = {record["arch"]: record for record in records}
    if len(images) < len(records):
        raise TaskError(
            f"The golden image sheet got two records of one architecture for {versions[0]}: a golden image has one "
            "Apple silicon and one Intel image."
        )
    return {arch: images[arch] for arch in ARCHITECTURES if arch in images}


def _architecture(arch: str, image: Optional[Mapping[str, Any]]) -> list[str]:
    portal_name = PORTAL_NAMES[arch]
    heading = f"## {portal_name} ({_code(arch)})"
    if image is None:
        return [heading, f"Leave **Enable for {portal_name}** off: this version has no image for it."]
    return [
        heading,
        f"Switch on **Enable for {portal_name}**.",
        f"### Download URL for {portal_name}",
        _fence(image["url"]),
        f"### SHA-256 checksum for {portal_name}",
        _fence(image["sha256"]),
        _table(
            ("Fact", "Value"),
            (
                ("File", _code(image["file"])),
                ("Version", _code(image["version"])),
                ("Size", _size(image["size"])),
                ("Published", _code(image["published_at"])),
            ),
        ),
    ]


def _checks(images: Mapping[str, Mapping[str, Any]]) -> list[str]:
    blocks = [
        "## Check the links yourself",
        "On a Mac in the network where your users' Macs are, in a folder with enough free space. "
        "Each command ends with the file's name and `OK`.",
    ]
    for arch, image in images.items():
        file = shlex.quote(image["file"])
        sum_line = shlex.quote(f"{image['sha256']}  {image['file']}")
        command = (
            f"curl --location --fail --output {file} {shlex.quote(image['url'])} &&\n"
            f"  echo {sum_line} | shasum -a 256 -c -"
        )
        blocks += [f"{PORTAL_NAMES[arch]}:", _fence(command, "sh")]
    return blocks


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escape(text: str) -> str:
    return _MARKS.sub(r"\\\1", _one_line(text))


def _code(text: str) -> str:
    """Return an inline code span; a table's bar is the one mark that has to be escaped in it."""
    ticks = _longer_than_any(text, "`", 1)
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{_one_line(text)}{pad}{ticks}".replace("|", "\\|")


def _fence(text: str, language: str = "text") -> str:
    """Return a code block, which shows the text as it is, to be copied."""
    ticks = _longer_than_any(text, "`", 3)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _longer_than_any(text: str, mark: str, least: int) -> str:
    runs = re.findall(f"{re.escape(mark)}+", text)
    return mark * max([least, *(len(run) + 1 for run in runs)])


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {first} | {second} |" for first, second in (head, ("---", "---"), *rows)]
    return "\n".join(lines)


def _size(size: int) -> str:
    exact, rounded = size_in_words(size)
    return f"{exact} ({rounded})" if rounded else exact


def size_in_words(size: int) -> tuple[str, str]:
    """Return a size in bytes, and in the unit in which people think of it; nothing for that where it is bytes."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(size), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size:,} bytes", f"{value:.1f} {units[unit]}" if unit else ""
