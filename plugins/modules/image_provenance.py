#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes the provenance statement of an image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_provenance
short_description: Publish the provenance statement of an image in a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Writes C(NAME.provenance.json) next to the image C(NAME). The statement records the virtual machine from which the
    image was built, the Mac, the software versions, the commands, and the times.
  - The file is an in-toto statement (C(https://in-toto.io/Statement/v1)) with an SLSA provenance predicate
    (C(https://slsa.dev/provenance/v1)). Supply chain tools can read it.
  - With O(signing_key_path), the module also signs the statement and writes C(NAME.provenance.json.sig). This is an
    C(ssh-keygen) signature, not an in-toto envelope (DSSE).
  - An existing statement about the same bytes is kept, because it describes the run that built them. With
    O(allowed_signers_path), it is kept only if an allowed signer has signed it for this file and this store. With
    O(signing_key_path) alone, it is kept only if it was signed with the same key.
  - Do not put secrets in the statement. Everyone who can download the image can read it.
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._signing
  - macops.parallels._signing.verifying
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
  require_signature:
    description:
      - Fails if O(signing_key_path) is not set.
  accept_rollback:
    description:
      - Has no effect here, because a statement has no newer and older versions.
  file:
    description: File name of the image in the store.
    type: str
    required: true
  sha256:
    description: SHA-256 checksum of the image, as 64 hexadecimal digits.
    type: str
    required: true
  parameters:
    description: The inputs of the build, such as the name, the version and the settings.
    type: dict
    default: {}
  environment:
    description:
      - Facts about the build environment, such as the version of Parallels Desktop.
      - The module adds C(system), C(system_version) and C(architecture) of the host that it runs on. On a Mac, it also
        adds C(model).
    type: dict
    default: {}
  source:
    description: The virtual machine from which the image was built. Omit it for an image that was built manually.
    type: dict
    suboptions:
      name:
        description: Name of the virtual machine.
        type: str
      uuid:
        description: UUID of the virtual machine. Without it, the statement does not name a source.
        type: str
      os:
        description: Guest operating system, as Parallels names it.
        type: str
      tools:
        description: Version of Parallels Tools in the virtual machine.
        type: str
  materials:
    description: Other inputs of the image, such as the task files that provisioned it.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the input.
        type: str
        required: true
      uri:
        description: Where the input is from. Required without O(materials[].sha256).
        type: str
      sha256:
        description: SHA-256 checksum of the input. Required without O(materials[].uri).
        type: str
  commands:
    description:
      - The Parallels commands that built the image, in the order in which they were run. Other modules return them, see
        RV(macops.parallels.image_pack#module:commands).
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
        description: Exit code of the command.
        type: int
        required: true
      started_at:
        description: Start time of the command, in UTC.
        type: str
        required: true
      seconds:
        description: Duration of the command in seconds.
        type: float
        required: true
  versions:
    description: Versions of the programs that built the image, by name. The module adds the version of this collection.
    type: dict
    default: {}
  builder_id:
    description:
      - URI that identifies the build Mac and everything that is trusted together with it, such as
        V(https://builds.example.com/macs/mini-7).
    type: str
    required: true
  invocation_id:
    description: Identifier of the run that built the image, such as an AWX job number.
    type: str
    required: true
  started_at:
    description: Start time of the run, in UTC, such as V(2026-11-22T10:00:00Z).
    type: str
    required: true
  finished_at:
    description: Time when the image was finished, in UTC. The default is the current time.
    type: str
seealso:
  - module: macops.parallels.image_catalog
  - name: in-toto statement
    description: The format of the statement.
    link: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
  - name: SLSA provenance
    description: The meaning of the parts of the predicate.
    link: https://slsa.dev/provenance/v1
"""

EXAMPLES = r"""
- name: Publish the provenance of the image
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
  description: URL of the statement in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json
signature_url:
  description: URL of the signature. Empty without O(signing_key_path).
  type: str
  returned: success
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json.sig
statement:
  description: The statement in the store. In check mode, the statement that would be written.
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
    VERIFYING_ARGUMENTS,
    VERIFYING_RULES,
    identity_of,
    signer_of,
    verifier_of,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.provenance import (
    Build,
    ProvenanceFile,
    Subject,
    statement,
)


def publish(module: AnsibleModule) -> dict[str, Any]:
    """Write the statement to the store."""
    hide_password_in_destination(module)
    params = module.params
    content = statement(Subject(params["file"], normalized(params["sha256"])), _build(module))
    store = open_store(params["destination"], store_options(params))
    signer = signer_of(module)
    if params["require_signature"] and signer is None:
        raise TaskError(
            "With require_signature, a statement is written only by a host that signs it. Set signing_key_path and "
            "signing_identity."
        )
    verifier = verifier_of(module)
    identity = identity_of(module, store)
    file = ProvenanceFile(store, store_retries(params), params["file"], signer, verifier, identity)
    published = file.publish(content, check_mode=module.check_mode)

    def link(name: str) -> str:
        # In check mode, the file may not exist yet, so that the store cannot share it.
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
        raise TaskError(f"{option} cannot be '{text}'. Use a UTC time such as 2026-11-22T10:00:00Z.") from error


def _host(module: AnsibleModule) -> dict[str, Optional[str]]:
    """Return the facts about this host."""
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
            **VERIFYING_ARGUMENTS,
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
        required_if=VERIFYING_RULES,
        **rules,
    )
    run_module(module, publish)


if __name__ == "__main__":
    main()
