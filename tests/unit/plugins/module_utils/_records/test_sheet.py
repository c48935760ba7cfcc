# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The golden image sheet."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.sheet import golden_image_sheet

ARM = "a1" * 32
INTEL = "b2" * 32
ARM_URL = "https://images.example.com/win11-1.0-arm64.pvmp?x=1&y='2'"


def record(arch: str = "arm64", **values: Any) -> dict[str, Any]:
    given = {
        "name": "win11",
        "version": "1.0",
        "arch": arch,
        "title": "Contoso Windows",
        "description": "For everyone",
        "url": ARM_URL if arch == "arm64" else "https://images.example.com/win11-1.0-x86_64.pvmp",
        "sha256": ARM if arch == "arm64" else INTEL,
        "size": 21474836480,
    }
    return new_record({**given, **values}, datetime(2026, 11, 22, tzinfo=timezone.utc))


def fields(sheet: str) -> dict[str, str]:
    """Return what stands in the code block under each heading."""
    return dict(re.findall(r"^###? ([^\n]+)\n\n```+text\n(.*?)\n```", sheet, re.MULTILINE | re.DOTALL))


def test_both_architectures_have_the_fields_of_the_portal() -> None:
    sheet = golden_image_sheet([record("x86_64"), record("arm64")])
    assert fields(sheet) == {
        "Name": "Contoso Windows",
        "Description (optional)": "For everyone",
        "Download URL for Apple silicon": ARM_URL,
        "SHA-256 checksum for Apple silicon": ARM,
        "Download URL for Intel": "https://images.example.com/win11-1.0-x86_64.pvmp",
        "SHA-256 checksum for Intel": INTEL,
    }
    assert "Turn on **Enable for Apple silicon**." in sheet
    assert "Turn on **Enable for Intel**." in sheet
    assert sheet.index("Apple silicon (`arm64`)") < sheet.index("Intel (`x86_64`)")
    assert "| Size | 21,474,836,480 bytes (20.0 GiB) |" in sheet
    assert "version `1.0`" in sheet
    assert "**Create Golden Image**" in sheet


def test_one_architecture_says_to_leave_the_other_off() -> None:
    sheet = golden_image_sheet([record("x86_64")])
    assert "Leave **Enable for Apple silicon** off" in sheet
    assert ARM not in sheet


def test_the_same_records_give_the_same_sheet() -> None:
    records = [record("arm64"), record("x86_64")]
    assert golden_image_sheet(records) == golden_image_sheet(list(reversed(records)))


def test_control_characters_are_escaped() -> None:
    shown = golden_image_sheet([record(title="A\x9b31m title", description="Two\n\x1blines\x7f")])
    assert r"# Golden image: A\\x9b31m title" + "\n" in shown
    assert "Two\n" + r"\x1blines\x7f" in shown


def test_title_and_description_may_be_given() -> None:
    shown = fields(golden_image_sheet([record()], title="Other\n name", description="Two\nlines"))
    assert shown["Name"] == "Other name"
    assert shown["Description (optional)"] == "Two\nlines"


def test_no_description() -> None:
    assert "None. Leave this field empty." in golden_image_sheet([record(description="")])


def test_marks_of_markdown_are_shown_not_read() -> None:
    title = "A *bold* | [link](x) <b> & ```` `code`"
    sheet = golden_image_sheet([record(title=title)], description="```\nfence\n```")
    assert sheet.startswith("# Golden image: A \\*bold\\* \\| \\[link\\](x) \\<b\\> \\& \\`\\`\\`\\` \\`code\\`\n")
    assert f"\n`````text\n{title}\n`````\n" in sheet
    assert "\n````text\n```\nfence\n```\n````\n" in sheet


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("shasum") is None, reason="curl and shasum are not here"
)
def test_the_commands_check_a_download(tmp_path: Path) -> None:
    image = tmp_path / "source" / "ü 'image'.pvmp"
    image.parent.mkdir()
    image.write_bytes(b"bytes of an image")
    digest = subprocess.run(["shasum", "-a", "256", image], check=True, capture_output=True, text=True).stdout[:64]
    url = "file://" + str(image).replace("ü", "%C3%BC").replace(" ", "%20")

    def run(sha256: str) -> subprocess.CompletedProcess[str]:
        sheet = golden_image_sheet([record(url=url, file="it's mine.pvmp", sha256=sha256)])
        command = re.search(r"```sh\n(.*?)\n```", sheet, re.DOTALL)
        assert command
        assert "curl --location --fail " in command[1]
        return subprocess.run(["/bin/sh", "-c", command[1]], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run(digest).returncode == 0
    assert run(digest).stdout.strip() == "it's mine.pvmp: OK"
    assert run("0" * 64).returncode != 0


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "list of one or two records"),
        ("text", "list of one or two records"),
        (record(), "list of one or two records"),
        ([{"name": "win11"}], "is incomplete: .*version is missing"),
        ([record(), record("x86_64", version="2.0")], "not for win11 1.0, win11 2.0"),
        ([record(), record("x86_64", name="other")], "for one version"),
        ([record(), record()], "two records of one architecture"),
        ([record(state="withdrawn")], "win11-1.0-arm64 is withdrawn"),
    ],
)
def test_records_of_which_no_sheet_can_be_made(records: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        golden_image_sheet(records)
