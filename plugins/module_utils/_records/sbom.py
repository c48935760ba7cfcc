# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The software bill of materials of an image: CycloneDX 1.6, made from the inventory of its guest.

The same image and the same inventory produce the same bytes. The image is what the document is about; it depends on the
system in it, and that on all that is installed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import quote

from .._common.errors import TaskError
from .._common.text import sendable
from .._common.version import VERSION

# The suffix of the file beside an image. Tools recognize a CycloneDX document by it.
SBOM = ".cdx.json"

_SCHEMA_URL = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:macops-parallels:sbom:v1")
_PROPERTY = "macops:parallels:"
_IMAGE, _SYSTEM = "image", "system"

# The types of package URLs, by the kinds of the inventory. There is none for programs of Windows.
_PURL_TYPES = {"deb": "deb", "rpm": "rpm", "apk": "apk", "pacman": "alpm"}
_KEEP_CASE = ("rpm",)
_LIBRARIES = tuple(_PURL_TYPES)
# What has no field of its own in CycloneDX, by the fields of the inventory.
_PROPERTIES = ("source", "source_version", "scope", "key", "publisher_id", "full_name", "revision", "branch", "origin")
_CPE_ARCHITECTURES = {"arm64": "arm64", "amd64": "x64"}


@dataclass(frozen=True)
class Image:
    """The image that a document is about."""

    file: str
    sha256: str


def sbom(image: Image, inventory: Mapping[str, Any], taken_at: str) -> dict[str, Any]:
    """Return the document. Raises TaskError for an inventory that is not one of a whole system."""
    system, entries = _checked(sendable(inventory))
    components = _unique([_component(entry, system) for entry in sorted(entries, key=_order)])
    return {
        "$schema": _SCHEMA_URL,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, image.sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": taken_at,
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [{"type": "application", "name": "macops.parallels", "version": VERSION}]},
            "component": {
                "type": "file",
                "bom-ref": _IMAGE,
                "name": image.file,
                "hashes": [{"alg": "SHA-256", "content": image.sha256}],
            },
        },
        "components": [_system(system), *components],
        "dependencies": [
            {"ref": _IMAGE, "dependsOn": [_SYSTEM]},
            {"ref": _SYSTEM, "dependsOn": [component["bom-ref"] for component in components]},
        ],
    }


def serialized(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a document, with a line for each value, so that two documents can be compared."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def count_of(document: Mapping[str, Any]) -> int:
    """Return how many components are installed in the system of a document."""
    return len(document["components"]) - 1


def _checked(inventory: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, str]]]:
    system, entries = inventory.get("system"), inventory.get("components")
    problem = ""
    if not (isinstance(system, Mapping) and _is_texts(system) and system.get("name") and system.get("arch")):
        problem = "it does not name its system"
    elif not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        problem = "it has no components"
    elif not all(isinstance(entry, Mapping) and _is_texts(entry) for entry in entries):
        problem = "a component is not a dictionary of texts"
    elif not all(entry.get("type") and entry.get("name") for entry in entries):
        problem = "a component has no type or no name"
    if problem:
        raise TaskError(
            f"No SBOM can be made from the inventory: {problem}. Pass what vm_inventory_info returns as inventory."
        )
    return dict(system or {}), [dict(entry) for entry in entries or ()]


def _is_texts(values: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and isinstance(value, str) for key, value in values.items())


def _order(entry: Mapping[str, str]) -> tuple[str, list[tuple[str, str]]]:
    return entry["type"], sorted(entry.items())


def _system(system: Mapping[str, str]) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "operating-system", "bom-ref": _SYSTEM, "name": system["name"]}
    if system.get("version"):
        component["version"] = system["version"]
    cpe = system.get("cpe") or _windows_cpe(system)
    if cpe:
        component["cpe"] = cpe
    known = ("id", "arch", "kernel", "release", "edition")
    component["properties"] = _properties({key: system[key] for key in known if system.get(key)})
    return component


def _windows_cpe(system: Mapping[str, str]) -> str:
    arch = _CPE_ARCHITECTURES.get(system["arch"].lower())
    if system.get("family") != "windows" or not (arch and system.get("release") and system.get("id")):
        return ""
    product = f"{system['id']}_{system['release'].lower()}"
    return f"cpe:2.3:o:microsoft:{product}:{system.get('version', '*')}:*:*:*:*:*:{arch}:*"


def _component(entry: Mapping[str, str], system: Mapping[str, str]) -> dict[str, Any]:
    kind = entry["type"]
    purl = _purl(entry, system)
    version = entry.get("version", "")
    component: dict[str, Any] = {
        "type": "library" if kind in _LIBRARIES else "application",
        "bom-ref": purl or f"{kind}:{entry['name']}@{version}",
        "name": entry["name"],
    }
    if version:
        component["version"] = version
    if entry.get("supplier"):
        component["supplier"] = {"name": entry["supplier"]}
    if entry.get("license"):
        # Not an SPDX expression: each distribution has its own words.
        component["licenses"] = [{"license": {"name": entry["license"]}}]
    if purl:
        component["purl"] = purl
    if entry.get("msi") and entry.get("key"):
        component["swid"] = {"tagId": entry["key"], "name": entry["name"], **({"version": version} if version else {})}
    component["properties"] = _properties(
        {"kind": kind, **{key: entry[key] for key in ("arch", *_PROPERTIES, "description") if entry.get(key)}}
    )
    return component


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{_PROPERTY}{key}", "value": value} for key, value in values.items()]


def _purl(entry: Mapping[str, str], system: Mapping[str, str]) -> Optional[str]:
    """Return the package URL, by which vulnerability databases know a package; None where there is no type for it."""
    kind = _PURL_TYPES.get(entry["type"])
    distribution = system.get("id")
    if kind is None or not distribution or not entry.get("version"):
        return None
    name = entry["name"] if kind in _KEEP_CASE else entry["name"].lower()
    epoch = entry.get("epoch", "")
    qualifiers = {
        "arch": entry.get("arch", ""),
        "distro": "-".join(part for part in (distribution, system.get("version")) if part),
        "epoch": "" if epoch == "0" else epoch,
    }
    shown = "&".join(f"{key}={_encoded(value)}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{kind}/{_encoded(distribution.lower())}/{_encoded(name)}@{_encoded(entry['version'])}?{shown}"


def _encoded(text: str) -> str:
    return quote(text, safe="").replace("%3A", ":")


def _unique(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the components with a reference of its own for each, and none twice."""
    seen: dict[str, int] = {}
    kept: list[dict[str, Any]] = []
    for component in components:
        if component in kept[-1:]:  # they are sorted
            continue
        reference = component["bom-ref"]
        seen[reference] = seen.get(reference, 0) + 1
        number = seen[reference]
        kept.append(component if number == 1 else {**component, "bom-ref": f"{reference}#{number}"})
    return kept
