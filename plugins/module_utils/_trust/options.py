# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The module options for signing and verifying. The documentation fragment C(_signing) describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .._common.errors import TaskError
from .seal import Seal
from .signature import Signer, SshKeygen, Verifier

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from .._common.retry import Retries
    from .._stores.base import Store

SIGNING_ARGUMENTS: dict[str, dict[str, Any]] = {
    "signing_key_path": {"type": "path", "no_log": False},
    "signing_identity": {"type": "str"},
}
# For required_by of AnsibleModule.
SIGNING_RULES = {"signing_key_path": ["signing_identity"]}

VERIFYING_ARGUMENTS: dict[str, dict[str, Any]] = {
    "allowed_signers_path": {"type": "path"},
    "require_signature": {"type": "bool", "default": False},
}
# For required_if.
VERIFYING_RULES = [("require_signature", True, ["allowed_signers_path"])]


def keygen_of(module: AnsibleModule) -> SshKeygen:
    """Return the ssh-keygen wrapper with which a module signs and verifies."""
    return SshKeygen(module.run_command)


def signer_of(module: AnsibleModule) -> Optional[Signer]:
    """Return the signer of a module, or None without a signing key."""
    params = module.params
    if params["signing_key_path"] is None:
        return None
    return Signer(keygen_of(module), params["signing_key_path"], params["signing_identity"])


def verifier_of(module: AnsibleModule) -> Optional[Verifier]:
    """Return the verifier of a module, or None without a file of allowed signers."""
    path = module.params["allowed_signers_path"]
    return None if path is None else Verifier(keygen_of(module), path)


def seal_of(
    module: AnsibleModule, store: Store, retries: Retries, *, requires: bool, proves: bool = True
) -> Optional[Seal]:
    """Return what signs the catalog of a store for a module, None where no key is given.

    With C(requires), that no key is given is an error; with C(proves) too, nothing is signed as long as the catalog
    has records that were not verified.
    """
    signer, verifier = signer_of(module), verifier_of(module)
    if signer is None:
        if requires:
            raise TaskError(
                "With require_signature, the catalog is changed only by a host that signs it. Set signing_key_path and "
                "signing_identity."
            )
        return None
    return Seal(store, retries, keygen_of(module), signer, verifier if requires and proves else None)
