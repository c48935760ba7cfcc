# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options for signing with an SSH key, and for verifying such signatures."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: signing; and verifying. Who signs verifies, too, so only the second has C(public_url)."""

    DOCUMENTATION = r"""
options:
  signing_key_path:
    description:
      - Path of an SSH key on the host that runs the module. What the module writes is signed with it (C(ssh-keygen -Y
        sign) with the namespaces C(macops.parallels/record), C(macops.parallels/catalog) and
        C(macops.parallels/provenance)).
      - Either a private key without a passphrase, or the public key of a key that an SSH agent holds. The agent may be
        forwarded (C(ForwardAgent)), so that no key is stored on the build Mac. Nobody is asked for a passphrase.
      - By default nothing is signed.
    type: path
  signing_identity:
    description:
      - Identity of the signer, such as V(build@example.com). It is the first word of a line in the file of allowed
        signers. Required with O(signing_key_path).
    type: str
requirements:
  - OpenSSH 8.7 or newer (C(ssh-keygen)), for signatures. macOS 13 and newer include it.
"""

    VERIFYING = r"""
options:
  allowed_signers_path:
    description:
      - Path of a file on the host that runs the module. It lists whose signatures are valid. C(ssh-keygen) describes
        its format under ALLOWED SIGNERS. A line has an identity and a public key, and may limit the time for which the
        key is valid.
      - A signature is valid if its key was valid at the time that the signature gives. Remove a key from the file if it
        was lost or stolen.
    type: path
  require_signature:
    description:
      - Fail if something is not signed, or not signed by one of the allowed signers. Requires O(allowed_signers_path).
    type: bool
    default: false
  accept_rollback:
    description:
      - Accept a catalog that is older than one that was verified on this host, because a backup was restored on
        purpose. Its signature must be good. From then on, this catalog is the one that no older one may replace.
      - Use it once, and review the records first. With O(accept_rollback=false), such a catalog is an error.
      - Each host that verifies keeps a note of its own. A catalog that this host writes afterwards has a higher serial
        number than all that it has seen, so other hosts accept it.
    type: bool
    default: false
  public_url:
    description:
      - Public URL of the store, under which users find what O(destination) holds, such as
        V(https://images.example.com/golden). Signatures are bound to it, so that those of another store are not valid
        here. Whoever signs and whoever verifies must use the same one, however each reaches the store.
      - Without credentials, query and fragment. Upper case in the host, the default port, a slash at the end and the
        way of percent-encoding make no difference.
      - By default O(destination).
    type: str
"""
