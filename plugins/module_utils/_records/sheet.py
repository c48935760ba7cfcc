# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The golden image sheet: a Markdown page with the values to enter in the Parallels Management Portal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .._common.errors import TaskError
from .._common.text import printable
from .record import ARCHITECTURES, label, record_problems

# The portal's names for the architectures.
PORTAL_NAMES = {"arm64": "Apple silicon", "x86_64": "Intel"}

# Characters that Markdown may interpret inside a line.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&])")

# Text between double asterisks is the portal's own.
PORTAL_STEPS = (
    "Sign in to the Parallels Management Portal and open **Golden Images**.",
    "Click **Create Golden Image** and enter the name and the description. Users see both.",
    "For each architecture below, turn on **Enable for**, then enter the download URL and the SHA-256 checksum.",
    "Save. Then open **Policies** and select this golden image in the policy of each group that should receive it.",
)


def golden_image_sheet(
    records: Sequence[Mapping[str, Any]], title: Optional[str] = None, description: Optional[str] = None
) -> str:
    """Return the sheet for one version. It takes one record for each architecture."""
    images = _by_architecture(records)
    first = next(iter(images.values()))
    name = _one_line(printable(title if title is not None else first["title"])) or first["name"]
    text = printable(description if description is not None else first["description"]).strip()
    blocks = [
        f"# Golden image: {_escape(name)}",
        f"Image {_code(first['name'])}, version {_code(first['version'])}.",
        "## Create the golden image in the Management Portal",
        "\n".join(f"{number}. {step}" for number, step in enumerate(PORTAL_STEPS, start=1)),
        "### Name",
        _fence(name),
        "### Description (optional)",
        _fence(text) if text else "None. Leave this field empty.",
    ]
    for arch in ARCHITECTURES:
        blocks += _architecture(arch, images.get(arch))
    blocks += _checks(images)
    return "\n\n".join(blocks) + "\n"


def _by_architecture(records: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(records, (Mapping, str)) or not isinstance(records, Sequence) or not records:
        raise TaskError(
            "The golden image sheet needs a list of one or two records. Pass the records that image_catalog returns."
        )
    for record in records:
        problems = record_problems(record)
        if problems:
            raise TaskError(
                f"A record for the golden image sheet is incomplete: {'; '.join(problems)}. Pass complete records, as "
                "image_catalog returns them."
            )
        if record["state"] != "published":
            raise TaskError(
                f"{label(record)} is {record['state']}, so it cannot be in a golden image sheet. Publish a new version."
            )
    versions = sorted({f"{record['name']} {record['version']}" for record in records})
    if len(versions) > 1:
        raise TaskError(
            f"A golden image sheet is for one version, not for {', '.join(versions)}. Pass the records of one version."
        )
    images = {record["arch"]: record for record in records}
    if len(images) < len(records):
        raise TaskError(
            f"The golden image sheet got two records of one architecture for {versions[0]}. Pass one record for each "
            "architecture: a golden image has one Apple silicon image and one Intel image."
        )
    return {arch: images[arch] for arch in ARCHITECTURES if arch in images}


def _architecture(arch: str, image: Optional[Mapping[str, Any]]) -> list[str]:
    portal_name = PORTAL_NAMES[arch]
    heading = f"## {portal_name} ({_code(arch)})"
    if image is None:
        return [heading, f"Leave **Enable for {portal_name}** off. This version has no image for {portal_name}."]
    return [
        heading,
        f"Turn on **Enable for {portal_name}**.",
        f"### Download URL for {portal_name}",
        _fence(image["url"]),
        f"### SHA-256 checksum for {portal_name}",
        _fence(image["sha256"]),
        _table(
            ("Property", "Value"),
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
        "## Verify the links",
        "Run these commands on a Mac in your users' network, in a folder with enough free space. "
        "The last line of each must be the file name and `OK`.",
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
    """Return an inline code span. Only the vertical bar needs escaping in it, for tables."""
    ticks = _longer_than_any(text, "`", 1)
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{_one_line(text)}{pad}{ticks}".replace("|", "\\|")


def _fence(text: str, language: str = "text") -> str:
    """Return a code block, which shows the text unchanged for copying."""
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
    """Return a size in bytes, and rounded in a larger unit. The second text is empty for less than 1 KiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(size), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size:,} bytes", f"{value:.1f} {units[unit]}" if unit else ""
