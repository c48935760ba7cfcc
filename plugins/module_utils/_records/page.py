# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The page for people: what a catalog holds, as one HTML file that needs nothing else.

The same records give the same bytes. Nothing on it needs JavaScript: the script only brings the buttons that copy, so
they are hidden where it does not run. Style and script are named in the page's own security policy by their digests,
and nothing else may run, be loaded or be sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .page_style import SCRIPT, STYLE
from .record import identity, natural_order
from .sheet import PORTAL_NAMES, PORTAL_STEPS, size_in_words

PAGE = "index.html"
TITLE = "Golden images"

# By which a page is known as made here; no other may be written over.
_MARK = '<meta name="generator" content="macops.parallels image_catalog">'

# What has no place in a page: control characters, and halves of characters.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_COLUMNS = ("Version", "Architecture", "Size", "Published", "State", "SHA-256 checksum", "Download URL")
_LINKED = re.compile(r"(https|file)://[^\s]+")

Record = Mapping[str, Any]


def catalog_page(records: Sequence[Record]) -> bytes:
    """Return the page of a catalog: its names by the alphabet, their versions with the newest first."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record["name"]):
        groups.setdefault(record["name"], []).append(record)
    parts = [
        _head(),
        "<body>",
        _header(records),
        "<main>",
        _portal_steps() if records else "",
        _contents(groups) if len(groups) > 1 else "",
        *(_section(name, group) for name, group in groups.items()),
        "" if records else '<p class="empty">No image is published here yet.</p>',
        "</main>",
        '<footer><p>Made by the Ansible collection macops.parallels from <a href="catalog.json">catalog.json</a>, '
        "which programs read.</p></footer>",
        '<p id="copied" class="unseen" role="status" aria-live="polite"></p>',
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return ("\n".join(part for part in parts if part) + "\n").encode()


def is_catalog_page(data: bytes) -> bool:
    """Return whether a file is a page that was made here."""
    return _MARK.encode() in data[:4096]


def _head() -> str:
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(STYLE)}'",
            f"script-src '{_digest(SCRIPT)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            _MARK,
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="robots" content="noindex">',
            # Without it, browsers ask the server for one.
            '<link rel="icon" href="data:,">',
            f"<title>{TITLE}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(records: Sequence[Record]) -> str:
    offered = [record for record in records if record["state"] == "published"]
    told = f"{_count(len(offered), 'image is', 'images are')} offered here."
    if offered:
        told += f" The last one was published on {_time(max(record['published_at'] for record in offered))}."
    return f"<header><h1>{TITLE}</h1><p>{told}</p></header>"


def _portal_steps() -> str:
    steps = "".join(f"<li>{_emphasized(step)}</li>" for step in PORTAL_STEPS)
    return f"<details><summary>Enter an image in the Management Portal</summary><ol>{steps}</ol></details>"


def _emphasized(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", _text(text))


def _contents(groups: Mapping[str, Sequence[Record]]) -> str:
    links = "".join(
        f'<li><a href="#image-{_text(name)}"><bdi>{_text(_newest(group)["title"] or name)}</bdi></a></li>'
        for name, group in groups.items()
    )
    return f'<nav aria-label="Images"><ul>{links}</ul></nav>'


def _section(name: str, group: Sequence[Record]) -> str:
    newest = _newest(group)
    title = newest["title"] or name
    head = "".join(f'<th role="columnheader" scope="col">{column}</th>' for column in _COLUMNS)
    ordered = sorted(
        group, key=lambda record: (natural_order(record["version"]), record["arch"] == "arm64"), reverse=True
    )
    rows = "\n".join(_row(record, title) for record in ordered)
    described = newest["description"].strip()
    return "\n".join(
        part
        for part in (
            f'<section id="image-{_text(name)}" aria-labelledby="title-{_text(name)}">',
            f'<h2 id="title-{_text(name)}"><bdi>{_text(title)}</bdi></h2>',
            f'<p class="name">Image <code>{_text(name)}</code></p>' if title != name else "",
            f'<p class="described" dir="auto">{_text(described)}</p>' if described else "",
            '<table role="table">',
            f'<caption class="unseen">Versions of {_text(name)}</caption>',
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>',
            '<tbody role="rowgroup">',
            rows,
            "</tbody>",
            "</table>",
            "</section>",
        )
        if part
    )


def _newest(group: Iterable[Record]) -> Record:
    """Return the record after which its group is called: the newest that is offered, else the newest."""
    return max(group, key=lambda record: (record["state"] == "published", natural_order(record["version"])))


def _row(record: Record, title: str) -> str:
    withdrawn = record["state"] != "published"
    portal_name = PORTAL_NAMES[record["arch"]]
    what = f"{record['name']} {record['version']} for {portal_name}"
    own_title = f'<span class="quiet"><bdi>{_text(record["title"])}</bdi></span>' if record["title"] != title else ""
    version = f"{_text(record['version'])} {own_title}".rstrip()
    sha256 = record["sha256"]
    digest = f"<code>{_text(sha256)}</code>{_copy(sha256, f'Copy the SHA-256 checksum of {what}')}"
    cells = (
        f'{portal_name} <span class="quiet below">{_text(record["arch"])}</span>',
        _size(record["size"]),
        _time(record["published_at"]),
        _state(record),
        digest,
        '<span class="quiet">Not offered any more</span>' if withdrawn else _links(record, what),
    )
    kind = ' class="withdrawn"' if withdrawn else ""
    first, *others = _COLUMNS
    return "\n".join(
        (
            f'<tr role="row" id="{_text("/".join(("record", *identity(record))))}"{kind}>',
            f'<th role="rowheader" scope="row">{_caption(first)}<span>{version}</span></th>',
            *(f'<td role="cell">{_caption(column)}<span>{cell}</span></td>' for column, cell in zip(others, cells)),
            "</tr>",
        )
    )


def _caption(column: str) -> str:
    """Return what stands before a value where the table is shown as cards. To those who listen, its header says it."""
    return f'<span class="caption" aria-hidden="true">{column}</span>'


def _size(size: int) -> str:
    exact, rounded = size_in_words(size)
    return f'{rounded} <span class="quiet below">{exact}</span>' if rounded else exact


def _state(record: Record) -> str:
    marks = []
    if record["state"] == "published":
        marks.append('<span class="mark good">Published</span>')
    else:
        since = f" {_time(record['withdrawn_at'])}" if record.get("withdrawn_at") else ""
        marks.append(f'<span class="mark bad">Withdrawn</span>{since}')
        if record.get("reason"):
            marks.append(f'<span class="reason" dir="auto">{_text(record["reason"])}</span>')
        if record.get("file_removed"):
            marks.append('<span class="quiet">Its file was removed.</span>')
    if record["protected"]:
        marks.append('<span class="mark">Protected</span>')
    return " ".join(marks)


def _links(record: Record, what: str) -> str:
    url, provenance, signer = record["url"], record.get("provenance"), record.get("signed_by")
    told = ""
    if _is_link(provenance):
        told += f' <a class="quiet below" href="{_text(provenance)}">Provenance</a>'
    # That it is signed is told; whether the signature is good is for those to find out who know the signers.
    if record.get("signature") and isinstance(signer, str):
        told += f' <span class="quiet below">Signed by <bdi>{_text(signer)}</bdi></span>'
    return f'<a href="{_text(url)}">{_text(record["file"])}</a>{_copy(url, f"Copy the download URL of {what}")}{told}'


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and _LINKED.fullmatch(value) is not None


def _copy(text: str, what: str) -> str:
    return f' <button type="button" hidden data-copy="{_text(text)}" aria-label="{_text(what)}">Copy</button>'


def _time(text: str) -> str:
    """Return a time of a record for people; it is written as 2026-11-22T10:00:00Z."""
    return f'<time datetime="{_text(text)}">{_text(text[:10])} {_text(text[11:16])} UTC</time>'


def _count(number: int, one: str, more: str) -> str:
    return f"{number or 'No'} {more if number > 1 else one}"


def _text(value: str | None) -> str:
    """Return a text as it may stand in the page and in a quoted attribute."""
    return html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", value or ""), quote=True)
