# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Recognizes web pages and other documents where a file should be, and sign-in pages among them."""

from __future__ import annotations

import html
import re
import zlib

from .._common.text import printable

_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_TAGS = (
    "a abbr address article aside b base big blockquote body br button center code div dl em fieldset font footer form "
    "frameset h1 h2 h3 h4 h5 h6 head header hr html i iframe img input label li link main map meta nav noscript object "
    "ol p pre script section small span strong style svg table td title tr tt u ul"
)
_PAGE_START = re.compile(rf"<!doctype\s+html|<!--|<(?:{'|'.join(_TAGS.split())})(?:[\s/>]|$)", re.IGNORECASE)
_JSON_START = re.compile(r"""\{\s*(?:"|\}\s*$)|\[\s*(?:["\[{]|\]\s*$)""")
_GZIP = b"\x1f\x8b\x08"
# What text has beside letters.
_LAYOUT = "\t\n\r\f\x1b"
_REPLACEMENT = "\ufffd"
# Bytes. The beginning may be cut off in the middle of a letter.
_LONGEST_LETTER = 4
# Pages may be hostile: each of these is searched for once, or once in a tag, so that the time grows with the page only.
_INPUT = re.compile(rb"<input", re.IGNORECASE)
_PASSWORD_TYPE = re.compile(rb"""\btype\s*=\s*["']?password""", re.IGNORECASE)
_TITLE = re.compile(rb"<title", re.IGNORECASE)
_TITLE_END = re.compile(rb"</title", re.IGNORECASE)
_LONGEST_TITLE = 80


def describe_document(content_type: str, head: bytes, content_encoding: str = "") -> str | None:
    """Return what kind of document a download is, by its beginning; None when it may be an image."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _PAGE_TYPES:
        return f"a web page (Content-Type {kind})"
    start = _text_of(uncompressed(head, content_encoding)).lstrip()
    if _PAGE_START.match(start):
        return "a web page (with another Content-Type)"
    if start.lower().startswith("<?xml"):
        return "an XML document (servers send one to report an error)"
    if kind.endswith("json") and start.startswith(("{", "[")):
        return f"a JSON document (Content-Type {kind})"
    if _JSON_START.match(start) and is_text(head, content_encoding):
        return "a JSON document (with another Content-Type)"
    return None


def is_text(head: bytes, content_encoding: str = "") -> bool:
    """Return whether the beginning of a download is printable text, which no disk image begins with."""
    text = _text_of(uncompressed(head, content_encoding))
    unknown = text.count(_REPLACEMENT)  # a few letters of another encoding
    return (
        bool(text.strip())
        and unknown * 20 <= len(text)
        and all(letter.isprintable() or letter in _LAYOUT for letter in text)
    )


def readable(page: bytes, content_encoding: str = "") -> bytes:
    """Return a page in UTF-8 and without compression, where that can be read."""
    return _text_of(uncompressed(page, content_encoding)).encode("utf-8", "replace")


def uncompressed(head: bytes, content_encoding: str = "") -> bytes:
    """Return the beginning of a download as it was before compression, where that can be read."""
    if head.startswith(_GZIP):
        window = zlib.MAX_WBITS | 16
    elif content_encoding.strip().lower() == "deflate":
        window = zlib.MAX_WBITS if head[:1] == b"\x78" else -zlib.MAX_WBITS
    else:
        return head
    try:
        return zlib.decompressobj(window).decompress(head, 64 * 1024) or head
    except zlib.error:
        return head


def _text_of(head: bytes) -> str:
    """Return the beginning of a text in UTF-8, UTF-16 or UTF-32; with replacement characters for other bytes."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if head.startswith(mark):
            return _decoded(head[len(mark) :], encoding)
    # Without a mark: the first character of a page or a list.
    if head[:2] in (b"<\0", b"{\0", b"[\0"):
        return _decoded(head, "utf-16-le")
    if head[:2] in (b"\0<", b"\0{", b"\0["):
        return _decoded(head, "utf-16-be")
    return _decoded(head, "utf-8")


def _decoded(head: bytes, encoding: str) -> str:
    for cut in range(min(_LONGEST_LETTER, len(head))):
        try:
            return head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
    return head.decode(encoding, "replace")


def asks_for_password(page: bytes) -> bool:
    """Return whether a page has a password field."""
    for tag in page.split(b">"):
        begun = _INPUT.search(tag)
        if begun and _PASSWORD_TYPE.search(tag, begun.end()):
            return True
    return False


def title_of(page: bytes) -> str:
    """Return the title of a page, printable and shortened; empty when it has none."""
    begun = _TITLE.search(page)
    start = page.find(b">", begun.end()) + 1 if begun else 0
    end = _TITLE_END.search(page, start) if start else None
    return one_line(html.unescape(page[start : end.start()].decode("utf-8", "replace"))) if end else ""


def one_line(text: str) -> str:
    """Return a text of a server for use in a sentence: printable and shortened."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 3] + "..."


def page_instead(name: str, content_type: str, head: bytes = b"", content_encoding: str = "") -> str | None:
    """Return a description of the web page that came instead of the file C(name), None when none came."""
    if name.lower().endswith((".html", ".htm")):
        return None
    document = describe_document(content_type, head, content_encoding)
    if document is None or "web page" not in document:
        return None
    title = title_of(readable(head, content_encoding))
    return f"a web page with the title '{title}'" if title else "a web page"
