# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells a page from a file."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._link.html import (
    asks_for_password,
    describe_document,
    hints_at_login,
    is_login_host,
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
    assert title_of(b"<html><TITLE lang=de>\n B\xc3\xbcro &amp;\x1b[31m Mac </title>") == "Büro & [31m Mac"
    assert title_of(b"<title>" + b"x" * 200 + b"</title>") == "x" * 77 + "..."
    assert title_of(b"<html>") == ""
    assert title_of(b"<title>\xff</title>") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "host", ["login.microsoftonline.com", "LOGIN.LIVE.COM", "contoso.okta.com", "accounts.google.com"]
)
def test_hosts_where_people_sign_in(host: str) -> None:
    assert is_login_host(f"https://{host}/x")


@pytest.mark.parametrize("host", ["images.example.com", "notokta.com", "okta.com.example.com"])
def test_other_hosts(host: str) -> None:
    assert not is_login_host(f"https://{host}/okta.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://sso.contoso.com/",
        "https://adfs2.contoso.com/adfs/ls",
        "https://contoso.com/oauth2/authorize?x=1",
        "https://contoso.com/Account/Login",
        "https://contoso.com/login.aspx",
        "https://contoso.com/saml2",
    ],
)
def test_hints_at_a_login(url: str) -> None:
    assert hints_at_login(url)


@pytest.mark.parametrize(
    "url", ["https://contoso.com/login-window.pvmp", "https://ssoft.com/x", "https://contoso.com/blogin/"]
)
def test_no_hints_at_a_login(url: str) -> None:
    assert not hints_at_login(url)
