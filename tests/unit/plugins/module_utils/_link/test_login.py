# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells the address of a sign-in page."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._link.login import hints_at_login, is_login_host


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
