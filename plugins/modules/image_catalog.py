#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the images that are published in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_catalog
short_description: Reads and keeps the records of the published images of a store
version_added: 1.0.0
author:
  - The macops.parallels developers (@macops)
description:
  - The catalog is the file C(catalog.json) beside the images in the store. It holds a record of each image that is
    published there; its link, its checksum, its size, when it was published, and from what it was made.
  - A record is that of one image, by name, version and architecture. What is published never changes, because the
    Management Portal knows it by its checksum. A record with the same name, version and architecture but other bytes
    is an error.
  - Several hosts may add records at the same time. Whoever finds the catalog changed since it was read adds to what
    is there now, and each record is read again to prove that it is there.
  - A catalog that is not understood is an error, and is never written over.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
attributes:
  check_mode:
    support: full
    details:
      - The catalog is read and the record is checked; nothing is written.
  diff_mode:
    support: full
    details:
      - Shows the record that changes, rather than the whole catalog.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  state:
    description:
      - V(present) adds O(record), if it is not there.
      - V(read) only returns the records.
    type: str
    choices: [present, read]
    default: present
  writable:
    description:
      - With O(state=read), also prove that the folder is there and may be written to with these credentials, as
        M(macops.parallels.image_upload) does before it sends anything. So hours of work need not be done for an image
        that cannot be published.
      - A tiny file with a temporary name is written, renamed and removed for it, but not in check mode.
    type: bool
    default: false
  record:
    description:
      - The record of an image. Required with O(state=present).
      - When the same bytes are recorded already, only O(record.url) and O(record.file) are taken over; the other
        values stay as they were when the image was published.
    type: dict
    suboptions:
      name:
        description: Name of the image; lower-case letters, digits, C(.) and C(-).
        type: str
        required: true
      version:
        description: Version of the image, such as V(2026.11.0).
        type: str
        required: true
      arch:
        description: Architecture of the Macs for which the image is.
        type: str
        choices: [arm64, x86_64]
        required: true
      title:
        description: The name that the portal shows to users. The default is O(record.name).
        type: str
      description:
        description: The description that the portal shows to users.
        type: str
      file:
        description: File name of the image in the store. The default is made of name, version and architecture.
        type: str
      url:
        description:
          - The link from which the image is downloaded; an C(https://) address, without user name and password.
          - A C(file://) address is accepted for a store that is a folder.
        type: str
        required: true
      sha256:
        description: SHA-256 checksum of the image, as 64 hexadecimal digits.
        type: str
        required: true
      size:
        description: Size of the image in bytes.
        type: int
        required: true
      protected:
        description: Whether the image is to be kept, however many newer versions there are.
        type: bool
        default: false
      source:
        description: What the image was made from.
        type: dict
        suboptions:
          vm:
            description: Name of the virtual machine.
            type: str
          os:
            description: Its guest system, in the words of Parallels.
            type: str
          tools:
            description: Version of the Parallels Tools in it.
            type: str
      parallels:
        description: Version of Parallels Desktop by which the image was packed.
        type: str
      published_at:
        description:
          - When the image was published, in UTC, such as V(2026-11-22T10:00:00Z). The default is now.
          - For records that are taken over from another catalog.
        type: str
      schema:
        description: Version of the record's format, as it is in the records that are returned.
        type: int
        choices: [1]
        default: 1
      state:
        description: State of the image, as it is in the records that are returned.
        type: str
        choices: [published]
        default: published
seealso:
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_link_info
  - plugin: macops.parallels.golden_image_sheet
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what is published
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    state: read
  register: catalog

- name: Add the record of an image
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    record:
      name: windows11
      version: 2026.11.0
      arch: arm64
      title: Contoso Windows 11 Pro
      description: With Office and the VPN client
      url: "{{ upload.url }}"
      sha256: "{{ upload.sha256 }}"
      size: "{{ upload.size }}"
      source:
        vm: Windows 11
        os: win-11
      parallels: 26.1.0
"""

RETURN = r"""
records:
  description:
    - All records of the catalog, by name, version (2026.9.0 before 2026.11.0) and architecture. In check mode, as
      they would be.
    - Empty when there is no catalog yet.
  type: list
  elements: dict
  returned: success
  contains: &record
    schema:
      description: Version of the record's format.
      type: int
      sample: 1
    name:
      description: Name of the image.
      type: str
      sample: windows11
    version:
      description: Version of the image.
      type: str
      sample: 2026.11.0
    arch:
      description: V(arm64) or V(x86_64).
      type: str
      sample: arm64
    title:
      description: The name that the portal shows to users.
      type: str
      sample: Contoso Windows 11 Pro
    description:
      description: The description that the portal shows to users.
      type: str
      sample: With Office and the VPN client
    file:
      description: File name of the image in the store.
      type: str
      sample: windows11-2026.11.0-arm64.pvmp
    url:
      description: The link from which the image is downloaded.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
    sha256:
      description: SHA-256 checksum of the image.
      type: str
      sample: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
    size:
      description: Size of the image in bytes.
      type: int
      sample: 21474836480
    published_at:
      description: When the image was published, in UTC.
      type: str
      sample: "2026-11-22T10:00:00Z"
    state:
      description: V(published) or V(withdrawn).
      type: str
      sample: published
    protected:
      description: Whether the image is to be kept, however many newer versions there are.
      type: bool
      sample: false
    source:
      description: What the image was made from. Values that are not known are empty.
      type: dict
      sample:
        vm: Windows 11
        os: win-11
        tools: ""
    parallels:
      description: Version of Parallels Desktop by which the image was packed; empty when it is not known.
      type: str
      sample: 26.1.0
record:
  description: The record as it is in the catalog. In check mode, as it would be.
  type: dict
  returned: with O(state=present)
  contains: *record
catalog:
  description: Address of the catalog in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/catalog.json
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog import CATALOG, CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._module import run_module
from ansible_collections.macops.parallels.plugins.module_utils._record import ARCHITECTURES, SCHEMA, SOURCE_FIELDS
from ansible_collections.macops.parallels.plugins.module_utils._stores._body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores._options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    hide_password_in_destination,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores._registry import open_store


def keep_records(module: AnsibleModule) -> dict[str, Any]:
    """Return the records, and add the one that is given."""
    hide_password_in_destination(module)
    store = open_store(module.params["destination"], store_options(module.params))
    catalog = CatalogFile(store, store_retries(module.params))
    result: dict[str, Any] = {"changed": False, "catalog": store.link(CATALOG)}
    if module.params["state"] == "read":
        if module.params["writable"]:
            store_retries(module.params).call(
                lambda: store.check(CATALOG, Content(0), write=not module.check_mode, notice=module.warn)
            )
        return {**result, "records": catalog.read().records}
    outcome = catalog.add(module.params["record"], check_mode=module.check_mode)
    if outcome.changed:
        header = result["catalog"]
        result["diff"] = {
            "before": outcome.before or {},
            "after": outcome.after,
            "before_header": header,
            "after_header": header,
        }
    return {**result, "changed": outcome.changed, "record": outcome.after, "records": outcome.records}


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    needed = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["present", "read"], "default": "present"},
            "writable": {"type": "bool", "default": False},
            "record": {
                "type": "dict",
                "options": {
                    "name": needed,
                    "version": needed,
                    "arch": {"type": "str", "choices": list(ARCHITECTURES), "required": True},
                    "title": text,
                    "description": text,
                    "file": text,
                    "url": needed,
                    "sha256": needed,
                    "size": {"type": "int", "required": True},
                    "protected": {"type": "bool", "default": False},
                    "source": {"type": "dict", "options": dict.fromkeys(SOURCE_FIELDS, text)},
                    "parallels": text,
                    "published_at": text,
                    "schema": {"type": "int", "choices": [SCHEMA], "default": SCHEMA},
                    "state": {"type": "str", "choices": ["published"], "default": "published"},
                },
            },
        },
        required_if=[("state", "present", ["record"])],
        supports_check_mode=True,
        **STORE_RULES,
    )
    run_module(module, keep_records)


if __name__ == "__main__":
    main()
