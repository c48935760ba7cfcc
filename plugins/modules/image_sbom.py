#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes the software bill of materials of an image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_sbom
short_description: Publish the software bill of materials (SBOM) of an image in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Writes C(NAME.cdx.json) next to the image C(NAME). It lists the system and everything that is installed in it, as
    CycloneDX 1.6 in JSON. Vulnerability scanners can read it.
  - Linux packages have a package URL, by which vulnerability databases know them. Windows programs and apps have their
    name, version and publisher, because there are no package URLs for them.
  - The same image and the same inventory produce the same bytes.
  - The document itself is not signed. Put RV(sha256) into the record of the image (see
    M(macops.parallels.image_catalog)). The signature of the record then covers it.
  - Everyone who can download the image can read the document.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  file:
    description: File name of the image in the store.
    type: str
    required: true
  sha256:
    description: SHA-256 checksum of the image, as 64 hexadecimal digits.
    type: str
    required: true
  inventory:
    description:
      - What is installed in the guest, as RV(macops.parallels.vm_inventory_info#module:inventory) returns it.
      - An inventory without components is an error.
    type: dict
    required: true
  taken_at:
    description: When the inventory was made, in UTC, such as V(2026-11-22T10:00:00Z). It is the time in the document.
    type: str
    required: true
seealso:
  - module: macops.parallels.vm_inventory_info
  - module: macops.parallels.image_catalog
  - name: CycloneDX
    description: The format of the document.
    link: https://cyclonedx.org/docs/1.6/json/
"""

EXAMPLES = r"""
- name: List what is installed in the build VM
  macops.parallels.vm_inventory_info:
    name: ubuntu-2026.11.0-arm64
  register: guest

- name: Publish the SBOM of its image
  macops.parallels.image_sbom:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    file: ubuntu-2026.11.0-arm64.pvmp
    sha256: "{{ checksum.sha256 }}"
    inventory: "{{ guest.inventory }}"
    taken_at: "{{ guest.taken_at }}"
"""

RETURN = r"""
name:
  description: File name of the document in the store.
  type: str
  returned: success
  sample: ubuntu-2026.11.0-arm64.pvmp.cdx.json
url:
  description: URL of the document in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/ubuntu-2026.11.0-arm64.pvmp.cdx.json
sha256:
  description: SHA-256 checksum of the document.
  type: str
  returned: success
  sample: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
size:
  description: Size of the document in bytes.
  type: int
  returned: success
  sample: 812345
components:
  description: How many components are installed in the system.
  type: int
  returned: success
  sample: 1243
"""

from datetime import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog.sbom_file import publish
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import normalized
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import run_module
from ansible_collections.macops.parallels.plugins.module_utils._records.record import TIME_FORMAT
from ansible_collections.macops.parallels.plugins.module_utils._records.sbom import Image, count_of, sbom, serialized
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    store_of,
)


def publish_sbom(module: AnsibleModule) -> dict[str, Any]:
    """Write the document to the store."""
    params = module.params
    try:
        datetime.strptime(params["taken_at"], TIME_FORMAT)
    except ValueError as error:
        raise TaskError(
            f"taken_at cannot be '{params['taken_at']}'. Use a UTC time such as 2026-11-22T10:00:00Z."
        ) from error
    document = sbom(Image(params["file"], normalized(params["sha256"])), params["inventory"], params["taken_at"])
    store, retries = store_of(module)
    done = publish(store, retries, params["file"], serialized(document), check_mode=module.check_mode)
    # In check mode, the file may not exist yet, so that the store cannot share it.
    url = store.link(done.name) if module.check_mode else retries.call(lambda: store.share(done.name))
    return {
        "changed": done.changed,
        "name": done.name,
        "url": url,
        "sha256": done.sha256,
        "size": done.size,
        "components": count_of(document),
    }


def main() -> None:
    """Run the module."""
    needed = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            "file": needed,
            "sha256": needed,
            "inventory": {"type": "dict", "required": True},
            "taken_at": needed,
        },
        supports_check_mode=True,
        **STORE_RULES,
    )
    run_module(module, publish_sbom)


if __name__ == "__main__":
    main()
