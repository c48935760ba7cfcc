#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the catalog of the images that are published in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_catalog
short_description: Change the catalog of published images in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - The catalog is the file C(catalog.json) beside the images in the store. It holds one record for each published
    image. A record has the link, the checksum, the size, the time of publishing, and what the image was made from.
  - A record is identified by name, version and architecture. Published bytes never change, because the Management
    Portal knows an image by its checksum. A record with the same name, version and architecture but other bytes is an
    error.
  - Several hosts may change the catalog at the same time. If another host has changed it since it was read, the change
    is applied again to the current content. Each change is verified by reading the catalog again.
  - A catalog that cannot be understood is an error and is never overwritten.
  - With O(signing_key_path), each added or changed record is signed, and so is the whole catalog, in
    C(catalog.json.sig) beside it. A host without a key that changes a record removes the record's signature.
  - With O(signing_key_path) or O(allowed_signers_path), the catalog and the record that the task is about are verified
    before anything is changed, returned or shown, in all states. A signature that is missing or not valid is never
    mended, except by O(state=signed).
  - Withdraw a bad version to stop offering it. Its record stays and gives the reason. Old versions are removed together
    with their files. A record never promises a file that is missing, even if a run is killed.
  - The page C(index.html) beside the catalog is kept up to date for people. See O(page).
  - Use M(macops.parallels.image_catalog_info) to read the catalog.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._signing
  - macops.parallels._signing.verifying
attributes:
  check_mode:
    support: full
    details:
      - Reads the catalog and returns the records and files that would change. Nothing is written or removed.
  diff_mode:
    support: full
    details:
      - Shows the records that change, not the whole catalog.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  state:
    description:
      - V(present) adds O(record) if it is missing.
      - V(withdrawn) stops offering O(name) in O(version), on O(arch) or on all architectures. The record stays, with
        O(reason) and the time. The files stay too, unless O(remove_file=true).
      - V(published) offers a withdrawn version again. It fails if the file was removed or has other bytes now. If
        neither the store nor the checksum file shows the SHA-256, the file is read, which takes as long as a download.
      - V(protected) keeps O(name) in O(version) from being removed. V(unprotected) ends that.
      - V(absent) removes records, together with the image and the files beside it (checksum, signature, provenance and
        SBOM).
        It removes either the records of O(name) in O(version), or all records beyond O(keep) and O(older_than).
        Protected versions stay. The newest published version for each name and architecture stays too, and so does
        the one that was published last.
      - V(page) changes no record. It only updates the page.
      - V(signed) signs the catalog and all records, or those of O(name), O(version) and O(arch). It is an order by a
        person who has reviewed the records, and the only state that signs what has no signature. Use it for images that
        were published before signing was set up, for a new key (see O(sign_anew)), for a store that has moved, and
        after a host without a key has changed the catalog.
      - Before V(signed) signs a record that is not verified, it reads the image from the store and compares its size
        and SHA-256 with the record. This takes as long as downloading the image. It fails if they differ, if the image
        is missing, or if the record was changed after it was signed. A record whose file was removed has no image to
        verify.
    type: str
    choices: [present, withdrawn, published, protected, unprotected, absent, page, signed]
    default: present
  name:
    description:
      - Name of the image. Required with O(state=withdrawn), V(published), V(protected) and V(unprotected).
      - With O(state=absent) and O(state=signed), only records with this name are changed.
    type: str
  version:
    description:
      - Version of the image. Required if O(name) is required. Requires O(name).
      - With O(state=absent), exactly this version is removed. Without it, O(keep) and O(older_than) select the records.
    type: str
  arch:
    description: Change only records for this architecture. By default all architectures.
    type: str
    choices: [arm64, x86_64]
  reason:
    description:
      - Why the version is withdrawn, for people who read the page. Required with O(state=withdrawn).
    type: str
  remove_file:
    description:
      - With O(state=withdrawn), also remove the files from the store. The version cannot be offered again then.
    type: bool
    default: false
  keep:
    description:
      - With O(state=absent), how many of the newest published versions to keep for each name and architecture. At
        least 1. Defaults to 1 if only O(older_than) is set.
      - Versions are sorted the way people read them, 2026.9.0 before 2026.11.0. Withdrawn versions do not count. They
        are removed if they are older than all kept versions.
    type: int
  older_than:
    description:
      - With O(state=absent), only remove versions that were published longer ago than this. A number with C(h), C(d),
        C(w) or C(y) (hours, days, weeks, years of 365 days), such as V(90d).
      - With O(keep), a version is removed only if both options allow it.
    type: str
  page:
    description:
      - Whether to keep the page C(index.html) beside the catalog up to date. It lists all images with size, date,
        state, checksum and link, and explains how to enter them in the Management Portal.
      - V(auto) updates the page, unless there is an C(index.html) that this module did not write. A page that cannot be
        written is a warning.
      - V(always) fails in both cases.
      - V(never) leaves the page alone.
    type: str
    choices: [auto, always, never]
    default: auto
  sign_anew:
    description:
      - With O(state=signed), whether to replace the signatures of records that another key has signed.
    type: bool
    default: true
  require_signature:
    description:
      - Fails if O(signing_key_path) is not set, except with O(state=page), or if the signature of the catalog or of
        the record that the task is about is missing or not valid. Otherwise the new signature of the catalog would
        vouch for its records.
      - With O(signing_key_path), such a signature is always an error. With O(allowed_signers_path) alone, it is a
        warning.
      - O(state=signed) accepts a catalog whose signature is missing or not valid, because a person has reviewed it.
  record:
    description:
      - The record of an image. Required with O(state=present).
      - If the same bytes are recorded already, only O(record.url) and O(record.file) are updated. The other values stay
        as they were when the image was published.
    type: dict
    suboptions:
      name:
        description: Name of the image. Lower-case letters, digits, C(.) and C(-).
        type: str
        required: true
      version:
        description: Version of the image, such as V(2026.11.0).
        type: str
        required: true
      arch:
        description: Architecture of the Macs that the image is for.
        type: str
        choices: [arm64, x86_64]
        required: true
      title:
        description: Name that the portal shows to users. Defaults to O(record.name).
        type: str
      description:
        description: Description that the portal shows to users.
        type: str
      file:
        description:
          - File name of the image in the store, C(<name>-<version>-<arch>.pvmp). This is also the default.
          - Other names are refused, because O(state=absent) removes the file together with the record.
        type: str
      url:
        description:
          - Link from which the image is downloaded. An C(https://) URL without user name and password.
          - A C(file://) URL is accepted for a store that is a folder.
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
        description: Whether to keep the image regardless of how many newer versions exist.
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
            description: Guest operating system, as Parallels names it.
            type: str
          tools:
            description: Version of Parallels Tools in the guest.
            type: str
      parallels:
        description: Version of Parallels Desktop that packed the image.
        type: str
      published_at:
        description:
          - When the image was published, in UTC, such as V(2026-11-22T10:00:00Z). Defaults to now.
          - Use it for records that are copied from another catalog.
        type: str
      schema:
        description: Version of the record format, as in returned records.
        type: int
        choices: [1]
        default: 1
      state:
        description: State of the image, as in returned records.
        type: str
        choices: [published]
        default: published
      provenance:
        description: URL of the provenance statement, as M(macops.parallels.image_provenance) returns it.
        type: str
      sbom:
        description: The software bill of materials beside the image, as M(macops.parallels.image_sbom) returns it.
        type: dict
        suboptions:
          name:
            description: File name in the store.
            type: str
            required: true
          url:
            description: URL under which users find it.
            type: str
            required: true
          sha256:
            description: SHA-256 checksum, as 64 hexadecimal digits.
            type: str
            required: true
      readiness:
        description:
          - Which checks the virtual machine has passed before the image was made, as
            RV(macops.parallels.vm_readiness_info#module:report).
        type: dict
      signed_by:
        description: Who signed the record, as in returned records.
        type: str
      signed_at:
        description: When the record was signed, as in returned records.
        type: str
      signed_for:
        description: The store that the record was signed for, as in returned records.
        type: str
      signature:
        description:
          - Signature of the record, as in returned records. It is kept if it is valid in this store. A signature for
            another store is not valid. With O(signing_key_path), the record is signed again then.
        type: str
seealso:
  - module: macops.parallels.image_catalog_info
  - module: macops.parallels.image_store_check
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_provenance
  - module: macops.parallels.image_link_info
"""

EXAMPLES = r"""
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

- name: Stop offering a bad version, and keep its file
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: withdrawn
    name: windows11
    version: 2026.10.0
    reason: The VPN client does not start. Use 2026.11.0.

- name: Offer it again
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: published
    name: windows11
    version: 2026.10.0

- name: Keep a version regardless of how many newer ones exist
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: protected
    name: windows11
    version: 2026.9.0
    arch: arm64

- name: Keep the three newest versions of each image, and all that are younger than 90 days
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: absent
    keep: 3
    older_than: 90d

- name: Update the page, and fail if that is not possible
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: page
    page: always

- name: Sign what was published before
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: signed
    signing_key_path: ~/.ssh/image_signing
    signing_identity: build@example.com
"""

RETURN = r"""
records:
  description:
    - The records that the task is about, as they are now. In check mode, as they would be. Each has the fields of
      RV(macops.parallels.image_catalog_info#module:records).
    - With O(state=present) the added record. With O(state=withdrawn), V(published), V(protected) and V(unprotected) the
      records of the version. Empty with the other states.
  type: list
  elements: dict
  returned: success
  sample: []
record:
  description:
    - The record as it is in the catalog, with the fields of RV(macops.parallels.image_catalog_info#module:records). In
      check mode, as it would be.
  type: dict
  returned: with O(state=present)
  sample:
    name: windows11
    version: 2026.11.0
    arch: arm64
    state: published
removed:
  description:
    - The records that were removed, as they were. In check mode, those that would be removed. Each has the fields of
      RV(macops.parallels.image_catalog_info#module:records).
  type: list
  elements: dict
  returned: with O(state=absent)
  sample: []
removed_files:
  description: Names of the files that were removed from the store. In check mode, those that would be removed.
  type: list
  elements: str
  returned: with O(state=absent) and O(state=withdrawn)
  sample: [windows11-2026.8.0-arm64.pvmp, windows11-2026.8.0-arm64.pvmp.sha256]
signed:
  description: How many records got a new signature. In check mode, how many would get one.
  type: int
  returned: with O(state=signed)
  sample: 12
page:
  description: URL of the page.
  type: str
  returned: unless O(page=never)
  sample: https://images.example.com/golden/index.html
page_changed:
  description: Whether the page was updated. In check mode, whether it would be.
  type: bool
  returned: unless O(page=never)
  sample: true
catalog:
  description: URL of the catalog in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/catalog.json
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog.changes import (
    OF_ONE_VERSION,
    PAGE_ONLY,
    STATES,
    Changes,
)
from ansible_collections.macops.parallels.plugins.module_utils._catalog.page_file import AUTO, MODES
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
from ansible_collections.macops.parallels.plugins.module_utils._records.record import (
    ARCHITECTURES,
    SCHEMA,
    SOURCE_FIELDS,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    store_of,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.options import (
    SIGNING_ARGUMENTS,
    SIGNING_RULES,
    VERIFYING_ARGUMENTS,
    VERIFYING_RULES,
    guard_of,
    refusals_of,
    seal_of,
)


def change(module: AnsibleModule) -> dict[str, Any]:
    """Change the catalog."""
    store, retries = store_of(module)
    state = module.params["state"]
    guard = guard_of(
        module,
        store,
        retries,
        refuses=refusals_of(module, signs=state == "signed"),
        notice=notice_of(module),
    )
    requires = module.params["require_signature"] and state != PAGE_ONLY
    seal = seal_of(module, store, retries, guard, requires=requires)
    changes = Changes(
        store, retries, guard, seal, module.params, check_mode=module.check_mode, notice=notice_of(module)
    )
    return changes.run()


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    needed = {"type": "str", "required": True}
    arch = {"type": "str", "choices": list(ARCHITECTURES)}
    rules = {
        **STORE_RULES,
        "required_by": {**STORE_RULES["required_by"], **SIGNING_RULES, "version": ["name"]},
        "required_if": [
            *VERIFYING_RULES,
            ("state", "signed", ["signing_key_path"]),
            ("state", "present", ["record"]),
            ("state", "withdrawn", ["reason"]),
            *(("state", state, ["name", "version"]) for state in OF_ONE_VERSION),
        ],
        "mutually_exclusive": [*STORE_RULES["mutually_exclusive"], ["version", "keep"], ["version", "older_than"]],
    }
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            **SIGNING_ARGUMENTS,
            **VERIFYING_ARGUMENTS,
            "state": {"type": "str", "choices": list(STATES), "default": "present"},
            "name": text,
            "version": text,
            "arch": arch,
            "reason": text,
            "remove_file": {"type": "bool", "default": False},
            "keep": {"type": "int"},
            "older_than": text,
            "page": {"type": "str", "choices": list(MODES), "default": AUTO},
            "sign_anew": {"type": "bool", "default": True},
            "record": {
                "type": "dict",
                "options": {
                    "name": needed,
                    "version": needed,
                    "arch": {**arch, "required": True},
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
                    "provenance": text,
                    "sbom": {"type": "dict", "options": {"name": needed, "url": needed, "sha256": needed}},
                    "readiness": {"type": "dict"},
                    "signed_by": text,
                    "signed_at": text,
                    "signed_for": text,
                    "signature": text,
                },
            },
        },
        supports_check_mode=True,
        **rules,
    )
    run_module(module, change)


if __name__ == "__main__":
    main()
