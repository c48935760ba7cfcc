#!/usr/bin/python

# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_upload
short_description: Publish an image in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Sends one file to a store and publishes it under its final name, together with its checksum (C(<name>.sha256)).
  - The file is read once, for sending and for hashing. When its bytes are not those of O(sha256), or when it changes
    while it is being sent, the store never gets the last of them, and nothing is published.
  - A wrong password, a missing folder or a forbidden write is found before the first byte of the file is sent.
  - When the same bytes are there already, nothing is changed. Whether they are the same is told by the size together
    with the checksum that the store has computed, or the published checksum, or else by reading the file back. Other
    bytes under that name are an error, unless O(overwrite=true).
  - What may pass by itself is tried again, after a look at what is in the store by then. It goes on from the bytes that
    the store has, and so does the next run on the same host after this one was killed. C(file://) folders can do that,
    and WebDAV servers that accept a C(PUT) of a part of a file (Apache, lighttpd with an option), which is tried out
    with a tiny file. Other servers, nginx among them, begin again at the first byte, and a warning says so.
  - What a store goes on with is compared with the file, or read back as a whole, before it is published.
  - Temporary files of other bytes that killed runs on the same host have left for the same name are removed, with a
    warning.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - The credentials, the folder and what is in the store are looked at, and nothing is written. So the right to
        write is proven only as far as the server tells without being written to.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  src:
    description: Path of the file, on the host that runs the module.
    type: path
    required: true
  name:
    description: Name of the file in the store. By default that of O(src).
    type: str
  sha256:
    description:
      - The SHA-256 that the file must have, as 64 hexadecimal digits. M(macops.parallels.image_checksum) returns it.
      - Without it, the record in the checksum file beside O(src) says it while that holds. Else it is computed as the
        file is sent.
    type: str
  overwrite:
    description:
      - Whether a file with other bytes may be replaced.
      - Users' Macs compare what they download with the SHA-256 in the Management Portal. Replacing a published image
        breaks each client until the portal has the new one.
    type: bool
    default: false
  sidecar:
    description: Whether to publish the checksum as C(<name>.sha256), in the form that C(shasum -a 256 -c) accepts.
    type: bool
    default: true
seealso:
  - module: macops.parallels.image_checksum
  - module: macops.parallels.image_link_info
  - module: macops.parallels.image_catalog
"""

EXAMPLES = r"""
- name: Publish an image on a WebDAV server of the company
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    ca_path: /etc/ssl/example-ca.pem
    sha256: "{{ checksum.sha256 }}"
  register: upload

- name: Publish an image in a repository that takes a token
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: https://example.jfrog.io/artifactory/images
    token: "{{ image_store_token }}"
    rate_limit: 50M

- name: Publish an image on a mounted share
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: file:///Volumes/images/golden
"""

RETURN = r"""
url:
  description: URL of the file in the store, its name percent-encoded.
  returned: success
  type: str
  sample: https://images.example.com/golden/win11-2026.11.0-arm64.pvmp
sha256:
  description:
    - The SHA-256 of the file, as 64 lower-case hexadecimal digits.
    - Empty in check mode, when the file would be sent and neither O(sha256) nor its checksum file says it.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
size:
  description: Size of the file in bytes.
  returned: success
  type: int
  sample: 42949672960
bytes_sent:
  description:
    - Bytes of the file that this run has sent, those of attempts that broke included.
    - V(0) where nothing had to be sent, also when a C(file://) folder is on the same volume and that clones files.
  returned: success
  type: int
  sample: 42949672960
resumed_from:
  description:
    - How many bytes the store had already when the sending that has succeeded began, from one that broke, of this run
      or of an earlier one. They were not sent again.
    - V(0) when all of it was sent in one go or anew, or nothing was sent.
  returned: success
  type: int
  sample: 0
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 431.2
sidecar:
  description: URL of the published checksum. Empty with O(sidecar=false).
  returned: success
  type: str
  sample: https://images.example.com/golden/win11-2026.11.0-arm64.pvmp.sha256
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import SIDECAR, normalized
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import run_long_module
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    hide_password_in_destination,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Uploaded, Wanted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            "src": {"type": "path", "required": True},
            "name": {"type": "str"},
            "sha256": {"type": "str"},
            "overwrite": {"type": "bool", "default": False},
            "sidecar": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
        **STORE_RULES,
    )
    run_long_module(module, work)


def work(module: AnsibleModule, job: Job) -> dict[str, Any]:
    hide_password_in_destination(module)
    params = module.params
    options = store_options(params)
    wanted = Wanted(
        src=params["src"],
        name=params["name"] or os.path.basename(params["src"]),
        sha256=normalized(params["sha256"]) if params["sha256"] else None,
        overwrite=params["overwrite"],
        sidecar=params["sidecar"],
        rate_limit=options.rate_limit,
    )
    if not os.path.exists(wanted.src):
        raise TaskError(f"{wanted.src} is not there. Pack the virtual machine first, or correct src.", path=wanted.src)
    job.works_on_file(wanted.name)
    store = open_store(params["destination"], options)
    uploaded = Upload(
        store,
        wanted,
        store_retries(params),
        check_mode=module.check_mode,
        report=job.progress("Uploading"),
        notice=module.warn,
    ).run()
    return {
        "changed": uploaded.changed,
        "url": uploaded.url,
        "sha256": uploaded.sha256 or "",
        "size": uploaded.size,
        "bytes_sent": uploaded.bytes_sent,
        "resumed_from": uploaded.resumed_from,
        "seconds": uploaded.seconds,
        "sidecar": store.link(wanted.name + SIDECAR) if wanted.sidecar else "",
        "diff": _diff(uploaded, wanted),
    }


def _diff(uploaded: Uploaded, wanted: Wanted) -> dict[str, Any]:
    """Return what changes in the store: for each file its size, and its digest as far as it is known."""
    after: dict[str, Any] = {"size": uploaded.size, "sha256": uploaded.sha256}
    before: dict[str, Any] | None = after
    if uploaded.image_changed:
        found = uploaded.before
        before = None if found is None else {"size": found.size, "sha256": found.sha256}
    return {
        "before": {uploaded.url: before, "checksum published": wanted.sidecar and not uploaded.sidecar_changed},
        "after": {uploaded.url: after, "checksum published": wanted.sidecar},
    }


if __name__ == "__main__":
    main()
