# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer file for the first setup of Windows, as the role makes it of its variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jinja2 import Environment, StrictUndefined

TEMPLATE = Path(__file__).resolve().parents[2] / "roles" / "seal_vm" / "templates" / "unattend.xml.j2"
NAMESPACE = "{urn:schemas-microsoft-com:unattend}"
NOTHING: dict[str, Any] = {
    "arch": "arm64",
    "locale": "",
    "time_zone": "",
    "pages": False,
    "account": "",
    "password": "",
    "product_key": "",
    "persist_devices": False,
    "skip_rearm": False,
}


def rendered(**answers: Any) -> ElementTree.Element:
    # As Ansible renders a template.
    environment = Environment(trim_blocks=True, undefined=StrictUndefined)  # nosec B701 # it escapes by itself
    text = environment.from_string(TEMPLATE.read_text()).render(seal_vm_answers={**NOTHING, **answers})
    return ElementTree.fromstring(text.encode())


def texts(root: ElementTree.Element) -> dict[str, str]:
    return {
        element.tag.removeprefix(NAMESPACE): (element.text or "") for element in root.iter() if not len(list(element))
    }


def passes(root: ElementTree.Element) -> dict[str, list[str]]:
    return {
        settings.attrib["pass"]: [component.attrib["name"] for component in settings]
        for settings in root.iter(f"{NAMESPACE}settings")
    }


@pytest.mark.parametrize(("arch", "expected"), [("arm64", "arm64"), ("x86_64", "amd64")])
def test_its_components_are_for_the_architecture_of_the_guest(arch: str, expected: str) -> None:
    root = rendered(arch=arch, locale="de-DE", persist_devices=True, skip_rearm=True)
    components = list(root.iter(f"{NAMESPACE}component"))
    assert len(components) == 5
    assert {component.attrib["processorArchitecture"] for component in components} == {expected}


def test_by_default_no_page_is_shown_and_no_account_is_made() -> None:
    root = rendered()
    assert passes(root) == {
        "specialize": ["Microsoft-Windows-Shell-Setup"],
        "oobeSystem": ["Microsoft-Windows-Shell-Setup"],
    }
    assert texts(root) == {
        "ComputerName": "*",
        "HideEULAPage": "true",
        "HideOEMRegistrationScreen": "true",
        "HideOnlineAccountScreens": "true",
        "HideWirelessSetupInOOBE": "true",
        "ProtectYourPC": "3",
    }


def test_what_is_given_is_in_it() -> None:
    root = rendered(
        locale="en-US",
        time_zone="W. Europe Standard Time",
        pages=True,
        account="Büro <1>",
        password="a&b<c>\"'",
        product_key="AAAAA-BBBBB",
        persist_devices=True,
        skip_rearm=True,
    )
    found = texts(root)
    assert found["UILanguage"] == found["InputLocale"] == found["SystemLocale"] == found["UserLocale"] == "en-US"
    assert found["TimeZone"] == "W. Europe Standard Time"
    assert (found["Name"], found["Value"]) == ("Büro <1>", "a&b<c>\"'")
    assert found["ProductKey"] == "AAAAA-BBBBB"
    assert (found["PersistAllDeviceInstalls"], found["SkipRearm"]) == ("true", "1")
    assert "HideOnlineAccountScreens" not in found
    assert not list(root.iter(f"{NAMESPACE}AutoLogon"))
