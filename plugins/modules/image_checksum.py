#!/usr/bin/python

# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_checksum
short_description: Compute and verify the SHA-256 of an image
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Computes the SHA-256 of a file with constant memory, compares it with known checksums of the file, and writes it to
    a checksum file next to the image.
  - The checksum file is named C(<image>.sha256). Its format is accepted by C(shasum -a 256 -c) and C(sha256sum -c) in
    the folder of the image. A comment line in it records size, modification time and inode of the image. As long as
    these are unchanged, the image is not read again.
  - If Parallels Desktop left its own checksum file (C(<image without .pvmp>.sha256.txt)) that is not older than the
    image, it must contain the same checksum. The same applies to a C(<image>.sha256) from another program that is not
    older than the image.
  - A checksum file of another user is ignored and not replaced, which a warning reports. One that others can write to
    is ignored, too.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details: The file is read if necessary, and nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  path:
    description:
      - Path of the file, on the host that runs the module. A symbolic link, or a file with several names (hard links),
        is an error.
      - A file of another user, except root, is an error without O(sha256).
    type: path
    required: true
  sha256:
    description: The expected SHA-256 of the file, as 64 hexadecimal digits. Another one fails the task.
    type: str
  sidecar:
    description: Write the checksum file. An existing one is read and compared in any case.
    type: bool
    default: true
  force:
    description: Read the file even if the record in the checksum file says that it has not changed.
    type: bool
    default: false
seealso:
  - module: macops.parallels.image_pack
  - module: macops.parallels.image_upload
"""

EXAMPLES = r"""
- name: Hash an image, unless it is unchanged according to its checksum file
  macops.parallels.image_checksum:
    path: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
  register: checksum

- name: Verify that an image is still the one that was published
  macops.parallels.image_checksum:
    path: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    sidecar: false
    force: true
"""

RETURN = r"""
sha256:
  description: The SHA-256 of the file, as 64 lowercase hexadecimal digits.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
size:
  description: Size of the file in bytes.
  returned: success
  type: int
  sample: 42949672960
sidecar:
  description: Path of the checksum file. Empty if none exists with O(sidecar=false).
  returned: success
  type: str
  sample: /Users/build/Parallels/win11-2026.11.0-arm64.pvmp.sha256
was_read:
  description: Whether the file was read for this result. If not, the result is from its checksum file.
  returned: success
  type: bool
  sample: false
agreed:
  description: Paths of the existing checksum files with the same checksum.
  returned: success
  type: list
  elements: str
  sample:
    - /Users/build/Parallels/win11-2026.11.0-arm64.sha256.txt
"""

import os
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import (
    Checksum,
    compare_with_others,
    hash_file,
    line_for,
    may_have_sidecar,
    normalized,
    recorded,
    refuse_foreign_image,
    sidecar_content,
    sidecar_path,
    sidecar_text,
    write_sidecar,
)
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_long_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "sha256": {"type": "str"},
            "sidecar": {"type": "bool", "default": True},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run_long_module(module, work)


def work(module: AnsibleModule, job: Job) -> dict[str, Any]:
    path = module.params["path"]
    expected = normalized(module.params["sha256"]) if module.params["sha256"] else None
    _require_image(path)
    if expected is None:
        refuse_foreign_image(path)
    line_for("", os.path.basename(path))  # before hours of reading
    job.works_on_file(path)
    checksum = (None if module.params["force"] else recorded(path)) or hash_file(path, job.progress("Hashing"))
    if expected is not None and checksum.sha256 != expected:
        raise TaskError(
            f"{path} has the SHA-256 {checksum.sha256}, but {expected} was expected. It is another file, or it is "
            "damaged. Pack the virtual machine again, or correct sha256.",
            path=path,
            sha256=checksum.sha256,
            expected=expected,
        )
    agreed = compare_with_others(path, checksum)
    before = sidecar_content(path)
    wants_sidecar = module.params["sidecar"] and may_have_sidecar(path, notice_of(module))
    after = sidecar_text(checksum, os.path.basename(path)) if wants_sidecar else before
    if before != after and not module.check_mode:
        write_sidecar(path, checksum, notice_of(module))
    return _result(path, checksum, agreed, before, after)


def _require_image(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError as error:
        raise TaskError(
            f"{path} does not exist. Pack the virtual machine first, or correct path.", path=path
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise TaskError(f"{path} is not a file. Use the path of the packed image (.pvmp).", path=path)
    if status.st_size == 0:
        raise TaskError(f"{path} is empty, so it is not an image. Pack the virtual machine again.", path=path)


def _result(path: str, checksum: Checksum, agreed: list[str], before: str | None, after: str | None) -> dict[str, Any]:
    return {
        "changed": before != after,
        "sha256": checksum.sha256,
        "size": checksum.identity.size,
        "sidecar": sidecar_path(path) if after is not None else "",
        "was_read": checksum.was_read,
        "agreed": agreed,
        "diff": {
            "before_header": sidecar_path(path),
            "after_header": sidecar_path(path),
            "before": before or "",
            "after": after or "",
        },
    }


if __name__ == "__main__":
    main()
