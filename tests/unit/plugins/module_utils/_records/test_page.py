# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for people, as text; how it looks and works is tested in tests/page."""

from __future__ import annotations

import base64
import hashlib
import html
import random
import re
from datetime import datetime, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._records import page as page_module
from ansible_collections.macops.parallels.plugins.module_utils._records.page import catalog_page, is_catalog_page
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.sheet import PORTAL_STEPS

NOW = datetime(2026, 11, 22, 10, 5, 59, tzinfo=timezone.utc)
VOID = {"meta", "link", "br", "img", "input"}
NASTY = "</code><script>alert('1')</script> \"&amp;\" ' onclick=x `\u202eevil\u0000\x1b\ud800 Büro 名前 עברית 🖥"


def record(version: str = "1.0", arch: str = "arm64", **more: Any) -> dict[str, Any]:
    values = {
        "name": "win11",
        "title": "Windows 11",
        "version": version,
        "arch": arch,
        "url": f"https://images.example.com/win11-{version}-{arch}.pvmp",
        "sha256": hashlib.sha256(f"{version}{arch}".encode()).hexdigest(),
        "size": 21474836480,
    }
    known = new_record({key: more.pop(key, value) for key, value in values.items()}, NOW)
    return {**known, **more}


WITHDRAWN = {"state": "withdrawn", "reason": "No <VPN>.", "withdrawn_at": "2026-11-23T08:00:00Z"}


class Page(HTMLParser):
    """What a parser makes of a page: its rows, its links, and whether its elements are nested as they should be."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.source = data.decode("utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def body_rows(self) -> list[list[str]]:
        """The rows without those of the heads, and without what stands before a value in the cards."""
        heads = ("Version", "Architecture", "Size", "Published", "State", "SHA-256 checksum", "Download URL")
        return [
            [" ".join(cell[len(head) :].split()) for cell, head in zip(row, heads)]
            for row in self.rows
            if row != list(heads)
        ]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def test_an_image_with_all_that_people_need() -> None:
    page = Page(catalog_page([record()]))
    sha256 = record()["sha256"]
    assert page.body_rows == [
        [
            "1.0",
            "Apple silicon arm64",
            "20.0 GiB 21,474,836,480 bytes",
            "2026-11-22 10:05 UTC",
            "Published",
            f"{sha256} Copy",
            "win11-1.0-arm64.pvmp Copy",
        ]
    ]
    assert [link["href"] for link in page.of("a")] == [
        "https://images.example.com/win11-1.0-arm64.pvmp",
        "catalog.json",
    ]
    assert [button["data-copy"] for button in page.of("button")] == [sha256, record()["url"]]
    assert {tuple(button)[:2] for button in page.of("button")} == {("type", "hidden")}
    assert page.of("html") == [{"lang": "en"}]
    assert "1 image available. Last published: 2026-11-22 10:05 UTC." in page.text


def test_the_words_of_the_portal_are_those_of_the_sheet() -> None:
    text = Page(catalog_page([record()])).text
    for step in PORTAL_STEPS:
        assert step.replace("**", "") in text


def test_what_is_not_offered_has_no_link_but_a_reason() -> None:
    page = Page(catalog_page([record(**WITHDRAWN), record("0.9", file_removed=True, **WITHDRAWN)]))
    first, second = page.body_rows
    assert first[4:] == [
        "Withdrawn 2026-11-23 08:00 UTC No <VPN>.",
        f"{record()['sha256']} Copy",
        "No longer available",
    ]
    assert second[4].endswith("No <VPN>. File removed.")
    assert [link["href"] for link in page.of("a")] == ["catalog.json"]
    assert "No images available." in page.text


def test_marks() -> None:
    rows = Page(catalog_page([record(protected=True), record("0.9", title="Windows 11 Beta")])).body_rows
    assert [row[4] for row in rows] == ["Published Protected", "Published"]
    assert [row[0] for row in rows] == ["1.0", "0.9 Windows 11 Beta"]


def test_the_newest_comes_first_and_each_name_has_a_place_of_its_own() -> None:
    records = [
        record("1.9"),
        record("1.10", "x86_64"),
        record("1.10"),
        record("1.11", title="Bad", description="Bad", **WITHDRAWN),
        record(name="ubuntu", title="", description="Two\nlines"),
    ]
    page = Page(catalog_page(records))
    assert [row[0].split()[0] for row in page.body_rows] == ["1.0", "1.11", "1.10", "1.10", "1.9"]
    assert [row[1].split()[0] for row in page.body_rows] == ["Apple", "Apple", "Apple", "Intel", "Apple"]
    assert [link["href"] for link in page.of("a")][:2] == ["#image-ubuntu", "#image-win11"]
    assert [section["id"] for section in page.of("section")] == ["image-ubuntu", "image-win11"]
    assert re.findall(r"<h2 [^>]*><bdi>(.*?)</bdi></h2>", page.source) == ["ubuntu", "Windows 11"]
    identities = [attributes["id"] for _tag, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize(
    ("size", "told"),
    [(1, "1 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB 1,536 bytes"), (2**40, "1.0 TiB 1,099,511,627,776 bytes")],
)
def test_sizes(size: int, told: str) -> None:
    assert Page(catalog_page([record(size=size)])).body_rows[0][2] == told


def test_the_same_records_give_the_same_page() -> None:
    records = [record(version, arch) for version in ("1.0", "1.1", "1.10") for arch in ("arm64", "x86_64")]
    records += [record(name=name) for name in ("a", "b")]
    first = catalog_page(records)
    for seed in range(5):
        random.Random(seed).shuffle(records)
        assert catalog_page(records) == first


@pytest.mark.parametrize("field", ["title", "description", "reason"])
def test_no_text_gets_out_of_its_place(field: str) -> None:
    spoilt = {**record(**WITHDRAWN), field: NASTY}
    page = Page(catalog_page([spoilt]))
    plain = Page(catalog_page([{**spoilt, field: "harmless"}]))
    assert page.elements == plain.elements
    shown = re.sub("[\x00\x1b\ud800]", "\N{REPLACEMENT CHARACTER}", NASTY)
    assert " ".join(shown.split()) in page.text


def test_no_value_gets_out_of_its_quotes() -> None:
    url = "https://images.example.com/a.pvmp?x=1&y=\"><script>alert('1')</script>"
    page = Page(catalog_page([record(url=url, file="\"><b onclick='x'>.pvmp")]))
    assert url in [link["href"] for link in page.of("a")]
    assert url in [button["data-copy"] for button in page.of("button")]
    assert len(page.of("script")) == 1
    assert page.of("b") == []
    assert html.escape(url) in page.source


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ""),
        ({"signature": "U1NI", "signed_by": "jane@example.com"}, "Signed by jane@example.com"),
        ({"provenance": "https://i.example.com/a.json"}, "Provenance"),
        (
            {"provenance": "file:///a.json", "signature": "U1NI", "signed_by": "<b>jane"},
            "Provenance Signed by <b>jane",
        ),
        ({"signature": "U1NI"}, ""),
        ({"signed_by": "nobody"}, ""),
        ({"signature": "U1NI", "signed_by": {"a": 1}, "provenance": {"a": 1}}, ""),
        ({"provenance": "javascript:alert(1)"}, ""),
        ({"provenance": "https://a b"}, ""),
        ({"sbom": {"url": "https://i.example.com/a.cdx.json"}}, "Software list (SBOM)"),
        ({"sbom": {"url": "javascript:alert(1)"}}, ""),
        ({"sbom": "https://i.example.com/a.cdx.json"}, ""),
    ],
)
def test_proofs_are_told_where_there_are_any(more: dict[str, Any], told: str) -> None:
    page = Page(catalog_page([record(**more)]))
    assert page.body_rows[0][6] == f"win11-1.0-arm64.pvmp Copy {told}".rstrip()
    links = [more["provenance"]] if "Provenance" in told else [more["sbom"]["url"]] if "SBOM" in told else []
    assert [link["href"] for link in page.of("a")][1:-1] == links


def test_the_readiness_report_is_in_the_row() -> None:
    readiness = {"passed": ["a", "b"], "warnings": [{"id": "<b>", "message": "x"}], "waived": [], "failed": []}
    page = Page(catalog_page([record(readiness=readiness)]))
    assert page.body_rows[0][4].endswith("Readiness: 2 checks passed; warnings: <b>.")
    assert page.of("b") == []


def test_nothing_may_run_but_what_the_page_brings() -> None:
    page = Page(catalog_page([record()]))
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv")) or ""
    for kind in ("style", "script"):
        (source,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"\sstyle=|\son\w+=|src=|@import|url\(", page.source)


def test_an_empty_catalog() -> None:
    page = Page(catalog_page([]))
    assert "No images have been published yet." in page.text
    assert page.rows == []
    assert page.of("details") == []


def test_it_knows_its_own_pages() -> None:
    assert is_catalog_page(catalog_page([]))
    assert is_catalog_page(catalog_page([record()]))
    assert not is_catalog_page(b"<!doctype html><html lang=en><title>Ours</title></html>")
    assert not is_catalog_page(b"")


def test_of_very_many_records_the_last_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_SHOWN", 2)
    records = [record(f"{n}.0", published_at=f"2026-11-{20 + n}T00:00:00Z") for n in (1, 3, 2)]
    page = Page(catalog_page(records))
    assert [row[0].split()[-1] for row in page.body_rows] == ["3.0", "2.0"]
    assert "The 2 images that were published last, of 3." in page.text
    assert "published last" not in Page(catalog_page(records[:2])).text
