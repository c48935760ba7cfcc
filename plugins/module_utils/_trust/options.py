# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The module options for signing and verifying. The documentation fragment C(_signing) describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .._common.errors import TaskError
from .._common.notice import Notice, unheard
from .guard import AGE, ALL, NOTHING, Guard
from .identity import store_identity
from .seal import Seal
from .seen import Seen
from .signature import AnyKey, Signer, SshKeygen, Verifier

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from .._common.retry import Retries
    from .._stores.base import Store

# Signatures are bound to the store: whoever signs or verifies needs it.
_OF_STORE: dict[str, dict[str, Any]] = {"public_url": {"type": "str"}}

SIGNING_ARGUMENTS: dict[str, dict[str, Any]] = {
    "signing_key_path": {"type": "path", "no_log": False},
    "signing_identity": {"type": "str"},
    **_OF_STORE,
}
# For required_by of AnsibleModule.
SIGNING_RULES = {"signing_key_path": ["signing_identity"]}

VERIFYING_ARGUMENTS: dict[str, dict[str, Any]] = {
    "allowed_signers_path": {"type": "path"},
    "require_signature": {"type": "bool", "default": False},
    "accept_rollback": {"type": "bool", "default": False},
    **_OF_STORE,
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


def identity_of(module: AnsibleModule, store: Store) -> str:
    """Return the identity of the store in signatures."""
    return store_identity(store, module.params["public_url"], module.params["endpoint_url"])


def guard_of(
    module: AnsibleModule, store: Store, retries: Retries, *, refuses: str = ALL, notice: Notice = unheard
) -> Optional[Guard]:
    """Return what verifies the catalog for a module; None where it has neither allowed signers nor a signing key.

    A host that has only a key can verify that everything is signed, but not whose signatures these are.
    """
    params = module.params
    verifier = verifier_of(module)
    if verifier is None and params.get("signing_key_path") is None:
        return None
    identity = identity_of(module, store)
    seen = None if verifier is None else Seen(identity, writes=not module.check_mode)
    return Guard(
        store,
        retries,
        verifier or AnyKey(keygen_of(module)),
        identity,
        seen,
        refuses=refuses,
        accepts_rollback=params["accept_rollback"],
        notice=notice,
    )


def seal_of(
    module: AnsibleModule, store: Store, retries: Retries, guard: Optional[Guard], *, requires: bool
) -> Optional[Seal]:
    """Return what signs the catalog of a store for a module, None where no key is given.

    With C(requires), that no key is given is an error.
    """
    signer = signer_of(module)
    if signer is None or guard is None:
        if requires:
            raise TaskError(
                "With require_signature, the catalog is changed only by a host that signs it. Set signing_key_path and "
                "signing_identity."
            )
        return None
    return Seal(store, retries, signer, guard, check_mode=module.check_mode)


def refusals_of(module: AnsibleModule, *, signs: bool) -> str:
    """Return what a module that changes the catalog refuses. C(signs) is a person's order to sign what was reviewed.

    A host with a key signs the whole catalog, so it refuses everything that is not good. One without a key only shows
    what it has found, unless a signature is required.
    """
    params = module.params
    if signs:
        return AGE
    return ALL if params["signing_key_path"] is not None or params["require_signature"] else NOTHING
