# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Recognizes web pages where a file should be, and sign-in pages among them."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<meta", b"<script", b"<!--")
_BOM = b"\xef\xbb\xbf"
_PASSWORD_FIELD = re.compile(rb"""<input[^>]*\btype\s*=\s*["']?password""", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_LONGEST_TITLE = 80

# Hosts that only serve sign-in pages.
_LOGIN_HOSTS = (
    "accounts.google.com",
    "auth0.com",
    "duosecurity.com",
    "login.live.com",
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.windows.net",
    "okta.com",
    "oktapreview.com",
    "onelogin.com",
)
# These only make a sign-in page likely: the answer decides.
_LOGIN_LABEL = re.compile(r"^(adfs|auth|idp|login|signin|sso)\d*\.")
_LOGIN_PATH = re.compile(r"/(adfs|login|oauth2?|saml2?|signin|sign-in|sso)(/|\.|$)", re.IGNORECASE)


def is_login_host(url: str) -> bool:
    """Return whether the host of a URL only serves sign-in pages."""
    host = (urlsplit(url).hostname or "").lower()
    return any(host == known or host.endswith("." + known) for known in _LOGIN_HOSTS)


def hints_at_login(url: str) -> bool:
    """Return whether a URL looks like a sign-in page."""
    parts = urlsplit(url)
    return bool(_LOGIN_LABEL.match((parts.hostname or "").lower()) or _LOGIN_PATH.search(parts.path))


def describe_document(content_type: str, head: bytes) -> str | None:
    """Return what kind of document a download is, None when it may be an image."""
    kind = content_type.partition(";")[0].strip().lower()
    start = head[len(_BOM) :] if head.startswith(_BOM) else head
    start = start.lstrip()[:64].lower()
    if kind in _PAGE_TYPES:
        return f"a web page (Content-Type {kind})"
    if start.startswith(_PAGE_STARTS):
        return "a web page (with another Content-Type)"
    if start.startswith(b"<?xml"):
        return "an XML document (servers send one to report an error)"
    if kind.endswith("json") and start.startswith((b"{", b"[")):
        return f"a JSON document (Content-Type {kind})"
    return None


def asks_for_password(page: bytes) -> bool:
    """Return whether a page has a password field."""
    return bool(_PASSWORD_FIELD.search(page))


def title_of(page: bytes) -> str:
    """Return the title of a page, printable and shortened; empty when it has none."""
    found = _TITLE.search(page)
    text = html.unescape(found[1].decode("utf-8", "replace")) if found else ""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 3] + "..."
