#!/usr/bin/python

# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_upload
short_description: Upload an image to a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Uploads one file to a store and publishes it under its final name, together with its checksum (C(<name>.sha256)).
  - The file is read once, for sending and for hashing. If it does not have the checksum O(sha256), or if it changes
    during the upload, the store never gets its last bytes, and nothing is published.
  - A wrong password, a missing folder or a forbidden write is detected before the first byte of the file is sent.
  - If the store already has the same bytes, nothing is changed. The module compares the size, together with the
    checksum that the store computed or the published checksum. If there is neither, it reads the file back. Other
    bytes under that name are an error, unless O(overwrite=true).
  - Transient failures are retried, after a check of what the store has by then. Retries resume after the bytes that the
    store has. So does the next run on the same host, if this one was killed. C(file://) folders support this, and
    WebDAV servers that accept a C(PUT) of a part of a file (Apache, lighttpd with an option), which is tested with a
    tiny file. With other servers, such as nginx, the upload restarts at the first byte, with a warning.
  - Resumed bytes are compared with the file, or the whole file is read back, before it is published.
  - Leftover temporary files with other bytes for the same name, from killed runs on the same host, are removed with a
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
      - The credentials, the folder and the files in the store are checked, and nothing is written. So write permission
        is verified only as far as the server reports it without a write.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  src:
    description:
      - Path of the file, on the host that runs the module. A symbolic link, or a file with several names (hard links),
        is an error.
    type: path
    required: true
  name:
    description: Name of the file in the store. By default, the name of O(src).
    type: str
  sha256:
    description:
      - The SHA-256 that the file must have, as 64 hexadecimal digits. M(macops.parallels.image_checksum) returns it.
      - By default, the record in the checksum file next to O(src) is used if it is still valid. Otherwise, the checksum
        is computed during the upload.
      - It is required for a file of another user, except root.
    type: str
  overwrite:
    description:
      - Whether a file with other bytes may be replaced.
      - Users' Macs verify downloads by the SHA-256 in the Management Portal. Replacing a published image breaks every
        client until the portal has the new checksum.
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
- name: Upload an image to the company's WebDAV server
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    ca_path: /etc/ssl/example-ca.pem
    sha256: "{{ checksum.sha256 }}"
  register: upload

- name: Upload an image to a repository with a token
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: https://example.jfrog.io/artifactory/images
    token: "{{ image_store_token }}"
    rate_limit: 50M

- name: Copy an image to a mounted share
  macops.parallels.image_upload:
    src: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    destination: file:///Volumes/images/golden
"""

RETURN = r"""
url:
  description: URL of the file in the store, with its name percent-encoded.
  returned: success
  type: str
  sample: https://images.example.com/golden/win11-2026.11.0-arm64.pvmp
sha256:
  description:
    - The SHA-256 of the file, as 64 lowercase hexadecimal digits.
    - Empty in check mode, if the file would be sent and neither O(sha256) nor its checksum file contains it.
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
    - Bytes of the file that this run sent, including those of failed attempts.
    - V(0) if nothing had to be sent, or if a C(file://) folder is on the same volume and the volume clones files.
  returned: success
  type: int
  sample: 42949672960
resumed_from:
  description:
    - How many bytes the store already had from an interrupted transfer of this or an earlier run, when the successful
      transfer began. They were not sent again.
    - V(0) if the whole file was sent, or nothing was sent.
  returned: success
  type: int
  sample: 0
seconds:
  description: Duration in seconds.
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
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import (
    SIDECAR,
    normalized,
    refuse_foreign_image,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_long_module
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
        raise TaskError(
            f"{wanted.src} does not exist. Pack the virtual machine first, or correct src.", path=wanted.src
        )
    if wanted.sha256 is None:
        refuse_foreign_image(wanted.src)
    job.works_on_file(wanted.name)
    store = open_store(params["destination"], options)
    uploaded = Upload(
        store,
        wanted,
        store_retries(params),
        check_mode=module.check_mode,
        report=job.progress("Uploading"),
        notice=notice_of(module),
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
    """Return what changes in the store: for each file its size, and its digest if it is known."""
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
