# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters, as playbooks call them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.macops.parallels.plugins.filter import direct_link, golden_image_sheet
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record

RECORD = new_record(
    {
        "name": "win11",
        "version": "1.0",
        "arch": "arm64",
        "title": "Contoso",
        "url": "https://images.example.com/a.pvmp",
        "sha256": "0" * 64,
        "size": 1,
    },
    datetime(2026, 11, 22, tzinfo=timezone.utc),
)


def test_direct_link() -> None:
    direct = direct_link.FilterModule().filters()["direct_link"]
    assert (
        direct("https://contoso.sharepoint.com/:u:/s/mac/E1?e=2")
        == "https://contoso.sharepoint.com/:u:/s/mac/E1?download=1"
    )
    assert direct("https://images.example.com/a.pvmp") == "https://images.example.com/a.pvmp"


@pytest.mark.parametrize(
    ("url", "message"),
    [("https://drive.google.com/file/d/1/view", "another store"), (None, "not NoneType"), (3, "not int")],
)
def test_direct_link_of_what_has_none(url: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        direct_link.direct_link(url)


def test_golden_image_sheet_of_what_a_filter_gives() -> None:
    sheet = golden_image_sheet.FilterModule().filters()["golden_image_sheet"]
    assert sheet((record for record in [RECORD]), title="A title").startswith("# Golden image: A title\n")
    assert sheet([RECORD]).startswith("# Golden image: Contoso\n")


def test_golden_image_sheet_tells_what_is_wrong() -> None:
    with pytest.raises(AnsibleFilterError, match="one or two records"):
        golden_image_sheet.golden_image_sheet([])
