#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement beside an image that tells how it was made."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_provenance
short_description: Puts a statement of provenance beside an image in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Writes C(NAME.provenance.json) beside the image C(NAME). It tells from which virtual machine the image was made, on
    which Mac, with which versions, by which commands, and when.
  - It has the form of an in-toto statement (C(https://in-toto.io/Statement/v1)) with a SLSA provenance predicate
    (C(https://slsa.dev/provenance/v1)), which tools for supply chains understand.
  - With O(signing_key_path), it is signed, and C(NAME.provenance.json.sig) is put beside it. That is a signature of
    C(ssh-keygen), not an in-toto envelope (DSSE).
  - A statement about the same bytes stays as it is, because it tells of the run that has made them. With
    O(signing_key_path), only one that was signed with the same key stays.
  - No secrets belong into it. Everybody who may download the image may read it.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._signing
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
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
  parameters:
    description: What was asked for, such as the name, the version and the settings of the build.
    type: dict
    default: {}
  environment:
    description:
      - What is known of the place where it was made, such as the version of Parallels Desktop.
      - The module adds C(system), C(system_version) and C(architecture) of the host that it runs on, and C(model) where
        that is a Mac.
    type: dict
    default: {}
  source:
    description: The virtual machine from which the image was made. Left out for an image that was made by hand.
    type: dict
    suboptions:
      name:
        description: Its name.
        type: str
      uuid:
        description: Its UUID. Without it, the statement names no source.
        type: str
      os:
        description: Its guest system, in the words of Parallels.
        type: str
      tools:
        description: Version of the Parallels Tools in it.
        type: str
  materials:
    description: What else went into the image, such as the tasks by which it was provisioned.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it is.
        type: str
        required: true
      uri:
        description: Where it is from. Required without O(materials[].sha256).
        type: str
      sha256:
        description: Its SHA-256 checksum.
        type: str
  commands:
    description:
      - The commands of Parallels that have made the image, in the order in which they were run. Other modules return
        them, see RV(macops.parallels.image_pack#module:commands).
    type: list
    elements: dict
    default: []
    suboptions:
      cmd:
        description: The program and its arguments.
        type: list
        elements: str
        required: true
      rc:
        description: Its exit code.
        type: int
        required: true
      started_at:
        description: When it was started, in UTC.
        type: str
        required: true
      seconds:
        description: How long it took.
        type: float
        required: true
  versions:
    description: Versions of the programs that have made the image, by name. That of this collection is added.
    type: dict
    default: {}
  builder_id:
    description:
      - URI that stands for the build Mac and all that is trusted together with it, such as
        V(https://builds.example.com/macs/mini-7).
    type: str
    required: true
  invocation_id:
    description: What stands for the run in which it was made, such as the number of a job in AWX.
    type: str
    required: true
  started_at:
    description: When the run began, in UTC, such as V(2026-11-22T10:00:00Z).
    type: str
    required: true
  finished_at:
    description: When the image was finished, in UTC. The default is now.
    type: str
seealso:
  - module: macops.parallels.image_catalog
  - name: in-toto statement
    description: The form of the statement.
    link: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
  - name: SLSA provenance
    description: What the parts of its predicate mean.
    link: https://slsa.dev/provenance/v1
"""

EXAMPLES = r"""
- name: Tell how the image was made
  macops.parallels.image_provenance:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    file: windows11-2026.11.0-arm64.pvmp
    sha256: "{{ checksum.sha256 }}"
    parameters:
      image_name: windows11
      image_version: 2026.11.0
    source:
      name: Windows 11
      uuid: de22df32-80e2-4e92-ba4b-efb3a66cf092
      os: win-11
    commands: "{{ clone.commands + pack.commands }}"
    builder_id: https://builds.example.com/macs/mini-7
    invocation_id: awx-job-4711
    started_at: "2026-11-22T10:00:00Z"
    signing_key_path: ~/.ssh/image_signing
    signing_identity: build@example.com
"""

RETURN = r"""
url:
  description: Address of the statement in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json
signature_url:
  description: Address of its signature. Empty without O(signing_key_path).
  type: str
  returned: success
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json.sig
statement:
  description: The statement as it is in the store. In check mode, as it would be.
  type: dict
  returned: success
  sample:
    _type: https://in-toto.io/Statement/v1
    subject:
      - name: windows11-2026.11.0-arm64.pvmp
        digest:
          sha256: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
    predicateType: https://slsa.dev/provenance/v1
"""

import platform
from datetime import datetime, timezone
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.checksum import normalized
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import run_module
from ansible_collections.macops.parallels.plugins.module_utils._records.record import TIME_FORMAT
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    hide_password_in_destination,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.options import (
    SIGNING_ARGUMENTS,
    SIGNING_RULES,
    signer_of,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.provenance import (
    Build,
    ProvenanceFile,
    Subject,
    statement,
)


def publish(module: AnsibleModule) -> dict[str, Any]:
    """Put the statement into the store."""
    hide_password_in_destination(module)
    params = module.params
    content = statement(Subject(params["file"], normalized(params["sha256"])), _build(module))
    store = open_store(params["destination"], store_options(params))
    signer = signer_of(module)
    file = ProvenanceFile(store, store_retries(params), params["file"], signer)
    published = file.publish(content, check_mode=module.check_mode)

    def link(name: str) -> str:
        # In check mode, there may be nothing yet of which a store could make a link.
        return store.link(name) if module.check_mode else store_retries(params).call(lambda: store.share(name))

    result = {
        "changed": published.changed,
        "url": link(file.name),
        "signature_url": link(file.signature_name) if signer is not None else "",
        "statement": published.statement,
    }
    if published.changed:
        result["diff"] = {"before": published.before, "after": published.statement}
    return result


def _build(module: AnsibleModule) -> Build:
    params = module.params
    finished_at = params["finished_at"]
    return Build(
        builder_id=params["builder_id"],
        invocation_id=params["invocation_id"],
        started_at=_time(params["started_at"], "started_at"),
        finished_at=_time(finished_at, "finished_at") if finished_at else datetime.now(timezone.utc),
        parameters=params["parameters"],
        environment={**params["environment"], **_host(module)},
        source=params["source"] or {},
        materials=params["materials"],
        commands=params["commands"],
        versions=params["versions"],
    )


def _time(text: str, option: str) -> datetime:
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise TaskError(f"{option} has to be a time in UTC such as 2026-11-22T10:00:00Z, not '{text}'.") from error


def _host(module: AnsibleModule) -> dict[str, Optional[str]]:
    """Return what this host is."""
    mac_version = platform.mac_ver()[0]
    return {
        "system": "macOS" if mac_version else platform.system(),
        "system_version": mac_version or platform.release(),
        "architecture": platform.machine(),
        "model": _model(module) if mac_version else None,
    }


def _model(module: AnsibleModule) -> Optional[str]:
    rc, out, _err = module.run_command(["/usr/sbin/sysctl", "-n", "hw.model"])
    return out.strip() if rc == 0 else None


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    needed = {"type": "str", "required": True}
    facts = {"type": "dict", "default": {}}
    rules = {**STORE_RULES, "required_by": {**STORE_RULES.get("required_by", {}), **SIGNING_RULES}}
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            **SIGNING_ARGUMENTS,
            "file": needed,
            "sha256": needed,
            "parameters": facts,
            "environment": facts,
            "source": {"type": "dict", "options": {"name": text, "uuid": text, "os": text, "tools": text}},
            "materials": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": needed, "uri": text, "sha256": text},
            },
            "commands": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "cmd": {"type": "list", "elements": "str", "required": True},
                    "rc": {"type": "int", "required": True},
                    "started_at": needed,
                    "seconds": {"type": "float", "required": True},
                },
            },
            "versions": facts,
            "builder_id": needed,
            "invocation_id": needed,
            "started_at": needed,
            "finished_at": text,
        },
        supports_check_mode=True,
        **rules,
    )
    run_module(module, publish)


if __name__ == "__main__":
    main()
