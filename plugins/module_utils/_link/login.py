# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Recognizes the addresses of sign-in pages."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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
