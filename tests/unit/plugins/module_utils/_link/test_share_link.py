# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The direct forms of share links."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._link.share_link import share_link

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
    "SharePoint, the root site": (
        "https://contoso.sharepoint.com/:u:/g/EabC?e=x1",
        "https://contoso.sharepoint.com/:u:/g/EabC?download=1",
    ),
    "SharePoint, a team": (
        "https://contoso.sharepoint.com/:u:/t/golden/EabC-_1",
        "https://contoso.sharepoint.com/:u:/t/golden/EabC-_1?download=1",
    ),
    "SharePoint, of a national cloud": (
        "https://contoso.sharepoint-mil.us/:u:/s/mac/EabC?e=1",
        "https://contoso.sharepoint-mil.us/:u:/s/mac/EabC?download=1",
    ),
    "SharePoint, with a fragment": (
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?web=1#top",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?download=1",
    ),
    "OneDrive, the short form of new accounts": (
        "https://1drv.ms/u/c/0123456789abcdef/EabC?e=x",
        "https://api.onedrive.com/v1.0/shares/"
        "u!aHR0cHM6Ly8xZHJ2Lm1zL3UvYy8wMTIzNDU2Nzg5YWJjZGVmL0VhYkM_ZT14/root/content",
    ),
    "OneDrive, an account that was moved to SharePoint": (
        "https://onedrive.live.com/:u:/g/personal/0123456789ABCDEF/EabC?e=x",
        "https://onedrive.live.com/:u:/g/personal/0123456789ABCDEF/EabC?download=1",
    ),
    "OneDrive, to where a short link leads": (
        "https://onedrive.live.com/redir?resid=ABC%21123&authkey=%21key&e=x&cid=abc",
        "https://onedrive.live.com/download?cid=abc&resid=ABC%21123&authkey=%21key",
    ),
    "OneDrive, embedded": (
        "https://onedrive.live.com/embed?resid=ABC%21123&authkey=%21key",
        "https://onedrive.live.com/download?resid=ABC%21123&authkey=%21key",
    ),
    "Dropbox, as an address without dl": (
        "https://www.dropbox.com/scl/fi/id1/win11.pvmp?rlkey=key1",
        "https://www.dropbox.com/scl/fi/id1/win11.pvmp?rlkey=key1&dl=1",
    ),
    "Google Cloud Storage, for signed-in people": (
        "https://storage.cloud.google.com/bucket/win11.pvmp?authuser=1",
        "https://storage.googleapis.com/bucket/win11.pvmp",
    ),
    "Nextcloud below a folder": (
        "https://example.com/cloud/index.php/s/AbCd1234EfGh567?path=/",
        "https://example.com/cloud/index.php/s/AbCd1234EfGh567/download?path=%2F",
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
    "SharePoint, with encoded colons": (
        "https://contoso.sharepoint.com/%3Au%3A/s/mac/EabC?e=x",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?download=1",
    ),
    "SharePoint, with encoded colons in lower case": (
        "https://contoso.sharepoint.com/%3au:/s/mac/EabC?e=x",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?download=1",
    ),
    "SharePoint, with a dot after the host": (
        "https://contoso.sharepoint.com./:u:/s/mac/EabC",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?download=1",
    ),
    "SharePoint, with a dot and a port": (
        "https://contoso.sharepoint.com.:443/:u:/s/mac/EabC",
        "https://contoso.sharepoint.com:443/:u:/s/mac/EabC?download=1",
    ),
    "OneDrive, the page of a file": (
        "https://onedrive.live.com/?cid=0AB&id=0AB%21123&authkey=%21AbCd",
        "https://onedrive.live.com/download?cid=0AB&resid=0AB%21123&authkey=%21AbCd",
    ),
    "Outlook, a share link": (
        "https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fcontoso.sharepoint.com%2F%3Au%3A%2Fs%2Fmac"
        "%2FEabC&data=05%7C02&reserved=0",
        "https://contoso.sharepoint.com/:u:/s/mac/EabC?download=1",
    ),
    "Outlook, any link": (
        "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fimages.example.com%2Fa.pvmp&data=05",
        "https://images.example.com/a.pvmp",
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
        ("https://contoso.sharepoint.com/:f:/s/mac/EabC", "folder: share the image file itself"),
        ("https://contoso.sharepoint.com/:u:/r/sites/mac/win11.pvmp?csf=1", "signed-in"),
        ("https://contoso.sharepoint.com/sites/mac/Shared%20Documents/win11.pvmp", "requires a sign-in"),
        ("https://www.dropbox.com/scl/fo/id1/abc?rlkey=k", "ZIP"),
        ("https://www.dropbox.com/home/images", "Copy link"),
        ("https://drive.google.com/file/d/1abc/view?usp=sharing", "another store"),
        ("https://drive.google.com/uc?export=download&id=1abc", "warning page"),
        ("https://drive.usercontent.google.com/download?id=1abc&export=download", "another store"),
        ("https://docs.google.com/uc?id=1abc", "another store"),
        ("https://contoso.app.box.com/s/abc123", "Direct link"),
        ("https://contoso.box.com/file/123", "Direct link"),
        ("https://contoso.sharepoint.com/:f:/r/sites/mac/golden", "folder: share the image file itself"),
        ("https://contoso.sharepoint.com/sites/mac/_layouts/15/Doc.aspx?sourcedoc=%7B1%7D", "requires a sign-in"),
        ("https://contoso.sharepoint.com/sites/mac/Docs/Forms/AllItems.aspx?id=%2Fsites", "requires a sign-in"),
        ("https://1drv.ms/f/s!abc", "folder: share the image file itself"),
        ("https://onedrive.live.com/?id=ABC%21123&cid=abc", "signed-in people"),
        ("https://www.dropbox.com/scl/fi/id1/win11.pvmp?dl=0", "lacks its key"),
        ("https://www.dropbox.com/scl/fi/id1/win11.pvmp?rlkey=&dl=0", "lacks its key"),
        ("https://www.dropbox.com/sh/id1/key?dl=1", "ZIP"),
        ("https://cloud.example.com/index.php/f/12345", "signed-in"),
        ("https://cloud.example.com/apps/files/?dir=/golden", "signed-in"),
        ("https://cloud.example.com/s/AbCd1234EfGh567/authenticate/showShare", "password"),
        ("https://cloud.example.com/s/AbCd1234EfGh567?dir=/golden&openfile=4711", "opens a folder"),
        ("https://cloud.example.com/index.php/s/AbCd1234EfGh567?path=%2Fgolden", "opens a folder"),
        ("https://pan.baidu.com/s/1AbCdEfGh", "no permanent direct links"),
        ("https://nam02.safelinks.protection.outlook.com/?data=05", "copy the link itself"),
        ("https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2F%5Bbroken", "copy the link itself"),
        ("https://nam02.safelinks.protection.outlook.com/?url=file%3A%2F%2F%2Fetc", "copy the link itself"),
        ("https://www.icloud.com/iclouddrive/0abc#win11.pvmp", "another store"),
        ("https://we.tl/t-abc", "WeTransfer has no permanent direct links"),
        ("https://mega.nz/file/abc#key", "MEGA has no permanent direct links"),
        ("https://s3.console.aws.amazon.com/s3/object/bucket?prefix=win11.pvmp", "URL of the object"),
        ("https://portal.azure.com/#blade/storage", "URL of the object"),
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
        "https://app.box.com/index.php?rm=box_download_shared_file&shared_name=a&file_id=f_1",
        "https://onedrive.live.com/download?resid=ABC%21123&authkey=%21key",
        "https://api.onedrive.com/v1.0/shares/u!aHR0/root/content",
        "https://storage.googleapis.com/bucket/win11.pvmp",
        "https://contoso.sharepoint.com/_layouts/15/download.aspx?share=EabC",
        "https://contoso-my.sharepoint.com/personal/jane_contoso_com/_layouts/15/download.aspx?share=EabC",
        "https://bucket.s3.console.example.com/win11.pvmp",
        "https://images.example.com/apps/files/win11.pvmp",
        "https://images.example.com/f/12345",
        "https://contoso.sharepoint.com/sites/mac/_layouts/15/download.aspx?share=EabC",
        "https://notsharepoint.com/:u:/s/mac/EabC",
        "https://images.example.com/s/golden",
        "https://images.example.com/s/windows-eleven",
        "https://./s/x",
        "file:///s/AbCd1234",
        "https://[broken/s/AbCd1234",
        "no address",
    ],
)
def test_other_addresses(url: str) -> None:
    assert share_link(url) is None
