# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options by which something is signed with an SSH key, or such signatures are verified."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: signing; and verifying."""

    DOCUMENTATION = r"""
options:
  signing_key_path:
    description:
      - Path of an SSH key, on the host that runs the module, by which what is written is signed (C(ssh-keygen -Y sign)
        with the namespace C(macops.parallels)).
      - A private key without a passphrase, or the public key of one that an SSH agent holds. The agent may be forwarded
        (C(ForwardAgent)), so that no key is kept on the build Mac. Nobody is ever asked for a passphrase.
      - Without it, nothing is signed.
    type: path
  signing_identity:
    description:
      - In whose name it is signed, such as V(build@example.com); as it stands at the beginning of a line in the file of
        allowed signers. Required with O(signing_key_path).
    type: str
requirements:
  - OpenSSH 8.7 or newer (C(ssh-keygen)), for signatures. Every Mac from macOS 13 on has it.
"""

    VERIFYING = r"""
options:
  allowed_signers_path:
    description:
      - Path of a file, on the host that runs the module, that says whose signatures count. C(ssh-keygen) describes its
        form under ALLOWED SIGNERS; a line is an identity and a public key, and it may say until when the key is valid.
      - A signature counts when its key was valid at the time at which it says it was made. A key that was lost has to
        be removed from the file.
    type: path
  require_signature:
    description:
      - Whether something that is not signed, or not by one of the allowed signers, is an error. Needs
        O(allowed_signers_path).
    type: bool
    default: false
"""
