#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the catalog of the images that are published in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_catalog_info
short_description: Read the catalog of published images in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Returns records of the catalog C(catalog.json) that M(macops.parallels.image_catalog) keeps beside the images.
  - Records are returned in pages. Select records with filters, and get more with O(limit) and O(offset).
  - Can verify the signatures in the store, and compare the files of the store with the catalog.
  - A store without a catalog has no records. A catalog that cannot be understood is an error.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._signing.verifying
attributes:
  check_mode:
    support: full
    details:
      - The module only reads.
  diff_mode:
    support: N/A
    details:
      - The module only reads.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  name:
    description: Return only records with this name.
    type: str
  version:
    description: Return only records with this version. Requires O(name).
    type: str
  arch:
    description: Return only records for this architecture.
    type: str
    choices: [arm64, x86_64]
  state:
    description: Return only records in this state.
    type: str
    choices: [published, withdrawn]
  protected:
    description: Return only records that are protected (V(true)) or not protected (V(false)).
    type: bool
  limit:
    description: How many records to return at most. At least 1.
    type: int
    default: 100
  offset:
    description: How many matching records to skip before the first one that is returned.
    type: int
    default: 0
  inventory:
    description: Also compare the files of the store with all records. See RV(inventory).
    type: bool
    default: false
  signatures:
    description:
      - Whether to verify the signatures of the catalog, of the returned records, and of their provenance. See
        RV(signatures).
      - By default signatures are verified if O(allowed_signers_path) is set. V(true) requires O(allowed_signers_path).
    type: bool
  require_signature:
    description:
      - Fails if the signature of the catalog, of a returned record, or of its provenance is missing or not valid, or if
        the catalog is older than one that was verified on this host. Cannot be combined with O(signatures=false).
      - The signature of the catalog vouches for all records. The signatures of records that are not returned are not
        verified one by one. A store without a catalog has nothing that could be signed.
seealso:
  - module: macops.parallels.image_catalog
  - module: macops.parallels.image_store_check
  - module: macops.parallels.image_link_info
  - plugin: macops.parallels.golden_image_sheet
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read the first 100 records
  macops.parallels.image_catalog_info:
    destination: https://images.example.com/golden
  register: catalog

- name: Read the records of one version
  macops.parallels.image_catalog_info:
    destination: https://images.example.com/golden
    name: windows11
    version: 2026.11.0
  register: version

- name: Read the second page of the published records
  macops.parallels.image_catalog_info:
    destination: https://images.example.com/golden
    state: published
    limit: 50
    offset: 50
  register: second_page

- name: Compare the files of the store with the catalog
  macops.parallels.image_catalog_info:
    destination: https://images.example.com/golden
    name: windows11
    state: published
    inventory: true
  register: compared

- name: Fail if a record of the image is not signed by an allowed signer
  macops.parallels.image_catalog_info:
    destination: https://images.example.com/golden
    name: windows11
    allowed_signers_path: /etc/image-signers
    require_signature: true
"""

RETURN = r"""
records:
  description:
    - The matching records, sorted by name, version (2026.9.0 before 2026.11.0) and architecture. At most O(limit),
      after the first O(offset).
    - Empty if there is no catalog yet.
  type: list
  elements: dict
  returned: success
  contains:
    schema:
      description: Version of the record format.
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
      description: Name that the portal shows to users.
      type: str
      sample: Contoso Windows 11 Pro
    description:
      description: Description that the portal shows to users.
      type: str
      sample: With Office and the VPN client
    file:
      description: File name of the image in the store.
      type: str
      sample: windows11-2026.11.0-arm64.pvmp
    url:
      description: Link from which the image is downloaded.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
    sha256:
      description: SHA-256 checksum of the image, as 64 hexadecimal digits.
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
      description: Whether the image is kept regardless of how many newer versions exist.
      type: bool
      sample: false
    source:
      description: What the image was made from. Unknown values are empty.
      type: dict
      sample:
        vm: Windows 11
        os: win-11
        tools: ""
    parallels:
      description: Version of Parallels Desktop that packed the image. Empty if unknown.
      type: str
      sample: 26.1.0
    reason:
      description: Why the image was withdrawn. Only in withdrawn records.
      type: str
      sample: The VPN client does not start. Use 2026.11.0.
    withdrawn_at:
      description: When the image was withdrawn, in UTC. Only in withdrawn records.
      type: str
      sample: "2026-11-23T10:00:00Z"
    file_removed:
      description: V(true) if the file was removed from the store or is being removed. Only in withdrawn records.
      type: bool
      sample: true
    provenance:
      description: URL of the provenance statement. Only in records that have one.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json
    sbom:
      description:
        - The software bill of materials beside the image, with its file C(name), C(url) and C(sha256). Only in records
          that have one.
      type: dict
      sample:
        name: windows11-2026.11.0-arm64.pvmp.cdx.json
        url: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.cdx.json
        sha256: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
    readiness:
      description:
        - The report of the checks before the image was made, as RV(macops.parallels.vm_readiness_info#module:report).
          Only in records that have one.
      type: dict
      sample:
        guest_answered_at: "2026-11-22T09:12:30Z"
        passed: [linked_clone, encrypted, disks]
        warnings: []
        waived: []
        failed: []
    signed_by:
      description: Who signed the record. Only in signed records.
      type: str
      sample: build@example.com
    signed_at:
      description: When the record was signed, in UTC. Only in signed records.
      type: str
      sample: "2026-11-22T10:00:00Z"
    signed_for:
      description: The store that the record was signed for, by its public URL. Only in signed records.
      type: str
      sample: https://images.example.com/golden
    signature:
      description:
        - Signature of the record, as C(ssh-keygen) writes it. Only in signed records.
        - It covers the record without this field, as JSON in UTF-8 with sorted keys and without white space.
      type: str
      sample: "-----BEGIN SSH SIGNATURE-----\nU1NI...\n-----END SSH SIGNATURE-----\n"
total:
  description: How many records match, on all pages.
  type: int
  returned: success
  sample: 42
signatures:
  description:
    - Result of verifying the signatures. A verdict is V(good), V(missing), V(changed) (the signature is for other
      bytes), V(foreign) (by a key that is not allowed, for another purpose or for another store), V(expired) (the key
      was not valid when it signed) or V(unreadable).
    - The catalog can also be V(rolled_back) (older than a catalog that was verified on this host) or V(unknown) (the
      note about that cannot be read or written).
  type: dict
  returned: if signatures were verified, also if the task failed because of them
  contains:
    verified:
      description: Whether all of them are good.
      type: bool
      sample: true
    problems:
      description: What is neither good nor missing, one sentence each.
      type: list
      elements: str
      sample: []
    unsigned:
      description: What is not signed, one sentence each.
      type: list
      elements: str
      sample: []
    catalog:
      description:
        - C(verdict) and C(reason) for the catalog, and who (C(signed_by)) signed it when (C(signed_at)) for which store
          (C(signed_for)).
        - C(serial) is its serial number, null if it has none. C(first_sight) is V(true) if no catalog of this store was
          verified on this host before, so that an old one could not be noticed.
      type: dict
      sample:
        verdict: good
        reason: Good "macops.parallels/catalog" signature for build@example.com with ED25519 key SHA256:47DEQpj8HBSa
        signed_by: build@example.com
        signed_at: "2026-11-22T10:00:00Z"
        signed_for: https://images.example.com/golden
        serial: 42
        first_sight: false
    records:
      description:
        - The same for each returned record, with C(name), C(version) and C(arch).
        - C(provenance) has C(verdict) and C(reason) for the provenance statement. It is empty if there is none.
      type: list
      elements: dict
      sample: []
inventory:
  description: Differences between the store and the catalog. All records are compared, not only the returned ones.
  type: dict
  returned: with O(inventory=true)
  contains:
    listed:
      description: V(false) if the store cannot list its files. Each image was looked up by its name then.
      type: bool
      sample: true
    missing:
      description: File names of images that have a record but are not in the store.
      type: list
      elements: str
      sample: []
    wrong_size:
      description: File names of images whose size differs from their record.
      type: list
      elements: str
      sample: []
    strays:
      description:
        - Names of images, and of checksums, signatures, provenance and SBOMs of images, that have no record. For
          example an image that is being published right now, or one whose removal was interrupted.
        - Null if the store cannot list its files.
      type: list
      elements: str
      sample: [windows11-2026.7.0-arm64.pvmp]
    wrong_sboms:
      description: Names of SBOMs that are missing, or have other bytes than their records say.
      type: list
      elements: str
      sample: []
catalog:
  description: URL of the catalog in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/catalog.json
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog.query import Query, Reading
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._records.record import ARCHITECTURES, STATES
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    store_of,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.options import (
    VERIFYING_ARGUMENTS,
    VERIFYING_RULES,
    guard_of,
)


def read(module: AnsibleModule) -> dict[str, Any]:
    """Read the catalog."""
    params = module.params
    store, retries = store_of(module)
    choice = Choice(params["name"], params["version"], params["arch"], params["state"], params["protected"])
    query = Query(choice, params["limit"], params["offset"])
    if params["signatures"] is False and params["require_signature"]:
        raise TaskError("require_signature cannot be combined with signatures: false. Remove one of them.")
    guard = None if params["signatures"] is False else guard_of(module, store, retries, notice=notice_of(module))
    result = Reading(store, retries, query).run(
        guard, requires=params["require_signature"], inventory=params["inventory"]
    )
    return {"changed": False, **result}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            **VERIFYING_ARGUMENTS,
            "name": {"type": "str"},
            "version": {"type": "str"},
            "arch": {"type": "str", "choices": list(ARCHITECTURES)},
            "state": {"type": "str", "choices": list(STATES)},
            "protected": {"type": "bool"},
            "limit": {"type": "int", "default": 100},
            "offset": {"type": "int", "default": 0},
            "inventory": {"type": "bool", "default": False},
            "signatures": {"type": "bool"},
        },
        supports_check_mode=True,
        required_together=STORE_RULES["required_together"],
        required_by={**STORE_RULES["required_by"], "version": ["name"]},
        required_if=[*VERIFYING_RULES, ("signatures", True, ["allowed_signers_path"])],
        mutually_exclusive=STORE_RULES["mutually_exclusive"],
    )
    run_module(module, read)


if __name__ == "__main__":
    main()
