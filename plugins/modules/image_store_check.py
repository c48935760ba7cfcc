#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks whether images can be published in a store, and what the store can do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_store_check
short_description: Check whether images can be published in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Verifies that the folder exists and that these credentials may write to it, as M(macops.parallels.image_upload) does
    before it sends anything. Run it before hours of work for an image that could not be published.
  - Writes, renames and removes a small file with a temporary name. Small files that killed runs left are removed too,
    with a warning. In check mode nothing is written or removed.
  - Reports what the store can do. What is not known is null.
  - With O(signing_key_path), also verifies that the key can sign, and that the catalog is signed.
  - It fails if the store cannot be written to.
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
      - Checks what can be checked without writing. RV(writable) is null then, and so is anything else that only writing
        can tell.
  diff_mode:
    support: N/A
    details:
      - Nothing stays changed.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  require_signature:
    description:
      - Fails if O(signing_key_path) is not set, or if the signature of the catalog is missing or not valid, or if it is
        older than one that was verified on this host. M(macops.parallels.image_catalog) would refuse to change such a
        catalog.
seealso:
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_catalog
  - module: macops.parallels.image_catalog_info
"""

EXAMPLES = r"""
- name: Check that the store can be written to
  macops.parallels.image_store_check:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
  register: store

- name: Warn if a broken upload starts over
  ansible.builtin.debug:
    msg: The store cannot resume uploads.
  when: store.resume is false
"""

RETURN = r"""
kind:
  description:
    - Kind of the store. V(file), V(sftp), V(s3), V(azblob) or V(sharepoint). For C(https://) destinations V(webdav),
      V(artifactory), V(nexus) or V(put), as O(https_method) describes them.
  type: str
  returned: success
  sample: webdav
writable:
  description:
    - V(true) if writing was verified. Null in check mode, and for a plain HTTPS server that does not let these
      credentials remove a file, so that nothing was written.
  type: bool
  returned: success
  sample: true
resume:
  description:
    - Whether an upload that was interrupted resumes where it stopped. V(false) if it starts over.
    - Null if this is not known, such as for a WebDAV server in check mode.
  type: bool
  returned: success
  sample: true
list:
  description: Whether the store lists its files with these credentials.
  type: bool
  returned: success
  sample: true
conditional_writes:
  description:
    - Whether the store refuses to write a file that another host changed since it was read, by a condition or a lock.
      If not, M(macops.parallels.image_catalog) waits after each change and reads the catalog again.
    - Null if this is not known, such as for a plain HTTPS server, for SharePoint, or in check mode for an
      S3 server other than Amazon's.
  type: bool
  returned: success
  sample: true
url:
  description: URL of the folder in the store, without credentials.
  type: str
  returned: success
  sample: https://images.example.com/golden
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CATALOG, CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
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


def check(module: AnsibleModule) -> dict[str, Any]:
    """Check the store, and whether its catalog could be signed."""
    store, retries = store_of(module)
    guard = guard_of(module, store, retries, refuses=refusals_of(module, signs=False), notice=notice_of(module))
    seal = seal_of(module, store, retries, guard, requires=module.params["require_signature"])
    write = not module.check_mode
    abilities = retries.call(lambda: store.abilities(CATALOG, write=write, notice=notice_of(module)))
    if seal is not None:
        seal.prove()
    if guard is not None:
        CatalogFile(store, retries, guard=guard).read()
    return {"changed": False, "url": store.url, **asdict(abilities)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**STORE_ARGUMENTS, **SIGNING_ARGUMENTS, **VERIFYING_ARGUMENTS},
        supports_check_mode=True,
        required_together=STORE_RULES["required_together"],
        required_by={**STORE_RULES["required_by"], **SIGNING_RULES},
        required_if=VERIFYING_RULES,
        mutually_exclusive=STORE_RULES["mutually_exclusive"],
    )
    run_module(module, check)


if __name__ == "__main__":
    main()
