# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SBOM: valid by CycloneDX's own schema, and the same bytes for the same image."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._records.sbom import Image, count_of, sbom, serialized
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

AT = "2026-11-22T09:12:30Z"
IMAGE = Image("ubuntu-2026.11.0-arm64.pvmp", "ab" * 32)
DEBIAN = {
    "system": {
        "family": "linux",
        "id": "debian",
        "name": "Debian GNU/Linux 12 (bookworm)",
        "version": "12",
        "arch": "aarch64",
        "kernel": "6.1.0-18-arm64",
    },
    "components": [
        {"type": "deb", "name": "bash", "version": "5.2.15-2+b7", "arch": "arm64", "supplier": "A <a@example.com>"},
        {"type": "deb", "name": "zlib1g", "version": "1:1.2.13.dfsg-1", "arch": "arm64", "source": "zlib"},
        {"type": "deb", "name": "libstdc++6", "version": "12.2.0~rc1-14", "arch": "arm64"},
        {"type": "snap", "name": "core22", "version": "20240111", "revision": "1122"},
        {"type": "flatpak", "name": "org.gnome.Maps", "version": "46.10", "branch": "stable", "origin": "flathub"},
    ],
}
FEDORA = {
    "system": {
        "family": "linux",
        "id": "fedora",
        "name": "Fedora Linux 40",
        "version": "40",
        "arch": "x86_64",
        "cpe": "cpe:/o:fedoraproject:fedora:40",
    },
    "components": [
        {"type": "rpm", "name": "curl", "epoch": "0", "version": "8.6.0-7.fc40", "arch": "x86_64", "license": "curl"},
        {"type": "rpm", "name": "shadow-utils", "epoch": "2", "version": "4.15.1-3.fc40", "arch": "x86_64"},
        {"type": "rpm", "name": "NetworkManager", "epoch": "1", "version": "1.46.0-2.fc40", "arch": "x86_64"},
    ],
}
ALPINE = {
    "system": {"family": "linux", "id": "alpine", "name": "Alpine Linux v3.20", "version": "3.20.0", "arch": "aarch64"},
    "components": [{"type": "apk", "name": "musl", "version": "1.2.5-r0", "arch": "aarch64", "license": "MIT"}],
}
ARCH = {
    "system": {"family": "linux", "id": "arch", "name": "Arch Linux", "arch": "x86_64"},
    "components": [{"type": "pacman", "name": "pacman", "version": "6.1.0-3"}],
}
WINDOWS = {
    "system": {
        "family": "windows",
        "id": "windows_11",
        "name": "Windows 11 25H2",
        "version": "10.0.26200.7840",
        "release": "25H2",
        "edition": "Enterprise",
        "arch": "ARM64",
    },
    "components": [
        {"type": "program", "name": "Büro\x1b[31m 名前", "version": "1", "supplier": "Büro GmbH", "scope": "machine"},
        {"type": "program", "name": "Büro\x1b[31m 名前", "version": "1", "supplier": "Other", "scope": "user"},
        {"type": "program", "name": "Agent", "version": "1.2", "key": "{8D1C2F1A}", "msi": "msi", "scope": "machine"},
        {"type": "program", "name": "No version"},
        {"type": "appx", "name": "Microsoft.Calc", "version": "11.0", "arch": "Arm64", "publisher_id": "8wekyb3d8bbwe"},
        {"type": "update", "name": "KB5054156", "description": "Update"},
    ],
}
ALL = {"debian": DEBIAN, "fedora": FEDORA, "alpine": ALPINE, "arch": ARCH, "windows": WINDOWS}


@pytest.mark.parametrize("inventory", ALL.values(), ids=ALL)
def test_it_is_valid(inventory: dict[str, Any]) -> None:
    document = sbom(IMAGE, inventory, AT)
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(serialized(document).decode())
    assert errors is None, errors
    assert count_of(document) == len(inventory["components"])
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references)
    image, system = document["dependencies"]
    assert (image["ref"], image["dependsOn"]) == (document["metadata"]["component"]["bom-ref"], [system["ref"]])
    assert system["dependsOn"] == references[1:]


def test_a_document_that_is_wrong_would_be_noticed() -> None:
    document = sbom(IMAGE, DEBIAN, AT)
    document["components"][1]["type"] = "deb"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is not None


def test_it_names_the_image_and_the_system() -> None:
    document = sbom(IMAGE, WINDOWS, AT)
    assert document["metadata"]["component"]["name"] == IMAGE.file
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": IMAGE.sha256}]
    assert document["metadata"]["timestamp"] == AT
    system = document["components"][0]
    assert (system["type"], system["name"], system["version"]) == (
        "operating-system",
        "Windows 11 25H2",
        "10.0.26200.7840",
    )
    assert system["cpe"] == "cpe:2.3:o:microsoft:windows_11_25h2:10.0.26200.7840:*:*:*:*:*:arm64:*"
    agent = next(each for each in document["components"] if each["name"] == "Agent")
    assert agent["swid"] == {"tagId": "{8D1C2F1A}", "name": "Agent", "version": "1.2"}


@pytest.mark.parametrize(
    ("inventory", "purls"),
    [
        (
            DEBIAN,
            [
                "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=arm64&distro=debian-12",
                "pkg:deb/debian/libstdc%2B%2B6@12.2.0~rc1-14?arch=arm64&distro=debian-12",
                "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=arm64&distro=debian-12",
            ],
        ),
        (
            FEDORA,
            [
                "pkg:rpm/fedora/NetworkManager@1.46.0-2.fc40?arch=x86_64&distro=fedora-40&epoch=1",
                "pkg:rpm/fedora/curl@8.6.0-7.fc40?arch=x86_64&distro=fedora-40",
                "pkg:rpm/fedora/shadow-utils@4.15.1-3.fc40?arch=x86_64&distro=fedora-40&epoch=2",
            ],
        ),
        (ALPINE, ["pkg:apk/alpine/musl@1.2.5-r0?arch=aarch64&distro=alpine-3.20.0"]),
        (ARCH, ["pkg:alpm/arch/pacman@6.1.0-3?distro=arch"]),
        (WINDOWS, []),
    ],
    ids=ALL,
)
def test_package_urls(inventory: dict[str, Any], purls: list[str]) -> None:
    found = sorted(each["purl"] for each in sbom(IMAGE, inventory, AT)["components"] if "purl" in each)
    assert found == purls
    # As the reference implementation writes them.
    assert [PackageURL.from_string(purl).to_string() for purl in found] == purls


@pytest.mark.parametrize("inventory", ALL.values(), ids=ALL)
def test_the_same_image_makes_the_same_bytes(inventory: dict[str, Any]) -> None:
    data = serialized(sbom(IMAGE, inventory, AT))
    for seed in range(5):
        mixed = copy.deepcopy(inventory)
        random.Random(seed).shuffle(mixed["components"])
        mixed["components"] = [dict(sorted(each.items(), reverse=True)) for each in mixed["components"]]
        assert serialized(sbom(IMAGE, mixed, AT)) == data
    other = Image(IMAGE.file, "cd" * 32)
    assert sbom(other, inventory, AT)["serialNumber"] != sbom(IMAGE, inventory, AT)["serialNumber"]


def test_an_entry_that_is_there_twice_is_listed_once() -> None:
    doubled = {**DEBIAN, "components": DEBIAN["components"] * 2}
    assert serialized(sbom(IMAGE, doubled, AT)) == serialized(sbom(IMAGE, DEBIAN, AT))


def test_half_characters_do_not_break_it() -> None:
    inventory = {**ARCH, "components": [{"type": "pacman", "name": "a\ud800", "version": "1"}]}
    assert b"a\\\\ud800" in serialized(sbom(IMAGE, inventory, AT))


@pytest.mark.parametrize(
    ("inventory", "why"),
    [
        ({}, "does not name its system"),
        ({"system": {"name": "x"}, "components": []}, "does not name its system"),
        ({**DEBIAN, "system": {**DEBIAN["system"], "version": 12}}, "does not name its system"),
        ({**DEBIAN, "components": []}, "has no components"),
        ({**DEBIAN, "components": "bash"}, "has no components"),
        ({**DEBIAN, "components": ["bash"]}, "is not a dictionary of texts"),
        ({**DEBIAN, "components": [{"type": "deb", "name": 7}]}, "is not a dictionary of texts"),
        ({**DEBIAN, "components": [{"type": "deb"}]}, "no type or no name"),
    ],
)
def test_an_inventory_that_is_none(inventory: dict[str, Any], why: str) -> None:
    with pytest.raises(TaskError, match=why):
        sbom(IMAGE, inventory, AT)
