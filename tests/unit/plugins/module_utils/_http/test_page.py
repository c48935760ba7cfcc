# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells a page from a file."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._http.page import (
    asks_for_password,
    describe_document,
    is_text,
    readable,
    title_of,
)


@pytest.mark.parametrize(
    ("content_type", "head", "word"),
    [
        ("text/html; charset=utf-8", b"", "web page"),
        ("TEXT/HTML", b"binary \0 bytes", "web page"),
        ("application/xhtml+xml", b"", "web page"),
        ("application/octet-stream", b"<!DOCTYPE html><html>", "web page"),
        ("application/octet-stream", b"\xef\xbb\xbf \r\n\t<HTML lang='en'>", "web page"),
        ("", b"<script>location='/login'</script>", "web page"),
        ("", b"<!-- made by -->", "web page"),
        ("application/octet-stream", b"<?xml version='1.0'?><Error/>", "XML"),
        ("application/problem+json", b' {"error": 1}', "JSON"),
        ("application/octet-stream", b"<!doctype\thtml>", "web page"),
        ("application/octet-stream", b"<!DOCTYPE\r\n HTML PUBLIC '-//W3C'>", "web page"),
        ("application/octet-stream", b"<center>Blocked</center>", "web page"),
        ("application/octet-stream", b"<P>Blocked", "web page"),
        ("application/octet-stream", b"<br/>Blocked", "web page"),
        ("application/octet-stream", b"<h1 class=x>Blocked", "web page"),
        ("application/octet-stream", "\ufeff<html>".encode("utf-16-le"), "web page"),
        ("application/octet-stream", "\ufeff<html>".encode("utf-16-be"), "web page"),
        ("application/octet-stream", "<html>".encode("utf-16-le"), "web page"),
        ("application/octet-stream", "<html>".encode("utf-16-be"), "web page"),
        ("application/octet-stream", "\ufeff<html>".encode("utf-32-le"), "web page"),
        ("application/octet-stream", gzip.compress(b"<html>" + b"x" * 5000)[:100], "web page"),
        ("application/octet-stream", "<p>Gesperrt f\xfcr Sie".encode("latin-1"), "web page"),
        ("text/plain", b'{"error": "expired"}', "JSON"),
        ("application/octet-stream", b'\n[{"error": "expired"', "JSON"),
        ("", b"{}", "JSON"),
    ],
)
def test_documents(content_type: str, head: bytes, word: str) -> None:
    assert word in (describe_document(content_type, head) or "")


@pytest.mark.parametrize(
    ("content_type", "head"),
    [
        ("application/octet-stream", b"\x89pvmp"),
        ("text/plain", b"pvmp\0\1\2"),
        ("", b""),
        ("application/json", b"pvmp"),
        ("application/octet-stream", b"<pvmp>"),
        ("application/octet-stream", b"{pvmp}"),
        ("application/octet-stream", b"<image>"),
        ("application/octet-stream", b'{"\0\1\2'),
        ("application/octet-stream", gzip.compress(b"pvmp")),
        ("application/octet-stream", b"\x1f\x8b\x08 not compressed"),
        ("application/octet-stream", b"\xff\xfe\1"),
    ],
)
def test_what_may_be_an_image(content_type: str, head: bytes) -> None:
    assert describe_document(content_type, head) is None


@pytest.mark.parametrize(
    "field", [b'<input type="password">', b"<INPUT name=p TYPE=password>", b"<input id='x' type = 'Password'"]
)
def test_a_field_for_a_password(field: bytes) -> None:
    assert asks_for_password(b"<html><form>" + field)


def test_a_page_that_only_speaks_of_passwords() -> None:
    assert not asks_for_password(b"<html>type=password is what you enter <input type=text>")


def test_titles_are_short_and_printable() -> None:
    assert title_of(b"<html><TITLE lang=de>\n B\xc3\xbcro &amp;\x1b[31m Mac </title>") == r"Büro &\x1b[31m Mac"
    assert title_of(b"<title>" + b"x" * 200 + b"</title>") == "x" * 77 + "..."
    assert title_of(b"<html>") == ""
    assert title_of(b"<title>\xff</title>") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("method", ["", "gzip", "deflate", "raw deflate"])
def test_a_compressed_page(method: str) -> None:
    page = b"<html><title>Sign in</title>" + b"x" * 2000
    raw = zlib.compressobj(wbits=-15)
    sent = {"": page, "gzip": gzip.compress(page), "deflate": zlib.compress(page)}.get(
        method, raw.compress(page) + raw.flush()
    )
    encoding = method.split()[-1] if method else ""
    assert "web page" in (describe_document("", sent[:1024], encoding) or "")
    assert title_of(readable(sent, encoding)) == "Sign in"


@pytest.mark.parametrize(
    "head",
    [
        b"Access to this site was blocked.\r\n",
        "Zugriff gesperrt f\xfcr Ihre Abteilung.".encode("latin-1"),
        "Zugriff gesperrt für Ihre Abteilung.".encode(),
        "アクセスできません".encode()[:-1],
        "\ufeffBlocked".encode("utf-16-le"),
        gzip.compress(b"Blocked"),
    ],
)
def test_texts(head: bytes) -> None:
    assert is_text(head)


@pytest.mark.parametrize("head", [b"", b"  ", b"\0\1\2", b"pvmp\0", bytes(range(256)), b"\xff\xfb\xe9\xa7", b"a\x7f"])
def test_what_is_no_text(head: bytes) -> None:
    assert not is_text(head)


@pytest.mark.parametrize(
    "page",
    [b"<title>" * 9362, b"<title" * 10922, b"<input" * 10922, b"<input type" * 5957, b"<input type=" + b" " * 65_000],
)
def test_a_page_that_takes_long_to_search(page):
    begun = time.monotonic()
    assert (title_of(page), asks_for_password(page)) == ("", False)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("page", "title", "password"),
    [
        (b"<TITLE lang=de>A &amp; B</title><Input a='b'\nType = 'PASSWORD'>", "A & B", True),
        (b"<title>a</title><title>b</title><input name=x><input type=password", "a", True),
        (b"<title", "", False),
        (b"<title>no end", "", False),
        (b"<title>a > b</title>", "a > b", False),
        (b"<input type=text> type=password", "", False),
        (b"<input <input type=password>", "", True),
    ],
)
def test_titles_and_password_fields(page, title, password):
    assert (title_of(page), asks_for_password(page)) == (title, password)
