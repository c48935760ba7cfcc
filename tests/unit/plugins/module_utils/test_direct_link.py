# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The direct forms of share links."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._direct_link import share_link

DIRECT = {
    "SharePoint, a site": (
        "https://contoso.sharepoint.com/:u:/s/mac/EabC_1-2?e=x1Y2z3",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC_1-2?download=1",
    ),
    "SharePoint, a personal folder": (
        "https://contoso-my.sharepoint.com/:u:/g/personal/jane_contoso_com/EabC",
        "https://contoso-my.sharepoint.com/:u:/g/personal/jane_contoso_com/EabC?download=1",
    ),
    "SharePoint, more than download=1": (
        "https://contoso.sharepoint.com/:u:/t/team/EabC?download=1&e=x",
        "https://contoso.sharepoint.com/:u:/t/team/EabC?download=1",
    ),
    "OneDrive": (
        "https://1drv.ms/u/s!abc",
        "https://api.onedrive.com/v1.0/shares/u!aHR0cHM6Ly8xZHJ2Lm1zL3UvcyFhYmM/root/content",
    ),
    "Dropbox, the preview": (
        "https://www.dropbox.com/scl/fi/id1/win11.pvmp?rlkey=key1&st=s1&dl=0",
        "https://www.dropbox.com/scl/fi/id1/win11.pvmp?rlkey=key1&st=s1&dl=1",
    ),
    "Dropbox, rendered": (
        "https://www.dropbox.com/s/id1/win11.pvmp?raw=1",
        "https://www.dropbox.com/s/id1/win11.pvmp?dl=1",
    ),
    "Nextcloud": (
        "https://cloud.example.com/s/AbCd1234EfGh567",
        "https://cloud.example.com/s/AbCd1234EfGh567/download",
    ),
    "ownCloud, with a slash at its end": (
        "https://cloud.example.com/index.php/s/AbCd1234EfGh567/",
        "https://cloud.example.com/index.php/s/AbCd1234EfGh567/download",
    ),
    "Nextcloud, a file in a folder": (
        "https://cloud.example.com/s/AbCd1234?path=%2F&files=win11.pvmp&x=1",
        "https://cloud.example.com/s/AbCd1234/download?path=%2F&files=win11.pvmp",
    ),
    "http": ("http://cloud.example.com/s/AbCd1234", "https://cloud.example.com/s/AbCd1234/download"),
}


@pytest.mark.parametrize("name", DIRECT)
def test_direct_form(name: str) -> None:
    url, direct = DIRECT[name]
    found = share_link(url)
    assert found is not None
    assert (found.direct, found.advice) == (direct, "")


@pytest.mark.parametrize("name", DIRECT)
def test_the_direct_form_is_left_as_it_is(name: str) -> None:
    assert share_link(DIRECT[name][1]) is None or "1drv" in DIRECT[name][0]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://contoso.sharepoint.com/:f:/s/mac/EabC", "shares a folder"),
        ("https://contoso.sharepoint.com/:u:/r/sites/mac/win11.pvmp?csf=1", "signed in"),
        ("https://contoso.sharepoint.com/sites/mac/Shared%20Documents/win11.pvmp", "signed-in user"),
        ("https://www.dropbox.com/scl/fo/id1/abc?rlkey=k", "ZIP"),
        ("https://www.dropbox.com/home/images", "Copy link"),
        ("https://drive.google.com/file/d/1abc/view?usp=sharing", "another store"),
        ("https://contoso.app.box.com/s/abc123", "Direct link"),
    ],
)
def test_links_without_a_direct_form(url: str, advice: str) -> None:
    found = share_link(url)
    assert found is not None
    assert found.direct is None
    assert advice in found.advice


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.com/golden/win11-2026.11.0-arm64.pvmp",
        "https://bucket.s3.amazonaws.com/s/win11.pvmp",
        "https://dl.dropboxusercontent.com/scl/fi/id1/win11.pvmp?rlkey=k",
        "https://contoso.box.com/shared/static/abc.pvmp",
        "https://contoso.sharepoint.com/sites/mac/_layouts/15/download.aspx?share=EabC",
        "https://notsharepoint.com/:u:/s/mac/EabC",
        "file:///s/AbCd1234",
        "https://[broken/s/AbCd1234",
        "no address",
    ],
)
def test_other_addresses(url: str) -> None:
    assert share_link(url) is None
